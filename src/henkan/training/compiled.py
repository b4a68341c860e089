"""A model whose encoder and decoder are compiled as one graph, for packed batches.

All packed batches of a run have one shape, so there is one graph to compile, whatever the sentences. The output layer
and the loss stay outside: they are few large products. Everything else (padded batches of a validation, decoding)
goes on with the model as it is, and both share their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.heads import Alignment
from henkan.nn.varlen import load_kernels
from henkan.tensors import Batch, Output, Tokens

Compiler = Callable[..., Any]
"""torch.compile's ``backend``: a name, or a function of a graph and example inputs."""


class CompiledPacked:
    """A model that reads packed batches alone, see :attr:`EncoderDecoder.packs`, with the weights of another.

    Args:
        model: whose parts are compiled; it stays as it is.
        backend: of torch.compile.
        graphs: replay the compiled kernels as CUDA graphs.
    """

    def __init__(self, model: EncoderDecoder, backend: str | Compiler = "inductor", graphs: bool = False) -> None:
        self._model = model
        self._graphs = graphs
        mode: dict[str, Any] = {"mode": "reduce-overhead"} if graphs else {}
        load_kernels()
        self._hidden = torch.compile(self._eager, fullgraph=True, dynamic=False, backend=backend, **mode)
        self._warm = False

    def _eager(self, source: Tokens, target: Tokens) -> Tensor:
        model = self._model
        return model.decoder(target, model.start(source, 1, 0)).hidden

    def __call__(self, batch: Batch) -> Output:
        """As the model itself."""
        source, target = batch.source, batch.target
        assert isinstance(source, Tokens) and isinstance(target, Tokens)
        if not self._warm:
            with torch.no_grad():  # tables of positions are made once, outside the graph
                self._eager(source, target)
            self._warm = True
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        hidden = self._hidden(source, target)
        return Output({"tokens": self._model.head(hidden, Alignment(_no_weights))})


def _no_weights() -> None:
    """Nobody who reads packed rows asks where a decoder looked."""
