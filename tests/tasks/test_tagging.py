"""Words with labels: reading, cutting into subwords and parts, and the order of what comes back; no trained model."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.tagged import TaggedColumns, TaggedWords, read_tagged
from henkan.errors import DataError
from henkan.tasks.tagging import Tagger, Tagging, WordReader
from henkan.tensors import IGNORE, Output
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

TEXT = ["ab abc abcd", "ba bac", "dab cab"]
KINDS = ["bpe", "unigram", "wordpiece", "word", "character"]


def tokenizer(kind="character"):
    return learn(TokenizerConfig(kind=kind, vocabulary=24), TEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_has_its_first_subword(kind):
    reader = WordReader(tokenizer(kind), 40)
    words = ["abc", "zzz", "ab", "bac"]
    (part,) = reader.read([words])
    whole = reader.tokenizer.encode([" ".join(words)])[0]
    marks = reader.tokenizer.marks
    assert part.ids.tolist() == [marks.start, *whole, marks.end]
    assert len(part.firsts) == 4
    assert (np.diff(part.firsts) > 0).all()
    cuts = [*part.firsts[1:], len(part.ids) - 1]
    found = reader.tokenizer.decode([part.ids[a:b].tolist() for a, b in zip(part.firsts, cuts, strict=True)])
    assert [text.strip() for place, text in enumerate(found) if place != 1] == ["abc", "ab", "bac"]


def test_a_word_of_which_nothing_is_left_is_unknown():
    reader = WordReader(tokenizer("bpe"), 40)
    (part,) = reader.read([["ab", "", "ba"]])
    assert part.ids[part.firsts[1]] == reader.tokenizer.marks.unknown
    assert len(part.firsts) == 3


def test_long_sentences_are_read_in_parts_of_whole_words():
    reader = WordReader(tokenizer(), 10)  # room for 8 characters; a space goes with the word before it
    parts = reader.read([["ab", "abc", "abcd"], [], ["a" * 20, "b"]])
    assert [(part.sentence, part.word, len(part.firsts), len(part.ids)) for part in parts] == [
        (0, 0, 2, 9),
        (0, 2, 1, 6),
        (2, 0, 1, 10),
        (2, 1, 1, 3),
    ]


class SaysTheLetter(nn.Module):
    """Label k for the k-th of the first letters; every other token gets another label."""

    def __init__(self, letters):
        super().__init__()
        self.letters = letters
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        ids = batch.source.ids
        number = torch.full_like(ids, len(self.letters))
        for place, letter in enumerate(self.letters):
            number[ids == letter] = place
        return Output({"labels": 9.0 * nn.functional.one_hot(number, len(self.letters) + 1).float()})


def test_labels_stand_at_first_subwords_and_come_back_in_order():
    reader = WordReader(tokenizer(), 10)
    model = SaysTheLetter(reader.tokenizer.encode(["ab"])[0])
    labels = ["A", "B", "other"]
    sentences = [
        TaggedWords(("ab", "ba", "dab", "abcd"), ("A", "B", "other", "A"), 1),
        TaggedWords(("d",), ("A",), 6),
        TaggedWords(("bb", "a"), ("B", "A"), 8),
    ]
    task = Tagging({"valid": sentences}, reader, labels, ["word-accuracy"])
    assert task.evaluate(model, "valid") == {"word-accuracy": pytest.approx(100 * 6 / 7)}
    assert task.lengths("valid")[0].source.tolist() == [8, 10, 3, 6]
    examples = [task.example("valid", number, np.random.default_rng(0)) for number in range(4)]
    batch = task.collate(examples)
    assert batch.labels["labels"].shape == batch.source.ids.shape
    assert batch.units == {"labels": 7}
    assert batch.labels["labels"][1].tolist() == [IGNORE, 2, *[IGNORE] * 3, 0, *[IGNORE] * 4]
    assert [task.place("valid", number) for number in range(4)] == ["line 1", "line 1", "line 6", "line 8"]
    loss = task.objective(model(batch), batch)["labels"]
    assert loss == pytest.approx(6 * np.log1p(2 * np.exp(-9)) + 9 + np.log1p(2 * np.exp(-9)), rel=1e-5)
    (scores, none) = Tagger(model, reader, labels).log_probs([["ba"], []])
    assert scores.exp().sum() == pytest.approx(1.0)
    assert none.shape == (0, 3)


def test_files(tmp_path):
    conll, lines = tmp_path / "a.conll", tmp_path / "a.jsonl"
    conll.write_text("-DOCSTART- -X- O\n\nAda NNP B-PER\nsang VBD O\n\n\n# O\n")
    lines.write_text(json.dumps({"words": ["Ada", "sang"], "labels": ["B-PER", "O"]}) + "\n")
    ada = TaggedWords(("Ada", "sang"), ("B-PER", "O"), 3)
    assert list(read_tagged(conll, TaggedColumns())) == [ada, TaggedWords(("#",), ("O",), 7)]
    assert next(read_tagged(lines, TaggedColumns())) == TaggedWords(ada.words, ada.labels, 1)
    assert next(read_tagged(conll, TaggedColumns(label=1))).labels == ("NNP", "VBD")
    conll.write_text("a b\tX\n")
    with pytest.raises(DataError, match=r"line 1 of .*: word 'a b' is empty or holds a space"):
        list(read_tagged(conll, TaggedColumns()))
    conll.write_text("a\tX\nb\n")
    with pytest.raises(DataError, match=r"line 2 of .*: 1 columns"):
        list(read_tagged(conll, TaggedColumns()))
    lines.write_text('{"words": ["a"], "labels": []}\n')
    with pytest.raises(DataError, match="1 words and 0 labels"):
        list(read_tagged(lines, TaggedColumns()))
