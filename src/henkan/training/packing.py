"""Whether a run learns from packed batches, and whether by compiled kernels: decided once, from what there is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from henkan.data.example import Example
from henkan.data.packing import Packing, packed_shape
from henkan.data.plan import Shards
from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.grouped import GroupedAttention, GroupedSourceAttention
from henkan.nn.multihead import SelfAttention, SourceAttention
from henkan.nn.varlen import LARGEST_HEAD, kernel_serves
from henkan.objectives.base import Learner
from henkan.tasks.base import PackingTask, Task
from henkan.tensors import Batch
from henkan.training import distributed
from henkan.training.compiled import CompiledPacked
from henkan.training.options import TrainingConfig


def choose_packing(
    task: Task,
    model: nn.Module,
    options: TrainingConfig,
    device: torch.device,
    precision: torch.dtype,
    lengths: Shards,
) -> Packing | None:
    """How examples are packed into rows, or None where batches are padded.

    Raises:
        ConfigError: packed rows are asked for, and this model or this device cannot have them; or a sentence of
            ``lengths`` is longer than a row.
    """
    hindrance = _hindrance(task, model, options, device, precision)
    if options.packed is True and hindrance is not None:
        raise ConfigError(f"training.packed: {hindrance}; set training.packed: auto")
    if options.packed is False or hindrance is not None or (options.packed == "auto" and device.type == "cpu"):
        return None
    rows = distributed.world() * options.accumulation
    return Packing(packed_shape(lengths, options.batch_tokens // rows), rows)


def collation(task: Task, packing: Packing | None) -> Callable[[list[Example]], Batch]:
    """What makes a batch of examples."""
    if packing is None:
        return task.collate
    assert isinstance(task, PackingTask)
    return partial(task.pack, shape=packing.shape)


def learning(learner: Learner, options: TrainingConfig, device: torch.device, packing: Packing | None) -> Learner:
    """What learns: the learner, or the same with a compiled model around the same weights.

    Raises:
        ConfigError: compiling is asked for where it is no use.
    """
    serves = packing is not None and device.type != "cpu"
    if options.compile is True and not serves:
        raise ConfigError(
            "training.compile: a GPU and packed batches are needed (on a processor compiled training was slower); "
            "set training.compile: auto"
        )
    if options.compile is False or not serves:
        return learner
    assert isinstance(learner.model, EncoderDecoder)
    return Learner(CompiledPacked(learner.model), learner.objective, learner.feeding)


def _hindrance(
    task: Task, model: nn.Module, options: TrainingConfig, device: torch.device, precision: torch.dtype
) -> str | None:
    """Why packed rows are out of the question, or None."""
    if not isinstance(task, PackingTask):
        return "this task has only padded batches"
    if not (isinstance(model, EncoderDecoder) and model.packs):
        return "of this model some part reads one sentence a row"
    if options.scheduled_sampling is not None:
        return "scheduled sampling reads one sentence a row"
    kinds = (SelfAttention, SourceAttention, GroupedAttention, GroupedSourceAttention)
    found = [
        (part.output.in_features // part.heads, part.dropout) for part in model.modules() if isinstance(part, kinds)
    ]
    if device.type != "cpu" and not all(kernel_serves(device, precision, *each) for each in found):
        return (
            f"the kernel for packed rows takes bf16, heads of a multiple of 8 up to {LARGEST_HEAD}, and no "
            "attention_dropout"
        )
    return None
