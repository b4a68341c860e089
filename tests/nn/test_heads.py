"""The token head: what is asked of its scores must agree, whichever way it is asked."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from henkan.nn.heads import Alignment, LinearTokenScores, TokenHead
from henkan.tensors import IGNORE

ROWS, LENGTH, WIDTH, VOCABULARY = 3, 4, 5, 9


def token_scores(bias: bool = True) -> LinearTokenScores:
    head = TokenHead(WIDTH, VOCABULARY, bias=bias).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head(torch.randn(ROWS, LENGTH, WIDTH, dtype=torch.float64, requires_grad=True))


def labels_with_padding() -> torch.Tensor:
    labels = torch.randint(0, VOCABULARY, (ROWS, LENGTH))
    labels[0, 2:] = IGNORE
    labels[2] = IGNORE
    return labels


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_ignores_what_is_to_be_ignored(bias, smoothing):
    scores, labels = token_scores(bias), labels_with_padding()
    loss, log_probs = scores.loss(labels, smoothing)
    flat, real = scores.logits().flatten(0, 1), labels.flatten()
    expected = functional.cross_entropy(flat, real, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    chosen = -functional.cross_entropy(flat, real, ignore_index=IGNORE, reduction="none").view(ROWS, LENGTH).detach()
    torch.testing.assert_close(log_probs, chosen, rtol=1e-12, atol=1e-12)
    assert not log_probs[labels == IGNORE].any()
    gradient = torch.autograd.grad(loss, scores.hidden)[0]
    assert not gradient[labels == IGNORE].any(), "nothing is learnt where the label is IGNORE"
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, scores.hidden)[0], rtol=1e-12, atol=1e-12)


def test_nothing_to_learn():
    scores = token_scores()
    loss, log_probs = scores.loss(torch.full((ROWS, LENGTH), IGNORE), 0.1)
    loss.backward()
    assert loss == 0 and not log_probs.any() and not scores.hidden.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step_scores_agree(dtype):
    """In float32, whatever the weights are."""
    head, hidden = TokenHead(WIDTH, VOCABULARY, bias=True).to(dtype), torch.randn(ROWS, WIDTH).to(dtype) * 5
    step = head.step(hidden, Alignment(lambda: None))
    log_probs = step.log_probs()
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(ROWS))
    torch.testing.assert_close(log_probs, head(hidden[:, None]).logits()[:, 0].float().log_softmax(-1))
    best, ids = step.top(4)
    assert best.dtype == torch.float32
    torch.testing.assert_close(best, log_probs.gather(1, ids))
    torch.testing.assert_close(best, log_probs.sort(descending=True).values[:, :4])
    assert torch.equal(step.argmax(), ids[:, 0])


def test_attention_is_made_only_when_asked_for():
    asked = []
    step = TokenHead(WIDTH, VOCABULARY).step(torch.randn(ROWS, WIDTH), Alignment(lambda: asked.append(True)))
    step.argmax(), step.top(2), step.log_probs()
    assert not asked
    step.attention()
    assert asked


def test_tying():
    table = nn.Parameter(torch.randn(VOCABULARY, WIDTH))
    head = TokenHead(WIDTH, VOCABULARY, tied=table)
    assert head.weight is table
    with pytest.raises(ValueError, match=r"\(9, 6\), the embedding is \(9, 5\)"):
        TokenHead(WIDTH + 1, VOCABULARY, tied=table)
