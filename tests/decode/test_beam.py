"""Beam search against brute force, against greedy search, and against itself in other company."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from henkan.decode import beam as beam_module
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.forced import forced_log_probs
from henkan.decode.greedy import greedy_search
from henkan.decode.penalties import LengthPenalty
from henkan.decode.stepper import Ensemble
from henkan.errors import RunError
from henkan.tensors import Tokens
from henkan.text.tokenizer import END, PAD, START, UNKNOWN

PENALTIES = [("gnmt", 1.0), ("gnmt", 0.6), ("plain", 1.0), ("plain", 2.0), ("none", 1.0)]
SOURCES = [3, 1, 4, 15, 9, 2, 6]
LIMITS = torch.tensor([6, 3, 9, 1, 5, 9, 2])


def brute_force(stepper, source, limit, kind, alpha):
    """Every output as (finished, score, log-probability, tokens), best first."""
    penalty = LengthPenalty(kind, alpha)
    letters = [token for token in range(stepper.vocabulary_size) if token not in (PAD, START, END)]
    found = []
    for length in range(limit + 1):
        for tokens in itertools.product(letters, repeat=length):
            so_far = [(START, *tokens[:t]) for t in range(length)]
            log_prob = sum(
                float(stepper.row(source, past)[0][token]) for past, token in zip(so_far, tokens, strict=True)
            )
            if length < limit:
                log_prob += float(stepper.row(source, (START, *tokens))[0][END])
                found.append((True, log_prob / penalty(length + 1.0), log_prob, list(tokens)))
            else:
                found.append((False, log_prob / penalty(float(length)), log_prob, list(tokens)))
    return sorted(found, key=lambda entry: entry[:2], reverse=True)


def outcome(hypotheses):
    return [(h.tokens, h.finished, round(h.score, 4), h.alignment) for h in hypotheses]


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_wide_beam_finds_what_brute_force_finds(table, begin, seed, kind, alpha):
    stepper = table(vocabulary_size=7, seed=seed, end_bias=float(seed))
    sources, limits = [5, 8, 13], torch.tensor([3, 4, 1])
    options = BeamOptions(beam=400, n_best=12, length_penalty=kind, alpha=alpha)
    found = beam_search(stepper, *begin(stepper, sources), limits, options)
    for source, limit, hypotheses in zip(sources, limits.tolist(), found, strict=True):
        expected = brute_force(stepper, source, limit, kind, alpha)[:12]
        assert [h.tokens for h in hypotheses] == [tokens for *_, tokens in expected], f"source {source}"
        assert [h.finished for h in hypotheses] == [finished for finished, *_ in expected]
        np.testing.assert_allclose([h.score for h in hypotheses], [score for _, score, *_ in expected], rtol=1e-5)
        np.testing.assert_allclose([h.log_prob for h in hypotheses], [p for _, _, p, _ in expected], rtol=1e-5)


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
def test_stopping_early_loses_nothing(table, begin, kind, alpha):
    """The same beam, with all hypotheses wanted, must run on to the end; its best are those of the early stop."""
    stepper = table(vocabulary_size=7, seed=5, end_bias=2.0)
    limits = torch.full((len(SOURCES),), 4)
    all_of_them = BeamOptions(beam=400, n_best=400, length_penalty=kind, alpha=alpha)
    wanted = all_of_them.model_copy(update={"n_best": 1})
    complete = beam_search(stepper, *begin(stepper, SOURCES), limits, all_of_them)
    early = beam_search(stepper, *begin(stepper, SOURCES), limits, wanted)
    assert [outcome(found) for found in early] == [outcome(found[:1]) for found in complete]


def test_it_stops_early_where_nothing_can_become_better(table, begin):
    stepper = table(end_bias=8.0)
    beam_search(stepper, *begin(stepper, [1, 2]), torch.tensor([50, 50]), BeamOptions(beam=30, alpha=0.0))
    assert len(stepper.rows) < 5, f"{len(stepper.rows)} steps for outputs that end at once"


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_search(table, begin, seed):
    stepper = table(vocabulary_size=12, seed=seed)
    options = BeamOptions(beam=1)
    greedy = greedy_search(stepper, *begin(stepper, SOURCES), LIMITS, options.penalty, align=True)
    one = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, options, align=True)
    assert [outcome(found) for found in one] == [outcome([hypothesis]) for hypothesis in greedy]


def test_two_equal_models_are_one(table, begin):
    one, two = table(seed=4), Ensemble([table(seed=4), table(seed=4)])
    options = BeamOptions(beam=4, n_best=3)
    alone = beam_search(one, *begin(one, SOURCES), LIMITS, options, align=True)
    together = beam_search(two, *begin(two, SOURCES), LIMITS, options, align=True)
    assert [outcome(found) for found in together] == [outcome(found) for found in alone]


@pytest.mark.parametrize("n_best", [1, 4])
def test_dropping_finished_sources_changes_nothing(table, begin, monkeypatch, n_best):
    stepper = table(vocabulary_size=12, seed=6, end_bias=1.5)
    options = BeamOptions(beam=4, n_best=n_best)
    results, rows = [], []
    for drop in (lambda done, step: (~done).nonzero()[:, 0], beam_module.staying, lambda done, step: None):
        monkeypatch.setattr(beam_module, "staying", drop)
        stepper.rows.clear()
        found = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, options, align=True)
        results.append([outcome(hypotheses) for hypotheses in found])
        rows.append(sum(stepper.rows))
    assert results[0] == results[1] == results[2]
    assert rows[0] <= rows[1] < rows[2], "finished sources cost nothing"


def test_ends_of_little_vocabularies_do_not_end_the_search(table, begin):
    """Where few words compete, END is always among the best of them; a sure output is gone on with nevertheless."""
    length = 20

    def sure(log_probs: np.ndarray, source: int, so_far: tuple[int, ...]) -> None:
        log_probs[:] = np.log(0.01)  # as label smoothing leaves it
        log_probs[END if len(so_far) > length else 4 + len(so_far) % 3] = np.log(0.93)

    stepper = table(vocabulary_size=8, adjust=sure)
    expected = [4 + place % 3 for place in range(1, length + 1)]
    limits = torch.tensor([40, 30])
    for beam in (1, 2, 5):
        found = beam_search(stepper, *begin(stepper, [1, 2]), limits, BeamOptions(beam=beam))
        assert [hypotheses[0].tokens for hypotheses in found] == [expected, expected]


def test_other_sources_in_the_batch_change_nothing(table, begin):
    stepper = table(vocabulary_size=12, seed=7, end_bias=1.0)
    options = BeamOptions(beam=3, n_best=2)
    together = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, options)
    for i, source in enumerate(SOURCES):
        alone = beam_search(stepper, *begin(stepper, [source]), LIMITS[i : i + 1], options)
        assert outcome(alone[0]) == outcome(together[i]), f"source {source}"
    backwards = beam_search(stepper, *begin(stepper, SOURCES[::-1]), LIMITS.flip(0), options)
    assert [outcome(found) for found in backwards[::-1]] == [outcome(found) for found in together]


def test_limits_are_kept_and_cut_outputs_come_last(table, begin):
    stepper = table(vocabulary_size=12, seed=8)
    found = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, BeamOptions(beam=5, n_best=5))
    cut = 0
    for limit, hypotheses in zip(LIMITS.tolist(), found, strict=True):
        for h in hypotheses:
            assert len(h.tokens) + h.finished <= limit
            assert h.finished or len(h.tokens) == limit, "only the limit may cut an output"
        order = [(h.finished, h.score) for h in hypotheses]
        assert order == sorted(order, reverse=True), "finished before cut, then by score"
        cut += sum(not h.finished for h in hypotheses)
    assert cut, "the table should have made something too long"


def test_scores_are_those_of_forced_decoding(table, begin):
    stepper = table(vocabulary_size=12, seed=9)
    options = BeamOptions(beam=5, n_best=5)
    found = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, options)
    for i in range(5):
        chosen = [hypotheses[min(i, len(hypotheses) - 1)] for hypotheses in found]
        forced = forced_log_probs(stepper, *begin(stepper, SOURCES), [h.tokens for h in chosen])
        for h, log_probs in zip(chosen, forced, strict=True):
            kept = log_probs if h.finished else log_probs[:-1]
            assert h.log_prob == pytest.approx(sum(kept), abs=1e-4)
            assert h.score == pytest.approx(sum(kept) / ((5 + len(kept)) / 6), abs=1e-4)


def test_alignments_are_where_attention_is_largest(table, begin):
    stepper = table(vocabulary_size=12, seed=10)
    found = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, BeamOptions(beam=4, n_best=4), align=True)
    for source, hypotheses in zip(SOURCES, found, strict=True):
        for h in hypotheses:
            past = [(START, *h.tokens[:t]) for t in range(len(h.tokens))]
            assert h.alignment == [int(stepper.row(source, so_far)[1].argmax()) for so_far in past]


def test_alignment_is_none_without_attention_or_when_not_asked_for(table, begin):
    for stepper, align in ((table(attends=False), True), (table(), False)):
        found = beam_search(stepper, *begin(stepper, [1]), torch.tensor([4]), BeamOptions(), align=align)
        assert found[0][0].alignment is None


@pytest.mark.parametrize("beam", [1, 3, 10])
def test_pad_and_start_are_never_produced_and_unknown_may_be(table, begin, beam):
    def adjust(log_probs, source, so_far):
        log_probs[[PAD, START, UNKNOWN]] = [-0.1, -0.2, -0.3] if len(so_far) < 3 else [-0.1, -0.2, -9.0]

    stepper = table(adjust=adjust)
    found = beam_search(stepper, *begin(stepper, SOURCES), LIMITS, BeamOptions(beam=beam, n_best=beam))
    tokens = [token for hypotheses in found for h in hypotheses for token in h.tokens]
    assert not {PAD, START, END} & set(tokens)
    assert UNKNOWN in tokens
    assert all(hypotheses for hypotheses in found)


def test_what_is_forbidden_takes_nobody_s_place(table, begin):
    """PAD, START and END are the best at first, and the fifth best token leads to the best output."""

    def adjust(log_probs, source, so_far):
        log_probs[:] = -20.0
        if len(so_far) == 1:
            log_probs[[PAD, START, END, 4, 5]] = [-0.1, -0.2, -3.0, -3.1, -3.2]
        elif so_far[1] == 5:
            log_probs[END] = 0.0

    stepper = table(vocabulary_size=12, adjust=adjust)
    found = beam_search(stepper, *begin(stepper, [1]), torch.tensor([6]), BeamOptions(beam=2))
    assert found[0][0].tokens == [5]


def test_the_prefix_is_read_once_for_each_source(table, begin):
    stepper = table(seed=11)
    state, prefix = begin(stepper, [1, 2, 3], prefix=(START, 5, 5))
    padded = Tokens(prefix.ids.clone(), torch.tensor([[True, True, True], [True, True, False], [True, False, False]]))
    options = BeamOptions(beam=4)
    found = beam_search(stepper, state, padded, torch.tensor([4, 4, 4]), options)
    assert stepper.rows[:2] == [3, 12]
    for i, length in enumerate((3, 2, 1)):
        alone = beam_search(stepper, *begin(stepper, [i + 1], (START, 5, 5)[:length]), torch.tensor([4]), options)
        assert outcome(found[i]) == outcome(alone[0]), "padding of a prefix changes nothing"


def test_fewer_outputs_than_wanted_come_back_if_there_are_no_more(table, begin):
    stepper = table(vocabulary_size=5)
    found = beam_search(stepper, *begin(stepper, [1]), torch.tensor([1]), BeamOptions(beam=50, n_best=50))
    assert sorted((h.tokens, h.finished) for h in found[0]) == [([], True), ([UNKNOWN], False), ([4], False)]


def test_no_sources(table, begin):
    stepper = table()
    assert beam_search(stepper, *begin(stepper, []), torch.zeros(0, dtype=torch.int64), BeamOptions()) == []


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_scores_that_are_not_numbers_are_reported(table, begin, value):
    def adjust(log_probs, source, so_far):
        if source == 2:
            log_probs[:] = value

    stepper = table(adjust=adjust)
    with pytest.raises(RunError, match="source 2 has no output"):
        beam_search(stepper, *begin(stepper, [1, 2]), torch.tensor([3, 3]), BeamOptions())


@pytest.mark.parametrize("limits", [[3], [3, 0]])
def test_limits_that_do_not_fit_are_refused(table, begin, limits):
    stepper = table()
    with pytest.raises(ValueError, match="expected 2 numbers of tokens"):
        beam_search(stepper, *begin(stepper, [1, 2]), torch.tensor(limits), BeamOptions())


def test_limits_of_options():
    options = BeamOptions(max_ratio=1.5, max_extra=2, max_length=20)
    assert options.limits(torch.tensor([1, 4, 100])).tolist() == [3, 8, 20]
    assert BeamOptions(max_ratio=0.0, max_extra=0).limits(torch.tensor([7])).tolist() == [1]


@pytest.mark.parametrize(
    "wrong", [{"beam": 0}, {"beam": 2, "n_best": 3}, {"alpha": -0.1}, {"max_length": 0}, {"length_penalty": "x"}]
)
def test_options_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError):
        BeamOptions(**wrong)
