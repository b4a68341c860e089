"""The nine tasks of GLUE: their files as handed out, from data to submission, without training."""

import math

import numpy as np
import pytest

from henkan.data.labelled import LabelledText, read_labelled
from henkan.errors import ConfigError, DataError
from henkan.metrics import LABEL_MEASURES
from henkan.tasks import glue

HANDED_OUT = {
    "cola": (None, "gj04\t1\t\tOur friends.", "index\tsentence", "0\tBill whistled."),
    "sst2": ("sentence\tlabel", "no wit\t0", "index\tsentence", "0\tuneasy"),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t7\t8\tHe said "no.\tHe denied.',
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "0\t7\t8\tone\ttwo",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tnews\tf\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t5.000",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
        "0\tnews\tf\t2012\t1\tnone\tnone\tone\ttwo",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "1\t2\t3\tWho?\tWhich?\t0",
        "id\tquestion1\tquestion2",
        "0\tone\ttwo",
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\t1\t1n\tfiction\t( a )\tA dog.\tAn animal.\tneutral\tentailment",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence1\tsentence2",
        "0\t1\t1n\tfiction\t( a )\tone\ttwo",
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        "0\tWhen?\tIn 1990.\tentailment",
        "index\tquestion\tsentence",
        "0\tone\ttwo",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel",
        "0\tNo weapons.\tWeapons.\tnot_entailment",
        "index\tsentence1\tsentence2",
        "0\tone\ttwo",
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel",
        "0\tIt stuck.\tThe pin stuck.\t1",
        "index\tsentence1\tsentence2",
        "0\tone\ttwo",
    ),
}
"""Header and a line of each task's training file, and of its test file."""


@pytest.fixture(params=glue.TASKS, ids=lambda task: task.name)
def task(request):
    return request.param


@pytest.fixture
def archive(task, tmp_path):
    """A task's folder of the archive, with one example in each file."""
    header, line, test_header, test_line = HANDED_OUT[task.name]
    folder = tmp_path / task.folder
    folder.mkdir()
    labelled = "".join(f"{text}\n" for text in (header, line) if text is not None)
    for name in ("train.tsv", *task.valid):
        (folder / name).write_text(labelled)
    for name in task.tests:
        (folder / name).write_text(f"{test_header}\n{test_line}\n")
    return tmp_path


def test_a_file_as_handed_out(task, archive):
    for place in (archive, archive / task.folder):
        train, valid = glue.training_files(task, place)
        assert (train.name, tuple(path.name for path in valid)) == ("train.tsv", task.valid)
    (text,) = read_labelled(train, glue.labelled_columns(task, train))
    assert text.label in task.classes if task.classes else float(text.label) == 5.0
    assert (text.second is None) == (task.name in ("cola", "sst2"))
    assert text.first == {"cola": "Our friends.", "mrpc": 'He said "no.', "mnli": "A dog."}.get(task.name, text.first)


def test_a_submission_for_each_test_file(task, archive):
    files = dict(glue.unlabelled_files(task, archive / task.folder))
    assert {path.name: name for path, name in files.items() if path.name != "diagnostic.tsv"} == {
        name: submission
        for name, submission in zip(task.tests, task.submissions, strict=True)
        if submission != "AX.tsv"
    }
    for path, name in files.items():
        (text,) = read_labelled(path, task.test)
        assert text.label is None
        said = task.classes[-1] if task.classes else "5.25"
        glue.write_submission(archive / "out" / name, task, [said, said])
        wanted = said if task.classes else "5.000"  # the organisers take 0 to 5
        assert (archive / "out" / name).read_text() == f"index\tprediction\n0\t{wanted}\n1\t{wanted}\n"
        assert glue.unlabelled_files(task, path) == [(path, name)]


def test_the_diagnostic_set_is_mnlis(tmp_path):
    (tmp_path / "diagnostic").mkdir()
    path = tmp_path / "diagnostic" / "diagnostic.tsv"
    path.write_text("index\tsentence1\tsentence2\n0\tone\ttwo\n")
    mnli = glue.find("mnli")
    assert glue.unlabelled_files(mnli, tmp_path) == [(path, "AX.tsv")]
    assert glue.unlabelled_files(mnli, path) == [(path, "AX.tsv")]
    with pytest.raises(DataError, match=r"expected test\.tsv of GLUE's rte, or RTE/test\.tsv"):
        glue.unlabelled_files(glue.find("rte"), tmp_path)
    with pytest.raises(DataError, match=r"test files of GLUE's rte are called test\.tsv"):
        glue.unlabelled_files(glue.find("rte"), path)


def test_all_tasks_in_one_folder(tmp_path):
    rte = glue.find("rte")
    with pytest.raises(DataError, match=r"expected GLUE's rte: RTE/train\.tsv or train\.tsv as handed out"):
        glue.training_files(rte, tmp_path)
    path = tmp_path / "rte.train.tsv"
    path.write_text("entailment\tone\ttwo\n")
    assert glue.training_files(rte, tmp_path) == (path, ())
    assert next(read_labelled(path, glue.labelled_columns(rte, path))) == LabelledText("one", "two", "entailment", 1)
    (tmp_path / "train.tsv").write_text("")
    with pytest.raises(DataError, match=r"train\.tsv is there, and dev\.tsv of GLUE's rte is not"):
        glue.training_files(rte, tmp_path)


def test_names():
    assert [task.name for task in glue.TASKS] == list(HANDED_OUT)
    with pytest.raises(ConfigError, match="did you mean mnli"):
        glue.find("MNLI")


def by_hand(score, given, right):
    """Each official score from its textbook formula, example by example."""
    pairs = list(zip(given, right, strict=True))
    if score == "accuracy":
        return sum(a == b for a, b in pairs) / len(pairs)
    if score in ("f1", "matthews"):
        tp, fp, fn, tn = (pairs.count(pair) for pair in (("1", "1"), ("1", "0"), ("0", "1"), ("0", "0")))
        if score == "f1":
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            return 2 * precision * recall / (precision + recall)
        return (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    x, y = (np.array(values, dtype=float) for values in (given, right))
    if score == "spearman":  # a rank is the mean of the places that equal numbers take
        x, y = (np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]) for values in (x, y))
    return float(np.mean((x - x.mean()) * (y - y.mean())) / (x.std() * y.std()))


def test_official_scores(task):
    rng = np.random.default_rng(3)
    if task.classes:
        right = [task.classes[place] for place in rng.integers(0, len(task.classes), 60)]
        given = [label if rng.random() < 0.6 else task.classes[0] for label in right]
    else:
        numbers = rng.integers(0, 26, 60) / 5
        right = [f"{number:.3f}" for number in numbers]
        given = [f"{number:.3f}" for number in (numbers + rng.normal(0, 1, 60)).round(1)]
    for score in task.scores:
        found = LABEL_MEASURES[score](given, [[label] for label in right]).value()
        assert found == pytest.approx(100 * by_hand(score, given, right)), score
