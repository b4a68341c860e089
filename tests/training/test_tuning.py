"""Frozen parts and low-rank products: what moves, what is saved, and what is left in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_optim import set_gradients
from tiny_encoder import tiny_encoder, train_encoder
from tiny_run import tiny_options
from torch import Tensor, nn

from henkan.errors import ConfigError
from henkan.training.checkpoint import Checkpoints
from henkan.training.optim import AdamWConfig, FlatOptimiser, MasterWeights
from henkan.training.tuning import finished, freeze, prepare_for

LORA = {"rank": 2, "alpha": 4, "parts": ("attention", "feed_forward.inner")}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frozen_parts_stay_bit_for_bit_and_are_saved(tmp_path: Path, precision: str) -> None:
    before = weights_of(tiny_encoder())
    frozen = ("encoder.embedding", "encoder.layers.0", "encoder.layers.1.attention.output.bias")
    model, result = train_encoder(tmp_path, steps=5, frozen=frozen, precision=precision, ema=0.9)
    expected = {name for name in before if not f"{name}.".startswith(tuple(f"{prefix}." for prefix in frozen))}
    assert moved(before, weights_of(model)) == expected
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in model.parameters())
    assert result.weights.keys() == before.keys()
    assert not moved(weights_of(model), result.weights)
    checkpoint = Checkpoints(tmp_path).open(5)
    for part in ("masters", "ema"):
        assert checkpoint.tensors(part).keys() == {f"model.{name}" for name in before}
    learnt = {name.partition(".")[2] for name in checkpoint.tensors("optimiser")} - {""}
    assert learnt == {f"model.{name}" for name in expected}, "there are no moments of what is frozen"


def test_the_rest_moves_as_in_torch_without_the_frozen() -> None:
    ours, theirs = tiny_encoder(), tiny_encoder()
    for model in (ours, theirs):
        freeze(model, ["encoder.embedding", "encoder.layers.0"])
    config = AdamWConfig(learning_rate=0.1)
    weights = MasterWeights(ours, torch.float32)
    optimiser = FlatOptimiser(config, weights)
    learning = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    groups = [{"params": [parameter], "weight_decay": 0.01 if parameter.dim() > 1 else 0.0} for parameter in learning]
    reference = torch.optim.AdamW(groups, 0.1, config.betas, config.epsilon, fused=True)
    for seed in range(4):
        for model in (ours, theirs):
            set_gradients(model, seed)
        weights.collect()
        norm = weights.reduce(clip=1.0)
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(learning, 1.0))
        optimiser.step(1.0, torch.zeros(()))
        weights.publish()
        reference.step()
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-5, atol=1e-6)


def test_a_resumed_run_with_frozen_parts_is_the_unbroken_one(tmp_path: Path) -> None:
    settings = {"frozen": ("encoder.embedding",), "checkpoint_every": 3, "ema": 0.9, "precision": "bf16"}
    train_encoder(tmp_path / "parts", steps=3, **settings)
    _, parts = train_encoder(tmp_path / "parts", steps=6, resume=True, **settings)
    _, whole = train_encoder(tmp_path / "whole", steps=6, **settings)
    assert not moved(parts.weights, whole.weights)


def test_an_average_of_checkpoints_keeps_frozen_weights(tmp_path: Path) -> None:
    settings = {"frozen": ("encoder.embedding",), "average": 3, "checkpoint_every": 2, "validate_by": "right"}
    model, result = train_encoder(tmp_path, steps=6, scores=[0.1, 0.9], **settings)
    assert result.averaged == 3
    assert torch.equal(model.encoder.embedding.weight, tiny_encoder().encoder.embedding.weight)


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"begins with 'encoder\.layer\.0'; the nearest is encoder\.layers\.0"):
        freeze(tiny_encoder(), ["encoder.layer.0"])
    with pytest.raises(ConfigError, match=r"begins with 'encoder\.layers\.0\.attent'"):
        freeze(tiny_encoder(), ["encoder.layers.0.attent"])
    with pytest.raises(ConfigError, match="nothing is left to learn"):
        prepare_for(tiny_encoder(), tiny_options(steps=1, frozen=("encoder", "heads")))
    with pytest.raises(ConfigError, match=r"training\.lora\.parts: .* 'atention'; did you mean attention\?"):
        prepare_for(tiny_encoder(), tiny_options(steps=1, lora={"parts": ("atention",)}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_low_rank_training_moves_products_and_heads_alone(tmp_path: Path, precision: str) -> None:
    before = weights_of(tiny_encoder())
    model, result = train_encoder(tmp_path, steps=5, lora=LORA, precision=precision)
    changed = {
        f"encoder.layers.{layer}.{part}.weight"
        for layer in (0, 1)
        for part in ("attention.inputs", "attention.output", "feed_forward.inner")
    }
    assert moved(before, weights_of(model)) == {*changed, "heads.tokens.output.weight", "heads.tokens.output.bias"}
    assert not moved(weights_of(model), result.weights), "the plain network again, by its own names"
    for name in changed:
        assert torch.linalg.matrix_rank((model.get_parameter(name) - before[name]).double(), rtol=1e-4) == 2


def test_low_rank_training_resumed_is_unbroken(tmp_path: Path) -> None:
    settings = {"lora": {**LORA, "dropout": 0.2}, "checkpoint_every": 3, "layer_decay": 0.9, "unfreeze_every": 2}
    train_encoder(tmp_path / "parts", steps=3, **settings)
    _, parts = train_encoder(tmp_path / "parts", steps=6, resume=True, **settings)
    _, whole = train_encoder(tmp_path / "whole", steps=6, **settings)
    assert not moved(parts.weights, whole.weights)


def test_what_learns_is_as_many_numbers_as_expected() -> None:
    model = tiny_encoder()
    prepare_for(model, tiny_options(steps=1, lora=LORA))
    weights = MasterWeights(model, torch.float32)
    products = 2 * 2 * ((8 + 24) + (8 + 8) + (8 + 12))  # layers, rank, inputs and outputs of each
    assert weights.count == products + 8 * 12 + 12


def test_nothing_changes_where_nothing_is_asked_for() -> None:
    model = tiny_encoder()
    model.encoder.embedding.requires_grad_(False)
    before, options = weights_of(model), tiny_options(steps=1)
    prepare_for(model, options)
    finished(model, options)
    assert not moved(before, weights_of(model))
    assert not model.encoder.embedding.weight.requires_grad, "it is the caller's choice"
