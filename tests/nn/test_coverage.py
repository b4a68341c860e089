"""Attention with coverage against a loop over See et al. (2017), equations 10 and 11."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from henkan.nn.attention import AttentionConfig
from henkan.nn.coverage import CoverageAttention
from henkan.nn.scores import AdditiveScores, CoveredScores
from henkan.tensors import Memory

PLACES, WIDTH, SIZE, STEPS = 5, 4, 3, 4
LENGTHS = [5, 2, 3]
ROWS = len(LENGTHS)


def build() -> CoverageAttention:
    part = CoverageAttention(CoveredScores(AdditiveScores(WIDTH, WIDTH, SIZE))).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def memory(lengths=LENGTHS) -> Memory:
    mask = torch.arange(PLACES) < torch.tensor(lengths)[:, None]
    return Memory(torch.randn(len(lengths), PLACES, WIDTH, dtype=torch.float64), mask)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 2])
def test_equations(beams):
    part, source = build(), memory()
    queries = torch.randn(ROWS * beams, STEPS, WIDTH, dtype=torch.float64)
    kept = part.project(source)
    (nothing,) = part.start(kept)
    assert not nothing.any()
    mask = torch.ones(ROWS * beams, STEPS, dtype=torch.bool)
    focus = part(queries, mask, kept, (nothing.repeat_interleave(beams, 0),))
    additive = part.scorer.additive
    W, U, b, v = (x.numpy() for x in (additive.query_weight, additive.key_weight, additive.bias, additive.vector))
    w = part.scorer.coverage_weight.numpy()
    for row in range(ROWS * beams):
        length = LENGTHS[row // beams]
        states, covered = source.states[row // beams, :length].numpy(), np.zeros(length)
        for step, query in enumerate(queries[row].numpy()):
            e = [v @ np.tanh(W @ query + U @ h + w * c + b) for h, c in zip(states, covered, strict=True)]
            a = np.exp(e) / np.exp(e).sum()
            np.testing.assert_allclose(focus.weights[row, step, :length], a, rtol=1e-10)
            np.testing.assert_allclose(focus.contexts[row, step], a @ states, rtol=1e-10)
            covered = covered + a
        np.testing.assert_allclose(focus.state[0][row, :length], covered, rtol=1e-10)
        assert not focus.state[0][row, length:].any(), "padding is never covered"


@torch.no_grad()
def test_padded_queries_cover_nothing():
    part, source = build(), memory()
    kept, mask = part.project(source), torch.arange(STEPS) < torch.tensor([2, 0, 4])[:, None]
    focus = part(torch.randn(ROWS, STEPS, WIDTH, dtype=torch.float64), mask, kept, part.start(kept))
    torch.testing.assert_close(focus.state[0].sum(1), torch.tensor([2.0, 0.0, 4.0], dtype=torch.float64))


def test_gradients():
    """Through what was covered before, too."""
    part, mask = build(), memory().mask
    queries = torch.randn(ROWS, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    states = torch.randn(ROWS, PLACES, WIDTH, dtype=torch.float64, requires_grad=True)

    def attend(q, s, *_):
        kept = part.project(Memory(s, mask))
        focus = part(q, torch.ones(q.shape[:2], dtype=torch.bool), kept, part.start(kept))
        return focus.contexts, focus.weights, focus.state[0]

    assert torch.autograd.gradcheck(attend, (queries, states, *part.parameters()))


@torch.no_grad()
def test_bf16_goes_on_counting():
    """A position that gets 1/300 of every look is covered once after 300 of them, though bf16 has no 1 + 1/300."""
    part = CoverageAttention(CoveredScores(AdditiveScores(WIDTH, WIDTH, SIZE))).to(torch.bfloat16)
    nn.init.zeros_(part.scorer.additive.vector)
    kept = part.project(Memory(torch.zeros(1, 300, WIDTH, dtype=torch.bfloat16), torch.ones(1, 300, dtype=torch.bool)))
    mask = torch.ones(1, 600, dtype=torch.bool)
    focus = part(torch.zeros(1, 600, WIDTH, dtype=torch.bfloat16), mask, kept, part.start(kept))
    torch.testing.assert_close(focus.state[0], torch.full((1, 300), 2.0), rtol=0.01, atol=0.0)


def test_settings():
    adapter = TypeAdapter(AttentionConfig)
    config = adapter.validate_python({"kind": "coverage", "scores": {"kind": "additive", "size": SIZE}})
    assert isinstance(config.build(4, 6), CoverageAttention)
    with pytest.raises(ValidationError, match="additive"):
        adapter.validate_python({"kind": "coverage", "scores": {"kind": "dot"}})
