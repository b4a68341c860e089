"""Test scores of a model, computed once on outputs that nothing was chosen by, and where they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.decode.beam import BeamOptions
from henkan.folder import replace_file, write_texts
from henkan.metrics import MEASURES, LengthBand, Score, by_length
from henkan.model import Model
from henkan.report import write_report

SAMPLES = 10
"""Outputs that are kept for the report, spread over the test set."""


@dataclass(frozen=True)
class Evaluation:
    """Outputs of a model for a test set, and what they are worth."""

    outputs: list[str]
    scores: list[Score]
    bands: list[LengthBand]  # the first score by source length
    length_unit: str  # of that
    samples: list[dict[str, Any]]
    cut: int = 0  # outputs that reached their largest length before they ended

    def to_json(self) -> dict[str, Any]:
        """What stands in metrics.json."""
        return {
            "scores": [score.to_json() for score in self.scores],
            "by_length": [
                {"shortest": band.shortest, "longest": band.longest, "score": band.score.to_json()}
                for band in self.bands
            ],
            "length_unit": self.length_unit,
            "samples": self.samples,
        }


def evaluate(
    model: Model,
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    options: BeamOptions | None = None,
    scores: Sequence[str] = (),
) -> Evaluation:
    """Predict each source and score the outputs: by the scores named, or by those that the model's recipe names."""
    best = [found[0] for found in model.explain(sources, options)]
    outputs = [prediction.text for prediction in best]
    measurements = [MEASURES[name](outputs, references) for name in scores or model.config.scores]
    spaced = any(" " in source for source in sources)
    lengths = [len(source.split()) if spaced else len(source) for source in sources]
    step = max(1, len(sources) // SAMPLES)
    samples = [
        {"source": sources[place], "reference": list(references[place]), "output": outputs[place]}
        for place in range(0, len(sources), step)
    ][:SAMPLES]
    return Evaluation(
        outputs,
        [measurement.score() for measurement in measurements],
        by_length(measurements[0], lengths),
        "words of the source" if spaced else "characters of the source",
        samples,
        sum(not prediction.finished for prediction in best),
    )


def record(evaluation: Evaluation, folder: Path) -> Path:
    """Write metrics.json of a run folder (its model and its report with it), or of a model folder; returns the file."""
    text = json.dumps(evaluation.to_json(), ensure_ascii=False, indent=1) + "\n"
    model = folder if (folder / "manifest.json").is_file() else folder / "model"
    run = folder if model != folder else folder.resolve().parent
    replace_file(model, "metrics.json", text)
    if model.resolve().name != "model" or not (run / "events.jsonl").is_file():
        return model / "metrics.json"
    write_texts({run / "metrics.json": text})
    write_report(run)
    return run / "metrics.json"
