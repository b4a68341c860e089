"""Stacks of recurrent layers against a loop over steps, and against torch's own layers."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from henkan.encoders.recurrent import RecurrentEncoder, RecurrentEncoderConfig
from henkan.nn.cells import LSTMCell
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Bidirectional, Forward, ResidualLayer
from henkan.nn.recurrent import run, run_plain
from henkan.nn.variational import MaskedRun, VariationalDropout
from henkan.nn.zoneout import Zoneout
from henkan.tensors import Tokens

VOCABULARY, EMBEDDING, SIZE, ROWS, PLACES = 9, 4, 6, 3, 5


def config(cell: str = "lstm", **settings: Any) -> RecurrentEncoderConfig:
    return RecurrentEncoderConfig.model_validate({"cell": {"kind": cell, "size": SIZE}, **settings})


def encoder(cell: str = "lstm", **settings: Any) -> RecurrentEncoder:
    built = config(cell, **settings).build(TokenEmbedding(VOCABULARY, EMBEDDING)).double().eval()
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.7)
    return built


def source(lengths: list[int]) -> Tokens:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Tokens(torch.randint(0, VOCABULARY, mask.shape), mask)


def cells(layer: nn.Module) -> list[Any]:
    """Forward first."""
    layer = layer.layer if isinstance(layer, ResidualLayer) else layer
    return [layer.cell] if isinstance(layer, Forward) else [layer.forward_cell, layer.backward_cell]


def close(found: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=lambda text: f"{what}: {text}")


STACKS: dict[str, dict[str, Any]] = {
    "one direction": {"layers": 3},
    "first layer both ways, residual from the third": {"layers": 4, "bidirectional": "first", "residual_from": 3},
    "all layers both ways": {"layers": 2, "bidirectional": "all"},
    "all layers both ways, sum, residual": {"layers": 3, "bidirectional": "all", "merge": "sum", "residual_from": 2},
    "first layer both ways, mean, residual": {
        "layers": 3,
        "bidirectional": "first",
        "merge": "mean",
        "residual_from": 2,
    },
}


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("settings", STACKS.values(), ids=STACKS)
def test_layer_upon_layer(settings, kind):
    """Row by row without padding, by the plain loop."""
    built, lengths = encoder(kind, **settings), [5, 2, 4]
    tokens = source(lengths)
    memory = built(tokens)
    first_both, merge = settings.get("bidirectional", "none"), settings.get("merge", "concatenation")
    for row, length in enumerate(lengths):
        vectors, real = built.embedding(tokens.ids[row : row + 1, :length]), torch.ones(1, length, dtype=torch.bool)
        for height, layer in enumerate(built.layers, start=1):
            below = vectors
            directions = cells(layer)
            assert len(directions) == 1 + (first_both == "all" or (first_both == "first" and height == 1))
            vectors, state = run_plain(directions[0], below, real, directions[0].start(1))
            if len(directions) == 2:
                back, back_state = run_plain(directions[1], below.flip(1), real, directions[1].start(1))
                parts = [(vectors, back.flip(1)), *zip(state, back_state, strict=True)]
                merged = [
                    torch.cat(pair, -1) if merge == "concatenation" else sum(pair) / (2 if merge == "mean" else 1)
                    for pair in parts
                ]
                vectors, state = merged[0], merged[1:]
            if height >= settings.get("residual_from", 100):
                vectors = vectors + below
            for found, expected in zip(memory.final[height - 1], state, strict=True):
                close(found[row], expected[0], f"state of layer {height}, row {row}")
        close(memory.states[row, :length], vectors[0], f"outputs of row {row}")
    assert built.sizes == config(kind, **settings).sizes == tuple(state[0].shape[1] for state in memory.final)


def test_gnmts_encoder_by_torchs_layers():
    """Wu et al. (2016), figure 1: both directions below, one above, sums from the third layer on."""
    built = encoder(layers=4, bidirectional="first", residual_from=3)
    tokens = source([PLACES] * ROWS)
    vectors = built.embedding(tokens.ids)
    for height, layer in enumerate(built.layers, start=1):
        theirs = nn.LSTM(vectors.shape[2], SIZE, batch_first=True, bidirectional=height == 1).double()
        with torch.no_grad():
            for suffix, cell in zip(("", "_reverse"), cells(layer), strict=False):
                getattr(theirs, f"weight_ih_l0{suffix}").copy_(cell.input_weight)
                getattr(theirs, f"weight_hh_l0{suffix}").copy_(cell.hidden_weight)
                getattr(theirs, f"bias_ih_l0{suffix}").copy_(cell.bias)
                getattr(theirs, f"bias_hh_l0{suffix}").zero_()
        outputs, _ = theirs(vectors)
        vectors = vectors + outputs if height >= 3 else outputs
    close(built(tokens).states, vectors, "outputs")


def test_what_is_not_asked_for_is_not_there():
    """The plain cell, by its fastest way, behind ordinary dropout."""
    built = encoder(layers=2, bidirectional="first", dropout=0.3)
    assert [type(layer) for layer in built.layers] == [Bidirectional, Forward]
    for layer in built.layers:
        assert all(type(cell) is LSTMCell for cell in cells(layer))
        assert layer.through is run and type(layer.dropout) is Dropout
    none = encoder(variational=True)
    assert none.layers[0].through is run and type(none.layers[0].dropout) is Dropout, "masks that drop nothing"


def test_what_is_asked_for_is_there():
    built = encoder(layers=2, dropout=0.3, variational=True, zoneout=0.1)
    assert type(built.dropout) is VariationalDropout
    for layer in built.layers:
        assert type(layer.cell) is Zoneout and type(layer.cell.cell) is LSTMCell
        assert type(layer.through) is MaskedRun and type(layer.dropout) is VariationalDropout


def test_a_cell_without_recurrent_products_scans_on():
    built = encoder("min-gru", dropout=0.3, variational=True)
    assert built.layers[0].through is run and type(built.layers[0].dropout) is VariationalDropout


def test_true_and_false_are_said_of_all_layers():
    assert config(bidirectional=True) == config(bidirectional="all")
    assert config(bidirectional=False) == config(bidirectional="none") == config()
    assert [config(layers=2, bidirectional=which).has_backward_half for which in ("all", "first", "none")] == [
        True,
        False,
        False,
    ]
    assert not config(bidirectional="all", merge="sum").has_backward_half


REFUSED = {
    "residual_from 2: that layer reads 12 and returns 6; begin with layer 3, or merge the directions by sum or mean": {
        "layers": 3,
        "bidirectional": "first",
        "residual_from": 2,
    },
    "Input should be 'none', 'all' or 'first'": {"bidirectional": "last"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    with pytest.raises(ValidationError) as refusal:
        config(**REFUSED[message])
    assert message in str(refusal.value)


def test_residuals_that_would_begin_above_the_top_are_none():
    assert all(isinstance(layer, Forward) for layer in encoder(layers=2, residual_from=3).layers)
