"""Flat masters against torch's own optimisers on separate parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_run import TinyModel
from torch import Tensor, nn

from henkan.errors import FolderError
from henkan.training.optim import (
    AdadeltaConfig,
    AdamWConfig,
    FiniteWatch,
    FlatOptimiser,
    MasterWeights,
    MovingAverage,
    SGDConfig,
    decayed_parameters,
)

GO = torch.zeros(())


def set_gradients(model: nn.Module, seed: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = (scale * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype)


def torch_optimiser(config: Any, model: nn.Module) -> torch.optim.Optimizer:
    """The same optimiser without flat buffers: torch's plain loop over parameters."""
    decayed = decayed_parameters(model)
    groups: list[dict] = [
        {"params": [p for p in model.parameters() if p in decayed]},
        {"params": [p for p in model.parameters() if p not in decayed], "weight_decay": 0.0},
    ]
    if isinstance(config, AdamWConfig):
        return torch.optim.AdamW(
            groups, 0.1, config.betas, config.epsilon, config.weight_decay, fused=False, foreach=False
        )
    if isinstance(config, SGDConfig):
        return torch.optim.SGD(groups, 0.1, config.momentum, weight_decay=config.weight_decay, foreach=False)
    return torch.optim.Adadelta(groups, 0.1, config.rho, config.epsilon, config.weight_decay, foreach=False)


CONFIGS = [
    AdamWConfig(learning_rate=0.2, weight_decay=0.3),
    SGDConfig(learning_rate=0.2, momentum=0.9, weight_decay=0.3),
    SGDConfig(learning_rate=0.2),
    AdadeltaConfig(learning_rate=0.2, weight_decay=0.3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_flat_steps_are_torchs_steps(config: Any) -> None:
    ours, theirs = TinyModel(), TinyModel()
    weights = MasterWeights(ours, torch.float32)
    optimiser = FlatOptimiser(config, weights)
    reference = torch_optimiser(config, theirs)
    for seed in range(5):
        set_gradients(ours, seed)
        set_gradients(theirs, seed)
        weights.collect()
        norm = weights.reduce(clip=2.0)
        assert optimiser.step(0.5, GO) == pytest.approx(0.1)
        weights.publish()
        expected_norm = nn.utils.clip_grad_norm_(theirs.parameters(), 2.0)
        reference.step()
        torch.testing.assert_close(norm, expected_norm)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_matrices_decay_but_not_embeddings_norms_and_biases() -> None:
    model = TinyModel()
    assert decayed_parameters(model) == {model.hidden.weight}, "the output matrix is tied to the embedding"


def test_a_tied_parameter_appears_once() -> None:
    weights = MasterWeights(TinyModel(), torch.float32)
    names = set(weights.views(weights.flat))
    assert names == {
        "embedding.weight",
        "hidden.weight",
        "hidden.bias",
        "norm.weight",
        "norm.bias",
        "output.bias",
    }
    assert weights.count == 12 * 8 + 8 * 8 + 8 + 8 + 8 + 12


def test_gradients_are_summed_in_float32() -> None:
    model = TinyModel()
    weights = MasterWeights(model, torch.bfloat16)
    assert model.hidden.weight.dtype == torch.bfloat16
    expected = torch.zeros(8, 8)
    for seed in range(16):
        set_gradients(model, seed)
        assert model.hidden.weight.grad is not None
        expected += model.hidden.weight.grad.float()
        weights.collect()
        assert model.hidden.weight.grad is None, "freed"
    weights.reduce(None)
    torch.testing.assert_close(weights.views(weights.gradient)["hidden.weight"], expected, rtol=0, atol=0)


def test_an_update_starts_from_nothing_whichever_parameters_took_part() -> None:
    model = TinyModel()
    weights = MasterWeights(model, torch.float32)
    set_gradients(model, 0)
    weights.collect()
    weights.reduce(None)
    set_gradients(model, 1)
    model.norm.weight.grad = None
    weights.collect()
    weights.reduce(None)
    assert weights.views(weights.gradient)["norm.weight"].abs().sum() == 0
    assert weights.reduce(None) == 0, "a rank with nothing to do adds zero"


def test_small_steps_are_not_lost_in_bf16() -> None:
    model = TinyModel()
    weights = MasterWeights(model, torch.bfloat16)
    optimiser = FlatOptimiser(SGDConfig(learning_rate=1e-4), weights)
    before = weights.flat.clone()
    for _ in range(100):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        weights.collect()
        weights.reduce(None)
        optimiser.step(1.0, GO)
        weights.publish()
    moved = weights.views(before - weights.flat)["hidden.weight"]
    torch.testing.assert_close(moved, torch.full((8, 8), 0.01), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(model.hidden.weight, weights.views(weights.flat)["hidden.weight"].bfloat16())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_state_travels_by_name(config: Any) -> None:
    model, weights, optimiser = started(config)
    saved = {name: value.clone() for name, value in optimiser.tensors().items()}
    again_model, again_weights, again = started(config, steps=0)
    again_weights.load({name: view.clone() for name, view in weights.views(weights.flat).items()}, "here")
    again.load(saved, "here")
    for one_model, one_weights, one in ((model, weights, optimiser), (again_model, again_weights, again)):
        step(one_model, one_weights, one, seed=77)
    assert torch.equal(weights.flat, again_weights.flat), "the next step is the same, bit for bit"
    assert {name.partition(".")[2] for name in saved} - {""} <= set(weights.views(weights.flat))


def test_weights_of_another_model_are_refused() -> None:
    _, weights, _ = started(CONFIGS[0])
    tensors = weights.views(weights.flat)
    with pytest.raises(FolderError, match=r"checkpoint 3 has no hidden\.bias"):
        weights.load({name: value for name, value in tensors.items() if name != "hidden.bias"}, "checkpoint 3")
    with pytest.raises(FolderError, match=r"has extra"):
        weights.load({**tensors, "extra": torch.zeros(1)}, "checkpoint 3")
    with pytest.raises(FolderError, match=r"hidden\.bias is \(9,\), this model's is \(8,\)"):
        weights.load({**tensors, "hidden.bias": torch.zeros(9)}, "checkpoint 3")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_a_skipped_step_changes_nothing(config: Any) -> None:
    model, weights, optimiser = started(config)
    before = weights.flat.clone()
    state = {name: value.clone() for name, value in optimiser.tensors().items()}
    step(model, weights, optimiser, seed=5, scale=float("nan"), skip=torch.ones(()))
    assert torch.equal(before, weights.flat)
    assert all(torch.equal(state[name], value) for name, value in optimiser.tensors().items())


def test_other_weights_are_used_for_a_while() -> None:
    model, weights, _ = started(CONFIGS[0])
    before = model.hidden.weight.detach().clone()
    with weights.using(torch.full_like(weights.flat, 2.0)):
        assert bool((model.hidden.weight == 2.0).all())
    assert torch.equal(model.hidden.weight, before)


def test_the_model_is_left_in_float32() -> None:
    model = TinyModel()
    weights = MasterWeights(model, torch.bfloat16)
    weights.release(weights.flat * 2)
    assert model.hidden.weight.dtype == torch.float32
    torch.testing.assert_close(model.hidden.weight.detach(), 2 * TinyModel().hidden.weight.detach())
    assert model.output.weight is model.embedding.weight, "still tied"


def test_moving_average_is_the_formula() -> None:
    _, weights, _ = started(CONFIGS[0])
    average = MovingAverage(0.9, weights)
    expected = average.flat[0].item()
    for updates, value in [(0, 1.0), (1, 2.0), (500, 3.0)]:
        average.update(torch.full_like(weights.flat, value), updates)
        decay = min(0.9, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * value
    assert average.flat[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_first_bad_update_is_remembered() -> None:
    watch = FiniteWatch(torch.device("cpu"))
    good, bad = torch.ones(2), torch.tensor([1.0, float("inf")])
    skips = [float(watch.look(update, value, torch.ones(()))) for update, value in enumerate([good, bad, good, bad])]
    assert skips == [0.0, 1.0, 1.0, 1.0]
    assert watch.first() == 1


def started(config: Any, steps: int = 3) -> tuple[nn.Module, MasterWeights, FlatOptimiser]:
    model = TinyModel()
    weights = MasterWeights(model, torch.float32)
    optimiser = FlatOptimiser(config, weights)
    for seed in range(steps):
        step(model, weights, optimiser, seed)
    return model, weights, optimiser


def step(
    model: nn.Module,
    weights: MasterWeights,
    optimiser: FlatOptimiser,
    seed: int,
    scale: float = 1.0,
    skip: Tensor = GO,
) -> None:
    set_gradients(model, seed, scale)
    weights.collect()
    weights.reduce(1.0)
    optimiser.step(1.0, skip)
    weights.publish()
