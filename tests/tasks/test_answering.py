"""Scores read off the outputs that the loss is made of equal those of a second run of the network."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from henkan.data.choices import ChoiceQuestion
from henkan.data.labelled import LabelledText
from henkan.data.plan import Plan
from henkan.data.questions import Question
from henkan.data.tagged import TaggedWords
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.objectives.base import Learner
from henkan.tasks.base import AnsweringTask
from henkan.tasks.classification import Classification, Labels, Reader
from henkan.tasks.multiple_choice import MultipleChoice
from henkan.tasks.question_answering import QuestionAnswering, Threshold, Windows
from henkan.tasks.tagging import Tagging, WordReader
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig
from henkan.training import distributed
from henkan.training.validation import Validator

WORDS = [f"w{number}" for number in range(40)]
TOKENIZER = learn(TokenizerConfig(kind="word", vocabulary=100), [" ".join(WORDS)])
CLASSES = ["A", "B", "C"]
COUNT = 50


def drawn(chance: np.random.Generator, most: int) -> list[str]:
    """Between one and so many words."""
    return [WORDS[place] for place in chance.integers(len(WORDS), size=chance.integers(1, most + 1))]


def labelled(chance: np.random.Generator) -> list[LabelledText]:
    """Texts and pairs of texts."""
    return [
        LabelledText(" ".join(drawn(chance, 9)), " ".join(drawn(chance, 9)) if line % 2 else None, label, line)
        for line, label in enumerate(chance.choice(CLASSES, COUNT).tolist())
    ]


def classification(chance: np.random.Generator) -> Classification:
    """Three classes."""
    return Classification({"valid": labelled(chance)}, Reader(TOKENIZER, 24), Labels(CLASSES), ["accuracy", "matthews"])


def regression(chance: np.random.Generator) -> Classification:
    """Numbers."""
    texts = [LabelledText(text.first, text.second, str(text.line % 7), text.line) for text in labelled(chance)]
    return Classification({"valid": texts}, Reader(TOKENIZER, 24), Labels([]), ["pearson", "spearman"])


def tagging(chance: np.random.Generator) -> Tagging:
    """Sentences of one part and of several, and one without words."""
    sentences = [tuple(drawn(chance, 20)) if line != 3 else () for line in range(COUNT)]
    tagged = [
        TaggedWords(words, tuple(chance.choice(CLASSES, len(words)).tolist()), line)
        for line, words in enumerate(sentences)
    ]
    return Tagging({"valid": tagged}, WordReader(TOKENIZER, 10), CLASSES, ["word-accuracy"])


def multiple_choice(chance: np.random.Generator) -> MultipleChoice:
    """Three choices."""
    questions = [
        ChoiceQuestion(
            " ".join(drawn(chance, 6)),
            tuple(" ".join(drawn(chance, 6)) for _ in range(3)),
            int(chance.integers(3)),
            line,
        )
        for line in range(COUNT)
    ]
    return MultipleChoice({"valid": questions}, Reader(TOKENIZER, 24), 3, ["accuracy"])


def question_answering(chance: np.random.Generator, threshold: Threshold = "tuned") -> QuestionAnswering:
    """Passages of one window and of several; some questions have no answer, so a threshold is tuned."""
    questions = []
    for number in range(COUNT):
        words = drawn(chance, 40)
        place = int(chance.integers(len(words)))
        answer = (words[place], len(" ".join([*words[:place], ""])))
        questions.append(Question(f"q{number}", "w1 w2", " ".join(words), (answer,) if number % 3 else ()))
    scores = ["answer-exact", "answer-f1"]
    return QuestionAnswering({"valid": questions}, Windows(TOKENIZER, 25, 10, 4), 5, scores, threshold)


def always_answering(chance: np.random.Generator) -> QuestionAnswering:
    """The same where an answer is always given."""
    return question_answering(chance, None)


TASKS = [classification, regression, tagging, multiple_choice, question_answering, always_answering]


def learner_of(task: AnsweringTask) -> Learner:
    """A small encoder with every head, and weights that nobody trained."""
    torch.manual_seed(1)
    sizes = {"kind": "transformer", "width": 16, "heads": 2, "feed_forward": 24, "layers": 2, "dropout": 0.1}
    heads = {
        "class": {"kind": "class", "classes": 3},
        "values": {"kind": "value"},
        "labels": {"kind": "label", "labels": 3},
        "choice": {"kind": "choice"},
        "span": {"kind": "span"},
    }
    settings = {"encoder": sizes, "pooler": {"kind": "first"}, "heads": heads}
    model = EncoderOnlyConfig.model_validate(settings).build(TOKENIZER.size)
    with torch.no_grad():  # weights that start small say the same of every text
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return Learner(model, task.objective)


def validator(task: AnsweringTask, batch_tokens: int) -> Validator:
    return Validator(task, Plan(task.lengths("valid"), 1, batch_tokens), 7, torch.device("cpu"))


@pytest.mark.parametrize("batch_tokens", [60, 2000])
@pytest.mark.parametrize("make", TASKS)
def test_one_run_gives_the_scores_of_two(make: Callable[..., AnsweringTask], batch_tokens: int) -> None:
    task = make(np.random.default_rng(3))
    assert isinstance(task, AnsweringTask)
    learner = learner_of(task)
    found = validator(task, batch_tokens).measure(learner, 4)
    assert found.scores == pytest.approx(task.evaluate(learner.eval().model, "valid"), rel=1e-5)
    whole = validator(task, 100_000).measure(learner, 4)
    assert found.loss == pytest.approx(whole.loss, rel=1e-5)
    assert found.scores == pytest.approx(whole.scores, rel=1e-5)


@pytest.mark.parametrize("make", TASKS)
def test_the_network_runs_once_for_each_text(make: Callable[..., AnsweringTask]) -> None:
    task = make(np.random.default_rng(3))
    learner, rows = learner_of(task), []
    learner.model.register_forward_pre_hook(lambda module, given: rows.append(len(given[0].source.ids)))
    validator(task, 60).measure(learner, 4)
    choices = 3 if make is multiple_choice else 1
    assert sum(rows) == choices * sum(len(shard.source) for shard in task.lengths("valid"))


@pytest.mark.parametrize("make", TASKS)
def test_ranks_put_their_answers_together(make: Callable[..., AnsweringTask], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks, one after the other: what each reads travels as JSON and is judged as if one had read it all."""
    task = make(np.random.default_rng(3))
    learner = learner_of(task)
    alone = validator(task, 60).measure(learner, 4)
    sent: list[str] = []
    monkeypatch.setattr(distributed, "world", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce_", lambda tensor: tensor)
    monkeypatch.setattr(distributed, "broadcast_object", lambda value: value)

    def gathered(value: object) -> list[object]:
        sent.append(json.dumps(value))
        return [json.loads(text) for text in sent]

    monkeypatch.setattr(distributed, "gather_objects", gathered)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert validator(task, 60).measure(learner, 4).scores == {}
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    assert validator(task, 60).measure(learner, 4).scores == alone.scores
