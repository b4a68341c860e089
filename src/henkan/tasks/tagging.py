"""A label for each word of a sentence: named entities, parts of speech (Devlin et al. 2019, section 5.3).

Words are joined by spaces and cut into subwords; the first subword of a word bears its label, the others have none. A
sentence that does not fit is read in parts of whole words, so every word gets a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.plan import Lengths, Shards
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.data.tagged import TaggedWords
from henkan.metrics import TAG_MEASURES
from henkan.objectives.base import Objective
from henkan.objectives.labels import ClassCrossEntropy
from henkan.tasks.pretraining import paired
from henkan.tensors import IGNORE, Batch, Output
from henkan.text.tokenizer import Tokenizer

HEAD = "labels"
ROWS = 64
"""Parts of sentences that are labelled together."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """START some words of a sentence END."""

    sentence: int  # place in the split
    word: int  # place of its first word in the sentence
    ids: np.ndarray  # (S,)
    segments: np.ndarray  # (S,) all 0
    firsts: np.ndarray  # (words,) positions of the first subword of each


class WordReader:
    """Sentences to what the encoder reads.

    Args:
        longest: tokens of a part, marks included; a single word that is longer loses its end.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int) -> None:
        self.tokenizer = tokenizer
        self.longest = longest

    def read(self, sentences: Sequence[Sequence[str]]) -> list[Part]:
        """All parts, sentence after sentence."""
        room = self.longest - 2
        parts = []
        for number, words in enumerate(self._subwords(sentences)):
            pieces = [ids[:room] for ids in words]
            start, size = 0, 0
            for word, ids in enumerate(pieces):
                if size + len(ids) > room:
                    parts.append(self._part(number, start, pieces[start:word]))
                    start, size = word, 0
                size += len(ids)
            if pieces:
                parts.append(self._part(number, start, pieces[start:]))
        return parts

    def _part(self, sentence: int, word: int, pieces: Sequence[np.ndarray]) -> Part:
        ids, segments = paired(np.concatenate(pieces), None, self.tokenizer.marks)
        firsts = 1 + np.cumsum([0, *(len(piece) for piece in pieces[:-1])])
        return Part(sentence, word, ids, segments, firsts)

    def _subwords(self, sentences: Sequence[Sequence[str]]) -> list[list[np.ndarray]]:
        """The ids of each word, at least one.

        The sentence is cut as a whole, for in some vocabularies a word is written otherwise without a space before it.
        A token is of the word that its last character is in: it may begin with the space before, and one that is
        nothing but a space goes with the word in front of it.
        """
        unknown = np.array([self.tokenizer.marks.unknown])
        found = []
        cut = self.tokenizer.encode_with_places([" ".join(words) for words in sentences])
        for words, (ids, places) in zip(sentences, cut, strict=True):
            starts = np.cumsum([0, *(len(word) + 1 for word in words)])
            owner = np.searchsorted(starts, places[:, 1] - 1, side="right") - 1
            cuts = np.searchsorted(np.maximum(owner, 0), np.arange(1, len(words)))
            pieces = np.split(ids, cuts) if words else []
            found.append([piece if len(piece) else unknown for piece in pieces])
        return found


class Tagging:
    """Sentences with labels, and an objective; see :class:`henkan.tasks.base.Task`. An example is a part of one."""

    def __init__(
        self,
        splits: Mapping[str, Sequence[TaggedWords]],
        reader: WordReader,
        labels: Sequence[str],
        scores: Sequence[str],
    ) -> None:
        self.splits = splits
        self.reader = reader
        self.labels = tuple(labels)
        self.scores = scores
        self.objective: Objective = ClassCrossEntropy(HEAD)
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._parts = {
            split: reader.read([sentence.words for sentence in sentences]) for split, sentences in splits.items()
        }

    def lengths(self, split: str) -> Shards:
        """Of the parts, marks included."""
        sizes = np.array([len(part.ids) for part in self._parts[split]], dtype=np.int64)
        return [Lengths(sizes, np.zeros_like(sizes))]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Sequenced:
        """As it is."""
        part = self._parts[split][index]
        right = self.splits[split][part.sentence].labels[part.word : part.word + len(part.firsts)]
        labels = np.full(len(part.ids), IGNORE, dtype=np.int64)
        labels[part.firsts] = [self._numbers[label] for label in right]
        return Sequenced(index, part.ids, part.segments, {HEAD: labels})

    def place(self, split: str, index: int) -> str:
        """The line of its first word, or of the sentence."""
        return f"line {self.splits[split][self._parts[split][index].sentence].line}"

    def collate(self, examples: list[Sequenced]) -> Batch:
        """Padded."""
        return collate_sequences(examples, self.reader.tokenizer.marks.pad)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Scores over all words of the split."""
        words = [sentence.words for sentence in self.splits[split]]
        return self._score(Tagger(model, self.reader, self.labels).predict(words), split)

    def answers(self, output: Output, batch: Batch, split: str) -> list[list[str]]:
        """The likeliest label of each word of each part."""
        found = output.heads[HEAD]
        assert isinstance(found, Tensor)
        best, parts = found.argmax(-1).tolist(), (self._parts[split][place] for place in batch.index.tolist())
        return [
            [self.labels[row[first]] for first in part.firsts.tolist()] for row, part in zip(best, parts, strict=True)
        ]

    def judge(self, answers: Sequence[Sequence[str]], split: str) -> dict[str, float]:
        """Of the parts put together."""
        given: list[list[str]] = [[] for _ in self.splits[split]]
        for part, labels in zip(self._parts[split], answers, strict=True):
            given[part.sentence] += labels
        return self._score(given, split)

    def _score(self, given: Sequence[Sequence[str]], split: str) -> dict[str, float]:
        """Of labels of whole sentences."""
        lines, right = [" ".join(labels) for labels in given], [[" ".join(it.labels)] for it in self.splits[split]]
        return {name: TAG_MEASURES[name](lines, right).value() for name in self.scores}


class Tagger:
    """A trained model as a function from words to labels."""

    def __init__(self, network: nn.Module, reader: WordReader, labels: Sequence[str]) -> None:
        self.network = network
        self.reader = reader
        self.labels = tuple(labels)

    def log_probs(self, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
        """(words, C) log-probabilities of the labels of each word, float32."""
        parts = self.reader.read(sentences)
        order = sorted(range(len(parts)), key=lambda place: len(parts[place].ids))
        device = next(self.network.parameters()).device
        found = [torch.empty(len(words), len(self.labels)) for words in sentences]
        with torch.inference_mode():
            for first in range(0, len(order), ROWS):
                chosen = [parts[place] for place in order[first : first + ROWS]]
                rows = [Sequenced(0, part.ids, part.segments) for part in chosen]
                batch = collate_sequences(rows, self.reader.tokenizer.marks.pad).to(device)
                scores = self.network(batch).heads[HEAD].float().log_softmax(-1).cpu()
                for part, values in zip(chosen, scores, strict=True):
                    words = values[torch.from_numpy(part.firsts)]
                    found[part.sentence][part.word : part.word + len(part.firsts)] = words
        return found

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The likeliest label of each word."""
        return [[self.labels[best] for best in scores.argmax(-1).tolist()] for scores in self.log_probs(sentences)]
