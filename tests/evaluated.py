"""Run folders as training and evaluation leave them, with made-up numbers."""

import json
import random
from pathlib import Path

from henkan.evaluation import Evaluation, Scored, record
from henkan.folder import write_manifest
from toys import toy_pairs

SEGMENTS = 120


def corrupted(text: str, share: float, draw: random.Random) -> str:
    """Words of a text, some of them wrong."""
    return " ".join("zzz" if draw.random() < share else word for word in text.split())


def write_run(folder: Path, errors: float, seed: int = 1, test_seed: int = 9, preset: str = "gru") -> Path:
    """A finished run whose outputs get a share of the words wrong, the more the longer the source."""
    pairs = toy_pairs(SEGMENTS, seed=test_seed)
    draw = random.Random(seed)
    outputs = [corrupted(target, errors * len(source.split()) / 7, draw) for source, target in pairs]
    (folder / "model").mkdir(parents=True)
    (folder / "prepared").mkdir()
    sizes = {"kept": 9, "dropped": {}, "vocabulary": {"source": 60, "target": 60}}
    (folder / "prepared" / "report.json").write_text(json.dumps(sizes))
    (folder / "model" / "metrics.json").write_text("{}")
    write_manifest(folder / "model")
    (folder / "config.yaml").write_text(f"preset: {preset}\nsize: small\nscores: [bleu, chrf]\n")
    events: list[dict] = [{"event": "start", "parameters": 1_234_567, "seed": seed}]
    for update in range(10, 101, 10):
        loss = 5 * 0.98**update + errors
        told = {"update": update, "elapsed": update * 0.6}
        events.append({"event": "update", **told, "loss": loss, "tokens_per_second": 1000.0 + update})
        scores = {"bleu": 40 * (1 - errors) * update / 100}
        events.append({"event": "validation", **told, "loss": loss, "scores": scores, "best": True})
    events.append({"event": "end", "update": 100, "elapsed": 61.0, "best_update": 100, "reason": "budget"})
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    scored = Scored([source for source, _ in pairs], [[target] for _, target in pairs], outputs)
    record(Evaluation(outputs, [], [], "words of the source", [], scored=scored), folder)
    return folder
