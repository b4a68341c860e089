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
    windows: int = 1  # in an epoch; one but for large corpora
    window: int = 0  # of the next update, in its epoch
    number: int = 0  # place of the next update in its window
    window_size: int = 1  # updates in that window
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
        epoch = (self.window + self.number / self.window_size) / self.windows
        return Moment(self.update, self.progress, self.epoch + epoch)

    def advance(self, windows: int, window_size: int, tokens: int) -> None:
        """One update is done, of a window with so many, in an epoch with so many windows."""
        self.update += 1
        self.tokens += tokens
        self.windows, self.window_size = windows, window_size
        self.number += 1
        if self.number == window_size:
            self.window, self.number = self.window + 1, 0
        if self.window == windows:
            self.epoch, self.window = self.epoch + 1, 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; KeyError or TypeError if the values are not those of a state."""
        best = values["best"]
        values = {**values, "best": None if best is None else Best(**best)}
        if "epoch_size" in values:  # from before there were windows: an epoch was one
            values["window_size"] = values.pop("epoch_size")
        return cls(**values)
