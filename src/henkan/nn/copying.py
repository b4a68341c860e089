"""Words that may be written or pointed at (See, Liu & Manning 2017; Gu et al. 2016; Vinyals et al. 2015).

    P(w)  = g softmax(W h)(w) + (1 - g) sum of the attention weights of the source positions that hold w    equation 9
    g     = s(v . h + b)                                                                                     equation 8

The paper's g reads the context, the state and the last word. Here it reads h, in which every decoder with attention
has mixed the three before it predicts a word. The vocabulary is one for source and target; subwords leave few words
out of it, so it is not extended for each source as in the paper's section 2.2.

All sums are made of logarithms: a word of the vocabulary's that the source does not hold has the log-probability
log g + log softmax, and only the S words of the source need correcting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.heads import Alignment, LinearStepScores, LinearTokenScores, TokenHead
from henkan.nn.init import glorot_uniform
from henkan.nn.log_probs import log_probs_chunked
from henkan.tensors import IGNORE

SMALLEST = 1e-30
"""What attention to a word counts for at least, so that its logarithm is a number."""


def same_word(ids: Tensor) -> Tensor:
    """Which source positions (N, S) hold the same word: (N, S, S) bool."""
    return ids[:, :, None] == ids[:, None, :]


def pointing(weights: Tensor) -> Tensor:
    """Weights (..., S) that sum to one; those of predictive local attention do not."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=SMALLEST)


def mixed(written: Tensor, gate: Tensor, mass: Tensor) -> Tensor:
    """log P of some words: exp(written) and (1 - g) mass added.

    Args:
        written: (...) log g + log softmax.
        gate: (...) the logit of g.
        mass: (...) the attention that the word gets.
    """
    return torch.logaddexp(written, functional.logsigmoid(-gate) + mass.clamp(min=SMALLEST).log())


def mixture(log_probs: Tensor, gate: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
    """log P of every word.

    Args:
        log_probs: (N, T, V) of the vocabulary, normalised.
        gate: (N, T) the logit of g.
        weights: (N, T, S) attention, which sums to one.
        ids: (N, S) the source's words.
    """
    written = log_probs + functional.logsigmoid(gate)[..., None]
    mass = torch.bmm(weights, same_word(ids).to(weights.dtype))
    places = ids[:, None].expand_as(mass)
    # Two positions with one word have one mass, so it does not matter which of them is written last.
    return written.scatter(2, places, mixed(written.gather(2, places), gate[..., None], mass))


@dataclass(frozen=True)
class CopyTokenScores:
    """All that is needed for the mixture, which may stay unmade; see :class:`henkan.tensors.TokenScores`."""

    words: LinearTokenScores  # of what is written
    gate: Tensor  # (N, T) the logit of g, at least float32
    weights: Tensor  # (N, T, S) attention, at least float32; sums to one
    ids: Tensor  # (N, S)

    def logits(self) -> Tensor:
        """(N, T, V) log P, in the type of the hidden vectors."""
        logits = self.words.logits()
        log_probs = logits.log_softmax(-1, dtype=self.gate.dtype)
        return mixture(log_probs, self.gate, self.weights, self.ids).to(logits.dtype)

    def loss(self, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Sum of smoothed cross-entropies over labels (N, T) that are not IGNORE, and their (N, T) log-probabilities.

        Smoothing is that of the mixture: s times the mean of -log P over the vocabulary, so g does not fall below s
        either. Log-probabilities are detached, and 0 where the label is IGNORE.
        """
        row, position = (labels != IGNORE).nonzero().unbind(1)  # padding takes no part in the largest product
        label, ids = labels[row, position, None], self.ids[row]  # (rows, 1), (rows, S)
        gate, weights = self.gate[row, position], self.weights[row, position]
        words = torch.cat([label, ids], 1) if smoothing else label
        hidden, weight, bias = self.words.hidden[row, position], self.words.weight, self.words.bias
        log_probs, mean = log_probs_chunked(hidden, weight, bias, words)
        written = log_probs + functional.logsigmoid(gate)[:, None]
        chosen = mixed(written[:, 0], gate, (weights * (ids == label)).sum(1))
        loss = -(1.0 - smoothing) * chosen.sum()
        if smoothing:
            # The mean of log P: that of what is written, and what pointing adds at each word of the source, once.
            same = same_word(self.ids).to(weights.dtype)
            mass = torch.bmm(self.weights, same)[row, position]
            added = (mixed(written[:, 1:], gate[:, None], mass) - written[:, 1:]) / same.sum(1)[row]
            everywhere = functional.logsigmoid(gate) + mean + added.sum(1) / weight.shape[0]
            loss = loss - smoothing * everywhere.sum()
        log_p = chosen.new_zeros(labels.shape).index_put_((row, position), chosen.detach())
        return loss, log_p


@dataclass(frozen=True)
class CopyStepScores:
    """The scores of one step; see :class:`henkan.tensors.StepScores`."""

    words: LinearStepScores  # of what is written
    gate: Tensor  # (N,) the logit of g, float32
    alignment: Alignment

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.log_probs().argmax(-1)

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids of the best k tokens, both (N, k), best first."""
        best, ids = self.log_probs().topk(k, -1)
        return best, ids

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        weights, ids = _where(self.alignment)
        log_probs = self.words.log_probs()
        return mixture(log_probs[:, None], self.gate[:, None], pointing(weights.float())[:, None], ids)[:, 0]

    def attention(self) -> Tensor | None:
        """(N, S) weights over the source."""
        return self.alignment.weights()


class CopyHead(nn.Module):
    """The next token, written by a head of its own or pointed at; and the gate between the two."""

    def __init__(self, words: TokenHead, width: int) -> None:
        super().__init__()
        self.words = words
        self.gate = nn.Linear(width, 1)
        glorot_uniform(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    @property
    def weight(self) -> nn.Parameter:
        """(V, D) of what is written."""
        return self.words.weight

    def forward(self, hidden: Tensor, alignment: Alignment) -> CopyTokenScores:
        """Hidden (N, T, D)."""
        gate = self.gate(hidden)[..., 0]
        precision = torch.promote_types(gate.dtype, torch.float32)
        weights, ids = _where(alignment)
        return CopyTokenScores(self.words(hidden), gate.to(precision), pointing(weights.to(precision)), ids)

    def step(self, hidden: Tensor, alignment: Alignment) -> CopyStepScores:
        """Hidden (N, D) of one step."""
        return CopyStepScores(self.words.step(hidden, alignment), self.gate(hidden)[:, 0].float(), alignment)


def _where(alignment: Alignment) -> tuple[Tensor, Tensor]:
    """Weights over the source, and its words."""
    weights = alignment.weights()
    assert weights is not None and alignment.ids is not None, "copying needs a CopyingDecoder around one that attends"
    return weights, alignment.ids
