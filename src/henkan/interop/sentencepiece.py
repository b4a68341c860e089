"""The vocabulary of a published Marian: two SentencePiece models and the ids that both share (Kudo & Richardson 2018).

    source.spm, target.spm   pieces with scores, and how texts are normalised, as protocol buffers
    vocab.json               the id of every piece of both; where there is a target_vocab.json, of the source's

A protocol buffer is a list of fields, each a number, a type and a value; the few that are wanted are read here, by
``sentencepiece_model.proto``, https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from henkan.errors import FolderError
from henkan.folder import read_json
from henkan.text.tokenizer import MAX_FILE_BYTES, SPACE

LARGEST_VOCABULARY = 1_000_000
_ABSENT = -1e4
"""The score of a piece of the other language: it is taken only where a character would be unknown without it."""

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of a model
_PIECE, _SCORE, _TYPE = 1, 2, 3  # of a piece
_MODEL_TYPE, _UNIGRAM = 3, 1  # of the trainer
_CHARACTERS = 2  # of the normalizer: the compiled table of replacements
_NORMAL = 1  # a piece that texts contain


def read_marian(folder: Path) -> tuple[tokenizers.Tokenizer, tokenizers.Tokenizer]:
    """The tokenizers of source and target, whose ids are those of vocab.json, or the target's of target_vocab.json.

    Raises:
        FolderError: a file is missing, damaged, too large, or of another kind than unigram.
    """
    ids, own = _ids(folder / "vocab.json"), folder / "target_vocab.json"
    target_ids = _ids(own) if own.is_file() else ids
    return _library(folder / "source.spm", ids), _library(folder / "target.spm", target_ids)


def _ids(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise FolderError(
            f"{path}: missing, and there is no tokenizer.json either; copy vocab.json, source.spm and target.spm too"
        )
    ids = read_json(path)
    whole = isinstance(ids, dict) and all(isinstance(one, int) for one in ids.values())
    if not whole or sorted(ids.values()) != list(range(len(ids))) or not 4 <= len(ids) <= LARGEST_VOCABULARY:
        raise FolderError(
            f"{path}: expected 4 to {LARGEST_VOCABULARY:,} pieces with the ids 0, 1, 2, ...; copy it again"
        )
    if lacking := {"</s>", "<unk>", "<pad>"} - ids.keys():
        raise FolderError(f"{path}: lacks {', '.join(sorted(lacking))}, which every Marian has; copy it again")
    return ids


def _library(path: Path, ids: dict[str, int]) -> tokenizers.Tokenizer:
    """Pieces of vocab.json in the order of their ids, with the scores of one side."""
    scores, characters = _read(path)
    pieces = [(piece, scores.get(piece, _ABSENT)) for piece in sorted(ids, key=ids.__getitem__)]
    library = tokenizers.Tokenizer(models.Unigram(pieces, ids["<unk>"], False))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    library.normalizer = normalizers.Sequence([*_replacements(characters, path), normalizers.Strip(), spaces])
    library.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "always")
    library.decoder = decoders.Metaspace(SPACE, "always")
    library.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    library.add_special_tokens(["</s>", "<unk>", "<pad>"])
    languages = [piece for piece in ids if piece.startswith(">>") and piece.endswith("<<")]
    library.add_tokens([tokenizers.AddedToken(piece, rstrip=True, normalized=False) for piece in sorted(languages)])
    return library


def _replacements(characters: bytes, path: Path) -> list[normalizers.Normalizer]:
    """The normaliser with this compiled table, if there is one."""
    if not characters:
        return []
    try:
        found = normalizers.Precompiled(characters)
        found.normalize_str("a")
        return [found]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library is Rust: its panics are BaseExceptions
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FolderError(f"{path}: its table of replacements is damaged ({said}); copy it again") from error


def _read(path: Path) -> tuple[dict[str, float], bytes]:
    """The scores of the pieces that texts contain, and the compiled table of the normaliser."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); copy source.spm and target.spm too") from error
    if len(content) > MAX_FILE_BYTES:
        raise FolderError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB, which is too large for a vocabulary")
    scores: dict[str, float] = {}
    kind: int | bytes = _UNIGRAM
    characters = b""
    try:
        for number, value in _fields(content):
            if number == _PIECES:
                piece = dict(_fields(_as_bytes(value)))
                if piece.get(_TYPE, _NORMAL) == _NORMAL:
                    name = _as_bytes(piece[_PIECE]).decode("utf-8")
                    scores[name] = struct.unpack("<f", _as_bytes(piece.get(_SCORE, bytes(4))))[0]
            elif number == _TRAINER:
                kind = dict(_fields(_as_bytes(value))).get(_MODEL_TYPE, _UNIGRAM)
            elif number == _NORMALIZER:
                characters = _as_bytes(dict(_fields(_as_bytes(value))).get(_CHARACTERS, b""))
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise FolderError(f"{path}: not a SentencePiece model ({error}); copy it again") from error
    if kind != _UNIGRAM or not scores:
        raise FolderError(
            f"{path}: model type {kind!r}, {len(scores)} pieces; only unigram models are read: put a tokenizer.json "
            "beside config.json"
        )
    return scores, characters


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number and value. ValueError where it is damaged."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, place = _varint(content, place)
        else:
            if wire == 2:
                size, place = _varint(content, place)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise ValueError(f"byte {place}: a field of type {wire}")
            if place + size > len(content):
                raise ValueError(f"byte {place}: a field of {size} bytes that goes beyond the end")
            value, place = content[place : place + size], place + size
        yield number, value


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place + shift // 7]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place + shift // 7 + 1
    raise ValueError(f"byte {place}: a number of more than ten bytes")


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"a number, {value}, where bytes are expected")
    return value
