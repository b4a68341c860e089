"""What nobody reads is not computed, and nothing else changes."""

import pytest
import torch

import zoo
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.init import uniform_everywhere
from henkan.nn.read_places import places_read
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.objectives.labels import ClassCrossEntropy, Together
from henkan.tensors import IGNORE, Batch, Sentences, Tokens

LENGTHS = [5, 2, 7]
HEADS = {"tokens": {"kind": "masked"}, "next": {"kind": "class", "classes": 2, "dropout": 0.0}}


def made(norm="post", pooler="dense", heads=HEADS):
    encoder = zoo.TRANSFORMER | {"norm": norm, "embedding_norm": True, "dropout": 0.0}
    config = EncoderOnlyConfig.model_validate({"encoder": encoder, "pooler": {"kind": pooler}, "heads": heads})
    model = config.build(zoo.VOCABULARY).double()
    uniform_everywhere(model, 0.8)
    return model


def batch():
    labels = torch.full((3, 7), IGNORE)
    labels[0, 1], labels[2, 6], labels[2, 0] = 5, 6, 7
    units = {"tokens": 3, "next": 3}
    return Batch(torch.arange(3), zoo.tokens(LENGTHS), None, {"tokens": labels, "next": torch.tensor([1, 0, 1])}, units)


def learnt(model, given):
    objective = Together([CrossEntropy(), ClassCrossEntropy("next")], [1.0, 1.0])
    sums = objective(model(given), given)
    model.zero_grad()
    sum(sums.values()).backward()
    return sums, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("pooler", ["dense", "first", "mean"])
def test_losses_and_gradients_are_those_of_all_positions(norm, pooler):
    model, given = made(norm, pooler), batch()
    for found, expected in zip(learnt(model.train(), given), learnt(model.eval(), given), strict=True):
        assert found.keys() == expected.keys()
        for name in found:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-9)


def test_the_last_network_works_where_somebody_reads():
    model, rows = made(), []
    for layer in model.encoder.layers:
        layer.feed_forward.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[:-1].numel()))
    model.train()(batch())
    assert rows[:-1] == [21] * (len(rows) - 1)
    assert rows[-1] == 5  # three first positions and three labels, one of them in both


def test_all_is_read_where_somebody_does_not_say():
    tokens = zoo.tokens(LENGTHS)
    label, text = (made(heads={"x": head}).heads.x for head in ({"kind": "span"}, {"kind": "class", "classes": 2}))
    assert places_read(tokens, [(label, None), (text, None)]) is None
    assert places_read(tokens, [(text, None)]).tolist() == []
    masked = made().heads.tokens
    assert places_read(tokens, [(masked, None)]) is None
    assert places_read(tokens, [(masked, batch().labels["tokens"])]).tolist() == [1, 14, 20]


def test_packed_rows_are_read_whole():
    starts = torch.tensor([0, 5, 7], dtype=torch.int32)
    tokens = zoo.tokens([7])
    packed = Tokens(tokens.ids, tokens.mask, sentences=Sentences(starts, 5))
    assert places_read(packed, [(made().heads.next, None)]) is None
