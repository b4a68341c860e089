"""The nine tasks of GLUE by name: their official files, labels, scores and submissions (Wang et al. 2019).

A GLUE folder holds ``train.tsv``, ``dev.tsv`` and ``test.tsv`` of one task as they are handed out; test labels are
known to the organisers alone, so for them a submission file is written.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from henkan.data.labelled import Column, Columns
from henkan.errors import ConfigError
from henkan.folder import write_texts


@dataclass(frozen=True)
class GlueTask:
    """One of the nine.

    Attributes:
        classes: labels in the order of the submission, empty for a number.
        scores: the official ones; the first chooses the best model.
        train, test: columns of ``train.tsv`` and ``dev.tsv``, and of ``test.tsv``, which has no labels.
        submissions: the file for each test set; MNLI has two.
    """

    name: str
    classes: tuple[str, ...]
    scores: tuple[str, ...]
    train: Columns
    test: Columns
    submissions: tuple[str, ...]


def _columns(label: Column, first: Column, second: Column | None, header: bool = True) -> Columns:
    return Columns(label=label, first=first, second=second, header=header)


def _test(first: str, second: str | None = None) -> Columns:
    return Columns(label=None, first=first, second=second, header=True)


_ENTAILMENT = ("entailment", "not_entailment")

TASKS = (
    GlueTask("cola", ("0", "1"), ("matthews",), _columns(1, 3, None, False), _test("sentence"), ("CoLA.tsv",)),
    GlueTask("sst2", ("0", "1"), ("accuracy",), _columns("label", "sentence", None), _test("sentence"), ("SST-2.tsv",)),
    GlueTask(
        "mrpc",
        ("0", "1"),
        ("f1", "accuracy"),
        _columns("Quality", "#1 String", "#2 String"),
        _test("#1 String", "#2 String"),
        ("MRPC.tsv",),
    ),
    GlueTask(
        "stsb",
        (),
        ("pearson", "spearman"),
        _columns("score", "sentence1", "sentence2"),
        _test("sentence1", "sentence2"),
        ("STS-B.tsv",),
    ),
    GlueTask(
        "qqp",
        ("0", "1"),
        ("f1", "accuracy"),
        _columns("is_duplicate", "question1", "question2"),
        _test("question1", "question2"),
        ("QQP.tsv",),
    ),
    GlueTask(
        "mnli",
        ("contradiction", "entailment", "neutral"),
        ("accuracy",),
        _columns("gold_label", "sentence1", "sentence2"),
        _test("sentence1", "sentence2"),
        ("MNLI-m.tsv", "MNLI-mm.tsv"),
    ),
    GlueTask(
        "qnli",
        _ENTAILMENT,
        ("accuracy",),
        _columns("label", "question", "sentence"),
        _test("question", "sentence"),
        ("QNLI.tsv",),
    ),
    GlueTask(
        "rte",
        _ENTAILMENT,
        ("accuracy",),
        _columns("label", "sentence1", "sentence2"),
        _test("sentence1", "sentence2"),
        ("RTE.tsv",),
    ),
    GlueTask(
        "wnli",
        ("0", "1"),
        ("accuracy",),
        _columns("label", "sentence1", "sentence2"),
        _test("sentence1", "sentence2"),
        ("WNLI.tsv",),
    ),
)


def find(name: str) -> GlueTask:
    """ConfigError with the nearest name if there is none."""
    for task in TASKS:
        if task.name == name:
            return task
    names = [task.name for task in TASKS]
    near = difflib.get_close_matches(name, names, n=1)
    raise ConfigError(f"GLUE task {name!r} is none of {', '.join(names)}{f'; did you mean {near[0]}?' if near else ''}")


def write_submission(path: Path, predictions: Sequence[str]) -> None:
    """The table that the organisers score: a header, then the place of each test example and its label."""
    rows = [f"{place}\t{label}" for place, label in enumerate(predictions)]
    write_texts({path: "\n".join(["index\tprediction", *rows]) + "\n"})
