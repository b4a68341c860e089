"""The one thing that is done to every text: Unicode normalisation form C, and nothing else.

Form C makes two spellings of the same characters one: ``e`` with a combining accent becomes ``é``, a kana with a
separate voicing mark becomes one kana. Width, case, quotes and spaces stay as they are, because a reader of the
output can see those.
"""

import unicodedata


def normalise(text: str) -> str:
    """The text in normalisation form C (Unicode Standard Annex 15)."""
    return unicodedata.normalize("NFC", text)
