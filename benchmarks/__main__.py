"""All that takes minutes, and one page of it: ``make bench``, or

    python -m benchmarks [training decoding commands growth] [--output bench-results] [--quick]

training   target tokens a second of four presets, and their share of the bf16 products this machine can do; on one
           thread and on all
decoding   sentences a second, greedy and beam 5, batches of 1, 32 and 64
commands   peak memory of `henkan train` and `henkan predict`, and the time until a first answer
growth     cost by sentence length, vocabulary, batch and corpus

Each part is a process of its own, in the file that its name says; their figures go to OUTPUT/*.json, the pictures to
OUTPUT/*.png, and OUTPUT/index.html has both. ``--quick`` only shows that everything runs. Nothing else should be
running on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from henkan.pages.document import document
from henkan.pages.markup import folded, section, table

PRESETS = ("transformer-small", "bahdanau-2015", "luong-2015", "lstm-peephole")

PARTS: dict[str, list[tuple[str, list[str]]]] = {
    "training": [
        ("speed", ["--presets", ",".join(PRESETS), "--rounds", "3", "--seconds", "3", "--threads", str(threads)])
        for threads in sorted({1, os.cpu_count() or 1})
    ],
    "decoding": [("decoding", ["--rounds", "2", "--lines", "320"])],
    "commands": [("commands", [])],
    "growth": [("growth", [])],
}
"""The modules of each part, and with which words."""

QUICK = {
    "speed": ["--presets", "transformer-tiny", "--rounds", "1", "--seconds", "0.2"],
    "decoding": ["--preset", "transformer-tiny", "--lines", "8", "--batches", "4", "--rounds", "1"],
    "commands": ["--preset", "transformer-tiny", "--updates", "2", "--rounds", "1"],
    "growth": ["--presets", "transformer-tiny", "--seconds", "0.01", "--prepared", "300,600", "--read", "3000,6000"],
}
"""Later words win over earlier ones."""


def run_part(part: str, folder: Path, quick: bool) -> str:
    """Run it here, showing what it prints; returns all of that."""
    said = []
    for number, (module, words) in enumerate(PARTS[part], start=1):
        name = part if len(PARTS[part]) == 1 else f"{part}-{number}"
        more = [*words, *(QUICK[module] if quick else []), "--json", str(folder / f"{name}.json")]
        print(f"\n== {part}: python -m benchmarks.{module} {' '.join(more)}", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *more], stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
        if process.wait():
            raise SystemExit(f"{part} failed with exit code {process.returncode}; the other parts can still be run")
    return "".join(said)


def figures(folder: Path, part: str) -> list[Any]:
    """What the modules of a part wrote, in order; nothing where it has not run."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{part}*.json"))]


def training_section(found: Sequence[Any]) -> str:
    """A row for each preset and number of threads."""
    rows = [
        (
            row["preset"],
            str(row["threads"]),
            row["precision"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['share_of_matmul']:.0%}",
            f"{row['lowest']:,.0f} to {row['highest']:,.0f}",
            f"{result['matmul_gflops']:,.0f}",
        )
        for result in found
        for row in result["rows"]
    ]
    head = ("preset", "threads", "precision", "target tokens/s", "share of products", "range", "products, GFLOP/s")
    note = "Products: the best of 20 of 2048³ each time, beside the updates. Real tokens; all of an update is counted."
    return section("Training", table(head, rows, texts=(0, 2)) + f"<p class=note>{note}</p>")


def decoding_section(found: Sequence[Any]) -> str:
    """A row for each beam, batch and way of multiplying."""
    rows = [
        (
            f"beam {row['beam']}" if row["beam"] > 1 else "greedy",
            str(row["batch"]),
            row["products"],
            f"{row['sentences_per_second']:,.1f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['times_plain']:.2f}",
        )
        for result in found
        for row in result
    ]
    head = ("search", "batch", "products", "sentences/s", "output tokens/s", "times the network itself")
    return section("Decoding", table(head, rows, texts=(0, 2)))


def commands_section(found: Sequence[Any]) -> str:
    """Memory and start."""
    rows = [
        (f"peak memory of {name}", f"{result[key]:,.0f} MB")
        for result in found
        for name, key in (("henkan train", "training_mb"), ("henkan predict, 1,000 lines", "predicting_mb"))
    ]
    for result in found:
        rows.append(("henkan predict, one sentence", f"{result['start_seconds']:.2f} s"))
        rows.append(("importing torch alone", f"{result['import_torch_seconds']:.2f} s"))
        rows.append(("ratio of the two", f"{result['start_ratio']:.2f}"))
    return section("Commands", table(("what", "spent"), rows, texts=(0,)))


def growth_section(found: Sequence[Any], folder: Path) -> str:
    """A picture for each thing that grows."""
    from benchmarks.growth import SUBJECTS
    from benchmarks.pictures import growth_picture

    curves = [curve for result in found for curve in result]
    pictures = []
    for name, subject in SUBJECTS.items():
        mine = [(curve["name"], [tuple(point) for point in curve["points"]]) for curve in curves]
        mine = [entry for entry, curve in zip(mine, curves, strict=True) if curve["subject"] == name]
        if mine:
            path = folder / f"{name}.png"
            pictures.append(growth_picture(path, subject.title, subject.across, subject.unit, mine))
    note = "Both axes by powers: a curve that is flatter than the broken line grows more slowly than its size."
    grid = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem"
    drawn = "".join(f'<div class="picture">{svg}</div>' for svg in pictures)
    style = "<style>.picture svg{width:100%;height:auto;border-radius:6px}</style>"
    return section("Growth", f'{style}<p class=note>{note}</p><div style="{grid}">{drawn}</div>')


def write_page(folder: Path, said: dict[str, str]) -> Path:
    """index.html from all figures in the folder, those of earlier runs too."""
    processor = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    remarks = (
        f"{time.strftime('%Y-%m-%d %H:%M')}: {processor}, {os.cpu_count()} cores; torch {version('torch')}, "
        f"Python {platform.python_version()}. Absolute figures hold for this machine at that hour; ratios travel.",
    )
    sections = [
        training_section(figures(folder, "training")) if figures(folder, "training") else "",
        decoding_section(figures(folder, "decoding")) if figures(folder, "decoding") else "",
        commands_section(figures(folder, "commands")) if figures(folder, "commands") else "",
        growth_section(figures(folder, "growth"), folder) if figures(folder, "growth") else "",
        *(
            section(f"As printed: {part}", folded("all lines", f"<pre>{escape(text)}</pre>"))
            for part, text in said.items()
        ),
    ]
    page = folder / "index.html"
    page.write_text(document("Benchmarks", remarks, sections), encoding="utf-8")
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of Henkan alone, and a page of them.")
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    said = {part: run_part(part, options.output, options.quick) for part in options.parts}
    page = write_page(options.output, said)
    print(f"\n{page}, after {time.perf_counter() - began:,.0f} s")


if __name__ == "__main__":
    main()
