"""Beam search.

1. The prefix is read with one row for each source; from then on each source has ``beam`` rows.
2. Each row offers its best continuations. Of all that a source is offered, the best ``beam`` that do not end are read
   on; those among the best ``beam`` that end (here, and only here, END competes with other tokens) are finished.
3. A source is done when nothing alive can reach the score of its n-best finished hypotheses; when ``beam`` hypotheses
   have finished and nothing alive would score more if it ended here; or at its limit. What is still alive at the limit
   is cut, and ranks behind everything finished. Length and coverage penalties enter scores, so they decide among what
   is finished, not what is read on.
4. Outputs are never copied: each step notes the parents and tokens it chose, and paths are followed back in the end.

With a beam of 1 this is greedy search; with a beam as wide as there are outputs it finds the best of them all.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from henkan.config import Config
from henkan.decode.coverage import AttentionSums, Coverage, NoCoverage
from henkan.decode.history import History, staying
from henkan.decode.hypothesis import Hypothesis, check_limits, forbidden_tokens, next_inputs
from henkan.decode.penalties import CoveragePenalty, LengthPenalty, PenaltyKind
from henkan.decode.stepper import Stepper
from henkan.errors import RunError
from henkan.tensors import State, StepScores, Tokens
from henkan.text.tokenizer import END, PAD


class BeamOptions(Config):
    """How to search, and how long an output may become."""

    beam: Annotated[int, Field(ge=1, le=1024)] = 5
    length_penalty: PenaltyKind = "gnmt"
    alpha: Annotated[float, Field(ge=0, le=10)] = 1.0
    coverage: Annotated[float, Field(ge=0, le=10)] = 0.0  # beta of the coverage penalty; 0: no attention is asked for
    n_best: Annotated[int, Field(ge=1, le=1024)] = 1
    max_ratio: Annotated[float, Field(ge=0, le=100)] = 3.0  # output tokens for each source token,
    max_extra: Annotated[int, Field(ge=0, le=100_000)] = 10  # and so many more,
    max_length: Annotated[int, Field(ge=1, le=100_000)] = 256  # but never more than this

    @model_validator(mode="after")
    def _beam_holds_n_best(self) -> BeamOptions:
        if self.n_best > self.beam:
            raise ValueError(f"n_best {self.n_best}: expected at most the beam, {self.beam}")
        return self

    @property
    def penalty(self) -> LengthPenalty:
        """What the log-probability of an output is divided by to give its score."""
        return LengthPenalty(self.length_penalty, self.alpha)

    def limits(self, source_lengths: Tensor) -> Tensor:
        """The largest number of tokens, END counted, of an output for sources of these lengths; both (sources,)."""
        return (source_lengths * self.max_ratio + self.max_extra).long().clamp(1, self.max_length)


class _Offers(NamedTuple):
    """The best continuations of each source, best first; all (sources, 2 * beam)."""

    log_probs: Tensor  # of the whole hypothesis
    tokens: Tensor
    parents: Tensor  # which row of the source they continue


@torch.inference_mode()
def beam_search(
    stepper: Stepper,
    state: State,
    prefix: Tokens,
    limits: Tensor,
    options: BeamOptions,
    *,
    source_mask: Tensor | None = None,
    align: bool = False,
) -> list[list[Hypothesis]]:
    """The ``options.n_best`` best outputs of each source, best first, in the order of the sources.

    Fewer come back where there are not so many outputs of non-zero probability within the limit.

    Args:
        stepper: scores the next token.
        state: fresh from ``stepper.start``, with room for the prefix and the longest limit; spent afterwards.
        prefix: what the output begins with, usually START alone; not part of the hypotheses.
        limits: (sources,) the largest number of tokens of an output, END counted; at least 1 (see BeamOptions.limits).
        options: the width of the beam and the rest.
        source_mask: (sources, S) bool, which positions of each source are there; for a coverage penalty.
        align: note the source position with the largest attention weight.

    Raises:
        RunError: the scores are not numbers.
        ConfigError: the options ask for a coverage penalty, and the model has no attention.
    """
    sources = prefix.ids.shape[0]
    stops = check_limits(limits, sources)
    if not stops:
        return []
    beam, n_best, device = options.beam, options.n_best, prefix.ids.device
    penalty = options.penalty
    limits = limits.to(device)
    coverage: Coverage = NoCoverage(sources, device)
    if options.coverage:
        assert source_mask is not None, "a coverage penalty must know which source positions are there"
        coverage = AttentionSums(CoveragePenalty(options.coverage), source_mask)
    # Log-probabilities only fall, the divisor only grows, and coverage never adds: no score can rise above this times
    # the log-probability.
    best_rate = torch.tensor([1.0 / penalty(float(stop)) for stop in stops], device=device)
    forbidden = forbidden_tokens(stepper.vocabulary_size, device)
    finished = torch.full((sources, beam), -torch.inf, device=device)  # best scores of finished hypotheses
    alive = torch.zeros(sources, 1, device=device)  # log-probabilities, best first; minus infinity: nobody there
    history = History(sources)
    inputs = prefix
    for step in range(max(stops)):
        scores, state = stepper.step(inputs, state)
        tokens, parents, alive, end_parents, ended = choose(scores, alive, forbidden, beam)
        added = coverage.look(scores)  # to the score of each row, whatever it goes on with
        end_added = added.gather(1, end_parents)
        weights = scores.attention() if align else None
        # Before the first expansion a source has one alignment, which all its rows share.
        positions = () if weights is None else (weights.argmax(-1).view(alive.shape[0], -1).expand(-1, beam),)
        history.note(tokens, parents, alive, added.gather(1, parents), end_parents, ended, end_added, *positions)

        rate = 1.0 / penalty(step + 1.0)
        finished = torch.cat([finished, ended * rate + end_added], 1).topk(beam).values
        worst = finished[:, n_best - 1]
        done = (worst >= alive[:, 0] * best_rate) | ((finished[:, -1] > -torch.inf) & (worst >= alive[:, 0] * rate))
        if step + 1 in stops:
            done = done | (limits <= step + 1)
        alive = alive.masked_fill(done[:, None], -torch.inf)  # so that a source which is done stays as it is
        stay = staying(done, step)
        if stay is not None:
            if stay.shape[0] == 0:
                break
            history.keep(stay)
            state = state.keep(stay)
            coverage.keep(stay)
            alive, finished, tokens, parents = alive[stay], finished[stay], tokens[stay], parents[stay]
            limits, best_rate = limits[stay], best_rate[stay]
        if beam > 1:
            state = state.expand(beam) if step == 0 else state.reorder(parents)
        coverage.follow(parents)
        inputs = next_inputs(tokens)
    return hypotheses(history.arrays(), np.array(stops), penalty, n_best)


class Choice(NamedTuple):
    """What each source goes on with, and what of it ends; all (sources, beam), best first."""

    tokens: Tensor
    parents: Tensor  # which row of the source they continue
    alive: Tensor  # log-probabilities; minus infinity: nobody there
    end_parents: Tensor
    ended: Tensor  # log-probabilities; minus infinity where this one of the best does not end


def choose(scores: StepScores, alive: Tensor, forbidden: Tensor, beam: int) -> Choice:
    """One step of the search: ``alive`` (sources, rows) log-probabilities, and what may follow."""
    offers = _offers(scores, alive, forbidden, beam)
    ends = offers.tokens == END
    log_probs, picks = offers.log_probs.masked_fill(ends, -torch.inf).topk(beam)
    ended = torch.where(ends[:, :beam], offers.log_probs[:, :beam], -torch.inf)
    tokens, parents = offers.tokens.gather(1, picks), offers.parents.gather(1, picks)
    return Choice(tokens, parents, log_probs, offers.parents[:, :beam], ended)


def _offers(scores: StepScores, alive: Tensor, forbidden: Tensor, beam: int) -> _Offers:
    """What the rows of each source, ``alive`` (sources, rows), may go on with."""
    sources = alive.shape[0]
    # A row can contribute `beam` tokens to those that are read on; END and the two forbidden ones may be above them.
    k = min(beam + 3, forbidden.shape[0])
    log_probs, ids = scores.top(k)  # (sources * rows, k)
    log_probs = ((log_probs + forbidden.take(ids)).reshape(sources, -1, k) + alive[:, :, None]).flatten(1)
    ids = ids.reshape(sources, -1)
    missing = 2 * beam - log_probs.shape[1]
    if missing > 0:  # only after the prefix, where each source has one row
        log_probs = functional.pad(log_probs, (0, missing), value=-torch.inf)
        ids = functional.pad(ids, (0, missing), value=PAD)
    best, places = log_probs.topk(2 * beam)
    parents = (places // k).clamp_(max=alive.shape[1] - 1)  # what was added belongs to nobody
    return _Offers(best, ids.gather(1, places), parents)


class _Ranked(NamedTuple):
    """The chosen hypotheses of all sources, best first within a source; all (hypotheses,)."""

    source: np.ndarray
    length: np.ndarray  # tokens without END
    row: np.ndarray  # where in the beam its last token is
    cut: np.ndarray  # at its limit, before END came
    log_prob: np.ndarray
    score: np.ndarray


def hypotheses(
    columns: list[np.ndarray], stops: np.ndarray, penalty: LengthPenalty, n_best: int
) -> list[list[Hypothesis]]:
    """Rank what has finished or was cut, and follow the best back; columns are (steps, sources, beam) as noted."""
    tokens, parents, alive, added, end_parents, ended, end_added, *positions = columns
    ranked = _rank(alive, added, end_parents, ended, end_added, stops, penalty, n_best)
    output = np.zeros((len(ranked.source), len(tokens)), np.int64)
    alignment = np.zeros_like(output)
    row = ranked.row
    for step in reversed(range(len(tokens))):
        parent = parents[step, ranked.source, row]
        output[:, step] = tokens[step, ranked.source, row]
        if positions:
            alignment[:, step] = positions[0][step, ranked.source, parent]
        row = np.where(step < ranked.length, parent, row)

    found: list[list[Hypothesis]] = [[] for _ in stops]
    for i, (source, length) in enumerate(zip(ranked.source.tolist(), ranked.length.tolist(), strict=True)):
        hypothesis = Hypothesis(
            tokens=output[i, :length].tolist(),
            score=float(ranked.score[i]),
            log_prob=float(ranked.log_prob[i]),
            finished=not ranked.cut[i],
            alignment=alignment[i, :length].tolist() if positions else None,
        )
        found[source].append(hypothesis)
    return found


def _rank(
    alive: np.ndarray,
    added: np.ndarray,
    end_parents: np.ndarray,
    ended: np.ndarray,
    end_added: np.ndarray,
    stops: np.ndarray,
    penalty: LengthPenalty,
    n_best: int,
) -> _Ranked:
    """The best of each source: by score, but all that finished before all that was cut."""
    steps, sources, beam = ended.shape
    # Candidates: whatever ended at any step, then what was alive at the limit.  (sources, steps * beam + beam)
    last = (np.minimum(stops, steps) - 1, np.arange(sources))
    at_limit = np.where((stops <= steps)[:, None], alive[last], -np.inf)

    def candidates(ending: np.ndarray, cut: np.ndarray) -> np.ndarray:
        return np.concatenate([ending.transpose(1, 0, 2).reshape(sources, -1), cut], 1).astype(np.float64)

    log_probs, coverage = candidates(ended, at_limit), candidates(end_added, added[last])
    lengths = np.empty(log_probs.shape, np.int64)  # END counted
    lengths[:, :-beam] = np.arange(1, steps + 1).repeat(beam)
    lengths[:, -beam:] = stops[:, None]
    is_cut = np.arange(log_probs.shape[1]) >= steps * beam
    scores = log_probs / penalty(lengths.astype(np.float64)) + coverage

    real = np.isfinite(scores)
    order = np.lexsort((-scores, np.broadcast_to(is_cut, scores.shape), ~real))[:, :n_best]  # last key first
    chosen = np.take_along_axis(real, order, 1)
    if not chosen[:, 0].all():
        lost = int(np.flatnonzero(~chosen[:, 0])[0]) + 1
        raise RunError(f"source {lost} has no output of any probability: the model's scores are not numbers")
    source, rank = chosen.nonzero()
    place = order[source, rank]
    cut = is_cut[place]
    length = lengths[source, place] - ~cut
    row = np.where(cut, place % beam, end_parents[np.minimum(length, steps - 1), source, place % beam])
    return _Ranked(source, length, row, cut, log_probs[source, place], scores[source, place])
