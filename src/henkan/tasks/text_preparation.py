"""From running text to a vocabulary and memory-mapped integers, for learning without labels.

    folder/tokenizer.json        learnt here, or brought by the model that is gone on from, or the latter extended here
    folder/train/ folder/valid/  integers, see data/documents.py

The folder appears complete or not at all, and is used again as it is when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from henkan.config import Config
from henkan.data.documents import Documents, write_documents
from henkan.data.readers import PairsFile, read_lines
from henkan.errors import DataError
from henkan.folder import new_folder
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer

Vocabulary = Callable[[Iterable[str]], Tokenizer]


class TextConfig(Config):
    """Where the text is: a line a sentence or paragraph, an empty line between documents; plain or .gz.

    Or pairs (.tsv, .jsonl, plain or .gz), of which each becomes a document of two lines: a sentence and its
    translation, code and what it does.
    """

    text: Path | None = None
    valid_text: Path | None = None  # None: the last lines of the text
    pairs: Path | None = None  # instead of text
    valid_pairs: Path | None = None  # None: the last of the pairs
    held_out: float = Field(0.02, gt=0.0, lt=0.9)  # share of the lines or pairs that validate where nothing else does
    line_ends: bool = False  # whether line ends are learnt too: verse, code, plays

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.text is None) == (self.pairs is None):
            raise ValueError("give `text` or `pairs`, one of them")
        if (self.valid_text if self.text is None else self.valid_pairs) is not None:
            raise ValueError("`valid_text` goes with `text`, and `valid_pairs` with `pairs`")
        if self.pairs is not None and self.line_ends:
            raise ValueError("`line_ends` are of running text; pairs have none")
        return self

    def training(self) -> Path:
        """The file that is learnt from."""
        found = self.text or self.pairs
        assert found is not None
        return found

    def lines(self, path: Path, first: int = 0, end: int | None = None) -> Iterator[str]:
        """Those of a file of this kind, in normalisation form C.

        Args:
            first, end: of the file's lines, or of its pairs.
        """
        if self.pairs is None:
            yield from (normalise(line) for line in islice(read_lines(path), first, end))
            return
        for pair in islice(PairsFile(path), first, end):
            yield from (normalise(pair.source), normalise(pair.target), "")

    def count(self, path: Path) -> int:
        """Lines of a file, or pairs."""
        return sum(1 for _ in (read_lines(path) if self.pairs is None else PairsFile(path)))


@dataclass(frozen=True)
class PreparedText:
    """What a run learns from."""

    tokenizer: Tokenizer
    train: Documents
    valid: Documents


def prepare_text(
    data: TextConfig,
    vocabulary: Vocabulary,
    folder: Path,
    tell: Callable[[str], None],
    document_ends: bool = False,
    apart: bool = False,
) -> PreparedText:
    """Make ``folder`` from the files, or open it where it is there already.

    Args:
        vocabulary: makes it of the training text's lines.
        tell: gets the few lines that a user should see.
        document_ends: whether END stands behind each document.
        apart: whether no line goes on with the one before it.

    Raises:
        DataError: a file is missing, damaged or empty.
    """
    if not folder.exists():
        with new_folder(folder) as building:
            _build(data, vocabulary, building, tell, document_ends, apart)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    return PreparedText(tokenizer, Documents.open(folder / "train"), Documents.open(folder / "valid"))


def _build(
    data: TextConfig,
    vocabulary: Vocabulary,
    folder: Path,
    tell: Callable[[str], None],
    document_ends: bool,
    apart: bool,
) -> None:
    path, valid_path = data.training(), data.valid_text or data.valid_pairs
    training = _Text(data, path)
    if valid_path is not None:
        validation = _Text(data, valid_path)
    else:
        count, units = data.count(path), "lines" if data.pairs is None else "pairs"
        kept = count - max(1, round(data.held_out * count))
        if kept < 1:
            raise DataError(f"{path}: {count} {units}; expected at least 2, of which one is held out")
        training, validation = _Text(data, path, 0, kept), _Text(data, path, kept, count)
        tell(f"held out for validation: the last {count - kept:,} of {count:,} {units}")
    end = "\n" if data.line_ends else ""
    tokenizer = vocabulary(line + end for line in training if line or end)
    tokenizer.save(folder / "tokenizer.json")
    for name, lines in (("train", training), ("valid", validation)):
        write_documents(folder / name, lines, tokenizer, data.line_ends, document_ends, apart)
    written = Documents.open(folder / "train")
    tell(f"training text: {len(written.tokens):,} tokens in {len(written.lines) - 1:,} lines, {len(written)} documents")


class _Text:
    """Lines of a file, read again at each iteration."""

    def __init__(self, data: TextConfig, path: Path, first: int = 0, end: int | None = None) -> None:
        self.data = data
        self.path = path
        self.first, self.end = first, end

    def __iter__(self) -> Iterator[str]:
        return self.data.lines(self.path, self.first, self.end)
