"""Learning from running text alone: noise that is undone, or the next token told.

What is learnt is a matter of data: a :class:`Reading` turns a stretch of text into an example, drawn from
(seed, epoch, example). The model and the loss are those of any other task.

    masked       some tokens hidden, and told from both sides                       BERT, RoBERTa
    next         every token told from those before                                 GPT
    prefix       the second part of a text told from the first                      prefix language model
    spans        spans replaced by sentinels, and written out                       T5
    denoising    text spoilt in several ways, and written as it was                 BART
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from henkan.data import noise
from henkan.data.collate import collate_pairs
from henkan.data.documents import Documents
from henkan.data.example import Example
from henkan.data.passages import Passages, SentencePairs
from henkan.data.plan import Lengths, Shards
from henkan.data.sequences import Sequenced, collate_next, collate_sequences
from henkan.metrics import Score
from henkan.objectives.base import Objective
from henkan.tensors import IGNORE, Batch
from henkan.text.marks import Marks
from henkan.text.words import Words


class Reading(Protocol):
    """How stretches of one text become examples."""

    def lengths(self) -> Lengths:
        """Of every example as the model sees it."""
        ...

    def example(self, index: int, rng: np.random.Generator) -> Any:
        """One of them; all chance comes from ``rng``."""
        ...

    def collate(self, examples: Sequence[Any]) -> Batch:
        """Several of them."""
        ...

    def place(self, index: int) -> int:
        """The first token of an example in the text."""
        ...


class _Stretches:
    """What readings of single stretches have in common."""

    def __init__(self, documents: Documents, passages: Passages, marks: Marks) -> None:
        self.documents = documents
        self.passages = passages
        self.marks = marks

    def place(self, index: int) -> int:
        """The first token of an example in the text."""
        return int(self.passages.starts[index])

    def _ids(self, index: int) -> np.ndarray:
        return self.documents.tokens[self.passages.starts[index] : self.passages.ends[index]].astype(np.int64)

    def _sizes(self) -> np.ndarray:
        return self.passages.ends - self.passages.starts


class Masked(_Stretches):
    """START, a passage, END; some of it masked. Dynamic: another mask each time (RoBERTa); static: the same (BERT).

    Args:
        masks: how many masks each example gets, one epoch after another; 0: a new one each time.
        words: whole words are masked, as it finds them; None: token by token.
    """

    def __init__(
        self,
        documents: Documents,
        passages: Passages,
        marks: Marks,
        share: float,
        masks: int,
        words: Words | None = None,
    ) -> None:
        super().__init__(documents, passages, marks)
        self.masking = Masking(marks, share, masks, words)

    def lengths(self) -> Lengths:
        """With both marks."""
        return Lengths(self._sizes() + 2, np.zeros(len(self.passages), dtype=np.int64))

    def example(self, index: int, rng: np.random.Generator) -> Sequenced:
        """One passage."""
        ids = np.concatenate([[self.marks.start], self._ids(index), [self.marks.end]])
        noisy, labels = self.masking.apply(ids, index, rng)
        return Sequenced(index, noisy, None, {"tokens": labels})

    def collate(self, examples: Sequence[Sequenced]) -> Batch:
        """Several."""
        return collate_sequences(examples, self.marks.pad)


class Masking:
    """Which tokens of a sequence are hidden; see :class:`Masked`."""

    def __init__(self, marks: Marks, share: float, masks: int, words: Words | None) -> None:
        if marks.mask is None:
            raise ValueError("masked reading needs a vocabulary with a mask")
        self.mask = marks.mask
        self.ordinary = marks.ordinary
        self.share = share
        self.masks = masks
        self.words = words

    def apply(self, ids: np.ndarray, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What is read, and the labels."""
        if self.masks:  # the generator only says which of the masks: each of them is a function of the example
            rng = np.random.default_rng([index, int(rng.integers(self.masks))])
        candidates = (ids >= self.ordinary.start) & (ids != self.mask)
        words = None if self.words is None else self.words.numbers(ids)
        return noise.mask_tokens(ids, rng, self.mask, self.ordinary, self.share, candidates, words)


class MaskedPairs:
    """START, a stretch, END, another, END: masked, and does the second follow the first? (Devlin et al. 2019)."""

    def __init__(self, documents: Documents, pairs: SentencePairs, masking: Masking, marks: Marks) -> None:
        self.documents = documents
        self.pairs = pairs
        self.masking = masking
        self.marks = marks

    def lengths(self) -> Lengths:
        """With the marks."""
        sizes = sum(side.ends - side.starts for side in (self.pairs.first, self.pairs.second))
        return Lengths(np.asarray(sizes) + self.marks.around_pair, np.zeros(len(self.pairs), dtype=np.int64))

    def example(self, index: int, rng: np.random.Generator) -> Sequenced:
        """One pair; "next" is 0 where the second follows and 1 where it is from elsewhere, as in BERT."""
        first, second = (
            self.documents.tokens[side.starts[index] : side.ends[index]].astype(np.int64)
            for side in (self.pairs.first, self.pairs.second)
        )
        ids, segments = paired(first, second, self.marks)
        noisy, labels = self.masking.apply(ids, index, rng)
        return Sequenced(index, noisy, segments, {"tokens": labels, "next": int(not self.pairs.follows[index])})

    def collate(self, examples: Sequence[Sequenced]) -> Batch:
        """Several."""
        return collate_sequences(examples, self.marks.pad)

    def place(self, index: int) -> int:
        """The first token of an example in the text."""
        return int(self.pairs.first.starts[index])


def paired(first: np.ndarray, second: np.ndarray | None, marks: Marks) -> tuple[np.ndarray, np.ndarray]:
    """START first END, or START first END second END; and their segments. RoBERTa has two END between the texts."""
    if second is None:
        ids = np.concatenate([[marks.start], first, [marks.end]])
        return ids, np.zeros(len(ids), dtype=np.int64)
    ids = np.concatenate([[marks.start], first, [marks.end] * marks.separators, second, [marks.end]])
    segments = np.zeros(len(ids), dtype=np.int64)
    segments[len(first) + 1 + marks.separators :] = 1
    return ids, segments


class Next(_Stretches):
    """Every token from those before it in its block, the first from START; END stands between documents.

    Args:
        prefix: share of a block that is only read: its tokens are not learnt; 0 for a plain language model.
    """

    def __init__(self, documents: Documents, passages: Passages, marks: Marks, prefix: float = 0.0) -> None:
        super().__init__(documents, passages, marks)
        self.prefix = prefix

    def lengths(self) -> Lengths:
        """Of the blocks."""
        return Lengths(np.zeros(len(self.passages), dtype=np.int64), self._sizes())

    def example(self, index: int, rng: np.random.Generator) -> Sequenced:
        """One block."""
        ids = self._ids(index)
        labels = ids.copy()
        if self.prefix:
            labels[: min(round(self.prefix * len(ids)), len(ids) - 1)] = IGNORE
        return Sequenced(index, ids, None, {"tokens": labels})

    def collate(self, examples: Sequence[Sequenced]) -> Batch:
        """Several."""
        return collate_next(examples, self.marks.pad, self.marks.start)


class Spans(_Stretches):
    """A passage with sentinels in place of spans to the spans (Raffel et al. 2020)."""

    def __init__(
        self, documents: Documents, passages: Passages, marks: Marks, share: float, mean_length: float
    ) -> None:
        super().__init__(documents, passages, marks)
        if not marks.sentinels:
            raise ValueError("span corruption needs a vocabulary with sentinels")
        self.share = share
        self.mean_length = mean_length

    def lengths(self) -> Lengths:
        """Upper bounds: kept tokens with a sentinel for each span, and the spans with theirs; END on both."""
        sizes = self._sizes()
        lost = np.maximum(np.ceil(self.share * sizes), 1)
        spans = np.maximum(np.round(lost / self.mean_length), 1)
        return Lengths((sizes - lost + spans + 2).astype(np.int64), (lost + spans + 1).astype(np.int64))

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """One passage; of a single token nothing can be lost, so it is read and written as it is."""
        ids = self._ids(index)
        if len(ids) < 2:
            return Example.of(index, ids.tolist(), ids.tolist())
        source, target = noise.corrupt_spans(ids, rng, self.marks.sentinels, self.share, self.mean_length)
        return Example(index, source.astype(np.int32), target.astype(np.int32))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Several."""
        return collate_pairs(examples)


class Prefixed(_Stretches):
    """The first part of a passage to the second, cut at a place drawn anew each time (Raffel et al. 2020, 3.3.1).

    An encoder reads the prefix, so every token of it sees every other, as a prefix language model wants it.
    """

    def lengths(self) -> Lengths:
        """Upper bounds: either side may be all but one token; END on both."""
        return Lengths(self._sizes() + 1, self._sizes() + 1)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """One passage; a single token is read and written as it is."""
        ids = self._ids(index)
        if len(ids) < 2:
            return Example.of(index, ids.tolist(), ids.tolist())
        cut = int(rng.integers(1, len(ids)))
        return Example(index, ids[:cut].astype(np.int32), ids[cut:].astype(np.int32))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Several."""
        return collate_pairs(examples)


class Denoising(_Stretches):
    """A spoilt passage to the passage itself (Lewis et al. 2020): sentences permuted, spans infilled, tokens deleted.

    Args:
        infill, delete: share of the tokens that a mask with no length stands for, or that are gone.
        permute, rotate: whether the sentences come in another order; whether the text begins elsewhere.
    """

    def __init__(
        self,
        documents: Documents,
        passages: Passages,
        marks: Marks,
        infill: float,
        delete: float,
        permute: bool,
        rotate: bool,
        mean_length: float,
    ) -> None:
        super().__init__(documents, passages, marks)
        if marks.mask is None:
            raise ValueError("denoising needs a vocabulary with a mask")
        self.mask = marks.mask
        self.infill, self.delete, self.mean_length = infill, delete, mean_length
        self.permute, self.rotate = permute, rotate

    def lengths(self) -> Lengths:
        """With END; the spoilt side is never much longer than the other."""
        sizes = self._sizes() + len(self.marks.prefix)
        return Lengths(sizes + 1, sizes + 1)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """One passage."""
        ids = spoilt = self._ids(index)
        if self.permute:
            start, end = self.passages.starts[index], self.passages.ends[index]
            lines = self.documents.lines
            inside = lines[np.searchsorted(lines, start, side="right") : np.searchsorted(lines, end)] - start
            spoilt = noise.permute_sentences(np.split(spoilt, inside), rng)
        if self.rotate:
            spoilt = noise.rotate(spoilt, rng)
        if self.delete:
            spoilt = noise.delete_tokens(spoilt, rng, self.delete)
        if self.infill:
            spoilt = noise.infill(spoilt, rng, self.mask, self.infill, self.mean_length)
        source, target = (np.concatenate([self.marks.prefix, one]) for one in (spoilt, ids))
        return Example(index, source.astype(np.int32), target.astype(np.int32))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Several."""
        return collate_pairs(examples)


def text_scores(network: Any, reading: Reading, objective: Objective, characters: int) -> list[Score]:
    """What a text costs a model: nats for each token that is told, and bits for each character where all are told."""
    sums: dict[str, float] = {}
    units: dict[str, int] = {}
    count = len(reading.lengths())
    objective.eval()
    with torch.inference_mode():
        for first in range(0, count, 16):
            places = range(first, min(first + 16, count))
            batch = reading.collate([reading.example(place, np.random.default_rng(place)) for place in places])
            for name, value in objective(network(batch), batch).items():
                sums[name] = sums.get(name, 0.0) + float(value)
                units[name] = units.get(name, 0) + objective.units(batch)[name]
    losses, tokens = sums["tokens"], max(1, units["tokens"])
    signature = f"tokens:{int(tokens)}|characters:{characters}|version:henkan-1"

    def made(name: str, value: float) -> Score:
        return Score(name, value, signature, None, None, count, higher_is_better=False)

    found = [made("nats per token", losses / tokens), made("perplexity", math.exp(min(losses / tokens, 50.0)))]
    if isinstance(reading, Next) and not reading.prefix:
        found.append(made("bits per character", losses / math.log(2) / max(1, characters)))
    return found


class Pretraining:
    """Readings of the training and the validation text, with an objective; see :class:`henkan.tasks.base.Task`."""

    def __init__(self, readings: Mapping[str, Reading], objective: Objective) -> None:
        self.readings = readings
        self.objective = objective

    def lengths(self, split: str) -> Shards:
        """One shard."""
        return [self.readings[split].lengths()]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Any:
        """With its noise."""
        return self.readings[split].example(index, rng)

    def place(self, split: str, index: int) -> str:
        """The number of its first token in the text."""
        return f"token {self.readings[split].place(index):,}"

    def collate(self, examples: list[Any]) -> Batch:
        """Padded."""
        return self.readings["train"].collate(examples)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """The loss says it all."""
        return {}
