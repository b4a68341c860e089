"""Wu et al. (2016) by its equations, word by word."""

from typing import Any

import pytest
import torch

from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import Tokens

VOCABULARY, EMBEDDING, SIZE, LAYERS = 9, 4, 6, 4


def model(**changes: Any) -> EncoderDecoder:
    stack = {"cell": {"kind": "lstm", "size": SIZE}, "layers": LAYERS}
    scores = {"kind": "additive", "size": 5}
    settings = {
        "embedding": EMBEDDING,
        "encoder": {"kind": "recurrent", **stack, "bidirectional": "first", "merge": "sum", "residual_from": 3},
        "decoder": {"kind": "gnmt", **stack, "attention": {"kind": "soft", "scores": scores}, **changes},
    }
    built = EncoderDecoderConfig.model_validate(settings).build(VOCABULARY, VOCABULARY).double().eval()
    uniform_everywhere(built, 0.8)
    return built


def tokens(length: int) -> Tokens:
    ids = torch.randint(0, VOCABULARY, (1, length))
    return Tokens(ids, ids >= 0)


def weights_over(built: EncoderDecoder, query: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """softmax of v . tanh(W s + U h + b), position by position."""
    scorer = built.decoder.bottom.attention.scorer
    scores = [
        scorer.vector @ torch.tanh(scorer.query_weight @ query + scorer.key_weight @ source + scorer.bias)
        for source in sources
    ]
    return torch.softmax(torch.stack(scores), 0)


@pytest.mark.parametrize("residual_from", [2, 3, None])
@pytest.mark.parametrize("bridge", ["zeros", "last"])
@pytest.mark.parametrize("query", ["previous", "same"])
@torch.no_grad()
def test_equations(query, bridge, residual_from):
    """The bottom layer asks with its previous output (or with this step's), every layer above reads the context."""
    built = model(query=query, bridge={"kind": bridge}, residual_from=residual_from)
    memory, target, decoder = built.encode(tokens(5)), tokens(4), built.decoder
    sources, first_sum = memory.states[0], residual_from or LAYERS + 1
    zeros = torch.zeros(1, SIZE, dtype=sources.dtype)
    states = [layer if bridge == "last" else (zeros, zeros) for layer in memory.final]
    expected, expected_weights = [], []
    for token in target.ids[0]:
        y = decoder.embedding.weight[token]
        if query == "previous":
            a = weights_over(built, states[0][0][0], sources)
            states[0] = decoder.bottom.cell(torch.cat([y, a @ sources])[None], states[0])
        else:
            states[0] = decoder.bottom.cell(y[None], states[0])
            a = weights_over(built, states[0][0][0], sources)
        x = states[0][0][0]
        for height, layer in enumerate(decoder.upper, start=2):
            states[height - 1] = layer.cell(torch.cat([x, a @ sources])[None], states[height - 1])
            output = states[height - 1][0][0]
            x = x + output if height >= first_sum else output
        expected.append(x)
        expected_weights.append(a)
    decoded = decoder(target, decoder.start(memory, 1))
    torch.testing.assert_close(decoded.hidden[0], torch.stack(expected), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(decoder.attention(decoded)[0], torch.stack(expected_weights), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_first_word_is_looked_for_with_nothing_but_the_keys():
    """From zeros the first query says nothing; it is the same for every target."""
    built = model()
    memory = built.encode(tokens(5))
    first = [built.decoder.attention(built.decoder(tokens(1), built.decoder.start(memory, 1)))[0, 0] for _ in range(2)]
    assert torch.equal(*first)
    expected = weights_over(built, torch.zeros(SIZE, dtype=memory.states.dtype), memory.states[0])
    torch.testing.assert_close(first[0], expected, rtol=1e-10, atol=1e-10)


def test_last_states_must_be_as_wide_as_the_decoder():
    """Side by side, the first encoder layer is twice as wide as the decoder's; the error says what to do."""
    with pytest.raises(ValueError, match=r"4 decoder layers of 6 cannot start from encoder layers of \[12, 6, 6, 6\]"):
        EncoderDecoderConfig.model_validate(
            {
                "embedding": EMBEDDING,
                "encoder": {
                    "kind": "recurrent",
                    "cell": {"kind": "lstm", "size": SIZE},
                    "layers": LAYERS,
                    "bidirectional": "first",
                },
                "decoder": {
                    "kind": "gnmt",
                    "cell": {"kind": "lstm", "size": SIZE},
                    "layers": LAYERS,
                    "attention": {"kind": "soft", "scores": {"kind": "dot"}},
                    "bridge": {"kind": "last"},
                },
            }
        )
