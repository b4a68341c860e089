"""What is learnt from running text, as settings; see :mod:`henkan.tasks.pretraining`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from henkan.config import Config
from henkan.data.documents import Documents
from henkan.data.passages import blocks, passages, sentence_pairs
from henkan.objectives.base import Objective
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.objectives.labels import ClassCrossEntropy, Together
from henkan.tasks.masked_translations import MaskedTranslations
from henkan.tasks.pretraining import Denoising, Masked, MaskedPairs, Masking, Next, Prefixed, Reading, Spans
from henkan.text.tokenizer import Tokenizer
from henkan.text.words import find_words

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class MaskedReading(Config):
    """Hidden tokens told from both sides. BERT: ``masks: 10, next_sentence: true``; RoBERTa: as it is."""

    kind: Literal["masked"] = "masked"
    share: Share = 0.15  # of the tokens that are chosen
    masks: int = Field(0, ge=0, le=1000)  # masks that each example has, one of them at a time; 0: always a new one
    whole_words: bool = False
    next_sentence: bool = False  # pairs, and whether the second stood behind the first
    translations: bool = False  # a document of the text is a sentence and, on the next line, its translation

    @model_validator(mode="after")
    def _one_kind_of_pairs(self) -> Self:
        if self.next_sentence and self.translations:
            raise ValueError("next_sentence and translations are two kinds of pairs; set one of them to false")
        return self

    def build(self, documents: Documents, tokenizer: Tokenizer, length: int, seed: int) -> Reading:
        """Over one text; ``length`` is the longest example, marks included."""
        words = find_words(tokenizer) if self.whole_words else None
        marks = tokenizer.marks
        if self.translations:
            return MaskedTranslations(documents, Masking(marks, self.share, self.masks, words), marks, length)
        if self.next_sentence:
            pairs = sentence_pairs(documents, length - marks.around_pair, seed)
            return MaskedPairs(documents, pairs, Masking(marks, self.share, self.masks, words), marks)
        return Masked(documents, passages(documents, length - 2), marks, self.share, self.masks, words)

    def objective(self) -> Objective:
        """What is to be made small."""
        if self.next_sentence:
            return Together([CrossEntropy(), ClassCrossEntropy("next")], [1.0, 1.0])
        return CrossEntropy()


class NextReading(Config):
    """Every token told from those before it."""

    kind: Literal["next"] = "next"
    prefix: float = Field(0.0, ge=0.0, lt=1.0)  # share of each block that is only read

    def build(self, documents: Documents, tokenizer: Tokenizer, length: int, seed: int) -> Reading:
        """Over one text, in blocks of ``length``."""
        return Next(documents, blocks(documents, length), tokenizer.marks, self.prefix)

    def objective(self) -> Objective:
        """What is to be made small."""
        return CrossEntropy()


class SpansReading(Config):
    """Spans replaced by sentinels, and written out (Raffel et al. 2020)."""

    kind: Literal["spans"] = "spans"
    share: Share = 0.15
    mean_length: float = Field(3.0, ge=1.0, le=100.0)

    def build(self, documents: Documents, tokenizer: Tokenizer, length: int, seed: int) -> Reading:
        """Over one text; ``length`` is the longest passage before anything is lost."""
        cut = passages(documents, length)
        return Spans(documents, cut, tokenizer.marks, self.share, self.mean_length)

    def objective(self) -> Objective:
        """What is to be made small."""
        return CrossEntropy()


class PrefixReading(Config):
    """The second part of a text told from the first, for an encoder with a decoder (Raffel et al. 2020)."""

    kind: Literal["prefix"] = "prefix"

    def build(self, documents: Documents, tokenizer: Tokenizer, length: int, seed: int) -> Reading:
        """Over one text; ``length`` is the longest passage before it is cut in two."""
        return Prefixed(documents, passages(documents, length), tokenizer.marks)

    def objective(self) -> Objective:
        """What is to be made small."""
        return CrossEntropy()


class DenoisingReading(Config):
    """Spoilt text written as it was (Lewis et al. 2020); the published noise is the one that is set."""

    kind: Literal["denoising"] = "denoising"
    infill: float = Field(0.3, ge=0.0, lt=1.0)  # share of the tokens in spans that a single mask stands for
    mean_length: float = Field(3.0, ge=1.0, le=100.0)  # of those spans
    delete: float = Field(0.0, ge=0.0, lt=1.0)  # share of the tokens that are gone without a mark
    permute: bool = True  # sentences (lines) in a random order
    rotate: bool = False  # the text begins at a random token

    def build(self, documents: Documents, tokenizer: Tokenizer, length: int, seed: int) -> Reading:
        """Over one text; ``length`` is the longest passage."""
        return Denoising(
            documents,
            passages(documents, length, across=False),
            tokenizer.marks,
            self.infill,
            self.delete,
            self.permute,
            self.rotate,
            self.mean_length,
        )

    def objective(self) -> Objective:
        """What is to be made small."""
        return CrossEntropy()


ReadingConfig = Annotated[
    MaskedReading | NextReading | PrefixReading | SpansReading | DenoisingReading,
    Field(discriminator="kind"),
]


def document_ends(reading: ReadingConfig) -> bool:
    """Whether END stands behind each document: where examples go on into the next one, as GPT's and RoBERTa's do."""
    match reading:
        case NextReading() | MaskedReading(next_sentence=False, translations=False):
            return True
        case _:
            return False


def lines_apart(reading: ReadingConfig) -> bool:
    """Whether each line is a text of its own, with its translation beside it."""
    return isinstance(reading, MaskedReading) and reading.translations
