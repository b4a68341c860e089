"""The training loop, top to bottom. Each step is a method with that name in session.py or update.py."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from torch import nn

from henkan.data.loader import prefetch
from henkan.training.options import TrainingConfig
from henkan.training.session import Result, Session
from henkan.training.signals import StopSignals
from henkan.training.update import fetch

if TYPE_CHECKING:
    from henkan.tasks.base import Task

__all__ = ["Result", "train"]


def train(
    task: Task,
    model: nn.Module,
    options: TrainingConfig,
    folder: Path,
    *,
    started: float | None = None,
    reserve: float = 0.0,
    resume: bool = False,
    console: Console | None = None,
) -> Result:
    """Train ``model`` until the options say stop, and leave the best weights by validation in it, in float32.

    Args:
        folder: the run folder; gets checkpoints/, events.jsonl and best.json.
        started: when the budget began to run, on time.monotonic's clock; None: now.
        reserve: seconds of the budget that the caller needs after this returns.
        resume: go on from the newest intact checkpoint in the folder, if there is one.

    Raises:
        Stopped: Ctrl-C or SIGTERM came; a checkpoint was written after the update that was running.
        NonFiniteLoss: the loss or gradient became NaN or infinite; the last checkpoint is intact.
        StorageError: the disk is full; the last checkpoint is intact.
        FolderError: there is a run in the folder and resume is false, or its checkpoints cannot be used.
        ConfigError: the budget is too short to train at all, or ``validate_by`` names no score of the task.
    """
    with StopSignals() as signals:
        session = Session(task, model, options, folder, started, reserve, resume, console)
        updater, state = session.updater, session.state
        place = (state.epoch, state.window, state.number)
        upcoming = prefetch(fetch(task, session.plan, options, *place, updater.device, session.packing))
        with session.recording(), closing(upcoming):
            verdict = session.begin()
            while not verdict.finished and not session.out_of_patience():
                work = next(upcoming)
                outcome = updater.learn(work, state.moment)
                state.advance(work.windows, work.window_size, work.tokens)
                verdict = session.judge(signals.received)
                session.report(outcome, verdict)
                if verdict.validate:
                    session.validate()
                if verdict.save:
                    session.save(verdict.scheduled)
                if verdict.signal is not None:
                    raise session.stopped(verdict.signal)
            return session.finish()
