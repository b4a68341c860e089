"""Attention decoders alone, and the whole training step: the fast path beside the same decoder as an eager loop.

    python benchmarks/decoders.py [--rounds 5] [--threads 2] [--batch 64] [--source 16] [--target 18]

Small sizes of the presets, vocabulary 8,000, Multi30k's average lengths rounded up; forward and backward. Everything
alternates round by round in one process; ratios are medians of the paired ratios. "decoder" is everything of
``decoder(target, state)`` behind the embedding; "step" is encoder, decoder, head and loss.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable

import torch

from henkan.config import validate
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.fused import plain_path
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.tensors import Batch, Tokens

VOCABULARY = 8000


def model_of(preset: str, precision: torch.dtype) -> EncoderDecoder:
    """Its small size, ready to train."""
    given = {"preset": preset, "size": "small", "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1}}
    config = validate(RunConfig, with_preset([Layer(given, "benchmark")], USUAL)[0])
    return config.model.build(VOCABULARY, VOCABULARY).to(precision).train()


def batch_of(rows: int, source: int, target: int) -> Batch:
    """Random tokens without padding."""
    sides = [torch.randint(4, VOCABULARY, (rows, length)) for length in (source, target)]
    read, written = (Tokens(ids, torch.ones_like(ids, dtype=torch.bool)) for ids in sides)
    return Batch(torch.arange(rows), read, written, {"tokens": written.ids}, {"tokens": rows * target})


def decoder_alone(model: EncoderDecoder, batch: Batch) -> Callable[[], None]:
    """Decoder forward and backward from a memory that is there."""
    assert batch.source is not None and batch.target is not None
    memory = model.encode(batch.source)
    states = memory.states.detach().requires_grad_()
    final = memory.final
    from henkan.tensors import Memory
    from henkan.tree import map_leaves

    detached = Memory(states, memory.mask, map_leaves(lambda leaf: leaf.detach(), final))
    target = batch.target

    def once() -> None:
        model.zero_grad()
        hidden = model.decoder(target, model.decoder.start(detached, len(target.ids))).hidden
        hidden.backward(torch.ones_like(hidden))

    return once


def whole_step(model: EncoderDecoder, batch: Batch) -> Callable[[], None]:
    """Loss and all gradients."""

    def once() -> None:
        model.zero_grad()
        scores = model(batch).heads["tokens"]
        assert not isinstance(scores, torch.Tensor)
        scores.loss(batch.labels["tokens"], 0.1)[0].backward()

    return once


def seconds(work: Callable[[], None], times: int, plain: bool) -> float:
    """For one call, on average."""
    with plain_path() if plain else contextlib.nullcontext():
        began = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - began) / times


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Speed of attention decoders.")
    parser.add_argument("--presets", default="luong-2015,bahdanau-2015,gnmt-2016")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--source", type=int, default=16)
    parser.add_argument("--target", type=int, default=18)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, batch {options.batch}, ", end="")
    print(f"{options.source} to {options.target} tokens; load before: {os.getloadavg()[0]:.2f}")
    print(f"{'preset':16} {'type':5} {'what':8} {'fast, ms':>9} {'plain, ms':>10} {'plain / fast':>13}   range")
    for preset in options.presets.split(","):
        for precision in (torch.bfloat16, torch.float32):
            torch.manual_seed(1)
            model, batch = model_of(preset, precision), batch_of(options.batch, options.source, options.target)
            for what, make in (("decoder", decoder_alone), ("step", whole_step)):
                report(preset, precision, what, make(model, batch), options)


def report(
    preset: str, precision: torch.dtype, what: str, work: Callable[[], None], options: argparse.Namespace
) -> None:
    """One row of the table."""
    for plain in (False, True):
        seconds(work, 2, plain)
    rounds = [[seconds(work, options.times, plain) for plain in (False, True)] for _ in range(options.rounds)]
    fast, plain = (statistics.median(row[index] for row in rounds) * 1e3 for index in (0, 1))
    ratios = [row[1] / row[0] for row in rounds]
    kind = "bf16" if precision == torch.bfloat16 else "fp32"
    print(
        f"{preset:16} {kind:5} {what:8} {fast:9.1f} {plain:10.1f} {statistics.median(ratios):13.2f}   "
        f"{min(ratios):.2f} to {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
