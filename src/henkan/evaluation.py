"""Test scores of a model, computed once on outputs that nothing was chosen by, and where they are written.

runs/x/metrics.json     scores with signatures and intervals, scores by length, a few samples
runs/x/outputs.jsonl    every segment: {"source": "…", "references": ["…", …], "output": "…"}, for paired tests
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.data.example import Pair
from henkan.decode.beam import BeamOptions
from henkan.errors import FolderError
from henkan.folder import replace_file, write_texts
from henkan.metrics import MEASURES, LengthBand, Score, by_length
from henkan.model import TextModel
from henkan.report import write_report
from henkan.tasks.workers import ALONE, Workers
from henkan.text.normalise import normalise

SAMPLES = 10
"""Outputs that are kept for the report, spread over the test set."""

OUTPUTS = "outputs.jsonl"
"""The file of all outputs in a run folder."""

MOST_KEPT = 100_000
"""Segments of a test set whose outputs are kept; of a larger one there is no outputs.jsonl."""

LARGEST_OUTPUTS = 1 << 30
"""Bytes of outputs.jsonl."""


@dataclass(frozen=True)
class Scored:
    """What was scored: for each segment the source, its references, and the output of a model."""

    sources: list[str]
    references: list[list[str]]
    outputs: list[str]


@dataclass(frozen=True)
class Unseen:
    """Scores without the sources that stand in the training data word for word, and how many those are."""

    seen: int
    scores: list[Score]


@dataclass(frozen=True)
class Evaluation:
    """Outputs of a model for a test set, and what they are worth."""

    outputs: list[str]
    scores: list[Score]
    bands: list[LengthBand]  # the first score by source length
    length_unit: str  # of that
    samples: list[dict[str, Any]]
    cut: int = 0  # outputs that reached their largest length before they ended
    scored: Scored | None = None  # what outputs.jsonl is to hold; None: nothing
    unseen: Unseen | None = None  # None: nobody looked for test sources in the training data

    def to_json(self) -> dict[str, Any]:
        """What stands in metrics.json."""
        unseen = self.unseen
        told = {"seen": unseen.seen, "scores": [score.to_json() for score in unseen.scores]} if unseen else None
        return {
            "scores": [score.to_json() for score in self.scores],
            **({"unseen": told} if told else {}),
            "by_length": [
                {"shortest": band.shortest, "longest": band.longest, "score": band.score.to_json()}
                for band in self.bands
            ],
            "length_unit": self.length_unit,
            "samples": self.samples,
        }


def evaluate(
    model: TextModel,
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    options: BeamOptions | None = None,
    scores: Sequence[str] = (),
    workers: Workers = ALONE,
    training: Iterable[Pair] | None = None,
) -> Evaluation:
    """Predict each source and score the outputs: by the scores named, or by those that the model's recipe names.

    Args:
        training: the pairs that the model learnt from; the test is then also scored without the sources among them.
    """
    best = [found[0] for found in model.explain(sources, options, workers=workers)]
    outputs = [prediction.text for prediction in best]
    names = scores or model.config.scores
    measurements = [MEASURES[name](outputs, references) for name in names]
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
        Scored(list(sources), [list(answers) for answers in references], outputs),
        None if training is None else _unseen(sources, references, outputs, names, training),
    )


def _unseen(
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    outputs: Sequence[str],
    names: Sequence[str],
    training: Iterable[Pair],
) -> Unseen:
    """The training pairs are read once, and none of them is kept."""
    tested = set(map(normalise, sources))
    known = {source for pair in training if (source := normalise(pair.source)) in tested}
    new = [place for place, source in enumerate(sources) if normalise(source) not in known]
    if not new:
        return Unseen(len(sources), [])
    chosen = [outputs[place] for place in new], [references[place] for place in new]
    return Unseen(len(sources) - len(new), [MEASURES[name](*chosen).score() for name in names])


def record(evaluation: Evaluation, folder: Path) -> Path:
    """Write metrics.json of a run folder (with its model's, outputs.jsonl and the report), or of a model folder.

    Returns:
        The metrics.json that was written.
    """
    text = json.dumps(evaluation.to_json(), ensure_ascii=False, indent=1) + "\n"
    model = folder if (folder / "manifest.json").is_file() else folder / "model"
    run = folder if model != folder else folder.resolve().parent
    replace_file(model, "metrics.json", text)
    if model.resolve().name != "model" or not (run / "events.jsonl").is_file():
        return model / "metrics.json"
    texts = {run / "metrics.json": text}
    if evaluation.scored is not None and len(evaluation.scored.outputs) <= MOST_KEPT:
        texts[run / OUTPUTS] = _lines(evaluation.scored)
    else:
        (run / OUTPUTS).unlink(missing_ok=True)  # those of an earlier test are not what metrics.json tells of
    write_texts(texts)
    write_report(run)
    return run / "metrics.json"


def read_outputs(run: Path) -> Scored:
    """What :func:`record` kept of a run folder's last evaluation.

    Raises:
        FolderError: there is nothing, or it is damaged.
    """
    path = run / OUTPUTS
    if not path.is_file():
        raise FolderError(f"{run}: has no {OUTPUTS}; score the run on the test set with `henkan evaluate {run} …`")
    if path.stat().st_size > LARGEST_OUTPUTS:
        raise FolderError(f"{path}: {path.stat().st_size:,} bytes; expected at most {LARGEST_OUTPUTS:,}")
    scored = Scored([], [], [])
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                told = json.loads(line)
                scored.sources.append(str(told["source"]))
                scored.references.append([str(answer) for answer in told["references"]])
                scored.outputs.append(str(told["output"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path}: damaged ({type(error).__name__}: {error}); evaluate the run again") from error
    return scored


def _lines(scored: Scored) -> str:
    rows = zip(scored.sources, scored.references, scored.outputs, strict=True)
    told = ({"source": source, "references": answers, "output": output} for source, answers, output in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told)
