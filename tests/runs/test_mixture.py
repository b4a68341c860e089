"""One model for several tasks: trained, told what to do by prefixes, scored part by part, checked and gone on from."""

import json

import pytest

import henkan
from henkan.errors import ConfigError, DataError
from henkan.model import LineModel, verify
from henkan.recipe import read_recipe
from henkan.recipe.mixture import MixtureRecipe
from henkan.settings import Layer
from toys import toy_pairs, write_pairs

TRAINING = {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1, "epochs": None, "budget": None}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    pairs = toy_pairs(80)
    write_pairs(folder / "there.tsv", pairs)
    write_pairs(folder / "back.tsv", [(target, source) for source, target in pairs[:40]])
    (folder / "text.txt").write_text("\n".join(target for _, target in pairs) + "\n")
    return folder


def parts(files, *weights, text=True):
    found = {
        "there": {"kind": "pairs", "data": {"pairs": str(files / "there.tsv"), "prefix": "there: "}},
        "back": {"kind": "pairs", "data": {"pairs": str(files / "back.tsv"), "prefix": "back: "}},
    }
    if text:
        found["spans"] = {"kind": "text", "data": {"text": str(files / "text.txt")}}
    for part, weight in zip(found.values(), weights, strict=False):
        part["weight"] = weight
    return found


def recipe(files, **more):
    given = {"task": "mixture", "size": "tiny", "length": 32, "training": TRAINING, "vocabulary": {"vocabulary": 160}}
    return {**given, "parts": parts(files), **more}


def settled(given):
    return read_recipe(MixtureRecipe.settle([Layer(given, "test")])[0])


def test_three_tasks_in_one_model(files, tmp_path, capsys):
    model = henkan.train(recipe(files, parts=parts(files, 1, 2, 0.5)), output=tmp_path / "run")
    assert isinstance(model, LineModel)
    said = capsys.readouterr().out
    assert "preset t5, size tiny; a mixture of there, back, spans" in said
    assert "back: held out for validation: 8 of 40 pairs" in said
    assert verify(tmp_path / "run")[-1].startswith("greedy outputs equal")
    assert henkan.load(tmp_path / "run").predict(["there: ka mo"]) == model.predict(["there: ka mo"])
    rows = [(f"there: {source}", target) for source, target in toy_pairs(6)] + [("back: b", "a")]
    names = [score.name for score in model.score(write_pairs(tmp_path / "test.tsv", rows))]
    assert names == ["there: BLEU", "there: chrF2", "back: BLEU", "back: chrF2"]
    with pytest.raises(DataError, match="source 2 has no prefix that the model knows \\('there: ', 'back: '\\)"):
        model.score(write_pairs(tmp_path / "wrong.tsv", [rows[0], ("ka mo", "b")]))


def test_weights_or_sizes_say_how_often_a_part_comes(files, tmp_path):
    def counts(**given):
        config = settled(recipe(files, **given))
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return config.prepare(folder, lambda line: None, lambda doing, done, total: None).task().counts("train")

    plain = counts(parts=parts(files, text=False))
    assert plain == {"there": 64, "back": 32}
    assert counts(parts=parts(files, 1, 2, text=False)) == {"there": 64, "back": 128}
    tempered = counts(parts=parts(files, text=False), temperature=2.0)
    assert tempered == {"there": 64, "back": round(64 / 2**0.5)}


def test_a_score_of_one_part_chooses(files, tmp_path):
    training = {**TRAINING, "validate_by": "back.bleu"}
    henkan.train(recipe(files, training=training), output=tmp_path / "run")
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert any("back.bleu" in json.dumps(event) and "there.bleu" not in json.dumps(event) for event in events[1:])


def test_it_goes_on_from_a_model_of_text_and_is_gone_on_from(files, tmp_path):
    text = {"task": "pretraining", "preset": "bart", "size": "tiny", "length": 32, "training": TRAINING}
    text |= {"vocabulary": {"vocabulary": 280}, "data": {"text": str(files / "text.txt")}}
    henkan.train(text, output=tmp_path / "text")
    mixed = parts(files)
    mixed["spans"]["reading"] = {"kind": "denoising"}
    given = {"task": "mixture", "start": str(tmp_path / "text"), "training": TRAINING, "parts": mixed}
    model = henkan.train(given, output=tmp_path / "mixed")
    assert model.config.preset == "bart"
    pairs = {"start": str(tmp_path / "mixed"), "data": {"pairs": str(files / "there.tsv")}, "training": TRAINING}
    assert len(henkan.train(pairs, output=tmp_path / "pairs").predict(["ka mo"])) == 1
    given = {"task": "mixture", "start": str(tmp_path / "pairs"), "parts": parts(files, text=False)}
    config = settled({**given, "training": TRAINING})
    assert (config.preset, config.vocabulary) == ("bart", model.config.vocabulary)


def test_resumed_as_if_nothing_had_happened(files, tmp_path):
    given = recipe(files, training={**TRAINING, "steps": 6, "checkpoint_every": 3, "keep": 10})
    henkan.train(given, output=tmp_path / "whole")
    henkan.train(given, output=tmp_path / "parts")
    for path in (tmp_path / "parts" / "checkpoints").glob("step-*6"):
        for file in sorted(path.rglob("*"), reverse=True):
            file.unlink()
        path.rmdir()
    (tmp_path / "parts" / "best.json").unlink(missing_ok=True)
    henkan.train(output=tmp_path / "parts", resume=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_settings_that_do_not_go_together(files):
    twice, reverse, plain = parts(files), parts(files), parts(files)
    twice["back"]["data"]["prefix"] = "there: "
    reverse["back"]["data"]["reverse_source"] = True
    plain["spans"]["data"] = {"pairs": "x.tsv"}
    for wrong, said in (
        (recipe(files, preset="bert"), "preset 'bert': a mixture is of text to text; choose one of t5, bart"),
        (recipe(files, parts=twice), "there and back have the same data.prefix 'there: '"),
        (recipe(files, parts=reverse), "read in one direction"),
        (recipe(files, parts=plain), "one of kind 'pairs'"),
        (recipe(files, parts=parts(files, 1)), "parts.back.weight is missing"),
        (recipe(files, parts=parts(files, 1, 1, 1), temperature=2.0), "temperature is for parts without weights"),
        (recipe(files, vocabulary={"sentinels": 0}), "parts.spans hides spans: set vocabulary.sentinels"),
        (recipe(files, training={**TRAINING, "validate_by": "bleu"}), "'bleu' is none of loss, there.bleu"),
        (recipe(files, parts={"a/b": parts(files)["there"]}), "letters, digits, - and _ only"),
        (recipe(files, parts={}), "parts"),
    ):
        with pytest.raises(ConfigError, match=said):
            settled(wrong)


def test_the_command_line_knows_it(files, tmp_path, henkan):
    code, out, _ = henkan("schema", "--task", "mixture")
    assert code == 0
    assert "temperature" in json.loads(out)["properties"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe(files)))
    code, out, err = henkan("explain", tmp_path / "recipe.yaml")
    assert code == 0, err
    assert "preset t5 (tiny)" in out
