"""Norms against back-propagation through time by hand; what watching and clipping change, and what not."""

import copy
import math

import numpy as np
import pytest
import torch

import zoo
from henkan.inspection.cells import CELLS, build_cell
from henkan.inspection.gradients import (
    Flow,
    Measured,
    Subject,
    clipping,
    global_norm,
    long_range_losses,
    measure,
    train,
    watch,
)
from henkan.inspection.long_range import Adding, LongRangeNetwork

ROWS = 5


def network(name: str, length: int = 12, size: int = 6) -> tuple[LongRangeNetwork, Adding]:
    task = Adding(length)
    torch.manual_seed(4)
    return LongRangeNetwork(build_cell(name, task.inputs, size), task).double(), task


def measured(name: str, clip: float = 1e9, **sizes: int) -> tuple[Measured, Measured]:
    built, task = network(name, **sizes)
    return measure(built, watch(built), [(long_range_losses(built, task, ROWS, seed=8), ROWS)], clip)


def test_the_norms_of_a_simple_network_are_those_of_back_propagation_by_hand():
    built, task = network("rnn")
    drawn = task.draw(ROWS, torch.Generator().manual_seed(8))
    weights = {key: value.detach().numpy() for key, value in built.named_parameters()}
    inputs, states = drawn.inputs.double().numpy(), [np.zeros((ROWS, 6))]
    for step in range(task.steps):
        summed = inputs[:, step] @ weights["cell.input_weight"].T + states[-1] @ weights["cell.hidden_weight"].T
        states.append(np.tanh(summed + weights["cell.bias"]))
    answer = states[-1] @ weights["answer.weight"].T + weights["answer.bias"]
    error = 2 * (answer - drawn.targets.double().numpy()[:, None]) @ weights["answer.weight"]
    norms = []
    for state in reversed(states[1:]):
        norms.append(np.linalg.norm(error, axis=1).mean())
        error = (error * (1 - state**2)) @ weights["cell.hidden_weight"]
    (flow,) = measured("rnn")[0].flows
    np.testing.assert_allclose(flow.hidden, norms, rtol=1e-12)
    assert flow.cell is None


def test_the_carousel_carries_errors_unchanged():
    """With gradients cut at the gates nothing but the carousel is left, and it multiplies by one."""
    (flow,) = measured("lstm-1997-truncated")[0].flows
    assert flow.cell is not None
    np.testing.assert_allclose(flow.cell, flow.cell[0], rtol=1e-12)
    assert flow.hidden[0] > 0
    assert not flow.hidden[1:].any(), "no error reaches an earlier output"


def test_a_forget_gate_lets_errors_fade():
    (flow,) = measured("lstm", length=60)[0].flows
    assert flow.cell is not None
    assert flow.cell[-1] < 0.1 * flow.cell[0]
    assert flow.factor() < 1


@pytest.mark.parametrize("name", CELLS)
def test_watching_changes_neither_answers_nor_gradients(name):
    plain, task = network(name)
    watched = copy.deepcopy(plain)
    assert len(watch(watched)) == 1
    drawn = task.draw(ROWS, torch.Generator().manual_seed(8))
    for built in (plain, watched):
        task.losses(built(drawn.inputs.double()), drawn).sum().backward()
    for (key, one), other in zip(plain.named_parameters(), watched.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_recurrent_encoder_can_be_watched(name):
    torch.manual_seed(5)
    model = zoo.build(zoo.CONFIGS[name])
    source, target = zoo.tokens([4, 4]), zoo.tokens([3, 2])
    batch = zoo.batch(source, target)
    expected = model(batch).heads["tokens"].loss(batch.labels["tokens"])[0]
    watched = watch(model.encoder)
    assert bool(watched) == (zoo.CONFIGS[name].encoder.kind == "recurrent")

    def loss():
        return model(batch).heads["tokens"].loss(batch.labels["tokens"])[0]

    torch.testing.assert_close(loss(), expected)
    if watched:
        off, _ = measure(model, watched, [([loss], 5)], clip=1.0)
        assert [flow.label for flow in off.flows] == list(watched)
        for flow in off.flows:
            assert len(flow.hidden) == 4
            arrived = flow.hidden > 0  # hard attention looks at single positions: errors arrive at these alone
            assert arrived.any() if "hard" in name else arrived.all(), f"no error arrives in {flow.label}"


def test_clipping_scales_everything_alike_and_bounds_the_global_norm():
    off, on = measured("rnn", clip=1e-3)
    (before,), (after,) = off.norms, on.norms
    assert before > 1e-3
    assert after == pytest.approx(1e-3)
    np.testing.assert_allclose(on.flows[0].hidden, off.flows[0].hidden * 1e-3 / before, rtol=1e-12)


def test_below_the_limit_nothing_is_clipped():
    off, on = measured("lstm", clip=1e9)
    assert off.norms == on.norms
    np.testing.assert_array_equal(off.flows[0].hidden, on.flows[0].hidden)
    assert [clipping(norm, 2.0) for norm in (0.0, 1.0, 2.0, 8.0)] == [1.0, 1.0, 1.0, 0.25]


def test_the_global_norm_is_that_of_torch():
    built, task = network("gru")
    sum(loss() for loss in long_range_losses(built, task, ROWS, seed=1)).backward()
    expected = torch.nn.utils.get_total_norm([parameter.grad for parameter in built.parameters()])
    assert global_norm(built) == pytest.approx(expected.item())


def test_means_are_over_the_rows_that_reach_so_far():
    built, _ = network("rnn")
    short, long = Adding(4), Adding(9)

    def loss(task):
        return long_range_losses(built, task, ROWS, seed=2)[0]

    watched = watch(built)
    one, _ = measure(built, watched, [([loss(short)], ROWS)], 1.0)
    other, _ = measure(built, watched, [([loss(long)], ROWS)], 1.0)
    both, _ = measure(built, watched, [([loss(short), loss(long)], 2 * ROWS)], 1.0)
    expected = other.flows[0].hidden.copy()
    expected[:4] = (expected[:4] + one.flows[0].hidden) / 2
    np.testing.assert_allclose(both.flows[0].hidden, expected, rtol=1e-12)


def test_training_follows_the_gradient_and_clips_it():
    built, task = network("rnn", length=6)
    start = copy.deepcopy(built)
    norms = train(built, task, updates=5, rows=ROWS, rate=0.05, clip=0.3)
    assert len(norms) == 5
    assert max(norms) <= 0.3 + 1e-12
    assert norms == train(start, task, updates=5, rows=ROWS, rate=0.05, clip=0.3), "the same seed, the same training"
    for one, other in zip(built.parameters(), start.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_that_explodes_is_told():
    built, task = network("relu-rnn", length=40)
    with torch.no_grad():
        built.cell.hidden_weight.mul_(3)
    norms = train(built, task, updates=8, rows=ROWS, rate=1.0, clip=None)
    subject = Subject("x", Measured([], norms), Measured([], []))
    assert subject.diverged(8).startswith("x without clipping: its gradients explode at update ")
    assert not Subject("y", Measured([], [1.0] * 8), Measured([], [])).diverged(8)


def test_the_factor_is_that_of_a_geometric_series():
    assert Flow("", 3 * 0.5 ** np.arange(9.0), None).factor() == pytest.approx(0.5)
    assert math.isnan(Flow("", np.zeros(3), None).factor())
    assert math.isnan(Flow("", np.ones(1), None).factor())
