"""The tasks are what the papers say, and a network that remembers can solve them."""

import math
from typing import get_args

import pytest
import torch

from henkan.errors import ConfigError
from henkan.inspection.cells import CELLS, build_cell
from henkan.inspection.long_range import Adding, Copying, LongRangeNetwork
from henkan.nn.cells import CellConfig


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum():
    drawn = Adding(11).draw(200, generator())
    numbers, marks = drawn.inputs.unbind(-1)
    assert drawn.inputs.shape == (200, 11, 2)
    assert (numbers >= 0).all() and (numbers <= 1).all()
    assert (marks[:, :5].sum(1) == 1).all() and (marks[:, 5:].sum(1) == 1).all()
    torch.testing.assert_close(drawn.targets, (numbers * marks).sum(1))


def test_always_answering_one_costs_the_baseline():
    task = Adding(20)
    drawn = task.draw(20_000, generator())
    loss = task.losses(torch.ones(20_000, 20, 1), drawn).mean().item()
    assert loss == pytest.approx(task.baseline, rel=0.03)


def test_copying_gives_symbols_blanks_a_sign_and_blanks():
    task = Copying(delay=4, copied=3, symbols=5)
    drawn = task.draw(50, generator())
    ids = drawn.inputs.argmax(-1)
    assert ids.shape == (50, task.steps) == (50, 10)
    assert torch.equal(ids[:, :3], drawn.targets)
    assert (ids[:, 3:6] == 5).all(), "blanks"
    assert (ids[:, 6] == 6).all(), "the sign"
    assert (ids[:, 7:] == 5).all(), "blanks while the symbols are repeated"


def test_copying_is_judged_at_the_last_steps_alone():
    task = Copying(delay=2, copied=3, symbols=4)
    drawn = task.draw(6, generator())
    right = torch.full((6, task.steps, 4), -50.0)
    right[:, -3:].scatter_(2, drawn.targets[..., None], 50.0)
    assert task.losses(right, drawn).max() < 1e-6
    chance = task.losses(torch.zeros(6, task.steps, 4), drawn)
    torch.testing.assert_close(chance, torch.full((6,), math.log(4)))
    assert task.baseline == pytest.approx(math.log(4))


@pytest.mark.parametrize("task", [Adding(9), Copying(5)])
def test_the_same_seed_gives_the_same_sequences(task):
    first, again, other = (task.draw(4, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_answers_every_task(name):
    for task in (Adding(6), Copying(3, copied=2)):
        network = LongRangeNetwork(build_cell(name, task.inputs, 7), task)
        drawn = task.draw(5, generator())
        losses = task.losses(network(drawn.inputs), drawn)
        assert losses.shape == (5,)
        losses.sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_every_kind_of_cell_has_a_name():
    kinds = {config.model_fields["kind"].default for config in get_args(get_args(CellConfig)[0])}
    assert kinds == {settings["kind"] for settings in CELLS.values()}


def test_too_short_tasks_and_unknown_cells_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        Adding(1)
    with pytest.raises(ValueError, match="delay 0"):
        Copying(0)
    with pytest.raises(ConfigError, match=r"cell 'elman' is none of rnn, relu-rnn"):
        build_cell("elman", 2, 3)
