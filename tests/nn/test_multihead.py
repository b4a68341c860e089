"""Multi-head attention against loops in NumPy, torch's own module and the fused kernel."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.cache import GrowingCache, PreallocatedCache
from henkan.nn.multihead import SelfAttention, SourceAttention, attend, attend_plain, score_bias

ROWS, TARGET, SOURCE, WIDTH, HEADS = 3, 4, 5, 6, 2
SIZE = WIDTH // HEADS
TARGET_MASK = torch.arange(TARGET) < torch.tensor([4, 1, 3])[:, None]
SOURCE_MASK = torch.arange(SOURCE) < torch.tensor([2, 5, 1])[:, None]
CAUSAL = torch.ones(TARGET, TARGET, dtype=torch.bool).tril()


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


def vectors(length: int, rows: int = ROWS, requires_grad: bool = False) -> Tensor:
    return torch.randn(rows, length, WIDTH, dtype=torch.float64, requires_grad=requires_grad)


def linear(weight: Tensor, bias: Tensor, x: Tensor) -> np.ndarray:
    return weight.detach().numpy() @ x.detach().numpy() + bias.detach().numpy()


def loops(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(N, T, D), (N, S, D) twice, (N, T, S) bool, to (N, T, D): row by row, head by head, position by position."""
    found = np.zeros_like(queries)
    for row, head, position in np.ndindex(queries.shape[0], HEADS, queries.shape[1]):
        part = slice(head * SIZE, (head + 1) * SIZE)
        seen = np.flatnonzero(visible[row, position])
        scores = [queries[row, position, part] @ keys[row, place, part] / math.sqrt(SIZE) for place in seen]
        weights = np.exp(scores) / np.exp(scores).sum()
        found[row, position, part] = sum(w * values[row, place, part] for w, place in zip(weights, seen, strict=True))
    return found


def applied(layer: nn.Linear, found: np.ndarray) -> np.ndarray:
    return found @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def test_self_attention_against_loops():
    part, inputs = randomised(SelfAttention(WIDTH, HEADS)), vectors(TARGET)
    visible = TARGET_MASK[:, None] & CAUSAL
    found, _ = part(inputs, score_bias(visible, inputs.dtype))
    queries, keys, values = np.split(applied(part.inputs, inputs.numpy()), 3, -1)
    expected = applied(part.output, loops(queries, keys, values, visible.numpy()))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-11, atol=1e-11)


def test_source_attention_against_loops():
    part, asking, states = randomised(SourceAttention(WIDTH, HEADS, WIDTH)), vectors(TARGET), vectors(SOURCE)
    found = part(asking, part.project(states), score_bias(SOURCE_MASK[:, None], asking.dtype))
    keys, values = np.split(applied(part.pairs, states.numpy()), 2, -1)
    visible = SOURCE_MASK[:, None].expand(-1, TARGET, -1).numpy()
    expected = applied(part.output, loops(applied(part.query, asking.numpy()), keys, values, visible))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-11, atol=1e-11)


def torchs(weight: Tensor, bias: Tensor, output: nn.Linear) -> nn.MultiheadAttention:
    """torch's module with our weights: queries, keys and values stacked in this order, as ours are."""
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(weight)
        theirs.in_proj_bias.copy_(bias)
        theirs.out_proj.weight.copy_(output.weight)
        theirs.out_proj.bias.copy_(output.bias)
    return theirs


def test_self_attention_against_torch():
    """Its boolean masks are True where NOT to look, the opposite of ours and of scaled_dot_product_attention's."""
    part, inputs = randomised(SelfAttention(WIDTH, HEADS)), vectors(TARGET)
    theirs = torchs(part.inputs.weight, part.inputs.bias, part.output)
    expected, _ = theirs(inputs, inputs, inputs, key_padding_mask=~TARGET_MASK, attn_mask=~CAUSAL)
    found, _ = part(inputs, score_bias(TARGET_MASK[:, None] & CAUSAL, inputs.dtype))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_source_attention_against_torch():
    """The weights that are shown are those that were used, averaged over the heads."""
    part, asking, states = randomised(SourceAttention(WIDTH, HEADS, WIDTH)), vectors(TARGET), vectors(SOURCE)
    weight = torch.cat([part.query.weight, part.pairs.weight])
    theirs = torchs(weight, torch.cat([part.query.bias, part.pairs.bias]), part.output)
    expected, weights = theirs(asking, states, states, key_padding_mask=~SOURCE_MASK, average_attn_weights=True)
    source, bias = part.project(states), score_bias(SOURCE_MASK[:, None], asking.dtype)
    torch.testing.assert_close(part(asking, source, bias), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(part.weights(asking, source, bias), weights, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("grad", [True, False])
def test_beams_of_a_source_fold_into_its_queries(grad):
    beams = 3
    part, states = randomised(SourceAttention(WIDTH, HEADS, WIDTH)), vectors(SOURCE)
    asking = vectors(2, rows=ROWS * beams)
    with torch.set_grad_enabled(grad):
        bias = score_bias(SOURCE_MASK[:, None], asking.dtype)
        shared = part.project(states)
        repeated = part.project(states.repeat_interleave(beams, 0))
        each = bias.repeat_interleave(beams, 0)
        torch.testing.assert_close(part(asking, shared, bias), part(asking, repeated, each), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(
            part.weights(asking, shared, bias), part.weights(asking, repeated, each), rtol=1e-11, atol=1e-11
        )


def test_gradients():
    inside, over = randomised(SelfAttention(WIDTH, HEADS)), randomised(SourceAttention(WIDTH, HEADS, WIDTH))
    inputs, states = vectors(3, 2, requires_grad=True), vectors(2, 2, requires_grad=True)
    seen = score_bias(torch.tensor([[[1, 1, 0]], [[1, 1, 1]]], dtype=torch.bool), torch.float64)
    source_seen = score_bias(torch.tensor([[[1, 0]], [[1, 1]]], dtype=torch.bool), torch.float64)
    assert torch.autograd.gradcheck(lambda x, *_: inside(x, seen)[0], (inputs, *inside.parameters()))
    assert torch.autograd.gradcheck(
        lambda x, s, *_: over(x, over.project(s), source_seen), (inputs, states, *over.parameters())
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_plain_and_fused_agree(dtype):
    """Values and gradients; torch's kernel takes a float mask that is added, as ours is."""
    shape = (ROWS, HEADS, TARGET, SIZE)
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]
    bias = score_bias(TARGET_MASK[:, None] & CAUSAL, dtype)
    weight = torch.randn(shape, dtype=dtype)

    def outcome(function):
        found = function(*inputs, bias, 0.0)
        return (found, *torch.autograd.grad((found * weight).sum(), inputs))

    expected = outcome(functional.scaled_dot_product_attention)
    bound = 1e-5 if dtype == torch.float32 else 1e-11
    for ours, theirs in zip(outcome(attend_plain), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)
    with torch.no_grad():
        torch.testing.assert_close(attend(*inputs, bias, 0.0), expected[0], rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_score_bias(dtype):
    """Zero where visible; elsewhere so low that no weight is left, yet finite."""
    visible = torch.tensor([[[True, False, True]]])
    bias = score_bias(visible, dtype)
    assert bias.dtype == dtype and bias.shape == (1, 1, 1, 3)
    assert bias.isfinite().all()
    assert bias[0, 0, 0, 0] == 0 == bias[0, 0, 0, 2]
    weights = torch.softmax(bias[0, 0, 0] + torch.tensor([-50.0, 50.0, 0.0], dtype=dtype), -1)
    assert weights[1] == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grad", [True, False])
def test_a_row_that_sees_nothing_gives_no_nan(dtype, grad):
    part = randomised(SelfAttention(WIDTH, HEADS)).to(dtype)
    inputs = vectors(TARGET).to(dtype).requires_grad_(grad)
    mask = torch.zeros(ROWS, TARGET, dtype=torch.bool)
    mask[1] = True
    with torch.set_grad_enabled(grad):
        found, _ = part(inputs, score_bias(mask[:, None], dtype))
    assert found.isfinite().all()
    if grad:
        found.sum().backward()
        assert inputs.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in part.parameters())


@pytest.mark.parametrize("cache", [GrowingCache(), PreallocatedCache(2)], ids=["growing", "preallocated"])
@torch.no_grad()
def test_with_a_cache_as_without(cache):
    """Position by position, each one seeing what came before, as all at once under a causal mask."""
    part, inputs = randomised(SelfAttention(WIDTH, HEADS)), vectors(TARGET)
    expected, nothing = part(inputs, score_bias(CAUSAL[None], inputs.dtype))
    assert nothing is None
    for position in range(TARGET):
        found, cache = part(inputs[:, position : position + 1], None, cache)
        torch.testing.assert_close(found[:, 0], expected[:, position], rtol=1e-11, atol=1e-11)
    assert cache.slots == TARGET


def test_dropout_falls_on_the_weights_and_only_in_training():
    part, inputs = randomised(SelfAttention(WIDTH, HEADS, dropout=0.5)), vectors(TARGET)
    first, again = part(inputs, None)[0], part(inputs, None)[0]
    assert not torch.equal(first, again)
    part.eval()
    plain = SelfAttention(WIDTH, HEADS).double()
    plain.load_state_dict(part.state_dict())
    assert torch.equal(part(inputs, None)[0], plain(inputs, None)[0])
