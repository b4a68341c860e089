"""The C++ attention of a step against torch's, which is its specification."""

import pytest
import torch

from henkan import native
from henkan.nn.cache import PreallocatedCache
from henkan.nn.multihead import score_bias
from henkan.nn.step_attention import attend_past, attend_past_plain, attend_source, attend_source_plain

SIZES = [(1, 1), (2, 4), (4, 64), (3, 20)]  # heads, width of a head
CLOSE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2}}


@pytest.fixture(autouse=True)
def _native():
    if native.library() is None:
        pytest.skip("no C++ compiler here")


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("heads", "size"), SIZES)
@torch.no_grad()
def test_what_a_row_has_read(heads, size, dtype):
    """Beams that branch, a prefix of several positions, rows that leave; a row that sees nothing."""
    cache = PreallocatedCache(16).append(torch.randn(3, 2, 2, heads, size, dtype=dtype))
    for rows in (None, [0, 0, 1, 1, 2, 2], [1, 1, 2, 3, 5, 5], [0, 1, 2, 3]):
        if rows is not None:
            cache = cache.select(torch.tensor(rows))
            cache = cache.append(torch.randn(len(rows), 1, 2, heads, size, dtype=dtype))
        count = len(cache.filled)
        queries = torch.randn(count, 3, heads, size, dtype=dtype)[:, 1] * 3  # not contiguous
        visible = torch.rand(count, 1, cache.slots) < 0.7
        visible[0] = False
        for seen in (visible, torch.ones(1, 1, cache.slots, dtype=torch.bool)):
            bias = score_bias(seen, dtype)[:, 0, 0]
            found = attend_past(queries, cache, bias)
            torch.testing.assert_close(found, attend_past_plain(queries, cache, bias), **CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("heads", "size"), SIZES)
@pytest.mark.parametrize("width", [1, 5])
@torch.no_grad()
def test_the_source_of_a_row(heads, size, width, dtype):
    keys, values = torch.randn(2, 3, heads, 40, size, dtype=dtype)
    queries = torch.randn(3 * width, heads, size, dtype=dtype) * 3
    bias = score_bias(torch.rand(3, 1, 40) < 0.7, dtype)[:, 0, 0]
    found = attend_source(queries, keys, values, bias)
    torch.testing.assert_close(found, attend_source_plain(queries, keys, values, bias), **CLOSE[dtype])
