"""Beam search whose every step is one launch: all that changes stays in tensors of one place and one shape.

A step is recorded for each bucket of sources, source positions and output positions, and replayed for every batch that
falls into it; the device is asked every few steps whether all are done. What is searched is what
:func:`henkan.decode.beam.beam_search` searches, which remains for coverage penalties and alignments. A source that is
done stays until the end; it costs a launch-bound step nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from henkan.decode.beam import BeamOptions, choose, hypotheses
from henkan.decode.history import STEPS_BETWEEN_LOOKS
from henkan.decode.hypothesis import Hypothesis, check_limits, forbidden_tokens, next_inputs
from henkan.decode.stepper import Stepper
from henkan.nn.fixed_cache import FixedCache
from henkan.nn.graphs import Replay
from henkan.tensors import State, Tokens
from henkan.text.tokenizer import END, START
from henkan.tree import Tree, leaves, map_leaves

KEPT = 16
"""Recorded steps that are kept, those used last; each holds a state and its caches."""

LEAST_POSITIONS = 32
"""Buckets of positions are this, twice this, and so on; those of sources 1, 2, 4 ..."""


class _Changing(NamedTuple):
    """What a search remembers beside the model's state; N sources, K rows for each, C steps at most."""

    tokens: Tensor  # (N, K), chosen in the step before
    alive: Tensor  # (N, K) log-probabilities
    finished: Tensor  # (N, K) best scores of what has ended
    limits: Tensor  # (N,)
    best_rates: Tensor  # (N,) no score can rise above this times the log-probability
    rates: Tensor  # (C,) one over the length penalty of an output that ends in this step
    step: Tensor  # (1,) how many have been done
    over: Tensor  # () whether all sources are done
    noted: tuple[Tensor, ...]  # (C, N, K) each, a record of every step


class CapturedBeamSearch:
    """Beam search with one stepper; keeps what it has recorded."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper
        self._recorded: OrderedDict[tuple[int, ...], _Search] = OrderedDict()

    @torch.inference_mode()
    def search(self, source: Tokens, limits: Tensor, options: BeamOptions) -> list[list[Hypothesis]]:
        """The ``options.n_best`` best outputs of each source, best first, in the order of the sources.

        Args:
            source: on the stepper's device.
            limits: (sources,) the largest number of tokens of an output, END counted; at least 1.
            options: without a coverage penalty.
        """
        assert not options.coverage, "a captured search asks for no attention"
        stops = check_limits(limits, source.ids.shape[0])
        if not stops:
            return []
        rows, capacity = bucket(len(stops), 1), bucket(max(stops), LEAST_POSITIONS)
        source = in_bucket(source, rows)
        state = self._stepper.start(source, rows, capacity).expand(options.beam)
        key = (rows, source.ids.shape[1], capacity, options.beam, options.n_best)
        if key not in self._recorded:
            self._recorded[key] = _Search(self._stepper, state, rows, capacity, options)
            state = self._stepper.start(source, rows, capacity).expand(options.beam)  # the other one is spent
        self._recorded.move_to_end(key)
        if len(self._recorded) > KEPT:
            self._recorded.popitem(last=False)
        return self._recorded[key].run(state, stops, options)


class _Search:
    """The search of one bucket.

    Args:
        state: an example, whose caches are empty; spent.
    """

    def __init__(self, stepper: Stepper, state: State, rows: int, capacity: int, options: BeamOptions) -> None:
        beam = options.beam
        device = next(leaf for leaf in leaves(state.moving) if isinstance(leaf, Tensor)).device
        self._stepper = stepper
        self._beam, self._n_best = beam, options.n_best
        self._forbidden = forbidden_tokens(stepper.vocabulary_size, device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        start = next_inputs(torch.full((rows, beam), START, device=device))
        _, after = stepper.step(start, state)  # caches have shapes when something is in them
        self._state = State(map_leaves(torch.clone, state.fixed), self._fixed(after.moving, capacity), beam)

        def noted(dtype: torch.dtype) -> Tensor:
            return torch.zeros(capacity, rows, beam, dtype=dtype, device=device)

        scores = torch.zeros(rows, beam, device=device)
        self._changing = _Changing(
            tokens=torch.full((rows, beam), START, device=device),
            alive=scores,
            finished=scores.clone(),
            limits=torch.ones(rows, dtype=torch.int64, device=device),
            best_rates=scores[:, 0].clone(),
            rates=torch.ones(capacity, device=device),
            step=torch.zeros_like(self._place),
            over=torch.zeros((), dtype=torch.bool, device=device),
            noted=(*(noted(torch.int64) for _ in range(3)), *(noted(torch.float32) for _ in range(2))),
        )
        self._replay = Replay(self._step, device)

    def run(self, state: State, stops: list[int], options: BeamOptions) -> list[list[Hypothesis]]:
        """Search from a fresh state, of which only tensors matter: its caches are empty."""
        self._begin(state, stops, options)
        steps = 0
        while steps < max(stops):
            self._replay()
            steps += 1
            if steps % STEPS_BETWEEN_LOOKS == 0 and bool(self._changing.over):
                break
        tokens, parents, end_parents, alive, ended = (
            record[:steps, : len(stops)].cpu().numpy() for record in self._changing.noted
        )
        nothing = np.zeros_like(alive)
        columns = [tokens, parents, alive, nothing, end_parents, ended, nothing]
        return hypotheses(columns, np.array(stops), options.penalty, self._n_best)

    def _begin(self, state: State, stops: list[int], options: BeamOptions) -> None:
        own, changing = self._state, self._changing
        for old, new in zip(leaves(own.fixed), leaves(state.fixed), strict=True):
            old.copy_(new)
        for old, new in zip(leaves(own.moving), leaves(state.moving), strict=True):
            if isinstance(old, FixedCache):
                old.buffer.zero_()
            else:
                old.copy_(new)
        rows, capacity = changing.limits.shape[0], changing.rates.shape[0]
        rates = [1.0 / options.penalty(step + 1.0) for step in range(capacity)]
        limits = torch.tensor([*stops, *[1] * (rows - len(stops))])
        changing.limits.copy_(limits)
        changing.rates.copy_(torch.tensor(rates))
        changing.best_rates.copy_(torch.tensor(rates)[limits - 1])
        changing.tokens.fill_(START)
        changing.alive.fill_(-torch.inf)
        changing.alive[:, 0] = 0.0
        changing.finished.fill_(-torch.inf)
        changing.step.zero_()
        self._place.zero_()

    def _step(self) -> None:
        """What is recorded. Nothing here may ask the device for a value."""
        now, own = self._changing, self._state
        scores, after = self._stepper.step(next_inputs(now.tokens), own)
        tokens, parents, alive, end_parents, ended = choose(scores, now.alive, self._forbidden, self._beam)
        for record, value in zip(now.noted, (tokens, parents, end_parents, alive, ended), strict=True):
            record.index_copy_(0, now.step, value[None])
        rate = now.rates.index_select(0, now.step)
        scored = torch.cat([now.finished, ended * rate], 1)
        now.finished.copy_(scored.topk(self._beam).values)
        now.step.add_(1)
        worst = now.finished[:, self._n_best - 1]
        full = (now.finished[:, -1] > -torch.inf) & (worst >= alive[:, 0] * rate)
        done = (worst >= alive[:, 0] * now.best_rates) | full | (now.limits <= now.step)
        now.alive.copy_(alive.masked_fill(done[:, None], -torch.inf))
        now.over.copy_(done.all())
        now.tokens.copy_(tokens)
        moved = after.reorder(parents).moving
        for old, new in zip(leaves(own.moving), leaves(moved), strict=True):
            if not isinstance(old, FixedCache):
                old.copy_(new)
        self._place.add_(1)

    def _fixed(self, moving: Tree, capacity: int) -> Tree:
        """The same with tensors of its own, and room for ``capacity`` positions in each cache."""

        def own(leaf: Tensor | FixedCache) -> Tensor | FixedCache:
            if isinstance(leaf, Tensor):
                return leaf.clone()
            rows, _, *rest = leaf.filled.shape
            return FixedCache(leaf.filled.new_zeros(rows, capacity, *rest), self._place)

        return map_leaves(own, moving)


def bucket(number: int, least: int) -> int:
    """``least`` times the first power of two that makes it at least ``number``."""
    while least < number:
        least *= 2
    return least


def in_bucket(source: Tokens, rows: int) -> Tokens:
    """The source with more padding, and rows of nothing but END, up to its buckets."""
    missing = rows - source.ids.shape[0]
    wider = bucket(source.ids.shape[1], LEAST_POSITIONS) - source.ids.shape[1]
    ids = functional.pad(source.ids, (0, wider, 0, missing), value=END)
    mask = functional.pad(source.mask, (0, wider, 0, missing), value=False)
    mask[source.ids.shape[0] :, 0] = True
    return Tokens(ids, mask)
