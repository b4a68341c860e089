"""The same training on a Ray cluster: ``pip install 'henkan[ray]'``.

    from henkan.on_ray import train

    model = train("recipe.yaml", output="/shared/runs/mine", workers=8, gpus=True, restarts=3)

Each worker calls :func:`henkan.train` as it is; Ray starts them, joins them as torchrun does, and starts them again
when a machine is lost. So the weights are those of as many processes of torchrun, to rounding. Worth it where a
scheduler, machines that may be taken away, or a cluster that grows are given; on one machine torchrun is simpler.

Every path of the recipe, and ``output``, must mean the same files on all machines: a shared disk. A path that is not
absolute starts at the folder where :func:`train` is called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import henkan
from henkan.errors import ConfigError, HenkanError, ProcessLost
from henkan.model import Model, load
from henkan.training import distributed


def train(
    recipe: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    output: str | Path,
    workers: int,
    gpus: bool = False,
    cores: int = 1,
    restarts: int = 0,
    resume: bool = False,
) -> Model:
    """Train a model on a cluster and return the best one; a cluster of this machine where none is connected.

    Args:
        recipe, overrides, output, resume: as in :func:`henkan.train`.
        workers: processes that train together.
        gpus: give each worker a GPU.
        cores: processor cores of a worker, which computes with as many threads.
        restarts: how often Ray may replace lost workers; all go on from the newest checkpoint.

    Raises:
        ConfigError: Ray is not installed, or a number is too small.
        ProcessLost: workers were lost more often than ``restarts``; checkpoints are intact, see ``resume``.
        HenkanError: whatever :func:`henkan.train` raises in a worker.
    """
    for name, count, least in (("workers", workers, 1), ("cores", cores, 1), ("restarts", restarts, 0)):
        if count < least:
            raise ConfigError(f"{name} {count}: expected at least {least}")
    try:
        from ray import train as ray_train
        from ray.train import torch as ray_torch
    except ImportError:
        raise ConfigError("Ray is not installed: pip install 'henkan[ray]'") from None

    folder = Path(output).absolute()
    name = time.strftime("%Y%m%d-%H%M%S")
    call = {
        "here": os.getcwd(),
        "began": str(folder / "ray" / name / "began"),
        "resume": resume,
        "arguments": {"recipe": recipe, "overrides": list(overrides), "output": str(folder)},
    }
    trainer = ray_torch.TorchTrainer(
        _work,
        train_loop_config=call,
        torch_config=ray_torch.TorchConfig(
            backend="cpu:gloo,cuda:nccl" if gpus else "gloo", timeout_s=int(distributed.PATIENCE.total_seconds())
        ),
        scaling_config=ray_train.ScalingConfig(
            num_workers=workers, use_gpu=gpus, resources_per_worker={"CPU": cores, **({"GPU": 1} if gpus else {})}
        ),
        run_config=ray_train.RunConfig(
            name=name,
            storage_path=str(folder / "ray"),
            failure_config=ray_train.FailureConfig(max_failures=restarts),
        ),
    )
    try:
        trainer.fit()
    except ray_train.TrainingFailedError as error:
        raise _cause(error) from error
    return load(folder)


def _work(call: dict[str, Any]) -> None:
    """What every worker does; rank 0 knows whether it is the first time."""
    os.chdir(call["here"])
    began = Path(call["began"])
    again = distributed.broadcast_object(began.exists())
    if distributed.rank() == 0:
        began.parent.mkdir(parents=True, exist_ok=True)
        began.touch()
    henkan.train(**call["arguments"], resume=call["resume"] or again)


def _cause(error: Exception) -> HenkanError:
    """Why the first worker failed, or that one was lost: the others may only know that it was."""
    failures = [failure for _, failure in sorted(getattr(error, "worker_failures", {}).items())]
    ours = [failure for failure in failures if isinstance(failure, HenkanError)]
    reasons = [failure for failure in ours if not isinstance(failure, ProcessLost)]
    lost = ProcessLost(f"training on Ray failed: {error}; go on with it by resume=True")
    return (reasons or ours or [lost])[0]
