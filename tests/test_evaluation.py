"""What an evaluation leaves in a run folder."""

import json
from pathlib import Path

import pytest

from evaluated import write_run
from henkan import evaluation
from henkan.errors import FolderError
from henkan.evaluation import Evaluation, Scored, read_outputs, record


def evaluated(count: int) -> Evaluation:
    texts = [f"a\u2028{number} „ä“" for number in range(count)]  # a line separator is no end of a line
    return Evaluation(texts, [], [], "words of the source", [], scored=Scored(texts, [[t, ""] for t in texts], texts))


def test_all_outputs_are_kept_beside_the_scores(tmp_path: Path):
    run = write_run(tmp_path / "run", 0.1)
    told = evaluated(3)
    record(told, run)
    assert read_outputs(run) == told.scored
    first = json.loads((run / "outputs.jsonl").read_text(encoding="utf-8").split("\n")[0])
    assert first == {"source": told.outputs[0], "references": [told.outputs[0], ""], "output": told.outputs[0]}
    assert not (run / "model" / "outputs.jsonl").exists(), "a model that is passed on has no test data in it"


def test_a_test_set_too_large_to_keep_leaves_no_outputs_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = write_run(tmp_path / "run", 0.1)
    monkeypatch.setattr(evaluation, "MOST_KEPT", 2)
    record(evaluated(2), run)
    assert len(read_outputs(run).outputs) == 2
    record(evaluated(3), run)
    with pytest.raises(FolderError, match=r"has no outputs.jsonl"):
        read_outputs(run)
