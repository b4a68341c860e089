"""A toy corpus and a model trained on it once, for everything that starts from a finished run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from henkan.cli.app import main
from henkan.model import Model
from henkan.run import train
from toys import TINY_TRANSFORMER, toy_pairs, write_pairs


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
