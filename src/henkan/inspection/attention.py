"""Alignment pictures: how much each target token looked at each source token while it was being produced.

Weights are those of ``decoder.attention``: the mean over heads of one layer in a Transformer, in every other decoder
what was used. Other layers and single heads of a Transformer are seen by a hook on its source attention.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.decoders.transformer import TransformerDecoder
from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.multihead import SourceAttention, attention_weights
from henkan.tensors import Batch, Decoder
from henkan.text.tokenizer import SPACE, SPECIAL_TOKENS, Tokenizer

END = SPECIAL_TOKENS[3]


@dataclass(frozen=True)
class Alignment:
    """One sentence with its weights."""

    source: list[str]  # S pieces or words in the order in which they are written, the end last
    target: list[str]  # T, the end last
    weights: np.ndarray  # (T, S); a row adds up to 1, to less under the Gaussian of local attention

    def words(self, source: bool = True, target: bool = True) -> Alignment:
        """Subwords merged to words: added up over the pieces of a source word, averaged over those of a target word.

        Args:
            source, target: which sides are cut into subwords.
        """
        from_pieces = word_starts(self.source) if source else list(range(len(self.source)))
        to_pieces = word_starts(self.target) if target else list(range(len(self.target)))
        summed = np.add.reduceat(self.weights, from_pieces, axis=1)
        lengths = np.diff([*to_pieces, len(self.target)])
        averaged = np.add.reduceat(summed, to_pieces, axis=0) / lengths[:, None]
        return Alignment(joined(self.source, from_pieces), joined(self.target, to_pieces), averaged)


def word_starts(pieces: Sequence[str]) -> list[int]:
    """Where words begin: at a space, at the end mark, and at punctuation that closes a word.

    The marks inside ``3,50`` or ``it's`` open nothing: a letter or digit follows without a space.
    """
    starts = [0]
    for place in range(1, len(pieces)):
        begins = pieces[place].startswith(SPACE) or pieces[place] == END or _closes(pieces, place)
        # a space of its own (one piece for each character) belongs to the word behind it
        if begins and not (pieces[place] != SPACE and pieces[place - 1] == SPACE):
            starts.append(place)
    return starts


def _closes(pieces: Sequence[str], place: int) -> bool:
    """Whether only punctuation follows up to the next space; a run of it is one word."""
    if not _is_punctuation(pieces[place]) or _is_punctuation(pieces[place - 1]):
        return False
    for piece in pieces[place + 1 :]:
        if piece.startswith(SPACE) or piece == END:
            return True
        if not _is_punctuation(piece):
            return False
    return True


def _is_punctuation(piece: str) -> bool:
    return bool(piece) and all(unicodedata.category(character).startswith("P") for character in piece)


def joined(pieces: Sequence[str], starts: Sequence[int]) -> list[str]:
    """The words that begin at these places, spelled out."""
    ends = [*starts[1:], len(pieces)]
    words = ["".join(pieces[start:end]).replace(SPACE, "") for start, end in zip(starts, ends, strict=True)]
    return [word or SPACE for word in words]


@dataclass(frozen=True)
class View:
    """Which weights to look at; a model with one layer of attention and one head has one view only.

    Attributes:
        layer: from 1; None: the one that ``decoder.attention`` shows.
        head: from 1; None: the mean over heads.
    """

    layer: int | None = None
    head: int | None = None


def align(
    network: EncoderDecoder,
    tokenizers: tuple[Tokenizer, Tokenizer],
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    reverse_source: bool = False,
    view: View,
) -> list[Alignment]:
    """The weights while the model is made to produce given targets.

    Args:
        pairs: ids of source and target, without START and END.
        reverse_source: the model reads its source back to front; it is shown in the order of writing all the same.

    Raises:
        ConfigError: the model has no attention, or not this layer or head.
    """
    examples = [Example.of(place, source, target) for place, (source, target) in enumerate(pairs)]
    device = next(network.parameters()).device
    batch = collate_pairs(examples, reverse_source).to(device)
    network.eval()
    with torch.inference_mode():
        weights = _weights(network, batch, view)
    if weights is None:
        raise ConfigError("this model has no attention: all that its decoder knows of a source is one vector")
    found = []
    for row, (source, target) in enumerate(pairs):
        own = weights[row, : len(target) + 1, : len(source) + 1].double().cpu().numpy()
        if reverse_source:
            own = np.concatenate([own[:, :-1][:, ::-1], own[:, -1:]], 1)
        read, written = ([*tokenizers[side].readable(ids), END] for side, ids in enumerate((source, target)))
        found.append(Alignment(read, written, own))
    return found


def describe(network: EncoderDecoder, view: View) -> str:
    """In words, whose weights are shown."""
    decoder = network.decoder
    if not isinstance(decoder, TransformerDecoder):
        return "attention of the decoder"
    layer = decoder.aligning + 1 if view.layer is None else view.layer
    heads = "mean over the heads" if view.head is None else f"head {view.head}"
    return f"source attention of layer {layer} of {len(decoder.layers)}, {heads}"


def _weights(network: EncoderDecoder, batch: Batch, view: View) -> Tensor | None:
    """(N, T, S); None without attention."""
    assert batch.source is not None and batch.target is not None
    state = network.start(batch.source, batch.target.mask.shape[0], 0)
    if view == View():
        return network.decoder.attention(network.decoder(batch.target, state))
    seen: list[Tensor] = []

    def look(attention: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(attention, SourceAttention)
        vectors, source, bias = arguments
        weights = attention_weights(attention.queries(vectors, source.keys.shape[0]), source.keys, bias)
        seen.append(weights.mean(1) if view.head is None else weights[:, view.head - 1])

    with _chosen(network.decoder, view).register_forward_pre_hook(look):
        network.decoder(batch.target, state)
    return seen[0]


def _chosen(decoder: Decoder, view: View) -> SourceAttention:
    """The part of a Transformer that makes the weights of a view."""
    if not isinstance(decoder, TransformerDecoder):
        raise ConfigError("layers and heads can be chosen in a Transformer decoder only; leave --layer and --head out")
    layer = decoder.aligning + 1 if view.layer is None else view.layer
    if not 1 <= layer <= len(decoder.layers):
        raise ConfigError(f"layer {layer}: the decoder has layers 1 to {len(decoder.layers)}")
    attention = decoder.layers[layer - 1].source_attention
    assert isinstance(attention, SourceAttention)
    if view.head is not None and not 1 <= view.head <= attention.heads:
        raise ConfigError(f"head {view.head}: each layer has heads 1 to {attention.heads}")
    return attention
