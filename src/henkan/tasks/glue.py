"""The nine tasks of GLUE by name: their files, labels, scores and submissions (Wang et al. 2019).

    glue/CoLA/train.tsv dev.tsv test.tsv     as handed out, a folder for each task; its columns differ by task
    cls/cola.train.tsv.gz cola.dev.tsv.gz    or all in one folder: label, text and, of pairs, second text

Labels of the official test sets are known to the organisers alone: for them a submission is written, a file for each
test set. MNLI has two test and two validation sets, matched and mismatched; its models also label the diagnostic set
AX.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from henkan.data.labelled import Column, Columns
from henkan.errors import ConfigError, DataError
from henkan.folder import write_texts

HIGHEST = 5.0
"""The largest number of STS-B, whose scores begin at 0; what a model says beyond is not accepted."""


@dataclass(frozen=True)
class GlueTask:
    """One of the nine.

    Attributes:
        name: in recipes.
        folder: where its files are in the handed-out archive; its submission is called so too.
        classes: labels in the order of the model's scores, empty for a number.
        scores: the official ones; the first chooses the best model.
        train, test: columns of the handed-out files with labels, and of those without.
        valid: the handed-out files that are validated on; the first while training, all of them afterwards.
        tests: the handed-out files without labels.
        submissions: a file for each of those, under the name that the organisers want.
        incomplete: some lines of the handed-out training file lack a text.
    """

    name: str
    folder: str
    classes: tuple[str, ...]
    scores: tuple[str, ...]
    train: Columns
    test: Columns
    valid: tuple[str, ...]
    tests: tuple[str, ...]
    submissions: tuple[str, ...]
    incomplete: bool


def _task(
    name: str,
    folder: str,
    classes: tuple[str, ...],
    scores: tuple[str, ...],
    label: Column,
    first: str,
    second: str | None = None,
    incomplete: bool = False,
) -> GlueTask:
    """A task with one set of each kind, whose files all name their columns."""
    train = Columns(label=label, first=first, second=second, header=True)
    test = Columns(label=None, first=first, second=second, header=True)
    files = ("dev.tsv",), ("test.tsv",), (f"{folder}.tsv",)
    return GlueTask(name, folder, classes, scores, train, test, *files, incomplete)


_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")

TASKS = (
    GlueTask(
        "cola",
        "CoLA",
        _BINARY,
        ("matthews",),
        Columns(label=1, first=3),  # source, label, the author's mark, sentence; no header
        Columns(label=None, first="sentence", header=True),
        ("dev.tsv",),
        ("test.tsv",),
        ("CoLA.tsv",),
        incomplete=False,
    ),
    _task("sst2", "SST-2", _BINARY, ("accuracy",), "label", "sentence"),
    _task("mrpc", "MRPC", _BINARY, ("f1", "accuracy"), "Quality", "#1 String", "#2 String"),
    _task("stsb", "STS-B", (), ("pearson", "spearman"), "score", "sentence1", "sentence2"),
    _task("qqp", "QQP", _BINARY, ("f1", "accuracy"), "is_duplicate", "question1", "question2", incomplete=True),
    GlueTask(
        "mnli",
        "MNLI",
        ("contradiction", "entailment", "neutral"),
        ("accuracy",),
        Columns(label="gold_label", first="sentence1", second="sentence2", header=True),
        Columns(label=None, first="sentence1", second="sentence2", header=True),
        ("dev_matched.tsv", "dev_mismatched.tsv"),
        ("test_matched.tsv", "test_mismatched.tsv", "diagnostic.tsv"),
        ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"),
        incomplete=False,
    ),
    _task("qnli", "QNLI", _ENTAILMENT, ("accuracy",), "label", "question", "sentence"),
    _task("rte", "RTE", _ENTAILMENT, ("accuracy",), "label", "sentence1", "sentence2"),
    _task("wnli", "WNLI", _BINARY, ("accuracy",), "label", "sentence1", "sentence2"),
)

_DIAGNOSTIC = ("diagnostic/diagnostic.tsv", "AX/AX.tsv", "AX.tsv")
"""Where the set that all NLI models may label lies in the archives, which do not agree."""


def find(name: str) -> GlueTask:
    """ConfigError with the nearest name if there is none."""
    for task in TASKS:
        if task.name == name:
            return task
    names = [task.name for task in TASKS]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    raise ConfigError(f"GLUE task {name!r} is none of {', '.join(names)}{f'; did you mean {near[0]}?' if near else ''}")


def training_files(task: GlueTask, folder: Path) -> tuple[Path, tuple[Path, ...]]:
    """Training file and validation files of a task; no validation files where only the one-folder layout has none.

    Raises:
        DataError: the folder has no training file, or no validation file beside a handed-out one.
    """
    for place in (folder, folder / task.folder):
        if (train := _present(place / "train.tsv")) is None:
            continue
        valid = tuple(_present(place / name) for name in task.valid)
        if missing := [name for name, path in zip(task.valid, valid, strict=True) if path is None]:
            raise DataError(f"{place}: train.tsv is there, and {missing[0]} of GLUE's {task.name} is not")
        return train, tuple(path for path in valid if path is not None)
    if (train := _present(folder / f"{task.name}.train.tsv")) is not None:
        dev = _present(folder / f"{task.name}.dev.tsv")
        return train, () if dev is None else (dev,)
    raise DataError(
        f"{folder}: expected GLUE's {task.name}: {task.folder}/train.tsv or train.tsv as handed out, or "
        f"{task.name}.train.tsv.gz with label and texts in order"
    )


def unlabelled_files(task: GlueTask, place: Path) -> list[tuple[Path, str]]:
    """The files without labels at ``place``, a folder or one of them, each with the name of its submission.

    Raises:
        DataError: there are none.
    """
    names = dict(zip(task.tests, task.submissions, strict=True))
    if place.is_file():
        name = place.name.removesuffix(".gz")
        if name == "AX.tsv" and "AX.tsv" in task.submissions:
            name = "diagnostic.tsv"
        if name not in names:
            raise DataError(f"{place}: test files of GLUE's {task.name} are called {', '.join(task.tests)}")
        return [(place, names[name])]
    found = []
    for name, submission in names.items():
        inside = _DIAGNOSTIC if name == "diagnostic.tsv" else (name, f"{task.folder}/{name}")
        there = [path for path in map(_present, (place / part for part in inside)) if path is not None]
        found += [(path, submission) for path in there[:1]]
    if not found:
        raise DataError(f"{place}: expected {task.tests[0]} of GLUE's {task.name}, or {task.folder}/{task.tests[0]}")
    return found


def labelled_columns(task: GlueTask, path: Path) -> Columns:
    """Where label and texts are in a file with labels: by its name handed out, or in order."""
    if path.name.removesuffix(".gz") in ("train.tsv", *task.valid):
        return task.train
    return Columns(second=None if task.train.second is None else 2)


def write_submission(path: Path, task: GlueTask, predictions: Sequence[str]) -> None:
    """The table that the organisers score: a header, then the place of each test example and its label or number."""
    if not task.classes:
        predictions = [f"{min(max(float(value), 0.0), HIGHEST):.3f}" for value in predictions]
    rows = [f"{place}\t{label}" for place, label in enumerate(predictions)]
    write_texts({path: "\n".join(["index\tprediction", *rows]) + "\n"})


def _present(path: Path) -> Path | None:
    """The file, plain or packed, if there is one."""
    packed = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else packed if packed.is_file() else None
