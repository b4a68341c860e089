"""The loop: what it promises about resuming, about batches, about stopping, about the best weights."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import TinyModel, TinyTask, tiny_options, tiny_run
from torch import Tensor, nn

from henkan.data.example import Example
from henkan.data.plan import Lengths, Plan
from henkan.errors import ConfigError, FolderError, NonFiniteLoss, Stopped, StorageError
from henkan.training.checkpoint import Checkpoints
from henkan.training.log import read_events
from henkan.training.loop import Result, train
from henkan.training.update import seeded


def masters(folder: Path, update: int) -> dict[str, Tensor]:
    return Checkpoints(folder).open(update).tensors("masters")


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs by {(value - other[name]).abs().max():.3g}"


def assert_same_run(one: Path, other: Path, update: int) -> None:
    """Masters, moments and buffers are equal, bit for bit."""
    for file in ("masters", "optimiser", "buffers"):
        assert_same(Checkpoints(one).open(update).tensors(file), Checkpoints(other).open(update).tensors(file))


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(folder / "events.jsonl") if event["event"] == name]


class Interrupting(TinyTask):
    """Sends a signal to its own process while the given validation runs."""

    def __init__(self, validation: int, number: int) -> None:
        super().__init__()
        self.validation, self.number = validation, number

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        if self.evaluations == self.validation - 1:
            signal.raise_signal(self.number)
        return super().evaluate(model, split)


VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "accumulation": {"accumulation": 3},
    "ema": {"ema": 0.9},
    "average": {"average": 3, "keep": 1},
    "sgd": {"optimiser": {"kind": "sgd", "learning_rate": 0.5, "momentum": 0.9}},
    "adadelta": {"optimiser": {"kind": "adadelta"}, "schedule": {"kind": "halving", "after": 1.0}},
    "epochs": {"steps": None, "epochs": 4, "schedule": {"kind": "cosine"}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_ten_steps_resumed_are_twenty(tmp_path: Path, variant: str) -> None:
    settings = {"steps": 20, "validate_every": 5, **VARIANTS[variant]}
    whole = tiny_run(tmp_path / "whole", **settings)
    with pytest.raises(Stopped, match="--resume"):
        train(Interrupting(2, signal.SIGINT), TinyModel(), tiny_options(**settings), tmp_path / "parts")
    assert Checkpoints(tmp_path / "parts").updates()[-1] == 11, "the signal came after update 10"
    torch.manual_seed(99)  # the generators of another process
    resumed = tiny_run(tmp_path / "parts", resume=True, **settings)
    assert_same_run(tmp_path / "whole", tmp_path / "parts", whole.updates)
    assert_same(whole.weights, resumed.weights)
    assert (whole.loss, whole.scores, whole.update, whole.averaged) == (
        resumed.loss,
        resumed.scores,
        resumed.update,
        resumed.averaged,
    )


class InShards(TinyTask):
    """The same examples in shards of 16."""

    def lengths(self, split: str) -> list[Lengths]:
        (whole,) = super().lengths(split)
        starts = range(0, len(whole), 16)
        return [Lengths(whole.source[at : at + 16], whole.target[at : at + 16]) for at in starts]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        return TinyTask().example(split, index, rng)


def test_a_corpus_in_windows_is_resumed_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("henkan.training.session.Plan", partial(Plan, window=16))
    settings = tiny_options(epochs=3, validate_every=8, checkpoint_every=1, keep=100)
    whole = train(InShards(), TinyModel(), settings, tmp_path / "whole")
    states = {
        update: Checkpoints(tmp_path / "whole").open(update).facts["training"] for update in range(1, whole.updates)
    }
    assert {state["windows"] for state in states.values()} == {4}
    assert {state["window"] for state in states.values()} == {0, 1, 2, 3}
    assert max(state["epoch"] for state in states.values()) == 2
    for update in (2, next(update for update, state in states.items() if state["window"] == 2 and state["number"])):
        parts = tmp_path / f"from {update}"
        shutil.copytree(tmp_path / "whole", parts)
        for later in range(update + 1, whole.updates + 1):
            shutil.rmtree(Checkpoints(parts).path(later))
        resumed = train(InShards(), TinyModel(), settings, parts, resume=True)
        assert_same_run(tmp_path / "whole", parts, whole.updates)
        assert_same(whole.weights, resumed.weights)


def test_resuming_from_between_validations(tmp_path: Path) -> None:
    settings = {"steps": 12, "validate_every": 6, "checkpoint_every": 1, "keep": 100}
    whole = tiny_run(tmp_path / "whole", **settings)
    for update in (1, 4, 6, 11, 12):
        parts = tmp_path / f"from {update}"
        shutil.copytree(tmp_path / "whole", parts)
        for later in range(update + 1, 13):
            shutil.rmtree(Checkpoints(parts).path(later))
        resumed = tiny_run(parts, resume=True, **settings)
        assert_same_run(tmp_path / "whole", parts, 12)
        assert_same(whole.weights, resumed.weights)
        updates = [event["update"] for event in read_events(parts / "events.jsonl") if event["event"] == "checkpoint"]
        assert updates == list(range(1, 13)), "the events read as one run"


def test_training_does_not_touch_the_generators(tmp_path: Path) -> None:
    model = TinyModel()
    before = torch.random.get_rng_state()
    train(TinyTask(), model, tiny_options(steps=3), tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_micro_batches_have_chances_of_their_own() -> None:
    draws = set()
    for seed, update, part in [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)]:
        for _ in range(2):
            with seeded(seed, update, part, torch.device("cpu")):
                draws.add(float(torch.rand(())))
    assert len(draws) == 4


def test_one_large_batch_is_several_micro_batches(tmp_path: Path) -> None:
    for accumulation in (1, 2, 5):
        tiny_run(tmp_path / str(accumulation), steps=6, dropout=0.0, accumulation=accumulation)
    for accumulation in (2, 5):
        for name, value in masters(tmp_path / "1", 6).items():
            torch.testing.assert_close(masters(tmp_path / str(accumulation), 6)[name], value, rtol=1e-5, atol=1e-6)


def test_learning_happens(tmp_path: Path) -> None:
    result = tiny_run(tmp_path, epochs=16, batch_tokens=24)
    assert result.loss < 0.7, result
    assert result.scores["right"] > 0.85, result
    assert result.reason == "epochs"


def test_the_best_weights_are_left_in_the_model(tmp_path: Path) -> None:
    task, model = TinyTask(), TinyModel()
    task.scores = [0.1, 0.9, 0.3, 0.2]
    options = tiny_options(steps=8, validate_every=2, validate_by="right", keep=1, precision="bf16")
    result = train(task, model, options, tmp_path)
    assert (result.update, result.scores, result.updates) == (4, {"right": 0.9}, 8)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert_same(parameters, result.weights)
    best = {name.removeprefix("model."): value for name, value in masters(tmp_path, 4).items()}
    assert_same(best, result.weights)
    assert Checkpoints(tmp_path).updates() == [4, 8], "the last and the best are kept"
    assert json.loads((tmp_path / "best.json").read_text())["path"] == "checkpoints/step-00000004"


def test_early_stopping(tmp_path: Path) -> None:
    task = TinyTask()
    task.scores = [0.1, 0.5, 0.4, 0.45, 0.3, 0.9]
    options = tiny_options(steps=100, validate_every=2, validate_by="right", patience=3)
    result = train(task, TinyModel(), options, tmp_path)
    assert (result.reason, result.updates, result.update) == ("patience", 10, 4)
    assert events(tmp_path, "end")[-1]["reason"] == "patience"


@pytest.mark.parametrize(("score", "averaged"), [(0.9, 3), (0.2, 0)])
def test_an_average_is_kept_if_better(tmp_path: Path, score: float, averaged: int) -> None:
    task = TinyTask()
    task.scores = [0.1, 0.2, 0.3, 0.4, score]
    options = tiny_options(steps=8, validate_every=2, validate_by="right", average=3, keep=1)
    result = train(task, TinyModel(), options, tmp_path)
    assert result.averaged == averaged
    assert result.scores["right"] == max(0.4, score)
    chosen = [masters(tmp_path, update) for update in ((4, 6, 8) if averaged else (8,))]
    for name, value in result.weights.items():
        mean = torch.stack([weights[f"model.{name}"] for weights in chosen]).double().mean(0).float()
        torch.testing.assert_close(value, mean, rtol=0, atol=1e-7)


def test_a_moving_average_is_what_is_judged(tmp_path: Path) -> None:
    result = tiny_run(tmp_path, steps=6, validate_every=6, ema=0.5)
    checkpoint = Checkpoints(tmp_path).open(6)
    ema = {name.removeprefix("model."): value for name, value in checkpoint.tensors("ema").items()}
    assert_same(ema, result.weights)
    assert not torch.equal(ema["hidden.weight"], checkpoint.tensors("masters")["model.hidden.weight"])


def test_a_bad_batch_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    tiny_run(tmp_path / "good", steps=40, validate_every=4, keep=100)
    task = TinyTask()
    task.poisoned = {13}
    with pytest.raises(NonFiniteLoss) as caught:
        train(task, TinyModel(), tiny_options(steps=40, validate_every=4), tmp_path / "bad")
    message = str(caught.value)
    update = int(message.split()[1])
    assert "(epoch 1)" in message
    assert "13" in message.split("examples of the batch: ")[1].split(";")[0].split(", ")
    kept = Checkpoints(tmp_path / "bad").updates()
    if kept:
        assert kept[-1] < update
        assert f"step-{kept[-1]:08d}" in message
        assert_same_run(tmp_path / "good", tmp_path / "bad", kept[-1])
    else:
        assert "there is no checkpoint yet" in message
    assert events(tmp_path / "bad", "end")[-1]["reason"] == "non-finite loss"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first(tmp_path: Path, number: int, code: int) -> None:
    with pytest.raises(Stopped) as caught:
        train(Interrupting(1, number), TinyModel(), tiny_options(steps=8, validate_every=3), tmp_path)
    assert caught.value.exit_code == code
    assert "step-00000004" in str(caught.value), "the signal came after update 3"
    assert f"--output {tmp_path} --resume" in str(caught.value)
    assert Checkpoints(tmp_path).newest(print) is not None
    assert events(tmp_path, "end")[-1]["reason"] == "stopped"


def test_a_stop_between_scheduled_checkpoints_does_not_change_the_average(tmp_path: Path) -> None:
    settings = {"steps": 12, "validate_every": 4, "average": 3, "keep": 1}

    whole = tiny_run(tmp_path / "whole", **settings)
    with pytest.raises(Stopped):
        train(Interrupting(1, signal.SIGTERM), TinyModel(), tiny_options(**settings), tmp_path / "parts")
    assert Checkpoints(tmp_path / "parts").updates() == [4, 5]
    resumed = tiny_run(tmp_path / "parts", resume=True, **settings)
    assert_same(whole.weights, resumed.weights)
    assert whole.averaged == resumed.averaged


def test_a_full_disk_stops_the_run_and_spares_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import henkan.training.checkpoint as checkpoint

    written: list[Path] = []
    whole_save = checkpoint._save

    def fail_in_the_third(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        written.append(path)
        if "step-00000006" in str(path):
            raise OSError(28, "No space left on device")
        return whole_save(path, tensors)

    monkeypatch.setattr(checkpoint, "_save", fail_in_the_third)
    settings = {"steps": 12, "validate_every": 3}
    with pytest.raises(StorageError, match="No space left on device"):
        tiny_run(tmp_path / "parts", **settings)
    assert Checkpoints(tmp_path / "parts").updates() == [3]
    monkeypatch.undo()
    assert_same(
        tiny_run(tmp_path / "parts", resume=True, **settings).weights, tiny_run(tmp_path / "whole", **settings).weights
    )


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    settings = {"steps": 12, "validate_every": 4}
    whole = tiny_run(tmp_path, **settings)
    file = Checkpoints(tmp_path).path(12) / "masters.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    resumed = tiny_run(tmp_path, resume=True, **settings)
    assert_same(whole.weights, resumed.weights)
    assert events(tmp_path, "resume")[-1]["update"] == 8


def test_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    first = tiny_run(tmp_path, steps=6, validate_every=2, average=2)
    again = tiny_run(tmp_path, resume=True, steps=6, validate_every=2, average=2)
    assert_same(first.weights, again.weights)
    assert (first.loss, first.update, first.updates) == (again.loss, again.update, again.updates)


def test_nothing_to_resume_is_a_start(tmp_path: Path) -> None:
    assert_same(tiny_run(tmp_path / "a", resume=True, steps=3).weights, tiny_run(tmp_path / "b", steps=3).weights)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    tiny_run(tmp_path, steps=2)
    with pytest.raises(FolderError, match="there is a run in it"):
        tiny_run(tmp_path, steps=2)


@pytest.mark.parametrize("change", [{"batch_tokens": 50}, {"seed": 12}])
def test_another_plan_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    tiny_run(tmp_path, steps=2)
    with pytest.raises(FolderError, match=next(iter(change))):
        tiny_run(tmp_path, resume=True, steps=4, **change)


def test_an_unknown_score_is_refused_at_the_first_validation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validate_by 'blue'"):
        tiny_run(tmp_path, steps=5, validate_by="blue")


def test_the_events_tell_the_run(tmp_path: Path) -> None:
    tiny_run(tmp_path, steps=6, validate_every=3)
    start = events(tmp_path, "start")[0]
    assert {"time", "parameters", "precision", "threads", "world", "seed"} <= start.keys()
    updates = events(tmp_path, "update")
    assert [update["update"] for update in updates] == [1, 3, 6]
    wanted = {"epoch", "loss", "learning_rate", "gradient_norm", "tokens_per_second", "elapsed", "progress"}
    assert all(wanted <= update.keys() for update in updates)
    validations = events(tmp_path, "validation")
    assert [(event["update"], event["scores"].keys()) for event in validations] == [(3, {"right"}), (6, {"right"})]
    assert [event["update"] for event in events(tmp_path, "checkpoint")] == [3, 6]
    assert events(tmp_path, "end")[0]["reason"] == "steps"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes by 10 ms whenever somebody asks for it: budgets are tested, not this machine."""
    ticks = itertools.count(10_000)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks) / 100)


def budget_run(folder: Path, budget: float, spent: float = 0.0, resume: bool = False) -> tuple[Result, float]:
    began = time.monotonic()
    options = tiny_options(budget=budget)
    result = train(TinyTask(), TinyModel(), options, folder, started=began - spent, reserve=0.2, resume=resume)
    return result, time.monotonic() - began + spent


@pytest.mark.usefixtures("clock")
def test_a_budget_is_kept(tmp_path: Path) -> None:
    result, took = budget_run(tmp_path, 1.5, spent=0.3)
    assert took <= 1.5
    assert took > 0.9, "and the rest is used"
    assert result.reason == "budget"
    rates = [event["learning_rate"] for event in events(tmp_path, "update")]
    assert rates[-1] < 0.05 * max(rates), "the rate is annealed to the end"


@pytest.mark.usefixtures("clock")
def test_a_resumed_budget_has_the_time_it_had_left(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(Interrupting(2, signal.SIGINT), TinyModel(), tiny_options(budget=1.5), tmp_path, reserve=0.2)
    newest = Checkpoints(tmp_path).newest(print)
    assert newest is not None
    left = 1.5 - newest.facts["training"]["elapsed"]
    assert 0.3 < left < 1.5
    result, took = budget_run(tmp_path, 1.5, resume=True)
    assert left - 0.7 < took <= left
    assert result.elapsed <= 1.3


def test_a_budget_that_is_gone_before_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow more time"):
        budget_run(tmp_path, 5.0, spent=4.9)
