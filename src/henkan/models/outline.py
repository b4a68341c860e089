"""A network without numbers: built on torch's device ``meta``, counted, or filled from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from henkan.errors import FolderError
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

_STARTS = (nn.init.normal_, nn.init.uniform_, Tensor.normal_, Tensor.uniform_)


class _Unstarted(TorchFunctionMode):
    """While entered, weights are given no start: on ``meta`` some of these import torch's compiler, for two seconds."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _STARTS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function is torch.eye and "out" in kwargs:
            return kwargs["out"]
        return function(*args, **kwargs)


@contextmanager
def without_numbers() -> Iterator[None]:
    """While entered, modules are made without memory for their parameters."""
    with torch.device("meta"), _Unstarted():
        yield


def outline(model: EncoderDecoderConfig, source_vocabulary: int, target_vocabulary: int) -> EncoderDecoder:
    """The network that these settings make, its parameters without memory."""
    with without_numbers():
        return model.build(source_vocabulary, target_vocabulary)


def fill(network: nn.Module, weights: Mapping[str, Tensor], place: Path) -> None:
    """Make these the weights of a network, by name; a tied one is still one parameter. Nothing is copied.

    Raises:
        FolderError: one is missing, of another shape, or unknown to the network; ``place`` is where they come from.
    """
    wanted = dict(network.named_parameters())
    if missing := sorted(wanted.keys() - weights.keys()):
        raise FolderError(f"{place}: weights lack {', '.join(missing[:3])} ({len(missing)} in all)")
    if unknown := sorted(weights.keys() - wanted.keys()):
        raise FolderError(
            f"{place}: weights that this model does not have: {', '.join(unknown[:3])} ({len(unknown)} in all)"
        )
    for name, parameter in wanted.items():
        if parameter.shape != weights[name].shape:
            raise FolderError(
                f"{place}: weight {name} is {tuple(weights[name].shape)}, the model wants {tuple(parameter.shape)}"
            )
    filled = {old: nn.Parameter(weights[name].to(old.dtype)) for name, old in wanted.items()}
    for module in network.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            setattr(module, name, filled[old])
