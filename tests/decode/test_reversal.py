"""A stepper behind a turned source, and an ensemble of one that reads forwards and one that reads backwards."""

import pytest
import torch

import zoo
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.reversal import ReversedSource, turned
from henkan.decode.stepper import Ensemble, ModelStepper
from henkan.tensors import Tokens
from henkan.text.tokenizer import START

LENGTHS = [4, 1, 6]


def backwards(source: Tokens) -> Tokens:
    """Row by row, in plain Python."""
    ids = source.ids.clone()
    for row, length in enumerate(LENGTHS):
        ids[row, : length - 1] = source.ids[row, : length - 1].flip(0)
    return Tokens(ids, source.mask)


def found(stepper, source):
    start = torch.full((len(LENGTHS), 1), START)
    prefix = Tokens(start, torch.ones_like(start, dtype=torch.bool))
    options = BeamOptions(beam=3, n_best=2, coverage=0.2)
    limits = torch.tensor([5, 4, 6])
    state = stepper.start(source, len(LENGTHS), 8)
    return beam_search(stepper, state, prefix, limits, options, source_mask=source.mask, align=True)


def test_turning_is_its_own_inverse():
    source = zoo.tokens(LENGTHS)
    order = turned(source.mask)
    assert torch.equal(source.ids.gather(1, order), backwards(source).ids)
    assert torch.equal(order.gather(1, order), torch.arange(6).expand(3, 6))


@pytest.mark.parametrize("name", ["luong, general, 2 layers, fed", "bahdanau, gru", "transformer, post-norm"])
def test_it_is_the_same_model_of_the_turned_source(name):
    stepper = ModelStepper(zoo.build(zoo.CONFIGS[name], torch.float32), zoo.VOCABULARY)
    source = zoo.tokens(LENGTHS)
    there, back = found(stepper, backwards(source)), found(ReversedSource(stepper), source)
    for length, expected, hypotheses in zip(LENGTHS, there, back, strict=True):
        for one, other in zip(expected, hypotheses, strict=True):
            assert other.tokens == one.tokens
            assert other.score == pytest.approx(one.score, abs=1e-5)
            assert one.alignment is not None
            assert other.alignment == [p if p == length - 1 else length - 2 - p for p in one.alignment]


def test_two_readings_of_one_source_are_one_model():
    """A model that reads backwards, given the turned source by itself or by the wrapper, twice in an ensemble."""
    stepper = ModelStepper(zoo.build(zoo.CONFIGS["bahdanau, gru"], torch.float32), zoo.VOCABULARY)
    source = zoo.tokens(LENGTHS)
    turned_twice = ReversedSource(ReversedSource(stepper))
    alone, together = found(stepper, source), found(Ensemble([stepper, turned_twice]), source)
    for one, other in zip(alone, together, strict=True):
        assert [h.tokens for h in one] == [h.tokens for h in other]
        assert [h.alignment for h in one] == [h.alignment for h in other]


def test_a_model_without_attention_has_none_behind_it_either():
    stepper = ReversedSource(ModelStepper(zoo.build(zoo.CONFIGS["seq2seq, lstm"], torch.float32), zoo.VOCABULARY))
    state = stepper.start(zoo.tokens(LENGTHS), len(LENGTHS), 4)
    scores, _ = stepper.step(zoo.tokens([1, 1, 1]), state)
    assert scores.attention() is None
