"""What of a model becomes a graph: modules that take and return plain tensors, ready to be traced.

    encoder   ids, mask                        -> states, and the last state of each recurrent layer
    start     what the encoder returned, mask  -> the decoder's state before the first token
    step      ids, state                       -> log-probabilities of the next token, state
    reader    ids, mask, segments              -> states, pooled, heads: a model that is an encoder alone

A state is nested; in a graph each of its tensors has a name, its path: ``fixed.layers.0.keys``. For tracing, what would
fix a length is replaced: recurrent layers become a loop of the graph, and tables of places are made once.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from henkan.models.decoder_only import DecoderOnly
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.encoder_only import EncoderOnly
from henkan.nn.cache import GrowingCache
from henkan.nn.cells import Cell, CellState
from henkan.nn.layers import Bidirectional, Forward
from henkan.nn.positions import LearnedPositions, SinusoidalPositions
from henkan.tensors import Memory, State, Tokens
from henkan.tree import Tree, is_leaf, leaves, map_leaves

M = TypeVar("M", bound=nn.Module)

POSITIONS = 1024
"""Places that a graph's table of sinusoids has: no source and no output may be longer there."""


def named_leaves(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, in the order of :func:`henkan.tree.leaves`."""
    if is_leaf(tree):
        yield path, tree
    elif isinstance(tree, dict):
        for key, inner in tree.items():
            yield from named_leaves(inner, f"{path}.{key}")
    elif isinstance(tree, (tuple, list)):
        for number, inner in enumerate(tree):
            yield from named_leaves(inner, f"{path}.{number}")
    elif dataclasses.is_dataclass(tree):
        for field in dataclasses.fields(tree):
            yield from named_leaves(getattr(tree, field.name), f"{path}.{field.name}")


def tensors_of(tree: Tree) -> tuple[Tensor, ...]:
    """The tensor of every leaf; a cache's is what it holds."""
    return tuple(leaf.filled if isinstance(leaf, GrowingCache) else leaf for leaf in leaves(tree))


def with_tensors(tree: Tree, tensors: Sequence[Tensor]) -> Tree:
    """The same tree with these tensors in the place of its leaves."""
    left = iter(tensors)
    return map_leaves(
        lambda leaf: GrowingCache(next(left)) if isinstance(leaf, GrowingCache) else next(left),
        tree,
    )


class EncoderGraph(nn.Module):
    """Ids and mask, both (rows, source), to states (rows, source, D) and the leaves of ``Memory.final``."""

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        memory = self.model.encode(Tokens(ids, mask))
        return (memory.states, *tensors_of(memory.final))


class StartGraph(nn.Module):
    """Ids, mask, states and final leaves to the leaves of the first state; caches have no slots yet.

    Args:
        final: a tree of the structure that the encoder returns.
        after: a state of the structure that a step returns, whose caches show what one slot is like.
    """

    def __init__(self, model: EncoderDecoder, final: Tree, after: State) -> None:
        super().__init__()
        self.model = model
        self._final = final
        self._slots = [leaf.filled if isinstance(leaf, GrowingCache) else None for leaf in leaves(after)]

    def forward(self, ids: Tensor, mask: Tensor, states: Tensor, final: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        """See the class."""
        rows = states.shape[0]
        state = self.model.decoder.start(Memory(states, mask, with_tensors(self._final, final), ids), rows, 0)
        return tuple(
            leaf if like is None else torch.zeros(rows, 0, *like.shape[2:], dtype=like.dtype)
            for leaf, like in zip(leaves(state), self._slots, strict=True)
        )


class StepGraph(nn.Module):
    """Ids (rows,) and the leaves of a state to log-probabilities (rows, V) and the leaves that moved.

    Args:
        state: of the structure that a step takes and returns.
    """

    def __init__(self, model: EncoderDecoder | DecoderOnly, state: State) -> None:
        super().__init__()
        self.model = model
        self._state = state

    def forward(self, ids: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See the class."""
        inputs = Tokens(ids[:, None], torch.ones_like(ids, dtype=torch.bool)[:, None])
        scores, after = self.model.step(inputs, with_tensors(self._state, state))
        return (scores.log_probs(), *tensors_of(after.moving))


class ReadingGraph(nn.Module):
    """Ids, mask and segments, (rows, source) each, to states, one vector for each text, and what each head says."""

    def __init__(self, model: EncoderOnly) -> None:
        super().__init__()
        self.encoder, self.pooler = model.encoder, model.pooler
        self.heads = nn.ModuleList(model.heads.children())  # without names: one may be a word of Python, as "class" is

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> tuple[Tensor, ...]:
        """See the class; without ``segments`` for an encoder that has none."""
        memory = self.encoder(Tokens(ids, mask, segments))
        pooled = self.pooler(memory)
        said = (head(memory, pooled) for head in self.heads)
        return (
            memory.states,
            pooled,
            *(found if isinstance(found, Tensor) else found.logits() for found in said),
        )


def traceable(model: M) -> M:
    """A copy of a model for tracing, on the processor, in float32, in evaluation mode."""
    made = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    for parent in list(made.modules()):
        if isinstance(parent, (Forward, Bidirectional)):
            parent.through = run_scanned
        for name, part in list(parent.named_children()):
            if isinstance(part, SinusoidalPositions):
                setattr(parent, name, TabledPositions(part.table(POSITIONS, torch.empty(0))[:POSITIONS]))
            elif isinstance(part, LearnedPositions):
                setattr(parent, name, TabledPositions(part.weight[part.offset :]))
    return made


class TabledPositions(nn.Module):
    """Adds rows of a table, and asks nothing about lengths."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().clone())

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) at positions (N, T) to (N, T, D)."""
        return vectors + nn.functional.embedding(positions, self.table)


def run_scanned(cell: Cell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """:func:`henkan.nn.recurrent.run_plain` as one loop of a graph, whatever the number of steps."""

    def step(before: CellState, read: tuple[Tensor, Tensor]) -> tuple[CellState, Tensor]:
        projected, real = read
        after = cell.advance(projected, before)
        kept = tuple(torch.where(real, new, old) for new, old in zip(after, before, strict=True))
        return kept, kept[0].clone()  # what is carried on and what is returned may not be one tensor

    projected = cell.project(inputs).transpose(0, 1)
    last, outputs = scan(step, state, (projected, mask.t()[..., None]))
    return outputs.transpose(0, 1), tuple(last)
