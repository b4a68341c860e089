"""Continuing a text: packed as padded, and searches without a source. The four laws are in tests/laws."""

import pytest
import torch

import zoo
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.greedy import greedy_search
from henkan.decode.stepper import ModelStepper
from henkan.tensors import Batch, Sentences, Tokens
from henkan.text.tokenizer import END, PAD, START


def stepper(name="gpt2"):
    made = zoo.build_causal(zoo.CAUSAL_CONFIGS[name], torch.float32)
    return ModelStepper(made, zoo.VOCABULARY)


@pytest.mark.parametrize("name", ["gpt2", "causal, no positions"])
def test_packed_or_padded(name):
    model, tokens = zoo.build_causal(zoo.CAUSAL_CONFIGS[name]), zoo.tokens([5, 2, 7])
    starts = torch.tensor([0, 5, 7, 14], dtype=torch.int32)
    packed = Tokens(tokens.ids[tokens.mask][None], torch.ones(1, 14, dtype=torch.bool), sentences=Sentences(starts, 7))
    padded, found = (model(Batch(torch.arange(3), None, one)).heads["tokens"].logits() for one in (tokens, packed))
    torch.testing.assert_close(found[0], padded[tokens.mask], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", zoo.CAUSAL_CONFIGS)
def test_greedy_is_the_best_token_again_and_again(name):
    """Prompts of two lengths in one batch, against reading everything anew for each token."""
    searching = stepper(name)
    prefix = zoo.tokens([3, 1])
    limits = torch.tensor([6, 6])
    found = greedy_search(searching, searching.start(None, 2, 10), prefix, limits, None)
    for row, length in enumerate((3, 1)):
        text = prefix.ids[row, :length].tolist()
        for _ in range(6):
            whole = Tokens(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.bool))
            with torch.inference_mode():
                scores = searching.model(Batch(torch.arange(1), None, whole)).heads["tokens"].logits()[0, -1]
            allowed = [token for token in scores.argsort(descending=True).tolist() if token not in (PAD, START)]
            text.append(allowed[0])
            if text[-1] == END:
                break
        said = text[length:]
        assert found[row].tokens == (said[:-1] if said[-1] == END else said)


def test_a_beam_finds_no_worse():
    searching = stepper()
    prefix, limits = zoo.tokens([2, 2]), torch.tensor([5, 5])
    scores = []
    for beam in (1, 8):
        options = BeamOptions(beam=beam, length_penalty="none")
        found = beam_search(searching, searching.start(None, 2, 8), prefix, limits, options)
        scores.append([hypotheses[0].score for hypotheses in found])
    assert all(wide >= narrow for narrow, wide in zip(*scores, strict=True))
