"""``henkan predict``: every line answered, in order, as it is ready, nothing cut."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from henkan.errors import ConfigError
from henkan.model import Model
from henkan.prediction import Predictor, joined, split_line, windows
from henkan.tasks.translator import Prediction, Translator
from henkan.tasks.workers import ALONE, Workers
from toys import toy_pairs

SOURCES = [source for source, _ in toy_pairs(40, seed=3)]


def test_outputs_come_in_the_order_of_the_inputs(toy_model: Model):
    together = toy_model.predict(SOURCES)
    assert together == [toy_model.predict([source])[0] for source in SOURCES]


def test_an_empty_line_gives_an_empty_line(toy_model: Model):
    assert toy_model.predict(["", "ka mo", "   "])[::2] == ["", ""]


def test_beam_one_is_greedy_and_a_wider_beam_scores_no_worse(toy_model: Model):
    greedy = toy_model.explain(SOURCES, toy_model.options(1))
    beam = toy_model.explain(SOURCES, toy_model.options(8))
    gained = sum(wide[0].score >= narrow[0].score - 1e-5 for wide, narrow in zip(beam, greedy, strict=True))
    assert gained >= 0.9 * len(SOURCES), f"a beam of 8 scored at least as well on {gained} of {len(SOURCES)}"


def test_the_file_is_answered_line_by_line(henkan, finished_run: Path, toy_model: Model, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("".join(f"{line}\n" for line in SOURCES), encoding="utf-8")
    code, out, _ = henkan("predict", finished_run, file)
    assert code == 0
    assert out.splitlines() == toy_model.predict(SOURCES)


def test_translate_is_the_same_command(henkan, finished_run: Path, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo\n", encoding="utf-8")
    assert henkan("translate", finished_run, file) == henkan("predict", finished_run, file)


def test_the_precision_of_products_can_be_chosen(henkan, finished_run: Path, toy_model: Model, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("".join(f"{line}\n" for line in SOURCES), encoding="utf-8")
    code, out, _ = henkan("predict", finished_run, file, "--precision", "fp32", "--format", "jsonl")
    assert code == 0
    plain = toy_model.plain_translator().predict(SOURCES)
    for row, found in zip(map(json.loads, out.splitlines()), plain, strict=True):
        assert row["score"] == pytest.approx(found[0].score, abs=1e-4)
    code, _, err = henkan("predict", finished_run, file, "--precision", "fp17")
    assert code == 2
    assert "precision 'fp17': expected one of auto, fp32, bf16, int8" in err


def test_json_lines_hold_scores_pieces_and_alignments(henkan, finished_run: Path, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo ri\nsu te\n", encoding="utf-8")
    code, out, _ = henkan("predict", finished_run, file, "--format", "jsonl", "--n-best", 3, "--align")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["line"] for row in rows] == [1, 1, 1, 2, 2, 2]
    for row in rows:
        assert len(row["alignment"]) == len(row["pieces"])
        assert all(0 <= place < len(row["source_pieces"]) for place in row["alignment"])
    scores = [row["score"] for row in rows[:3]]
    assert scores == sorted(scores, reverse=True)


def test_alignments_that_cannot_be_told_are_refused(henkan, finished_run: Path, toy_model: Model, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo ri\n", encoding="utf-8")
    code, out, err = henkan("predict", finished_run, file, "--align")
    assert (code, out) == (2, "")
    assert "choose --format tsv or jsonl" in err

    class Blind(Translator):
        """Answers without alignments."""

        def answer(self, *given, align, **others):
            return super().answer(*given, **others)

    class BlindModel:
        """A model without attention."""

        searching = toy_model.searching

        def translator(self) -> Translator:
            return Blind(**vars(toy_model.translator()))

    predictor = Predictor(BlindModel(), {}, align=True, longest=100, may_split=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no attention over its source; leave --align out"):
        next(predictor.rows([(1, ["ka mo"])], "tsv"))


def test_tsv_has_line_score_and_output(henkan, finished_run: Path, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo ri\n", encoding="utf-8")
    _, out, _ = henkan("predict", finished_run, file, "--format", "tsv")
    number, score, _ = out.rstrip("\n").split("\t")
    assert number == "1"
    assert float(score) <= 0


def test_windows_cover_a_long_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("henkan.prediction.WINDOW", 7)
    file = tmp_path / "input.txt"
    file.write_text("".join(f"{number}\n" for number in range(1, 31)), encoding="utf-8")
    found = list(windows(file))
    assert [number for number, _ in found] == [1, 8, 15, 22, 29]
    assert [line for _, lines in found for line in lines] == [str(number) for number in range(1, 31)]


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "input.txt").write_bytes(b"ka\nmo\nri")
    with open(tmp_path / "input.txt") as standard:
        monkeypatch.setattr(sys, "stdin", standard)
        assert [line for _, lines in windows(Path("-")) for line in lines] == ["ka", "mo", "ri"]


def test_an_idle_pipe_says_so(monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()

    with open(reading, encoding="utf-8") as standard:
        monkeypatch.setattr(sys, "stdin", standard)
        found = windows(Path("-"))
        os.write(writing, b"ka\n")
        told = next(found)
        while not told[1]:  # nothing has come yet
            told = next(found)
        assert told == (1, ["ka"])
        assert next(found) == (2, [])
        os.write(writing, b"mo\nri\n")
        os.close(writing)
        assert [line for _, lines in found for line in lines] == ["mo", "ri"]


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies running processes")


@needs_linux
@pytest.mark.parametrize("output_format", ["text", "jsonl"])
def test_who_does_the_work_changes_no_output(toy_model: Model, monkeypatch: pytest.MonkeyPatch, output_format: str):
    monkeypatch.setattr("henkan.tasks.translator.BATCH_ROWS_CPU", 24)  # so that there is something to share
    monkeypatch.setattr("henkan.tasks.workers._prepared", 0)  # other tests have run on several threads here
    lines = [*SOURCES, "", *SOURCES[:7], " ".join(SOURCES), "   ", "ka"]
    given = [(1, lines[:20]), (21, []), (21, lines[20:30]), (31, lines[30:])]

    def rows(workers: Workers) -> list[str]:
        predictor = Predictor(toy_model, {"n_best": 2}, True, 40, True, workers)
        return [row for rows in predictor.rows(given, output_format) for row in rows]

    alone = rows(ALONE)
    assert 2 * len(lines) - 3 <= len(alone) < 2 * len(lines), "one row for an empty line and for what was joined"
    assert rows(Workers(2)) == alone
    assert rows(Workers(3, threads=2)) == alone
    assert toy_model.predict(lines, processes=2) == toy_model.predict(lines)


def test_rows_come_out_as_soon_as_all_before_them_are(toy_model: Model, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("henkan.tasks.translator.BATCH_ROWS_CPU", 5)  # one line at a time, longest first
    predictor = Predictor(toy_model, {}, False, 100, True)
    given = [(1, ["ka mo ri su te", "ka", "ka mo ri"]), (4, ["", "ka mo"])]
    assert [len(rows) for rows in predictor.rows(given, "text")] == [1, 2, 2]


@pytest.mark.process
@needs_linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_end_with_the_one_that_started_them(finished_run: Path, number: int):
    command = [sys.executable, "-m", "henkan", "predict", str(finished_run), "--processes", "2", "--format", "tsv"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write("".join(f"{line}\n" for line in SOURCES * 20))
        process.stdin.flush()
        process.stdout.readline()
        started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(started) == 2
        process.send_signal(number)
        assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
        told = process.stderr.read()
    assert len(told.splitlines()) == (0 if number == signal.SIGKILL else 1), told
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}/comm").exists() for child in started):
        assert time.monotonic() < deadline, "a process lives on"
        time.sleep(0.02)


@pytest.mark.process
def test_a_pipe_that_falls_idle_is_answered_at_once(finished_run: Path):
    command = [sys.executable, "-m", "henkan", "predict", str(finished_run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in ("ka mo", "ri su te"):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            started = time.monotonic()
            assert process.stdout.readline().endswith("\n"), "no answer although the pipe stayed open"
            assert time.monotonic() - started < 60
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_long_line_is_split_where_sentences_end_and_nothing_is_lost():
    def fits(text: str) -> bool:
        return len(text) <= 12

    line = "One two. Three four! Five?   six seven eight nineteen xxxxxxxxxxxxxxxxxxxxxxxx"
    parts = split_line(line, fits)
    assert all(fits(part) for part in parts)
    assert "".join("".join(parts).split()) == "".join(line.split())
    assert parts[0] == "One two."


def test_a_long_line_keeps_numbers_and_addresses_whole():
    line = "Pi is 3.14 at www.example.com now. そうです。はい。 " * 4
    parts = split_line(line, lambda text: len(text) <= 40)
    assert len(parts) > 1
    assert "".join("".join(parts).split()) == "".join(line.split())
    assert sum(part.count("3.14") + part.count("www.example.com") for part in parts) == 8


def test_outputs_that_were_cut_are_counted_and_told(henkan, finished_run: Path, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo ri su\n", encoding="utf-8")
    code, _, err = henkan("predict", finished_run, file, "--beam", 1, "--max-length", 1)
    assert code == 0
    assert "1 outputs were cut" in err


def test_a_long_line_is_predicted_in_parts_or_refused(toy_model: Model):
    line = " ".join(["ka mo ri su"] * 20)
    splitting = Predictor(toy_model, {"beam": 1}, False, 16, True)
    ((row,),) = splitting.rows([(1, [line])], "text")
    assert row
    assert splitting.split == 1
    with pytest.raises(Exception, match=r"line 5: \d+ tokens, expected at most 16"):
        list(Predictor(toy_model, {}, False, 16, False).rows([(5, [line])], "text"))


def test_joined_parts_keep_their_places():
    first = Prediction("a b", -1.0, -2.0, ["a", "b"], ["x", "y", "</s>"], [1, 0])
    second = Prediction("c", -0.5, -0.7, ["c"], ["z", "</s>"], [0])
    whole = joined([first, second])
    assert whole.text == "a b c"
    assert whole.alignment == [1, 0, 3]
    assert whole.source_pieces[3] == "z"
