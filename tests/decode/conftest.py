"""A model that is a table: the next token's probabilities are a function of the source and the tokens so far."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from henkan.decode.stepper import LogProbs
from henkan.tensors import State, Tokens
from henkan.text.tokenizer import START

PLACES = 5  # source positions that attention looks at


class TableStepper:
    """Random tables drawn from (seed, source, tokens so far); the tokens so far are a moving tensor of the state.

    Args:
        end_bias: added to the score of END before normalising: a large one makes outputs short.
        adjust: changes the log-probabilities of one row, given (source, tokens so far).
    """

    def __init__(
        self,
        vocabulary_size: int = 7,
        seed: int = 0,
        end_bias: float = 0.0,
        adjust: Callable[[np.ndarray, int, tuple[int, ...]], None] | None = None,
        attends: bool = True,
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.seed = seed
        self.end_bias = end_bias
        self.adjust = adjust
        self.attends = attends
        self.rows: list[int] = []  # rows of each step taken
        self._known: dict[tuple[int, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = {}

    def start(self, source: Tokens, rows: int, capacity: int) -> State:
        """The source is one number for each row."""
        moving = {"ids": source.ids.new_zeros(rows, 0), "real": torch.zeros(rows, 0, dtype=torch.bool)}
        return State({"source": source.ids[:, 0]}, moving)

    def step(self, inputs: Tokens, state: State) -> tuple[LogProbs, State]:
        ids = torch.cat([state.moving["ids"], inputs.ids], 1)
        real = torch.cat([state.moving["real"], inputs.mask], 1)
        sources = state.fixed["source"].repeat_interleave(state.width).tolist()
        assert len(sources) == len(ids), "moving rows are grouped by source"
        self.rows.append(len(ids))
        rows = [
            self.row(source, tuple(row[mask].tolist()))
            for source, row, mask in zip(sources, ids.numpy(), real.numpy(), strict=True)
        ]
        attention = torch.from_numpy(np.stack([row[1] for row in rows])) if self.attends else None
        scores = LogProbs(torch.from_numpy(np.stack([row[0] for row in rows])), attention)
        return scores, State(state.fixed, {"ids": ids, "real": real}, state.width)

    def row(self, source: int, so_far: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(V,) log-probabilities and (S,) attention weights after ``so_far``, prefix included."""
        if (source, so_far) not in self._known:
            rng = np.random.default_rng([self.seed, source, *so_far])
            scores = rng.normal(size=self.vocabulary_size) * 1.5
            scores[3] += self.end_bias
            log_probs = (scores - np.log(np.exp(scores).sum())).astype(np.float32)
            if self.adjust is not None:
                self.adjust(log_probs, source, so_far)
            self._known[source, so_far] = log_probs, rng.random(PLACES).astype(np.float32)
        return self._known[source, so_far]


@pytest.fixture(scope="session")
def table() -> type[TableStepper]:
    """The class, to be made with a seed."""
    return TableStepper


@pytest.fixture(scope="session")
def begin() -> Callable[..., tuple[State, Tokens]]:
    """begin(stepper, sources): the first state and the prefix START, for sources that are numbers."""

    def begin(stepper, sources: Sequence[int], prefix: Sequence[int] = (START,)) -> tuple[State, Tokens]:
        def real(ids: Tensor) -> Tokens:
            return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))

        source = real(torch.tensor(sources, dtype=torch.int64).view(-1, 1))
        start = torch.tensor(prefix).repeat(len(sources), 1)
        return stepper.start(source, len(sources), 64), real(start)

    return begin
