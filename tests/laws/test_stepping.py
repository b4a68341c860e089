"""Stepping: ``model.step`` says of every position what teacher forcing says of it, attention weights included."""

import torch

import zoo
from henkan.nn.hard_attention import HardAttention
from henkan.nn.local_attention import MonotonicAttention, PredictiveAttention

SOURCE, LENGTH = [4, 6, 1], 4


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def same_scores(found, logits):
    """The scores of a step are float32, whatever the model is."""
    torch.testing.assert_close(found.log_probs(), logits.log_softmax(-1).float(), rtol=1e-5, atol=1e-5)


def forced(model, source, target):
    """Logits (N, T, V), and the attention weights (N, T, S) or None."""
    decoded = model.decoder(target, model.start(source, len(target.ids), 0))
    return model(zoo.batch(source, target)).heads["tokens"].logits(), model.decoder.attention(decoded)


@torch.no_grad()
def test_position_by_position(model, capacity):
    source, target = zoo.tokens(SOURCE), zoo.tokens([LENGTH] * 3)
    logits, weights = forced(model, source, target)
    state = model.start(source, 3, capacity)
    for position in range(LENGTH):
        scores, state = model.step(zoo.columns(target, slice(position, position + 1)), state)
        same_scores(scores, logits[:, position])
        if weights is None:
            assert scores.attention() is None
        else:
            close(scores.attention(), weights[:, position])


@torch.no_grad()
def test_after_a_prompt(model, capacity):
    """Scores and weights are those of each row's last real token."""
    source, lengths = zoo.tokens(SOURCE), [3, 1, 4]
    prompt = zoo.tokens(lengths)
    logits, weights = forced(model, source, prompt)
    scores, _ = model.step(prompt, model.start(source, 3, capacity))
    last = (torch.arange(3), torch.tensor(lengths) - 1)
    same_scores(scores, logits[last])
    if weights is not None:
        close(scores.attention(), weights[last])


@torch.no_grad()
def test_weights_are_a_distribution_over_what_is_real(model, capacity):
    source, beams = zoo.tokens(SOURCE), 2
    state = model.start(source, 3, capacity).expand(beams)
    scores, _ = model.step(zoo.tokens([1] * 3 * beams), state)
    weights = scores.attention()
    if weights is None:
        return
    assert weights.shape == (3 * beams, max(SOURCE))
    assert (weights >= 0).all()
    padding = ~source.mask.repeat_interleave(beams, 0)
    assert not weights[padding].any(), "padding gets no weight at all"
    attention = getattr(model.decoder, "source_attention", None)
    if not isinstance(attention, PredictiveAttention):  # its weights fade towards the edges of the window
        close(weights.sum(-1), torch.ones(3 * beams, dtype=torch.float64))
    if not isinstance(attention, (MonotonicAttention, PredictiveAttention, HardAttention)):
        assert weights[~padding].all(), "every real position gets some"


@torch.no_grad()
def test_scores_agree_with_each_other(model):
    scores, _ = model.step(zoo.tokens([1, 1, 1]), model.start(zoo.tokens(SOURCE), 3, 8))
    best, ids = scores.top(3)
    log_probs = scores.log_probs()
    torch.testing.assert_close(best, log_probs.gather(1, ids), rtol=1e-5, atol=1e-5)
    assert torch.equal(scores.argmax(), ids[:, 0])
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3))
