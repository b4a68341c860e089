"""Where words begin among the tokens of a text, for vocabularies of all forms.

A word is what BERT's basic tokenizer makes one (Devlin et al. 2019): what stands between spaces, with every mark of
punctuation a word of its own, and every ideograph. Kana are written without spaces as well; BERT leaves a run of them
together, which may be half a sentence, and here each token that begins with one begins a word.

A token is never cut, so several ideographs in one are one word, and so is GPT-2's ``'s``. Nor is a character that is in
several tokens: the first decides, by the first character that its bytes may begin.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

from henkan.text.byte_level import in_bytes
from henkan.text.tokenizer import SPACE, Tokenizer

AS_BEFORE = -1
_INSIDE = "##"  # BERT's vocabularies mark what goes on with a word, and say so; all others mark what begins one
_GOING_ON = bytes(range(0x80, 0xC0))  # bytes that begin no character
_IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
_KANA = ((0x3000, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))  # the first with the marks that are written among them


@dataclass(frozen=True, eq=False)
class Words:
    """What each token says about the borders beside it: 1 there is one, 0 that is for the neighbour to say, -2 none;
    and behind it AS_BEFORE: what the token before it says.
    """

    before: np.ndarray  # (V,) int8
    after: np.ndarray  # (V,) int8

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """(T,) which word of the sequence each token is of, counted up from the first."""
        begins, after = self.before[ids], self.after[ids]
        told = np.maximum.accumulate(np.where(after == AS_BEFORE, 0, np.arange(len(ids))))
        begins[1:] += after[told][:-1]
        return np.cumsum(begins > 0)


def find_words(tokenizer: Tokenizer) -> Words:
    """The words of a vocabulary; each token is one, where the vocabulary does not say."""
    pieces = tokenizer.pieces(range(tokenizer.size))
    before, after = np.ones((2, len(pieces)), dtype=np.int8)
    if getattr(tokenizer.library.model, "continuing_subword_prefix", None) == _INSIDE:
        before[[piece.startswith(_INSIDE) and piece != _INSIDE for piece in pieces]] = -2
    elif tokenizer.byte_level or sum(piece.startswith(SPACE) for piece in pieces) > 1:
        for token in tokenizer.marks.ordinary:
            if tokenizer.byte_level:
                before[token], after[token] = _beside_bytes(in_bytes(pieces[token]))
            else:
                before[token], after[token] = _beside(pieces[token].replace(SPACE, " "))
    return Words(before, after)


def _beside(text: str) -> tuple[int, int]:
    """The borders before and after a token; a space at its end belongs to the word behind it."""
    if not text:  # an entry that no text has
        return 0, 0
    return int(_stands_alone(text[0])), -2 if text[-1] == " " else int(_stands_alone(text[-1]))


def _beside_bytes(piece: bytes) -> tuple[int, int]:
    """The same, where the first and the last character may be there in part."""
    whole = piece.lstrip(_GOING_ON)
    if not whole:
        return -2, AS_BEFORE
    before, after = _beside(_completed(whole))
    return before if whole == piece else -2, after


def _completed(piece: bytes) -> str:
    for missing in range(4):
        try:
            return (piece + b"\x80" * missing).decode()
        except UnicodeDecodeError:
            continue
    return piece.decode(errors="replace")


def _stands_alone(character: str) -> bool:
    """Whether a character is no part of a word, or a word without any space beside it."""
    code = ord(character)
    if code < 0x80:
        return character.isspace() or (character.isprintable() and not character.isalnum())
    among = any(first <= code <= last for first, last in (*_IDEOGRAPHS, *_KANA))
    return among or character.isspace() or unicodedata.category(character).startswith("P")
