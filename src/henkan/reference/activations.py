"""Functions of one number, applied to every element.

Each can tell its slope from its *value*, so a forward pass need keep the values alone:

    y = tanh(a)                  dy/da = 1 - y^2
    y = s(a) = 1 / (1 + e^-a)    dy/da = y (1 - y)       because e^-a = (1 - y) / y
    y = max(a, 0)                dy/da = 1 where y > 0, else 0

The two of Hochreiter & Schmidhuber (1997, appendix A.1) are tanh in disguise, because s(a) = (1 + tanh(a/2)) / 2:

    y = 4 s(a) - 2 = 2 tanh(a/2)    dy/da = 1 - y^2 / 4       values in [-2, 2]
    y = 2 s(a) - 1 = tanh(a/2)      dy/da = (1 - y^2) / 2     values in [-1, 1]
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Activation:
    """A function of a number.

    Attributes:
        value: y from a.
        slope: dy/da from y.
    """

    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


TANH = Activation(value=np.tanh, slope=lambda y: 1 - y**2)
LOGISTIC = Activation(value=lambda a: (1 + np.tanh(a / 2)) / 2, slope=lambda y: y * (1 - y))  # this way never overflows
RELU = Activation(value=lambda a: np.maximum(a, 0.0), slope=lambda y: (y > 0).astype(float))
WIDE_1997 = Activation(value=lambda a: 2 * np.tanh(a / 2), slope=lambda y: 1 - y**2 / 4)
FLAT_1997 = Activation(value=lambda a: np.tanh(a / 2), slope=lambda y: (1 - y**2) / 2)
