"""Running text as integers, and how it is cut into examples."""

from typing import get_args

import numpy as np
import pytest
import vocabularies

from henkan.data import documents as module
from henkan.data.documents import Documents, write_documents
from henkan.data.passages import blocks, passages, sentence_pairs
from henkan.errors import DataError, FolderError
from henkan.text.learning import learn
from henkan.text.renumbering import find_parts, renumber
from henkan.text.tokenizer import TokenizerConfig

LINES = ["one two three", "four five", "", "", "six", "seven eight nine ten", "", "eleven"]


@pytest.fixture
def tokenizer():
    return learn(TokenizerConfig(kind="word", vocabulary=50), LINES)


@pytest.fixture
def documents(tmp_path, tokenizer):
    write_documents(tmp_path / "text", LINES, tokenizer)
    return Documents.open(tmp_path / "text")


def test_lines_and_documents_come_back(documents, tokenizer):
    assert len(documents) == 3
    assert documents.starts.tolist() == [0, 2, 4, 5]
    texts = tokenizer.decode([documents.line(number) for number in range(5)])
    assert texts == [line for line in LINES if line]
    assert tokenizer.decode([documents.span(2, 4)]) == ["six seven eight nine ten"]


def test_line_ends_can_be_text(tmp_path):
    tokenizer = learn(TokenizerConfig(kind="character", vocabulary=50), [f"{line}\n" for line in LINES])
    write_documents(tmp_path / "text", LINES, tokenizer, line_ends=True)
    documents = Documents.open(tmp_path / "text")
    assert len(documents) == 1
    assert tokenizer.decode([documents.tokens]) == ["\n".join(LINES) + "\n"]


def test_documents_can_end_with_a_mark(tmp_path, tokenizer):
    write_documents(tmp_path / "text", LINES, tokenizer, document_ends=True)
    documents = Documents.open(tmp_path / "text")
    ends = np.flatnonzero(documents.tokens == tokenizer.marks.end)
    assert ends.tolist() == (documents.lines[documents.starts[1:]] - 1).tolist()
    assert tokenizer.decode([documents.line(4)]) == ["eleven"]


TEXT = ["It was good.", " The end was better. ", "", "A new one", "goes on (and ends)."]
WHOLE = ["It was good. The end was better.", "A new one goes on (and ends)."]


def texts_of(tmp_path, tokenizer, **how):
    write_documents(tmp_path / "text", TEXT, tokenizer, **how)
    documents = Documents.open(tmp_path / "text")
    return tokenizer.decode(
        [documents.span(*documents.starts[number : number + 2]) for number in range(len(documents))]
    )


@pytest.mark.parametrize("kind", get_args(TokenizerConfig.model_fields["kind"].annotation))
def test_a_line_goes_on_with_a_space(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 1)
    tokenizer = learn(TokenizerConfig(kind=kind, vocabulary=280), TEXT)
    assert texts_of(tmp_path, tokenizer) == WHOLE
    assert tokenizer.decode(tokenizer.encode(WHOLE)) == WHOLE
    (tmp_path / "more").mkdir()
    assert texts_of(tmp_path / "more", tokenizer, document_ends=True) == WHOLE


@pytest.mark.parametrize("name", ["wordpiece", "roberta", "gpt2", "deberta", "t5"])
def test_so_it_does_in_vocabularies_of_others(tmp_path, name):
    library = getattr(vocabularies, name)()
    special = {"pad": 0, "decoder_start": 0, "eos": 1} if name == "t5" else {"bos": 300, "eos": 300}
    parts = find_parts(library, special, decodes=name in ("t5", "gpt2"), place=tmp_path)
    tokenizer = renumber(library, parts, library.get_vocab_size(), tmp_path).tokenizer
    found = texts_of(tmp_path, tokenizer)
    assert found == tokenizer.decode(tokenizer.encode(WHOLE))
    assert "good. The" in found[0] or name == "wordpiece"  # its decoder writes in lower case


def test_lines_that_are_texts_of_their_own_begin_as_such(tmp_path):
    tokenizer = learn(TokenizerConfig(kind="byte_bpe", vocabulary=280), TEXT)
    assert texts_of(tmp_path, tokenizer, apart=True) == [
        "It was good.The end was better.",
        "A new onegoes on (and ends).",
    ]
    documents = Documents.open(tmp_path / "text")
    assert documents.line(1).tolist() == tokenizer.encode(["The end was better."])[0]


def test_a_space_that_is_unknown_is_none(tmp_path):
    lines = ["彼は明日", "私を訪ねて"]
    tokenizer = learn(TokenizerConfig(kind="character", vocabulary=50), lines)
    write_documents(tmp_path / "text", lines, tokenizer)
    assert tokenizer.decode([Documents.open(tmp_path / "text").tokens]) == ["".join(lines)]


def test_damage_is_named(tmp_path, tokenizer):
    with pytest.raises(DataError, match="there is no text"):
        write_documents(tmp_path / "none", ["", " "], tokenizer)
    assert not list(tmp_path.iterdir())
    write_documents(tmp_path / "text", LINES, tokenizer)
    (tmp_path / "text" / "lines.npy").write_bytes(b"x")
    with pytest.raises(FolderError, match=r"lines\.npy"):
        Documents.open(tmp_path / "text")


def made_up(seed, documents=4, lines=60):
    """Documents of lines of 1 to 12 tokens; every token is its place."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 13, documents * lines)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return Documents(np.arange(ends[-1]), ends, np.arange(documents + 1) * lines)


def test_blocks_hold_every_token_once():
    cut = blocks(made_up(0), 50)
    assert cut.starts[0] == 0
    assert (cut.starts[1:] == cut.ends[:-1]).all()
    assert set((cut.ends - cut.starts)[:-1]) == {50}


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("length", [5, 12, 64])
def test_passages_hold_every_token_once_in_whole_lines(across, length):
    documents = made_up(1)
    cut = passages(documents, length, across)
    assert (cut.starts[1:] == cut.ends[:-1]).all()
    assert (cut.starts[0], cut.ends[-1]) == (0, len(documents.tokens))
    sizes = cut.ends - cut.starts
    assert sizes.min() > 0
    assert sizes.max() <= length
    if length >= 12:  # no line is longer
        assert set(cut.starts) <= set(documents.lines)
    borders = documents.lines[documents.starts[1:-1]]
    crossed = [border for border in borders for s, e in zip(cut.starts, cut.ends, strict=True) if s < border < e]
    assert not crossed or across
    if across:
        assert sizes.mean() > length / 2


def test_sentence_pairs_are_balanced_and_fit():
    documents = made_up(2)
    pairs = sentence_pairs(documents, 40, seed=1)
    sizes = (pairs.first.ends - pairs.first.starts) + (pairs.second.ends - pairs.second.starts)
    assert len(pairs) > 30
    assert sizes.max() <= 40
    assert sizes.min() >= 2
    assert abs(int(pairs.follows.sum()) * 2 - len(pairs)) <= 1
    behind = pairs.second.starts == pairs.first.ends
    assert (behind == pairs.follows).all()
    own = np.searchsorted(documents.lines[documents.starts], pairs.first.starts, side="right")
    other = np.searchsorted(documents.lines[documents.starts], pairs.second.starts, side="right")
    assert ((own == other) == pairs.follows).all()  # from another document, where there is one
    lines = set(documents.lines.tolist())
    assert set(pairs.first.starts) | set(pairs.second.starts) <= lines


def test_nothing_but_the_text_tells_strangers_from_followers():
    documents = made_up(4, documents=300, lines=40)
    pairs = sentence_pairs(documents, 60, seed=3)
    assert len(pairs) > 1000
    first, second = pairs.first, pairs.second
    lines = documents.lines
    for places in (first.starts, first.ends, second.starts, second.ends):
        assert np.isin(places, lines).all()
    borders = documents.lines[documents.starts]
    homes = np.searchsorted(borders, second.starts, side="right")
    assert (second.ends <= borders[homes]).all()  # one document
    assert np.abs(np.bincount(homes[~pairs.follows], minlength=301)[1:]).max() < 20  # of all documents
    sizes = second.ends - second.starts
    assert sizes[~pairs.follows].mean() == pytest.approx(sizes[pairs.follows].mean(), rel=0.05)
    assert ((first.ends - first.starts) + sizes).max() <= 60


def test_a_stranger_is_of_the_only_other_document():
    lengths = np.full(101, 6)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    documents = Documents(np.arange(ends[-1]), ends, np.array([0, 1, 101]))
    pairs = sentence_pairs(documents, 30, seed=1)
    assert (pairs.second.starts[~pairs.follows] == 0).all()


def test_a_long_line_is_cut():
    ends = np.array([0, 200, 203, 400, 402])
    pairs = sentence_pairs(Documents(np.arange(402), ends, np.array([0, 2, 4])), 20, seed=1)
    assert len(pairs) > 10
    assert ((pairs.first.ends - pairs.first.starts) + (pairs.second.ends - pairs.second.starts)).max() <= 20
    assert (pairs.second.ends > pairs.second.starts).all()


def test_sentence_pairs_of_one_document_come_from_apart():
    pairs = sentence_pairs(made_up(3, documents=1, lines=200), 40, seed=1)
    strangers = ~pairs.follows
    overlap = (pairs.second.starts < pairs.first.ends) & (pairs.second.ends > pairs.first.starts)
    assert not overlap[strangers].any()
    assert strangers.sum() > 10


def test_pairs_are_a_function_of_the_seed():
    first, again, other = (sentence_pairs(made_up(2), 40, seed) for seed in (1, 1, 2))
    assert (first.second.starts == again.second.starts).all()
    assert len(first) != len(other) or (first.second.starts != other.second.starts).any()
