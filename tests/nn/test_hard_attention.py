"""Hard attention: what is drawn, how often, and what is handed to the objective."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from henkan.nn.attention import AttentionConfig, SoftAttention
from henkan.nn.hard_attention import HardAttention, LearntBaseline, NoBaseline
from henkan.nn.scores import GeneralScores
from henkan.tensors import Memory

PLACES, WIDTH = 5, 4


def build(expected: float = 0.0, argmax: bool = True, baseline: nn.Module | None = None) -> HardAttention:
    scorer = GeneralScores(WIDTH, WIDTH)
    nn.init.normal_(scorer.weight, std=0.3)
    return HardAttention(scorer, baseline or NoBaseline(), expected, argmax).double()


def memory(lengths) -> Memory:
    mask = torch.arange(PLACES) < torch.tensor(lengths)[:, None]
    return Memory(torch.randn(len(lengths), PLACES, WIDTH, dtype=torch.float64), mask)


def look(part, queries, source):
    kept = part.project(source)
    return part(queries, torch.ones(queries.shape[:2], dtype=torch.bool), kept, part.start(kept))


def soft_weights(part, queries, source):
    return look(SoftAttention(part.scorer), queries, source).weights


def test_draws_have_the_frequencies_of_the_weights():
    """Within 5 standard deviations; padding is never drawn."""
    draws = 20_000
    part = build()
    source, queries = memory([3]), torch.randn(1, 1, WIDTH, dtype=torch.float64)
    weights = soft_weights(part, queries, source)[0, 0]
    with torch.no_grad():
        focus = look(part, queries.expand(1, draws, WIDTH), source)
    drawn = focus.weights[0].mean(0)
    deviation = (weights * (1 - weights) / draws).sqrt()
    assert (drawn - weights).abs().le(5 * deviation).all(), f"drawn {drawn}, weights {weights}"
    assert not drawn[3:].any()


def test_a_draw_is_one_state_and_says_its_log_probability():
    part, source = build(), memory([5, 2, 1])
    queries = torch.randn(3, 4, WIDTH, dtype=torch.float64)
    weights, focus = soft_weights(part, queries, source), look(part, queries, source)
    assert torch.equal(focus.weights.sum(-1), torch.ones(3, 4, dtype=torch.float64))
    taken = focus.weights.argmax(-1)
    assert torch.equal(focus.contexts, source.states[torch.arange(3)[:, None], taken])
    chosen = weights.gather(2, taken[..., None])[..., 0]
    torch.testing.assert_close(focus.extras["log_probability"], chosen.log())
    entropy = torch.special.entr(weights).sum(-1)
    torch.testing.assert_close(focus.extras["entropy"], entropy, rtol=1e-10, atol=1e-10)
    (gradient,) = torch.autograd.grad(focus.contexts.sum(), part.scorer.weight)
    assert not gradient.any(), "a draw passes no gradient on"


def test_a_sentence_draws_or_expects_as_a_whole():
    rows = 4000
    part, source = build(expected=0.5), memory([5] * rows)
    queries = torch.randn(rows, 3, WIDTH, dtype=torch.float64)
    focus = look(part, queries, source)
    single = focus.weights.amax(-1) == 1.0
    assert torch.equal(single.all(1), single.any(1)), "no sentence does both"
    assert abs(single[:, 0].double().mean().item() - 0.5) < 5 * 0.5 / rows**0.5
    expecting = ~single[:, 0]
    weights = soft_weights(part, queries, source)
    torch.testing.assert_close(focus.weights[expecting], weights[expecting])
    assert not focus.extras["log_probability"][expecting].any(), "what is not chosen has no log-probability"


@pytest.mark.parametrize("expected", [0.0, 0.5])
def test_evaluation_draws_nothing(expected):
    source, queries = memory([5, 2, 3]), torch.randn(3, 4, WIDTH, dtype=torch.float64)
    part = build(expected).eval()
    weights = soft_weights(part, queries, source)
    focus = look(part, queries, source)
    assert torch.equal(focus.weights.argmax(-1), weights.argmax(-1)) and focus.weights.amax(-1).eq(1.0).all()
    part = HardAttention(part.scorer, NoBaseline(), expected, argmax=False).eval()
    torch.testing.assert_close(look(part, queries, source).weights, weights)


def test_gradients_of_what_is_handed_over():
    part, mask = build(argmax=False, baseline=LearntBaseline(WIDTH)).eval(), memory([5, 2, 3]).mask
    queries = torch.randn(3, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    states = torch.randn(3, PLACES, WIDTH, dtype=torch.float64, requires_grad=True)

    def attend(q, s, *_):
        focus = look(part, q, Memory(s, mask))
        return focus.contexts, focus.extras["entropy"]

    assert torch.autograd.gradcheck(attend, (queries, states, part.scorer.weight))


def test_a_baseline_leaves_the_query_alone():
    part = build(baseline=LearntBaseline(WIDTH))
    nn.init.normal_(part.baseline.linear.weight)
    queries = torch.randn(2, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    baseline = look(part, queries, memory([5, 2])).extras["baseline"]
    torch.testing.assert_close(baseline, (queries @ part.baseline.linear.weight[0]) + part.baseline.linear.bias)
    gradients = torch.autograd.grad(baseline.sum(), [queries, part.baseline.linear.weight], allow_unused=True)
    assert gradients[0] is None and gradients[1].any()


@pytest.mark.parametrize("training", [True, False])
def test_a_source_of_nothing_but_padding_gives_no_nan(training):
    part, source = build(0.5).train(training), memory([0, 2, 5])
    queries = torch.randn(3, 2, WIDTH, dtype=torch.float64, requires_grad=True)
    focus = look(part, queries, source)
    (focus.contexts.sum() + sum(extra.sum() for extra in focus.extras.values())).backward()
    assert focus.contexts.isfinite().all() and focus.weights.isfinite().all() and queries.grad.isfinite().all()


def test_settings():
    adapter = TypeAdapter(AttentionConfig)
    hard = {"kind": "hard", "scores": {"kind": "dot"}}
    part = adapter.validate_python(hard).build(4, 4)
    assert isinstance(part, HardAttention) and part.argmax and part.expected == 0.5
    assert isinstance(part.baseline, NoBaseline)
    part = adapter.validate_python({**hard, "evaluation": "expectation", "baseline": "learnt"}).build(4, 4)
    assert not part.argmax and isinstance(part.baseline, LearntBaseline)
    with pytest.raises(ValueError, match="the query has 4, the keys have 5"):
        adapter.validate_python(hard).check(4, 5)
    with pytest.raises(ValidationError, match="expected"):
        adapter.validate_python({**hard, "expected": 1.5})
