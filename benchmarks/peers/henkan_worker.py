"""Henkan, answering: ``python -m benchmarks.peers.henkan_worker MODEL SOURCES PROCESSES [PRECISION]``.

Settings of a request are those of :class:`decoding.Setting`; with ``exact`` the network computes in float32 as it was
trained. Texts in, texts out: subwords are in the time. Outputs are ranked by their mean log-probability, as CTranslate2
ranks them. Work is shared as ``henkan predict --processes`` shares it, among processes of one thread; they have started
and have worked once before the clock runs, as CTranslate2's threads have.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from henkan.decode.beam import BeamOptions
from henkan.model import load
from henkan.models.inference import Precision
from henkan.tasks.translator import Translator
from henkan.tasks.workers import Workers

from .answering import answer
from .processes import family, peak_memory
from .workload import read_lines

LENGTHS = {"max_ratio": 0, "max_extra": 100, "max_length": 100}
"""100 tokens of output at most, as for the peers."""


class Decoding:
    """A loaded model and the texts it is asked for."""

    def __init__(self, folder: str, texts: list[str], processes: int, precision: Precision) -> None:
        self.workers = Workers(processes)
        self.workers.prepare()
        self.model = load(folder, precision=precision)
        self.texts = texts
        self.memory = 0.0

    def translate(self, settings: Mapping[str, Any]) -> tuple[float, list[str]]:
        """Seconds, and the outputs of every so many-th text."""
        ranked = {"beam": settings["beam"], "length_penalty": "plain", "alpha": 1.0, **LENGTHS}
        options = self.model.searching(ranked, "benchmark")
        exact = settings.get("exact", False)
        translator = self.model.plain_translator() if exact else self.model.translator()
        places = list(range(0, len(self.texts), settings["every"]))
        work = (
            partial(self.one_by_one, places) if settings["alone"] else partial(self.shared, places, settings["batch"])
        )
        seconds, found = work(translator, options)
        return seconds, [found[place] for place in places]

    def one_by_one(
        self, places: Sequence[int], translator: Translator, options: BeamOptions
    ) -> tuple[float, dict[int, str]]:
        """Each when the one before is done."""
        scored = options.beam > 1
        translator.predict([self.texts[0]], options=options, scored=scored)
        began = time.perf_counter()
        found = {
            place: translator.predict([self.texts[place]], options=options, scored=scored)[0][0].text
            for place in places
        }
        return time.perf_counter() - began, found

    def shared(
        self, places: Sequence[int], batch: int, translator: Translator, options: BeamOptions
    ) -> tuple[float, dict[int, str]]:
        """Batches of similar length, the longest first, each to whoever is free."""
        warming, warm, began = 2 * self.workers.processes, 0, 0.0

        def pieces() -> Iterator[tuple[list[int], list[list[int]]] | None]:
            nonlocal began
            for number in range(warming):
                yield [], translator.encode(self.texts[number : number + 1])
            while warm < warming:
                yield None
            began = time.perf_counter()
            sources = dict(zip(places, translator.encode([self.texts[place] for place in places]), strict=True))
            order = sorted(places, key=lambda place: -len(sources[place]))
            for first in range(0, len(order), batch):
                group = order[first : first + batch]
                yield group, [sources[place] for place in group]

        found: dict[int, str] = {}
        for group, answers in translator.answer(pieces(), options, scored=options.beam > 1, workers=self.workers):
            warm += not group
            found |= {place: each[0].text for place, each in zip(group, answers, strict=False)}
            if len(found) == len(places):  # the processes are still there
                seconds = time.perf_counter() - began
                self.memory = max(self.memory, sum(map(peak_memory, family(os.getpid()))))
        return seconds, found


def main() -> None:
    folder, file, processes, precision = [*sys.argv[1:], "auto"][:4]
    decoding = Decoding(folder, read_lines(Path(file)), int(processes), cast(Precision, precision))
    answer(decoding.translate, lambda: decoding.memory)


if __name__ == "__main__":
    main()
