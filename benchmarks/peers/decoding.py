"""Decoding speed: Henkan beside CTranslate2 (model A) and OpenNMT-py (model B), on the same weights.

Henkan's model is converted, so outputs are the same to rounding; that is checked before anything is measured. Models
stay loaded and take turns; loading is not in the time. Sentences a second of the 1,000 test sentences.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from henkan.metrics.bleu import bleu

from .answering import Worker
from .results import Comparison, Series
from .toolkits import configuration
from .workload import read_lines, write

HERE = Path(__file__).parent
SENTENCES = 1000
ALIKE = 0.99
"""Greedy outputs that must be equal, as a share: rounding may turn a choice between two equally likely tokens."""


@dataclass(frozen=True)
class Setting:
    """One way to decode.

    Attributes:
        beam: 1 is greedy.
        batch: sentences searched together, of similar length.
        every: every so many-th sentence.
        alone: each sentence is handed over when the one before is done, so that nothing else can run beside it.
    """

    beam: int
    batch: int
    every: int = 1
    alone: bool = False

    def __str__(self) -> str:
        search = "greedy" if self.beam == 1 else f"beam {self.beam}"
        return f"{search}, {'one at a time' if self.alone else f'batch {self.batch}'}"

    @property
    def sentences(self) -> int:
        """How many are decoded."""
        return len(range(0, SENTENCES, self.every))


def settings(quick: bool) -> list[Setting]:
    """What is measured with model A."""
    every = 4 if quick else 1
    found = []
    for beam in (1, 5):
        found += [Setting(beam, 1, 8 * every), Setting(beam, 1, 8 * every, alone=True)]
        found += [Setting(beam, batch, every) for batch in (32, 64)]
    return found


def henkan_worker(folder: Path, workload: Path, output: Path, threads: int, precision: str = "auto") -> Worker:
    """Henkan with a model folder."""
    command = [sys.executable, "-m", "benchmarks.peers.henkan_worker", str(folder), str(workload / "raw" / "test.en")]
    return Worker([*command, str(threads), precision], output / f"henkan_worker_{precision}.txt", {})


def compare_ctranslate2(
    folder: Path,
    workload: Path,
    output: Path,
    python: Path,
    measured: Sequence[Setting],
    rounds: int,
    threads: int,
    say: Callable[[str], None],
    precision: str = "auto",
) -> list[Comparison]:
    """Henkan beside CTranslate2 with as many workers of one thread, its best setting: float32 and int8."""
    names = {"float32": f"CTranslate2 float32, {threads} workers", "int8": f"CTranslate2 int8, {threads} workers"}
    with contextlib.ExitStack() as stack:
        workers = {"Henkan": stack.enter_context(henkan_worker(folder, workload, output, threads, precision))}
        for kind, name in names.items():
            converted = output / f"ctranslate2_{kind}"
            export = ["-m", "henkan", "export", str(folder), str(converted), "--to", "ctranslate2"]
            run([str(python), *export, "--quantisation", kind])
            command = [str(python), str(HERE / "ctranslate2_worker.py"), str(converted)]
            command += [str(workload / "pieces" / "test.en"), kind, str(threads), "1"]
            workers[name] = stack.enter_context(Worker(command, output / f"ctranslate2_{kind}.txt", {}))
        scores = Scores(workload, say)
        for beam in (1, 5):
            for name, worker in workers.items():
                worker.ask({"beam": beam, "batch": 32, "every": 1, "alone": False}, output / "outputs.txt")
                scores.add(f"{name}, beam {beam}", output / "outputs.txt")
        exact = {"beam": 1, "batch": 64, "every": 1, "alone": False, "exact": True}
        workers["Henkan"].ask(exact, output / "outputs.txt")
        scores.add("Henkan float32, beam 1", output / "outputs.txt")
        scores.check_alike("Henkan float32, beam 1", f"{names['float32']}, beam 1")
        speeds: dict[tuple[Setting, str], Series] = {}
        memory: dict[tuple[Setting, str], float] = {}
        for number in range(rounds):
            for setting in measured:
                for name, worker in workers.items():
                    answer = worker.ask(vars(setting))
                    speeds.setdefault((setting, name), []).append(setting.sentences / answer["seconds"])
                    memory[setting, name] = answer["memory"]
                told = ", ".join(f"{name} {speeds[setting, name][-1]:,.0f}" for name in workers)
                say(f"decoding A, round {number + 1}, {setting}: {told}; load {os.getloadavg()[0]:.1f}")
    return [
        Comparison(
            f"decoding A, {setting}",
            name,
            "sentences/s",
            speeds[setting, "Henkan"],
            speeds[setting, name],
            memory[setting, "Henkan"],
            memory[setting, name],
        )
        for setting in measured
        for name in names.values()
    ]


def compare_opennmt(
    folder: Path,
    workload: Path,
    output: Path,
    python: Path,
    rounds: int,
    threads: int,
    say: Callable[[str], None],
) -> list[Comparison]:
    """Henkan beside ``onmt_translate``, which tells its own time without loading, in batches of 64."""
    checkpoint = opennmt_checkpoint(folder, workload, output, python)
    source = output / "test.en"
    pieces = read_lines(workload / "pieces" / "test.en")
    write(source, [f"{line} </s>" for line in pieces])  # Henkan's encoders read the end of a sentence too
    measured = [Setting(beam, 64) for beam in (1, 5)]
    name = "OpenNMT-py 3.5.1 float32"
    speeds: dict[tuple[Setting, str], Series] = {}
    memory: dict[tuple[Setting, str], float] = {}
    scores = Scores(workload, say)
    with henkan_worker(folder, workload, output, threads) as worker:
        for setting in measured:
            worker.ask({**vars(setting), "exact": True}, output / "outputs.txt")  # which also warms it up
            worker.ask(vars(setting))
            scores.add(f"Henkan float32, beam {setting.beam}", output / "outputs.txt")
        for number in range(rounds):
            for setting in measured:
                answer = worker.ask(vars(setting))
                found = {"Henkan": (answer["seconds"], answer["memory"])}
                found[name] = translate(python, checkpoint, source, output, setting, threads)
                for who, (seconds, peak) in found.items():
                    speeds.setdefault((setting, who), []).append(setting.sentences / seconds)
                    memory[setting, who] = peak
                if not number:
                    scores.add(f"{name}, beam {setting.beam}", output / "opennmt_outputs.txt")
                told = ", ".join(f"{who} {speeds[setting, who][-1]:,.0f}" for who in found)
                say(f"decoding B, round {number + 1}, {setting}: {told}; load {os.getloadavg()[0]:.1f}")
    scores.check_alike("Henkan float32, beam 1", f"{name}, beam 1")
    return [
        Comparison(
            f"decoding B, {setting}",
            name,
            "sentences/s",
            speeds[setting, "Henkan"],
            speeds[setting, name],
            memory[setting, "Henkan"],
            memory[setting, name],
        )
        for setting in measured
    ]


def opennmt_checkpoint(folder: Path, workload: Path, output: Path, python: Path) -> Path:
    """Henkan's model B as a checkpoint; OpenNMT-py trains for one update first, to write one of its own."""
    place = output / "opennmt_template"
    place.mkdir()
    config = configuration("opennmt_B", workload, place, padded=256, updates=1)
    run([str(python), "-m", "onmt.bin.train", "-config", str(config)])
    checkpoint = output / "opennmt_B.pt"
    run([str(python), str(HERE / "opennmt_model.py"), str(folder), str(place / "model_step_1.pt"), str(checkpoint)])
    return checkpoint


def translate(
    python: Path, checkpoint: Path, source: Path, output: Path, setting: Setting, threads: int
) -> tuple[float, float]:
    """Seconds that ``onmt_translate`` says it took, and MiB at its peak."""
    command = [str(python), "-m", "onmt.bin.translate", "-model", str(checkpoint), "-src", str(source)]
    command += ["-output", str(output / "opennmt_outputs.txt"), "-report_time", "-length_penalty", "avg"]
    command += ["-beam_size", str(setting.beam), "-batch_size", str(setting.batch), "-batch_type", "sents"]
    command += ["-max_length", "100", "-max_length_ratio", "0"]
    # Its checkpoints hold its settings as an object, which torch refuses to load without this.
    environment = {"OMP_NUM_THREADS": str(threads), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    log = output / "opennmt_translate.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"Total translation time \(s\): ([\d.]+)", text)
    if process.returncode or not found:
        raise RuntimeError(f"{log}: onmt_translate ended with {process.returncode}:\n{text[-1500:]}")
    return float(found[1]), usage.ru_maxrss / 1024


class Scores:
    """BLEU of outputs, and whether two agree."""

    def __init__(self, workload: Path, say: Callable[[str], None]) -> None:
        self._references = read_lines(workload / "raw" / "test.de")
        self._outputs: dict[str, list[str]] = {}
        self._say = say

    def add(self, name: str, file: Path) -> None:
        """Outputs of the whole test set, as text or as subwords."""
        texts = [in_words(line) for line in read_lines(file)]
        self._outputs[name] = texts
        score = bleu(texts, [[reference] for reference in self._references], bootstrap=0)
        self._say(f"BLEU of {name}: {score.value:.2f}")

    def check_alike(self, first: str, second: str) -> None:
        """RuntimeError unless nearly all outputs are equal."""
        pairs = zip(self._outputs[first], self._outputs[second], strict=True)
        share = sum(one == other for one, other in pairs) / len(self._references)
        self._say(f"{first} and {second}: {share:.1%} of the outputs are equal")
        if share < ALIKE:
            raise RuntimeError(f"{first} and {second}: {share:.1%} equal outputs, expected {ALIKE:.0%}: not one model")


def in_words(line: str) -> str:
    """Subwords with spaces between them as a text; a text stays as it is."""
    return line.replace(" ", "").replace("▁", " ").strip() if "▁" in line else line


def run(command: Sequence[str]) -> None:
    """A short program that must succeed."""
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        tail = done.stdout[-500:] + done.stderr[-1500:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
