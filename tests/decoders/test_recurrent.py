"""The three recurrent decoders against their papers' equations, word by word with whole vectors."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import Memory, Tokens

VOCABULARY, EMBEDDING, SIZE, PLACES, LENGTH = 9, 4, 6, 5, 4


def model(decoder: dict[str, Any], bidirectional: bool = False, layers: int = 1) -> EncoderDecoder:
    cell = {"kind": "lstm", "size": SIZE // 2 if bidirectional else SIZE}
    encoder = {"kind": "recurrent", "cell": cell, "bidirectional": bidirectional, "layers": layers}
    settings = {"embedding": EMBEDDING, "encoder": encoder, "decoder": decoder}
    built = EncoderDecoderConfig.model_validate(settings).build(VOCABULARY, VOCABULARY).double().eval()
    uniform_everywhere(built, 0.8)
    return built


def one_sentence(built: EncoderDecoder) -> tuple[Memory, Tokens]:
    """One source and one target without padding."""
    source, target = torch.randint(0, VOCABULARY, (1, PLACES)), torch.randint(0, VOCABULARY, (1, LENGTH))
    return built.encode(Tokens(source, source >= 0)), Tokens(target, target >= 0)


def numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum()


def step(cell: nn.Module, x: np.ndarray, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Cells have tests of their own."""
    after = cell(torch.from_numpy(x)[None], tuple(torch.from_numpy(part)[None] for part in state))
    return tuple(numpy(part[0]) for part in after)


def first_states(built: EncoderDecoder, memory: Memory) -> list[tuple[np.ndarray, ...]]:
    return [tuple(numpy(part[0]) for part in layer) for layer in built.decoder.bridge(memory)]


def compare(built: EncoderDecoder, memory: Memory, target: Tokens, hidden: list, weights: list | None) -> None:
    decoded = built.decoder(target, built.decoder.start(memory, 1))
    np.testing.assert_allclose(numpy(decoded.hidden[0]), np.array(hidden), rtol=1e-10, atol=1e-10)
    if weights is None:
        assert built.decoder.attention(decoded) is None
    else:
        np.testing.assert_allclose(
            numpy(built.decoder.attention(decoded)[0]), np.array(weights), rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("input_feeding", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_luong(input_feeding, layers):
    """Luong et al. (2015), sections 3.1 and 3.3: attention above the layers, ~h = tanh(W [c; h])."""
    cell = {"kind": "lstm", "size": SIZE}
    built = model({"kind": "luong", "cell": cell, "layers": layers, "input_feeding": input_feeding}, layers=layers)
    memory, target = one_sentence(built)
    states, fed, sources = first_states(built, memory), np.zeros(SIZE), numpy(memory.states[0])
    hidden, weights = [], []
    for token in target.ids[0]:
        x = numpy(built.decoder.embedding.weight[token])
        x = np.concatenate([x, fed]) if input_feeding else x
        for height, layer in enumerate(built.decoder.layers):
            states[height] = step(layer.cell, x, states[height])
            x = states[height][0]
        a = softmax(np.array([x @ numpy(built.decoder.source_attention.scorer.weight) @ s for s in sources]))
        fed = np.tanh(numpy(built.decoder.attentional.mix.weight) @ np.concatenate([a @ sources, x]))
        hidden.append(fed)
        weights.append(a)
    compare(built, memory, target, hidden, weights)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_bahdanau(kind):
    """Bahdanau et al. (2015): the previous state asks, the context enters the same step's cell, maxout on top."""
    attention = {"kind": "soft", "scores": {"kind": "additive", "size": 5}}
    built = model(
        {"kind": "bahdanau", "cell": {"kind": kind, "size": SIZE}, "attention": attention, "maxout": 3},
        bidirectional=True,
    )
    memory, target = one_sentence(built)
    (state,), sources, decoder = first_states(built, memory), numpy(memory.states[0]), built.decoder
    scorer, output = decoder.source_attention.scorer, decoder.readout
    W, U, b, v = map(numpy, (scorer.query_weight, scorer.key_weight, scorer.bias, scorer.vector))
    hidden, weights = [], []
    for token in target.ids[0]:
        y = numpy(decoder.embedding.weight[token])
        a = softmax(np.array([v @ np.tanh(W @ state[0] + U @ h + b) for h in sources]))
        c = a @ sources
        state = step(decoder.cell, np.concatenate([y, c]), state)
        mixed = (
            numpy(output.state.weight) @ state[0]
            + numpy(output.state.bias)
            + numpy(output.embedding.weight) @ y
            + numpy(output.context.weight) @ c
        )
        hidden.append(mixed.reshape(3, 2).max(1))
        weights.append(a)
    compare(built, memory, target, hidden, weights)


def test_seq2seq():
    """Sutskever et al. (2014): each layer starts from the encoder's at its height; no attention."""
    built = model({"kind": "recurrent", "cell": {"kind": "lstm", "size": SIZE}, "layers": 3}, layers=3)
    memory, target = one_sentence(built)
    states = [tuple(numpy(part[0]) for part in layer) for layer in memory.final]
    hidden = []
    for token in target.ids[0]:
        x = numpy(built.decoder.embedding.weight[token])
        for height, layer in enumerate(built.decoder.layers):
            states[height] = step(layer.cell, x, states[height])
            x = states[height][0]
        hidden.append(x)
    compare(built, memory, target, hidden, None)


def test_the_source_is_read_layer_upon_layer():
    """Each encoder layer reads the one below it, and leaves the state after the last word."""
    built = model({"kind": "recurrent", "cell": {"kind": "lstm", "size": SIZE}, "layers": 2}, layers=2)
    source = torch.randint(0, VOCABULARY, (1, PLACES))
    memory = built.encode(Tokens(source, source >= 0))
    states = [(np.zeros(SIZE), np.zeros(SIZE))] * 2
    for place, token in enumerate(source[0]):
        x = numpy(built.encoder.embedding.weight[token])
        for height, layer in enumerate(built.encoder.layers):
            states[height] = step(layer.cell, x, states[height])
            x = states[height][0]
        np.testing.assert_allclose(numpy(memory.states[0, place]), x, rtol=1e-10, atol=1e-10)
    for ours, expected in zip(memory.final, states, strict=True):
        for part, wanted in zip(ours, expected, strict=True):
            np.testing.assert_allclose(numpy(part[0]), wanted, rtol=1e-10, atol=1e-10)
