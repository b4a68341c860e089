"""Which weights of a network a run moves: some are frozen, or all of the body but low-rank products beside it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import nn

from henkan.errors import ConfigError
from henkan.nn.lora import adapt, merge
from henkan.training.options import TrainingConfig


def prepare_for(network: nn.Module, options: TrainingConfig) -> None:
    """Freeze and adapt, in place, before anything is made from the network's parameters.

    Raises:
        ConfigError: the options name parts that the network has not, or leave nothing to learn.
    """
    if options.lora is not None:
        adapt(network, options.lora, options.seed)
    freeze(network, options.frozen)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(f"training.frozen {', '.join(options.frozen)}: nothing is left to learn; leave some part out")


def finished(network: nn.Module, options: TrainingConfig) -> None:
    """After training: the plain network again, with what was learnt in it."""
    if options.lora is not None:
        merge(network)
    if options.lora is not None or options.frozen:
        network.requires_grad_(True)


def freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Let what is under these names learn nothing; a shared weight is frozen under any of its names.

    Raises:
        ConfigError: there is no parameter under one of them; says which name is nearest.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for prefix in prefixes:
        chosen = [parameter for name, parameter in parameters.items() if f"{name}.".startswith(f"{prefix}.")]
        if not chosen:
            words = [name.split(".") for name in parameters]
            known = {".".join(found[:length]) for found in words for length in range(1, len(found) + 1)}
            near = difflib.get_close_matches(prefix, sorted(known), n=1, cutoff=0.0)
            raise ConfigError(f"training.frozen: no weight's name begins with {prefix!r}; the nearest is {near[0]}")
        for parameter in chosen:
            parameter.requires_grad_(False)
