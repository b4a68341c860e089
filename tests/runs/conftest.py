"""A toy corpus and a model trained on it once, for everything that starts from a finished run."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from henkan.cli.app import main
from henkan.model import Model
from henkan.run import train

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


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred toy pairs."""
    return write_pairs(tmp_path_factory.mktemp("corpus") / "pairs.tsv", toy_pairs(200))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, pairs_file: Path) -> Path:
    """The folder of a short Transformer run; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    train({"data": {"pairs": str(pairs_file)}}, [*TINY_TRANSFORMER, "training.steps=30"], output=folder)
    return folder


@pytest.fixture(scope="session")
def toy_model(finished_run: Path) -> Model:
    """The model of that run."""
    from henkan import load

    return load(finished_run)


@pytest.fixture
def henkan(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line, run here: exit code, output, errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call
