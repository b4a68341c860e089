"""Byte-pair encoding over bytes: every text comes back, and the ids are those of the library."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from henkan.inspection.attention import word_starts
from henkan.presets import families
from henkan.tasks.survey import USUAL
from henkan.text import byte_level
from henkan.text.extension import extended, parts
from henkan.text.learning import learn
from henkan.text.normalise import normalise
from henkan.text.tokenizer import END, SPECIAL_TOKENS, UNKNOWN, Tokenizer, TokenizerConfig

TEXTS = [
    "The weather was lovely; the children played at the river until dark!",
    "It's 3,50 € for café and 1997 more, isn't it?",
    "def read(path):\n    with path.open() as file:\n\n        return file.read()",
    "彼は明日私を訪ねてくれるでしょう。「がんばって」と言った。",
    "明日、東京で会いましょう。２０時ごろ。",
] * 5
DIFFICULT = [
    "",
    " ",
    "   ",
    " leading and trailing ",
    "two  spaces,   three and\ttabs\t\tand \n new lines\r\n\n",
    "emoji 🙂👩‍👩‍👧 and flags 🇯🇵",
    "か\u3099んば and cafe\u0301 and a mark alone \u0301 here",
    "half ｶﾞ width, full Ｗｉｄｔｈ,\u3000wide space,\u00a0hard\u2028space",
    "</s> <pad><mask> <extra_0> <unk>",
    "\x00\x1c\x1d control \ufeff\ufffd\U0010fffd",
    "ĠĊ and ▁ are characters",
    "don't DON'T 's 't'll",
    "a" * 3000,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(TokenizerConfig(kind="byte_bpe", vocabulary=340, mask=True, sentinels=2), TEXTS)


@pytest.mark.parametrize("text", DIFFICULT)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str):
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode([ids]) == [normalise(text)]
    assert min(ids, default=tokenizer.marks.first) >= tokenizer.marks.first, "nothing is special or unknown"
    assert UNKNOWN < END < tokenizer.marks.first


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_text_comes_back(tokenizer: Tokenizer, texts: list[str]):
    assert tokenizer.decode(tokenizer.encode(texts)) == [normalise(text) for text in texts]


@given(st.lists(st.text("ab1' \t\n\u00a0\u3000\u0301\x1c\u200b\u2028あ🙂.", max_size=12), max_size=6))
def test_parts_that_were_looked_up_have_the_ids_that_the_library_gives(tokenizer: Tokenizer, texts: list[str]):
    library = LibraryTokenizer.from_str(tokenizer.library.to_str())
    library.encode_special_tokens = True
    expected = [encoding.ids for encoding in library.encode_batch(texts, add_special_tokens=False)]
    assert tokenizer.encode(texts) == expected
    assert tokenizer.encode(texts) == expected, "now every part is known"


def by_the_library(vocabulary: int) -> LibraryTokenizer:
    """Learnt as GPT-2's was, but for the form of characters and the longest token."""
    library = LibraryTokenizer(models.BPE())
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        max_token_length=48,
        show_progress=False,
    )
    library.train_from_iterator(TEXTS, trainer)
    return library


def test_ids_are_those_of_the_library():
    ours, theirs = learn(TokenizerConfig(kind="byte_bpe", vocabulary=400), TEXTS), by_the_library(400)
    assert ours.library.get_vocab() == theirs.get_vocab()
    assert max(map(len, theirs.get_vocab())) > 5, "something was joined"
    texts = [text for text in DIFFICULT if not set(SPECIAL_TOKENS) & set(text.split())] + TEXTS
    assert ours.encode(texts) == [encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=False)]


def test_no_word_is_cut_off_that_the_library_would_not():
    """Somebody else's vocabulary may put a space before a text, or look for tokens in all of it."""
    library = by_the_library(300)
    assert byte_level.cuts_before_spaces(library)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert not byte_level.cuts_before_spaces(library)
    library = by_the_library(300)
    library.add_tokens(["the river"])
    assert not byte_level.cuts_before_spaces(library)
    assert len(Tokenizer(library).encode(["the river"])[0]) == 1


def test_the_bytes_of_a_vocabulary_are_those_of_the_library():
    decoder = decoders.ByteLevel()
    for byte in range(128):
        (written,) = (
            piece for piece in pre_tokenizers.ByteLevel.alphabet() if byte_level.in_bytes(piece) == bytes([byte])
        )
        assert decoder.decode([written]) == chr(byte)
    assert sorted(map(byte_level.in_bytes, pre_tokenizers.ByteLevel.alphabet())) == [bytes([b]) for b in range(256)]


def test_what_is_shown_of_a_text_is_the_text(tokenizer: Tokenizer):
    text = "emoji 🙂 and 鬱 é"
    (ids,) = tokenizer.encode([text])
    shown = tokenizer.readable(ids)
    assert "".join(shown) == text.replace(" ", "▁")
    assert len(shown) == len(ids)
    assert "Ġ" not in "".join(shown)
    words = [shown[place] for place in word_starts(shown)]
    assert len(words) == len(text.split())
    whole = tokenizer.encode(["🙂"])[0]
    assert tokenizer.readable(whole[:-1])[-1] == "\ufffd", "a character that is not complete"
    assert tokenizer.readable([2, 4, 3]) == ["<s>", "<mask>", "</s>"]
    assert tokenizer.readable([]) == []


@pytest.mark.parametrize(("mask", "sentinels", "least"), [(False, 0, 260), (True, 0, 261), (True, 100, 361)])
def test_a_vocabulary_without_room_for_all_bytes_is_refused(mask: bool, sentinels: int, least: int):
    settings = {"kind": "byte_bpe", "mask": mask, "sentinels": sentinels}
    with pytest.raises(
        ValidationError, match=rf"vocabulary {least - 1} is too small for kind 'byte_bpe'.* are {least}"
    ):
        TokenizerConfig(**settings, vocabulary=least - 1)
    found = learn(TokenizerConfig(**settings, vocabulary=least), TEXTS)
    assert found.size == least
    assert found.decode(found.encode(DIFFICULT)) == [normalise(text) for text in DIFFICULT]


def test_more_tokens(tokenizer: Tokenizer):
    texts = ["the myocardial infarct of a myocardium", "心筋梗塞と心筋炎", "\U0001f600"] * 9
    new = extended(tokenizer, texts, 40, 1000)
    added = new.pieces(range(tokenizer.size, new.size))
    assert "Ġmyocardi" in added
    assert "心筋" in new.readable(range(tokenizer.size, new.size))
    assert ["".join(tokenizer.pieces(cut)) for cut in parts(tokenizer, new)] == added
    assert new.decode(new.encode([*texts, *DIFFICULT])) == [normalise(text) for text in [*texts, *DIFFICULT]]


@pytest.mark.parametrize("name", ["roberta", "gpt2", "bart"])
def test_the_families_that_have_bytes(name: str):
    family = families.find(name)
    assert TokenizerConfig(**family.vocabulary).kind == "byte_bpe"
    if "pairs" in family.tasks:
        few = replace(USUAL, pairs=100)
        source = family.pairs().sizes["mini"](few)["vocabulary"]["source"]
        assert TokenizerConfig(**source).kind == "byte_bpe", "room for all bytes, however little is learnt from"
