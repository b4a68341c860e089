"""Questions with choices: rows, padded sizes, the loss by hand, and the order of what comes back."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.choices import ChoiceQuestion, read_choices
from henkan.errors import DataError
from henkan.tasks.classification import Reader
from henkan.tasks.multiple_choice import Chooser, MultipleChoice
from henkan.tensors import Output
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig


@pytest.fixture
def reader():
    return Reader(learn(TokenizerConfig(kind="word", vocabulary=50), ["a b c d e f g"]), 9)


QUESTIONS = [
    ChoiceQuestion("a b c", ("d", "d e", "d e f"), 2, 1),
    ChoiceQuestion("a", ("d e f", "d", "e"), 0, 2),
    ChoiceQuestion("a b", ("g", "d e", "e"), 2, 3),
]


class Longest(nn.Module):
    """Prefers the longest row."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return Output({"choice": batch.source.mask.sum(1).float()})


def test_a_batch_has_rows_for_choices_and_places_for_questions(reader):
    task = MultipleChoice({"train": QUESTIONS}, reader, 3, ["accuracy"])
    assert task.lengths("train")[0].source.tolist() == [3 * 9, 3 * 7, 3 * 7]
    batch = task.collate([task.example("train", place, np.random.default_rng(0)) for place in (1, 0)])
    assert batch.index.tolist() == [1, 0]
    assert batch.source.ids.shape == (6, 9)
    assert batch.source.ids.numel() <= 2 * 27
    assert batch.labels["choice"].tolist() == [0, 2]
    assert batch.units == {"choice": 2}
    assert batch.source.segments[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    counts = torch.tensor([[7.0, 5.0, 5.0], [7.0, 8.0, 9.0]])
    wanted = -counts.log_softmax(1)[[0, 1], [0, 2]].sum()
    sums = task.objective(Longest()(batch), batch)
    assert sums["choice"] == pytest.approx(float(wanted))
    assert task.place("train", 2) == "line 3"


def test_choices_come_back_in_order(reader):
    task = MultipleChoice({"valid": QUESTIONS}, reader, 3, ["accuracy"])
    assert task.evaluate(Longest(), "valid")["accuracy"] == pytest.approx(200 / 3)
    other = ChoiceQuestion("a", ("d", "d e f g", "e", "e f", "g"), None, 1)
    first, second = Chooser(Longest(), reader).log_probs([other, QUESTIONS[0]])
    assert (len(first), int(first.argmax())) == (5, 1)
    assert second.exp().sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="line 1: 3 choices; expected 2"):
        MultipleChoice({"valid": QUESTIONS}, reader, 2, ["accuracy"])


def test_files(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(
        json.dumps({"question": "a", "choices": ["b", "c"], "label": 1})
        + "\n"
        + json.dumps({"q_id": 7, "question": "a", "choice0": "b", "choice1": "c", "label": 0})
        + "\n"
    )
    assert list(read_choices(path)) == [ChoiceQuestion("a", ("b", "c"), 1, 1), ChoiceQuestion("a", ("b", "c"), 0, 2)]
    for record, complaint in (
        ({"question": "a", "choices": ["b", "c"], "label": 2}, "label 2: expected a number from 0 to 1"),
        ({"question": "a", "choices": ["b", "c"]}, "there is no label"),
        ({"question": "a", "choices": ["b"], "label": 0}, "at least two texts"),
        ({"question": "a", "choices": ["b", ""], "label": 0}, "expected a text as question and as each choice"),
    ):
        path.write_text(json.dumps(record) + "\n")
        with pytest.raises(DataError, match=f"line 1 of .*: .*{complaint}"):
            list(read_choices(path))
