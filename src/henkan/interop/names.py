"""Two-way tables of weight names: read forwards they import, read backwards they export.

A table is a list of entries. Each accounts for some of their names; those that hold something of ours say how it is
laid out there, by a transform that can be undone. What no entry accounts for, and what an entry misses, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from henkan.errors import FolderError


@dataclass(frozen=True)
class Entry:
    """One weight of ours, from one or several of theirs."""

    theirs: tuple[str, ...]
    ours: str
    read: Callable[[Sequence[Tensor]], Tensor]
    write: Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Copy:
    """A second name there for a tied weight. Both have the same numbers, or one is there alone; ``of`` is written."""

    theirs: str
    of: str
    read: bool = True  # False: where both are there, nothing there reads this one, and it may hold anything


@dataclass(frozen=True)
class Unread:
    """Names there, as a regular expression, that hold nothing to be learnt or nothing that we have; not written."""

    pattern: str
    why: str


Table = Sequence[Entry | Copy | Unread]


def same(theirs: str, ours: str) -> Entry:
    """The same tensor."""
    return Entry((theirs,), ours, lambda found: found[0], lambda weight: [weight])


def transposed(theirs: str, ours: str) -> Entry:
    """A matrix (inputs, outputs) there, (outputs, inputs) here."""
    return Entry((theirs,), ours, lambda found: found[0].t(), lambda weight: [weight.t()])


def stacked(theirs: Sequence[str], ours: str) -> Entry:
    """Equal parts there, one above the other here."""
    return Entry(tuple(theirs), ours, lambda found: torch.cat(list(found)), lambda weight: weight.chunk(len(theirs)))


def row(theirs: str, ours: str) -> Entry:
    """A matrix of one row there, a vector here."""
    return Entry((theirs,), ours, lambda found: found[0][0], lambda weight: [weight[None]])


def linear(theirs: str, ours: str, *, bias: bool = True) -> list[Entry]:
    """The weight and the bias of a layer, or of a norm."""
    return [same(f"{theirs}.{part}", f"{ours}.{part}") for part in (("weight", "bias") if bias else ("weight",))]


def stacked_linear(theirs: Sequence[str], ours: str, *, bias: bool = True) -> list[Entry]:
    """The same for layers that are one layer here, such as queries, keys and values."""
    parts = ("weight", "bias") if bias else ("weight",)
    return [stacked([f"{name}.{part}" for name in theirs], f"{ours}.{part}") for part in parts]


def read_weights(table: Table, theirs: Mapping[str, Tensor], place: object) -> dict[str, Tensor]:
    """Their weights as ours, by our names; ``place`` is where they come from.

    Raises:
        FolderError: a weight is missing, left over, or not what a tied weight must be.
    """
    theirs = _with_first_names(table, theirs)
    left, ours, missing = set(theirs), {}, []
    for entry in table:
        match entry:
            case Entry():
                if lacking := [name for name in entry.theirs if name not in theirs]:
                    missing += lacking
                    continue
                ours[entry.ours] = _read(entry, theirs, place)
                left.difference_update(entry.theirs)
            case Copy():
                if entry.theirs in theirs:
                    if entry.read and not torch.equal(theirs[entry.theirs], theirs[entry.of]):
                        raise FolderError(f"{place}: {entry.theirs} is tied to {entry.of}, and their numbers differ")
                    left.discard(entry.theirs)
            case Unread():
                left = {name for name in left if not re.fullmatch(entry.pattern, name)}
    if missing:
        raise FolderError(f"{place}: weights lack {', '.join(missing[:3])} ({len(missing)} in all)")
    if left:
        named = ", ".join(sorted(left)[:3])
        raise FolderError(f"{place}: weights that no part of this model takes: {named} ({len(left)} in all)")
    return ours


def _with_first_names(table: Table, theirs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Their weights, with a tied one that is there under its second name alone under its first as well."""
    found = dict(theirs)
    for entry in table:
        if isinstance(entry, Copy) and entry.theirs in theirs and entry.of not in found:
            found[entry.of] = theirs[entry.theirs]
    return found


def _read(entry: Entry, theirs: Mapping[str, Tensor], place: object) -> Tensor:
    try:
        return entry.read([theirs[name] for name in entry.theirs]).contiguous()
    except (RuntimeError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(theirs[name].shape)}" for name in entry.theirs)
        raise FolderError(f"{place}: shapes that do not fit together: {shapes}") from error


def write_weights(table: Table, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights as theirs, by their names. Every one of ours must be in the table: that is for tests to see to."""
    theirs: dict[str, Tensor] = {}
    left = set(ours)
    for entry in table:
        if isinstance(entry, Entry):
            left.remove(entry.ours)
            parts = entry.write(ours[entry.ours].detach())
            theirs |= {name: part.contiguous().clone() for name, part in zip(entry.theirs, parts, strict=True)}
    assert not left, f"weights without a name there: {sorted(left)}"
    return theirs
