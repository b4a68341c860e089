"""How the weights of a whole model start, by the name of the paper; a part's own start is in ``nn/init.py``."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from henkan.nn.biases import T5Bias
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.feedforward import FeedForward
from henkan.nn.gated import GatedFeedForward
from henkan.nn.grouped import GroupedAttention, GroupedSourceAttention
from henkan.nn.heads import TokenHead

Start = Literal["own", "bert", "gpt2", "t5"]


def start_weights(model: nn.Module, start: Start) -> None:
    """Fill every matrix of a fresh model; vectors (biases, norms) are as their parts made them.

    ``own``: nothing is done. ``bert``: normal with deviation 0.02 (Devlin et al. 2019; BART too). ``gpt2``: the same,
    and what a residual connection adds is smaller by sqrt(2 layers) (Radford et al. 2019). ``t5``:
    see :func:`_start_t5`.
    """
    match start:
        case "bert":
            _start_normal(model)
        case "gpt2":
            _start_normal(model)
            _calm_residuals(model)
        case "t5":
            _start_t5(model)


def _start_normal(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)


def _calm_residuals(model: nn.Module) -> None:
    ends = [
        weight
        for name, weight in model.named_parameters()
        if name.endswith(("attention.output.weight", "feed_forward.outer.weight"))
    ]
    for weight in ends:  # two in each layer
        nn.init.normal_(weight, std=0.02 * len(ends) ** -0.5)


def _start_t5(model: nn.Module) -> None:
    """Deviations that make up for the scale which scores and embeddings lack (Raffel et al. 2020, their code)."""
    for part in model.modules():
        match part:
            case GroupedAttention():
                queries = part.heads * part.head_width
                _by_inputs(part.inputs.weight)
                _by_inputs(part.output.weight)
                nn.init.normal_(
                    part.inputs.weight.data[:queries], std=(part.inputs.in_features * part.head_width) ** -0.5
                )
            case GroupedSourceAttention():
                _by_inputs(part.pairs.weight)
                _by_inputs(part.output.weight)
                nn.init.normal_(part.query.weight, std=(part.query.in_features * part.head_width) ** -0.5)
            case FeedForward() | GatedFeedForward():
                for linear in part.children():
                    if isinstance(linear, nn.Linear):
                        _by_inputs(linear.weight)
            case TokenHead():
                _by_inputs(part.weight)
    for part in model.modules():  # last: where a table is the output matrix too, that product is scaled
        if isinstance(part, TokenEmbedding):
            nn.init.normal_(part.weight)
        bias, embedding = getattr(part, "terms", None), getattr(part, "embedding", None)
        if isinstance(bias, T5Bias) and isinstance(embedding, TokenEmbedding):
            nn.init.normal_(bias.weight, std=embedding.width**-0.5)


def _by_inputs(weight: Tensor) -> None:
    """Normal with deviation (inputs) ** -0.5."""
    nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
