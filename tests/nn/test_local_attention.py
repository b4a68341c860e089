"""Local attention against loops over Luong et al. (2015), section 3.2."""

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from henkan.nn.attention import AttentionConfig
from henkan.nn.local_attention import MonotonicAttention, PredictiveAttention
from henkan.nn.scores import GeneralScores
from henkan.tensors import Memory

PLACES, WIDTH, STEPS = 7, 4, 6
LENGTHS = [7, 1, 4]
ROWS = len(LENGTHS)


def memory(lengths=LENGTHS) -> Memory:
    mask = torch.arange(PLACES) < torch.tensor(lengths)[:, None]
    return Memory(torch.randn(len(lengths), PLACES, WIDTH, dtype=torch.float64), mask)


def build(make, window: int):
    part = make(GeneralScores(WIDTH, WIDTH), window).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def predictive(scorer, window):
    return PredictiveAttention(scorer, window, WIDTH)


def window_by_hand(part, query, states, centre, window) -> dict[int, float]:
    """Softmax over the positions from 1 that are in the source and in the window around ``centre``."""
    inside = [j for j in range(1, len(states) + 1) if centre - window <= j <= centre + window]
    scores = {j: float(query @ part.scorer.weight @ states[j - 1]) for j in inside}
    total = sum(math.exp(score) for score in scores.values())
    return {j: math.exp(score) / total for j, score in scores.items()}


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("beams", [1, 2])
def test_monotonic(window, beams):
    """The window follows the target's position, and stays at the end of a shorter source."""
    part, source = build(MonotonicAttention, window), memory()
    queries = torch.randn(ROWS * beams, STEPS, WIDTH, dtype=torch.float64)
    kept = part.project(source)
    mask = torch.ones(ROWS * beams, STEPS, dtype=torch.bool)
    start = tuple(part.repeat_interleave(beams, 0) for part in part.start(kept))
    focus = part(queries, mask, kept, start)
    assert focus.state[0].tolist() == [STEPS] * ROWS * beams
    for row, step in np.ndindex(ROWS * beams, STEPS):
        length = LENGTHS[row // beams]
        states = source.states[row // beams, :length]
        expected = window_by_hand(part, queries[row, step], states, min(step + 1, length), window)
        compare(focus, row, step, states, expected)


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("beams", [1, 2])
def test_predictive(window, beams):
    """p = S s(v . tanh(W h)); softmax in the window, then times a Gaussian of deviation D / 2."""
    part, source = build(predictive, window), memory()
    queries = 3 * torch.randn(ROWS * beams, STEPS, WIDTH, dtype=torch.float64)
    kept = part.project(source)
    focus = part(queries, torch.ones(ROWS * beams, STEPS, dtype=torch.bool), kept, part.start(kept))
    W, v = part.position_weight.numpy(), part.position_vector.numpy()
    for row, step in np.ndindex(ROWS * beams, STEPS):
        length = LENGTHS[row // beams]
        states, query = source.states[row // beams, :length], queries[row, step]
        centre = length / (1 + np.exp(-v @ np.tanh(W @ query.numpy())))
        soft = window_by_hand(part, query, states, centre, window)
        expected = {j: a * math.exp(-((j - centre) ** 2) / (2 * (window / 2) ** 2)) for j, a in soft.items()}
        compare(focus, row, step, states, expected)


def compare(focus, row, step, states, expected: dict[int, float]) -> None:
    weights = [expected.get(j, 0.0) for j in range(1, PLACES + 1)]
    np.testing.assert_allclose(focus.weights[row, step], weights, rtol=1e-10, atol=1e-15)
    context = sum(weight * states[j - 1].numpy() for j, weight in expected.items())
    np.testing.assert_allclose(focus.contexts[row, step], context, rtol=1e-10, atol=1e-12)


def test_the_position_moves_with_real_queries_only():
    part, source = build(MonotonicAttention, 1), memory()
    kept = part.project(source)
    mask = torch.arange(STEPS) < torch.tensor([2, 0, 6])[:, None]
    focus = part(torch.randn(ROWS, STEPS, WIDTH, dtype=torch.float64), mask, kept, part.start(kept))
    assert focus.state[0].tolist() == [2, 0, 6]


@pytest.mark.parametrize("make", [MonotonicAttention, predictive])
def test_gradients(make):
    part, mask = build(make, 2), memory().mask
    queries = torch.randn(ROWS * 2, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    states = torch.randn(ROWS, PLACES, WIDTH, dtype=torch.float64, requires_grad=True)

    def attend(q, s, *_):
        kept = part.project(Memory(s, mask))
        start = tuple(tensor.repeat_interleave(2, 0) for tensor in part.start(kept))
        focus = part(q, torch.ones(q.shape[:2], dtype=torch.bool), kept, start)
        return focus.contexts, focus.weights

    assert torch.autograd.gradcheck(attend, (queries, states, *part.parameters()))


@pytest.mark.parametrize("make", [MonotonicAttention, predictive])
def test_a_source_of_nothing_but_padding_gives_no_nan(make):
    part, source = build(make, 1), memory([0, 2, 5])
    queries = torch.randn(ROWS, STEPS, WIDTH, dtype=torch.float64, requires_grad=True)
    kept = part.project(source)
    focus = part(queries, torch.ones(ROWS, STEPS, dtype=torch.bool), kept, part.start(kept))
    focus.contexts.sum().backward()
    assert focus.contexts.isfinite().all() and focus.weights.isfinite().all() and queries.grad.isfinite().all()


@torch.no_grad()
def test_bf16_can_tell_late_positions_apart():
    """The middle of the window is where float32 has it, far beyond the 256 up to which bf16 counts."""
    part = PredictiveAttention(GeneralScores(WIDTH, WIDTH), 1, WIDTH)
    nn.init.zeros_(part.scorer.weight)
    part.to(torch.bfloat16)
    nn.init.zeros_(part.position_vector)  # p = S / 2
    source = Memory(torch.zeros(1, 1202, WIDTH, dtype=torch.bfloat16), torch.ones(1, 1202, dtype=torch.bool))
    kept = part.project(source)
    focus = part(torch.zeros(1, 1, WIDTH, dtype=torch.bfloat16), torch.ones(1, 1, dtype=torch.bool), kept, ())
    assert focus.weights[0, 0].nonzero()[:, 0].tolist() == [599, 600, 601], "positions 600 to 602, counted from 1"


def test_settings():
    adapter = TypeAdapter(AttentionConfig)
    local = {"kind": "local", "scores": {"kind": "dot"}}
    assert isinstance(adapter.validate_python(local).build(4, 4), PredictiveAttention)
    monotonic = adapter.validate_python({**local, "centre": "monotonic", "window": 3}).build(4, 4)
    assert isinstance(monotonic, MonotonicAttention) and monotonic.window == 3
    with pytest.raises(ValueError, match="the query has 4, the keys have 5"):
        adapter.validate_python(local).check(4, 5)
    with pytest.raises(ValidationError, match="window"):
        adapter.validate_python({**local, "window": 0})
