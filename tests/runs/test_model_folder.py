"""What a model folder promises: the same model again, or one clear error."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import henkan
from henkan.errors import FolderError, RunError, StorageError
from henkan.folder import check_folder, replace_file, write_manifest
from henkan.model import Model, load, save, verify

EXAMPLES = ["ka mo ri", "su te no hi", "wa"]


@pytest.fixture
def model_folder(finished_run: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(finished_run / "model", tmp_path / "model"))


def test_it_holds_what_the_documentation_says(model_folder: Path):
    assert {path.name for path in model_folder.iterdir()} == {
        "model.safetensors",
        "config.yaml",
        "tokenizer.json",
        "metrics.json",
        "selftest.json",
        "manifest.json",
        "README.md",
    }


def test_a_run_folder_stands_for_its_model(finished_run: Path, toy_model: Model):
    assert load(finished_run / "model").predict(EXAMPLES) == toy_model.predict(EXAMPLES)
    assert henkan.load(finished_run).config == toy_model.config


def test_saved_and_loaded_again_every_weight_is_the_same(toy_model: Model, tmp_path: Path):
    save(toy_model, tmp_path / "again", EXAMPLES, "a card")
    again = load(tmp_path / "again")
    for (name, weight), (other, copy) in zip(
        toy_model.network.named_parameters(), again.network.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(weight, copy), name


def test_verify_passes_on_what_was_saved(model_folder: Path):
    lines = verify(model_folder)
    assert "8 of 8" in lines[-1]


def test_verify_notices_changed_weights(model_folder: Path, toy_model: Model):
    network = load(model_folder).network
    with torch.no_grad():
        next(network.parameters()).mul_(1.05)
    changed = Model(toy_model.config, network, toy_model.tokenizers)
    selftest = (model_folder / "selftest.json").read_text(encoding="utf-8")
    save(changed, model_folder, EXAMPLES, "a card")
    (model_folder / "selftest.json").write_text(selftest, encoding="utf-8")
    write_manifest(model_folder)
    with pytest.raises(RunError, match="self-test gave"):
        verify(model_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "tokenizer.json", "selftest.json"])
def test_a_flipped_bit_is_found_and_the_file_named(model_folder: Path, name: str):
    content = bytearray((model_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model_folder / name).write_bytes(content)
    with pytest.raises(FolderError, match=rf"{name}.*SHA-256"):
        load(model_folder)


def test_a_truncated_file_is_found_and_named(model_folder: Path):
    content = (model_folder / "model.safetensors").read_bytes()
    (model_folder / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(FolderError, match=r"model\.safetensors: .* bytes, expected .*truncated"):
        load(model_folder)


def test_a_missing_file_is_named(model_folder: Path):
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(FolderError, match=r"tokenizer\.json: missing"):
        load(model_folder)


def test_a_newer_version_is_refused(model_folder: Path):
    manifest = json.loads((model_folder / "manifest.json").read_text(encoding="utf-8"))
    (model_folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}), encoding="utf-8")
    with pytest.raises(FolderError, match=r"newer Henkan \(format 99.*upgrade"):
        check_folder(model_folder)


@pytest.mark.parametrize("text", ["[]", "7", '{"format": 1, "files": {"config.yaml": {}}}', "[" * 100_000])
def test_a_manifest_that_is_none_is_refused(model_folder: Path, text: str):
    (model_folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(FolderError, match=r"manifest\.json|config\.yaml"):
        check_folder(model_folder)


def test_one_file_is_replaced_and_no_other_is_vouched_for_anew(model_folder: Path):
    content = (model_folder / "README.md").read_bytes()
    replace_file(model_folder, "metrics.json", '{"scores": [1]}\n')
    check_folder(model_folder)
    (model_folder / "README.md").write_bytes(content + b"more")
    replace_file(model_folder, "metrics.json", '{"scores": [2]}\n')
    with pytest.raises(FolderError, match=r"README\.md"):
        check_folder(model_folder)


def test_a_file_that_cannot_be_replaced_leaves_the_model_as_it_was(model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    monkeypatch.setattr("henkan.folder.os.fsync", full)
    with pytest.raises(StorageError, match=r"metrics\.json.*No space left"):
        replace_file(model_folder, "metrics.json", "{}")
    assert before == {path.name: path.read_bytes() for path in model_folder.iterdir()}


def test_a_manifest_cannot_point_outside_the_folder(model_folder: Path):
    manifest = json.loads((model_folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["../outside"] = {"size": 1, "sha256": "0"}
    (model_folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(FolderError, match="not the name of a file in this folder"):
        check_folder(model_folder)


def test_a_vocabulary_file_that_is_none_is_named(model_folder: Path):
    (model_folder / "tokenizer.json").write_text('{"a": 1}', encoding="utf-8")
    write_manifest(model_folder)
    with pytest.raises(henkan.HenkanError, match=r"tokenizer\.json is not a vocabulary"):
        load(model_folder)


@pytest.mark.parametrize("place", ["nothing-here", "."])
def test_a_folder_that_is_no_model_is_named(tmp_path: Path, place: str):
    with pytest.raises(FolderError, match=r"no such folder|not a model folder"):
        load(tmp_path / place)
