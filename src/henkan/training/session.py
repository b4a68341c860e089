"""A run while it trains: what its parts are, and what happens at its start, around its updates and at its end."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn

from henkan.data.plan import Plan, Shards
from henkan.errors import ConfigError, FolderError, NonFiniteLoss, ProcessLost, Stopped
from henkan.objectives.base import Learner
from henkan.progress import describe
from henkan.training import distributed, tuning, update, validation
from henkan.training.checkpoint import Checkpoint, Checkpoints, average, storage, write_json
from henkan.training.limits import BudgetLimit, Clock, EpochsLimit, Limit, StepsLimit
from henkan.training.log import Log, RunLog, SilentLog
from henkan.training.meter import Meter
from henkan.training.optim import fill
from henkan.training.options import TrainingConfig
from henkan.training.packing import choose_packing, learning
from henkan.training.precision import DTYPES, choose_precision
from henkan.training.state import Best, TrainingState
from henkan.training.update import Outcome, Updater
from henkan.training.validation import Validator, is_better

if TYPE_CHECKING:
    from henkan.tasks.base import Task

SAFETY_SECONDS = 600.0
"""With checkpoint_every: auto no more than this can be lost, however rare validations are."""


@dataclass(frozen=True)
class Verdict:
    """What rank 0 decided after an update."""

    finished: bool
    progress: float
    validate: bool
    save: bool
    scheduled: bool  # the options name this update, so an unbroken run has this checkpoint too
    signal: int | None


@dataclass(frozen=True)
class Result:
    """What training came to."""

    weights: dict[str, Tensor]  # of the model, float32 on the processor, a tied parameter once; persistent buffers too
    update: int  # the update they are of, or the last of the averaged ones
    loss: float  # on the validation split, nats per unit
    scores: dict[str, float]  # on the validation split
    averaged: int  # how many checkpoints they are the mean of; 0: they are those of one
    updates: int  # done in all
    tokens: int  # real target tokens trained on
    elapsed: float  # seconds on the run's clock
    reason: str  # why training ended: steps, epochs, budget or patience
    precision: str


class Session:
    """One process's part in a run."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        options: TrainingConfig,
        folder: Path,
        started: float | None,
        reserve: float,
        resume: bool,
        console: Console | None,
    ) -> None:
        self._model = model
        self._options = options
        self._folder = folder
        self._console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
        self._checkpoints = Checkpoints(folder)
        self._resumed = self._find_checkpoint(resume)
        self._saved = -1 if self._resumed is None else self._resumed.update

        device = distributed.local_device()
        self.precision = self._choose_precision(device)
        tuning.prepare_for(model, options)
        self._learner = Learner(model, task.objective, options.feeding()).to(device).train()
        place = partial(task.place, update.SPLIT)
        lengths = task.lengths(update.SPLIT)
        self.packing = choose_packing(task, model, options, device, DTYPES[self.precision], lengths)
        compiled = learning(self._learner, options, device, self.packing)
        self.updater = Updater(self._learner, options, DTYPES[self.precision], device, place, compiled)

        cut = None if self.packing is None else self.packing.cut
        self.plan = Plan(lengths, options.seed, options.batch_tokens, cut=cut)
        valid = Plan(task.lengths(validation.SPLIT), options.seed, options.batch_tokens)
        self._validator = Validator(task, valid, options.seed, device)
        self._plan_facts = {
            "seed": options.seed,
            "batch_tokens": options.batch_tokens,
            "examples": fingerprint(lengths),
            "windows": self.plan.windows,
            "rows": "padded" if self.packing is None else str(self.packing),
        }

        self.state = TrainingState()
        if self._resumed is not None:
            self._restore(self._resumed)
        self._clock = Clock(started, self.state.elapsed)
        self._saved_at = self.state.elapsed
        self._limit = self._make_limit(reserve)
        self._meter = Meter()
        self.log: Log = SilentLog()
        if distributed.rank() == 0:
            with storage(folder):
                folder.mkdir(parents=True, exist_ok=True)
            self._checkpoints.tidy(max(self._saved, 0))
            self.log = RunLog(folder / "events.jsonl", self.state.update, self._console)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep the log open; a loss that is not finite is recorded there, and told with what can be gone back to."""
        with self.log:
            try:
                yield
            except (NonFiniteLoss, ProcessLost) as error:
                self._end("non-finite loss" if isinstance(error, NonFiniteLoss) else "process lost")
                kept = self._checkpoints.path(self._saved) if self._saved >= 0 else None
                where = f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"
                raise type(error)(f"{error}; {where}") from error

    def begin(self) -> Verdict:
        """Say what begins, and decide whether there is anything left to do."""
        state, environment = self.state, self._environment()
        if self._resumed is None:
            state.elapsed = state.begun = state.validated_at = self._clock.elapsed()
            self.log.event("start", {"time": time.time(), "parameters": self.updater.weights.count, **environment})
        else:
            path = str(self._resumed.path)
            self.log.event("resume", {"time": time.time(), "update": state.update, "path": path, **environment})
            self.log.say(f"going on from {path}")
            for name, before in self._resumed.facts["environment"].items():
                if (now := environment.get(name)) != before:
                    self.log.say(f"{name} was {before}, now {now}: results are equal to rounding only")
        verdict = self.judge(None)
        if verdict.finished and self._resumed is None:
            raise ConfigError(
                f"budget {describe(self._options.budget or 0)}: {describe(state.elapsed)} have gone into preparing, "
                "and the rest is needed for validating and saving; allow more time"
            )
        return verdict

    def judge(self, signal: int | None) -> Verdict:
        """Decide what happens after the update just done; rank 0 does, and the others hear."""
        state, every = self.state, self._options.checkpoint_every
        state.elapsed = self._clock.elapsed()
        progress = self._limit.progress(state)
        finished = progress >= 1.0
        validate = not finished and self._limit.validation_due(state)  # the end validates anyway
        scheduled = finished or validate or (every != "auto" and state.update % every == 0)
        overdue = every == "auto" and state.elapsed - self._saved_at > SAFETY_SECONDS
        save = signal is not None or (not finished and (scheduled or overdue))
        decided = Verdict(finished, progress, validate, save, scheduled, signal)
        verdict = Verdict(**distributed.broadcast_object(asdict(decided)))
        state.progress = verdict.progress
        return verdict

    def report(self, outcome: Outcome, verdict: Verdict) -> None:
        """Now and then fetch loss and speed from the device, write them down and show them."""
        self._meter.add(outcome)
        if not (self._meter.due() or verdict.validate or verdict.finished):
            return
        self.updater.check()
        state, values = self.state, self._meter.report()
        epoch = state.moment.epoch
        self.log.event(
            "update",
            {"update": state.update, "epoch": epoch, **values, "elapsed": state.elapsed, "progress": state.progress},
        )
        left = (state.elapsed - state.begun) * (1 / state.progress - 1) if state.progress > 0 else 0.0
        self.log.progress(
            state.progress,
            f"update {state.update:,}, epoch {epoch:.1f}, loss {values['loss']:.3f}, "
            f"{values['tokens_per_second']:,.0f} tokens/s, rate {values['learning_rate']:.2g}, {describe(left)} left",
        )

    def validate(self) -> None:
        """Measure the weights as they are now; remember whether they are the best so far."""
        state, began = self.state, time.monotonic()
        found = self._measure(None if self.updater.ema is None else self.updater.ema.flat)
        better = is_better(self._options.validate_by, found, state.best)
        state.best, state.stale = (found, 0) if better else (state.best, state.stale + 1)
        state.validation_seconds = [*state.validation_seconds, time.monotonic() - began][-2:]
        state.validated, state.validated_at = state.update, self._clock.elapsed()
        self._tell_validation(found, better, "")

    def save(self, scheduled: bool) -> None:
        """Write a checkpoint of this update, then remove those that are no longer wanted."""
        self.updater.check()
        state, updater, began = self.state, self.updater, time.monotonic()
        optimiser = updater.optimiser.tensors()  # of all ranks
        if distributed.rank() == 0:
            files = {"masters": updater.weights.named(updater.weights.flat), "optimiser": optimiser}
            if updater.ema is not None:
                files["ema"] = updater.weights.named(updater.ema.flat)
            if buffers := persistent_buffers(self._learner):
                files["buffers"] = buffers
            facts = {
                "training": state.to_json(),
                "plan": self._plan_facts,
                "precision": self.precision,
                "environment": self._environment(),
            }
            path = self._checkpoints.write(state.update, files, facts, scheduled)
            best = state.best
            if best is not None:
                self._write_best(best, 0)
            self._checkpoints.prune(self._options.keep, self._options.average, None if best is None else best.update)
            self.log.event("checkpoint", {"update": state.update, "path": str(path), "elapsed": self._clock.elapsed()})
        self._saved, self._saved_at = state.update, self._clock.elapsed()
        state.saving_seconds = [*state.saving_seconds, time.monotonic() - began][-2:]
        self._meter.rest()

    def out_of_patience(self) -> bool:
        """Have there been too many validations without a new best?"""
        return self._options.patience is not None and self.state.stale >= self._options.patience

    def finish(self) -> Result:
        """Judge the last weights, then the average of the last checkpoints; leave the best in the model."""
        state = self.state
        if state.validated != state.update:
            self.validate()
        if self._saved != state.update:
            self.save(scheduled=True)
        distributed.barrier()  # the checkpoints read below are rank 0's
        assert state.best is not None
        best = self._checkpoints.open(state.best.update)
        named, judged, averaged = best.weights(), state.best, 0
        recent = self._checkpoints.scheduled(self._options.average)
        if len(recent) > 1:
            mean = average(recent)
            found = self._measure(self._flat(mean))
            better = is_better(self._options.validate_by, found, judged)
            self._tell_validation(found, better, f"mean of {len(recent)} checkpoints, ")
            if better:
                named, judged, averaged = mean, found, len(recent)
        self.updater.weights.release(self._flat(named))
        buffers = best.tensors("buffers") if best.has("buffers") else {}
        self._learner.load_state_dict(buffers, strict=False)
        tuning.finished(self._model, self._options)
        state.elapsed = self._clock.elapsed()
        if distributed.rank() == 0:
            self._write_best(judged, averaged)
        reason = self._reason()
        self._end(reason)
        return Result(
            all_weights(self._model),
            judged.update,
            judged.loss,
            judged.scores,
            averaged,
            state.update,
            state.tokens,
            state.elapsed,
            reason,
            self.precision,
        )

    def stopped(self, signal: int) -> Stopped:
        """The error that ends a run which was asked to stop; the checkpoint has been written."""
        self._end("stopped")
        return Stopped(
            f"{'Ctrl-C' if signal == 2 else f'signal {signal}'} after update {self.state.update}: "
            f"saved {self._checkpoints.path(self._saved)}; go on with: "
            f"henkan train --output {shlex.quote(str(self._folder))} --resume",
            signal,
        )

    def _find_checkpoint(self, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from. Every rank reads the one that rank 0 chose: the folder is on a shared disk."""
        if not resume:
            if distributed.rank() == 0 and self._checkpoints.updates():
                raise FolderError(f"{self._folder}: there is a run in it; go on with --resume, or name another folder")
            return None
        newest = self._checkpoints.newest(self._say) if distributed.rank() == 0 else None
        chosen = distributed.broadcast_object(None if newest is None else newest.update)
        return None if chosen is None else self._checkpoints.open(chosen)

    def _choose_precision(self, device: torch.device) -> str:
        """As the options say; auto: as before if the run was resumed, else as measured by rank 0."""
        if self._options.precision != "auto":
            return self._options.precision
        if self._resumed is not None:
            return str(self._resumed.facts["precision"])
        precision, reason = choose_precision(device)
        self._say(f"precision {precision}: {reason}")
        return str(distributed.broadcast_object(precision))

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take everything from a checkpoint; FolderError if it was made from other data, settings or another model."""
        for name, before in checkpoint.facts["plan"].items():
            if self._plan_facts[name] != before:
                raise FolderError(
                    f"{checkpoint.path}: made with {name} {before}, now {self._plan_facts[name]}: a run goes on with "
                    "what it began with; restore that, or start in another folder"
                )
        place = str(checkpoint.path)
        weights, ema = self.updater.weights, self.updater.ema
        weights.load(checkpoint.tensors("masters"), place)
        self.updater.optimiser.load(checkpoint.tensors("optimiser"), place)
        if ema is not None:
            fill(weights.named(ema.flat), checkpoint.weights(), place)
        if checkpoint.has("buffers"):
            self._learner.load_state_dict(checkpoint.tensors("buffers"), strict=False)
        try:
            self.state = TrainingState.from_json(checkpoint.facts["training"])
        except (KeyError, TypeError) as error:
            raise FolderError(f"{place}/state.json: not the state of a run ({error})") from error

    def _make_limit(self, reserve: float) -> Limit:
        every = None if self._options.validate_every == "auto" else self._options.validate_every
        if self._options.steps is not None:
            return StepsLimit(self._options.steps, every)
        if self._options.epochs is not None:
            return EpochsLimit(self._options.epochs, self.plan.updates(0, 0) * self.plan.windows, every)
        return BudgetLimit(self._options, reserve)

    def _measure(self, flat: Tensor | None) -> Best:
        """Loss and scores on the validation split, of the masters or of other weights laid out like them."""
        if flat is None:
            return self._validator.measure(self._learner, self.state.update)
        with self.updater.weights.using(flat):
            return self._validator.measure(self._learner, self.state.update)

    def _flat(self, named: Mapping[str, Tensor]) -> Tensor:
        """Weights by name, laid out like the masters."""
        flat = torch.zeros_like(self.updater.weights.flat)
        fill(self.updater.weights.named(flat), named, str(self._checkpoints.folder))
        return flat

    def _tell_validation(self, found: Best, better: bool, what: str) -> None:
        event = {"update": self.state.update, "loss": found.loss, "scores": found.scores, "best": better}
        self.log.event("validation", {**event, "elapsed": self._clock.elapsed()})
        scores = "".join(f", {name} {value:.4g}" for name, value in found.scores.items())
        best = " (best so far)" if better else ""
        self.log.say(f"validation, {what}update {found.update:,}: loss {found.loss:.4f}{scores}{best}")

    def _write_best(self, best: Best, averaged: int) -> None:
        """best.json: the validation of the best weights, and their checkpoint, or the last of those averaged."""
        path = str(self._checkpoints.path(best.update).relative_to(self._folder))
        write_json(self._folder / "best.json", {**asdict(best), "path": path, "averaged": averaged})

    def _reason(self) -> str:
        if self.out_of_patience():
            return "patience"
        return next(name for name in ("steps", "epochs", "budget") if getattr(self._options, name) is not None)

    def _end(self, reason: str) -> None:
        best = self.state.best
        values = {"reason": reason, "update": self.state.update, "elapsed": self._clock.elapsed()}
        self.log.event("end", {**values, "best_update": None if best is None else best.update})

    def _environment(self) -> dict[str, Any]:
        """What bit-exactness depends on, beside the checkpoint itself."""
        return {
            "precision": self.precision,
            "seed": self._options.seed,
            "world": distributed.world(),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "processor": torch.backends.cpu.get_cpu_capability(),
        }

    def _say(self, text: str) -> None:
        """A line before there is a log."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def fingerprint(lengths: Shards) -> str:
    """Tells corpora apart by number and lengths of their examples, however they are cut into shards."""
    digest, count = hashlib.sha256(), 0
    for side in ("source", "target"):
        for number in range(len(lengths)):
            part = getattr(lengths[number], side)
            digest.update(part.astype("<i8").tobytes())
            count += len(part)
    return f"{count // 2} ({digest.hexdigest()[:16]})"


def persistent_buffers(module: nn.Module) -> dict[str, Tensor]:
    """What a module's state holds beside its parameters."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {name: value for name, value in module.state_dict().items() if name not in parameters}


def all_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies on the processor of parameters, a tied one once, and of persistent buffers."""
    found = {**dict(model.named_parameters()), **persistent_buffers(model)}
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in found.items()}
