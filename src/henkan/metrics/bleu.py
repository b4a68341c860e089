"""BLEU (Papineni 2002), chrF (Popović 2015) and TER (Snover 2006), counted and computed by sacreBLEU (Post 2018).

Hypotheses and references are plain, detokenised text. BLEU cuts words itself; how is part of the signature.
Scripts without spaces between words need another cut than sacreBLEU's ``13a``: :func:`tokenizer_for` looks at the
references. sacreBLEU is imported where it counts: whoever only predicts does not wait for it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from henkan.errors import InputError
from henkan.metrics.score import SEED, Measurement, Score, check_segments

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric
    from sacrebleu.metrics.bleu import BLEU

TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
"""The ways to cut words for BLEU that need no download."""


@dataclass(frozen=True)
class FromSacreBLEU:
    """A metric of sacreBLEU that has seen the references (their number is in its signature)."""

    metric: SacreMetric
    name: str
    higher_is_better: bool
    describe: Callable[[Any], dict[str, Any]]

    def value(self, sums: np.ndarray) -> float:
        """The score, in percent, of counts (k,) summed over segments."""
        return float(self.metric._compute_score_from_stats(sums.tolist()).score)

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """What the score is made of, ready for JSON."""
        return self.describe(self.metric._compute_score_from_stats(sums.tolist()))

    def signature(self, resamples: int) -> str:
        """sacreBLEU's signature."""
        self.metric.n_bootstrap, self.metric.seed = (resamples, str(SEED)) if resamples else (None, None)
        return str(self.metric.get_signature())


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    bootstrap: int = 1000,
    tokenize: str | None = None,
) -> Score:
    """BLEU of a corpus, cased, with exponential smoothing as in mteval.

    Args:
        hypotheses: one output per segment.
        references: per segment, one or more translations; their number may vary.
        bootstrap: resamples for the 95 % interval; 0 for none, which is fast enough for validation.
        tokenize: one of :data:`TOKENIZERS`; None looks at the references (:func:`tokenizer_for`).
    """
    return measure_bleu(hypotheses, references, tokenize=tokenize).score(bootstrap)


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, bootstrap: int = 1000) -> Score:
    """chrF2 of a corpus: F-score of character n-grams up to 6, recall counting twice; the closest reference counts."""
    return measure_chrf(hypotheses, references).score(bootstrap)


def ter(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, bootstrap: int = 1000) -> Score:
    """Translation edit rate, lower-cased: edits and shifts per reference word; lower is better."""
    return measure_ter(hypotheses, references).score(bootstrap)


def measure_bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: str | None = None
) -> Measurement:
    """What :func:`bleu` counts: lengths, and n-gram matches and totals up to 4."""
    check_segments(hypotheses, references)
    return _measure(
        FromSacreBLEU(_bleu_metric(tokenize or tokenizer_for(references)), "BLEU", True, _describe_bleu),
        hypotheses,
        references,
    )


def measure_chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """What :func:`chrf` counts: character n-grams of hypothesis, reference, and both."""
    from sacrebleu.metrics.chrf import CHRF

    return _measure(FromSacreBLEU(CHRF(), "chrF2", True, lambda score: {}), hypotheses, references)


def measure_ter(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """What :func:`ter` counts: edits, and words of the average reference."""
    from sacrebleu.metrics.ter import TER

    return _measure(FromSacreBLEU(TER(), "TER", False, _describe_ter), hypotheses, references)


def tokenizer_for(references: Sequence[Sequence[str]]) -> str:
    """How BLEU should cut these references: ``zh``, ``char`` or ``13a``.

    Chinese is cut by sacreBLEU's ``zh``; Japanese, Thai, Lao, Khmer and Burmese into characters, which needs nothing
    installed (``ja-mecab`` can be asked for by name). Text already cut by spaces, and all other scripts, take ``13a``.
    Judged on the first 1,000 segments.
    """
    text = "\n".join(itertools.chain.from_iterable(references[:1000]))
    unspaced = len(UNSPACED.findall(text))
    if 2 * unspaced <= len(LETTER.findall(text)):
        return "13a"
    touching, spaced = len(TOUCHING.findall(text)), len(SPACED.findall(text))
    if spaced * 4 > touching + spaced:
        return "13a"
    han = len(HAN.findall(text))
    return "zh" if han > 0.95 * unspaced else "char"


_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
UNSPACED = re.compile(f"[{_SCRIPTS}]")
"""A letter of a script that is written without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese characters."""
TOUCHING = re.compile(f"[{_SCRIPTS}](?=[{_SCRIPTS}])")
SPACED = re.compile(f"[{_SCRIPTS}](?= [{_SCRIPTS}])")
HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LETTER = re.compile(r"[^\W\d_]")


def _bleu_metric(tokenize: str) -> BLEU:
    if tokenize not in TOKENIZERS:
        raise InputError(f"tokenize {tokenize!r}: expected one of {', '.join(TOKENIZERS)}")
    from sacrebleu.metrics.bleu import BLEU

    try:
        return BLEU(tokenize=tokenize)
    except (RuntimeError, ImportError) as error:
        extra = tokenize.partition("-")[0]
        raise InputError(
            f"tokenize {tokenize!r} needs packages that are not installed: pip install 'sacrebleu[{extra}]', "
            "or choose 'char'"
        ) from error


def _measure(metric: FromSacreBLEU, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    check_segments(hypotheses, references)
    # sacreBLEU wants whole reference files, with None where a segment has fewer references than another.
    streams = list(itertools.zip_longest(*references))
    counts = metric.metric._extract_corpus_statistics(list(hypotheses), streams)
    return Measurement(metric, np.asarray(counts, dtype=np.float64))


def _describe_bleu(score: Any) -> dict[str, Any]:
    return {
        "precisions": [float(precision) for precision in score.precisions],
        "brevity_penalty": float(score.bp),
        "hypothesis_length": int(score.sys_len),
        "reference_length": int(score.ref_len),
    }


def _describe_ter(score: Any) -> dict[str, Any]:
    return {"edits": int(score.num_edits), "reference_length": float(score.ref_length)}
