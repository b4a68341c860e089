"""Which side of the split a pair falls on, decided by a hash of its normalised source.

1. ``key`` keeps of a text what makes it that text: two strings that differ in case, numbers, placeholders, tags,
   addresses or punctuation have one key, so they never stand on two sides of the split.
2. ``bucket`` turns a key into a number in [0, 1) that looks random but is the same on every machine, on every day and
   in every order of the file. A pair added to the corpus moves no other pair.
3. ``hold_out`` splits a whole corpus into training, validation and test, and says what it left out of the test and why.
4. ``choose_holdout`` finds the rule by which ``henkan train`` holds a validation part out of a user's own pairs.
5. ``near_copies`` counts what a hash cannot see: test sources that share nearly all their words with a training source.
"""

import hashlib
import math
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from henkan.data.example import Pair
from henkan.errors import DataError

_ADDRESS = re.compile(r"(?:https?|ftp)://\S+|www\.\S+")
_TAG = re.compile(r"</?[a-z!][^<>]{0,200}>")
_PLACEHOLDER = re.compile(r"\[%[^\[\]]{0,200}%\]|[$%]?\{[^{}]{0,200}\}|%(?:\(\w{1,50}\))?(?:\d+\$)?[sdif@]\b")
_INSIDE_WORDS = "'’ʼ-‐‑."  # "don't", "wi-fi", "U.S.": these vanish without a gap, all other marks leave a space

# Scripts written without spaces: Thai, Lao, Myanmar, Khmer, kana, Han. Each of their characters counts as a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


class _Removals(dict[int, str]):
    """What ``str.translate`` does with each character: digits and format characters go, punctuation becomes a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Nd", "Cf") or character in _INSIDE_WORDS:
            kept = ""
        elif category[0] in "PS":
            kept = " "
        else:
            kept = character
        self[code] = kept
        return kept


_REMOVALS = _Removals()


def folded(text: str) -> str:
    """``text`` with compatibility forms, case and runs of whitespace made equal, and nothing removed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def core(text: str) -> str:
    """``text`` folded, without addresses, tags, placeholders, digits and punctuation; empty if no words are left."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for pattern in (_ADDRESS, _TAG, _PLACEHOLDER):
        text = pattern.sub(" ", text)
    return " ".join(text.translate(_REMOVALS).split())


def key(text: str) -> str:
    """What decides the side of ``text``: its core; where no words are left (``40%``), the folded text itself."""
    return core(text) or folded(text)


def bucket(text: str, salt: str) -> float:
    """A number in [0, 1), uniform over texts, from the BLAKE2b hash of ``salt`` and ``text``."""
    digest = hashlib.blake2b(f"{salt}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exactly a float, so never rounded up to 1.0


@dataclass(frozen=True)
class Split:
    """A corpus in three parts whose sources have no key in common.

    ``left_out`` counts, by reason, the pairs that fell on the test's side but are in no part.
    """

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]
    left_out: dict[str, int]


EQUAL_SIDES = "both sides equal"
TARGET_SEEN = "target seen in training"


def hold_out(pairs: Iterable[Pair], *, test_share: float, valid_share: float, salt: str) -> Split:
    """Split ``pairs`` by the bucket of their source's key; the shares are of all keys.

    A test source is left out, with all its targets, if one of its pairs has equal sides, or a target whose key is among
    the targets of the training or the validation part: such a pair can be got right by copying or by recall.
    """
    train: list[Pair] = []
    valid: list[Pair] = []
    test: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        source_key = key(pair.source)
        place = bucket(source_key, salt)
        if place < test_share:
            test[source_key].append(pair)
        elif place < test_share + valid_share:
            valid.append(pair)
        else:
            train.append(pair)
    seen = {key(pair.target) for part in (train, valid) for pair in part}
    kept: list[Pair] = []
    left_out = {EQUAL_SIDES: 0, TARGET_SEEN: 0}
    for group in test.values():
        if any(folded(pair.source) == folded(pair.target) for pair in group):
            left_out[EQUAL_SIDES] += len(group)
        elif any(key(pair.target) in seen for pair in group):
            left_out[TARGET_SEEN] += len(group)
        else:
            kept.extend(group)
    return Split(train, valid, kept, left_out)


@dataclass(frozen=True)
class Holdout:
    """The rule that holds pairs out of a corpus: ``holdout(source)`` is True for the pairs to set aside.

    It looks at the source alone, so it can be asked pair by pair, in any order and by any process, and all pairs of a
    source fall on one side.
    """

    salt: str
    threshold: float  # a source is set aside if its bucket is below
    identify: Callable[[str], str]  # ``key``, or ``folded`` where keys are too coarse

    def __call__(self, source: str) -> bool:
        return bucket(self.identify(source), self.salt) < self.threshold


def choose_holdout(sources: Iterable[str], wanted: int, salt: str = "valid") -> Holdout:
    """The rule that sets about ``wanted`` pairs aside, never more unless a single source has more.

    Sources are told apart by their ``key``. Where that is too coarse to come near the wanted number (dates or sums, of
    which little is left without digits), they are told apart by the folded text.

    Raises:
        DataError: all sources are one and the same, so there is nothing to set aside.
    """
    by_key, by_text = _Lowest(wanted), _Lowest(wanted)
    for source in sources:
        by_key.add(bucket(key(source), salt))
        by_text.add(bucket(folded(source), salt))
    found = by_key.threshold()
    if found is not None and found[1] in range(wanted // 2, 2 * wanted + 1):
        return Holdout(salt, found[0], key)
    found = by_text.threshold()
    if found is None:
        raise DataError(
            f"{by_text.seen} training pairs, all of one source: expected at least 2 different sources to hold a "
            "validation part out of them; give a validation set of its own (--valid-source and --valid-target)"
        )
    return Holdout(salt, found[0], folded)


class _Lowest:
    """The lowest buckets of a stream with their counts: those that hold ``wanted`` entries, and the next.

    Memory depends on ``wanted`` alone, however long the stream is.
    """

    def __init__(self, wanted: int, slack: int = 100_000) -> None:
        self.seen = 0
        self._wanted = wanted
        self._slack = slack  # entries that are gathered at a time, at least
        self._recent = array("d")
        self._places = np.zeros(0)
        self._counts = np.zeros(0, dtype=np.int64)
        self._highest = math.inf  # of what can still matter

    def add(self, place: float) -> None:
        """One more entry, by its bucket."""
        self.seen += 1
        if place <= self._highest:
            self._recent.append(place)
            if len(self._recent) >= self._wanted + self._slack:
                self._gather()

    def threshold(self) -> tuple[float, int] | None:
        """The bucket below which at most ``wanted`` entries lie, or all of the lowest bucket; and how many lie below.
        None if there is only one bucket."""
        self._gather()
        if len(self._places) < 2:
            return None
        below = np.clip(self._fitting(), 1, len(self._places) - 1)
        return float(self._places[below]), int(self._counts[:below].sum())

    def _fitting(self) -> int:
        """How many buckets fit into ``wanted``."""
        return int(np.searchsorted(np.cumsum(self._counts), self._wanted, side="right"))

    def _gather(self) -> None:
        places, where = np.unique(np.concatenate([self._places, self._recent]), return_inverse=True)
        ones = np.ones(len(self._recent), dtype=np.int64)
        counts = np.zeros(len(places), dtype=np.int64)
        np.add.at(counts, where, np.concatenate([self._counts, ones]))
        self._places, self._counts, self._recent = places, counts, array("d")
        kept = max(2, self._fitting() + 1)
        if kept < len(places):
            self._places, self._counts = places[:kept], counts[:kept]
            self._highest = float(places[kept - 1])


def near_copies(tests: Sequence[str], trainings: Iterable[str], threshold: Fraction = Fraction(4, 5)) -> list[int]:
    """Indices of the ``tests`` that are near-copies of one of the ``trainings``: exact, without comparing all pairs.

    Two texts are near-copies if the word sets of their keys have a Jaccard index of at least ``threshold``:
    ``shared / (distinct words of both)``. Then they share at least ``ceil(threshold * size)`` words of either, so with
    each set's words sorted from rare to frequent, the first ``size - that + 1`` words of both have one in common.
    Only those prefixes are indexed and looked up (prefix filtering, Chaudhuri, Ganti & Kaushik, 2006).
    """
    known = list({words: None for text in trainings if (words := words_of(text))})
    frequency = Counter(word for words in known for word in words)

    def prefix(words: frozenset[str]) -> list[str]:
        rare_first = sorted(words, key=lambda word: (frequency[word], word))
        return rare_first[: len(words) - math.ceil(threshold * len(words)) + 1]

    holders: dict[str, list[int]] = defaultdict(list)
    for number, words in enumerate(known):
        for word in prefix(words):
            holders[word].append(number)

    def has_near_copy(words: frozenset[str]) -> bool:
        candidates = {number for word in prefix(words) for number in holders.get(word, ())}
        return any(_jaccard(words, known[number]) >= threshold for number in candidates)

    return [index for index, text in enumerate(tests) if (words := words_of(text)) and has_near_copy(words)]


def words_of(text: str) -> frozenset[str]:
    """The distinct words of the key of ``text``; in scripts without spaces, its distinct characters."""
    return frozenset(_WORD.findall(key(text)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> Fraction:
    shared = len(one & other)
    return Fraction(shared, len(one) + len(other) - shared)
