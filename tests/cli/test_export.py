"""``henkan export``: what was trained here goes out, comes back by ``henkan import``, and says the same."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner

import henkan
from henkan.cli.export import export
from henkan.errors import ConfigError, FolderError, HenkanError
from henkan.importing import import_checkpoint
from henkan.model import load_any, verify
from henkan.text.tokenizer import END, START

NAMES = ["anna", "bert", "carla", "dora", "emil"]
GOLDENS = Path(__file__).parents[1] / "interop" / "goldens"
THINGS = ["tea", "bread", "cake", "soup", "rice"]
SENTENCES = [f"{name} likes {thing} ." for name in NAMES for thing in THINGS]
WIDTH = {"width": 16, "heads": 2, "feed_forward": 24, "layers": 1}


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(export)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    text = "\n\n".join("\n".join(SENTENCES[start::3] * 4) for start in range(3))
    (folder / "text.txt").write_text(text + "\n")
    rows = [f"{'sweet' if 'cake' in sentence else 'not'}\t{sentence}\t{sentence[::-1]}" for sentence in SENTENCES * 3]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    (folder / "numbers.tsv").write_text("\n".join(f"{len(s)}\t{s}" for s in SENTENCES) + "\n")
    (folder / "pairs.tsv").write_text("".join(f"{s}\t{s[::-1]}\n" for s in SENTENCES * 3))
    words = "\n\n".join(
        "\n".join(f"{word}\t{'B-X' if word in THINGS else 'O'}" for word in s.split()) for s in SENTENCES
    )
    (folder / "words.tsv").write_text(words + "\n")
    choices = [{"question": f"who is like {name} ?", "choices": NAMES[:3], "label": 1} for name in NAMES]
    (folder / "choices.jsonl").write_text("".join(f"{json.dumps(asked)}\n" for asked in choices))
    with (folder / "questions.jsonl").open("w") as lines:
        for name in NAMES:
            context = " ".join(f"{name} likes {thing} ." for thing in THINGS)
            answers = [{"text": "cake", "answer_start": context.index("cake")}]
            asked = {"id": name, "question": f"what does {name} like ?", "answers": answers}
            lines.write(json.dumps({"context": context, "qas": [asked]}) + "\n")
    return folder


def recipe(files: Path, task: str, preset: str) -> dict:
    """A model of one narrow layer, trained for two updates."""
    training = {"steps": 2, "batch_tokens": 256, "precision": "fp32", "processes": 1, "epochs": None, "budget": None}
    stacks = {"gpt2": ["decoder"], "t5": ["encoder", "decoder"], "bart": ["encoder", "decoder"]}
    stacks["marian"] = stacks["bart"]
    model: dict = {stack: dict(WIDTH) for stack in stacks.get(preset, ["encoder"])}
    if len(model) == 2:
        model["embedding"] = WIDTH["width"]
    said = {"task": task, "preset": preset, "size": "tiny", "training": training, "model": model}
    if task == "pairs":
        vocabulary = {"joint": True, "source": {"kind": "bpe", "vocabulary": 60}}
        return {**said, "data": {"pairs": str(files / "pairs.tsv"), "held_out": 5}, "vocabulary": vocabulary}
    sizes = {"t5": 160, "roberta": 300, "gpt2": 300, "bart": 300}  # those after the first have a token for each byte
    said["vocabulary"] = {"vocabulary": sizes.get(preset, 60)}
    said["length"] = 64
    if task == "pretraining":
        return {**said, "data": {"text": str(files / "text.txt")}}
    names = {"classification": "labels.tsv", "tagging": "words.tsv", "question_answering": "questions.jsonl"}
    name = {**names, "multiple_choice": "choices.jsonl"}[task]
    if task == "question_answering":
        said |= {"stride": 16, "longest_question": 16}
    return {**said, "data": {"train": str(files / name)}}


CASES = [
    ("pretraining", "bert", "bert"),
    ("pretraining", "roberta", "roberta"),
    ("pretraining", "gpt2", "gpt2"),
    ("pretraining", "t5", "t5"),
    ("pretraining", "bart", "bart"),
    ("classification", "bert", "bert"),
    ("classification", "roberta", "roberta"),
    ("classification", "deberta", "deberta-v2"),
    ("tagging", "roberta", "roberta"),
    ("question_answering", "bert", "bert"),
    ("pairs", "marian", "marian"),
]


@pytest.mark.parametrize(("task", "preset", "family"), CASES, ids=[f"{task}, {preset}" for task, preset, _ in CASES])
def test_out_and_in_again(task, preset, family, files, tmp_path):
    trained = henkan.train(recipe(files, task, preset), output=tmp_path / "run")
    told = run(tmp_path / "run", tmp_path / "out", "--to", "hf")
    assert f"a {family} checkpoint, float32" in told
    again = import_checkpoint(tmp_path / "out", tmp_path / "again")
    assert again.config.task == task and getattr(again.config, "labels", ()) == getattr(trained.config, "labels", ())
    before, after = (dict(model.network.named_parameters()) for model in (trained, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items()), "ids and rows are as they were"
    assert again.tokenizers[0].marks == trained.tokenizers[0].marks
    lines = [*SENTENCES[:6], "emil likes <mask> ."]
    if task == "question_answering":
        lines = [f"what does anna like ?\t{' '.join(SENTENCES[:5])}"]
    assert again.tokenizers[0].encode(lines) == trained.tokenizers[0].encode(lines)
    if task == "pairs":
        assert again.predict(lines, beam=1) == trained.predict(lines, beam=1)
    elif task != "pretraining" or preset in ("bert", "roberta"):
        assert again.predict(lines) == trained.predict(lines)
    assert verify(tmp_path / "again")
    special = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (special["pad_token_id"], special["bos_token_id"], special["eos_token_id"]) == (0, 2, 3)
    ids = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode("anna likes").ids
    assert (ids[0] == START, ids[-1] == END) == (family not in ("t5", "bart", "marian"), family != "gpt2")
    if task == "classification":
        assert special["id2label"] == {"0": "not", "1": "sweet"}
    assert (tmp_path / "out" / "generation_config.json").exists() == (preset in ("gpt2", "t5", "bart", "marian"))


def pretrained(files: Path, preset: str, folder: Path) -> str:
    """A model of text, which has no layer for whole texts."""
    henkan.train(recipe(files, "pretraining", preset), output=folder)
    return str(folder)


@pytest.mark.parametrize("started", [False, True], ids=["from scratch", "from a pretrained model"])
@pytest.mark.parametrize("preset", ["roberta", "deberta"])
def test_classifiers_have_all_weights_of_theirs(preset, started, files, tmp_path, capsys):
    """The reference library fills at random what it does not find, and labels texts with it."""
    said = recipe(files, "classification", preset)
    if started:
        del said["vocabulary"], said["model"]
        said["start"] = pretrained(files, preset, tmp_path / "text")
    capsys.readouterr()
    model = henkan.train(said, output=tmp_path / "run")
    assert ("fresh: heads.class.output.bias, heads.class.output.weight, pooler.dense" in capsys.readouterr().out) == (
        started
    )
    activation = {"roberta": "tanh", "deberta": "gelu"}[preset]
    assert (model.config.model.pooler.kind, model.config.model.pooler.activation) == ("dense", activation)
    run(tmp_path / "run", tmp_path / "out", "--to", "hf")
    theirs = load_file(GOLDENS / f"{preset}-classes" / "model.safetensors")
    expected = {name for name in theirs if ".layer.1." not in name}
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == expected


@pytest.mark.parametrize(
    ("preset", "pooler"), [("bert", "bert.pooler"), ("roberta", "roberta.pooler"), ("deberta", "pooler")]
)
def test_choosers_have_all_weights_of_theirs(preset, pooler, files, tmp_path):
    """Names of BertForMultipleChoice, RobertaForMultipleChoice and DebertaV2ForMultipleChoice, version 5."""
    henkan.train(recipe(files, "multiple_choice", preset), output=tmp_path / "run")
    run(tmp_path / "run", tmp_path / "out", "--to", "hf")
    written = load_file(tmp_path / "out" / "model.safetensors")
    above = {name for name in written if ".encoder." not in name and ".embeddings." not in name}
    assert above == {f"{place}.{part}" for place in (f"{pooler}.dense", "classifier") for part in ("weight", "bias")}


def test_a_classifier_without_that_layer_works_here_and_is_not_exported(files, tmp_path):
    """As all of these presets were before they had one."""
    said = recipe(files, "classification", "roberta")
    said["model"]["pooler"] = {"kind": "first"}
    trained = henkan.train(said, output=tmp_path / "run")
    assert verify(tmp_path / "run") and load_any(tmp_path / "run").predict(SENTENCES) == trained.predict(SENTENCES)
    with pytest.raises(ConfigError, match=r"roberta: heads.class reads the first vector as it is, .* as `start`"):
        run(tmp_path / "run", tmp_path / "out", "--to", "hf")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def bert(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert") / "run"
    henkan.train(recipe(files, "classification", "bert"), output=folder)
    return folder


def test_a_model_of_numbers(files, tmp_path):
    said = recipe(files, "classification", "bert")
    said |= {"labels": [], "data": {"train": str(files / "numbers.tsv")}, "scores": ["pearson"]}
    trained = henkan.train(said, output=tmp_path / "run")
    run(tmp_path / "run", tmp_path / "out", "--to", "hf")
    again = import_checkpoint(tmp_path / "out", tmp_path / "again")
    assert again.predict(SENTENCES) == trained.predict(SENTENCES)
    assert again.config.labels == ()


def test_the_reference_library_labels_pairs_alike(bert, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the reference library: pip install henkan[hf]")
    run(bert, tmp_path / "out", "--to", "hf")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    pairs = [(first, second) for first, second in zip(SENTENCES, SENTENCES[::-1], strict=True)]
    encoded = tokenizer(
        [first for first, _ in pairs], [second for _, second in pairs], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        found = theirs(**encoded).logits.argmax(-1).tolist()
    lines = ["\t".join(pair) for pair in pairs]
    assert [theirs.config.id2label[number] for number in found] == henkan.load(bert).predict(lines)


def test_weights_are_float32_and_complete(bert, tmp_path):
    run(bert, tmp_path / "out", "--to", "hf")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    counted = sum(weight.numel() for weight in weights.values())
    assert counted == sum(parameter.numel() for parameter in load_any(bert).network.parameters())


def test_what_is_refused(bert, files, tmp_path):
    with pytest.raises(ConfigError, match=r"--to tflite: expected one of hf, ctranslate2, onnx"):
        run(bert, tmp_path / "out", "--to", "tflite")
    with pytest.raises(ConfigError, match="--quantisation int8 is for --to ctranslate2 only"):
        run(bert, tmp_path / "out", "--to", "hf", "--quantisation", "int8")
    with pytest.raises(ConfigError, match="a model of the task classification; this needs one of pairs"):
        run(bert, tmp_path / "out", "--to", "ctranslate2")
    with pytest.raises(FolderError, match="there is something already"):
        run(bert, files, "--to", "hf")
    with pytest.raises(HenkanError, match=r"not a model folder|no such folder"):
        run(tmp_path / "none", tmp_path / "out", "--to", "hf")
    said = recipe(files, "pairs", "marian") | {"preset": "transformer-small"}
    said["data"]["reverse_source"] = True
    said.pop("size")
    henkan.train(said, output=tmp_path / "reversed")
    with pytest.raises(ConfigError, match=r"data\.reverse_source: true; the reference library reads sources"):
        run(tmp_path / "reversed", tmp_path / "out", "--to", "hf")
    assert not (tmp_path / "out").exists()


def test_graphs_of_an_encoder(bert, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs: pip install henkan[onnx]")
    assert "what is said of" in run(bert, tmp_path / "out", "--to", "onnx")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"reader.onnx", "manifest.json", "tokenizer.json"}
