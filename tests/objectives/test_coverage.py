"""The two sums over attention weights against loops over their equations."""

import pytest
import torch
from pydantic import ValidationError

import zoo
from henkan.objectives.coverage import Coverage, CoverageConfig
from henkan.tensors import Batch, Output

SOURCE, TARGET = [4, 6, 1], [5, 3, 2]


def output(name: str = "bahdanau, coverage") -> tuple[Output, Batch]:
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    return zoo.build(zoo.CONFIGS[name])(batch), batch


@pytest.mark.parametrize("name", ["bahdanau, coverage", "bahdanau, gru", "luong, dot, 1 layers, not fed"])
def test_equations(name):
    found, batch = output(name)
    sums = Coverage(0.0, 1.0, 1.0)(found, batch)
    coverage, doubly = 0.0, 0.0
    for row, (places, length) in enumerate(zip(SOURCE, TARGET, strict=True)):
        attention = found.extras["attention"][row, :length, :places].tolist()
        covered = [0.0] * places
        for weights in attention:
            coverage += sum(min(a, c) for a, c in zip(weights, covered, strict=True))
            covered = [c + a for a, c in zip(weights, covered, strict=True)]
        doubly += sum((1 - c) ** 2 for c in covered)
    assert sums["coverage"].item() == pytest.approx(coverage)
    assert sums["doubly_stochastic"].item() == pytest.approx(doubly)
    torch.testing.assert_close(sums["tokens"], found.heads["tokens"].loss(batch.labels["tokens"])[0])


def test_gradients():
    found, batch = output()
    weights = found.extras["attention"].detach().requires_grad_()
    part = Coverage(0.0, 1.0, 1.0)

    def terms(attention):
        sums = part(Output(found.heads, {"attention": attention}), batch)
        return sums["coverage"], sums["doubly_stochastic"]

    assert torch.autograd.gradcheck(terms, (weights,))


def test_in_evaluation_the_loss_is_nats_per_token():
    found, batch = output()
    sums = Coverage(0.1, 1.0, 1.0).eval()(found, batch)
    assert not sums["coverage"] and not sums["doubly_stochastic"]
    torch.testing.assert_close(sums["tokens"], found.heads["tokens"].loss(batch.labels["tokens"])[0])


def test_settings():
    part = CoverageConfig(coverage=0.5, doubly_stochastic=2.0).build()
    assert part.weights(0) == {"tokens": 1.0, "coverage": 0.5, "doubly_stochastic": 2.0}
    _, batch = output()
    assert part.units(batch) == dict.fromkeys(part.weights(0), sum(TARGET))
    with pytest.raises(ValidationError, match="coverage"):
        CoverageConfig(coverage=-1.0)
