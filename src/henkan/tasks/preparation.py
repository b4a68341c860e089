"""From files of pairs to tokenizers and memory-mapped integers.

    read -> hold a validation part out (if none is given) -> learn tokenizers -> encode, filter, write -> one folder

    data/tokenizer.json, or tokenizer.source.json and tokenizer.target.json
    data/train/ data/valid/          integers, see data/corpus.py
    data/valid.jsonl                 the validation pairs as text, without a prefix, for scores
    data/report.json                 what was kept, dropped and held out

The folder appears complete or not at all, and is used again as it is when a run is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from pydantic import Field, model_validator

from henkan.config import Config
from henkan.data.corpus import Corpus, write_corpus
from henkan.data.example import Pair
from henkan.data.prefixed import PrefixedPairs
from henkan.data.readers import PairsFile, ParallelText
from henkan.data.records import FieldsConfig
from henkan.data.split import choose_holdout
from henkan.data.transforms import FilterConfig, FilterReport
from henkan.errors import FolderError
from henkan.folder import new_folder
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.text.vocabulary import make_vocabulary

Pairs: TypeAlias = ParallelText | PairsFile

Tokenizers: TypeAlias = tuple[Tokenizer, Tokenizer]
"""The source's and the target's; one object twice where they are joint."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears now and then what is done, with how many pairs so far, and of how many: 0 where that is not known."""

_TOLD_EVERY = 4096  # pairs


class DataConfig(Config):
    """Where the pairs are: two parallel files, or one file of pairs (.tsv or .jsonl); plain or .gz."""

    source: Path | None = None
    target: Path | None = None
    pairs: Path | None = None
    valid_source: Path | None = None
    valid_target: Path | None = None
    valid_pairs: Path | None = None
    fields: FieldsConfig | None = None  # of `pairs` and `valid_pairs`, where they are not source and target
    prefix: str = ""  # before every source: "summarize: ", with its space (Raffel et al. 2020); blank ones stay blank
    held_out: int | None = Field(None, ge=1, le=100_000)  # validation pairs to hold out; None: a fiftieth, 50 to 1,000
    filters: FilterConfig = FilterConfig()
    reverse_source: bool = False  # Sutskever et al. (2014), section 3.3

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("", "valid_"):
            source, target, pairs = (getattr(self, name + side) for side in ("source", "target", "pairs"))
            if (source is None) != (target is None):
                raise ValueError(f"{name}source and {name}target go together: one of them is missing")
            if pairs is not None and source is not None:
                raise ValueError(f"{name}pairs, or {name}source with {name}target, not both")
            if not name and pairs is None and source is None:
                raise ValueError("no training pairs: give `pairs`, or `source` and `target`")
        if self.fields is not None and self.pairs is None and self.valid_pairs is None:
            raise ValueError("fields are of a file of pairs; `source` and `target` are whole lines")
        return self

    def training(self) -> Pairs:
        """The training files, nothing read yet."""
        return self._open(self.source, self.target, self.pairs)

    def validation(self) -> Pairs | None:
        """The validation files, or None where a part is to be held out."""
        if self.valid_pairs is None and self.valid_source is None:
            return None
        return self._open(self.valid_source, self.valid_target, self.valid_pairs)

    def _open(self, source: Path | None, target: Path | None, pairs: Path | None) -> Pairs:
        if pairs is not None:
            return PairsFile(pairs, self.fields)
        assert source is not None and target is not None
        return ParallelText(source, target)


class VocabularyConfig(Config):
    """How both sides are cut into tokens: by one joint tokenizer, or by one for each."""

    joint: bool = True
    source: TokenizerConfig = TokenizerConfig()
    target: TokenizerConfig | None = None  # None: like the source, and learnt even if that is of a file

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        if self.joint and self.target is not None and self.target != self.source:
            raise ValueError("a joint tokenizer has one set of settings: leave `target` out, or set `joint: false`")
        return self


@dataclass(frozen=True)
class Prepared:
    """Everything a translation task trains on."""

    tokenizers: tuple[Tokenizer, Tokenizer]
    train: Corpus
    valid: Corpus
    valid_pairs: list[tuple[str, str]]
    report: dict[str, Any]


def tokenizer_files(folder: Path) -> tuple[Path, Path]:
    """Where the tokenizers of a folder are: one file twice where they are joint."""
    joint = folder / "tokenizer.json"
    return (joint, joint) if joint.exists() else (folder / "tokenizer.source.json", folder / "tokenizer.target.json")


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The source's and the target's; one object twice where they are joint."""
    source, target = tokenizer_files(folder)
    if source == target:
        joint = Tokenizer.load(source)
        return joint, joint
    return Tokenizer.load(source), Tokenizer.load(target)


def save_tokenizers(tokenizers: tuple[Tokenizer, Tokenizer], folder: Path) -> None:
    """The inverse of :func:`load_tokenizers`."""
    source, target = tokenizers
    if source is target:
        source.save(folder / "tokenizer.json")
        return
    source.save(folder / "tokenizer.source.json")
    target.save(folder / "tokenizer.target.json")


def _silent(doing: str, done: int, total: int) -> None:
    pass


def prepare(
    data: DataConfig,
    vocabulary: VocabularyConfig | Tokenizers,
    folder: Path,
    tell: Callable[[str], None],
    progress: Progress = _silent,
) -> Prepared:
    """Make ``folder`` from the files, or open it where it is there already.

    The pairs are read several times and never all in memory: at most ``sample`` texts are, to learn a vocabulary from,
    and the validation pairs.

    Args:
        vocabulary: how to learn tokenizers from the training pairs, or those to take.
        tell: gets the few lines that a user should see: what was dropped, held out, learnt.

    Raises:
        DataError: files that are missing, damaged, unequal, empty, or of which nothing is left.
    """
    if not folder.exists():
        with new_folder(folder) as building:
            _build(data, vocabulary, building, tell, progress)
    try:
        with (folder / "valid.jsonl").open(encoding="utf-8") as lines:
            valid_pairs = [tuple(json.loads(line)) for line in lines]
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FolderError(f"{folder}: damaged ({error}); remove it, and --resume makes it again") from error
    return Prepared(
        load_tokenizers(folder), Corpus.open(folder / "train"), Corpus.open(folder / "valid"), valid_pairs, report
    )


def vocabulary_sizes(data: DataConfig, vocabulary: VocabularyConfig) -> tuple[int, int]:
    """How many tokens source and target will have, learnt here from all training pairs.

    A run learns from the pairs that are not held out for validation, where none are given; a vocabulary of words may
    then be a little smaller.
    """
    source, target = _learn(vocabulary, PrefixedPairs(_Normalised(data.training()), "pairs", data.prefix))
    return source.size, target.size


def _build(
    data: DataConfig,
    vocabulary: VocabularyConfig | Tokenizers,
    folder: Path,
    tell: Callable[[str], None],
    progress: Progress,
) -> None:
    everything, given = _Normalised(data.training()), data.validation()
    training: Iterable[Pair] = everything
    validation: Iterable[Pair]
    if given is not None:
        validation = _Normalised(given)
    else:
        validation = _held_out(everything, data.held_out, tell, progress)
        training = _Without(everything, {pair.line for pair in validation})
    read = PrefixedPairs(training, everything.name, data.prefix)
    reading = _Watched(read, progress, "reading for the vocabulary")
    learnt = _learn(vocabulary, reading) if isinstance(vocabulary, VocabularyConfig) else vocabulary
    save_tokenizers(learnt, folder)
    tokenizers = load_tokenizers(folder)
    name = f"training pairs of {everything.name}"
    encoding = _Watched(read, progress, "encoding", reading.count)
    kept = write_corpus(folder / "train", encoding, *tokenizers, data.filters, name)
    tell(f"training pairs: {kept}")
    name = f"validation pairs of {everything.name if given is None else given.name}"
    valid_read = PrefixedPairs(validation, name, data.prefix)
    valid_kept = write_corpus(folder / "valid", valid_read, *tokenizers, data.filters, name)
    if valid_kept.dropped:
        tell(f"validation pairs: {valid_kept}")
    with (folder / "valid.jsonl").open("w", encoding="utf-8") as lines:
        for pair in validation:
            if pair.source.strip() and pair.target.strip():
                lines.write(json.dumps([pair.source, pair.target], ensure_ascii=False) + "\n")
    _write_report(folder / "report.json", tokenizers, kept, valid_kept)


def _held_out(
    everything: _Normalised, wanted: int | None, tell: Callable[[str], None], progress: Progress
) -> list[Pair]:
    """The pairs to validate with, where none are given."""
    counting = _Watched(everything, progress, "counting")
    count = sum(1 for _ in counting)
    wanted = min(wanted or max(50, min(1000, count // 50)), max(1, count // 5))
    choosing = _Watched(everything, progress, "choosing validation pairs", count)
    out = choose_holdout((pair.source for pair in choosing), wanted)
    held = [pair for pair in _Watched(everything, progress, "taking validation pairs", count) if out(pair.source)]
    tell(f"held out for validation: {len(held):,} of {count:,} pairs, chosen by a hash of the source")
    return held


def _learn(config: VocabularyConfig, training: Iterable[Pair]) -> tuple[Tokenizer, Tokenizer]:
    if config.joint:
        joint = make_vocabulary(config.source, (text for pair in training for text in (pair.source, pair.target)))
        return joint, joint
    source = make_vocabulary(config.source, (pair.source for pair in training))
    target = config.target or config.source.model_copy(update={"file": None})
    return source, make_vocabulary(target, (pair.target for pair in training))


def _write_report(
    path: Path, tokenizers: tuple[Tokenizer, Tokenizer], kept: FilterReport, valid_kept: FilterReport
) -> None:
    report = {
        **kept.to_json(),
        "validation": valid_kept.to_json(),
        "vocabulary": {"source": tokenizers[0].size, "target": tokenizers[1].size},
    }
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")


class _Normalised:
    """The same pairs in NFC; read again at each iteration."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.name = pairs.name

    def __iter__(self) -> Iterator[Pair]:
        return (Pair(normalise(pair.source), normalise(pair.target), pair.line) for pair in self.pairs)


class _Without:
    """The pairs but those of some lines; read again at each iteration."""

    def __init__(self, pairs: Iterable[Pair], lines: Collection[int]) -> None:
        self.pairs = pairs
        self.lines = lines

    def __iter__(self) -> Iterator[Pair]:
        return (pair for pair in self.pairs if pair.line not in self.lines)


class _Watched:
    """The same pairs, with progress; read again at each iteration. ``count`` is how many the last whole one had."""

    def __init__(self, pairs: Iterable[Pair], progress: Progress, doing: str, total: int = 0) -> None:
        self.pairs = pairs
        self.progress = progress
        self.doing = doing
        self.count = total

    def __iter__(self) -> Iterator[Pair]:
        done = 0
        for pair in self.pairs:
            if done % _TOLD_EVERY == 0:
                self.progress(self.doing, done, self.count)
            done += 1
            yield pair
        self.count = done
