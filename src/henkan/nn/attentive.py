"""Recurrences with an attention inside, step by step.

    attend, then step    c[t] = attention(s[t-1])                  Bahdanau et al. (2015)
                         s[t] = cell([x[t]; c[t]], s[t-1])
    step, then attend    s[t] = cells([x[t]; ~h[t-1]], s[t-1])     Luong et al. (2015), input feeding
                         ~h[t] = tanh(W [attention(s[t]); s[t]])

Products with inputs that are known beforehand are done for all steps at once. Padding trails, so steps over it are
computed and left out of the states that are returned. The ``_plain`` loops are the specification; with soft attention
and a cell that has a loop in nn/loops, a whole target is one autograd function (fused_attention.py, fused_feeding.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from henkan.nn import fused
from henkan.nn.attended import Attended, Attention, AttentionState, Focus
from henkan.nn.attention import SoftAttention
from henkan.nn.cells import Cell, CellState
from henkan.nn.dropout import Dropout
from henkan.nn.fused_attention import attend_then_step_fused
from henkan.nn.fused_feeding import step_then_attend_fused
from henkan.nn.looks import LookedScores
from henkan.nn.loops import SplittingCell
from henkan.nn.readout import AttentionalVector
from henkan.nn.recurrent import last_real


class AttendedSteps(NamedTuple):
    """What :func:`attend_then_step` comes to."""

    outputs: Tensor  # (R, T, D) of the cell, meaningful where real
    contexts: Tensor  # (R, T, C) that joined each step's input
    extras: dict[str, Tensor]  # "attention": weights (R, T, S); and what the attention adds
    state: CellState  # after the last real position of each row
    attending: AttentionState  # the same of the attention


class FedSteps(NamedTuple):
    """What :func:`step_then_attend` comes to."""

    outputs: Tensor  # (R, T, D) attentional vectors, meaningful where real
    extras: dict[str, Tensor]  # "attention": weights (R, T, S); and what the attention adds
    states: tuple[CellState, ...]  # of each layer after the last real position of each row
    fed: Tensor  # (R, D) the attentional vector there
    attending: AttentionState


def attend_then_step_plain(
    cell: Cell,
    attention: Attention,
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    state: CellState,
    attending: AttentionState,
) -> AttendedSteps:
    """The previous output asks, and the context joins this step's input.

    Args:
        cell: reads F + C inputs, the context last.
        embedded: (R, T, F).
        mask: (R, T) bool.
        source: from ``attention.project``; one row for each source.
        state: (R, D) tensors.
        attending: from ``attention.start``, or from the call before.
    """
    projected = cell.project(embedded)  # the embedding's share of the gates, for all steps
    current = state
    states: list[CellState] = []
    looks: list[Focus] = []
    for position in range(embedded.shape[1]):
        focus = attention(current[0][:, None], mask[:, position, None], source, attending)
        gates = projected[:, position] + cell.project(focus.contexts[:, 0], first=embedded.shape[2])
        current, attending = cell.advance(gates, current), focus.state
        states.append(current)
        looks.append(focus)
    through_time = [torch.stack(part, 1) for part in zip(*states, strict=True)]
    after = tuple(last_real(part, mask, old) for part, old in zip(through_time, state, strict=True))
    contexts = torch.cat([focus.contexts for focus in looks], 1)
    return AttendedSteps(through_time[0], contexts, gathered(looks), after, attending)


def step_then_attend_plain(
    cells: Sequence[Cell],
    attention: Attention,
    attentional: Callable[[Tensor, Tensor], Tensor],
    dropout: Callable[[Tensor], Tensor],
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    states: tuple[CellState, ...],
    fed: Tensor,
    attending: AttentionState,
) -> FedSteps:
    """The top layer's output asks, and the attentional vector joins the next step's input: input feeding.

    Args:
        cells: from the bottom up; the first reads F + D inputs, the attentional vector last.
        attentional: contexts (R, C) and outputs (R, D) to attentional vectors (R, D).
        dropout: on the output of every layer.
        embedded: (R, T, F).
        mask: (R, T) bool.
        source: from ``attention.project``; one row for each source.
        states: (R, D) tensors of each layer.
        fed: (R, D) the previous attentional vector.
        attending: from ``attention.start``, or from the call before.
    """
    first, *upper = cells
    projected = first.project(embedded)  # the embedding's share of the first layer's gates, for all steps
    current, last_fed = states, fed
    steps: list[tuple[CellState, ...]] = []
    vectors: list[Tensor] = []
    looks: list[Focus] = []
    for position in range(embedded.shape[1]):
        gates = projected[:, position] + first.project(last_fed, first=embedded.shape[2])
        climbing = [first.advance(gates, current[0])]
        top = dropout(climbing[0][0])
        for cell, layer_state in zip(upper, current[1:], strict=True):
            climbing.append(cell(top, layer_state))
            top = dropout(climbing[-1][0])
        focus = attention(top[:, None], mask[:, position, None], source, attending)
        last_fed = attentional(focus.contexts[:, 0], top)
        current, attending = tuple(climbing), focus.state
        steps.append(current)
        vectors.append(last_fed)
        looks.append(focus)
    outputs = torch.stack(vectors, 1)
    after = tuple(
        tuple(
            last_real(torch.stack([step[height][part] for step in steps], 1), mask, old)
            for part, old in enumerate(layer_state)
        )
        for height, layer_state in enumerate(states)
    )
    return FedSteps(outputs, gathered(looks), after, last_real(outputs, mask, fed), attending)


def attend_then_step(
    cell: Cell,
    attention: Attention,
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    state: CellState,
    attending: AttentionState,
) -> AttendedSteps:
    """:func:`attend_then_step_plain`, by the fastest way there is."""
    scorer = _fast_scorer(attention, mask, source)
    if scorer is None or not isinstance(cell, SplittingCell):
        return attend_then_step_plain(cell, attention, embedded, mask, source, state, attending)
    outputs, contexts, weights, after = attend_then_step_fused(cell, scorer, embedded, mask, source, state)
    return AttendedSteps(outputs, contexts, {"attention": weights}, after, attending)


def step_then_attend(
    cells: Sequence[Cell],
    attention: Attention,
    attentional: AttentionalVector,
    dropout: Dropout,
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    states: tuple[CellState, ...],
    fed: Tensor,
    attending: AttentionState,
) -> FedSteps:
    """:func:`step_then_attend_plain`, by the fastest way there is."""
    scorer = _fast_scorer(attention, mask, source)
    looped = [cell for cell in cells if isinstance(cell, SplittingCell)]
    if scorer is None or len(looped) < len(cells):
        plain = (cells, attention, attentional, dropout, embedded, mask, source, states, fed, attending)
        return step_then_attend_plain(*plain)
    drops = dropout.factors((len(cells), *mask.shape, fed.shape[1]), fed)
    outputs, weights, after = step_then_attend_fused(
        looped, scorer, attentional.mix.weight, drops, embedded, mask, source, states, fed
    )
    return FedSteps(outputs, {"attention": weights}, after, last_real(outputs, mask, fed), attending)


def _fast_scorer(attention: Attention, mask: Tensor, source: Attended) -> LookedScores | None:
    """The scorer of an attention that has a hand-written loop, where it pays: whole targets, one for each source."""
    rows, steps = mask.shape
    if not fused.allowed() or steps == 1 or rows != source.values.shape[0] or not isinstance(attention, SoftAttention):
        return None
    return attention.scorer if isinstance(attention.scorer, LookedScores) else None


def gathered(looks: Sequence[Focus]) -> dict[str, Tensor]:
    """The extras of consecutive looks, one after the other along T, with the weights among them."""
    every = [{"attention": focus.weights, **focus.extras} for focus in looks]
    return {name: torch.cat([extras[name] for extras in every], 1) for name in every[0]}
