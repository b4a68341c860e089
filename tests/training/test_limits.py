"""How long runs are, on a clock that the tests turn."""

from __future__ import annotations

from tiny_run import tiny_options

from henkan.training.limits import BudgetLimit, EpochsLimit, StepsLimit
from henkan.training.state import Best, TrainingState


def test_steps() -> None:
    limit = StepsLimit(40, None)
    states = [TrainingState(update=update) for update in range(1, 41)]
    due = [state.update for state in states if limit.validation_due(state)]
    assert len(due) in range(10, 21)
    assert due[-1] == 40, "the last validation is at the end, not just before it"
    assert limit.progress(states[9]) == 0.25
    assert limit.progress(states[39]) == 1.0
    assert [update for update in range(1, 12) if StepsLimit(11, 4).validation_due(TrainingState(update=update))] == [
        4,
        8,
    ]


def test_epochs() -> None:
    limit = EpochsLimit(4, 100, None)
    state = TrainingState(epoch=1, number=50, window_size=100)
    assert limit.progress(state) == 1.5 / 4
    assert limit.progress(TrainingState(epoch=4)) == 1.0
    assert sum(limit.validation_due(TrainingState(update=update)) for update in range(1, 401)) in range(10, 21)


def simulate(budget: float, *, begun: float, update: float, validation: float, saving: float) -> dict[str, float]:
    """A run whose every act takes the given seconds."""
    state = TrainingState(elapsed=begun, begun=begun, validated_at=begun)
    limit = BudgetLimit(tiny_options(budget=budget), reserve=2.0)
    validations, spent, progress = 0, 0.0, [limit.progress(state)]
    while progress[-1] < 1.0:
        state.advance(1, 10, 1)
        state.elapsed += update
        progress.append(limit.progress(state))
        assert progress[-1] >= progress[-2], "progress never falls"
        state.progress = progress[-1]
        if progress[-1] < 1.0 and limit.validation_due(state):
            validations += 1
            state.validation_seconds = [*state.validation_seconds, validation][-2:]
            state.saving_seconds = [*state.saving_seconds, saving][-2:]
            state.elapsed += validation
            state.validated_at = state.elapsed
            state.elapsed += saving
            spent += validation + saving
    return {"validations": validations, "spent": spent, "ended": state.elapsed + validation + 2 * saving + 2.0}


def test_a_budget_is_kept_whatever_things_take() -> None:
    for validation in (0.5, 2.0, 8.0, 20.0):
        for update in (0.1, 1.0):
            run = simulate(600, begun=15.0, update=update, validation=validation, saving=0.3)
            assert run["ended"] <= 600, run
            assert run["ended"] > 600 - 3 * validation - 20, f"time is left unused: {run}"
            assert run["spent"] <= 0.08 * 600 + validation, run


def test_quick_validations_come_ten_to_twenty_times() -> None:
    run = simulate(600, begun=15.0, update=0.2, validation=1.0, saving=0.3)
    assert 10 <= run["validations"] <= 20


def test_a_state_survives_json() -> None:
    state = TrainingState(update=3, best=Best(2, 1.5, {"bleu": 20.0}), validation_seconds=[0.5])
    assert TrainingState.from_json(state.to_json()) == state


def test_the_place_in_the_epochs() -> None:
    state = TrainingState()
    places = []
    for size in (2, 2, 3, 3, 3):
        state.advance(1, size, 10)
        places.append((state.update, state.epoch, state.number, state.moment.epoch))
    assert places == [(1, 0, 1, 0.5), (2, 1, 0, 1.0), (3, 1, 1, 1 + 1 / 3), (4, 1, 2, 1 + 2 / 3), (5, 2, 0, 2.0)]
    assert state.tokens == 50


def test_the_place_in_the_windows_of_an_epoch() -> None:
    state = TrainingState()
    places = []
    for size in (2, 2, 1, 3, 3):  # the second epoch has windows of 3 updates
        state.advance(2, size, 10)
        places.append((state.epoch, state.window, state.number, state.moment.epoch))
    assert places == [(0, 0, 1, 0.25), (0, 1, 0, 0.5), (1, 0, 0, 1.0), (1, 0, 1, 1 + 1 / 6), (1, 0, 2, 1 + 2 / 6)]


def test_a_state_from_before_there_were_windows() -> None:
    state = TrainingState(update=7, epoch=1, number=3, window_size=4)
    values = state.to_json()
    values["epoch_size"] = values.pop("window_size")
    del values["windows"], values["window"]
    assert TrainingState.from_json(values) == state
