"""DeBERTa's attention against the naive triple loop."""

import math

import pytest
import torch

from henkan.nn.disentangled import DisentangledAttention, DistanceTerms, log_buckets
from henkan.nn.multihead import score_bias


def bucket(distance: int, span: int, limit: int) -> int:
    """As the published code says, for one distance."""
    exact = span // 2
    if abs(distance) <= exact:
        return distance
    far = math.ceil(math.log(abs(distance) / exact) / math.log((limit - 1) / exact) * (exact - 1)) + exact
    return far if distance > 0 else -far


def test_log_buckets():
    distances = torch.arange(-511, 512)
    assert log_buckets(distances, 256, 512).tolist() == [bucket(one, 256, 512) for one in distances.tolist()]
    assert int(log_buckets(torch.tensor(511), 256, 512)) == 255


@pytest.mark.parametrize("length", [1, 3, 9])
@pytest.mark.parametrize("limit", [0, 6])
@pytest.mark.parametrize(("to_position", "to_content"), [(True, True), (True, False), (False, True), (False, False)])
def test_by_loops(length, limit, to_position, to_content):
    width, heads, span = 6, 2, 4
    terms = DistanceTerms(width, span, limit, torch.nn.LayerNorm(width)).double()
    part = DisentangledAttention(width, heads, content_to_position=to_position, position_to_content=to_content).double()
    torch.nn.init.normal_(terms.weight)
    vectors = torch.randn(2, length, width).double()
    mask = torch.arange(length) < torch.tensor([[length], [max(1, length - 1)]])
    bias = score_bias(mask[:, None], torch.float64)
    queries, keys, values = part.inputs(vectors).chunk(3, -1)
    table = terms.norm(terms.weight)
    far_queries, far_keys, _ = part.inputs(table).chunk(3, -1)
    root = math.sqrt((1 + to_position + to_content) * width / heads)
    expected = torch.zeros_like(vectors)
    for row in range(2):
        for head in range(heads):
            own = slice(head * 3, head * 3 + 3)
            for i in range(length):
                scores = []
                for j in range(length):
                    distance = bucket(i - j, span, limit) if limit else i - j
                    at = min(max(distance + span, 0), 2 * span - 1)
                    score = queries[row, i, own] @ keys[row, j, own]
                    if to_position:
                        score = score + queries[row, i, own] @ far_keys[at, own]
                    if to_content:
                        score = score + keys[row, j, own] @ far_queries[at, own]
                    scores.append(score / root + bias[row, 0, 0, j])
                weights = torch.stack(scores).softmax(0)
                expected[row, i, own] = weights @ values[row, :, own]
    expected = part.output(expected)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            found, cache = part(vectors, terms(bias, mask, length))
        torch.testing.assert_close(found, expected)
        assert cache is None


def test_gradients():
    terms = DistanceTerms(4, 3, 0, torch.nn.Identity()).double()
    part = DisentangledAttention(4, 2).double()
    mask = torch.ones(1, 4, dtype=torch.bool)

    def whole(vectors, table):
        given = torch.func.functional_call(terms, {"weight": table}, (torch.zeros(1, 1, 1, 4).double(), mask, 4))
        return part(vectors, given)[0]

    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 4, 4), (6, 4))]
    assert torch.autograd.gradcheck(whole, inputs)
