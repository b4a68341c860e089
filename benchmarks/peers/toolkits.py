"""How each toolkit is told to train the shared workload, and what its log says of the target tokens it has learnt from.

The configurations are templates in ``configurations/``. Every toolkit reports after each update, or as often as it can.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from .workload import mean_target_tokens

ENDLESS = 1_000_000
"""Updates: no training here ends by itself."""

PADDED_SHARE = 1.15
"""Padded size of a batch (rows times the longest side) over its real target tokens, where pairs are sorted."""


@dataclass(frozen=True)
class Training:
    """A training that can be started.

    Attributes:
        name: the toolkit, its version and precision.
        command: what to run.
        log: the file it reports to.
        tokens_of: a new reader of the log's lines; see :meth:`processes.Program.run`.
    """

    name: str
    command: list[str]
    log: Path
    tokens_of: Callable[[], Callable[[str], int | None]]


def henkan(model: str, workload: Path, output: Path, tokens: int) -> Training:
    """``henkan train`` with the preset of this model; its batches are limited in padded tokens."""
    preset = {"A": "transformer-small", "B": "luong-2015"}[model]
    raw = workload / "raw"
    files = [
        *("--source", str(raw / "train.en"), "--target", str(raw / "train.de")),
        *("--valid-source", str(raw / "val.en"), "--valid-target", str(raw / "val.de")),
    ]
    settings = [
        f"training.batch_tokens={round(tokens * PADDED_SHARE)}",
        f"training.validate_every={ENDLESS}",
        f"training.checkpoint_every={ENDLESS}",
    ]
    command = [sys.executable, "-m", "henkan", "train", "--preset", preset, "--size", "small", "--steps", str(ENDLESS)]
    command += ["--output", str(output / "run"), *files, *settings]
    return Training("Henkan", command, output / "run" / "events.jsonl", HenkanEvents)


def opennmt(model: str, workload: Path, output: Path, tokens: int, python: Path) -> Training:
    """``onmt_train``; each update has a line with the target tokens of its batch."""
    config = configuration(f"opennmt_{model}", workload, output, padded=round(tokens * PADDED_SHARE))
    command = [str(python), "-m", "onmt.bin.train", "-config", str(config)]
    return Training("OpenNMT-py 3.5.1 float32", command, output / "output.txt", lambda: opennmt_tokens)


def eole(model: str, workload: Path, output: Path, tokens: int, python: Path, precision: str) -> Training:
    """``eole train``, whose log is like OpenNMT-py's; precision is fp32 or bf16."""
    padded = round(tokens * PADDED_SHARE)
    config = configuration(f"eole_{model}", workload, output, padded=padded, precision=precision)
    command = [str(python), "-m", "eole.bin.main", "train", "-c", str(config)]
    spoken = {"fp32": "float32", "bf16": "bf16"}[precision]
    return Training(f"eole 0.6.4 {spoken}", command, output / "output.txt", lambda: opennmt_tokens)


def joeynmt(model: str, workload: Path, output: Path, tokens: int, python: Path) -> Training:
    """``joeynmt train``; it draws sentences at random, so a batch has their mean length times their number."""
    mean = mean_target_tokens(workload)
    sentences = round(tokens / mean)
    config = configuration(f"joeynmt_{model}", workload, output, sentences=sentences)
    command = [str(python), "-m", "joeynmt", "train", str(config), "--skip-test"]
    return Training(
        "JoeyNMT 2.3.0 float32",
        command,
        output / "output.txt",
        lambda: partial(joeynmt_tokens, round(sentences * mean)),
    )


def configuration(name: str, workload: Path, output: Path, **values: object) -> Path:
    """A filled template, in ``output``."""
    template = Path(__file__).parent / "configurations" / f"{name}.yaml"
    text = Template(template.read_text(encoding="utf-8")).substitute(
        {"workload": workload, "output": output, "updates": ENDLESS, **values}
    )
    path = output / "configuration.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class HenkanEvents:
    """Reads events.jsonl, which has the speed since the last report, about once a second."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __call__(self, line: str) -> int | None:
        """Tokens since the last report; the first one tells none, since nobody knows when its time began."""
        event = json.loads(line)
        if event["event"] != "update":
            return None
        since, self._last = self._last, event["elapsed"]
        return 0 if since is None else round(event["tokens_per_second"] * (event["elapsed"] - since))


def opennmt_tokens(line: str) -> int | None:
    """Of the one update of this line: "bsz: source/target/sentences" are its real tokens."""
    found = re.search(r" Step +\d+/.* bsz: *\d+/ *(\d+)/ *\d+;", line)
    return int(found[1]) if found else None


def joeynmt_tokens(tokens_of_an_update: int, line: str) -> int | None:
    """Of the one update of this line; the log has speeds only, which count the time it was stopped."""
    return tokens_of_an_update if re.search(r"Step: +\d+, .*Tokens per Sec", line) else None
