"""The parts of a mixture, pairs and running text, to one vocabulary and memory-mapped integers.

    folder/tokenizer.json    of all parts together
    folder/NAME/             a part: see tasks/preparation.py for pairs, tasks/text_preparation.py for text

The folder appears complete or not at all, and is used again as it is when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from henkan.config import Config
from henkan.data.prefixed import PrefixedPairs
from henkan.folder import new_folder
from henkan.tasks.preparation import DataConfig, Prepared, Progress, prepare
from henkan.tasks.readings import DenoisingReading, PrefixReading, SpansReading
from henkan.tasks.text_preparation import PreparedText, TextConfig, Vocabulary, prepare_text
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer

Weight = Annotated[float | None, Field(gt=0.0)]


class PairsPart(Config):
    """Pairs; ``data.prefix`` says to the model what is to be done with a source."""

    kind: Literal["pairs"] = "pairs"
    data: DataConfig
    weight: Weight = None  # how often it comes, beside the other parts; None: see the recipe's temperature

    @model_validator(mode="after")
    def _read_in_its_order(self) -> Self:
        if self.data.reverse_source:
            raise ValueError("data.reverse_source: all parts of a mixture are read in one direction; leave it out")
        return self


class TextPart(Config):
    """Running text, of which something is lost and written out, or the first part read and the second written."""

    kind: Literal["text"] = "text"
    data: TextConfig
    reading: Annotated[SpansReading | DenoisingReading | PrefixReading, Field(discriminator="kind")] = SpansReading()
    weight: Weight = None

    @model_validator(mode="after")
    def _is_text(self) -> Self:
        if self.data.pairs is not None:
            raise ValueError("a part of kind 'text' has data.text; give data.pairs to one of kind 'pairs'")
        return self


PartConfig = Annotated[PairsPart | TextPart, Field(discriminator="kind")]


@dataclass(frozen=True)
class PreparedMixture:
    """What a run learns from; parts by name."""

    tokenizer: Tokenizer
    pairs: Mapping[str, Prepared]
    texts: Mapping[str, PreparedText]


def prepare_mixture(
    parts: Mapping[str, PairsPart | TextPart],
    vocabulary: Vocabulary,
    folder: Path,
    tell: Callable[[str], None],
    progress: Progress,
) -> PreparedMixture:
    """Make ``folder`` from the files of all parts, or open it where it is there already.

    Args:
        vocabulary: makes it of the training texts of all parts, one after another, those included that are held out for
            validation later.
        tell: gets the few lines that a user should see.

    Raises:
        DataError: files that are missing, damaged, or of which nothing is left.
    """
    if not folder.exists():
        with new_folder(folder) as building:
            vocabulary(_texts(parts)).save(building / "tokenizer.json")
            _opened(parts, building, tell, progress)
    return _opened(parts, folder, tell, progress)


def _texts(parts: Mapping[str, PairsPart | TextPart]) -> Iterator[str]:
    for part in parts.values():
        if isinstance(part, TextPart):
            yield from (line + "\n" * part.data.line_ends for line in part.data.lines(part.data.training()))
            continue
        pairs = part.data.training()
        for pair in PrefixedPairs(pairs, pairs.name, part.data.prefix):
            yield from (normalise(pair.source), normalise(pair.target))


def _opened(
    parts: Mapping[str, PairsPart | TextPart], folder: Path, tell: Callable[[str], None], progress: Progress
) -> PreparedMixture:
    """Each part opened; made, where it is not there."""
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    pairs: dict[str, Prepared] = {}
    texts: dict[str, PreparedText] = {}
    for name, part in parts.items():

        def speak(line: str, name: str = name) -> None:
            tell(f"{name}: {line}")

        if isinstance(part, TextPart):
            texts[name] = prepare_text(part.data, lambda _: tokenizer, folder / name, speak)
        else:
            pairs[name] = prepare(part.data, (tokenizer, tokenizer), folder / name, speak, progress)
    return PreparedMixture(tokenizer, pairs, texts)
