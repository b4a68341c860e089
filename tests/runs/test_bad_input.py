"""Every mistake a user can make gets one clear error, the right exit code, and leaves nothing behind."""

import shutil
import signal
from pathlib import Path

import pytest

from toys import TINY_TRANSFORMER, toy_pairs, write_pairs


@pytest.fixture
def refused(henkan, tmp_path: Path):
    """Train with these arguments; the message, after checking exit code 2 and that no run was begun."""

    def call(*arguments: object, code: int = 2) -> str:
        output = tmp_path / "run"
        found, _, err = henkan("train", *arguments, "--output", output)
        assert found == code, err
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert not (output / "model").exists()
        assert not list(output.glob("**/*.partial")) and not (output / "prepared").exists()
        return err

    return call


def lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def test_unequal_line_counts(refused, tmp_path: Path):
    source, target = lines(tmp_path / "a.en", ["one", "two", "three"]), lines(tmp_path / "a.de", ["eins", "zwei"])
    message = refused("--source", source, "--target", target, "--steps", 1)
    assert "a.en has 3 lines" in message and "a.de has 2" in message


def test_invalid_utf8(refused, tmp_path: Path):
    source = tmp_path / "a.en"
    source.write_bytes(b"one\ntw\xff\n")
    message = refused("--source", source, "--target", lines(tmp_path / "a.de", ["eins", "zwei"]), "--steps", 1)
    assert "line 2" in message and "a.en" in message and "0xff" in message


def test_empty_file(refused, tmp_path: Path):
    (tmp_path / "empty.tsv").touch()
    assert "empty.tsv" in refused("--pairs", tmp_path / "empty.tsv", "--steps", 1)


def test_missing_file(refused, tmp_path: Path):
    assert "nowhere.tsv: no such file" in refused("--pairs", tmp_path / "nowhere.tsv", "--steps", 1)


def test_all_pairs_filtered(refused, tmp_path: Path):
    pairs = write_pairs(tmp_path / "pairs.tsv", toy_pairs(30))
    message = refused("--pairs", pairs, "--steps", 1, *TINY_TRANSFORMER, "data.filters.max_length=1")
    assert "max_length" in message and "line 1" in message and "pairs.tsv" in message


def test_one_pair_is_too_few_to_hold_any_out(refused, tmp_path: Path):
    assert "validation set of its own" in refused("--pairs", write_pairs(tmp_path / "one.tsv", toy_pairs(1)))


def test_a_table_with_a_missing_column(refused, tmp_path: Path):
    file = lines(tmp_path / "pairs.tsv", ["a\tb", "only one"])
    message = refused("--pairs", file, "--steps", 1)
    assert "line 2" in message and "pairs.tsv" in message


def test_all_config_errors_at_once_with_line_and_nearest_key(refused, tmp_path: Path, pairs_file: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"preset: transformer-small\ndata:\n  pairs: {pairs_file}\n  held_uot: 5\ntraining:\n  steps: many\n",
        encoding="utf-8",
    )
    message = refused(recipe)
    assert "recipe.yaml: 2 problems" in message
    assert "line 4" in message and "did you mean `held_out`?" in message
    assert "line 6" in message and "training.steps" in message


def test_impossible_size(refused, pairs_file: Path):
    message = refused("--pairs", pairs_file, "--steps", 1, "model.encoder.heads=7")
    assert "width 256 is not a multiple of heads 7" in message


def test_an_unknown_preset_is_told_with_file_and_line(refused, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("# a comment\npreset: luong-2016\n", encoding="utf-8")
    message = refused(recipe)
    assert "recipe.yaml: 1 problem" in message and "line 2" in message and "did you mean luong-2015?" in message


def test_one_table_for_two_vocabularies(refused, pairs_file: Path):
    message = refused("--pairs", pairs_file, "--steps", 1, "vocabulary.joint=false", "model.tied=all")
    assert "model.tied 'all' needs vocabulary.joint: true" in message
    message = refused("--pairs", pairs_file, "--steps", 1, "vocabulary.joint=false", "model.copying=true")
    assert "model.copying needs vocabulary.joint: true" in message


def test_coverage_without_attention(refused, pairs_file: Path):
    message = refused("--pairs", pairs_file, "--steps", 1, "preset=seq2seq-2014", "decoding.coverage=0.2")
    assert "decoding.coverage 0.2 needs attention, which a recurrent decoder does not have" in message


def test_unknown_preset_and_size(refused, pairs_file: Path):
    assert "did you mean luong-2015?" in refused("--pairs", pairs_file, "--preset", "luong-2016", "--steps", 1)
    assert "size" in refused("--pairs", pairs_file, "--preset", "luong-2015", "--size", "huge", "--steps", 1)


def test_two_lengths_at_once(refused, pairs_file: Path):
    assert "exactly one of" in refused("--pairs", pairs_file, "--steps", 1, "--epochs", 1)


def test_a_score_to_validate_by_that_there_is_not(refused, pairs_file: Path):
    message = refused("--pairs", pairs_file, "--steps", 1, *TINY_TRANSFORMER, "training.validate_by=blue")
    assert "validate_by" in message and "bleu" in message


def test_an_output_folder_that_holds_a_run(henkan, finished_run: Path, pairs_file: Path, tmp_path: Path):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    code, _, err = henkan("train", "--pairs", pairs_file, "--steps", 1, "--output", finished_run)
    assert code == 2
    assert "already holds a run" in err and "--resume" in err
    assert before == {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}


def test_an_output_folder_that_is_a_file(henkan, pairs_file: Path, tmp_path: Path):
    (tmp_path / "run").touch()
    code, _, err = henkan("train", "--pairs", pairs_file, "--steps", 1, "--output", tmp_path / "run")
    assert code == 2
    assert "is a file" in err


def test_a_budget_that_is_too_short_leaves_the_folder_free(refused, henkan, pairs_file: Path, tmp_path: Path):
    assert "budget" in refused("--pairs", pairs_file, "--budget", "1s", *TINY_TRANSFORMER)
    code, _, err = henkan("train", "--pairs", pairs_file, "--steps", 1, *TINY_TRANSFORMER, "--output", tmp_path / "run")
    assert code == 0, err


def test_resume_where_there_is_no_run(henkan, tmp_path: Path):
    code, _, err = henkan("train", "--resume", "--output", tmp_path / "none")
    assert code == 2
    assert "holds no run to resume" in err


def test_a_resumed_run_keeps_its_settings(henkan, finished_run: Path, tmp_path: Path):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    code, _, err = henkan("train", "--resume", "--output", copy, "training.seed=99")
    assert code == 2
    assert "keeps its settings: training.seed is 1, not 99" in err


def test_no_output(henkan, pairs_file: Path):
    code, _, err = henkan("train", "--pairs", pairs_file)
    assert code == 2
    assert "--output" in err


def test_nan_loss_stops_and_keeps_the_last_checkpoint(henkan, pairs_file: Path, tmp_path: Path):
    output = tmp_path / "run"
    blow_up = ["training.optimiser.learning_rate=1e30", "training.clip=null", "training.checkpoint_every=1"]
    code, _, err = henkan(
        "train", "--pairs", pairs_file, "--steps", 50, *TINY_TRANSFORMER, *blow_up, "--output", output
    )
    assert code == 1, err
    assert "not finite" in err and "examples of the batch: line " in err
    assert list((output / "checkpoints").iterdir()), "the last good checkpoint is gone"
    assert not (output / "model").exists()


def test_evaluate_with_unequal_files(henkan, finished_run: Path, tmp_path: Path):
    source, reference = lines(tmp_path / "a", ["ka", "mo"]), lines(tmp_path / "b", ["ka"])
    code, _, err = henkan("evaluate", finished_run, "--source", source, "--reference", reference)
    assert code == 2
    assert "2 lines" in err and "has 1" in err


@pytest.mark.parametrize("given", [[], ["--source"], ["--reference"], ["--pairs", "--source"]], ids="-".join)
def test_evaluate_wants_pairs_or_source_and_reference(henkan, finished_run: Path, pairs_file: Path, given: list[str]):
    code, _, err = henkan("evaluate", finished_run, *(word for option in given for word in (option, pairs_file)))
    assert code == 2
    assert "give --pairs with a .tsv, or --source and --reference" in err


def test_evaluate_with_an_impossible_beam(henkan, finished_run: Path, pairs_file: Path):
    code, _, err = henkan("evaluate", finished_run, "--pairs", pairs_file, "--beam", 0)
    assert code == 2
    assert "beam: expected at least 1, got 0" in err


def test_predict_with_an_impossible_beam(henkan, finished_run: Path, pairs_file: Path):
    code, _, err = henkan("predict", finished_run, pairs_file, "--beam", 0)
    assert code == 2
    assert "beam: expected at least 1, got 0" in err


def test_evaluate_with_a_metric_that_there_is_not(henkan, finished_run: Path, pairs_file: Path):
    code, _, err = henkan("evaluate", finished_run, "--pairs", pairs_file, "--metric", "blue")
    assert code == 2
    assert "metric 'blue'" in err and "bleu" in err


def test_evaluate_in_a_precision_that_there_is_not(henkan, finished_run: Path, pairs_file: Path):
    code, _, err = henkan("evaluate", finished_run, "--pairs", pairs_file, "--precision", "fp17")
    assert code == 2
    assert "precision 'fp17': expected one of auto, fp32, bf16, int8" in err


def test_evaluate_says_first_that_its_outputs_have_no_folder(henkan, finished_run: Path, pairs_file: Path):
    code, _, err = henkan("evaluate", finished_run, "--pairs", pairs_file, "--outputs", "nowhere/outputs.txt")
    assert code == 2
    assert "there is no folder nowhere" in err


def test_predict_with_a_run_that_has_no_model_yet(henkan, finished_run: Path, tmp_path: Path):
    copy = shutil.copytree(finished_run, tmp_path / "the copy")
    shutil.rmtree(copy / "model")
    code, _, err = henkan("predict", copy, tmp_path / "input")
    assert code == 2
    assert "no model yet" in err and f"'{copy}' --resume" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_pairs_are_prepared(
    henkan, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
):
    handlers = [signal.getsignal(watched) for watched in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as interrupted:
        interrupted.setattr("henkan.tasks.preparation.write_corpus", lambda *_: signal.raise_signal(number))
        found, _, err = henkan("train", "--pairs", pairs_file, "--steps", 1, "--output", tmp_path / "run")
    assert found == code
    assert "give the same command again" in err and "Traceback" not in err
    assert not list((tmp_path / "run").iterdir()), "something half-written stayed behind"
    assert handlers == [signal.getsignal(watched) for watched in (signal.SIGINT, signal.SIGTERM)]


def test_prepared_data_that_went_bad(henkan, finished_run: Path, tmp_path: Path):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    (copy / "prepared" / "report.json").write_text("{", encoding="utf-8")
    code, _, err = henkan("train", "--resume", "--output", copy)
    assert code == 2
    assert "prepared: damaged" in err and "remove it" in err


def test_predict_with_a_missing_model(henkan, tmp_path: Path):
    code, _, err = henkan("predict", tmp_path / "nothing", tmp_path / "input")
    assert code == 2
    assert "no such folder" in err


def test_a_full_disk_while_the_model_is_written(
    henkan, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("henkan.folder.save_file", full)
    output = tmp_path / "run"
    code, _, err = henkan("train", "--pairs", pairs_file, "--steps", 2, *TINY_TRANSFORMER, "--output", output)
    assert code == 1, err
    assert "No space left" in err
    assert not (output / "model").exists() and not list(output.glob("*.partial"))
    assert list((output / "checkpoints").iterdir()), "what was trained is lost"
