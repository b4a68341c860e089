"""What a model that learnt from text alone does with a line: fills its masks, goes on with it, or writes it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.sequences import Sequenced, collate_next, collate_sequences, padded
from henkan.decode.greedy import greedy_search
from henkan.decode.stepper import ModelStepper
from henkan.tasks.base import Cut
from henkan.tasks.pretraining import paired
from henkan.tensors import Batch, Tokens
from henkan.text.normalise import normalise
from henkan.text.tokenizer import MASK, Tokenizer

ROWS = 32
"""Lines at a time."""

MOST_WRITTEN = 256
"""Tokens that a line is gone on with, at most; a model of a thousand places would write a page to every line."""


class Filling:
    """A masked language model over lines in which ``<mask>`` stands for hidden tokens; a tab stands between two texts.

    Args:
        longest: tokens of a line, marks included; what is more is cut off.
    """

    def __init__(self, network: nn.Module, tokenizer: Tokenizer, longest: int) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.longest = longest
        self.cut = Cut(longest)

    def predict(self, lines: Sequence[str]) -> list[str]:
        """Each line with its masks filled, each by the likeliest token."""
        rows, marks = self._read(lines), self.tokenizer.marks
        filled = []
        for row, log_probs in zip(rows, self._log_probs(rows), strict=True):
            ids = np.where(row.ids == marks.mask, log_probs.argmax(-1).numpy(), row.ids)
            assert row.segments is not None
            own = (row.ids != marks.start) & (row.ids != marks.end)
            texts = [ids[own & (row.segments == number)].tolist() for number in range(row.segments[-1] + 1)]
            filled.append("\t".join(self.tokenizer.decode(texts)))
        return filled

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probabilities of a line's own tokens, each where it stands, added up; outputs do not matter."""
        rows = self._read(lines)
        return [
            float(log_probs.gather(1, torch.from_numpy(row.ids)[:, None]).sum())
            for row, log_probs in zip(rows, self._log_probs(rows), strict=True)
        ]

    def _read(self, lines: Sequence[str]) -> list[Sequenced]:
        rows = []
        for line in lines:
            first, tab, second = normalise(line).partition("\t")
            ids, more = self._ids(first), self._ids(second) if tab else None
            tokens = len(ids) + (0 if more is None else len(more))
            room = self.longest - 2
            if more is not None:  # the longer one loses its end
                room = self.longest - self.tokenizer.marks.around_pair
                more = more[: max(room // 2, room - len(ids))]
            self.cut.count(tokens > room)
            both = paired(ids[: room - (0 if more is None else len(more))], more, self.tokenizer.marks)
            rows.append(Sequenced(0, *both))
        return rows

    def _ids(self, text: str) -> np.ndarray:
        marks = self.tokenizer.marks
        parts = self.tokenizer.encode_parts([part.rstrip() for part in text.split(MASK)])
        ids = list(parts[0])
        for part in parts[1:]:
            ids += [marks.unknown if marks.mask is None else marks.mask, *part]
        return np.array(ids, dtype=np.int64)

    def _log_probs(self, rows: Sequence[Sequenced]) -> list[Tensor]:
        """(S, V) for each row, float32."""
        device = next(self.network.parameters()).device
        found: list[Tensor] = []
        with torch.inference_mode():
            for first in range(0, len(rows), ROWS):
                some = rows[first : first + ROWS]
                batch = collate_sequences(some, self.tokenizer.marks.pad).to(device)
                logits = self.network(batch).heads["tokens"].logits().float().log_softmax(-1).cpu()
                found += [values[: len(row.ids)] for values, row in zip(logits, some, strict=True)]
        return found


class Continuing:
    """A language model over lines.

    Args:
        longest: tokens of a line and what follows, at most; of a line that leaves no room for more, its end is read.
    """

    def __init__(self, network: nn.Module, tokenizer: Tokenizer, longest: int) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.longest = longest
        self._prompt = longest * 3 // 4
        self.cut = Cut(longest, f"their last {self._prompt:,}")
        self._stepper = ModelStepper(network, tokenizer.size)  # type: ignore[arg-type]

    def predict(self, lines: Sequence[str]) -> list[str]:
        """Each line with its likeliest continuation, token by token."""
        marks = self.tokenizer.marks
        found: list[str] = []
        for first in range(0, len(lines), ROWS):
            read = self._read(lines[first : first + ROWS])
            rows = [self._end(row) for row in read]
            ids, mask = padded([np.concatenate([[marks.start], row]) for row in rows], marks.pad)
            prefix = Tokens(torch.from_numpy(ids), torch.from_numpy(mask))
            limits = (self.longest - prefix.mask.sum(1)).clamp(1, MOST_WRITTEN)
            state = self._stepper.start(None, len(rows), prefix.ids.shape[1] + int(limits.max()) + 1)
            best = greedy_search(self._stepper, state, prefix, limits, None)
            whole = [[*row.tolist(), *hypothesis.tokens] for row, hypothesis in zip(read, best, strict=True)]
            found += self.tokenizer.decode(whole)
        return found

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of each line, in nats, of a long one that of its beginning; outputs do not matter."""
        marks, room = self.tokenizer.marks, self.longest - 1
        batches = (collate_next([Sequenced(0, row[:room])], marks.pad, marks.start) for row in self._read(lines))
        return [_log_prob(self.network, batch) for batch in batches]

    def _read(self, lines: Sequence[str]) -> list[np.ndarray]:
        rows = self.tokenizer.encode([normalise(line) for line in lines])
        return [np.array(row, dtype=np.int64) for row in rows]

    def _end(self, row: np.ndarray) -> np.ndarray:
        """What is gone on from: the line, or so much of its end that there is room for some more."""
        too_long = len(row) >= self.longest  # START stands before it
        self.cut.count(too_long)
        return row[-self._prompt :] if too_long else row


class Writing:
    """An encoder and a decoder that learnt to undo noise: a line in, what they make of it out.

    Args:
        longest: tokens of a line, and of what is written, at most.
    """

    def __init__(self, network: nn.Module, tokenizer: Tokenizer, longest: int) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.longest = longest
        self.cut = Cut(longest)
        self._stepper = ModelStepper(network, tokenizer.size)  # type: ignore[arg-type]

    def predict(self, lines: Sequence[str]) -> list[str]:
        """What is written for each line, sentinels and masks as they are written in the vocabulary."""
        marks = self.tokenizer.marks
        found: list[str] = []
        for first in range(0, len(lines), ROWS):
            source = self._read(lines[first : first + ROWS])
            rows = len(source.ids)
            prefix = Tokens(torch.full((rows, 1), marks.start), torch.ones(rows, 1, dtype=torch.bool))
            state = self._stepper.start(source, rows, self.longest + 1)
            best = greedy_search(self._stepper, state, prefix, torch.full((rows,), self.longest), None)
            found += self.tokenizer.decode([hypothesis.tokens for hypothesis in best])
        return found

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of writing each line as it is, in nats; outputs do not matter."""
        marks = self.tokenizer.marks
        found: list[float] = []
        for line in lines:
            source = self._read([line])
            batch = collate_next([Sequenced(0, source.ids[0].numpy())], marks.pad, marks.start)
            found.append(_log_prob(self.network, replace(batch, source=source)))
        return found

    def _read(self, lines: Sequence[str]) -> Tokens:
        marks = self.tokenizer.marks
        rows = self.tokenizer.encode([normalise(line) for line in lines])
        for row in rows:
            self.cut.count(len(row) >= self.longest)
        ids, mask = padded([np.array([*row[: self.longest - 1], marks.end]) for row in rows], marks.pad)
        return Tokens(torch.from_numpy(ids), torch.from_numpy(mask))


def _log_prob(network: nn.Module, batch: Batch) -> float:
    """Of the targets of a batch of one row, in nats."""
    with torch.inference_mode():
        scores = network(batch).heads["tokens"]
        return float(scores.loss(batch.labels["tokens"])[1].sum())
