"""Tasks that can only be solved by remembering: what matters comes first, the question last.

    adding    two of T numbers are marked; their sum is asked for at the end
    copy      symbols, then a delay, then a sign to repeat them

Everything is drawn from a generator: the same seed gives the same sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.cells import Cell
from henkan.nn.recurrent import run


@dataclass(frozen=True)
class Sequences:
    """A batch of one task; all rows have one length."""

    inputs: Tensor  # (N, T, F) float
    targets: Tensor  # (N,) float, or (N, symbols) int64


class LongRangeTask(Protocol):
    """Sequences without end, and how an answer is judged."""

    name: str
    steps: int  # T
    inputs: int  # F
    outputs: int  # width of an answer
    baseline: float  # loss of the best answer that looks at no input

    def draw(self, rows: int, generator: torch.Generator) -> Sequences:
        """Fresh rows."""
        ...

    def losses(self, answers: Tensor, sequences: Sequences) -> Tensor:
        """Answers (N, T, outputs) to the loss of each row, (N,)."""
        ...


class Adding:
    """The adding problem: Hochreiter & Schmidhuber (1997), experiment 4, as in Arjovsky et al. (2016), section 5.2.

    Each step has a number, uniform in [0, 1], and a mark, which is 1 once in the first half and once in the second,
    otherwise 0; the answer at the last step is to be the sum of the two marked numbers. (In 1997: numbers in [-1, 1],
    both marks in the first half, the answer scaled to [0, 1].) Loss: squared error. Always answering 1 costs the
    variance of a sum of two uniform numbers, 1/6.
    """

    def __init__(self, length: int) -> None:
        if length < 2:
            raise ValueError(f"length {length}: the adding problem has two marked numbers, so at least 2")
        self.name = "adding problem"
        self.steps = length
        self.inputs = 2
        self.outputs = 1
        self.baseline = 1 / 6

    def draw(self, rows: int, generator: torch.Generator) -> Sequences:
        """Fresh rows."""
        numbers = torch.rand(rows, self.steps, generator=generator)
        half = self.steps // 2
        early = torch.randint(0, half, (rows, 1), generator=generator)
        late = torch.randint(half, self.steps, (rows, 1), generator=generator)
        marks = torch.zeros_like(numbers).scatter_(1, torch.cat([early, late], 1), 1.0)
        return Sequences(torch.stack([numbers, marks], -1), (numbers * marks).sum(1))

    def losses(self, answers: Tensor, sequences: Sequences) -> Tensor:
        """Squared errors of the answers at the last step, (N,)."""
        return (answers[:, -1, 0] - sequences.targets) ** 2


class Copying:
    """Copy with delay: Arjovsky et al. (2016), section 5.1, after Hochreiter & Schmidhuber (1997).

    ``copied`` symbols out of ``symbols``, ``delay`` - 1 blanks, a sign, and as many blanks as there were symbols; while
    these are read the symbols are to be repeated in order. Inputs are one-hot: symbols, blank, sign. Loss: mean
    cross-entropy of the repeated symbols in nats, chance log(symbols).
    """

    def __init__(self, delay: int, copied: int = 10, symbols: int = 8) -> None:
        if delay < 1:
            raise ValueError(f"delay {delay}: expected at least 1")
        self.name = "copy with delay"
        self.delay = delay
        self.copied = copied
        self.symbols = symbols
        self.steps = delay + 2 * copied
        self.inputs = symbols + 2
        self.outputs = symbols
        self.baseline = math.log(symbols)

    def draw(self, rows: int, generator: torch.Generator) -> Sequences:
        """Fresh rows."""
        chosen = torch.randint(0, self.symbols, (rows, self.copied), generator=generator)
        ids = torch.full((rows, self.steps), self.symbols)
        ids[:, : self.copied] = chosen
        ids[:, self.copied + self.delay - 1] = self.symbols + 1
        return Sequences(functional.one_hot(ids, self.inputs).float(), chosen)

    def losses(self, answers: Tensor, sequences: Sequences) -> Tensor:
        """Mean cross-entropies of the answers at the last steps, (N,)."""
        repeated = answers[:, -self.copied :].transpose(1, 2)
        return functional.cross_entropy(repeated, sequences.targets, reduction="none").mean(1)


class LongRangeNetwork(nn.Module):
    """A cell through time and a linear answer at every step."""

    def __init__(self, cell: Cell, task: LongRangeTask) -> None:
        super().__init__()
        self.cell = cell
        self.answer = nn.Linear(cell.size, task.outputs)
        nn.init.xavier_uniform_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (N, T, F) to answers (N, T, outputs)."""
        mask = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        outputs, _ = run(self.cell, inputs, mask, self.cell.start(inputs.shape[0]))
        return self.answer(outputs)
