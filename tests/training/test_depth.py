"""How deep parameters are in every assembly, and rates by depth against torch's parameter groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from test_optim import CONFIGS
from tiny_encoder import tiny_encoder, train_encoder
from torch import Tensor, nn

import zoo
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.training.checkpoint import Checkpoints
from henkan.training.depth import depths, share
from henkan.training.optim import AdadeltaConfig, AdamWConfig, FlatOptimiser, MasterWeights, decayed_parameters


def small_bert() -> nn.Module:
    """Three layers and a head."""
    torch.manual_seed(0)
    return EncoderOnlyConfig.model_validate(
        {
            "encoder": {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 12, "layers": 3, "dropout": 0.0},
            "pooler": {"kind": "dense"},
            "heads": {"label": {"kind": "class", "classes": 3, "dropout": 0.0}},
        }
    ).build(11)


def depth_by_start(names: Sequence[str]) -> dict[str, int]:
    """By the first words of names; all parameters there must agree."""
    found: dict[str, set[int]] = {}
    for name, depth in depths(names).items():
        words = name.split(".")
        start = ".".join(words[:3] if "layers" in words[:2] or "upper" in words[:2] else words[:2])
        found.setdefault(start, set()).add(depth)
    assert all(len(several) == 1 for several in found.values()), found
    return {start: several.pop() for start, several in found.items()}


def test_an_encoder_with_heads() -> None:
    assert depth_by_start([name for name, _ in small_bert().named_parameters()]) == {
        "heads.label": 0,
        "pooler.dense": 0,
        "encoder.layers.2": 1,
        "encoder.layers.1": 2,
        "encoder.layers.0": 3,
        "encoder.embedding": 4,
    }


def test_the_decoder_is_above_the_encoder_and_embeddings_below_both() -> None:
    model = zoo.build(zoo.CONFIGS["transformer, post-norm"], torch.float32)
    assert depth_by_start([name for name, _ in model.named_parameters()]) == {
        "head.weight": 0,
        "decoder.layers.1": 1,
        "decoder.layers.0": 2,
        "encoder.layers.1": 3,
        "encoder.layers.0": 4,
        "decoder.embedding": 5,
        "encoder.embedding": 5,
    }


def test_without_anything_of_its_own_a_head_leaves_depth_0_to_the_top_layer() -> None:
    model = zoo.build_causal(zoo.CAUSAL_CONFIGS["gpt2"], torch.float32)
    assert depth_by_start([name for name, _ in model.named_parameters()]) == {
        "decoder.last_norm": 0,
        "decoder.layers.1": 0,
        "decoder.layers.0": 1,
        "decoder.embedding": 2,
        "decoder.positions": 2,
    }


def test_gnmts_bottom_layer_is_a_layer() -> None:
    found = depth_by_start([name for name, _ in zoo.build(zoo.CONFIGS["gnmt"], torch.float32).named_parameters()])
    assert found["decoder.upper.0"] + 1 == found["decoder.bottom"] < found["encoder.layers.0"]


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_assembly_has_depths_without_gaps(name: str) -> None:
    names = [name for name, _ in zoo.build(zoo.CONFIGS[name], torch.float32).named_parameters()]
    found = depths(names)
    assert set(found.values()) == set(range(max(found.values()) + 1))
    deepest = max(found.values())
    assert all(
        depth == deepest for name, depth in found.items() if "embedding.weight" in name and "readout" not in name
    )


def test_the_share_of_a_depth() -> None:
    assert [share(depth, 0, 0.5, None) for depth in range(3)] == [1.0, 0.5, 0.25]
    assert [share(depth, 9, None, None) for depth in range(3)] == [1.0, 1.0, 1.0]
    assert [[share(depth, update, None, 2) for depth in range(3)] for update in (0, 1, 2, 3, 4)] == [
        [1, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
        [1, 1, 1],
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_rates_by_depth_are_torchs_parameter_groups(config) -> None:
    """One group of torch's for each parameter, with the rate written out; layers open at updates 2, 4 and so on."""
    ours, theirs = small_bert(), small_bert()
    names = [name for name, _ in ours.named_parameters()]
    by_name = depths(names)
    weights = MasterWeights(ours, torch.float32, depths=by_name)
    optimiser = FlatOptimiser(config, weights)
    decayed = decayed_parameters(theirs)
    groups = [
        {"params": [p], "lr": 0.0, "weight_decay": config.weight_decay if p in decayed else 0.0}
        for p in theirs.parameters()
    ]
    if isinstance(config, AdamWConfig):
        reference = torch.optim.AdamW(groups, 0.1, config.betas, config.epsilon, fused=True)
    elif isinstance(config, AdadeltaConfig):
        reference = torch.optim.Adadelta(groups, 0.1, config.rho, config.epsilon)
    else:
        reference = torch.optim.SGD(groups, 0.1, config.momentum, fused=True)
    before = {name: parameter.detach().clone() for name, parameter in ours.named_parameters()}
    for update in range(11):
        for model in (ours, theirs):
            generator = torch.Generator().manual_seed(update)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        weights.collect()
        weights.reduce(clip=None)
        rate = optimiser.step(0.5, torch.zeros(()), lambda depth, update=update: share(depth, update, 0.8, 2))
        assert rate == 0.5 * config.learning_rate, "the highest, as it is reported"
        weights.publish()
        for name, group in zip(names, reference.param_groups, strict=True):
            group["lr"] = rate * (0.8 ** by_name[name] if by_name[name] <= update // 2 else 0.0)
        reference.step()
        for name, parameter in ours.named_parameters():
            still = update < 2 * by_name[name]
            assert torch.equal(parameter, before[name]) == still, f"{name} after update {update}"
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-6, atol=1e-7)


def test_state_by_name_does_not_depend_on_depths() -> None:
    """Moments are laid out by depth, and travel by name to a run without."""
    moved: list[dict[str, Tensor]] = []
    for by_depth in (True, False):
        model = small_bert()
        found = depths([name for name, _ in model.named_parameters()]) if by_depth else None
        weights = MasterWeights(model, torch.float32, depths=found)
        optimiser = FlatOptimiser(CONFIGS[0], weights)
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        weights.collect()
        weights.reduce(clip=None)
        optimiser.step(1.0, torch.zeros(()))
        moved.append({**weights.views(weights.flat), **optimiser.tensors()})
    assert moved[0].keys() == moved[1].keys()
    assert all(torch.equal(moved[0][name], moved[1][name]) for name in moved[0])


def test_a_resumed_run_goes_on_unfreezing(tmp_path: Path) -> None:
    settings = {"unfreeze_every": 4, "layer_decay": 0.5, "checkpoint_every": 6, "keep": 9}
    train_encoder(tmp_path / "parts", steps=6, **settings)
    train_encoder(tmp_path / "parts", steps=12, resume=True, **settings)
    train_encoder(tmp_path / "whole", steps=12, **settings)
    early, parts, whole = (
        Checkpoints(tmp_path / name).open(update).tensors("masters")
        for name, update in (("whole", 6), ("parts", 12), ("whole", 12))
    )
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    start = {f"model.{name}": parameter for name, parameter in tiny_encoder().named_parameters()}
    frozen = {name for name in start if torch.equal(start[name], early[name])}
    assert {name for name in start if name.startswith(("model.encoder.embedding", "model.encoder.layers.0."))} == frozen
    assert {name for name in start if torch.equal(start[name], whole[name])} == {"model.encoder.embedding.weight"}
