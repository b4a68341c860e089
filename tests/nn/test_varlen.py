"""Attention within sentences: against attention over each sentence alone; the kernel against the specification."""

import pytest
import torch
from torch import Tensor

from henkan.nn.multihead import attend, attend_plain, score_bias
from henkan.nn.varlen import Within, attend_within_plain, causal_kernel, kernel_serves, load_kernels
from henkan.tensors import Sentences

QUERIES, KEYS = [3, 1, 0, 5, 2], [2, 4, 3, 0, 6]  # tokens of each sentence; the fourth asks where nothing is


def sentences(lengths: list[int], device: str = "cpu") -> Sentences:
    starts = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32, device=device)
    return Sentences(starts, max(lengths))


def heads(length: int, seed: int, dtype: torch.dtype = torch.float64, device: str = "cpu") -> Tensor:
    drawn = torch.randn(1, 2, length, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(device, dtype).requires_grad_()


def one_by_one(
    queries: Tensor, keys: Tensor, values: Tensor, asked: list[int], told: list[int], causal: bool
) -> Tensor:
    parts = []
    triples = zip(queries.split(asked, 2), keys.split(told, 2), values.split(told, 2), strict=True)
    for some, own_keys, own_values in triples:
        if 0 in (some.shape[2], own_keys.shape[2]):
            parts.append(torch.zeros_like(some))
            continue
        visible = torch.ones(1, some.shape[2], own_keys.shape[2], dtype=torch.bool)
        bias = score_bias(visible.tril() if causal else visible, some.dtype)
        parts.append(attend_plain(some, own_keys, own_values, bias, 0.0))
    return torch.cat(parts, 2)


@pytest.mark.parametrize("causal", [False, True])
def test_each_sentence_is_attended_to_as_if_it_were_alone(causal: bool):
    told = QUERIES if causal else KEYS
    within = Within(sentences(QUERIES), sentences(told), causal)
    tensors = heads(sum(QUERIES), 1), heads(sum(told), 2), heads(sum(told), 3)
    packed, expected = attend(*tensors, within, 0.0), one_by_one(*tensors, QUERIES, told, causal)
    torch.testing.assert_close(packed, expected)
    arriving = torch.randn(packed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    found, wanted = (torch.autograd.grad(result, tensors, arriving) for result in (packed, expected))
    torch.testing.assert_close(found, wanted)


def test_dropped_weights_are_zero_or_scaled():
    within = Within(sentences([3, 3]), sentences([3, 3]))
    queries, values = torch.zeros(1, 1, 6, 8), torch.eye(6)[None, None]
    torch.manual_seed(1)
    weights = attend_within_plain(queries, queries, values, within, 0.5)[0, 0]
    kept = weights[weights > 0]
    assert 0 < len(kept) < 18
    torch.testing.assert_close(kept, torch.full_like(kept, 2 / 3))


def test_both_signatures_of_the_kernel_are_asked_for_causality():
    def windowed(query, *, window_size=(-1, -1)):
        return window_size

    def flagged(query, is_causal=False):
        return is_causal

    assert causal_kernel(windowed)(0) == (-1, 0)
    assert causal_kernel(flagged)(0) is True


def test_this_torch_has_the_kernel_in_a_form_we_know():
    whole, causal = load_kernels()
    starts = torch.zeros(3, dtype=torch.int32, device="meta")
    row = torch.zeros(5, 2, 8, dtype=torch.bfloat16, device="meta")
    for kernel in (whole, causal):
        assert kernel(row, row, row, starts, starts, 3, 3).shape == row.shape


@pytest.mark.parametrize(
    ("dtype", "size", "dropout"), [(torch.float32, 64, 0), (torch.bfloat16, 12, 0), (torch.bfloat16, 64, 0.1)]
)
def test_what_the_kernel_cannot_do_is_left_to_the_plain_path(dtype: torch.dtype, size: int, dropout: float):
    device = torch.device("cuda")
    assert kernel_serves(device, torch.bfloat16, 64, 0.0)
    assert not kernel_serves(torch.device("cpu"), torch.bfloat16, 64, 0.0)
    assert not kernel_serves(device, dtype, size, dropout)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel needs a GPU")
@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_agrees_with_the_specification(causal: bool):
    told = QUERIES if causal else KEYS
    within = Within(sentences(QUERIES, "cuda"), sentences(told, "cuda"), causal)
    tensors = [heads(sum(part), seed, torch.bfloat16, "cuda") for seed, part in enumerate((QUERIES, told, told))]
    fast, plain = attend(*tensors, within, 0.0), attend_within_plain(*tensors, within, 0.0)
    torch.testing.assert_close(fast, plain, rtol=0.02, atol=0.02)
    arriving = torch.randn_like(fast)
    found, wanted = (torch.autograd.grad(result, tensors, arriving) for result in (fast, plain))
    torch.testing.assert_close(found, wanted, rtol=0.03, atol=0.03)
