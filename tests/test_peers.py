"""The comparison with other toolkits: what is read out of their logs, what is alternated, what is told."""

import importlib
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from henkan.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch):
    """A module of benchmarks/peers by its name."""
    monkeypatch.syspath_prepend(str(ROOT))

    def found(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.peers.{name}")

    return found


OPENNMT = (
    "[2026-11-20 10:00:00,123 INFO] Step 7/1000000; acc: 0.9; ppl: 9051.2; xent: 9.1; lr: 0.00001; "
    "sents:     260; bsz: 3720/4104/260; 2291/2528 tok/s;      9 sec;"
)
JOEYNMT = "2026-11-20 10:00:00,123 - INFO - joeynmt.training - Epoch   1, Step:       20, Batch Loss:     5.1, "
JOEYNMT += "Batch Acc: 0.1, Tokens per Sec:      706, Lr: 0.001000"


def test_the_logs_of_peers_tell_the_target_tokens_of_an_update(part):
    toolkits = part("toolkits")
    assert toolkits.opennmt_tokens(OPENNMT) == 4104
    assert toolkits.opennmt_tokens("[2026-11-20 10:00:00,123 INFO] Starting training on CPU") is None
    assert toolkits.joeynmt_tokens(4100, JOEYNMT) == 4100
    assert toolkits.joeynmt_tokens(4100, JOEYNMT.split("Step")[0]) is None


def test_events_tell_tokens_from_speed_and_time_also_across_a_stop(part):
    reader = part("toolkits").HenkanEvents()
    assert reader('{"event": "start", "time": 1.0}') is None
    assert reader('{"event": "update", "elapsed": 10.0, "tokens_per_second": 5000.0}') == 0
    assert reader('{"event": "update", "elapsed": 11.5, "tokens_per_second": 6000.0}') == 9000
    # stopped for 60 seconds: the speed that the log tells is low by as much as its time is long
    assert reader('{"event": "update", "elapsed": 72.5, "tokens_per_second": 100.0}') == 6100


def test_the_trainer_tells_the_tokens_of_an_update(part):
    read = part("pretraining").trainer_tokens
    assert read("learnt from 3513 tokens") == 3513
    assert read("{'loss': 8.1, 'epoch': 0.01}") is None


def test_both_pre_train_on_the_same_integers(part, tmp_path: Path):
    pretraining = part("pretraining")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Once upon a time there was number {number}.\n" for number in range(400)))
    config = pretraining.recipe(text)
    pretraining.make(config, tmp_path / "work")
    ids, segments, ends, follows = (
        np.load(tmp_path / "work" / f"{name}.npy") for name in ("ids", "segments", "ends", "next")
    )
    assert len(ends) == len(follows) + 1 and ends[-1] == len(ids) == len(segments)
    assert np.diff(ends).max() <= pretraining.LENGTH
    tokenizer = Tokenizer.load(tmp_path / "work" / "tokenizer.json")
    first, last = ids[ends[:-1]], ids[ends[1:] - 1]
    assert (first == tokenizer.marks.start).all() and (last == tokenizer.marks.end).all()
    assert "Once upon a time there was number" in tokenizer.decode([ids[: ends[1]].tolist()])[0]
    # four layers of 12 * 256^2 weights, the attention's products, the output for 15 % of the tokens: six for each
    size = config.vocabulary.vocabulary
    expected = 6 * (4 * 12 * 256**2 + 2 * 4 * 128 * 256 + 0.15 * (256 * size + 256**2))
    assert pretraining.flops(config) == pytest.approx(expected, rel=1e-9)


def test_a_program_stands_still_between_its_slices(part, tmp_path: Path):
    count = """
        import os, subprocess, sys, time
        if len(sys.argv) == 1:  # a child counts: what a program starts is stopped with it
            sys.exit(subprocess.run([sys.executable, __file__, "child"]).returncode)
        for number in range(10**6):
            print(number, flush=True)
            time.sleep(0.005)
    """
    script = tmp_path / "count.py"
    script.write_text(textwrap.dedent(count))
    log = tmp_path / "log.txt"
    with part("processes").Program([sys.executable, str(script)], log, log, {}) as program:
        first, took = program.run(0.2, lambda line: 1, 20.0)
        assert first >= 1 and took >= 0.2
        program.new_lines()
        size = log.stat().st_size
        time.sleep(0.2)
        assert log.stat().st_size == size
        assert program.peak_memory() > 1.0
        assert program.run(0.05, lambda line: 1, 20.0)[0] >= 1
    assert program.process.returncode is not None


def test_a_program_that_ends_is_an_error_with_what_it_said(part, tmp_path: Path):
    log = tmp_path / "log.txt"
    failing = part("processes").Program([sys.executable, "-c", "raise SystemExit('no corpus')"], log, log, {})
    with failing as program, pytest.raises(RuntimeError, match="no corpus"):
        program.run(5.0, lambda line: None, 20.0)


def test_workers_answer_requests_and_tell_why_they_died(part, tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from answering import answer\n"
        "print('a library says something')\n"
        "answer(lambda settings: (1 / settings['speed'], ['eins', 'zwei']), lambda: 12.0)\n"
    )
    command = [sys.executable, str(script), str(ROOT / "benchmarks" / "peers")]
    with part("answering").Worker(command, tmp_path / "log.txt", {}) as worker:
        assert worker.ask({"speed": 4}, tmp_path / "outputs.txt") == {"seconds": 0.25, "memory": 12.0}
        assert (tmp_path / "outputs.txt").read_text() == "eins\nzwei\n"
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            worker.ask({"speed": 0})


def test_ratios_are_of_rounds_and_their_median_is_told(part):
    results = part("results")
    found = results.Comparison(
        "training A", "JoeyNMT", "target tokens/s", [900.0, 100.0, 400.0], [300.0, 100.0, 200.0], 1, 2
    )
    assert found.ratios == [3.0, 1.0, 2.0]
    assert results.table([found]).splitlines()[2].split(" | ")[2:7] == ["2.00", "1.00", "3.00", "400", "200"]


def test_subwords_in_files_are_never_read_as_two(part):
    without_spaces = part("workload_pieces").without_spaces
    assert without_spaces("▁Haus") == "▁Haus"
    assert without_spaces("▁Nummer\xa0").split() == ["▁Nummer<a0>"]


def test_outputs_are_compared_as_texts(part):
    in_words = part("decoding").in_words
    assert in_words("▁Ein ▁Hu nd .") == "Ein Hund."
    assert in_words("Ein Hund.") == "Ein Hund."
