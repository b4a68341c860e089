"""The unigram learner: its own steps against brute force, and what it is for."""

import math
from collections import Counter
from itertools import product

from henkan.text.unigram import _best_without, learn_unigram


def brute_force(piece: str, score_of: dict[str, float]) -> float:
    """The best of all ways to cut ``piece`` into two or more known parts."""
    best = -math.inf
    for cuts in product((False, True), repeat=len(piece) - 1):
        if any(cuts):
            parts, start = [], 0
            for place, cut in enumerate([*cuts, True], start=1):
                if cut:
                    parts.append(piece[start:place])
                    start = place
            best = max(best, sum(score_of.get(part, -math.inf) for part in parts))
    return best


def test_the_best_other_segmentation_is_the_best_of_all():
    score_of = {"a": -3.0, "b": -2.5, "c": -4.0, "ab": -3.5, "bc": -5.0, "abc": -1.0, "cab": -2.0, "abcab": -1.5}
    for piece in ("ab", "bc", "abc", "cab", "abcab"):
        assert math.isclose(_best_without(piece, score_of), brute_force(piece, score_of)), piece


def test_useful_pieces_are_kept_and_the_size_is_too():
    words = Counter({"▁walking": 50, "▁talking": 50, "▁walk": 40, "▁talk": 40, "▁king": 5})
    alphabet = sorted(set("".join(words)))
    seeds = sorted({word[i:j] for word in words for i in range(len(word)) for j in range(i + 2, len(word) + 1)})
    pieces = dict(learn_unigram(words, seeds, alphabet, len(alphabet) + 5))
    assert len(pieces) == len(alphabet) + 5
    assert set(alphabet) <= set(pieces)
    assert {"▁walk", "▁talk"} <= set(pieces), f"the frequent stems are pieces: {pieces}"
    assert all(score <= 0.0 for score in pieces.values()), "log-probabilities"
