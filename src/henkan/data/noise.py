"""Noise that a model learns to undo: masks (BERT, RoBERTa), corrupted spans (T5), and the five noises of BART.

All functions take and return ids and draw from the generator they are given, so an example's noise is a pure function
of (seed, epoch, example). None of them changes its input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from henkan.tensors import IGNORE

Ids = np.ndarray
"""(T,) integers."""

_LONGEST_WORD = 4
"""Tokens of a word that is always hidden whole; what is longer is written without spaces, or is no word."""


def mask_tokens(
    ids: Ids,
    rng: np.random.Generator,
    mask: int,
    ordinary: range,
    share: float = 0.15,
    candidates: np.ndarray | None = None,
    words: np.ndarray | None = None,
) -> tuple[Ids, Ids]:
    """Choose tokens to be predicted; 80 % of them become the mask, 10 % any token, 10 % stay (Devlin et al. 2019, A.1).

    The number of chosen tokens is ``share`` of the candidates, rounded at random so that its mean is exact, and at
    least one where there is a candidate.

    Args:
        ids: the sequence, special tokens included.
        mask: id of the mask.
        ordinary: ids that a token may be replaced with.
        candidates: (T,) bool, True where a token may be chosen; None: everywhere.
        words: (T,) the number of the word that each token belongs to, in order: words are then chosen as wholes, one
            after another in random order, and the number of tokens is right in the mean. None: token by token.

    Returns:
        What the model reads, and its labels: the original token where chosen, IGNORE elsewhere.
    """
    possible = np.arange(len(ids)) if candidates is None else np.flatnonzero(candidates)
    labels = np.full(len(ids), IGNORE, dtype=np.int64)
    if not len(possible):
        return ids.copy(), labels
    wanted = max(1, _rounded(share * len(possible), rng))
    if words is None:
        chosen = rng.choice(possible, wanted, replace=False)
    else:
        chosen = _whole_words(words[possible], wanted, rng, possible)
    noisy = ids.copy()
    labels[chosen] = ids[chosen]
    fate = rng.random(len(chosen))
    noisy[chosen[fate < 0.8]] = mask
    anything = chosen[fate >= 0.9]
    noisy[anything] = rng.integers(ordinary.start, ordinary.stop, len(anything))
    return noisy, labels


def _whole_words(words: np.ndarray, wanted: int, rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Places of all tokens of words drawn at random: ``wanted`` in the mean, and at least one word.

    A word of more than ``wanted`` tokens, and of more than any word has that is written between spaces, counts as
    several: a text of one long word would be hidden as a whole. Where ``wanted`` is less than a word, more is hidden.

    The last word would often be too long. It is taken with that probability which makes the mean exact; leaving it out
    always, as Devlin et al. do, hides fewer tokens than were asked for.
    """
    words = _cut_to(words, max(wanted, _LONGEST_WORD))
    sizes = np.bincount(words)
    order = rng.permutation(len(sizes))
    total = np.cumsum(sizes[order])
    whole = int(np.searchsorted(total, wanted, side="right"))
    left = wanted - (int(total[whole - 1]) if whole else 0)
    taken = max(1, whole + (left > 0 and rng.random() < left / sizes[order[whole]]))
    return places[np.isin(words, order[:taken])]


def _cut_to(words: np.ndarray, longest: int) -> np.ndarray:
    """The same words, counted from 0, in as few parts of nearly one length as make none longer than ``longest``."""
    _, starts, own, sizes = np.unique(words, return_index=True, return_inverse=True, return_counts=True)
    parts = -(-sizes // longest)
    within = (np.arange(len(words)) - starts[own]) * parts[own] // sizes[own]
    return (np.cumsum(parts) - parts)[own] + within


def corrupt_spans(
    ids: Ids, rng: np.random.Generator, sentinels: Sequence[int], share: float = 0.15, mean_length: float = 3.0
) -> tuple[Ids, Ids]:
    """Replace spans by sentinels; the target says what stood there (Raffel et al. 2020, section 3.1.4).

    Kept and lost spans alternate, the first is kept and the last is lost. Their lengths are drawn such that every way
    of cutting the kept and the lost tokens into that many spans is equally likely.

    Args:
        ids: at least two tokens, none of them special.
        sentinels: their ids in the order of use; never more spans than these.
        share: of the tokens that are lost.
        mean_length: of the lost spans.

    Returns:
        Source: kept spans with a sentinel for each lost one. Target: each sentinel, then what it stands for. (The
        paper draws one sentinel more, which ends the target; its code, and so this, leaves that to END.)

    Raises:
        ValueError: fewer than two tokens, which leave nothing to keep or nothing to lose.
    """
    length = len(ids)
    if length < 2:
        raise ValueError(f"{length} tokens: span corruption needs at least 2")
    lost = min(max(_rounded(share * length, rng), 1), length - 1)
    spans = min(max(round(lost / mean_length), 1), lost, length - lost, len(sentinels))
    kept_lengths, lost_lengths = _segments(length - lost, spans, rng), _segments(lost, spans, rng)
    source, target, place = [], [], 0
    for kept, gone, sentinel in zip(kept_lengths, lost_lengths, sentinels, strict=False):
        mark = np.array([sentinel], dtype=ids.dtype)
        source += [ids[place : place + kept], mark]
        target += [mark, ids[place + kept : place + kept + gone]]
        place += kept + gone
    return np.concatenate(source), np.concatenate(target)


def _segments(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """``parts`` positive lengths with this sum, every such cutting equally likely."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.empty(0, dtype=np.int64)
    return np.diff(cuts, prepend=0, append=total)


def infill(ids: Ids, rng: np.random.Generator, mask: int, share: float = 0.3, mean_length: float = 3.0) -> Ids:
    """Replace spans by one mask each, lengths Poisson distributed (Lewis et al. 2020, section 2.2, text infilling).

    A span of length 0 is a mask that stands for nothing. ``share`` is of the tokens that disappear.
    """
    wanted = _rounded(share * len(ids), rng)
    if not wanted:
        return ids.copy()
    lengths: list[int] = []
    while (left := wanted - sum(lengths)) > 0:
        lengths.append(min(int(rng.poisson(mean_length)), left))
    # spans lie in a random order among the kept tokens, never side by side unless there are too few of those
    kept = len(ids) - wanted
    gaps = np.sort(rng.choice(kept + 1, len(lengths), replace=len(lengths) > kept + 1))
    pieces, taken, place = [], 0, 0
    mark = np.array([mask], dtype=ids.dtype)
    for gap, length in zip(gaps, rng.permutation(lengths), strict=True):
        pieces += [ids[place : place + gap - taken], mark]
        place += gap - taken + length
        taken = int(gap)
    return np.concatenate([*pieces, ids[place:]])


def replace_by_mask(ids: Ids, rng: np.random.Generator, mask: int, share: float = 0.15) -> Ids:
    """Masks in place of tokens drawn at random (Lewis et al. 2020, token masking)."""
    noisy = ids.copy()
    noisy[rng.choice(len(ids), _rounded(share * len(ids), rng), replace=False)] = mask
    return noisy


def delete_tokens(ids: Ids, rng: np.random.Generator, share: float = 0.15) -> Ids:
    """Tokens drawn at random are gone, and nothing says where (Lewis et al. 2020, token deletion)."""
    return np.delete(ids, rng.choice(len(ids), _rounded(share * len(ids), rng), replace=False))


def permute_sentences(sentences: Sequence[Ids], rng: np.random.Generator) -> Ids:
    """Sentences in a random order, end to end (Lewis et al. 2020, sentence permutation)."""
    return np.concatenate([sentences[place] for place in rng.permutation(len(sentences))])


def rotate(ids: Ids, rng: np.random.Generator) -> Ids:
    """A token drawn at random comes first, what was before it last (Lewis et al. 2020, document rotation)."""
    return np.roll(ids, -int(rng.integers(len(ids)))) if len(ids) else ids.copy()


def _rounded(value: float, rng: np.random.Generator) -> int:
    """Up or down at random, so that the mean is the value."""
    return int(value) + int(rng.random() < value - int(value))
