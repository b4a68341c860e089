"""Where words begin among the pieces of a vocabulary, whoever made it."""

from __future__ import annotations

import numpy as np

from henkan.text.tokenizer import SPACE, Tokenizer

_INSIDE = "##"  # WordPiece marks what goes on with a word; all others mark what begins one
_BYTE_SPACE = "Ġ"  # how byte-level vocabularies write the space before a word


def word_starts(tokenizer: Tokenizer) -> np.ndarray:
    """(V,) bool, which tokens begin a word; all of them in a vocabulary that does not say."""
    pieces = tokenizer.pieces(range(tokenizer.size))
    inside = np.array([piece.startswith(_INSIDE) and piece != _INSIDE for piece in pieces])
    if inside.sum() > 1:  # text may have a piece of this form too
        return ~inside
    for space in (SPACE, _BYTE_SPACE):
        begins = np.array([piece.startswith(space) for piece in pieces])
        if begins.sum() > 1:
            return begins
    return np.ones(len(pieces), dtype=bool)
