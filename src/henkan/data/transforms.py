"""Which pairs are left out, why, and a report that says so."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from henkan.config import Config
from henkan.data.example import Pair

SAMPLES = 3
"""Pairs kept for the report, for each reason."""

RATIO_FROM = 50
"""Pairs whose sides have up to so many characters pass whatever their ratio: a word and its gloss, a name and its
reading."""


class FilterConfig(Config):
    """What to leave out; nothing is ever cut short."""

    max_length: int = Field(
        256, ge=1, le=1_000_000, description="leave out pairs with a side of more tokens of its vocabulary"
    )
    max_ratio: float | None = Field(
        9.0, ge=1.0, description="leave out pairs with a side of over 50 characters and over so many times the other's"
    )
    remove_empty: bool = Field(True, description="leave out pairs with a side of nothing but spaces")

    def reason(self, pair: Pair, source_length: int, target_length: int) -> str | None:
        """Why to leave the pair out, in words that name the setting; None to keep it. Lengths are in tokens."""
        if self.remove_empty:
            for side, text, length in (("source", pair.source, source_length), ("target", pair.target, target_length)):
                if length == 0 or text.isspace():
                    return f"empty {side} (remove_empty)"
        if max(source_length, target_length) > self.max_length:
            return f"a side has over {self.max_length} tokens (max_length)"
        # In characters, because the sides may be cut into tokens of unlike size: words here, phonemes there.
        shorter, longer = sorted((len(pair.source), len(pair.target)))
        if self.max_ratio is not None and longer > RATIO_FROM and longer > self.max_ratio * shorter:
            return f"one side is over {self.max_ratio:g} times as long as the other (max_ratio)"
        return None


@dataclass
class FilterReport:
    """How many pairs were kept, how many left out for which reason, and the first three of each."""

    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)  # line, source, target

    @property
    def read(self) -> int:
        """All pairs that were read."""
        return self.kept + sum(self.dropped.values())

    def drop(self, reason: str, pair: Pair) -> None:
        """Count a pair that was left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        samples = self.samples.setdefault(reason, [])
        if len(samples) < SAMPLES:
            samples.append((pair.line, _shorten(pair.source), _shorten(pair.target)))

    def to_json(self) -> dict[str, Any]:
        """The same as plain values that ``json`` can write."""
        keys = ("line", "source", "target")
        samples = {
            reason: [dict(zip(keys, pair, strict=True)) for pair in pairs] for reason, pairs in self.samples.items()
        }
        return {"kept": self.kept, "dropped": self.dropped, "samples": samples}

    def __str__(self) -> str:
        if not self.dropped:
            return f"all {self.kept:,} pairs kept"
        lines = [f"{self.kept:,} of {self.read:,} pairs kept"]
        for reason, count in sorted(self.dropped.items(), key=lambda entry: -entry[1]):
            lines.append(f"  {count:,} left out: {reason}")
            for line, source, target in self.samples[reason]:
                lines.append(f"    line {line}: {source!r} | {target!r}")
        return "\n".join(lines)


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
