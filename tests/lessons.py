"""Every recurrence of :mod:`henkan.reference` in one form: how to run it, with which weights, and what the project's
cell of the same equations is called. A new cell is one line of RECURRENCES.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from henkan.reference import activations, gru, gru_reset_after, layer_norm_lstm, lstm, min_gru, rnn

ROWS, STEPS, INPUTS, SIZE = 2, 5, 3, 4


@dataclass(frozen=True)
class Recurrence:
    """One lesson.

    Attributes:
        forward: (weights, inputs, state) to (outputs, last state, tape).
        backward: (tape, d_outputs, d_last) to gradients.
        weights: the class of its weights.
        shapes: of each weight, in the order of that class.
        states: how many arrays a state has.
        cell: settings of the project's cell.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    weights: type
    shapes: tuple[tuple[int, ...], ...]
    states: int
    cell: dict[str, Any]


def _stacked(gates: int) -> tuple[tuple[int, ...], ...]:
    """W, U and b of so many gates."""
    return ((gates * SIZE, INPUTS), (gates * SIZE, SIZE), (gates * SIZE,))


def _rnn(squash: activations.Activation, **cell: Any) -> Recurrence:
    forward = partial(rnn.forward, activation=squash)
    return Recurrence(forward, rnn.backward, rnn.Weights, _stacked(1), 1, {"kind": "rnn"} | cell)


def _lstm(generation: lstm.Generation, peephole: bool = False, **cell: Any) -> Recurrence:
    gates = 4 if generation.forgetting == "gate" else 3
    shapes = (*_stacked(gates), ((gates - 1) * SIZE,)) if peephole else _stacked(gates)
    forward = partial(lstm.forward, generation=generation)
    settings = {"kind": "lstm"} | ({"peephole": True} if peephole else {}) | cell
    return Recurrence(forward, lstm.backward, lstm.Weights, shapes, 2, settings)


def _gru(module: Any, shapes: tuple[tuple[int, ...], ...], **cell: Any) -> Recurrence:
    return Recurrence(module.forward, module.backward, module.Weights, shapes, 1, cell)


_FIRST = {"kind": "lstm-1997"}
_SQUASHED = lstm.Generation("none", activations.WIDE_1997, activations.FLAT_1997)
_NORMED = (*_stacked(4), (4 * SIZE,), (4 * SIZE,), (SIZE,), (SIZE,))

RECURRENCES = {
    "rnn, tanh": _rnn(activations.TANH),
    "rnn, relu": _rnn(activations.RELU, activation="relu"),
    "lstm, 1997, as published": _lstm(lstm.PUBLISHED_1997, **_FIRST, squash_1997=True, truncated=True),
    "lstm, 1997, cut": _lstm(lstm.Generation("none", cut=True), **_FIRST, truncated=True),
    "lstm, 1997, squashed": _lstm(_SQUASHED, **_FIRST, squash_1997=True),
    "lstm, 1997, tanh": _lstm(lstm.CAROUSEL, **_FIRST),
    "lstm, no forget gate": _lstm(lstm.CAROUSEL, forget_gate=False),
    "lstm, no forget gate, peepholes": _lstm(lstm.CAROUSEL, peephole=True, forget_gate=False),
    "lstm": _lstm(lstm.FORGET_GATE),
    "lstm, peepholes": _lstm(lstm.FORGET_GATE, peephole=True),
    "lstm, coupled": _lstm(lstm.COUPLED, coupled=True),
    "lstm, coupled, peepholes": _lstm(lstm.COUPLED, peephole=True, coupled=True),
    "lstm, layer norm": Recurrence(
        layer_norm_lstm.forward,
        layer_norm_lstm.backward,
        layer_norm_lstm.Weights,
        _NORMED,
        2,
        {"kind": "lstm-layer-norm"},
    ),
    "gru": _gru(gru, _stacked(3), kind="gru"),
    "gru, reset after": _gru(gru_reset_after, (*_stacked(3), (SIZE,)), kind="gru", reset="after"),
    "gru, minimal": _gru(min_gru, ((2 * SIZE, INPUTS), (2 * SIZE,)), kind="min-gru"),
}

CUT = {"lstm, 1997, as published", "lstm, 1997, cut"}
"""Those whose gradient is not the whole gradient, on purpose."""


@dataclass(frozen=True)
class Example:
    """All that goes into a recurrence, and gradients of all that comes out."""

    weights: Any
    inputs: np.ndarray
    state: tuple[np.ndarray, ...]
    d_outputs: np.ndarray
    d_last: tuple[np.ndarray, ...]


def example(recurrence: Recurrence, steps: int = STEPS) -> Example:
    """Random in all its numbers, biases, states and upstream gradients too."""
    draw = np.random.standard_normal
    return Example(
        weights=recurrence.weights(*(draw(shape) for shape in recurrence.shapes)),
        inputs=draw((ROWS, steps, INPUTS)),
        state=tuple(draw((ROWS, SIZE)) for _ in range(recurrence.states)),
        d_outputs=draw((ROWS, steps, SIZE)),
        d_last=tuple(draw((ROWS, SIZE)) for _ in range(recurrence.states)),
    )


def named(weights: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Each weight that is there."""
    for field in fields(weights):
        if (weight := getattr(weights, field.name)) is not None:
            yield field.name, weight


def differences(loss: Callable[[], float], array: np.ndarray, distance: float = 1e-5) -> np.ndarray:
    """The gradient of a loss that reads this array, by central differences; the array is put back as it was."""
    gradient = np.empty_like(array)
    for index in np.ndindex(*array.shape):
        here = array[index]
        array[index] = here + distance
        above = loss()
        array[index] = here - distance
        below = loss()
        array[index] = here
        gradient[index] = (above - below) / (2 * distance)
    return gradient
