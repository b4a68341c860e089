"""How far a parameter is from a model's output, and what share of the learning rate it gets for that.

Heads are at depth 0, the layer below them at 1, and so on down to the embeddings. In an encoder with a decoder the
decoder's layers are above the encoder's, and the embeddings of both are at the bottom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from henkan.objectives.base import Learner

INPUTS = ("embedding", "positions", "segments", "first_norm", "terms")
"""What stands before the first layer of an encoder or decoder, or serves all its layers alike."""

_LAYER = re.compile(r"\.(?:layers\.(?P<layer>\d+)|upper\.(?P<upper>\d+)|(?P<bottom>bottom))\.")


def depths(names: Iterable[str]) -> dict[str, int]:
    """The depth of each parameter that learns, by its name in an assembly of ``models/``; the least is 0.

    What is neither in a layer nor among the inputs of its encoder or decoder (a last norm, a readout, a bridge) goes
    with the top layer there. A parameter that two parts share goes by its first name: a tied output matrix is an
    embedding, and the top layer is then at depth 0 if the head has nothing of its own.
    """
    names = list(names)
    sizes = {side: max((_layer(name) + 1 for name in names if _side(name) == side), default=0) for side in _SIDES}
    heights = {name: _height(name, sizes) for name in names}
    top = max(heights.values(), default=0)
    return {name: top - height for name, height in heights.items()}


def of_parameters(learner: Learner) -> dict[str, int]:
    """:func:`depths` of what learns, by its name in the learner; an objective's own parameters are as near as heads."""
    names = [name for name, parameter in learner.named_parameters() if parameter.requires_grad]
    found = depths(name.removeprefix("model.") for name in names)
    return {name: found[name.removeprefix("model.")] for name in names}


def share(depth: int, update: int, decay: float | None, unfreeze_every: int | None) -> float:
    """Of the learning rate, in [0, 1].

    Args:
        update: updates done.
        decay: each layer gets this times what the next one gets (Howard & Ruder 2018; Clark et al. 2020); None: 1.
        unfreeze_every: after so many updates one more depth learns, beginning with 0 alone (Howard & Ruder 2018);
            None: all learn from the start.
    """
    if unfreeze_every is not None and depth > update // unfreeze_every:
        return 0.0
    return 1.0 if decay is None else decay**depth


_SIDES = ("encoder", "decoder")


def _side(name: str) -> str | None:
    first = name.partition(".")[0]
    return first if first in _SIDES else None


def _layer(name: str) -> int:
    """Which layer of its side, from 0; a part outside of all layers adds none."""
    found = _LAYER.search(name)
    if found is None or found["bottom"]:
        return 0
    return int(found["layer"]) if found["layer"] else int(found["upper"]) + 1


def _height(name: str, sizes: dict[str, int]) -> int:
    """0 for inputs, then a layer each, encoder first; heads above all."""
    side = _side(name)
    if side is None:
        return sum(sizes.values()) + 1
    below = sizes["encoder"] if side == "decoder" else 0
    if _LAYER.search(name):
        return below + _layer(name) + 1
    inner = name.removeprefix(f"{side}.").removeprefix("decoder.")  # a copying decoder has another inside
    return 0 if inner.partition(".")[0] in INPUTS else below + sizes[side]
