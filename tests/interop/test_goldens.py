"""Checkpoints of the reference library without that library: what it computed, and the way back by name."""

import json

import checkpoints
import pytest
import torch
from safetensors.torch import load_file

from henkan import interop
from henkan.tensors import Batch, Tokens

BOUND = {"rtol": 0.0, "atol": 1e-5}


def ours(imported, network):
    """What :func:`checkpoints.outputs` says of theirs, of ours."""
    ids, mask = checkpoints.tokens(checkpoints.SOURCE, 1)
    with torch.no_grad():
        if imported.config.kind == "encoder_decoder":
            source, target = Tokens(ids, mask), Tokens(*checkpoints.tokens(checkpoints.TARGET, 2))
            logits = network(Batch(torch.arange(3), source, target)).heads["tokens"].logits()
            states = network.encode(source).states
            return {"tokens": logits * target.mask[..., None], "states": states * mask[..., None]}
        if imported.config.kind == "decoder_only":
            logits = network(Batch(torch.arange(3), None, Tokens(ids, mask))).heads["tokens"].logits()
            return {"tokens": logits * mask[..., None]}
        source = Tokens(ids, mask, ids % 2 if imported.config.encoder.segments == 2 else None)
        output = network(Batch(torch.arange(3), source, None))
        found = {"states": network.encode(source).states, "pooled": output.extras["pooled"], **output.heads}
    found = {name: made if isinstance(made, torch.Tensor) else made.logits() for name, made in found.items()}
    return {name: made * mask[..., None] if made.dim() == 3 else made for name, made in found.items()}


@pytest.fixture(params=checkpoints.MODELS)
def folder(request):
    return checkpoints.folder_of(request.param)


def test_the_same_numbers(folder):
    imported = interop.read(folder)
    found, expected = ours(imported, imported.network()), load_file(folder / "expected.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, **BOUND, msg=lambda text, name=name: f"{name}: {text}")


def test_step_by_step(folder):
    """With a cache, every position of the target, and rows that have ended wait."""
    imported = interop.read(folder)
    if imported.config.kind == "encoder_only":
        pytest.skip("nothing is decoded")
    network, expected = imported.network(), load_file(folder / "expected.safetensors")["tokens"]
    source = Tokens(*checkpoints.tokens(checkpoints.SOURCE, 1))
    read = Tokens(*checkpoints.tokens(checkpoints.TARGET, 2))
    if imported.config.kind == "decoder_only":
        source, read = None, source
    with torch.no_grad():
        state = network.start(source, 3, 16)
        for place in range(read.ids.shape[1]):
            scores, state = network.step(Tokens(read.ids[:, place, None], read.mask[:, place, None]), state)
            real = read.mask[:, place]
            torch.testing.assert_close(
                scores.log_probs()[real], expected[real, place].log_softmax(-1), rtol=0.0, atol=1e-5
            )


def test_out_and_in_again(folder, tmp_path):
    imported = interop.read(folder)
    family = interop.write(tmp_path, imported.config, imported.network(), special_ids=imported.special_ids)
    again = interop.read(tmp_path)
    assert family == again.family == imported.family
    assert again.vocabularies == imported.vocabularies
    assert again.special_ids == imported.special_ids
    assert again.weights.keys() == imported.weights.keys()
    assert all(torch.equal(again.weights[name], weight) for name, weight in imported.weights.items())
    expected = load_file(folder / "expected.safetensors")
    found = ours(again, again.network())
    assert all(torch.allclose(found[name], tensor, rtol=0, atol=1e-5) for name, tensor in expected.items())


def test_files_have_their_names(folder, tmp_path):
    """Every weight that is written is called as in a file of theirs, and has the shape."""
    imported = interop.read(folder)
    interop.write(tmp_path, imported.config, imported.network(), special_ids=imported.special_ids)
    theirs, written = load_file(folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert {name: tuple(weight.shape) for name, weight in written.items() if name not in theirs} == {}
    assert all(torch.equal(weight, theirs[name]) for name, weight in written.items())
    config = json.loads((tmp_path / "config.json").read_text())
    original = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == original["model_type"]
    assert config["architectures"] == original["architectures"]
