"""From running text to a vocabulary and memory-mapped integers, for learning without labels.

    folder/tokenizer.json        learnt here, or brought by the model that is gone on from
    folder/train/ folder/valid/  integers, see data/documents.py

The folder appears complete or not at all, and is used again as it is when a run is resumed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import Field

from henkan.config import Config
from henkan.data.documents import Documents, write_documents
from henkan.data.readers import read_lines
from henkan.errors import DataError, StorageError
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer, TokenizerConfig, learn


class TextConfig(Config):
    """Where the text is: a line a sentence or paragraph, an empty line between documents; plain or .gz."""

    text: Path
    valid_text: Path | None = None  # None: the last lines of the text
    held_out: float = Field(0.02, gt=0.0, lt=0.9)  # share of the lines that validate where nothing else does
    line_ends: bool = False  # whether line ends are learnt too: verse, code, plays


@dataclass(frozen=True)
class PreparedText:
    """What a run learns from."""

    tokenizer: Tokenizer
    train: Documents
    valid: Documents


def prepare_text(
    data: TextConfig,
    vocabulary: TokenizerConfig | Tokenizer,
    folder: Path,
    tell: Callable[[str], None],
    document_ends: bool = False,
) -> PreparedText:
    """Make ``folder`` from the files, or open it where it is there already.

    Args:
        vocabulary: how to learn one, or one that is there.
        tell: gets the few lines that a user should see.
        document_ends: whether END stands behind each document.

    Raises:
        DataError: a file is missing, damaged or empty.
    """
    if not folder.exists():
        building = folder.with_name(folder.name + ".partial")
        shutil.rmtree(building, ignore_errors=True)
        try:
            building.mkdir(parents=True)
            _build(data, vocabulary, building, tell, document_ends)
            building.rename(folder)
        except OSError as error:
            raise StorageError(
                f"{folder}: cannot be written ({error.strerror or error}); free some space or check the rights"
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    return PreparedText(tokenizer, Documents.open(folder / "train"), Documents.open(folder / "valid"))


def _build(
    data: TextConfig,
    vocabulary: TokenizerConfig | Tokenizer,
    folder: Path,
    tell: Callable[[str], None],
    document_ends: bool,
) -> None:
    training: Iterable[str] = _Text(data.text)
    validation: Iterable[str]
    if data.valid_text is not None:
        validation = _Text(data.valid_text)
    else:
        count = sum(1 for _ in training)
        kept = count - max(1, round(data.held_out * count))
        if kept < 1:
            raise DataError(f"{data.text}: {count} lines; expected at least 2, of which one is held out")
        training, validation = _Text(data.text, 0, kept), _Text(data.text, kept, count)
        tell(f"held out for validation: the last {count - kept:,} of {count:,} lines")
    end = "\n" if data.line_ends else ""
    if isinstance(vocabulary, Tokenizer):
        tokenizer = vocabulary
    else:
        tokenizer = learn(vocabulary, (line + end for line in training if line or end))
    tokenizer.save(folder / "tokenizer.json")
    for name, lines in (("train", training), ("valid", validation)):
        write_documents(folder / name, lines, tokenizer, data.line_ends, document_ends)
    written = Documents.open(folder / "train")
    tell(f"training text: {len(written.tokens):,} tokens in {len(written.lines) - 1:,} lines, {len(written)} documents")


class _Text:
    """Lines of a file in normalisation form C, read again at each iteration."""

    def __init__(self, path: Path, first: int = 0, end: int | None = None) -> None:
        self.path = path
        self.first, self.end = first, end

    def __iter__(self) -> Iterator[str]:
        return (normalise(line) for line in islice(read_lines(self.path), self.first, self.end))
