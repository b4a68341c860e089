"""Both of two ranks, for test_reduction.py: ``python two_ranks.py RANK PORT MEMORY FOLDER``; alone: RANK is ``one``.

Three updates of each optimiser by each way to reduce, with gradients that depend on the rank; one process adds them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from henkan.training import distributed
from henkan.training.optim import AdadeltaConfig, AdamWConfig, FlatOptimiser, MasterWeights, SGDConfig

OPTIMISERS = {
    "adamw": AdamWConfig(kind="adamw"),
    "sgd": SGDConfig(momentum=0.9),
    "adadelta": AdadeltaConfig(),
    "by depth": AdamWConfig(kind="adamw"),
}
DEPTHS = {"by depth": {"small": 0, "vector": 0, "matrix": 1}}  # one rank owns nothing of the first group
WAYS = ("common", "whole", "sharded")


class Model(nn.Module):
    """Matrices that are decayed and a vector that is not; sizes that no part divides evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.linspace(-1, 1, 7 * 23).view(7, 23))
        self.small = nn.Parameter(torch.linspace(0, 1, 6).view(2, 3))
        self.vector = nn.Parameter(torch.linspace(0, 1, 5))


def gradient(parameter: Tensor, update: int, rank: int) -> Tensor:
    """Some numbers."""
    generator = torch.Generator().manual_seed(10 * update + rank)
    return torch.randn(parameter.shape, generator=generator)


def train(kind: str, way: str, ranks: list[int]) -> dict[str, Tensor]:
    """Masters and the optimiser's state after three updates, and how much of that state is here."""
    model = Model()
    weights = MasterWeights(model, torch.float32, sharded=way == "sharded", depths=DEPTHS.get(kind))
    weights.gradient.zero_()  # common memory may hold the gaps of another layout, from the training before
    optimiser = FlatOptimiser(OPTIMISERS[kind], weights)
    norms = []
    for update in range(3):
        for rank in ranks:
            for parameter in model.parameters():
                parameter.grad = gradient(parameter, update, rank)
            weights.collect()
        norms.append(weights.reduce(clip=5.0))
        optimiser.step(1.0, torch.zeros(()), lambda depth: 0.5**depth)
        weights.reduction.share_masters()
        weights.publish()
    states = [state for member in optimiser._torch.state.values() for state in member.values() if state is not None]
    here = sum(state.numel() for state in states if state.dim())
    state = {name: value.clone() for name, value in optimiser.tensors().items()}
    optimiser.load(state, "here")
    again = optimiser.tensors()
    assert all(torch.equal(again[name], value) for name, value in state.items())
    masters = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    return {**masters, **state, "norms": torch.stack(norms), "state here": torch.tensor(here)}


def write(folder: Path, who: str, ranks: list[int], ways: tuple[str, ...]) -> None:
    """All results of this process."""
    found = {
        f"{way} {kind} {name}": value
        for way in ways
        for kind in OPTIMISERS
        for name, value in _with_memory(way, kind, ranks).items()
    }
    save_file(found, folder / f"{who}.safetensors")


def _with_memory(way: str, kind: str, ranks: list[int]) -> dict[str, Tensor]:
    given = distributed.common_memory
    if way != "common":
        distributed.common_memory = lambda: None
    try:
        return train(kind, way, ranks)
    finally:
        distributed.common_memory = given


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, port, memory, folder = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if rank == 0:
        import socket

        store = distributed.host(socket.socket(fileno=port), 2)
    else:
        store = distributed.visit(port, 2)
    with distributed.on_one_machine(store, rank, 2, memory):
        assert distributed.gather_objects({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
        write(folder, str(rank), [rank], WAYS)
        distributed.barrier()
    os._exit(0)  # the store's thread need not be waited for
