"""Texts with labels: reading, cutting, and the order of what comes back, without a trained model."""

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.labelled import Columns, LabelledText, as_number, read_labelled
from henkan.errors import DataError
from henkan.tasks.classification import Classification, Labeller, Labels, Reader, _shortened
from henkan.tensors import Output
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig


@pytest.fixture
def reader():
    return Reader(learn(TokenizerConfig(kind="word", vocabulary=50), ["a b c d e f g"]), 9)


def test_pairs_are_cut_where_they_are_longer():
    assert _shortened(3, 4, 10) == (3, 4)
    assert _shortened(10, 2, 8) == (6, 2)
    assert _shortened(2, 10, 8) == (2, 6)
    assert sum(_shortened(9, 8, 6)) == 6
    for first in range(12):
        for second in range(12):
            kept = _shortened(first, second, 7)
            assert 0 <= kept[0] <= first
            assert 0 <= kept[1] <= second
            assert sum(kept) == min(first + second, 7)


def test_what_the_encoder_reads(reader):
    marks = reader.tokenizer.marks
    (ids, segments), (single, _) = reader.read([("a b c d e", "f g"), ("a", None)])
    a, b, c, d, f, g = reader.tokenizer.encode(["a b c d f g"])[0]
    assert ids.tolist() == [marks.start, a, b, c, d, marks.end, f, g, marks.end]
    assert segments.tolist() == [0] * 6 + [1] * 3
    assert single.tolist() == [marks.start, a, marks.end]


class CountsTokens(nn.Module):
    """Class 1 for rows of more than four tokens; the number is the count."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        count = batch.source.mask.sum(1).float()
        return Output({"class": torch.stack([torch.full_like(count, 4.5), count], 1), "values": count[:, None]})


def test_labels_come_back_in_order_and_are_scored(reader):
    texts = [LabelledText("a " * length, None, "long" if length > 2 else "short", length) for length in (5, 1, 3, 2, 4)]
    task = Classification({"valid": texts}, reader, Labels(["short", "long"]), ["accuracy", "matthews"])
    assert task.evaluate(CountsTokens(), "valid") == {"accuracy": 100.0, "matthews": 100.0}
    batch = task.collate([task.example("valid", number, np.random.default_rng(0)) for number in range(5)])
    assert batch.labels["class"].tolist() == [1, 0, 1, 0, 1]
    assert batch.units == {"class": 5}
    assert task.place("valid", 0) == "line 5"


def test_numbers(reader):
    texts = [LabelledText("a " * length, None, str(length + 2), length) for length in (5, 1, 3)]
    task = Classification({"valid": texts}, reader, Labels([]), ["pearson"])
    assert task.evaluate(CountsTokens(), "valid")["pearson"] == pytest.approx(100.0)
    assert Labeller(CountsTokens(), reader, Labels([])).predict([("a b", None)]) == ["4"]
    assert task.collate([task.example("valid", 0, np.random.default_rng(0))]).labels["values"].tolist() == [7.0]


def test_tables_by_place_by_name_and_as_json(tmp_path):
    plain, named, lines = (tmp_path / name for name in ("plain.tsv", "named.tsv", "lines.jsonl"))
    plain.write_text("1\tone\ttwo\n")
    named.write_text("id\ttext\tlabel\n7\tone\t1\n")
    lines.write_text('{"label": 1, "text": "one"}\n')
    assert next(read_labelled(plain, Columns(second=2))) == LabelledText("one", "two", "1", 1)
    by_name = Columns(label="label", first="text", header=True)
    assert next(read_labelled(named, by_name)) == LabelledText("one", None, "1", 2)
    assert next(read_labelled(lines, by_name)) == LabelledText("one", None, "1", 1)
    with pytest.raises(DataError, match=r"line 1 of .*plain.tsv: there is no column 5; there are 0, 1, 2"):
        next(read_labelled(plain, Columns(first=5)))
    with pytest.raises(DataError, match="label 'x' is no number"):
        as_number(LabelledText("a", None, "x", 3), plain)


def test_a_table_says_what_is_wrong_with_it(tmp_path):
    table = tmp_path / "named.tsv"
    by_name = Columns(label="label", first="text", header=True)
    table.write_text("id\ttxt\tlabel\n7\tone\t1\n")
    with pytest.raises(DataError, match=r"the header of .*: there is no column 'text'; there are 'id', 'txt', 'label'"):
        next(read_labelled(table, by_name))
    table.write_text("id\ttext\tlabel\n7\tone\t1\n8\t\t0\n9\ttwo\n10\tthree\t0\n")
    with pytest.raises(DataError, match=r"line 3 of .*: column 'text' is empty"):
        list(read_labelled(table, by_name))
    left_out = []
    assert [text.first for text in read_labelled(table, by_name, left_out)] == ["one", "three"]
    assert left_out == [3, 4]
    unlabelled = Columns(label=None, first="text", header=True)
    assert [text.first for text in read_labelled(table, unlabelled)] == ["one", "", "two", "three"]
