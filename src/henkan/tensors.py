"""What flows between the parts.

Shape letters, everywhere:
    N rows   S source positions   T target positions   D width   F features
    H heads  V vocabulary         Z latent             E width of one head

The batch axis is first, always. A mask is boolean and True where there is something real.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from henkan.errors import ConfigError
from henkan.tree import Tree, leaves, map_leaves

IGNORE = -100
"""The label of a position at which nothing is to be learnt."""


def check_mask(mask: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a mask that is not boolean or not of the shape of what it masks."""
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is boolean and True where real, got {mask.dtype}")
    if tuple(mask.shape) != tuple(shape):
        raise ValueError(f"a mask has the shape of what it masks: expected {tuple(shape)}, got {tuple(mask.shape)}")


@dataclass(frozen=True)
class Sentences:
    """Where the sentences of a packed row begin: sentence k is the positions ``starts[k]`` to ``starts[k + 1]``.

    Every position belongs to a sentence, that of the padding too, which is cut into sentences like the rest: a kernel
    leaves what belongs to none unwritten. The last sentences may be empty, so that batches have one number of them.
    """

    starts: Tensor  # (sentences + 1,) int32, from 0 to T
    longest: int  # no sentence is longer; the same for all batches of a run, so that nobody asks the device

    def numbers(self, length: int) -> Tensor:
        """(T,) int64, for each of ``length`` positions the sentence that it belongs to."""
        return torch.bucketize(torch.arange(length, device=self.starts.device), self.starts[1:], right=True)

    def positions(self, length: int) -> Tensor:
        """(1, T) int64, the place of each of ``length`` positions in its sentence."""
        places = torch.arange(length, device=self.starts.device)
        return (places - self.starts.index_select(0, self.numbers(length)))[None]


@dataclass(frozen=True)
class Tokens:
    """Integers of a vocabulary; in each row the real ones come first and the padding trails.

    Packed: one row (N = 1) that holds several sentences end to end, see :class:`Sentences`. Only positions and
    attention know of them; what cannot read such a row refuses it by :func:`check_padded`.
    """

    ids: Tensor  # (N, T) int64
    mask: Tensor  # (N, T) bool
    segments: Tensor | None = None  # (N, T) int64
    sentences: Sentences | None = None

    def __post_init__(self) -> None:
        check_mask(self.mask, tuple(self.ids.shape))

    def positions(self) -> Tensor:
        """(N, T) int64, the place of each token in its sentence; padding is where the last token is."""
        if self.sentences is not None:
            return self.sentences.positions(self.ids.shape[1])
        return (self.mask.cumsum(1) - 1).clamp_(min=0)

    @property
    def longest(self) -> int:
        """All positions are below this."""
        return self.ids.shape[1] if self.sentences is None else self.sentences.longest


def check_padded(tokens: Tokens, reader: str) -> None:
    """Refuse a packed row; ``reader`` is who cannot read it."""
    if tokens.sentences is not None:
        raise ConfigError(f"{reader} reads one sentence a row, and this batch is packed; set training.packed: false")


@dataclass(frozen=True)
class Frames:
    """Vectors through time: audio frames, series."""

    values: Tensor  # (N, T, F) float
    mask: Tensor  # (N, T) bool

    def __post_init__(self) -> None:
        check_mask(self.mask, tuple(self.values.shape[:2]))


@dataclass(frozen=True)
class Images:
    """Pictures of one size."""

    pixels: Tensor  # (N, C, height, width) float


Features = Tokens | Frames | Images
"""Whatever an encoder may read."""


@dataclass(frozen=True)
class Batch:
    """What data hands over: one micro-batch, padded or packed."""

    index: Tensor  # (N,), or (sentences,) if packed: place of each example in its split; outputs go back in order
    source: Features | None  # what the encoder reads
    target: Tokens | Frames | None  # what the decoder reads, already shifted
    labels: dict[str, Tensor] = field(default_factory=dict)  # by head name; IGNORE where nothing is to be learnt
    units: dict[str, int] = field(default_factory=dict)  # terms in each loss sum, counted on the CPU: no host sync

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device, copied without waiting where that is possible."""
        return map_leaves(lambda tensor: tensor.to(device, non_blocking=True), self)


@dataclass(frozen=True)
class Memory:
    """What every encoder returns and every decoder attends to.

    A fixed context vector, a pooled image and a latent variable are a Memory with S = 1.
    """

    states: Tensor  # (N, S, D)
    mask: Tensor  # (N, S) bool
    final: Tree | None = None  # recurrent encoders: last state of each layer, (N, D) tensors
    ids: Tensor | None = None  # (N, S) int64: the tokens at these positions, where the source is tokens
    sentences: Sentences | None = None  # of a packed row, N = 1

    def __post_init__(self) -> None:
        check_mask(self.mask, tuple(self.states.shape[:2]))


class Encoder(Protocol):
    """Features to Memory."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The width of each layer whose last state is in ``final``; the last one is D of the states."""
        ...

    def __call__(self, source: Features, /) -> Memory: ...


class Rows(Protocol):
    """A leaf of ``State.moving`` that is not a tensor: a cache, with rows it can choose among."""

    def select(self, rows: Tensor) -> Rows:
        """The given rows, in the given order, each as often as it is named."""
        ...


def select_rows(tree: Tree, rows: Tensor) -> Tree:
    """Choose rows of every leaf; ``rows`` is (chosen,) int64."""
    return map_leaves(
        lambda leaf: leaf.index_select(0, rows) if isinstance(leaf, Tensor) else leaf.select(rows),
        tree,
    )


@dataclass(frozen=True)
class State:
    """All that a decoder knows between two calls.

    ``fixed`` has one row for each source and is made once from the Memory (projected keys and values, masks);
    ``moving`` has ``sources * width`` rows, grouped by source (cell states, caches, positions, the last context).
    A state that went into a step is spent: its caches may have been written in place. ``moving`` holds at least
    one tensor.
    """

    fixed: Tree
    moving: Tree
    width: int = 1

    def expand(self, width: int) -> State:
        """``width`` equal rows for each row of ``moving``; a state is expanded once, from width 1."""
        if self.width != 1:
            raise ValueError(f"a state is expanded once: it already has {self.width} rows for each source")
        first = next(leaf for leaf in leaves(self.moving) if isinstance(leaf, Tensor))
        rows = torch.arange(first.shape[0], device=first.device).repeat_interleave(width)
        return State(self.fixed, select_rows(self.moving, rows), width)

    def keep(self, sources: Tensor) -> State:
        """Only the given sources, (kept,) int64: their rows of ``fixed``, their groups of ``moving``."""
        rows = sources[:, None] * self.width + torch.arange(self.width, device=sources.device)
        return State(select_rows(self.fixed, sources), select_rows(self.moving, rows.flatten()), self.width)

    def reorder(self, parents: Tensor) -> State:
        """Within each source, row k becomes a copy of row ``parents[source, k]``; parents is (sources, width)."""
        sources, width = parents.shape
        first = torch.arange(sources, device=parents.device)[:, None] * self.width
        return State(self.fixed, select_rows(self.moving, (first + parents).flatten()), width)


@dataclass(frozen=True)
class Decoded:
    """What a decoder returns: one hidden vector for each input position, and the state after them."""

    hidden: Tensor  # (N, T, D)
    state: State
    extras: dict[str, Tensor] = field(default_factory=dict)  # by position, e.g. attention weights, (N, T, S)
    source: Tensor | None = None  # (N, S) int64: the source's tokens, where the decoder keeps them to be copied


class Decoder(Protocol):
    """Target to hidden vectors, all at once, in pieces, or step by step; see the four laws in tests/laws."""

    width: int  # D of the hidden vectors it returns

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The state before the first token; capacity 0 is for training: nothing is cached between calls."""
        ...

    def __call__(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Read ``inputs`` after whatever ``state`` has read; padded positions change nothing."""
        ...

    def attention(self, decoded: Decoded) -> Tensor | None:
        """(N, T, S) weights over the source of what was just decoded, computed only when asked for; None without."""
        ...


class StepScores(Protocol):
    """The scores of the next token for N rows; each method makes only what it returns."""

    def argmax(self) -> Tensor:
        """(N,) the best token; no normaliser is computed."""
        ...

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids of the best k tokens, both (N, k), best first."""
        ...

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        ...

    def attention(self) -> Tensor | None:
        """(N, S) weights over the source for this step, or None where the model has none."""
        ...


class TokenScores(Protocol):
    """What a token head hands over instead of logits, so that they may stay unmade."""

    def logits(self) -> Tensor:
        """(N, T, V), made here and nowhere else."""
        ...

    def loss(self, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """The differentiable sum of (smoothed) cross-entropies, and the labels' detached (N, T) log-probabilities."""
        ...


@dataclass(frozen=True)
class Output:
    """What a model returns."""

    heads: dict[str, Tensor | TokenScores]  # "tokens", "class" (N, classes), "span" (N, S, 2), "values" (N, T, F)
    extras: dict[str, Tensor] = field(default_factory=dict)  # "mean" and "log_variance" (N, Z), ...
