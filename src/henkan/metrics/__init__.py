"""Scores with signatures, intervals and paired tests. Metrics take text in memory and read no files.

``bleu``, ``chrf``, … return a :class:`Score`; ``MEASURES`` names what they count, for scores by length
(:func:`by_length`) and tests between systems (:func:`paired`).
"""

from collections.abc import Callable, Sequence
from typing import Final

from henkan.metrics.answers import measure_answer_exact, measure_answer_f1
from henkan.metrics.bleu import bleu, chrf, measure_bleu, measure_chrf, measure_ter, ter
from henkan.metrics.classification import (
    measure_accuracy,
    measure_f1,
    measure_matthews,
    measure_pearson,
    measure_spearman,
)
from henkan.metrics.edit_distance import (
    edit_distance,
    exact_match,
    measure_exact_match,
    measure_phoneme_error_rate,
    measure_word_error_share,
    phoneme_error_rate,
    word_error_share,
)
from henkan.metrics.rouge import measure_rouge_1, measure_rouge_2, measure_rouge_l
from henkan.metrics.score import Comparison, LengthBand, Measurement, Score, by_length, compare, paired
from henkan.metrics.tagging import measure_entity_f1, measure_word_accuracy

Measure = Callable[[Sequence[str], Sequence[Sequence[str]]], Measurement]
"""Hypotheses and, per segment, their references, to what a metric counts in them."""

MEASURES: Final[dict[str, Measure]] = {
    "bleu": measure_bleu,
    "chrf": measure_chrf,
    "ter": measure_ter,
    "exact-match": measure_exact_match,
    "phoneme-error-rate": measure_phoneme_error_rate,
    "word-error-share": measure_word_error_share,
    "rouge-1": measure_rouge_1,
    "rouge-2": measure_rouge_2,
    "rouge-l": measure_rouge_l,
    "answer-exact": measure_answer_exact,
    "answer-f1": measure_answer_f1,
}
"""Every metric of texts by the name it has on the command line."""

LABEL_MEASURES: Final[dict[str, Measure]] = {
    "accuracy": measure_accuracy,
    "f1": measure_f1,
    "matthews": measure_matthews,
    "pearson": measure_pearson,
    "spearman": measure_spearman,
}
"""Those of labels and of numbers, which have one right answer each."""

TAG_MEASURES: Final[dict[str, Measure]] = {
    "word-accuracy": measure_word_accuracy,
    "entity-f1": measure_entity_f1,
}
"""Those of lines of labels, one label for each word."""

__all__ = [
    "LABEL_MEASURES",
    "MEASURES",
    "TAG_MEASURES",
    "Comparison",
    "LengthBand",
    "Measure",
    "Measurement",
    "Score",
    "bleu",
    "by_length",
    "chrf",
    "compare",
    "edit_distance",
    "exact_match",
    "measure_f1",
    "paired",
    "phoneme_error_rate",
    "ter",
    "word_error_share",
]
