"""Score biases against their definitions, pair by pair, and the attentions that take them against plain loops."""

import math

import pytest
import torch
from pydantic import ValidationError

from henkan.errors import ConfigError
from henkan.nn.biases import LinearBias, MaskAlone, T5Bias, alibi_slopes, t5_buckets
from henkan.nn.cache import GrowingCache
from henkan.nn.grouped import GroupedAttention, GroupedSourceAttention
from henkan.nn.multihead import score_bias
from henkan.nn.places import DisentangledConfig, T5PositionsConfig
from henkan.nn.rotary import RotaryTerms
from henkan.nn.varlen import Within
from henkan.tensors import Sentences


def bucket(distance: int, buckets: int, limit: int, two_sided: bool) -> int:
    """As section 2.1 of the paper and its code say, for one distance."""
    first = 0
    if two_sided:
        buckets //= 2
        first, distance = (buckets if distance > 0 else 0), abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    far = exact + int(math.log(distance / exact) / math.log(limit / exact) * (buckets - exact))
    return first + min(far, buckets - 1)


@pytest.mark.parametrize("two_sided", [True, False])
def test_t5_buckets(two_sided):
    distances = torch.arange(-300, 301)
    found = t5_buckets(distances, 32, 128, two_sided).tolist()
    expected = [bucket(distance, 32, 128, two_sided) for distance in distances.tolist()]
    # float32 decides, as in the published code, where a distance is exactly at the edge of a bucket
    assert sum(one != other for one, other in zip(found, expected, strict=True)) <= 4
    assert all(abs(one - other) <= 1 for one, other in zip(found, expected, strict=True))
    never = {16} if two_sided else set()  # a key after the query has a distance
    assert set(found) == set(range(32)) - never


@pytest.mark.parametrize("two_sided", [True, False])
def test_t5_bias_pair_by_pair(two_sided):
    part = T5Bias(3, 8, 7, two_sided=two_sided)
    mask = torch.tensor([[True, True, False, False, True], [True] * 5])  # the first row was read in two pieces
    base = score_bias(mask[:, None], torch.float32)
    found = part(base, mask, 2)
    assert found.shape == (2, 3, 2, 5)
    for row in range(2):
        places = [max(int(mask[row, : key + 1].sum()) - 1, 0) for key in range(5)]
        for query in range(2):
            for key in range(5):
                chosen = bucket(places[key] - places[3 + query], 8, 7, two_sided)
                expected = base[row, 0, 0, key] + part.weight[chosen]
                torch.testing.assert_close(found[row, :, query, key], expected)


def test_alibi_slopes():
    assert alibi_slopes(8).tolist() == [2.0**-power for power in range(1, 9)]
    assert alibi_slopes(3).tolist() == [2.0**-4, 2.0**-8, 2.0**-2]  # those of two heads, then every second one of four


def test_linear_bias_pair_by_pair():
    mask = torch.ones(1, 4, dtype=torch.bool)
    found = LinearBias(2)(torch.zeros(1, 1, 1, 4), mask, 4)
    for head, slope in enumerate((2.0**-4, 2.0**-8)):
        for query in range(4):
            for key in range(4):
                assert found[0, head, query, key] == -slope * abs(query - key)


def test_rotation_pair_by_pair():
    mask = torch.tensor([[True, False, True, True]])
    turned = RotaryTerms(6, 100.0)(torch.zeros(1, 1, 1, 4, dtype=torch.float64), mask, 4)
    vectors = torch.randn(1, 4, 2, 6, dtype=torch.float64)
    found = turned.turn(vectors)
    for place in range(4):  # what is read at once has its padding behind
        for pair in range(3):
            angle = place * 100.0 ** (-2 * pair / 6)
            a, b = vectors[0, place, :, 2 * pair], vectors[0, place, :, 2 * pair + 1]
            torch.testing.assert_close(found[0, place, :, 2 * pair], a * math.cos(angle) - b * math.sin(angle))
            torch.testing.assert_close(found[0, place, :, 2 * pair + 1], a * math.sin(angle) + b * math.cos(angle))


def test_turned_scores_depend_on_distance_alone():
    mask = torch.ones(1, 9, dtype=torch.bool)
    turned = RotaryTerms(4, 10_000.0)(torch.zeros(1, 1, 1, 9, dtype=torch.float64), mask, 9)
    one, other = torch.randn(2, 4, dtype=torch.float64)
    queries, keys = (turned.turn(vector.expand(1, 9, 1, 4))[0, :, 0] for vector in (one, other))
    scores = queries @ keys.T
    torch.testing.assert_close(scores[2:, 2:], scores[:-2, :-2])


def test_packed_rows_are_refused_by_what_needs_places():
    starts = Sentences(torch.tensor([0, 2, 4], dtype=torch.int32), 2)
    within, mask = Within(starts, starts), torch.ones(1, 4, dtype=torch.bool)
    assert MaskAlone()(within, mask, 4) is within
    for part in (T5Bias(2, 8, 7, two_sided=True), LinearBias(2), RotaryTerms(4, 10.0)):
        with pytest.raises(ConfigError, match="this batch is packed"):
            part(within, mask, 4)


def loops(attention, vectors, keys_from, bias, projections, stretch):
    """Head by head, query by query; heads share keys in order."""
    queries, keys, values = projections
    heads, groups = queries.shape[2], keys.shape[2]
    size = queries.shape[3]
    rows, length = vectors.shape[:2]
    out = torch.zeros(rows, length, heads, size, dtype=vectors.dtype)
    for row in range(rows):
        for head in range(heads):
            group = head // (heads // groups)
            for place in range(length):
                scores = torch.stack(
                    [
                        queries[row, place, head] @ keys[row, key, group] * stretch
                        + bias.expand(rows, heads, length, keys.shape[1])[row, head, place, key]
                        for key in range(keys.shape[1])
                    ]
                )
                weights = scores.softmax(0)
                out[row, place, head] = sum(w * values[row, key, group] for key, w in enumerate(weights))
    return attention.output(out.flatten(2))


@pytest.mark.parametrize(("key_heads", "scaled", "bias"), [(4, True, True), (2, False, False), (1, True, False)])
def test_grouped_attention_by_loops(key_heads, scaled, bias):
    part = GroupedAttention(6, 4, key_heads=key_heads, head_width=5, scaled=scaled, bias=bias).double()
    vectors, added = torch.randn(2, 3, 6).double(), torch.randn(2, 4, 3, 3).double()
    parts = part.inputs(vectors).split([20, 5 * key_heads, 5 * key_heads], -1)
    shaped = [one.unflatten(-1, (-1, 5)) for one in parts]
    expected = loops(part, vectors, vectors, added, shaped, 5**-0.5 if scaled else 1.0)
    found, _ = part(vectors, added)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(part(vectors, added)[0], expected)
    assert (part.inputs.bias is None) == (not bias)


@pytest.mark.parametrize(("key_heads", "scaled"), [(4, True), (2, False)])
def test_grouped_source_attention_by_loops(key_heads, scaled):
    part = GroupedSourceAttention(6, 4, 7, key_heads=key_heads, head_width=5, scaled=scaled, bias=False).double()
    vectors, states = torch.randn(2, 3, 6).double(), torch.randn(2, 4, 7).double()
    bias = score_bias(torch.tensor([[True] * 4, [True, True, False, False]])[:, None], torch.float64)
    keys, values = part.pairs(states).unflatten(-1, (2, key_heads, 5)).unbind(2)
    queries = part.query(vectors).unflatten(-1, (4, 5))
    expected = loops(part, vectors, states, bias, (queries, keys, values), 5**-0.5 if scaled else 1.0)
    found = part(vectors, part.project(states), bias)
    torch.testing.assert_close(found, expected)
    weights = part.weights(vectors, part.project(states), bias)
    assert weights.shape == (2, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3).double())
    assert not weights[1, :, 2:].any()


def test_gradients():
    part = GroupedAttention(4, 2, key_heads=1, head_width=2, scaled=False, bias=False).double()
    bias = T5Bias(2, 4, 5, two_sided=False).double()
    mask = torch.ones(1, 3, dtype=torch.bool)

    def whole(vectors, weight):
        added = torch.func.functional_call(bias, {"weight": weight}, (torch.zeros(1, 1, 1, 3).double(), mask, 3))
        return part(vectors, added, GrowingCache())[0]

    vectors = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(whole, (vectors, bias.weight.detach().requires_grad_()))


@pytest.mark.parametrize(
    ("kind", "sizes", "least"), [(T5PositionsConfig, {"buckets": 32}, 17), (DisentangledConfig, {"span": 8}, 6)]
)
def test_buckets_that_cannot_reach_so_far_are_refused(kind, sizes, least):
    kind(**sizes, limit=least)
    with pytest.raises(ValidationError, match=f"set it to {least} or more"):
        kind(**sizes, limit=least - 1)
