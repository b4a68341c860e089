"""Where a vocabulary comes from: texts that it is learnt from, or a ``tokenizer.json`` that somebody made.

The file may be of any model of the reference library, or of ours. It is brought into our order of ids as a checkpoint's
is (``text/renumbering.py``). What ends a text is what the file's post-processor puts behind one, or else the token that
is usually called so; what begins one likewise, and where nothing does, START is a token of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models

from henkan.errors import DataError
from henkan.text.learning import learn
from henkan.text.renumbering import find_parts, read_library, renumber
from henkan.text.tokenizer import SPECIAL_TOKENS, Tokenizer, TokenizerConfig

_STARTS = ("[CLS]", "<s>", "<bos>")
_ENDS = ("[SEP]", "</s>", "<eos>", "<|endoftext|>")


def make_vocabulary(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """The vocabulary in ``config.file``, or one that is learnt from the texts, which are then read once.

    Raises:
        DataError, FolderError: there is no text to learn from; or the file is no vocabulary that can be used.
    """
    return learn(config, texts) if config.file is None else read_vocabulary(config.file)


def read_vocabulary(path: Path) -> Tokenizer:
    """A ``tokenizer.json`` in our order of ids; one of ours as it is.

    Raises:
        DataError: nothing in it says which token ends a text.
        FolderError: it is missing, damaged, or of a kind that cannot be used.
    """
    library = read_library(path)
    if [library.id_to_token(place) for place in range(len(SPECIAL_TOKENS))] == list(SPECIAL_TOKENS):
        try:
            return Tokenizer(library)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    start, end = _around(library)
    if end is None:
        raise DataError(
            f"{path}: which token ends a text is not said: its post-processor puts none there, and it has none of "
            f"{', '.join(_ENDS)}; add one with the `tokenizers` library"
        )
    special = {"decoder_start": end if start is None else start, "eos": end}
    parts = find_parts(library, special, decodes=True, place=path)
    return renumber(library, parts, max(library.get_vocab().values()) + 1, path).tokenizer


def settings_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """What there is to say about a vocabulary, as settings of a :class:`TokenizerConfig`."""
    kind = "word"
    match tokenizer.library.model:
        case models.BPE():
            kind = "byte_bpe" if tokenizer.byte_level else "bpe"
        case models.Unigram():
            kind = "unigram"
        case models.WordPiece():
            kind = "wordpiece"
    marks = tokenizer.marks
    return {
        "kind": kind,
        "vocabulary": tokenizer.size,
        "mask": marks.mask is not None,
        "sentinels": len(marks.sentinels),
    }


def _around(library: tokenizers.Tokenizer) -> tuple[int | None, int | None]:
    """The ids that stand before and behind a text."""
    encoding = library.encode("a")
    start, end = _named(library, _STARTS), _named(library, _ENDS)
    if encoding.ids and encoding.sequence_ids[0] is None:
        start = encoding.ids[0]
    if encoding.ids and encoding.sequence_ids[-1] is None:
        end = encoding.ids[-1]
    return start, end


def _named(library: tokenizers.Tokenizer, names: Iterable[str]) -> int | None:
    return next((found for name in names if (found := library.token_to_id(name)) is not None), None)
