"""A decoder that also keeps the words of its source, so that a head may copy them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from henkan.tensors import Decoded, Decoder, Frames, Memory, State, Tokens, check_padded
from henkan.tree import Tree


@dataclass(frozen=True)
class KeptSource:
    """What the decoder inside keeps of a source, and the source itself; one row for each source."""

    inside: Tree
    ids: Tensor  # (sources, S)


class CopyingDecoder(nn.Module):
    """Any decoder with attention over tokens. Being in the state, the words follow beams and ensembles by themselves.

    Args:
        decoder: what decodes.
        embedding: its embedding, which is found here too, as it is on every decoder of tokens.
    """

    def __init__(self, decoder: Decoder, embedding: nn.Module) -> None:
        super().__init__()
        self.width = decoder.width
        self.embedding = embedding
        self.decoder = decoder

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """As the decoder inside starts."""
        assert memory is not None and memory.ids is not None, "only tokens can be copied"
        return _kept(self.decoder.start(memory, rows, capacity), memory.ids)

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """As the decoder inside decodes."""
        if isinstance(inputs, Tokens):
            check_padded(inputs, "copying")
        ids = state.fixed.ids
        decoded = self.decoder(inputs, _inside(state))
        return replace(decoded, state=_kept(decoded.state, ids), source=ids.repeat_interleave(state.width, 0))

    def attention(self, decoded: Decoded) -> Tensor | None:
        """Of the decoder inside."""
        return self.decoder.attention(replace(decoded, state=_inside(decoded.state)))


def _kept(state: State, ids: Tensor) -> State:
    return replace(state, fixed=KeptSource(state.fixed, ids))


def _inside(state: State) -> State:
    return replace(state, fixed=state.fixed.inside)
