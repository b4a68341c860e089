"""Learning rates over a run.

A schedule gives the factor by which the optimiser's learning rate, its highest, is multiplied. It is a pure function of
where the run is, so a resumed run needs no schedule state, and a run with a time budget anneals by the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from henkan.config import Config


@dataclass(frozen=True)
class Moment:
    """Where a run is just before an update."""

    update: int  # updates done
    progress: float  # share of the run that is over, 0 to 1: of its updates, its epochs, or its time
    epoch: float  # epochs done, with the fraction


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ConstantSchedule(Config):
    """The same rate throughout, after an optional warm-up."""

    kind: Literal["constant"] = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0  # updates

    def factor(self, moment: Moment) -> float:
        """In (0, 1]."""
        return _rise(moment.update, self.warmup)


class InverseSquareRootSchedule(Config):
    """Linear warm-up, then proportional to 1 / sqrt(update) (Vaswani et al. 2017, equation 3).

    The paper's peak is (width * warmup) ** -0.5; here the peak is the optimiser's learning rate.
    """

    kind: Literal["inverse_square_root"] = "inverse_square_root"
    warmup: Annotated[int, Field(ge=1)] = 4000  # updates

    def factor(self, moment: Moment) -> float:
        """In (0, 1], 1 at the end of the warm-up."""
        number = moment.update + 1
        return min(number / self.warmup, math.sqrt(self.warmup / number))


class CosineSchedule(Config):
    """Warm-up, then half a cosine down to ``floor`` at the end of the run (Loshchilov & Hutter 2017, no restarts)."""

    kind: Literal["cosine"] = "cosine"
    warmup: Annotated[int, Field(ge=0)] = 400  # updates, but at most a tenth of the run
    floor: Share = 0.0

    def factor(self, moment: Moment) -> float:
        """In [floor, 1], apart from the warm-up."""
        wave = (1 + math.cos(math.pi * min(moment.progress, 1.0))) / 2
        return _early_rise(moment, self.warmup) * (self.floor + (1 - self.floor) * wave)


class TrapezoidSchedule(Config):
    """Warm-up, flat, then linear to zero over the last ``decay`` of the run (Zhai et al. 2022; Hägele et al. 2024)."""

    kind: Literal["trapezoid"] = "trapezoid"
    warmup: Annotated[int, Field(ge=0)] = 400  # updates, but at most a tenth of the run
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4  # share of the run

    def factor(self, moment: Moment) -> float:
        """In [0, 1]."""
        fall = min(1.0, max(0.0, (1.0 - moment.progress) / self.decay))
        return _early_rise(moment, self.warmup) * fall


class HalvingSchedule(Config):
    """Constant for ``after`` epochs, then halved at once and again every ``every`` epochs (Sutskever et al. 2014)."""

    kind: Literal["halving"] = "halving"
    after: Annotated[float, Field(ge=0.0)] = 5.0  # epochs
    every: Annotated[float, Field(gt=0.0)] = 0.5  # epochs

    def factor(self, moment: Moment) -> float:
        """A power of one half."""
        if moment.epoch < self.after:
            return 1.0
        return 0.5 ** (1 + math.floor((moment.epoch - self.after) / self.every))


Schedule = Annotated[
    ConstantSchedule | InverseSquareRootSchedule | CosineSchedule | TrapezoidSchedule | HalvingSchedule,
    Field(discriminator="kind"),
]


def _rise(update: int, warmup: int) -> float:
    return min(1.0, (update + 1) / warmup) if warmup else 1.0


def _early_rise(moment: Moment, warmup: int) -> float:
    """Full after ``warmup`` updates or a tenth of the run, whichever comes first: short runs get to learn too."""
    return max(_rise(moment.update, warmup), min(1.0, moment.progress / 0.1))
