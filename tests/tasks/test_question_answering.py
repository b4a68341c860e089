"""Windows, spans and answers against brute force, without a model."""

import gzip
import json

import numpy as np
import pytest
import torch
from torch import nn

from henkan.data.questions import Question, read_questions
from henkan.errors import DataError
from henkan.tasks.question_answering import Answerer, QuestionAnswering, Windows, best_spans, tokens_of
from henkan.tensors import Output
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

WORDS = [f"w{number}" for number in range(60)]
CONTEXT = " ".join(WORDS)


def question(first, last, name="q"):
    text = " ".join(WORDS[first : last + 1])
    return Question(name, "w1 w2", CONTEXT, ((text, f"{CONTEXT} ".index(f"{text} ")),))


@pytest.fixture
def windows():
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=100), [CONTEXT])
    return Windows(tokenizer, longest=25, stride=10, most_asked=4)


def test_windows_cover_the_passage_and_overlap(windows):
    found = windows.of([question(3, 4)])
    room = 25 - 2 - 3
    seen = np.concatenate([window.places[:, 0] for window in found])
    assert set(seen) == {CONTEXT.index(f"{word} ") if word != WORDS[-1] else CONTEXT.index(word) for word in WORDS}
    assert all(len(window) == len(window.row(windows.tokenizer.marks)[0]) <= 25 for window in found)
    assert [len(window.places) for window in found] == [room] * 5
    marks = windows.tokenizer.marks
    ids, segments = found[0].row(marks)
    assert ids[0] == marks.start
    assert (ids == marks.end).sum() == 2
    assert segments.tolist() == [0] * 4 + [1] * 21


def test_the_span_of_an_answer_is_in_every_window_that_holds_it_wholly(windows):
    asked = question(18, 21)
    spans = [window.span for window in windows.of([asked])]
    assert spans == [(0, 0), (8 + 4, 11 + 4), (0, 0), (0, 0), (0, 0)]  # 4 positions stand before the passage
    unanswered = Question("q", "w1 w2", CONTEXT, ())
    assert {window.span for window in windows.of([unanswered])} == {(0, 0)}


def test_no_window_is_told_a_part_of_an_answer(windows):
    """For answers of every place and length: a span is the whole answer, or there is none."""
    asked = [question(first, last) for first in range(60) for last in range(first, min(60, first + 12))]
    told = set()
    for window in windows.of(asked):
        answer = asked[window.question].answers[0][0]
        if window.span == (0, 0):
            assert not answer_lies_in(window, asked[window.question])
            continue
        first, last = (place - window.offset for place in window.span)
        assert CONTEXT[window.places[first, 0] : window.places[last, 1]].strip() == answer
        told.add(window.question)
    assert {number for number in range(len(asked)) if len(asked[number].answers[0][0].split()) <= 10} <= told


def answer_lies_in(window, asked):
    text, start = asked.answers[0]
    begins, ends = window.places[0, 0], window.places[-1, 1]
    return begins <= start and start + len(text) <= ends


def test_the_tokens_of_an_answer():
    places = np.array([[0, 3], [3, 7], [7, 8], [8, 12]])  # "Ada", " wrote", …: tokens begin with the space before them
    assert tokens_of(places, "Ada", 0) == (0, 0)
    assert tokens_of(places, " wro ", 3) == (1, 1)  # spaces at its ends are not the answer's
    assert tokens_of(places, "te.", 6) == (1, 3)
    assert tokens_of(places, "x", 12) is None
    assert tokens_of(np.zeros((0, 2), dtype=np.int64), "x", 0) is None


def test_a_short_passage_is_one_window(windows):
    short = Question("q", "w1", "w5 w6", (("w6", 3),))
    (window,) = windows.of([short])
    assert window.span == (4, 4)


@pytest.mark.parametrize("most", [1, 3, 50])
def test_best_spans_equal_brute_force(most):
    torch.manual_seed(most)
    tokens = [1, 5, 12, 0]
    scores = torch.randn(4, 18, 2)
    begins, ends = torch.tensor([5, 3, 4, 5]), torch.tensor([6, 8, 16, 5])
    found = zip(*(values.tolist() for values in best_spans(scores, begins, ends, most)), strict=True)
    for row, (first, last, odds) in enumerate(found):
        every = [
            (float(scores[row, i, 0] + scores[row, j, 1] - scores[row, 0].sum()), i, j)
            for i in range(int(begins[row]), int(ends[row]))
            for j in range(i, min(int(ends[row]), i + most))
        ]
        if tokens[row] == 0:
            assert odds == -float("inf")
        else:
            value, *place = max(every)
            assert (place, odds) == ([first, last], pytest.approx(value))


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


def test_a_threshold_is_tuned_where_some_questions_have_no_answer(windows):
    """The model is sure of w47 and of nothing else; a question without an answer has a passage without it."""
    (token,) = windows.tokenizer.encode(["w47"])[0]
    other = " ".join(WORDS[:20])
    asked = [question(47, 47, "a"), Question("b", "w1", other, ())]
    found = QuestionAnswering({"valid": asked}, windows, 5, ["answer-f1", "answer-exact"]).evaluate(
        Knowing(token), "valid"
    )
    assert found["answer-f1"] == found["answer-exact"] == 100.0
    assert found["threshold"] == pytest.approx(5.0)  # half-way between odds of 10 and of 0
    always = QuestionAnswering({"valid": asked}, windows, 5, ["answer-f1"], None).evaluate(Knowing(token), "valid")
    assert always == {"answer-f1": 50.0}
    fixed = QuestionAnswering({"valid": asked}, windows, 5, ["answer-f1"], 20.0).evaluate(Knowing(token), "valid")
    assert fixed == {"answer-f1": 50.0}
    (nothing,) = Answerer(Knowing(token), windows, 5).predict([Question("c", "w1", "", ())])
    assert (nothing.text, nothing.start) == ("", None)


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
    for start in (3, -len(paragraph["context"])):
        paragraph["qas"][0]["answers"][0]["answer_start"] = start
        with gzip.open(lines, "wt") as file:
            file.write(json.dumps(paragraph) + "\n")
        with pytest.raises(DataError, match=f"question 1: answer 'Ada' does not stand at character {start}"):
            list(read_questions(lines))
    whole.write_text("{}")
    with pytest.raises(DataError, match="expected a list under 'data'"):
        list(read_questions(whole))
