"""Decoding speed: the network itself beside the model for inference, alternating in one process.

    python benchmarks/decoding.py [--model runs/mine/model --sources test.en.gz] [--batches 1,32,64] [--beams 1,5]
                                  [--rounds 3] [--threads 1] [--lines 1000]

Without a model, a preset with random weights decodes made-up sentences with the lengths of Multi30k; it never ends by
itself, so outputs are cut at 1.1 times the length of their source. Sentences of a batch are of similar length, as in
``henkan predict``. Reading, subwords and loading are not in the time. Output tokens count the end mark. Ratios are the
medians of pairs; speeds are the best of all rounds.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from henkan.config import validate
from henkan.data.readers import read_lines
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.greedy import greedy_search
from henkan.decode.stepper import ModelStepper
from henkan.model import load
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.inference import for_inference
from henkan.nn.product import fast_in_bf16, native_kinds
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.tasks.translator import pad_sources
from henkan.tensors import Tokens
from henkan.text.normalise import normalise
from henkan.text.tokenizer import START

VOCABULARY = 8000


def made_up(preset: str, lines: int) -> tuple[EncoderDecoder, list[list[int]], BeamOptions]:
    """A preset with random weights, sources with the lengths of Multi30k, and limits that take the place of ends."""
    given = {"preset": preset, "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1000}}
    config = validate(RunConfig, with_preset([Layer(given, "benchmark")], USUAL)[0])
    torch.manual_seed(1)
    draw = np.random.default_rng(1)
    lengths = np.clip(draw.gamma(8.6, 13.3 / 8.6, lines).round(), 3, 60).astype(int)
    sources = [draw.integers(4, VOCABULARY, length).tolist() for length in lengths]
    return config.model.build(VOCABULARY, VOCABULARY).eval(), sources, BeamOptions(max_ratio=1.1, max_extra=0)


def decode(model: EncoderDecoder, sources: Sequence[list[int]], options: BeamOptions, batch: int) -> tuple[float, int]:
    """Seconds, and output tokens."""
    stepper, tokens = ModelStepper(model, model.head.weight.shape[0]), 0
    began = time.perf_counter()
    for first in range(0, len(sources), batch):
        group = pad_sources(list(sources[first : first + batch]), reverse_source=False)
        with torch.inference_mode():
            rows, limits = len(group.ids), options.limits(group.mask.sum(1))
            state = stepper.start(group, rows, int(limits.max()) + 1)
            prefix = Tokens(torch.full((rows, 1), START), torch.ones(rows, 1, dtype=torch.bool))
            if options.beam == 1:
                best = greedy_search(stepper, state, prefix, limits, options.penalty)
            else:
                best = [found[0] for found in beam_search(stepper, state, prefix, limits, options)]
        tokens += sum(len(hypothesis.tokens) + hypothesis.finished for hypothesis in best)
    return time.perf_counter() - began, tokens


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Decoding speed, the network itself beside the model for inference.")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--preset", default="transformer-small")
    parser.add_argument("--batches", default="1,32,64")
    parser.add_argument("--beams", default="1,5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, default=None, help="also write the rows there")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    if given.model is None:
        network, sources, options = made_up(given.preset, given.lines)
    else:
        model = load(given.model)
        texts = [normalise(line) for line in list(read_lines(given.sources))[: given.lines]]
        network, options = model.network, model.config.decoding
        sources = [source for source in model.tokenizers[0].encode(texts) if source]
    sources.sort(key=len, reverse=True)
    networks = {"plain": network, "float32": for_inference(network)}
    if fast_in_bf16():
        networks["bf16"] = for_inference(network, torch.bfloat16)
    if torch.int8 in native_kinds():
        networks["int8"] = for_inference(network, torch.int8)
    print(f"torch {torch.__version__}, {given.threads} threads, load of the machine {os.getloadavg()[0]:.2f}")
    print(f"{'beam':>4} {'batch':>5}  {'products':8} {'sentences/s':>11} {'tokens/s':>9} {'times plain':>11}")
    rows = []
    for beam in map(int, given.beams.split(",")):
        searching = options.model_copy(update={"beam": beam, "n_best": 1})
        for batch in map(int, given.batches.split(",")):
            some = sources[:: max(1, 8 // batch)]  # one by one takes long
            short = sources[len(sources) // 2 :][: 2 * batch]
            seconds: dict[str, list[float]] = {name: [] for name in networks}
            tokens = dict.fromkeys(networks, 0)
            for number in range(given.rounds + 1):
                for name, each in networks.items():
                    took, tokens[name] = decode(each, some if number else short, searching, batch)
                    if number:  # first calls are slow
                        seconds[name].append(took)
            for name, took in seconds.items():
                ratio = statistics.median(a / b for a, b in zip(seconds["plain"], took, strict=True))
                print(
                    f"{beam:4} {batch:5}  {name:8} {len(some) / min(took):11,.1f} {tokens[name] / min(took):9,.0f} "
                    f"{ratio:11.2f}",
                    flush=True,
                )
                row = {"beam": beam, "batch": batch, "products": name, "times_plain": ratio}
                speeds = {"sentences_per_second": len(some) / min(took), "tokens_per_second": tokens[name] / min(took)}
                rows.append(row | speeds)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
