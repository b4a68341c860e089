"""Counts what torch is asked to do in an update and in a step of a search, and prints it as JSON.

    python tests/guards/counting.py                     with the C++ loops, if there are any
    HENKAN_NATIVE=0 python tests/guards/counting.py     without

`tests/guards/test_operations.py` runs it and compares with `operations.json`; the last lines here say how that is
written anew. C++ loops are called past torch, so nothing of theirs is counted: with them there are fewer operations.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from henkan.config import validate
from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.greedy import greedy_search
from henkan.decode.stepper import ModelStepper
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.inference import for_inference
from henkan.native import library
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.tensors import Tokens
from henkan.text.tokenizer import END, START
from henkan.training.schedule import Moment
from henkan.training.update import Updater, Work

RECORD = Path(__file__).with_name("operations.json")
VOCABULARY, SOURCES, LENGTH = 60, 4, 9
PRESETS = ("transformer-tiny", "luong-2015")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Operations(TorchDispatchMode):
    """While entered, how often each operation is called, views apart, and how many numbers they compute in all."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.numbers = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*arguments, **(keywords or {}))
        if not operation.is_view:
            name = operation.name().removeprefix("aten::").split(".")[0]
            self.calls[name] += 1
            if "empty" not in name:
                given = result if isinstance(result, (list, tuple)) else [result]
                self.numbers += sum(each.numel() for each in given if isinstance(each, torch.Tensor))
        return result


def settings(preset: str) -> RunConfig:
    """Its small size."""
    given = {"preset": preset, "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1000}}
    return validate(RunConfig, with_preset([Layer(given, "guard")], USUAL)[0])


def updates(preset: str, precision: torch.dtype) -> Callable[[], None]:
    """What does one training update at each call, always of the same sentences."""
    config = settings(preset)
    torch.manual_seed(1)
    learner = Learner(config.model.build(VOCABULARY, VOCABULARY), CrossEntropy(0.1)).train()
    updater = Updater(learner, config.training, precision, torch.device("cpu"), str)
    ids = np.arange(4, 4 + LENGTH)
    batch = collate_pairs([Example.of(index, ids[index:], ids[: LENGTH - index]) for index in range(SOURCES)])
    work = Work(0, 1, 1000, np.arange(SOURCES), sum(batch.units.values()), [batch])
    numbers = iter(range(1000))

    def once() -> None:
        updater.learn(work, Moment(next(numbers), 0.3, 1.0))

    return once


def model_for(preset: str) -> EncoderDecoder:
    """Random weights that never say END: its logit is zero, and some other's is larger."""
    torch.manual_seed(1)
    network = settings(preset).model.build(VOCABULARY, VOCABULARY).eval()
    with torch.no_grad():
        network.head.weight[END] = 0
    return network


def search(network: Any, beam: int, limits: list[int]) -> None:
    """Outputs of these lengths."""
    stepper = ModelStepper(network, VOCABULARY)
    ids = torch.arange(4, 4 + LENGTH).expand(len(limits), -1)
    source = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    prefix = Tokens(torch.full((len(limits), 1), START), torch.ones(len(limits), 1, dtype=torch.bool))
    state = stepper.start(source, len(limits), max(limits) + 1)
    options = BeamOptions(beam=beam)
    if beam == 1:
        greedy_search(stepper, state, prefix, torch.tensor(limits), options.penalty)
    else:
        beam_search(stepper, state, prefix, torch.tensor(limits), options)


def counted(work: Callable[[], None]) -> Operations:
    """The operations of one call, made after another: first calls build tables."""
    work()
    with Operations() as operations:
        work()
    return operations


def steps_counted(network: Any, beam: int) -> dict[str, int]:
    """Of ten steps in the middle of a search: a search of 20 steps less one of 10."""
    long = counted(lambda: search(network, beam, [20] * SOURCES)).calls
    short = counted(lambda: search(network, beam, [10] * SOURCES)).calls
    return {name: long[name] - short[name] for name in long if long[name] != short[name]}


def everything() -> Iterator[tuple[str, dict[str, int]]]:
    """A name for what was done, and the calls of each operation."""
    for preset in PRESETS:
        for name, precision in PRECISIONS.items():
            yield f"an update of {preset} in {name}", dict(counted(updates(preset, precision)).calls)
        network = model_for(preset)
        for beam in (1, 4):
            yield f"ten steps of {preset}, beam {beam}", steps_counted(for_inference(network), beam)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = dict(everything())
    which = "plain" if library() is None else "C++"
    if "--record" in sys.argv:
        record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        record[which] = {name: dict(sorted(calls.items())) for name, calls in found.items()}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps({"which": which, "found": found}))
