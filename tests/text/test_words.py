"""Where words begin, in vocabularies of all forms."""

import pytest

from henkan.text.tokenizer import TokenizerConfig, learn
from henkan.text.words import word_starts

LINES = ["the lowest tower", "lower towers, the newest", "slow towing lowers the tower"] * 5


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_our_own(kind):
    tokenizer = learn(TokenizerConfig(kind=kind, vocabulary=60, mask=True), LINES)
    starts = word_starts(tokenizer)
    for line in LINES:
        assert starts[tokenizer.encode([line])[0]].sum() == len(line.split())


def test_words_are_words_and_characters_say_where_spaces_are():
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=60), LINES)
    assert word_starts(tokenizer)[tokenizer.encode(["the lowest tower"])[0]].tolist() == [True] * 3


class Written:
    """A vocabulary with these pieces."""

    def __init__(self, *pieces):
        self._pieces, self.size = pieces, len(pieces)

    def pieces(self, ids):
        return [self._pieces[token] for token in ids]


def test_foreign_marks():
    assert word_starts(Written("[PAD]", "low", "##est", "##er", "##", "new")).tolist() == [1, 1, 0, 0, 1, 1]
    assert word_starts(Written("<s>", "Ġlow", "est", "Ġnew", "er")).tolist() == [0, 1, 0, 1, 0]
    assert word_starts(Written("<s>", "a", "b")).tolist() == [1, 1, 1]
