"""Learning rates against the formulas they are named after."""

from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from henkan.training.schedule import (
    ConstantSchedule,
    CosineSchedule,
    HalvingSchedule,
    InverseSquareRootSchedule,
    Moment,
    Schedule,
    TrapezoidSchedule,
)


def at(update: int = 10**6, progress: float = 0.5, epoch: float = 0.0) -> Moment:
    return Moment(update, progress, epoch)


def test_constant_rises_then_stays() -> None:
    schedule = ConstantSchedule(warmup=4)
    assert [schedule.factor(at(update)) for update in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert ConstantSchedule().factor(at(0)) == 1.0


@pytest.mark.parametrize("update", [0, 10, 3998, 3999, 4000, 100_000])
def test_inverse_square_root_is_the_papers(update: int) -> None:
    width, warmup, step = 512, 4000, update + 1
    paper = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
    peak = (width * warmup) ** -0.5
    assert peak * InverseSquareRootSchedule(warmup=warmup).factor(at(update)) == pytest.approx(paper, rel=1e-12)


def test_cosine_goes_from_one_to_its_floor() -> None:
    schedule = CosineSchedule(warmup=0, floor=0.1)
    factors = [schedule.factor(at(progress=progress)) for progress in (0.0, 0.5, 1.0)]
    assert factors == pytest.approx([1.0, 0.55, 0.1])
    assert schedule.factor(at(progress=1 / 3)) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 3)) / 2)


def test_trapezoid_is_flat_then_falls_to_zero() -> None:
    schedule = TrapezoidSchedule(warmup=0, decay=0.4)
    factors = [schedule.factor(at(progress=progress)) for progress in (0.0, 0.3, 0.6, 0.8, 1.0, 1.2)]
    assert factors == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.0, 0.0])


def test_warm_up_takes_a_tenth_of_a_short_run() -> None:
    schedule = TrapezoidSchedule(warmup=400)
    assert schedule.factor(at(update=9, progress=0.05)) == pytest.approx(0.5), "by the clock"
    assert schedule.factor(at(update=199, progress=0.001)) == pytest.approx(0.5), "by updates"
    assert schedule.factor(at(update=20, progress=0.2)) == 1.0


def test_halving_is_sutskevers() -> None:
    schedule = HalvingSchedule()
    epochs = [0.0, 4.99, 5.0, 5.49, 5.5, 6.0, 7.49]
    factors = [schedule.factor(at(epoch=epoch)) for epoch in epochs]
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.25, 0.125, 0.03125]


def test_kind_chooses_among_the_schedules() -> None:
    adapter: TypeAdapter = TypeAdapter(Schedule)
    assert adapter.validate_python({"kind": "halving", "after": 2.0}) == HalvingSchedule(after=2.0)
    with pytest.raises(ValidationError, match="stepwise"):
        adapter.validate_python({"kind": "stepwise"})
