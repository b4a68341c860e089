"""A toy corpus, and settings so small that a model of every family trains in a second."""

import random
from pathlib import Path

TINY = [
    "vocabulary={joint: true, source: {kind: bpe, vocabulary: 60}, target: null}",
    "model.embedding=16",
    "training.batch_tokens=256",
    "training.precision=fp32",
]
TINY_TRANSFORMER = [
    "preset=transformer-small",
    *TINY,
    "model.tied=all",
    *(f"model.{side}.{name}" for side in ("encoder", "decoder")
      for name in ("width=16", "heads=2", "feed_forward=32", "layers=1")),
]  # fmt: skip
TINY_LUONG = [
    "preset=luong-2015",
    *TINY,
    "model.encoder.cell.size=8",
    "model.decoder.cell.size=16",
]


def toy_pairs(count: int, seed: int = 7) -> list[tuple[str, str]]:
    """Sentences of made-up words, and the same words back to front."""
    draw = random.Random(seed)
    words = ["ka", "mo", "ri", "su", "te", "no", "hi", "wa", "yo", "ne"]
    sources = [[draw.choice(words) for _ in range(draw.randint(2, 7))] for _ in range(count)]
    return [(" ".join(source), " ".join(reversed(source))) for source in sources]


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return path
