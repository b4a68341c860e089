"""Vocabularies: round trips, special tokens, bounds, files."""

import json
import random
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer

from henkan.errors import DataError, StorageError
from henkan.text import tokenizer as module
from henkan.text.learning import draw, learn
from henkan.text.marks import Marks
from henkan.text.normalise import normalise
from henkan.text.tokenizer import END, PAD, SPECIAL_TOKENS, START, UNKNOWN, Tokenizer, TokenizerConfig

KINDS = ("bpe", "unigram", "wordpiece", "byte_bpe", "word", "character")
SUBWORDS = ("bpe", "unigram", "wordpiece")
CHARACTERWISE = (*SUBWORDS, "word", "character")
TEXTS = [
    "A man in a blue shirt is standing on a ladder, cleaning a window.",
    "Ein Mann in einem blauen Hemd steht auf einer Leiter (links) und putzt ein Fenster!",
    "It costs 3,50 € in 2016 and 47.10 $ in 1997; 50 % less than 8 or 9 <others>.",
    "彼は明日私を訪ねてくれるでしょう。「がんばって」と言った。",
    "明日、東京で会いましょう。２０時ごろ。",
    "naïve café, déjà-vu: “quoted” – and so on…",
] * 5
CHARACTERS = "".join(sorted(set("".join(TEXTS))))


@pytest.fixture(scope="module")
def learnt() -> dict[str, Tokenizer]:
    return {kind: learn(TokenizerConfig(kind=kind, vocabulary=300), TEXTS) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_texts_survive(learnt: dict[str, Tokenizer], kind: str):
    ids = learnt[kind].encode(TEXTS)
    assert learnt[kind].decode(ids) == TEXTS
    assert min(map(min, ids)) > END, "a known text has no special token"
    assert max(map(max, ids)) < learnt[kind].size


@given(st.lists(st.text(CHARACTERS.replace(" ", ""), min_size=1, max_size=12), min_size=1, max_size=8).map(" ".join))
@pytest.mark.parametrize("kind", [*SUBWORDS, "character"])
def test_any_text_of_known_characters_survives(learnt: dict[str, Tokenizer], kind: str, text: str):
    text = normalise(text)
    assert learnt[kind].decode(learnt[kind].encode([text])) == [text]


@given(st.lists(st.text(CHARACTERS + " ▁\u0301x\t\u00a0", max_size=20), max_size=4))
@pytest.mark.parametrize("kind", SUBWORDS)
def test_words_that_were_looked_up_have_the_ids_that_the_library_gives(
    learnt: dict[str, Tokenizer], kind: str, texts: list[str]
):
    library = LibraryTokenizer.from_str(learnt[kind]._library.to_str())
    library.encode_special_tokens = True
    expected = [encoding.ids for encoding in library.encode_batch(texts, add_special_tokens=False)]
    assert learnt[kind].encode(texts) == expected
    assert learnt[kind].encode(texts) == expected, "now every word is known"


def test_not_every_word_is_remembered(learnt: dict[str, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    tokenizer = Tokenizer(learnt["bpe"]._library)
    texts = [f"word{number} and {number}" for number in range(30)]
    rows = [tokenizer.encode([text])[0] for text in texts]
    assert len(tokenizer._known) <= 10
    assert rows == learnt["bpe"].encode(texts)
    long = "人" * 100
    assert tokenizer.encode([f"a {long} b"]) == learnt["bpe"].encode([f"a {long} b"])
    assert long not in tokenizer._known and "a" in tokenizer._known, "a line without spaces hardly comes again"


@pytest.mark.parametrize("kind", SUBWORDS)
def test_pieces_cross_no_punctuation_and_no_digit(learnt: dict[str, Tokenizer], kind: str):
    pieces = learnt[kind].pieces(range(4, learnt[kind].size))
    bare = [piece.replace("▁", "") for piece in pieces]
    mixed = [
        piece
        for piece in bare
        if len(piece) > 1 and any(c.isdigit() or c in ".,;:!?()<>%$「」。、“”…–-" for c in piece)
    ]
    assert not mixed, f"pieces of more than one character with punctuation or digits: {mixed}"
    assert any(len(piece) > 1 for piece in bare), "something was merged at all"
    assert learnt[kind].pieces(learnt[kind].encode(["3,50"])[0])[-3:] == [",", "5", "0"]


def test_one_token_a_character(learnt: dict[str, Tokenizer]):
    assert learnt["character"].pieces(learnt["character"].encode(["A 3。"])[0]) == ["A", "▁", "3", "。"]


def test_characters_that_never_occur_take_no_entry():
    assert learn(TokenizerConfig(kind="character"), ["ABBA", "CAB"]).pieces(range(4, 7)) == ["A", "B", "C"]
    assert learn(TokenizerConfig(kind="character"), ["ABBA", "CAB"]).size == 7, "no space, so none in the vocabulary"


def test_words_stand_between_spaces(learnt: dict[str, Tokenizer]):
    tokens = learnt["word"].encode(["A  window. neverseen A"])[0]
    assert learnt["word"].pieces(tokens) == ["A", "window.", "<unk>", "A"]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "character"])
def test_each_unknown_character_is_one_unknown(learnt: dict[str, Tokenizer], kind: str):
    known, mixed = learnt[kind].encode(["明日東京", "明日ЖЪ東京"])
    assert mixed.count(UNKNOWN) == 2, "two unknown characters, and the known ones around them stay"
    assert learnt[kind].decode([mixed]) == ["明日<unk><unk>東京"]
    assert UNKNOWN not in known


def test_a_run_of_unknown_characters_is_one_unknown_for_unigram(learnt: dict[str, Tokenizer]):
    assert learnt["unigram"].decode(learnt["unigram"].encode(["明日ЖЪ東京"])) == ["明日<unk>東京"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_text_are_text(learnt: dict[str, Tokenizer], kind: str):
    for token in SPECIAL_TOKENS:
        ids = learnt[kind].encode([f"a {token} {token}b"])[0]
        assert not {PAD, START, END} & set(ids), f"{token} in a text became a special token"


def test_special_tokens_in_the_texts_learnt_from():
    texts = ["<unk> of the </s> and <pad> in <s>"] * 9
    for kind in KINDS:
        assert learn(TokenizerConfig(kind=kind), texts).pieces(range(4)) == list(SPECIAL_TOKENS)


@pytest.mark.parametrize("kind", KINDS)
def test_decode_stops_at_end_and_skips_padding(learnt: dict[str, Tokenizer], kind: str):
    ids = learnt[kind].encode(["A man"])[0]
    rows = [[START, *ids, END, *ids, PAD], [PAD, *ids], [END], []]
    assert learnt[kind].decode(rows) == ["A man", "A man", "", ""]


def test_texts_are_normalised(learnt: dict[str, Tokenizer]):
    for kind in KINDS:
        composed, decomposed = learnt[kind].encode(["café がんばって", "cafe\u0301 か\u3099んばって"])
        assert composed == decomposed, f"{kind}: two spellings of the same characters got different ids"


@pytest.mark.parametrize(
    ("kind", "vocabulary"), [*product(CHARACTERWISE, (8, 20, 100)), ("byte_bpe", 260), ("byte_bpe", 270)]
)
def test_vocabulary_is_an_upper_bound(kind: str, vocabulary: int):
    tokenizer = learn(TokenizerConfig(kind=kind, vocabulary=vocabulary), TEXTS)
    assert 4 < tokenizer.size <= vocabulary
    assert len(tokenizer.encode(TEXTS)) == len(TEXTS)


def test_rare_characters_stay_unknown_where_there_is_no_room():
    tokenizer = learn(TokenizerConfig(vocabulary=8), ["aaa bbb c"] * 3)  # ▁, a and b occur most, then c
    assert tokenizer.pieces(range(4, tokenizer.size)) == ["a", "b", "c", "▁"]
    tokenizer = learn(TokenizerConfig(vocabulary=8), ["aaaa bbbb ccc dd"] * 3)
    assert UNKNOWN in tokenizer.encode(["dd"])[0]
    assert UNKNOWN not in tokenizer.encode(["ab c"])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_learning_is_deterministic(kind: str, tmp_path: Path):
    files = []
    for name in ("a", "b"):
        learn(TokenizerConfig(kind=kind, vocabulary=280), iter(TEXTS)).save(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.process
def test_learning_is_deterministic_across_processes(tmp_path: Path):
    code = """if True:
        import sys; from pathlib import Path
        from henkan.text.learning import learn
        from henkan.text.tokenizer import TokenizerConfig
        texts = Path(sys.argv[1]).read_text(encoding="utf-8").split("\\n")
        for kind in ("bpe", "unigram", "byte_bpe"):
            learn(TokenizerConfig(kind=kind, vocabulary=300), texts).save(Path(f"{sys.argv[2]}.{kind}"))
    """
    (tmp_path / "texts").write_text("\n".join(TEXTS), encoding="utf-8")
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, tmp_path / "texts", tmp_path / name], check=True)
    for kind in ("bpe", "unigram", "byte_bpe"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_a_sample_is_even_and_bounded():
    drawn = draw((str(number) for number in range(10_000)), 500)
    assert len(drawn) == len(set(drawn)) == 500
    assert 4_300 < sum(map(int, drawn)) / 500 < 5_700, "from everywhere, not from one end"
    assert draw(iter("abc"), 500) == ["a", "b", "c"]


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_nothing_to_learn_from(texts: list[str]):
    with pytest.raises(DataError, match="no text to learn"):
        learn(TokenizerConfig(), texts)


@pytest.mark.parametrize("vocabulary", [3, 2_000_000])
def test_an_impossible_vocabulary_is_refused(vocabulary: int):
    with pytest.raises(ValueError, match="vocabulary"):
        TokenizerConfig(vocabulary=vocabulary)


def test_half_a_surrogate_pair_is_refused(learnt: dict[str, Tokenizer]):
    with pytest.raises(DataError, match="text 2 holds half of a surrogate pair at character 3"):
        learnt["bpe"].encode(["fine", "ab\ud800"])


def test_a_very_long_word_takes_no_quadratic_time(learnt: dict[str, Tokenizer]):
    for kind in KINDS:
        assert sum(map(len, learnt[kind].encode(["ab" * 100_000]))) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(learnt: dict[str, Tokenizer], kind: str, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text("an older one")
    learnt[kind].save(path)
    loaded = Tokenizer.load(path)
    strange = [*TEXTS, "ЖЪ </s> 語  x", ""]
    assert loaded.encode(strange) == learnt[kind].encode(strange)
    assert loaded.size == learnt[kind].size
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"], "no temporary file is left"


def test_save_to_a_place_that_is_not_there(learnt: dict[str, Tokenizer], tmp_path: Path):
    with pytest.raises(StorageError, match="cannot write the vocabulary"):
        learnt["bpe"].save(tmp_path / "missing" / "tokenizer.json")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a vocabulary"),
        (b"\xff\xfe\x00", "not a vocabulary"),
        (b"the\nof\nand\n", "not a vocabulary"),
        (b"[1, 2]", "no JSON object"),
        (b'{"model": {"type": "BPE"}}', "not a vocabulary"),
        (b"[" * 100_000, "not a vocabulary"),
    ],
)
def test_a_file_that_is_no_vocabulary(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_a_vocabulary_of_somebody_else(learnt: dict[str, Tokenizer], tmp_path: Path):
    learnt["word"].save(tmp_path / "tokenizer.json")
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["<s>"], vocabulary["</s>"] = vocabulary["</s>"], vocabulary["<s>"]
    (tmp_path / "swapped.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="<s> at id 3; expected 2"):
        Tokenizer.load(tmp_path / "swapped.json")
    vocabulary["<s>"], vocabulary["</s>"], vocabulary["A"] = 2, 3, 1_000_000_000
    (tmp_path / "holes.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="ids of the vocabulary are not 0 to"):
        Tokenizer.load(tmp_path / "holes.json")


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="cannot read the vocabulary"):
        Tokenizer.load(tmp_path / "missing.json")
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1 << 20)
    (tmp_path / "large.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(DataError, match="over 1 MiB"):
        Tokenizer.load(tmp_path / "large.json")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_our_error_or_a_working_vocabulary(learnt: dict[str, Tokenizer], kind: str, tmp_path: Path):
    learnt[kind].save(tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_bytes()
    generator = random.Random(7)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[generator.randrange(len(damaged))] = generator.choice(b'019"{}[],:x')
        (tmp_path / "damaged.json").write_bytes(damaged)
        try:
            tokenizer = Tokenizer.load(tmp_path / "damaged.json")
        except DataError:
            continue
        tokenizer.decode(tokenizer.encode(TEXTS[:6]))


def test_the_library_reads_our_file(learnt: dict[str, Tokenizer], tmp_path: Path):
    learnt["bpe"].save(tmp_path / "tokenizer.json")
    theirs = LibraryTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(TEXTS[0], add_special_tokens=False).ids == learnt["bpe"].encode(TEXTS[:1])[0]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "word", "character"])
def test_mask_and_sentinels_follow_the_first_four_and_are_never_read_in_a_text(kind, tmp_path):
    texts = ["a small house by the sea", "the sea <mask> and <extra_0> the house"] * 20
    learn(TokenizerConfig(kind=kind, vocabulary=60, mask=True, sentinels=2), texts).save(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.marks == Marks(PAD, UNKNOWN, START, END, 4, (5, 6), 7, tokenizer.size)
    assert tokenizer.pieces([4, 5, 6]) == ["<mask>", "<extra_0>", "<extra_1>"]
    ids = tokenizer.encode(["<mask> <extra_0> <extra_1> house"])[0]
    assert not set(ids) & set(range(2, 7))
    plain = learn(TokenizerConfig(kind=kind, vocabulary=60), texts).marks
    assert (plain.mask, plain.sentinels, plain.first) == (None, (), 4)
