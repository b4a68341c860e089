"""Saving: the named parameters are all of a model; filled into a new one they give the same numbers, bit for bit."""

import copy

import pytest
import torch
from safetensors import torch as safetensors

import zoo


@pytest.mark.parametrize("name", zoo.CONFIGS)
@torch.no_grad()
def test_named_parameters_are_the_model(name):
    model, fresh = (zoo.build(zoo.CONFIGS[name], torch.float32) for _ in range(2))
    batch = zoo.batch(zoo.tokens([4, 2]), zoo.tokens([3, 5]))
    expected = model(batch).heads["tokens"].logits()
    assert not torch.equal(fresh(batch).heads["tokens"].logits(), expected), "two models start differently"
    saved = safetensors.load(safetensors.save(dict(model.named_parameters())))
    wanted = dict(fresh.named_parameters())
    assert saved.keys() == wanted.keys()
    for key, parameter in wanted.items():
        parameter.copy_(saved[key])
    assert torch.equal(fresh(batch).heads["tokens"].logits(), expected)
    assert not dict(model.named_buffers()), "nothing that a file would have to hold beside the parameters"


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_tied_tables_are_one_parameter(name):
    """Tied tables are saved once, and are still one table in a copy of the model."""
    config = zoo.CONFIGS[name]
    for model in (original := zoo.build(config), copy.deepcopy(original)):
        source, target, output = model.encoder.embedding.weight, model.decoder.embedding.weight, model.head.weight
        assert (target is output) == (config.tied in ("all", "target"))
        assert (source is target) == (config.tied in ("all", "inputs"))
