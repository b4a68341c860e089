"""The captured search finds what beam search finds; its step works in one place and asks for nothing.

On a CPU the step is called, not replayed, over the same tensors.
"""

import pytest
import torch

import zoo
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.captured import CapturedBeamSearch, _Search, bucket
from henkan.decode.hypothesis import Hypothesis
from henkan.decode.stepper import Ensemble, ModelStepper, Stepper
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.tensors import Tokens
from henkan.text.tokenizer import START
from henkan.tree import leaves

NAMES = [
    "transformer, post-norm",
    "transformer, pre-norm, all tied",
    "luong, general, 2 layers, fed",
    "seq2seq, lstm",
    "gnmt, lstm",
    "bahdanau, gru",
]
NAMES = [name for name in NAMES if name in zoo.CONFIGS]


def stepper(name: str) -> ModelStepper:
    return ModelStepper(zoo.build(zoo.CONFIGS[name]), zoo.VOCABULARY)


def as_usual(by: Stepper, source: Tokens, limits: torch.Tensor, options: BeamOptions) -> list[list[Hypothesis]]:
    start = torch.full((len(limits), 1), START)
    prefix = Tokens(start, torch.ones_like(start, dtype=torch.bool))
    return beam_search(by, by.start(source, len(limits), int(limits.max()) + 1), prefix, limits, options)


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[each.tokens for each in best] for best in found] == [[each.tokens for each in best] for best in expected]
    for one, other in zip(found, expected, strict=True):
        assert [each.finished for each in one] == [each.finished for each in other]
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("beam", "n_best"), [(1, 1), (3, 2)])
def test_outputs_are_those_of_beam_search(name: str, beam: int, n_best: int):
    by, options = stepper(name), BeamOptions(beam=beam, n_best=n_best)
    captured = CapturedBeamSearch(by)
    for lengths, limits in (([4, 2, 6], [9, 5, 12]), ([3], [20]), ([5, 5, 1], [2, 1, 40])):
        source, limit = zoo.tokens(lengths), torch.tensor(limits)
        assert_same(captured.search(source, limit, options), as_usual(by, source, limit, options))


def test_an_ensemble_is_searched_too():
    by = Ensemble([stepper(NAMES[0]), stepper(NAMES[2])])
    source, limits, options = zoo.tokens([4, 2]), torch.tensor([9, 5]), BeamOptions(beam=3)
    assert_same(CapturedBeamSearch(by).search(source, limits, options), as_usual(by, source, limits, options))


def test_a_bucket_is_recorded_once_and_its_tensors_stay_where_they_are():
    captured, options = CapturedBeamSearch(stepper(NAMES[0])), BeamOptions(beam=3)
    captured.search(zoo.tokens([4, 2, 6]), torch.tensor([9, 5, 12]), options)
    (search,) = captured._recorded.values()

    def places() -> list[int]:
        caches = [leaf if isinstance(leaf, torch.Tensor) else leaf.buffer for leaf in leaves(search._state)]
        return [tensor.data_ptr() for tensor in (*caches, *leaves(tuple(search._changing)))]

    before = places()
    captured.search(zoo.tokens([2, 7, 1, 3]), torch.tensor([30, 2, 3, 7]), options)
    assert list(captured._recorded.values()) == [search]
    assert places() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_step_asks_the_device_for_nothing(name: str):
    """On the device "meta" there is nothing to be had: reading a value fails."""
    model: EncoderDecoder = zoo.build(zoo.CONFIGS[name], torch.float32).to("meta")
    by, options = ModelStepper(model, zoo.VOCABULARY), BeamOptions(beam=3)
    with torch.inference_mode():
        source = Tokens(torch.zeros(2, 32, dtype=torch.int64, device="meta"), torch.ones(2, 32, device="meta").bool())
        search = _Search(by, by.start(source, 2, 32).expand(3), 2, 32, options)
        search._begin(by.start(source, 2, 32).expand(3), [5, 7], options)
        for _ in range(3):
            search._replay()
        assert search._changing.tokens.device.type == "meta"


@pytest.mark.parametrize(("number", "least", "expected"), [(1, 1, 1), (3, 1, 4), (32, 32, 32), (33, 32, 64)])
def test_buckets(number: int, least: int, expected: int):
    assert bucket(number, least) == expected
