"""Where a run is: everything, beside tensors, that is needed to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from henkan.training.schedule import Moment


@dataclass(frozen=True)
class Best:
    """The validation that was best so far."""

    update: int
    loss: float
    scores: dict[str, float]


@dataclass
class TrainingState:
    """Saved as JSON in every checkpoint. No generator state: all chance is derived from the seed and these numbers."""

    update: int = 0  # updates done
    epoch: int = 0  # of the next update
    number: int = 0  # place of the next update in its epoch
    epoch_size: int = 1  # updates in that epoch
    tokens: int = 0  # real target tokens trained on
    progress: float = 0.0  # share of the run that is over

    elapsed: float = 0.0  # seconds on the run's clock, which stands still between a stop and its resumption
    begun: float = 0.0  # the same at the first update
    validated: int = -1  # update of the last validation
    validated_at: float = 0.0  # seconds
    best: Best | None = None
    stale: int = 0  # validations since the best
    validation_seconds: list[float] = field(default_factory=list)  # of the last two, loss and scores
    saving_seconds: list[float] = field(default_factory=list)  # of the last two checkpoints

    @property
    def moment(self) -> Moment:
        """What learning rates depend on."""
        return Moment(self.update, self.progress, self.epoch + self.number / self.epoch_size)

    def advance(self, epoch_size: int, tokens: int) -> None:
        """One update is done, of an epoch with so many."""
        self.update += 1
        self.tokens += tokens
        self.number, self.epoch_size = self.number + 1, epoch_size
        if self.number == epoch_size:
            self.epoch, self.number = self.epoch + 1, 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; KeyError or TypeError if the values are not those of a state."""
        best = values["best"]
        return cls(**{**values, "best": None if best is None else Best(**best)})
