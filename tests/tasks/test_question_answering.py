"""Windows, spans and answers against brute force, without a model."""

import gzip
import json

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.questions import Question, read_questions
from henkan.errors import DataError
from henkan.tasks.question_answering import Answerer, QuestionAnswering, Windows, best_span, span_of
from henkan.tensors import Output
from henkan.text.tokenizer import TokenizerConfig, learn

WORDS = [f"w{number}" for number in range(60)]
CONTEXT = " ".join(WORDS)


def question(first, last, name="q"):
    text = " ".join(WORDS[first : last + 1])
    return Question(name, "w1 w2", CONTEXT, ((text, CONTEXT.index(f"{text} ")),))


@pytest.fixture
def windows():
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=100), [CONTEXT])
    return Windows(tokenizer, longest=25, stride=10, most_asked=4)


def test_windows_cover_the_passage_and_overlap(windows):
    found = windows.of([question(3, 4)])
    room = 25 - 2 - 3
    seen = np.concatenate([window.places[:, 0] for window in found])
    assert set(seen) == {CONTEXT.index(f"{word} ") if word != WORDS[-1] else CONTEXT.index(word) for word in WORDS}
    assert all(len(window.ids) <= 25 for window in found)
    assert [len(window.places) for window in found] == [room] * 5
    marks = windows.tokenizer.marks
    assert found[0].ids[0] == marks.start
    assert (found[0].ids == marks.end).sum() == 2
    assert found[0].segments.tolist() == [0] * 4 + [1] * 21


def test_the_span_of_an_answer_is_in_every_window_that_holds_it_wholly(windows):
    asked = question(18, 21)
    spans = [span_of(window, asked.answers) for window in windows.of([asked])]
    assert spans == [(0, 0), (8 + 4, 11 + 4), (0, 0), (0, 0), (0, 0)]  # 4 positions stand before the passage
    assert span_of(windows.of([asked])[1], ()) == (0, 0)


def test_a_short_passage_is_one_window(windows):
    short = Question("q", "w1", "w5 w6", (("w6", 3),))
    (window,) = windows.of([short])
    assert span_of(window, short.answers) == (4, 4)


@pytest.mark.parametrize("most", [1, 3, 50])
def test_best_span_equals_brute_force(most):
    torch.manual_seed(most)
    for tokens in (1, 5, 12):
        scores = torch.randn(tokens + 6, 2)
        first, last, score = best_span(scores, 5, tokens, most)
        every = [
            (float(scores[5 + i, 0] + scores[5 + j, 1] - scores[0].sum()), i, j)
            for i in range(tokens)
            for j in range(i, min(tokens, i + most))
        ]
        value, *place = max(every)
        assert (place, score) == ([first, last], pytest.approx(value))


class Knowing(nn.Module):
    """Points at one word wherever it stands; or at START."""

    def __init__(self, token):
        super().__init__()
        self.token = token
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        scores = torch.zeros(batch.source.ids.shape)
        if self.token is None:
            scores[:, 0] = 1
        else:
            scores[batch.source.ids == self.token] = 1
        return Output({"span": scores[..., None].expand(-1, -1, 2) * 5})


def test_the_best_of_all_windows_is_the_answer(windows):
    (token,) = windows.tokenizer.encode(["w47"])[0]
    asked = [question(47, 47, "a"), question(2, 3, "b")]
    answers = Answerer(Knowing(token), windows, 5).predict(asked)
    assert [answer.text for answer in answers] == ["w47", "w47"]
    assert answers[0].start == CONTEXT.index("w47")
    assert answers[0].score == pytest.approx(10.0)
    task = QuestionAnswering({"valid": asked}, windows, 5, ["answer-exact", "answer-f1"])
    assert task.evaluate(Knowing(token), "valid")["answer-exact"] == 50.0


def test_no_answer_below_the_threshold(windows):
    (answer,) = Answerer(Knowing(None), windows, 5, threshold=0.0).predict([question(2, 3)])
    assert (answer.text, answer.start) == ("", None)
    assert answer.score == pytest.approx(-10.0)


def test_official_files(tmp_path):
    paragraph = {
        "context": "Ada wrote it.",
        "qas": [
            {"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]},
            {"id": "2", "question": "When?", "answers": [], "is_impossible": True},
        ],
    }
    whole = tmp_path / "dev.json"
    whole.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    lines = tmp_path / "dev.jsonl.gz"
    with gzip.open(lines, "wt") as file:
        file.write(json.dumps(paragraph) + "\n")
    assert list(read_questions(whole)) == list(read_questions(lines))
    assert [asked.references for asked in read_questions(whole)] == [["Ada"], [""]]
    paragraph["qas"][0]["answers"][0]["answer_start"] = 3
    with gzip.open(lines, "wt") as file:
        file.write(json.dumps(paragraph) + "\n")
    with pytest.raises(DataError, match="question 1: answer 'Ada' does not stand at character 3"):
        list(read_questions(lines))
    whole.write_text("{}")
    with pytest.raises(DataError, match="expected a list under 'data'"):
        list(read_questions(whole))
