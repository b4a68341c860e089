"""What is missing, left over, damaged or not ours to read is said by name, with a cure."""

import json
import shutil

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from henkan import interop
from henkan.errors import ConfigError, FolderError
from henkan.nn.pooling import FirstPoolerConfig


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(checkpoints.folder_of("bert, masks"), tmp_path / "theirs")


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'; expected one of bert, roberta"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'; expected a whole number"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; expected one of gelu"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'; expected 'absolute'"),
        ({"num_attention_heads": 3}, "width 8 is not a multiple of heads 3"),
        ({"intermediate_size": 13}, r"weight encoder.layers.0.feed_forward.inner.weight is \(12, 8\), the model wants"),
        ({"num_hidden_layers": 3}, "weights lack encoder.layer.2.attention.self.query.weight"),
        ({"vocab_size": 24}, "vocab_size is 24, and the embedding has 23 rows; copy both files of one model"),
        ({"num_hidden_layers": 1}, "weights that no part of this model takes: encoder.layer.1"),
    ],
)
def test_settings(folder, values, message):
    change(folder, **values)
    with pytest.raises(FolderError, match=message):
        interop.read(folder)


@pytest.mark.parametrize("name", ["bert, classes", "roberta, classes", "deberta, classes"])
def test_several_labels_for_one_text(name, tmp_path):
    """Scores of each label by itself would be read as those of one that excludes the others."""
    folder = shutil.copytree(checkpoints.folder_of(name), tmp_path / "theirs")
    change(folder, problem_type="single_label_classification")
    interop.read(folder)
    change(folder, problem_type="multi_label_classification")
    with pytest.raises(FolderError, match=r"several labels for one text, .*: model.base_model.save_pretrained"):
        interop.read(folder)


def test_a_missing_weight(folder):
    rewrite(folder, lambda weights: weights.pop("bert.embeddings.LayerNorm.bias"))
    with pytest.raises(FolderError, match=r"weights lack embeddings.LayerNorm.bias \(1 in all\)"):
        interop.read(folder)


def test_a_weight_left_over(folder):
    rewrite(folder, lambda weights: weights.update(adapter=torch.zeros(2)))
    with pytest.raises(FolderError, match=r"no part of this model takes: adapter \(1 in all\)"):
        interop.read(folder)


def test_names_of_old(folder):
    """Early files call the weights of norms gamma and beta, and hold positions and tied copies."""

    def age(weights):
        for name in [name for name in weights if "LayerNorm" in name]:
            weights[name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = (
                weights.pop(name)
            )
        weights["bert.embeddings.position_ids"] = torch.arange(12)[None]
        weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()

    expected = interop.read(folder).weights
    rewrite(folder, age)
    found = interop.read(folder).weights
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_a_tied_weight_with_other_numbers(folder):
    rewrite(folder, lambda weights: weights.update({"cls.predictions.decoder.weight": torch.zeros(23, 8)}))
    with pytest.raises(FolderError, match=r"is tied to embeddings.word_embeddings.weight, and their numbers differ"):
        interop.read(folder)


def test_a_pickle_is_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FolderError, match=r"a pickle can run code, so it is not read; save the model as safetensors"):
        interop.read(folder)


def test_no_weights_and_no_config(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolderError, match=r"no weights; expected model.safetensors"):
        interop.read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FolderError, match=r"no config.json; expected a folder that model.save_pretrained wrote"):
        interop.read(folder)


def test_a_place_that_is_no_checkpoint_is_called_what_it_is(folder):
    with pytest.raises(FolderError, match="there is no such folder; expected"):
        interop.read(folder / "nowhere")
    with pytest.raises(FolderError, match="a file, not a folder; expected"):
        interop.read(folder / "model.safetensors")
    (folder / "config.json").unlink()
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FolderError, match="a model of Henkan already, to be used as it is; expected"):
        interop.read(folder)


def test_a_damaged_file(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(FolderError, match="not a whole safetensors file"):
        interop.read(folder)


def shards(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: f"model-{number % 2 + 1:05}-of-00002.safetensors" for number, name in enumerate(sorted(weights))}
    for file in set(names.values()):
        save_file({name: weights[name] for name, place in names.items() if place == file}, folder / file)
    return names


def test_several_files(folder):
    expected = interop.read(folder).weights
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards(folder)}))
    found = interop.read(folder).weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../model.safetensors", "expected the name of a .safetensors file in this folder"),
        ("weights.bin", "expected the name of a .safetensors file in this folder"),
        ("other.safetensors", "the index names this file, and it is not there"),
    ],
)
def test_an_index_that_leads_elsewhere(folder, file, message):
    names = shards(folder) | {"one.more": file}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(FolderError, match=message):
        interop.read(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transformer, pre-norm, all tied", "encoder.norm is 'pre', there 'post'"),
        ("seq2seq, lstm", "has no recurrent parts"),
        ("linear biases", "width 8 is not a multiple of heads 3"),
    ],
)
def test_what_no_family_has(name, message, tmp_path):
    config = zoo.CONFIGS[name]
    with pytest.raises(ConfigError, match=message):
        interop.write(tmp_path / "out", config, zoo.build(config, torch.float32))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["bert, regression", "roberta, classes", "deberta, classes"])
def test_heads_of_whole_texts_without_a_dense_layer(name, tmp_path):
    """There such a layer is always there, and what is not in the file begins at random."""
    imported = interop.read(checkpoints.folder_of(name))
    config = imported.config.model_copy(update={"pooler": FirstPoolerConfig()})
    network = config.build(imported.vocabularies[0])
    with pytest.raises(ConfigError, match=f"{imported.family}: heads.* filled at random; train on with this model"):
        interop.write(tmp_path / "out", config, network)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "family"), [("t5", "t5"), ("t5 1.1", "t5"), ("bart", "bart"), ("marian", "marian")])
def test_families_are_found_by_their_parts(name, family, tmp_path):
    config = zoo.CONFIGS[name]
    model = zoo.build(config, torch.float32)
    assert interop.write(tmp_path, config, model) == family
    weights = dict(model.named_parameters())
    again = interop.read(tmp_path).weights
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


def test_roberta_counts_places_from_its_padding(tmp_path):
    imported = interop.read(checkpoints.folder_of("roberta, masks"))
    with pytest.raises(ConfigError, match="pad_token_id is 0, and places of a roberta model count from 1"):
        interop.write(tmp_path, imported.config, imported.network(), special_ids={"pad": 0})


def test_labels_and_tokenizer(tmp_path):
    imported = interop.read(checkpoints.folder_of("bert, classes"))
    assert imported.labels == ["LABEL_0", "LABEL_1", "LABEL_2"] or imported.labels is None
    tokenizer = tmp_path / "mine.json"
    tokenizer.write_text("{}")
    names = ["no", "maybe", "yes"]
    interop.write(tmp_path / "out", imported.config, imported.network(), labels=names, tokenizer=tokenizer)
    again = interop.read(tmp_path / "out")
    assert again.labels == names
    assert again.tokenizer.read_text() == "{}"
