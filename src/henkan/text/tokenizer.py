"""Texts to ids and back: a thin layer over the ``tokenizers`` library. Learning a vocabulary is in ``learning.py``.

- The first four ids are the same in every vocabulary: padding, unknown, start, end. A mask and sentinels, for models
  that learn from spoilt text, come next where they are asked for.
- ``▁`` (U+2581) stands for a space. A subword carries the space before it, so decoding is exact.
- No subword crosses a space or holds more than one punctuation mark or digit, so ``3,50`` is read digit by digit
  and ``end.`` is ``end`` and a full stop wherever it stands.
- Special tokens are never recognised inside a text: ``</s>`` written by somebody is four ordinary characters.
- A character that was not there when learning is one UNKNOWN (a run of them, for ``unigram``).
- ``byte_bpe`` is another matter: bytes, cut and written as in GPT-2, and never UNKNOWN; see ``text/byte_level.py``.

A vocabulary that was imported (``text/renumbering.py``) has the same first ids and names, and cuts texts its own way.
What its model wants around them is told by the library's post-processor: ``Marks.prefix``, ``Marks.separators``.
"""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, Self

import numpy as np
import tokenizers
from pydantic import Field, model_validator
from tokenizers import models, normalizers

from henkan.config import Config
from henkan.errors import DataError, StorageError
from henkan.text import byte_level
from henkan.text.marks import Marks

PAD, UNKNOWN, START, END = range(4)
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
MASK = "<mask>"
SENTINEL = "<extra_{}>"
SPACE = "▁"
MAX_FILE_BYTES = 64 << 20

_REMEMBERED = 1 << 16  # words whose ids are kept: some 20 MB
_LONGEST_REMEMBERED = 64  # characters; longer ones are lines without spaces, and hardly come again


class TokenizerConfig(Config):
    """How texts become ids.

    ``bpe``: byte-pair encoding over characters (Sennrich 2016). ``unigram``: the likeliest segmentation under a
    unigram model (Kudo 2018). ``wordpiece``: the longest known piece first (Schuster & Nakajima 2012; Wu 2016).
    ``byte_bpe``: byte-pair encoding over bytes, to which no text is unknown (Radford et al. 2019). ``word``: what
    stands between spaces. ``character``: one token for each code point.

    Or ``file``: a ``tokenizer.json`` of anybody's, which is taken as it is. All other settings then say what is in it.
    """

    kind: Literal["bpe", "unigram", "wordpiece", "byte_bpe", "word", "character"] = "bpe"
    vocabulary: int = Field(8000, ge=8, le=1_000_000, description="most entries, the four special tokens included")
    sample: int = Field(1_000_000, ge=1, le=100_000_000, description="most texts to learn from, drawn evenly")
    mask: bool = Field(False, description="whether there is a token that hides another")
    sentinels: int = Field(0, ge=0, le=1000, description="tokens that stand for hidden spans")
    file: Path | None = Field(None, description="a tokenizer.json to take instead of learning; not needed afterwards")

    @property
    def special(self) -> list[str]:
        """Tokens with an id of their own, in the order of the ids."""
        return [*SPECIAL_TOKENS, *[MASK] * self.mask, *(SENTINEL.format(number) for number in range(self.sentinels))]

    def cure(self, setting: str) -> str:
        """What to do where there is no mask, or no sentinels."""
        if self.file is None:
            return f"set vocabulary.{setting}"
        return f"{self.file} has no such token; name another file, or learn a vocabulary with vocabulary.{setting}"

    @model_validator(mode="after")
    def _bytes_have_room(self) -> Self:
        least = 256 + len(self.special)
        if self.kind == "byte_bpe" and self.file is None and self.vocabulary < least:
            raise ValueError(
                f"vocabulary {self.vocabulary} is too small for kind 'byte_bpe': 256 bytes and {len(self.special)} "
                f"special tokens are {least}; raise it, or take kind 'bpe'"
            )
        return self


class Tokenizer:
    """A learnt vocabulary.

    Args:
        library: a tokenizer of the ``tokenizers`` library whose first four ids are the special tokens.

    Raises:
        DataError: the ids are not 0, 1, 2, ... or do not start with the special tokens.
    """

    def __init__(self, library: tokenizers.Tokenizer) -> None:
        vocabulary = library.get_vocab()
        for special, token in enumerate(SPECIAL_TOKENS):
            if vocabulary.get(token) != special:
                raise DataError(f"the vocabulary has {token} at id {vocabulary.get(token)}; expected {special}")
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise DataError(f"the {len(vocabulary)} ids of the vocabulary are not 0 to {len(vocabulary) - 1}")
        library.encode_special_tokens = True  # "special tokens are text like any other", in the library's words
        library.no_truncation()
        library.no_padding()
        self.size = len(vocabulary)
        self._library = library
        self._pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        self.marks = _marks(self._pieces, library)
        self.byte_level = byte_level.is_byte_level(library)  # whether pieces are bytes
        self._cut = _cutter(library)
        # The model may find "</s>" in a text, which is in the vocabulary, unless it is never given so much at one time.
        self._special_in_text = isinstance(library.model, models.WordLevel | models.Unigram) and self._cut is None
        self._known: dict[str, list[int]] = {}  # ids of words, see _encode_words

    def __eq__(self, other: object) -> bool:
        """Whether every text gets the same ids from both."""
        return isinstance(other, Tokenizer) and self._library.to_str() == other._library.to_str()

    def __hash__(self) -> int:
        """Equal vocabularies have equal numbers."""
        return hash(tuple(self._pieces))

    @property
    def library(self) -> tokenizers.Tokenizer:
        """The same vocabulary in the library's words; to be read, not changed."""
        return self._library

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in normalisation form C, behind ``marks.prefix`` and without START and END.

        Raises:
            DataError: a text holds half of a surrogate pair, which no UTF-8 file can.
        """
        rows = self.encode_parts(texts)
        return [[*self.marks.prefix, *row] if row else row for row in rows] if self.marks.prefix else rows

    def encode_parts(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of texts that are parts of a text: without ``marks.prefix``."""
        try:
            rows = self._encode_all(list(texts)) if self._cut is None else self._encode_words(texts, self._cut)
        except (TypeError, UnicodeEncodeError):
            for number, text in enumerate(texts, start=1):
                _refuse_surrogates(text, number)
            raise
        if self._special_in_text:
            return [[token if token >= self.marks.first else UNKNOWN for token in row] for row in rows]
        return rows

    def _encode_all(self, texts: list[str]) -> list[list[int]]:
        """By the library, on all cores."""
        return [encoding.ids for encoding in self._library.encode_batch_fast(texts, add_special_tokens=False)]

    def _encode_words(self, texts: Sequence[str], cut: Callable[[str], list[str]]) -> list[list[int]]:
        """Word by word: no subword crosses a space, so a word has the same ids wherever it stands, and most have come
        before. Looking them up is several times faster than the library, which notes where each character came from.
        """
        split = [cut(text) if text else [] for text in texts]
        known = self._known  # this object is only added to, so that threads may share it
        wanted = set(chain.from_iterable(split))
        new = [word for word in wanted if word not in known]
        if len(known) + len(new) > _REMEMBERED:
            known, new = {}, list(wanted)
        found = dict(zip(new, self._encode_all([word or " " for word in new]), strict=True))
        known.update((word, ids) for word, ids in found.items() if len(word) <= _LONGEST_REMEMBERED)
        self._known = known
        if any(len(word) > _LONGEST_REMEMBERED for word in new):
            known = known | found
        return [list(chain.from_iterable(map(known.__getitem__, words))) for words in split]

    def encode_with_places(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The ids of each text, and (tokens, 2): where each token begins and ends in it, in characters.

        The places are those in the text as it is given; a token may begin with the space before it.
        """
        found = []
        for encoding in self._library.encode_batch(list(texts), add_special_tokens=False):
            places = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            ids = np.array(encoding.ids, dtype=np.int64)
            if self._special_in_text:
                ids[ids < self.marks.first] = UNKNOWN
            found.append((ids, places))
        return found

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of ids: up to END, without PAD, START and prefix; UNKNOWN is shown as ``<unk>``."""
        rows = []
        unsaid = {PAD, START, *self.marks.prefix}
        for row in ids:
            end = next((place for place, token in enumerate(row) if token == END), len(row))
            rows.append([token for token in row[:end] if token not in unsaid])
        return list(self._library.decode_batch(rows, skip_special_tokens=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """How each id is written in the vocabulary."""
        return [self._pieces[token] for token in ids]

    def readable(self, ids: Sequence[int]) -> list[str]:
        """How each id of a text is shown to people: its characters, and ▁ for a space.

        As written in the vocabulary; of bytes, the characters that they complete, which may be none.
        """
        pieces = self.pieces(ids)
        return [text.replace(" ", SPACE) for text in byte_level.readable(pieces)] if self.byte_level else pieces

    def save(self, path: Path) -> None:
        """Write the vocabulary as the library's JSON; the file is whole or not there.

        Raises:
            StorageError: it cannot be written.
        """
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                file.write(self._library.to_str(pretty=True).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise StorageError(f"{path}: cannot write the vocabulary ({error.strerror})") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: the file is missing, over 64 MiB, or no vocabulary of ours.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise DataError(f"{path}: cannot read the vocabulary ({error.strerror})") from error
        if len(content) > MAX_FILE_BYTES:
            raise DataError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB, which is too large for a vocabulary")
        try:
            return cls(_parse(content))
        except DataError as error:
            raise DataError(f"{path} is not a vocabulary of ours: {error}") from error


def _marks(pieces: list[str], library: tokenizers.Tokenizer) -> Marks:
    """Where the special tokens are: the first four, then a mask and sentinels if there are any; and what is around."""
    first = len(SPECIAL_TOKENS)
    mask = first if pieces[first : first + 1] == [MASK] else None
    first += mask is not None
    sentinels: list[int] = []
    while pieces[first : first + 1] == [SENTINEL.format(len(sentinels))]:
        sentinels.append(first)
        first += 1
    around, between = _around(library)
    prefix = tuple(token for token in around if token not in (START, END))
    separators = max(1, between.count(END) - around.count(END))
    return Marks(PAD, UNKNOWN, START, END, mask, tuple(sentinels), first, len(pieces), separators, prefix)


def _around(library: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """The special ids that a post-processor puts around a text, and around two; none in our own vocabularies."""
    if library.post_processor is None:
        return [], []
    found = [library.encode("a"), library.encode("a", "a")]
    one, two = ([token for token, of in zip(each.ids, each.sequence_ids, strict=True) if of is None] for each in found)
    return one, two


def _cutter(library: tokenizers.Tokenizer) -> Callable[[str], list[str]] | None:
    """How a text is cut into words that have the same ids alone as in a text; None if it cannot be."""
    if byte_level.cuts_before_spaces(library):
        return byte_level.cut_before_spaces
    if not isinstance(library.normalizer, normalizers.NFC):
        return None  # somebody else's, which may change more than single characters
    splitter = library.pre_tokenizer
    words = [] if splitter is None else [word for word, _ in splitter.pre_tokenize_str("a  b")]
    return _cut_at_spaces if words == [f"{SPACE}a", SPACE, f"{SPACE}b"] else None


def _cut_at_spaces(text: str) -> list[str]:
    """For the subwords of ``learning.py``, which puts a space before each of these."""
    return text.replace(SPACE, " ").removeprefix(" ").split(" ")


def _parse(content: bytes) -> tokenizers.Tokenizer:
    """The library's tokenizer from its JSON, whatever the bytes are."""
    try:
        text = content.decode("utf-8")
        if not isinstance(json.loads(text), dict):
            raise DataError("it is no JSON object")
        library = tokenizers.Tokenizer.from_str(text)
        library.encode("\U0010fffd", add_special_tokens=False)  # a vocabulary without its unknown token fails only here
        return library
    except (KeyboardInterrupt, SystemExit, DataError):
        raise
    except BaseException as error:  # the library is Rust: its panics are BaseExceptions
        raise DataError(str(error).splitlines()[0][:200] if str(error) else type(error).__name__) from error


def _refuse_surrogates(text: str, number: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"text {number} holds half of a surrogate pair at character {error.start + 1}") from error
