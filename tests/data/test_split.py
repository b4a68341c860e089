"""The split: what counts as the same source, on which side it falls, and the near-copies against brute force."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.data.example import Pair
from henkan.data.split import (
    EQUAL_SIDES,
    TARGET_SEEN,
    _Lowest,
    bucket,
    choose_holdout,
    core,
    folded,
    hold_out,
    key,
    near_copies,
    words_of,
)
from henkan.errors import DataError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Invalid host", "INVALID  host."),
        ("Zone 3 is open", "Zone 12 is open!"),
        ("{name} is offline", "{device_name} is offline"),
        ("%s is offline", "%1$s is offline"),
        ("%(name)s is offline", "${name} is offline"),
        ("Press <b>start</b> now", "Press start now"),
        ("See https://example.org/a?b=c for help", "See www.example.com for help"),
        ("The “host” – or IP", 'The "host" or IP'),
        ("Ｗｉ‐Ｆｉ", "WiFi"),
        ("'bout", "bout"),
        ("Straße", "STRASSE"),
        ("soft\u00adhyphen", "softhyphen"),
        ("[%key:common::host%] name", "name"),
    ],
)
def test_texts_that_differ_in_nothing_that_matters_have_one_key(one: str, other: str) -> None:
    assert key(one) == key(other), (key(one), key(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Battery low", "Battery full"),
        ("कि", "की"),  # vowel signs are no punctuation
        ("12", "13"),  # nothing but digits: the text itself is the key
        ("{a}", "{b}"),
        ("...", "!!!"),
        ("x < y and y > z", "x z"),  # no tag
    ],
)
def test_other_texts_have_other_keys(one: str, other: str) -> None:
    assert key(one) != key(other), key(one)


def test_core_is_empty_where_no_words_are_left() -> None:
    assert [core(text) for text in ("40%", "{name}", "<br>", "http://a.b", " ")] == [""] * 5
    assert key("40%") == "40%"


@given(st.text())
def test_a_key_is_folded_text_and_stable(text: str) -> None:
    assert key(text) == " ".join(key(text).split())
    assert key(f"  {text} ") == key(text)


def test_a_tag_is_found_in_linear_time() -> None:
    assert core("<" * 200_000 + "{" * 200_000) == ""


def test_buckets_are_fixed_uniform_and_depend_on_the_salt() -> None:
    # A golden: other machines and later versions must split in the same way.
    assert bucket("battery low", "henkan demo") == 0.7186629186907264
    places = np.array([bucket(f"text {number}", "a") for number in range(20_000)])
    counts, _ = np.histogram(places, bins=20, range=(0, 1))
    assert places.min() >= 0
    assert places.max() < 1
    assert ((counts - 1000) ** 2 / 1000).sum() < 50, "chi-square over 19 degrees of freedom: over 50 once in 10,000"
    others = np.array([bucket(f"text {number}", "b") for number in range(20_000)])
    assert abs(np.corrcoef(places, others)[0, 1]) < 0.03


def _corpus(count: int, seed: int) -> list[Pair]:
    random_words = random.Random(seed)
    nouns = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("ado", "eki", "ilo", "oma", "una")]
    pairs = []
    for line in range(1, count + 1):
        words = random_words.choices(nouns, k=random_words.randint(1, 3))
        target = words if random_words.random() < 0.1 else [word.upper()[::-1] for word in words]
        pairs.append(Pair(" ".join(words), " ".join(target[: random_words.randint(1, 3)]), line))
    return pairs


def test_the_three_parts_share_no_source_and_the_test_holds_nothing_easy() -> None:
    pairs = _corpus(4000, seed=1)
    split = hold_out(pairs, test_share=0.2, valid_share=0.1, salt="s")
    train, valid, test = ({key(pair.source) for pair in part} for part in (split.train, split.valid, split.test))
    assert not train & valid
    assert not train & test
    assert not valid & test
    seen = {key(pair.target) for pair in split.train + split.valid}
    for pair in split.test:
        assert key(pair.target) not in seen, pair
        assert folded(pair.source) != folded(pair.target), pair
    assert split.left_out[EQUAL_SIDES] > 0
    assert split.left_out[TARGET_SEEN] > 0
    parts = len(split.train) + len(split.valid) + len(split.test)
    assert parts + sum(split.left_out.values()) == len(pairs), "every pair is in a part or counted"
    assert len(split.test) + sum(split.left_out.values()) == pytest.approx(800, abs=150)
    assert len(split.valid) == pytest.approx(400, abs=120)


def test_the_split_depends_on_neither_order_nor_neighbours() -> None:
    pairs = _corpus(500, seed=2)
    whole = hold_out(pairs, test_share=0.2, valid_share=0.1, salt="s")
    reverse = hold_out(pairs[::-1], test_share=0.2, valid_share=0.1, salt="s")
    half = hold_out(pairs[:250], test_share=0.2, valid_share=0.1, salt="s")
    assert {pair.line for pair in whole.test} == {pair.line for pair in reverse.test}
    assert {pair.line for pair in half.train} == {pair.line for pair in whole.train if pair.line <= 250}


def test_a_source_is_left_out_with_all_its_targets() -> None:
    pairs = [Pair(f"word {letter}", f"ziel {letter}", 1) for letter in "abcdefghijklmnop"]
    place = {pair.source: bucket(key(pair.source), "s") for pair in pairs}
    lowest = min(pairs, key=lambda pair: place[pair.source])
    share = (place[lowest.source] + sorted(place.values())[1]) / 2
    trained = next(pair for pair in pairs if pair is not lowest)
    again = Pair(lowest.source.upper(), trained.target + ".", 99)
    split = hold_out([*pairs, again], test_share=share, valid_share=0.0, salt="s")
    assert split.test == []
    assert split.left_out[TARGET_SEEN] == 2
    assert hold_out(pairs, test_share=share, valid_share=0.0, salt="s").test == [lowest]


def test_a_holdout_comes_near_the_wanted_number_and_keeps_sources_together() -> None:
    sources = [f"sentence {chr(97 + number % 26)}{chr(97 + number // 26 % 26)} once" for number in range(2000)]
    rule = choose_holdout(sources, 100)
    held = [source for source in sources if rule(source)]
    assert rule.identify is key
    assert 50 <= len(held) <= 100, len(held)
    assert rule(held[0].upper() + "!")
    assert rule(held[0] + " 7")


def test_where_keys_are_too_coarse_texts_are_told_apart_as_they_are() -> None:
    sources = [
        f"{day} {month} {year}" for day in range(1, 29) for month in ("May", "June") for year in range(1990, 2000)
    ]
    rule = choose_holdout(sources, 20)
    held = [source for source in sources if rule(source)]
    assert len(held) == 20, "560 dates have two keys, 280 of each: neither is near 20"
    assert rule(held[0].upper())


def test_a_holdout_never_takes_all_or_nothing() -> None:
    for wanted in (0, 1, 2, 50):
        rule = choose_holdout(["one"] * 10 + ["two"], wanted)
        assert {rule("one"), rule("two")} == {True, False}, wanted
    for sources in ([], ["same"], ["same", "Same"]):
        with pytest.raises(DataError, match="at least 2 different sources"):
            choose_holdout(sources, 5)


def test_a_holdout_remembers_the_lowest_buckets_alone() -> None:
    """Against sorting them all, for streams that are gathered many times."""
    draw = np.random.default_rng(0)
    for wanted in (0, 1, 5, 300, 5000):
        for distinct in (1, 2, 50, 4000, 1 << 40):
            stream = draw.integers(0, distinct, 3000) / distinct
            lowest = _Lowest(wanted, slack=64)
            for place in stream.tolist():
                lowest.add(place)
            places, counts = np.unique(stream, return_counts=True)
            below = np.clip(np.searchsorted(np.cumsum(counts), wanted, side="right"), 1, max(1, len(places) - 1))
            expected = None if len(places) < 2 else (places[below], counts[:below].sum())
            assert lowest.threshold() == expected, f"{wanted} wanted of {distinct} distinct"
            assert lowest.seen == 3000
            assert len(lowest._places) <= max(2, wanted + 1)


def _brute_force(tests: list[str], trainings: list[str], threshold: Fraction) -> list[int]:
    def alike(one: frozenset[str], other: frozenset[str]) -> bool:
        return bool(one | other) and Fraction(len(one & other), len(one | other)) >= threshold

    return [
        index for index, test in enumerate(tests) if any(alike(words_of(test), words_of(other)) for other in trainings)
    ]


@pytest.mark.parametrize("threshold", [Fraction(1, 2), Fraction(2, 3), Fraction(4, 5), Fraction(9, 10), Fraction(1)])
def test_near_copies_are_those_of_brute_force(threshold: Fraction) -> None:
    draw = random.Random(int(threshold * 60))
    found = 0
    for _ in range(30):
        words = [f"w{chr(97 + number)}" for number in range(draw.randint(3, 24))]

        def sentence(words: list[str] = words) -> str:
            return " ".join(draw.choices(words, k=draw.randint(0, 12)))

        trainings = [sentence() for _ in range(60)]
        tests = [sentence() for _ in range(40)]
        expected = _brute_force(tests, trainings, threshold)
        assert near_copies(tests, trainings, threshold) == expected
        found += len(expected)
    assert found > 20, "the draw has something to find"


def test_exactly_four_fifths_is_a_near_copy() -> None:
    assert near_copies(["a b c d"], ["a b c d e"]) == [0]
    assert near_copies(["a b c"], ["a b c d"]) == []
    assert near_copies(["今日は天気"], ["今日は天気だ"]) == [0], "characters count where words have no spaces"


def test_many_near_copies_are_counted_fast() -> None:
    draw = random.Random(5)
    frequent = [f"f{chr(97 + number)}" for number in range(20)]
    trainings = [
        " ".join([*draw.choices(frequent, k=8), f"rare{chr(97 + n % 26)}{chr(97 + n // 26)}"]) for n in range(676)
    ]
    assert near_copies([text + " and" for text in trainings[:50]], trainings) == list(range(50))
