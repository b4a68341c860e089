"""Greedy search: the best token, again and again."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from henkan.decode.history import History, staying
from henkan.decode.hypothesis import Hypothesis, check_limits, forbidden_tokens, next_inputs
from henkan.decode.penalties import LengthPenalty
from henkan.decode.stepper import Stepper
from henkan.errors import RunError
from henkan.tensors import State, StepScores, Tokens
from henkan.text.tokenizer import END, START


@torch.inference_mode()
def greedy_search(
    stepper: Stepper,
    state: State,
    prefix: Tokens,
    limits: Tensor,
    penalty: LengthPenalty | None,
    *,
    align: bool = False,
) -> list[Hypothesis]:
    """One output for each source, in the order of the sources.

    Args:
        stepper: scores the next token.
        state: fresh from ``stepper.start``, with room for the prefix and the longest limit; spent afterwards.
        prefix: what the output begins with, usually START alone; not part of the hypotheses.
        limits: (sources,) the largest number of tokens of an output, END counted; at least 1.
        penalty: how length enters the score, which changes no choice (see BeamOptions.penalty). None: score and
            log_prob are not wanted and NaN, which saves the normaliser over the vocabulary.
        align: note the source position with the largest attention weight.

    Raises:
        RunError: the scores are not numbers.
    """
    sources = prefix.ids.shape[0]
    stops = check_limits(limits, sources)
    if not stops:
        return []
    limits = limits.to(prefix.ids.device)
    forbidden = forbidden_tokens(stepper.vocabulary_size, prefix.ids.device)
    done = torch.zeros_like(limits, dtype=torch.bool)
    uneven = prefix.ids.shape[1] > 1  # then a row at its limit may be at the last place that the model has
    history = History(sources)
    inputs = prefix
    for step in range(max(stops)):
        scores, state = stepper.step(inputs, state)
        record = (_best_unscored(scores, forbidden),) if penalty is None else _best(scores, forbidden)
        tokens = record[0]
        weights = scores.attention() if align else None
        history.note(*record, *(() if weights is None else (weights.argmax(-1),)))
        done = done | (tokens == END)
        if step + 1 in stops:
            done = done | (limits <= step + 1)
        stay = (~done).nonzero()[:, 0] if uneven and step + 1 in stops else staying(done, step)
        if stay is not None:
            if stay.shape[0] == 0:
                break
            history.keep(stay)
            state = state.keep(stay)
            tokens, limits, done = tokens[stay], limits[stay], done[stay]
        inputs = next_inputs(tokens)
    return _hypotheses(history.arrays(), stops, penalty)


def _best(scores: StepScores, forbidden: Tensor) -> tuple[Tensor, Tensor]:
    """The best token that may be produced and its log-probability, both (N,)."""
    log_probs, ids = scores.top(3)  # of which at most two are forbidden
    best = (log_probs + forbidden.take(ids)).max(1)
    return ids.gather(1, best.indices[:, None])[:, 0], best.values


def _best_unscored(scores: StepScores, forbidden: Tensor) -> Tensor:
    """The best token that may be produced, (N,), at the price of an argmax where that is possible."""
    if not forbidden.is_cpu:
        return _best(scores, forbidden)[0]  # to look at the argmax would make the accelerator wait
    tokens = scores.argmax()
    if int(tokens.min()) > START:  # what is forbidden is at most START
        return tokens
    return (scores.log_probs() + forbidden).argmax(-1)


def _hypotheses(columns: list[np.ndarray], stops: list[int], penalty: LengthPenalty | None) -> list[Hypothesis]:
    """Columns are (steps, sources): tokens; log-probabilities if there is a penalty; alignments if noted."""
    columns = [column.T for column in columns]
    tokens = columns.pop(0)
    log_probs = None if penalty is None else columns.pop(0)
    alignment = columns.pop(0) if columns else None
    found = []
    for source, stop in enumerate(stops):
        ends = np.flatnonzero(tokens[source, :stop] == END)
        length = int(ends[0]) if len(ends) else stop  # tokens before END
        score = log_prob = math.nan
        if penalty is not None and log_probs is not None:
            closed = length + (len(ends) > 0)  # END counted
            log_prob = float(log_probs[source, :closed].sum(dtype=float))
            score = log_prob / penalty(float(closed))
            if not math.isfinite(log_prob):
                raise RunError(
                    f"source {source + 1} has no output of any probability: the model's scores are not numbers"
                )
        positions = None if alignment is None else alignment[source, :length].tolist()
        found.append(Hypothesis(tokens[source, :length].tolist(), score, log_prob, len(ends) > 0, positions))
    return found
