"""One recurrent layer, forward and backward: our paths beside torch's own layers, side by side in one process.

    python benchmarks/cells.py [--rounds 7] [--threads 2] [--size 512] [--batch 64] [--steps 30]

Everything alternates round by round, and what is printed are medians of the paired ratios: absolute times drift with
the machine, ratios do not. "plain" is the eager cell, step by step (the specification); "fast" is what a layer uses.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from henkan.nn.cells import Cell, GRUCell, LayerNormLSTMCell, LSTMCell, MinimalGRUCell, ResetAfterGRUCell, RNNCell
from henkan.nn.recurrent import run, run_plain

CELLS: dict[str, Callable[[int], Cell]] = {
    "lstm": lambda size: LSTMCell(size, size),
    "lstm-1997": lambda size: LSTMCell(size, size, "none"),
    "lstm-peephole": lambda size: LSTMCell(size, size, "gate", peephole=True),
    "lstm-coupled": lambda size: LSTMCell(size, size, "coupled"),
    "lstm-layer-norm": lambda size: LayerNormLSTMCell(size, size),
    "gru, reset before": lambda size: GRUCell(size, size),
    "gru, reset after": lambda size: ResetAfterGRUCell(size, size),
    "min-gru": lambda size: MinimalGRUCell(size, size),
    "rnn": lambda size: RNNCell(size, size),
}
LIBRARY = {"lstm": nn.LSTM, "gru": nn.GRU, "min": nn.GRU, "rnn": nn.RNN}
"""What torch has to set beside a cell, by the first part of its name."""


def step(forward: Callable[[Tensor], Tensor], module: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """One forward and backward pass."""

    def once() -> None:
        module.zero_grad()
        inputs.grad = None
        outputs = forward(inputs)
        outputs.backward(torch.ones_like(outputs))

    return once


def seconds(work: Callable[[], None], times: int) -> float:
    """For one call, on average."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Speed of recurrent layers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cells", default=None, help="comma-separated with /; all by default")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    chosen = options.cells.split("/") if options.cells else list(CELLS)
    print(
        f"torch {torch.__version__}, {options.threads} threads, layer of {options.size}, batch {options.batch}, ",
        end="",
    )
    print(f"{options.steps} steps; load before: {os.getloadavg()[0]:.2f}")
    print(f"{'cell':20} {'type':5} {'fast, ms':>9} {'torch / fast':>13} {'plain / fast':>13}   torch's layer")
    for name in chosen:
        for dtype in (torch.bfloat16, torch.float32):
            report(name, dtype, options)


def report(name: str, dtype: torch.dtype, options: argparse.Namespace) -> None:
    """One row of the table."""
    torch.manual_seed(1)
    cell = CELLS[name](options.size)
    assert isinstance(cell, nn.Module)
    cell.to(dtype)
    library = LIBRARY[name.replace(",", "-").split("-")[0]](options.size, options.size, batch_first=True).to(dtype)
    inputs = torch.randn(options.batch, options.steps, options.size).to(dtype).requires_grad_()
    mask = torch.ones(options.batch, options.steps, dtype=torch.bool)
    works = [
        step(lambda x: run(cell, x, mask, cell.start(options.batch))[0], cell, inputs),
        step(lambda x: library(x)[0], library, inputs),
        step(lambda x: run_plain(cell, x, mask, cell.start(options.batch))[0], cell, inputs),
    ]
    for work in works:
        seconds(work, 2)
    rounds = [[seconds(work, options.times) for work in works] for _ in range(options.rounds)]
    fast = statistics.median(row[0] for row in rounds)
    ratios = [statistics.median(row[index] / row[0] for row in rounds) for index in (1, 2)]
    kind = "bf16" if dtype == torch.bfloat16 else "fp32"
    print(f"{name:20} {kind:5} {fast * 1e3:9.1f} {ratios[0]:13.2f} {ratios[1]:13.2f}   {type(library).__name__}")


if __name__ == "__main__":
    main()
