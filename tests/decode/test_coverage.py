"""The coverage penalty against brute force, and what it must leave alone."""

import itertools

import numpy as np
import pytest
import torch

from henkan.decode import beam as beam_module
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.greedy import greedy_search
from henkan.decode.penalties import LEAST_ATTENTION, CoveragePenalty, LengthPenalty
from henkan.decode.stepper import Ensemble
from henkan.errors import ConfigError
from henkan.text.tokenizer import END, PAD, START

SOURCES = [3, 1, 4, 15, 9, 2, 6]
LENGTHS = [5, 2, 4, 1, 3, 5, 4]  # of the sources, in positions
LIMITS = torch.tensor([6, 3, 9, 1, 5, 9, 2])


def mask(lengths):
    return torch.arange(5) < torch.tensor(lengths)[:, None]


def added(beta, weights, length):
    """Equation 14, position by position."""
    total = 0.0
    for position in range(length):
        looked = sum(step[position] for step in weights)
        total += beta * np.log(max(min(looked, 1.0), LEAST_ATTENTION))
    return total


def brute_force(stepper, source, length, limit, penalty, beta):
    """Every output as (finished, score, tokens), best first."""
    letters = [token for token in range(stepper.vocabulary_size) if token not in (PAD, START, END)]
    found = []
    for size in range(limit + 1):
        for tokens in itertools.product(letters, repeat=size):
            finished = size < limit
            written = [*tokens, END] if finished else tokens
            rows = [stepper.row(source, (START, *tokens[:t])) for t in range(len(written))]
            log_prob = sum(float(row[0][token]) for row, token in zip(rows, written, strict=True))
            score = log_prob / penalty(float(len(written))) + added(beta, [row[1] for row in rows], length)
            found.append((finished, score, list(tokens)))
    return sorted(found, key=lambda entry: entry[:2], reverse=True)


def search(stepper, begin, options, sources=SOURCES, lengths=LENGTHS, limits=LIMITS):
    return beam_search(stepper, *begin(stepper, sources), limits, options, source_mask=mask(lengths))


def outcome(hypotheses):
    return [(h.tokens, h.finished, round(h.score, 4)) for h in hypotheses]


@pytest.mark.parametrize("beta", [0.2, 1.0])
@pytest.mark.parametrize(("kind", "alpha"), [("gnmt", 0.6), ("plain", 1.0), ("none", 1.0)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wide_beam_finds_what_brute_force_finds(table, begin, seed, kind, alpha, beta):
    stepper = table(vocabulary_size=7, seed=seed, end_bias=float(seed))
    sources, lengths, limits = [5, 8, 13], [5, 2, 3], torch.tensor([3, 4, 1])
    options = BeamOptions(beam=400, n_best=12, length_penalty=kind, alpha=alpha, coverage=beta)
    found = search(stepper, begin, options, sources, lengths, limits)
    for source, length, limit, hypotheses in zip(sources, lengths, limits.tolist(), found, strict=True):
        expected = brute_force(stepper, source, length, limit, LengthPenalty(kind, alpha), beta)[:12]
        assert [h.tokens for h in hypotheses] == [tokens for *_, tokens in expected], f"source {source}"
        np.testing.assert_allclose([h.score for h in hypotheses], [score for _, score, _ in expected], rtol=1e-4)


def test_it_changes_which_output_is_best(table, begin):
    stepper = table(vocabulary_size=7, seed=1, end_bias=3.0)
    with_and_without = [
        [h[0].tokens for h in search(stepper, begin, BeamOptions(beam=100, n_best=5, coverage=beta))]
        for beta in (0.0, 2.0)
    ]
    assert with_and_without[0] != with_and_without[1]
    without, with_it = (sum(map(len, found)) for found in with_and_without)
    assert with_it > without, "a longer output looks at more of its source"


def test_stopping_early_loses_nothing(table, begin):
    stepper = table(vocabulary_size=7, seed=5, end_bias=2.0)
    limits = torch.full((len(SOURCES),), 4)
    everything = BeamOptions(beam=400, n_best=400, coverage=0.5)
    wanted = everything.model_copy(update={"n_best": 1})
    complete = search(stepper, begin, everything, limits=limits)
    early = search(stepper, begin, wanted, limits=limits)
    assert [outcome(found) for found in early] == [outcome(found[:1]) for found in complete]


def test_dropping_finished_sources_changes_nothing(table, begin, monkeypatch):
    stepper = table(vocabulary_size=12, seed=6, end_bias=1.5)
    results = []
    for drop in (lambda done, step: (~done).nonzero()[:, 0], beam_module.staying, lambda done, step: None):
        monkeypatch.setattr(beam_module, "staying", drop)
        found = search(stepper, begin, BeamOptions(beam=4, n_best=4, coverage=0.4))
        results.append([outcome(hypotheses) for hypotheses in found])
    assert results[0] == results[1] == results[2]


def test_a_beam_of_one_chooses_as_greedy_search_does(table, begin):
    stepper = table(vocabulary_size=12, seed=3)
    options = BeamOptions(beam=1, coverage=0.4)
    greedy = greedy_search(stepper, *begin(stepper, SOURCES), LIMITS, options.penalty)
    one = search(stepper, begin, options)
    assert [found[0].tokens for found in one] == [hypothesis.tokens for hypothesis in greedy]
    for source, length, (h,) in zip(SOURCES, LENGTHS, one, strict=True):
        steps = [stepper.row(source, (START, *h.tokens[:t]))[1] for t in range(len(h.tokens) + h.finished)]
        expected = h.log_prob / options.penalty(float(len(steps))) + added(0.4, steps, length)
        assert h.score == pytest.approx(expected, abs=1e-4)


def test_an_ensemble_covers_with_the_mean_of_its_weights(table, begin):
    one, two = table(seed=4), Ensemble([table(seed=4), table(seed=4)])
    options = BeamOptions(beam=4, n_best=3, coverage=0.3)
    assert [outcome(h) for h in search(two, begin, options)] == [outcome(h) for h in search(one, begin, options)]


def test_attention_is_asked_for_only_where_it_counts(table, begin):
    stepper = table(attends=False)
    beam_search(stepper, *begin(stepper, [1]), torch.tensor([4]), BeamOptions())
    with pytest.raises(ConfigError, match=r"coverage 0.2: this model has no attention over its source"):
        search(stepper, begin, BeamOptions(coverage=0.2))


def test_padding_and_positions_nobody_looked_at():
    penalty = CoveragePenalty(0.5)
    attention = torch.tensor([[0.5, 1.7, 0.0, 0.0]])
    real = torch.tensor([[True, True, True, False]])
    expected = 0.5 * (np.log(0.5) + np.log(LEAST_ATTENTION))
    assert penalty(attention, real).item() == pytest.approx(expected, rel=1e-5)
