"""A vocabulary that grew: what is cut otherwise and what is not, for each kind, and what each new token was before."""

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from henkan.errors import DataError
from henkan.text.extension import LEAST_COUNT, extended, parts
from henkan.text.learning import LONGEST_PIECE, learn
from henkan.text.tokenizer import SPACE, SPECIAL_TOKENS, Tokenizer, TokenizerConfig

OLD = ["the cat sat on the mat .", "a dog ran after the cat , and the hat fell in", "myope hat cards al ia"] * 20
NEW = ["myocardial  infarct , myocardial dial", "the cat has myocarditis", "é ☃ </s> <mask> 3,50", " myocardial "] * 10
RARE = ["zzyzx"] * (LEAST_COUNT - 1)
KINDS = ["bpe", "unigram", "wordpiece"]


def vocabularies(kind, most=30):
    old = learn(TokenizerConfig(kind=kind, vocabulary=70, mask=True, sentinels=3), OLD)
    return old, extended(old, [*NEW, *RARE], most, 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_tokens_stay_and_the_new_ones_come_behind(kind):
    old, new = vocabularies(kind)
    assert old.size < new.size <= old.size + 30
    assert new.pieces(range(old.size)) == old.pieces(range(old.size))
    assert (new.marks.mask, new.marks.sentinels, new.marks.first) == (4, (5, 6, 7), 8)
    assert new.marks.size == new.size
    added = new.pieces(range(old.size, new.size))
    assert f"{SPACE}myocardial" in added
    assert all(SPACE not in piece[1:] and len(piece) <= LONGEST_PIECE for piece in added)
    assert not any("zz" in piece for piece in added)
    assert extended(old, [*NEW, *RARE], 30, 1000) == new


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_tokens_say_exactly_the_same(kind):
    old, new = vocabularies(kind)
    texts = [*OLD[:3], *NEW[:4], "myocardially dialled", ""]
    before, after = old.encode(texts), new.encode(texts)
    assert new.decode(after) == old.decode(before)
    assert new.decode(new.encode(OLD[:3])) == OLD[:3]
    assert sum(map(len, after)) < 0.7 * sum(map(len, before))
    (whole,) = new.encode(["myocardial"])
    assert len(whole) == 1
    if kind != "wordpiece":  # there the longest piece decides, wherever the old borders were
        cuts = parts(old, new)
        opened = [
            [part for token in row for part in ([token] if token < old.size else cuts[token - old.size])]
            for row in after
        ]
        assert opened == before


@pytest.mark.parametrize("kind", KINDS)
def test_each_new_token_was_several_old_ones(kind):
    old, new = vocabularies(kind)
    for piece, cut in zip(new.pieces(range(old.size, new.size)), parts(old, new), strict=True):
        assert len(cut) > 1
        assert max(cut) < old.size
        assert "".join(old.pieces(cut)) == piece


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_and_extended_once_more(kind, tmp_path):
    old, new = vocabularies(kind, most=4)
    new.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json") == new
    more = extended(new, NEW, 4, 1000)
    assert new.size == old.size + 4
    assert more.size == new.size + 4
    assert more.decode(more.encode(NEW[:2])) == old.decode(old.encode(NEW[:2]))


def test_pieces_that_are_marked_inside_words():
    """BERT's form of WordPiece: ## before what does not begin a word."""
    words = ["<pad>", "<unk>", "<s>", "</s>", "my", "##o", "##car", "##dial", "##d", "car", "the"]
    library = tokenizers.Tokenizer(
        models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    library.normalizer, library.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    old = Tokenizer(library)
    new = extended(old, ["The myocardial car"] * 5, 10, 100)
    added = new.pieces(range(old.size, new.size))
    assert "myocardial" in added
    assert new.encode(["the myocardial"]) == [[10, old.size + added.index("myocardial")]]
    cuts = dict(zip(added, map(old.pieces, parts(old, new)), strict=True))
    assert cuts["myocardial"] == ["my", "##o", "##car", "##dial"]
    other = extended(old, ["o" + "cardial" * 2] + ["mycardial"] * 3 + ["mydcardial"] * 4, 2, 100)
    assert parts(old, other)[0] == [6, 7]
    assert other.pieces([old.size]) == ["##cardial"]


def test_pieces_of_bytes():
    """GPT-2's form of byte-pair encoding: a space is part of the word behind it, and nothing is unknown."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(OLD, trainer)
    old = Tokenizer(library)
    new = extended(old, NEW, 30, 100)
    texts = [*OLD[:3], *NEW[:4], "naïve 日本語 Größe"]
    assert new.decode(new.encode(texts)) == texts
    assert "Ġmyocardial" in new.pieces(range(old.size, new.size))
    assert new.encode(["x myocardial"])[0][-1] >= old.size
    assert ["".join(old.pieces(cut)) for cut in parts(old, new)] == new.pieces(range(old.size, new.size))


@pytest.mark.parametrize("kind", ["word", "character"])
def test_whole_words_have_no_pieces(kind):
    with pytest.raises(DataError, match="nothing is cut into pieces"):
        extended(learn(TokenizerConfig(kind=kind, vocabulary=50), OLD), NEW, 3, 100)


def test_vocabularies_that_do_not_belong_together():
    old, new = vocabularies("bpe")
    with pytest.raises(DataError, match="does not begin with the"):
        parts(new, old)
    with pytest.raises(DataError, match="there is no text"):
        extended(old, [], 3, 100)
