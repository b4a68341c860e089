"""Pairs whose sources say what is to be done with them: ``translate English to French: ...`` (Raffel et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from henkan.data.example import Pair


def prefixed(text: str, prefix: str) -> str:
    """The text with the prefix before it; one of nothing but spaces stays what it is."""
    return prefix + text if text.strip() else text


class PrefixedPairs:
    """The same pairs with a text before every source; read again at each iteration.

    Args:
        name: for messages.
        prefix: with the space at its end, if there is to be one; "" changes nothing.
    """

    def __init__(self, pairs: Iterable[Pair], name: str, prefix: str) -> None:
        self.pairs = pairs
        self.name = name
        self.prefix = prefix

    def __iter__(self) -> Iterator[Pair]:
        if not self.prefix:
            return iter(self.pairs)
        return (replace(pair, source=prefixed(pair.source, self.prefix)) for pair in self.pairs)
