"""Cho et al. (2014) by its equations, word by word."""

import pytest
import torch

from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import Tokens

VOCABULARY, EMBEDDING, SIZE, CONTEXT, MAXOUT = 9, 4, 6, 5, 3


def model(cell: str, bidirectional: str) -> EncoderDecoder:
    layer = {"cell": {"kind": cell, "size": SIZE}}
    encoder = {"kind": "recurrent", **layer, "bidirectional": bidirectional, "layers": 2}
    decoder = {"kind": "context", **layer, "context": CONTEXT, "maxout": MAXOUT}
    settings = {"embedding": EMBEDDING, "encoder": encoder, "decoder": decoder}
    built = EncoderDecoderConfig.model_validate(settings).build(VOCABULARY, VOCABULARY).double().eval()
    uniform_everywhere(built, 0.8)
    return built


def tokens(length: int) -> Tokens:
    ids = torch.randint(0, VOCABULARY, (1, length))
    return Tokens(ids, ids >= 0)


@pytest.mark.parametrize("bidirectional", ["none", "all"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@torch.no_grad()
def test_equations(cell, bidirectional):
    """c = tanh(V h[S]); s[0] = tanh(V' c); c beside every word, in the cell and in the output (appendix A.1.2)."""
    built = model(cell, bidirectional)
    memory, target, decoder = built.encode(tokens(5)), tokens(4), built.decoder
    c = torch.tanh(decoder.summary.mix.weight @ memory.final[-1][0][0] + decoder.summary.mix.bias)
    start = decoder.bridge.projections[0]
    state = tuple(torch.zeros(1, SIZE, dtype=c.dtype) for _ in memory.final[-1])
    state = (torch.tanh(start.weight @ c + start.bias)[None], *state[1:])
    expected = []
    for token in target.ids[0]:
        y = decoder.embedding.weight[token]
        state = decoder.layer.cell(torch.cat([y, c])[None], state)
        output = decoder.readout
        mixed = output.state.weight @ state[0][0] + output.state.bias
        mixed = mixed + output.embedding.weight @ y + output.context.weight @ c
        expected.append(mixed.view(MAXOUT, 2).max(1).values)
    decoded = decoder(target, decoder.start(memory, 1))
    torch.testing.assert_close(decoded.hidden[0], torch.stack(expected), rtol=1e-10, atol=1e-10)
    assert decoder.attention(decoded) is None


def test_the_source_is_one_vector():
    """Of the source nothing but the last state counts."""
    built = model("gru", "none")
    memory, target = built.encode(tokens(5)), tokens(4)
    expected = built.decoder(target, built.decoder.start(memory, 1)).hidden
    memory.states.detach().normal_()
    assert torch.equal(built.decoder(target, built.decoder.start(memory, 1)).hidden, expected)
