"""Vocabularies of files: which ids play which part, and that texts get the tokens that the file's owner gives them."""

import pytest
import tokenizers
import vocabularies
from tokenizers import models, pre_tokenizers

from henkan.errors import DataError, FolderError
from henkan.text.learning import learn
from henkan.text.tokenizer import SPECIAL_TOKENS, TokenizerConfig
from henkan.text.vocabulary import make_vocabulary, read_vocabulary, settings_of

TEXTS = ["The food was good, and birds ate it.", "naïve old books"]
FOUND = {
    "wordpiece": ("wordpiece", True, 0),
    "roberta": ("byte_bpe", True, 0),
    "gpt2": ("byte_bpe", False, 0),
    "deberta": ("unigram", True, 0),
    "t5": ("unigram", False, 5),
    "marian": ("unigram", False, 0),
}


def saved(library, tmp_path):
    library.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.parametrize("name", FOUND)
def test_texts_get_the_tokens_of_the_file(name, tmp_path):
    library = getattr(vocabularies, name)()
    path = saved(library, tmp_path)
    tokenizer = make_vocabulary(TokenizerConfig(file=path), iter(()))
    assert tokenizer.pieces(range(4)) == list(SPECIAL_TOKENS)
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    unknown = {"[UNK]", "<unk>"}
    for text, ids in zip(TEXTS, tokenizer.encode(TEXTS), strict=True):
        theirs = map(library.id_to_token, library.encode(text, add_special_tokens=False).ids)
        assert [piece for piece in tokenizer.pieces(ids) if piece not in unknown] == [
            piece for piece in theirs if piece not in unknown
        ]
        assert not set(ids) & {0, 2, 3}
    kind, mask, sentinels = FOUND[name]
    found = {"kind": kind, "vocabulary": tokenizer.size, "mask": mask, "sentinels": sentinels}
    assert settings_of(tokenizer) == found
    TokenizerConfig(**found, file=path)


@pytest.mark.parametrize(("name", "more"), [("roberta", 0), ("gpt2", 3), ("t5", 1), ("wordpiece", 0)])
def test_a_part_without_a_token_is_a_new_one(name, more, tmp_path):
    library = getattr(vocabularies, name)()
    assert read_vocabulary(saved(library, tmp_path)).size == library.get_vocab_size() + more


def test_a_file_of_ours_is_taken_as_it_is(tmp_path):
    for kind in ("byte_bpe", "word", "unigram"):
        ours = learn(TokenizerConfig(kind=kind, vocabulary=300, mask=True, sentinels=3), TEXTS * 3)
        ours.save(tmp_path / "tokenizer.json")
        assert read_vocabulary(tmp_path / "tokenizer.json") == ours
        assert settings_of(ours) == {"kind": kind, "vocabulary": ours.size, "mask": True, "sentinels": 3}


def test_files_that_cannot_be_used(tmp_path):
    library = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(DataError, match=r"tokenizer\.json: which token ends a text is not said"):
        read_vocabulary(saved(library, tmp_path))
    with pytest.raises(FolderError, match=r"missing\.json: cannot be read as a vocabulary"):
        read_vocabulary(tmp_path / "missing.json")
