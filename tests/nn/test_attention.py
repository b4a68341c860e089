"""Single-head attention over a source, against loops."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from henkan.nn.attention import AttentionConfig, GatedAttention, SoftAttention
from henkan.nn.scores import AdditiveScores, ConcatScores, DotScores, GeneralScores
from henkan.tensors import Memory

SOURCES, PLACES, WIDTH = 3, 5, 4
LENGTHS = [5, 2, 3]


def memory(lengths=LENGTHS, dtype=torch.float64) -> Memory:
    mask = torch.arange(PLACES) < torch.tensor(lengths)[:, None]
    return Memory(torch.randn(len(lengths), PLACES, WIDTH, dtype=dtype), mask)


def attention(scorer) -> SoftAttention:
    for parameter in scorer.parameters():
        nn.init.normal_(parameter)
    return SoftAttention(scorer).double()


def look(part, queries, memory) -> tuple[Tensor, Tensor]:
    """Contexts and weights of the first look."""
    source = part.project(memory)
    focus = part(queries, torch.ones(queries.shape[:2], dtype=torch.bool), source, part.start(source))
    return focus.contexts, focus.weights


SCORERS = {
    "dot": DotScores,
    "general": lambda: GeneralScores(WIDTH, WIDTH),
    "additive": lambda: AdditiveScores(WIDTH, WIDTH, 6),
    "concat": lambda: ConcatScores(WIDTH, WIDTH, 6),
}


@pytest.mark.parametrize("make", SCORERS.values(), ids=SCORERS)
@pytest.mark.parametrize("beams", [1, 3])
def test_equations(make, beams):
    """Softmax over the real positions of a source, and the expected state; the beams of a source share its keys."""
    source, part = memory(), attention(make())
    queries = torch.randn(SOURCES * beams, 2, WIDTH, dtype=torch.float64)
    contexts, weights = look(part, queries, source)
    assert contexts.shape == (SOURCES * beams, 2, WIDTH)
    assert weights.shape == (SOURCES * beams, 2, PLACES)
    for row, step in np.ndindex(SOURCES * beams, 2):
        length = LENGTHS[row // beams]
        states = source.states[row // beams, :length]
        scores = part.scorer(queries[row : row + 1, step : step + 1], part.scorer.project(states[None]))[0, 0]
        exponentials = np.exp(scores.detach().numpy())
        expected = exponentials / exponentials.sum()
        np.testing.assert_allclose(weights[row, step, :length].detach(), expected, rtol=1e-12)
        assert not weights[row, step, length:].any(), "padding gets no weight at all"
        context = sum(weight * state.numpy() for weight, state in zip(expected, states, strict=True))
        np.testing.assert_allclose(contexts[row, step].detach(), context, rtol=1e-12)


@pytest.mark.parametrize("make", SCORERS.values(), ids=SCORERS)
def test_gradients(make):
    part, mask = attention(make()), memory().mask
    queries = torch.randn(SOURCES * 2, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    states = torch.randn(SOURCES, PLACES, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda q, s, *_: look(part, q, Memory(s, mask)), (queries, states, *part.parameters())
    )


def test_a_source_of_nothing_but_padding_gives_no_nan():
    part, source = attention(GeneralScores(WIDTH, WIDTH)), memory([0, 2, 5])
    queries = torch.randn(SOURCES, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    contexts, weights = look(part, queries, source)
    contexts.sum().backward()
    assert contexts.isfinite().all() and weights.isfinite().all() and queries.grad.isfinite().all()


def test_one_position_is_returned_as_it_is():
    """A fixed vector is a memory of one position, so it needs no decoder of its own."""
    source = Memory(torch.randn(2, 1, WIDTH, dtype=torch.float64), torch.ones(2, 1, dtype=torch.bool))
    part = attention(DotScores())
    contexts, weights = look(part, torch.randn(2, 3, WIDTH, dtype=torch.float64), source)
    assert torch.equal(contexts, source.states.expand(2, 3, WIDTH))
    assert torch.equal(weights, torch.ones(2, 3, 1, dtype=torch.float64))


@pytest.mark.parametrize("beams", [1, 3])
def test_gate(beams):
    """Xu et al. (2015), section 4.2.1: beta = s(v . query + b), one number for the whole context; weights stay."""
    inside, source = attention(AdditiveScores(WIDTH, WIDTH, 6)), memory()
    part = GatedAttention(inside, WIDTH).double()
    nn.init.normal_(part.gate.bias)
    queries = torch.randn(SOURCES * beams, 2, WIDTH, dtype=torch.float64)
    contexts, weights = look(part, queries, source)
    plain, expected = look(inside, queries, source)
    assert torch.equal(weights, expected)
    v, b = part.gate.weight[0].detach().numpy(), part.gate.bias.item()
    for row, step in np.ndindex(SOURCES * beams, 2):
        beta = 1 / (1 + np.exp(-(v @ queries[row, step].numpy() + b)))
        np.testing.assert_allclose(contexts[row, step].detach(), beta * plain[row, step].detach().numpy(), rtol=1e-12)


def test_gradients_of_the_gate():
    part, mask = GatedAttention(attention(DotScores()), WIDTH).double(), memory().mask
    queries = torch.randn(SOURCES, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    states = torch.randn(SOURCES, PLACES, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda q, s, *_: look(part, q, Memory(s, mask)), (queries, states, *part.parameters())
    )


def test_settings():
    soft = {"kind": "soft", "scores": {"kind": "dot"}}
    adapter = TypeAdapter(AttentionConfig)
    assert type(adapter.validate_python(soft).build(4, 4)) is SoftAttention
    assert type(adapter.validate_python(soft | {"gate": True}).build(4, 4)) is GatedAttention
