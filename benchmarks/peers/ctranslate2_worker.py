"""CTranslate2, answering: ``ctranslate2_worker.py MODEL PIECES COMPUTE_TYPE WORKERS THREADS``.

Settings of a request are those of :class:`decoding.Setting`. CTranslate2 sorts by length itself, and gives a batch to a
worker as soon as one is free.
"""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ctranslate2
from answering import answer

LONGEST = 100
"""Tokens of an output, at most, for every toolkit; a badly trained model does not end every sentence."""


def main() -> None:
    model, pieces, compute_type, workers, threads = sys.argv[1:]
    sources = [line.split(" ") for line in Path(pieces).read_text(encoding="utf-8").split("\n")[:-1]]
    translator = ctranslate2.Translator(
        model, device="cpu", compute_type=compute_type, inter_threads=int(workers), intra_threads=int(threads)
    )

    def translate(settings: Mapping[str, Any]) -> tuple[float, list[str]]:
        rows = sources[:: settings["every"]]
        found = []
        began = time.perf_counter()
        for calls in [[row] for row in rows] if settings["alone"] else [rows]:
            found += translator.translate_batch(
                calls,
                beam_size=settings["beam"],
                max_batch_size=settings["batch"],
                batch_type="examples",
                max_decoding_length=LONGEST,
            )
        seconds = time.perf_counter() - began
        return seconds, [" ".join(each.hypotheses[0]) for each in found]

    answer(translate, lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
