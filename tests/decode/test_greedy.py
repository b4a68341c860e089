"""Greedy search against a plain loop over the table."""

import math

import numpy as np
import pytest
import torch

from henkan.decode import greedy as greedy_module
from henkan.decode.greedy import greedy_search
from henkan.decode.penalties import LengthPenalty
from henkan.errors import RunError
from henkan.text.tokenizer import END, PAD, START, UNKNOWN

SOURCES = [3, 1, 4, 15, 9, 2, 6]
PLAIN = LengthPenalty("plain", 1.0)
LIMITS = torch.tensor([6, 3, 9, 1, 5, 9, 2])


def plain_greedy(stepper, source, limit):
    """Tokens, log-probability, whether END came, alignment."""
    tokens, total, places = [], 0.0, []
    for _ in range(limit):
        log_probs, weights = stepper.row(source, (START, *tokens))
        log_probs = log_probs.copy()
        log_probs[[PAD, START]] = -np.inf
        best = int(log_probs.argmax())
        total += float(log_probs[best])
        if best == END:
            return tokens, total, True, places
        tokens.append(best)
        places.append(int(weights.argmax()))
    return tokens, total, False, places


@pytest.mark.parametrize("penalty", [PLAIN, LengthPenalty("none", 1.0), None])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_plain_loop(table, begin, seed, penalty):
    stepper = table(seed=seed)  # seven tokens: PAD and START are often the best
    found = greedy_search(stepper, *begin(stepper, SOURCES), LIMITS, penalty, align=True)
    for source, limit, h in zip(SOURCES, LIMITS.tolist(), found, strict=True):
        tokens, total, finished, places = plain_greedy(stepper, source, limit)
        assert (h.tokens, h.finished, h.alignment) == (tokens, finished, places)
        if penalty is None:
            assert math.isnan(h.score)
            assert math.isnan(h.log_prob)
        else:
            assert h.log_prob == pytest.approx(total, abs=1e-4)
            assert h.score == pytest.approx(total / penalty(float(len(tokens) + finished)), abs=1e-4)


def test_dropping_finished_sources_changes_nothing(table, begin, monkeypatch):
    stepper = table(vocabulary_size=12, seed=6, end_bias=1.5)
    results, rows = [], []
    for drop in (lambda done, step: (~done).nonzero()[:, 0], greedy_module.staying, lambda done, step: None):
        monkeypatch.setattr(greedy_module, "staying", drop)
        stepper.rows.clear()
        results.append(greedy_search(stepper, *begin(stepper, SOURCES), LIMITS, PLAIN, align=True))
        rows.append(sum(stepper.rows))
    assert results[0] == results[1] == results[2]
    assert rows[0] <= rows[1] < rows[2], "finished sources cost nothing"


def test_other_sources_in_the_batch_change_nothing(table, begin):
    stepper = table(vocabulary_size=12, seed=7, end_bias=1.0)
    together = greedy_search(stepper, *begin(stepper, SOURCES), LIMITS, PLAIN)
    alone = [
        greedy_search(stepper, *begin(stepper, [source]), LIMITS[i : i + 1], PLAIN)[0]
        for i, source in enumerate(SOURCES)
    ]
    assert together == alone


@pytest.mark.parametrize("penalty", [PLAIN, None])
def test_unknown_may_be_produced(table, begin, penalty):
    def adjust(log_probs, source, so_far):
        log_probs[UNKNOWN] = 0.0

    stepper = table(adjust=adjust)
    found = greedy_search(stepper, *begin(stepper, [1]), torch.tensor([3]), penalty)
    assert found[0].tokens == [UNKNOWN] * 3


def test_no_sources(table, begin):
    stepper = table()
    assert greedy_search(stepper, *begin(stepper, []), torch.zeros(0, dtype=torch.int64), PLAIN) == []


def test_scores_that_are_not_numbers_are_reported(table, begin):
    def adjust(log_probs, source, so_far):
        log_probs[:] = np.nan

    stepper = table(adjust=adjust)
    with pytest.raises(RunError, match="source 1 has no output"):
        greedy_search(stepper, *begin(stepper, [1]), torch.tensor([2]), PLAIN)
