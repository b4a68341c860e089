"""Byte-pair encoding over the 256 bytes of UTF-8, as GPT-2, RoBERTa and BART have it (Radford et al. 2019, 2.2).

Bytes are the alphabet, so nothing is unknown: a rare character is two to four tokens. A vocabulary writes each byte as
one character that can be seen, ASCII as itself and the space as ``Ġ``; ``あ`` is the three bytes ``ãģĤ``.

A text is first cut by the pattern of GPT-2: letters, digits and other characters apart, each with the one space before
it. Nothing is put before the first word of a text, which is therefore another token there than after a space.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

LONGEST_BYTES = 48
"""Bytes in a token that is learnt, at most: 16 characters of Japanese, where no space ends a word."""

_AFTER_WORDS = re.compile(r"(?!\A)(?= \S)")


def _written() -> dict[str, int]:
    """The byte that each character of a vocabulary stands for: those that cannot be seen follow from U+0100 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


_BYTE_OF = _written()


def learn_bytes(texts: Sequence[str], special: Sequence[str], size: int) -> tokenizers.Tokenizer:
    """The special tokens, the 256 bytes, and up to ``size`` entries together with what is joined from them."""
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        max_token_length=LONGEST_BYTES,
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer, length=len(texts))
    return library


def is_byte_level(library: tokenizers.Tokenizer) -> bool:
    """Whether the entries of a vocabulary, ours or not, are bytes written as characters."""
    return isinstance(library.decoder, decoders.ByteLevel)


def cuts_before_spaces(library: tokenizers.Tokenizer) -> bool:
    """Whether the parts of :func:`cut_before_spaces` have the same ids alone as in their text."""
    cutting = library.pre_tokenizer
    if not isinstance(cutting, pre_tokenizers.ByteLevel) or cutting.add_prefix_space or not cutting.use_regex:
        return False
    if not isinstance(library.normalizer, normalizers.NFC | None):
        return False
    # other added tokens are looked for in the whole text, and may hold a space
    return all(token.special for token in library.get_added_tokens_decoder().values())


def cut_before_spaces(text: str) -> list[str]:
    """The text in parts, each but the first beginning with a space and what is none.

    GPT-2's pattern ends a token there in every case: a space before a word belongs to the word, and of several only
    the last.
    """
    return _AFTER_WORDS.split(text)


def in_bytes(piece: str) -> bytes:
    """What an entry of a byte-level vocabulary stands for; special tokens stand for their names."""
    try:
        return bytes(map(_BYTE_OF.__getitem__, piece))
    except KeyError:
        return piece.encode()


def readable(pieces: Iterable[str]) -> list[str]:
    """Entries that follow each other as text. A character in several of them is shown by the last, so the texts of
    all make the text of the whole.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    shown = [decoder.decode(in_bytes(piece)) for piece in pieces]
    if shown:
        shown[-1] += decoder.decode(b"", final=True)
    return shown
