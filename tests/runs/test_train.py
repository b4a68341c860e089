"""From pairs to a model, by every door: Python, flags, recipe; and what a run leaves behind."""

import gzip
import json
from pathlib import Path

import pytest

import henkan as package
from henkan.recipe import settings_layers
from toys import TINY, TINY_LUONG, TINY_TRANSFORMER, toy_pairs, write_pairs

TINY_BAHDANAU = [
    "preset=bahdanau-2015",
    *TINY,
    "model.encoder.cell.size=8",
    "model.decoder.cell.size=16",
    "model.decoder.attention.scores.size=8",
    "model.decoder.maxout=8",
]
TINY_SEQ2SEQ = [
    "preset=seq2seq-2014",
    *TINY,
    *(f"model.{side}.{name}" for side in ("encoder", "decoder") for name in ("cell.size=8", "layers=2")),
]


@pytest.mark.parametrize(
    "settings",
    [TINY_TRANSFORMER, TINY_LUONG, TINY_BAHDANAU, TINY_SEQ2SEQ],
    ids=lambda settings: settings[0].removeprefix("preset="),
)
def test_every_family_trains_saves_and_predicts(pairs_file: Path, tmp_path: Path, settings: list[str]):
    recipe = {"data": {"pairs": str(pairs_file)}, "training": {"steps": 4}}
    model = package.train(recipe, settings, output=tmp_path / "run")
    sources = [source for source, _ in toy_pairs(5)]
    assert package.load(tmp_path / "run").predict(sources, beam=2) == model.predict(sources, beam=2)


def test_a_run_folder_tells_its_story(finished_run: Path):
    names = {path.name for path in finished_run.iterdir()}
    assert {"config.yaml", "events.jsonl", "report.html", "checkpoints", "model", "prepared"} <= names
    events = [json.loads(line) for line in (finished_run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "end"
    assert any(event["event"] == "validation" and "bleu" in event["scores"] for event in events)


def test_flags_say_what_was_chosen_and_what_was_dropped(henkan, tmp_path: Path):
    pairs = [*toy_pairs(60), ("", "nothing")]
    source, target = tmp_path / "a.src.gz", tmp_path / "a.tgt"
    source.write_bytes(gzip.compress("".join(f"{pair[0]}\n" for pair in pairs).encode()))
    target.write_text("".join(f"{pair[1]}\n" for pair in pairs), encoding="utf-8")
    code, out, err = henkan(
        "train", "--source", source, "--target", target, "--steps", 2, *TINY_TRANSFORMER, "--output", tmp_path / "run"
    )
    assert code == 0, err
    assert "preset transformer-small, size small" in out
    assert "1 left out: empty source" in out
    assert "held out for validation" in out


def test_a_recipe_file_with_overrides(henkan, tmp_path: Path, pairs_file: Path):
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(f"data:\n  pairs: {pairs_file}\ntraining:\n  epochs: 1\n", encoding="utf-8")
    code, _, err = henkan("train", recipe, *TINY_TRANSFORMER, "--steps", 3, "--output", tmp_path / "run")
    assert code == 0, err
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert events[-1]["update"] == 3, "--steps did not win over the recipe's epochs"


def test_separate_vocabularies_need_one_setting(pairs_file: Path, tmp_path: Path):
    recipe = {"data": {"pairs": str(pairs_file)}, "training": {"steps": 1}}
    kinds = {"joint": False, "source": {"kind": "bpe", "vocabulary": 60}, "target": {"kind": "character"}}
    settings = [word for word in TINY_TRANSFORMER if not word.startswith(("vocabulary", "model.tied"))]
    model = package.train({**recipe, "vocabulary": kinds}, settings, output=tmp_path / "run")
    assert model.config.model.tied == "target"
    assert model.tokenizers[0] is not model.tokenizers[1]


def test_a_recipe_may_have_an_equals_sign_in_its_name(henkan, tmp_path: Path, pairs_file: Path):
    recipe = tmp_path / "rate=0.1.yaml"
    recipe.write_text(f"data:\n  pairs: {pairs_file}\n", encoding="utf-8")
    code, _, err = henkan("train", recipe, *TINY_TRANSFORMER, "--steps", 1, "--output", tmp_path / "run")
    assert code == 0, err


@pytest.mark.parametrize("count", [3, 7])
def test_a_handful_of_pairs_is_enough(tmp_path: Path, count: int):
    file = write_pairs(tmp_path / "pairs.tsv", toy_pairs(count))
    recipe = {"data": {"pairs": str(file)}, "training": {"steps": 2}}
    model = package.train(recipe, TINY_TRANSFORMER, output=tmp_path / "run")
    assert len(model.predict(["ka mo"], beam=100)) == 1, "a beam wider than the vocabulary"


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path):
    pairs = toy_pairs(30)
    plain = write_pairs(tmp_path / "plain.tsv", pairs)
    windows = tmp_path / "windows.tsv"
    windows.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    recipes = [{"data": {"pairs": str(file)}, "training": {"steps": 1}} for file in (plain, windows)]
    one, two = (
        package.train(recipe, TINY_TRANSFORMER, output=tmp_path / f"run-{number}")
        for number, recipe in enumerate(recipes)
    )
    assert one.log_probs(pairs) == two.log_probs(pairs)


def test_a_finished_run_that_is_resumed_stays_as_it_is(finished_run: Path, tmp_path: Path):
    import shutil

    copy = shutil.copytree(finished_run, tmp_path / "copy")
    package.train(output=copy, resume=True)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (finished_run, copy)]
    assert weights[0] == weights[1]


def test_a_budget_is_kept(henkan, tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch):
    import time

    monkeypatch.setattr("henkan.cli.app.STARTED", time.monotonic())
    started = time.monotonic()
    code, _, err = henkan(
        "train", "--pairs", pairs_file, "--budget", "8s", *TINY_TRANSFORMER, "--output", tmp_path / "run"
    )
    assert code == 0, err
    assert time.monotonic() - started < 8
    assert (tmp_path / "run" / "model" / "manifest.json").exists()


def test_words_with_pronunciations_are_recognised(tmp_path: Path):
    words = [("".join(source.split()), target) for source, target in toy_pairs(200)]
    file = write_pairs(tmp_path / "words.tsv", words)
    (preset, *_) = settings_layers({"data": {"pairs": str(file)}})
    assert preset.values["vocabulary"]["source"]["kind"] == "character"
    assert preset.values["vocabulary"]["target"]["kind"] == "word"
    assert preset.values["scores"] == ["phoneme-error-rate", "word-error-share"]
    assert preset.values["model"]["tied"] == "target"


def test_evaluate_writes_scores_into_the_model_and_the_report(henkan, tmp_path: Path, pairs_file: Path):
    recipe = {"data": {"pairs": str(pairs_file)}, "training": {"steps": 2}}
    package.train(recipe, TINY_TRANSFORMER, output=tmp_path / "run")
    test = write_pairs(tmp_path / "test.tsv", toy_pairs(20, seed=9))
    outputs = tmp_path / "outputs.txt"
    code, out, err = henkan("evaluate", tmp_path / "run", "--pairs", test, "--beam", 1, "--outputs", outputs)
    assert code == 0, err
    assert "BLEU" in out and "nrefs:1" in out and "95 % interval" in out
    assert len(outputs.read_text(encoding="utf-8").splitlines()) == len({source for source, _ in toy_pairs(20, seed=9)})
    for place in ("run", "run/model"):
        metrics = json.loads((tmp_path / place / "metrics.json").read_text(encoding="utf-8"))
        assert [score["name"] for score in metrics["scores"]] == ["BLEU", "chrF2"]
    assert "BLEU" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert henkan("verify", tmp_path / "run")[0] == 0, "the manifest does not know the new scores"
    other = ["--metric", "ter", "--metric", "exact-match", "--precision", "fp32"]
    code, out, err = henkan("evaluate", tmp_path / "run", "--pairs", test, *other)
    assert code == 0, err
    assert "TER" in out and "exact match" in out and "BLEU" not in out


def test_few_ordinary_sentences_are_cut_into_subwords(tmp_path: Path):
    sentences = ["The battery is low.", "Open the window, please.", "Nobody answered the door today."]
    file = write_pairs(tmp_path / "few.tsv", [(sentence, sentence.upper()) for sentence in sentences])
    (preset, *_) = settings_layers({"data": {"pairs": str(file)}})
    assert preset.values["vocabulary"]["source"]["kind"] == "bpe"
