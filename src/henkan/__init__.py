"""Henkan: train, judge, explain and serve sequence-to-sequence models on your own pairs.

    import henkan

    model = henkan.train({"data": {"pairs": "pairs.tsv"}, "training": {"budget": "10m"}}, output="runs/mine")
    model.predict(["Good morning."], beam=5)
    henkan.load("runs/mine").predict(["Good morning."])

Names are imported when they are first used: torch alone takes over a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from henkan.errors import HenkanError

if TYPE_CHECKING:
    from henkan.model import load_any as load
    from henkan.run import train

__version__ = "0.1.0"

__all__ = ["HenkanError", "__version__", "load", "train"]

_PLACES = {"load": ("henkan.model", "load_any"), "train": ("henkan.run", "train")}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'henkan' has no attribute {name!r}")
    module, found = _PLACES[name]
    return getattr(import_module(module), found)


def __dir__() -> list[str]:
    return __all__
