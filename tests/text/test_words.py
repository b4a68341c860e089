"""Which tokens are one word, in vocabularies of all forms; BERT's own splitter says what words are."""

import unicodedata

import numpy as np
import pytest
import vocabularies
from tokenizers import normalizers, pre_tokenizers

from henkan.data import noise
from henkan.tensors import IGNORE
from henkan.text.learning import learn
from henkan.text.renumbering import find_parts, renumber
from henkan.text.tokenizer import TokenizerConfig
from henkan.text.words import find_words

LINES = [
    "the lowest tower, lower towers; (the newest)",
    "it 'was' slow: 3,50 or 47 … “towing” lowers-the tower!",
    "東京 tower は 高い。tower「東京」です、ねえ",
    "a \t b",
] * 5
JAPANESE = [
    "彼は明日私を訪ねてくれるでしょう。「がんばって」と言った。東京タワーは高いですね。",
    "ひらがなばかりのとてもながいぶんしょうはどこでことばがきれるのかわかりにくい",
    "カタカナノナガイナガイタンゴモオナジデス",
] * 5
SUBWORDS = ["bpe", "unigram", "wordpiece", "byte_bpe"]


def learnt(kind, lines, vocabulary=300):
    return learn(TokenizerConfig(kind=kind, vocabulary=vocabulary, mask=True), lines)


def words_of(tokenizer, text):
    """The text of each word."""
    ids = np.array(tokenizer.encode([text])[0])
    numbers = find_words(tokenizer).numbers(ids)
    assert (np.diff(numbers) >= 0).all()
    rows = np.split(ids, np.flatnonzero(np.diff(numbers)) + 1)
    return [tokenizer.decode([row.tolist()])[0].strip() for row in rows]


def by_bert(text):
    """What BERT's basic tokenizer makes of it."""
    clean = normalizers.BertNormalizer(lowercase=False, strip_accents=False).normalize_str(text)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(clean)]


def is_kana(character):
    return unicodedata.name(character, "").startswith(("HIRAGANA", "KATAKANA"))


@pytest.mark.parametrize("kind", SUBWORDS)
def test_words_are_those_of_bert_where_it_has_no_kana_to_cut(kind):
    tokenizer = learnt(kind, [line for line in LINES if not any(map(is_kana, line))], 300)
    for line in LINES[:2]:
        assert words_of(tokenizer, line) == by_bert(line)


@pytest.mark.parametrize("kind", SUBWORDS)
def test_ideographs_are_words_and_so_are_tokens_of_kana(kind):
    tokenizer = learnt(kind, [*LINES, "東京はだい塔を見た"] * 5)
    found = words_of(tokenizer, "東京 tower は高いtowerだ。塔")
    assert "".join(found) == "東京towerは高いtowerだ。塔"
    for word in ("tower", "。", "塔"):
        assert word in found
    assert found.count("tower") == 2
    assert all(len(word) == 1 or word in ("tower", "東京") or set(word) <= set("はいだねえです") for word in found)


@pytest.mark.parametrize("kind", SUBWORDS)
@pytest.mark.parametrize("vocabulary", [270, 400])
def test_as_much_of_unspaced_text_is_hidden_as_was_asked(kind, vocabulary):
    tokenizer = learnt(kind, JAPANESE, vocabulary)
    words = find_words(tokenizer)
    hidden = total = 0
    for line in JAPANESE[:3]:
        ids = np.array(tokenizer.encode([line * 9])[0])
        numbers = words.numbers(ids)
        if kind != "byte_bpe":  # there a token may begin inside a character, again and again
            assert np.bincount(numbers).max() <= 2, "no word is a sentence"
        for seed in range(400):
            rng = np.random.default_rng(seed)
            labels = noise.mask_tokens(ids, rng, 4, tokenizer.marks.ordinary, words=numbers)[1]
            hidden, total = hidden + (labels != IGNORE).sum(), total + len(ids)
    assert hidden / total == pytest.approx(0.15, abs=0.005)


def test_a_character_in_bytes_is_one_word():
    tokenizer = learnt("byte_bpe", ["abc"], 270)
    assert words_of(tokenizer, "塔を見") == ["塔", "を", "見"]
    assert words_of(tokenizer, "naïve größe, Жизнь") == ["naïve", "größe", ",", "Жизнь"]
    assert words_of(tokenizer, "if a:\n\tb  c\n") == ["if", "a", ":", "", "", "b", "c", ""]


def test_words_are_words_and_characters_do_not_say():
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=60), LINES)
    assert words_of(tokenizer, "slow: towers; 東京") == ["slow:", "towers;", "東京"]
    tokenizer = learn(TokenizerConfig(kind="character", vocabulary=60), LINES)
    assert len(words_of(tokenizer, "the tower")) == 9


@pytest.mark.parametrize("name", ["wordpiece", "roberta", "gpt2", "deberta", "t5"])
def test_vocabularies_of_others(name, tmp_path):
    library = getattr(vocabularies, name)()
    special = {"pad": 0, "decoder_start": 0, "eos": 1} if name == "t5" else {"bos": 300, "eos": 300}
    parts = find_parts(library, special, decodes=name in ("t5", "gpt2"), place=tmp_path)
    tokenizer = renumber(library, parts, library.get_vocab_size(), tmp_path).tokenizer
    text = "the children played, and a man read about birds; the river was dark!"
    assert words_of(tokenizer, text) == by_bert(text)


def test_what_follows_a_mark_begins_a_word():
    tokenizer = learnt("byte_bpe", LINES)
    first, second = tokenizer.encode(["tower", "tow"])
    numbers = find_words(tokenizer).numbers(np.array([2, *first, 3, *second, 3]))
    inner = len(first)
    assert len(set(numbers[: inner + 2])) == 3
    assert numbers[inner + 2] > numbers[inner + 1]


@pytest.mark.parametrize("kind", SUBWORDS)
def test_headings_are_no_marks_of_a_vocabulary(kind):
    """Texts with ### and #### have entries that look like BERT's for what goes on with a word."""
    tokenizer = learnt(kind, [*LINES, "### tower", "#### tower", "##### towers"] * 3, 330)
    assert words_of(tokenizer, "the lowest tower") == ["the", "lowest", "tower"]
