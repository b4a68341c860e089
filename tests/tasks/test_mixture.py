"""Mixtures: how often each example comes, what a batch of several tasks is, and losses as if each were alone."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.collate import collate_pairs
from henkan.data.example import Example, Pair
from henkan.data.labelled import LabelledText
from henkan.data.plan import Lengths, Plan
from henkan.data.prefixed import PrefixedPairs
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.objectives.labels import ClassCrossEntropy
from henkan.tasks.classification import Classification, Labels, Reader
from henkan.tasks.mixture import Mixture, tempered
from henkan.tensors import IGNORE, Output
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig


class Counting:
    """Pairs whose source says which task they are of and whose target is their place; in shards of these sizes."""

    def __init__(self, name, *shards):
        self.name, self.shards = name, shards
        self.objective = ClassCrossEntropy("tokens")

    def lengths(self, split):
        firsts = np.cumsum([0, *self.shards])
        return [
            Lengths(np.full(size, 1 + self.name), first + np.arange(size))
            for first, size in zip(firsts, self.shards, strict=False)
        ]

    def example(self, split, index, rng):
        assert 0 <= index < sum(self.shards)
        return Example.of(index, [10] * self.name, [10 + index])

    def place(self, split, index):
        return f"line {index + 1}"

    def collate(self, examples):
        return collate_pairs(examples)

    def evaluate(self, model, split):
        return {"bleu": float(self.name)}


def drawn(mixture, split="train"):
    """(task, place) of every example of an epoch, and that its lengths are those that were planned with."""
    found = []
    shards = mixture.lengths(split)
    for number in range(len(shards)):
        lengths = shards[number]
        for source, target in zip(lengths.source, lengths.target, strict=True):
            example = mixture.example(split, len(found), np.random.default_rng(0))
            assert example.index == len(found)
            assert (len(example.source), example.target[0] - 10) == (source - 1, target)
            found.append((len(example.source), int(example.target[0]) - 10))
    return found


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 2), (0.07, 0.03, 0.5), (1, 1000, 1)])
def test_weights_are_kept_and_nothing_is_left_out(weights):
    tasks = {"a": Counting(1, 40, 23), "b": Counting(2, 7), "c": Counting(3, 5, 1, 11)}
    mixture = Mixture(tasks, weights)
    times = Counter(drawn(mixture))
    shares = np.array([sum(count for (name, _), count in times.items() if name == task) for task in (1, 2, 3)])
    assert np.allclose(shares / shares.sum(), np.array(weights) / sum(weights), atol=1 / shares.sum())
    for task, size in ((1, 63), (2, 7), (3, 17)):
        counts = [times[task, place] for place in range(size)]
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= 1
    assert any(shares == (63, 7, 17))  # no more repetition than the weights ask for
    assert sorted(drawn(mixture, "valid")) == sorted(
        (task, place) for task in (1, 2, 3) for place in range((63, 7, 17)[task - 1])
    )


def test_a_plan_goes_through_it():
    mixture = Mixture({"a": Counting(1, 40), "b": Counting(2, 7)}, [1, 1])
    plan = Plan(mixture.lengths("train"), 1, 60)
    places = np.concatenate([plan.update(0, 0, number).places for number in range(plan.updates(0, 0))])
    assert sorted(places) == list(range(80))


def test_names():
    mixture = Mixture({"de": Counting(1, 4), "fr": Counting(2, 2)}, [2, 1])
    assert mixture.evaluate(None, "valid") == {"de.bleu": 1.0, "fr.bleu": 2.0}
    assert [mixture.place("train", index) for index in (3, 5)] == ["de, line 4", "fr, line 2"]
    with pytest.raises(IndexError, match="example 6 of a mixture of 6"):
        mixture.place("train", 6)
    with pytest.raises(ValueError, match="expected a positive number for each"):
        Mixture({"de": Counting(1, 4)}, [0])
    assert tempered([100, 4], 1) == [100, 4]
    assert tempered([100, 4], 2) == [10, 2]


def test_prefixes():
    pairs = PrefixedPairs([Pair("a b", "c", 4)], "pairs", "translate: ")
    assert [list(pairs), list(pairs)] == [[Pair("translate: a b", "c", 4)]] * 2


class Hidden:
    """Sequences with a label for each token."""

    def __init__(self, pad):
        self.pad = pad
        self.objective = ClassCrossEntropy("tokens")

    def lengths(self, split):
        return [Lengths(np.full(3, 4), np.zeros(3, dtype=np.int64))]

    def example(self, split, index, rng):
        return Sequenced(index, np.array([2, 5 + index, 6, 3]), None, {"tokens": np.array([IGNORE, 1, 2, IGNORE])})

    def place(self, split, index):
        return f"token {index}"

    def collate(self, examples):
        return collate_sequences(examples, self.pad)

    def evaluate(self, model, split):
        return {}


class Numbers(nn.Module):
    """Two heads with some numbers for every row and token."""

    def forward(self, batch):
        ids = batch.source.ids[..., None].float()
        tokens = (ids * torch.tensor([0.1, 0.2, -0.3])).sin()
        return Output({"tokens": tokens, "class": tokens.sum(1)[:, :2]})


def test_heads_of_one_encoder_lose_what_they_would_alone():
    reader = Reader(learn(TokenizerConfig(kind="word", vocabulary=50), ["a b c d e f g"]), 9)
    texts = {
        split: [LabelledText(text, "d", label, 1) for text, label in (("a b c", "x"), ("e", "y"))]
        for split in ("train", "valid")
    }
    classes = Classification(texts, reader, Labels(["x", "y"]), [])
    hidden = Hidden(reader.tokenizer.marks.pad)
    mixture = Mixture({"hidden": hidden, "classes": classes}, [1, 1])
    rng = np.random.default_rng(0)
    batch = mixture.collate([mixture.example("train", index, rng) for index in (3, 0, 4, 2)])
    assert batch.units == {"tokens": 4, "class": 2}
    assert batch.labels["class"].tolist() == [0, IGNORE, 1, IGNORE]
    assert batch.source.segments.shape == batch.source.ids.shape
    assert batch.source.segments[1].tolist() == [0] * 7
    together = mixture.objective(Numbers()(batch), batch)
    for task, places, head in ((hidden, (0, 2), "tokens"), (classes, (0, 1), "class")):
        examples = [task.example("train", place, rng) for place in places]
        if head == "class":  # this head adds up a row, so it must be as long
            examples = [mixture.example("train", 3 + place, rng) for place in places]
        alone = task.collate(examples)
        assert together[head] == pytest.approx(float(task.objective(Numbers()(alone), alone)[head]))


def test_what_cannot_be_left_out_is_refused():
    reader = Reader(learn(TokenizerConfig(kind="word", vocabulary=50), ["a b c d e f g"]), 9)
    numbers = Classification({"train": [LabelledText("a", None, "0.5", 1)]}, reader, Labels([]), [])
    with pytest.raises(ValueError, match="label 'values' cannot be left out"):
        Mixture({"hidden": Hidden(0), "numbers": numbers}, [1, 1])
    with pytest.raises(ValueError, match="examples are Example, Sequenced"):
        Mixture({"hidden": Hidden(0), "pairs": Counting(1, 3)}, [1, 1])
