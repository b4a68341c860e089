"""More tokens for a vocabulary that there is: byte-pair encoding gone on with where it ended, on another text.

The text is cut into the tokens that there are, and the pair of neighbours inside a word that comes most often becomes
a token, again and again (Sennrich et al. 2016, begun from tokens instead of characters). So every new token stands for
several old ones and never crosses a space, and the old tokens keep their ids. How a text is cut depends on the kind:

    bpe         as before, and the new pairs are joined last
    unigram     as before, with as many joints as can be: a new piece has the score of its parts and a little more
    wordpiece   the longest piece first, the new ones among them
    byte_bpe    as bpe

The new tokens are entries of the vocabulary itself, not "added tokens" of the library: those are looked for before a
text is cut into words, would be found inside other words, and lose the space before them.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import tokenizers
from tokenizers import models

from henkan.errors import DataError
from henkan.text.byte_level import LONGEST_BYTES
from henkan.text.learning import LONGEST_PIECE, draw
from henkan.text.normalise import normalise
from henkan.text.tokenizer import UNKNOWN, Tokenizer

LEAST_COUNT = 5
"""How often a pair must come to become a token: the vector of a rarer one would hardly be learnt."""

_JOINT = 1e-4  # what the score of a unigram piece gains for each joint, so that a new piece wins over its own parts


def extended(tokenizer: Tokenizer, texts: Iterable[str], most: int, sample: int) -> Tokenizer:
    """A vocabulary with up to ``most`` more tokens behind those that there are, learnt from texts.

    The texts are read once, and an even sample of them kept, as by :func:`henkan.text.learning.learn`. The same texts
    give the same tokens.

    Raises:
        DataError: there is no text; or the vocabulary is of whole words or characters, which are not cut into pieces.
    """
    library = tokenizer.library
    if isinstance(library.model, models.WordLevel):
        raise DataError("a vocabulary of whole words or characters is not extended: nothing is cut into pieces")
    words: Counter[tuple[int, ...]] = Counter()
    for pretoken, count in _pretokens(library, draw(texts, sample)).items():
        ids = [token.id for token in library.model.tokenize(pretoken)]
        for run in _known_runs(ids):
            words[run] += count
    pieces = tokenizer.pieces(range(tokenizer.size))
    longest = LONGEST_BYTES if tokenizer.byte_level else LONGEST_PIECE
    return Tokenizer(_enlarged(library, pieces, list(_joints(words, pieces, most, _prefix(library), longest))))


def parts(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """The old ids that each token of ``new`` behind the last old one was cut into before there was a token for it.

    Raises:
        DataError: ``new`` is not ``old`` with more tokens.
    """
    if new.pieces(range(min(old.size, new.size))) != old.pieces(range(old.size)):
        raise DataError(f"the vocabulary of {new.size:,} tokens does not begin with the {old.size:,} of the other one")
    return [_cut(old.library, piece) for piece in new.pieces(range(old.size, new.size))]


def _pretokens(library: tokenizers.Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """How often each stretch comes that no token goes beyond."""
    times: Counter[str] = Counter()
    for word, count in Counter(word for text in texts for word in normalise(text).split(" ")).items():
        if word:
            spaced = f" {word}"
            clean = spaced if library.normalizer is None else library.normalizer.normalize_str(spaced)
            splitter = library.pre_tokenizer
            for pretoken in [clean] if splitter is None else [found for found, _ in splitter.pre_tokenize_str(clean)]:
                times[pretoken] += count
    return times


def _known_runs(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The stretches of at least two tokens between unknown ones."""
    start = 0
    for place in [*(place for place, token in enumerate(ids) if token == UNKNOWN), len(ids)]:
        if place - start > 1:
            yield tuple(ids[start:place])
        start = place + 1


def _joints(
    words: Mapping[tuple[int, ...], int], pieces: Sequence[str], most: int, prefix: str, longest: int
) -> Iterator[tuple[str, str]]:
    """Pairs of pieces that become one, the most frequent first, until they have made ``most`` new pieces."""
    names = list(pieces)
    ids = {piece: number for number, piece in enumerate(names)}
    rows, weights = [list(word) for word in words], list(words.values())
    times: Counter[tuple[int, int]] = Counter()
    places: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for number, row in enumerate(rows):
        for pair in pairwise(row):
            times[pair] += weights[number]
            places[pair].add(number)
    queue = [(-count, pair) for pair, count in times.items()]
    heapq.heapify(queue)
    while queue and len(names) < len(pieces) + most:
        said, pair = heapq.heappop(queue)
        if -said != times[pair]:  # it has become rarer since it was put here
            heapq.heappush(queue, (-times[pair], pair))
            continue
        if -said < LEAST_COUNT:
            return
        left, right = (names[token] for token in pair)
        whole = left + right.removeprefix(prefix)
        if len(whole) > longest:
            continue
        joined = ids.setdefault(whole, len(names))
        names += [whole] * (joined == len(names))
        yield left, right
        fresh: set[tuple[int, int]] = set()
        for number in places.pop(pair):
            row = rows[number]
            for old in pairwise(row):
                times[old] -= weights[number]
            row[:] = _with_joint(row, pair, joined)
            for new in pairwise(row):
                times[new] += weights[number]
                places[new].add(number)
                if joined in new:
                    fresh.add(new)
        for new in fresh:
            heapq.heappush(queue, (-times[new], new))


def _with_joint(row: Sequence[int], pair: tuple[int, int], joined: int) -> list[int]:
    found: list[int] = []
    place = 0
    while place < len(row):
        together = tuple(row[place : place + 2]) == pair
        found.append(joined if together else row[place])
        place += 1 + together
    return found


def _enlarged(
    library: tokenizers.Tokenizer, pieces: Sequence[str], joints: Sequence[tuple[str, str]]
) -> tokenizers.Tokenizer:
    """The library's tokenizer with the pieces that the joints make."""
    content: dict[str, Any] = json.loads(library.to_str())
    model = content["model"]
    known = set(pieces)
    whole = (left + right.removeprefix(_prefix(library)) for left, right in joints)
    new = [piece for piece in dict.fromkeys(whole) if piece not in known]
    if isinstance(library.model, models.Unigram):
        scores = [score for _, score in model["vocab"]]
        for piece in new:
            cut = _cut(library, piece)
            model["vocab"].append([piece, sum(scores[token] for token in cut) + _JOINT * (len(cut) - 1)])
    else:
        model["vocab"] |= {piece: len(pieces) + number for number, piece in enumerate(new)}
    if isinstance(library.model, models.BPE):
        model["merges"] += [list(joint) for joint in joints]
    return tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def _prefix(library: tokenizers.Tokenizer) -> str:
    """What a piece begins with that does not begin a word; BERT's ``##``, and nothing in our own vocabularies."""
    return str(getattr(library.model, "continuing_subword_prefix", None) or "")


def _cut(library: tokenizers.Tokenizer, piece: str) -> list[int]:
    """The ids of a piece that is not in the vocabulary."""
    prefix = _prefix(library)
    if not prefix or not piece.startswith(prefix):
        return [token.id for token in library.model.tokenize(piece)]
    rest, found = piece, []
    while rest != prefix:  # the longest first, as WordPiece goes on inside a word
        longest_first = range(len(rest), len(prefix), -1)
        tried = ((end, library.token_to_id(rest[:end])) for end in longest_first)
        end, token = next((end, token) for end, token in tried if token is not None)
        found.append(token)
        rest = prefix + rest[end:]
    return found
