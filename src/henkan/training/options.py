"""TrainingConfig: all that can be set about training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from henkan.config import Config, Duration
from henkan.nn.lora import LowRankConfig
from henkan.objectives.feeding import Feeding, ScheduledSamplingConfig, TeacherForcing
from henkan.training.optim import AdamWConfig, Optimiser
from henkan.training.schedule import Schedule, TrapezoidSchedule

Count = Annotated[int, Field(ge=1)]


class TrainingConfig(Config):
    """How long, in which portions and by which rule a model learns. Exactly one of steps, epochs and budget is set."""

    steps: Count | None = None  # updates
    epochs: Count | None = None
    budget: Duration | None = None  # from the start of the process to the finished model folder

    batch_tokens: Annotated[int, Field(ge=1, le=100_000_000)] = 4096  # padded size of an update, over all processes
    accumulation: Annotated[int, Field(ge=1, le=4096)] = 1  # micro-batches of an update, in each process
    optimiser: Optimiser = AdamWConfig()
    schedule: Schedule = TrapezoidSchedule()
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] | None = None  # each layer's rate is this times the next one's
    unfreeze_every: Count | None = None  # updates; then one more layer learns, from the heads down
    frozen: tuple[Annotated[str, Field(min_length=1)], ...] = ()  # beginnings of names: encoder.embedding
    lora: LowRankConfig | None = None  # the body learns by low-rank products alone, which end up in its weights
    clip: Annotated[float, Field(gt=0.0)] | None = 1.0  # highest global norm of the gradient
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # of forward and backward; masters are always float32
    packed: bool | Literal["auto"] = "auto"  # sentences end to end in rows of one size; auto: on a GPU, if possible
    compile: bool | Literal["auto"] = "auto"  # packed batches through compiled kernels; auto: on a GPU
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    scheduled_sampling: ScheduledSamplingConfig | None = None  # the decoder reads words of its own now and then

    validate_every: Count | Literal["auto"] = "auto"  # updates; auto: about 15 times, at most 8 % of a budget
    validate_by: Annotated[str, Field(min_length=1)] = "loss"  # what chooses the best: loss, or a score of the task
    patience: Count | None = None  # validations without a new best before stopping early
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None  # decay; the moving average is then the result
    average: Annotated[int, Field(ge=0, le=100)] = 0  # last checkpoints averaged at the end, kept if better
    checkpoint_every: Count | Literal["auto"] = "auto"  # updates; at validations too, and auto: every ten minutes
    keep: Annotated[int, Field(ge=1, le=1000)] = 2  # last checkpoints kept, beside the best

    processes: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"  # on this machine; auto: see team.py
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"  # of each process
    sharded: bool = False  # under torchrun each process keeps the optimiser's state of its part only

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("steps", "epochs", "budget") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"`{name}`" for name in given) or "none"
            raise ValueError(f"exactly one of `steps`, `epochs` and `budget` says how long to train, got {found}")
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema is not None and self.average:
            raise ValueError("`ema` and `average` both average weights over time: set one of them")
        if self.average == 1:
            raise ValueError("`average` 1 averages nothing: set 0, or at least 2")
        return self

    def feeding(self) -> Feeding:
        """What the decoder reads while it learns."""
        return TeacherForcing() if self.scheduled_sampling is None else self.scheduled_sampling.build()
