"""Weights of every model with attention, sentence by sentence; words made of subwords."""

import numpy as np
import pytest
import torch

import zoo
from henkan.errors import ConfigError
from henkan.inspection.attention import END, Alignment, View, align, describe, word_starts
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

PAIRS = [([4, 5, 6], [7, 8]), ([9, 10, 11, 12, 4], [5]), ([6], [6, 7, 8, 9])]
TRANSFORMER = "transformer, post-norm"


@pytest.fixture(scope="module")
def tokenizers():
    words = learn(TokenizerConfig(kind="word", vocabulary=zoo.VOCABULARY), ["ka mo ri su te no hi wa yo"])
    return words, words


def built(name: str):
    torch.manual_seed(9)
    return zoo.build(zoo.CONFIGS[name])


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_rows_are_distributions_over_the_source_or_the_model_has_none(name, tokenizers):
    model = built(name)
    kind = zoo.CONFIGS[name].decoder.kind
    if kind in ("recurrent", "context"):
        with pytest.raises(ConfigError, match="no attention"):
            align(model, tokenizers, PAIRS, view=View())
        return
    together = align(model, tokenizers, PAIRS, view=View())
    for pair, found in zip(PAIRS, together, strict=True):
        assert found.weights.shape == (len(pair[1]) + 1, len(pair[0]) + 1) == (len(found.target), len(found.source))
        sums = found.weights.sum(1)
        assert (found.weights >= 0).all()
        if "local-p" in name:  # the Gaussian takes some away
            assert (sums <= 1 + 1e-9).all()
        else:
            np.testing.assert_allclose(sums, 1, atol=1e-9)
        (alone,) = align(model, tokenizers, [pair], view=View())
        np.testing.assert_allclose(found.weights, alone.weights, atol=1e-9, err_msg="padding changed the weights")


def test_a_reversed_source_is_shown_in_the_order_of_writing(tokenizers):
    model = built("luong, general, 1 layers, fed")
    turned = [(source[::-1], target) for source, target in PAIRS]
    for own, other in zip(
        align(model, tokenizers, PAIRS, view=View(), reverse_source=True),
        align(model, tokenizers, turned, view=View()),
        strict=True,
    ):
        assert own.source == [*other.source[:-1][::-1], END]
        np.testing.assert_allclose(own.weights[:, :-1], other.weights[:, :-1][:, ::-1])
        np.testing.assert_allclose(own.weights[:, -1], other.weights[:, -1])


def test_layers_and_heads_of_a_transformer(tokenizers):
    model = built(TRANSFORMER)
    (usual,) = align(model, tokenizers, PAIRS[:1], view=View())
    layer = model.decoder.aligning + 1
    (same,) = align(model, tokenizers, PAIRS[:1], view=View(layer=layer))
    np.testing.assert_allclose(same.weights, usual.weights, atol=1e-12)
    heads = [align(model, tokenizers, PAIRS[:1], view=View(head=head))[0].weights for head in (1, 2)]
    np.testing.assert_allclose((heads[0] + heads[1]) / 2, usual.weights, atol=1e-12)
    assert not np.allclose(*heads)
    (other,) = align(model, tokenizers, PAIRS[:1], view=View(layer=2))
    assert not np.allclose(other.weights, usual.weights)
    assert describe(model, View()) == "source attention of layer 1 of 2, mean over the heads"
    assert describe(model, View(2, 1)) == "source attention of layer 2 of 2, head 1"


@pytest.mark.parametrize(
    ("name", "view", "message"),
    [
        (TRANSFORMER, View(layer=3), "layer 3: the decoder has layers 1 to 2"),
        (TRANSFORMER, View(layer=0), "layer 0"),
        (TRANSFORMER, View(head=3), "head 3: each layer has heads 1 to 2"),
        ("bahdanau, gru", View(head=1), "leave --layer and --head out"),
    ],
)
def test_what_there_is_not_cannot_be_looked_at(name, view, message, tokenizers):
    with pytest.raises(ConfigError, match=message):
        align(built(name), tokenizers, PAIRS, view=view)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁un", "seen", "▁it", END], ["unseen", "it", END]),
        (["▁end", ".", END], ["end", ".", END]),
        (["▁he", "ll", "o", ",", "▁you", END], ["hello", ",", "you", END]),
        (["▁3", ",", "5", "0", "▁it", "'", "s", END], ["3,50", "it's", END]),
        (["▁so", ".", ".", ".", "▁", "?", END], ["so", "...", "?", END]),
        (["a", "▁", "c", "a", "t", END], ["a", "cat", END]),
        ([END], [END]),
    ],
)
def test_words_begin_at_spaces_and_at_punctuation_that_closes_a_word(pieces, words):
    even = np.full((1, len(pieces)), 1 / len(pieces))
    assert Alignment(pieces, [END], even).words().source == words
    assert len(word_starts(pieces)) == len(words)


def test_weights_add_up_over_a_source_word_and_are_averaged_over_a_target_word():
    weights = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]])
    merged = Alignment(["▁a", "b", END], ["▁c", "d", END], weights).words()
    assert (merged.source, merged.target) == (["ab", END], ["cd", END])
    np.testing.assert_allclose(merged.weights, [[0.45, 0.55], [0.5, 0.5]])
    kept = Alignment(["▁a", "b", END], ["▁c", "d", END], weights).words(source=False, target=False)
    np.testing.assert_array_equal(kept.weights, weights)
