"""Labels of sequences, spans and tokens against sums over a loop."""

import math
from dataclasses import replace

import pytest
import torch

from henkan.nn.heads import LinearTokenScores
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.objectives.labels import ClassCrossEntropy, SpanLikelihood, SquaredError, Together
from henkan.tensors import IGNORE, Batch, Output, Tokens


def batch(**labels):
    units = {name: int((values != IGNORE).sum()) for name, values in labels.items()}
    return Batch(torch.arange(2), None, None, labels, units)


def test_classes():
    logits, labels = torch.randn(3, 4), torch.tensor([2, 0, IGNORE])
    found = ClassCrossEntropy("class")(Output({"class": logits}), batch(**{"class": labels}))
    expected = sum(-math.log(logits[row].softmax(0)[label]) for row, label in ((0, 2), (1, 0)))
    assert found["class"].item() == pytest.approx(expected, rel=1e-5)


def test_a_class_for_each_token():
    logits, labels = torch.randn(2, 3, 4), torch.tensor([[1, 2, IGNORE], [0, IGNORE, IGNORE]])
    found = ClassCrossEntropy("labels")(Output({"labels": logits}), batch(labels=labels))
    chosen = logits.log_softmax(-1)
    assert found["labels"].item() == pytest.approx(-(chosen[0, 0, 1] + chosen[0, 1, 2] + chosen[1, 0, 0]).item())


def test_numbers_in_bf16_are_compared_in_float32():
    given = torch.tensor([[1.0], [2.5]], dtype=torch.bfloat16)
    found = SquaredError("value")(Output({"value": given}), batch(value=torch.tensor([1.5, 2.4])))["value"]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(0.25 + 0.01, rel=1e-4)


def test_spans():
    scores, labels = torch.randn(2, 5, 2), torch.tensor([[1, 3], [0, 0]])
    source = Tokens(torch.zeros(2, 6, dtype=torch.int64), torch.arange(6)[None].repeat(2, 1) < 5)
    padded = torch.cat([scores, torch.full((2, 1, 2), 9.0)], 1)
    found = SpanLikelihood("span")(Output({"span": padded}), replace(batch(span=labels), source=source))["span"]
    log_probs = scores.log_softmax(1)
    expected = -(log_probs[0, 1, 0] + log_probs[0, 3, 1] + log_probs[1, 0, 0] + log_probs[1, 0, 1]) / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_several_at_once():
    scores = LinearTokenScores(torch.randn(2, 3, 4), torch.randn(6, 4), None)
    output = Output({"tokens": scores, "class": torch.randn(2, 2)})
    both = batch(tokens=torch.tensor([[1, IGNORE, 2], [IGNORE, 5, 0]]), **{"class": torch.tensor([0, 1])})
    together = Together([CrossEntropy(), ClassCrossEntropy("class")], [1.0, 0.5])
    sums = together(output, both)
    assert together.weights(7) == {"tokens": 1.0, "class": 0.5}
    assert together.units(both) == {"tokens": 4, "class": 2}
    assert sums["tokens"] == CrossEntropy()(output, both)["tokens"]
    assert sums["class"] == ClassCrossEntropy("class")(output, both)["class"]
    with pytest.raises(ValueError, match="one name each"):
        Together([CrossEntropy(), CrossEntropy()], [1.0, 1.0])
