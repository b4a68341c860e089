"""What a GPU makes of each part, in the order of the questions; each part fits in ten minutes.

    python benchmarks/gpu.py --part lstm            # or several: --part lstm,cell
    python benchmarks/gpu.py --list
    python benchmarks/gpu.py --device cpu --tiny    # everything, so small that it says nothing but that it runs

Times are the median of calls that alternate with those they are compared to, in milliseconds, by the device's own clock
on a GPU. `share` is the part of the matrix rate measured in the same run: the best of 20 products of 2048^3 in bf16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.config import validate
from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import Packing, packed_shape
from henkan.data.plan import Lengths, Plan
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.captured import CapturedBeamSearch
from henkan.decode.stepper import ModelStepper
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.cache import PreallocatedCache
from henkan.nn.fixed_cache import FixedCache
from henkan.nn.graphs import Recorded
from henkan.nn.lstm import LSTMConfig
from henkan.nn.recurrent import run
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.tensors import Batch, Tokens
from henkan.text.tokenizer import START
from henkan.training.compiled import CompiledPacked
from henkan.training.schedule import Moment
from henkan.training.update import Updater, Work

Row = dict[str, Any]


class Bench:
    """The device, how large things are, and how time is taken."""

    def __init__(self, device: str, tiny: bool, rounds: int) -> None:
        self.device = torch.device(device)
        self.tiny = tiny
        self.rounds = rounds
        self.half = torch.float32 if tiny else torch.bfloat16
        self.rate = self._matmul_rate()  # operations a second

    def size(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, work: Callable[[], Any]) -> float:
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return 1000 * (time.perf_counter() - began)

    def compare(self, works: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Median time of each, taking turns; the first two calls of each do not count."""
        for work in works.values():
            for _ in range(1 if self.tiny else 2):
                work()
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(self.rounds):
            for name, work in works.items():
                times[name].append(self.milliseconds(work))
        return {name: statistics.median(found) for name, found in times.items()}

    def _matmul_rate(self) -> float:
        size = self.size(2048, 128)
        left, right = (torch.randn(size, size, device=self.device).to(self.half) for _ in range(2))
        return 2 * size**3 / min(self.milliseconds(lambda: left @ right) for _ in range(20)) * 1000


def learnt(forward: Callable[[], Tensor], module: nn.Module) -> Callable[[], None]:
    """Forward and backward."""

    def work() -> None:
        module.zero_grad(set_to_none=True)
        forward().float().sum().backward()

    return work


def lstm(bench: Bench) -> list[Row]:
    """A standard LSTM: one-layer modules in fp16 and bf16, and one module of four layers."""
    width, steps, layers = bench.size(1024, 16), bench.size(30, 4), bench.size(4, 2)
    rows = []
    for batch in (64, 128, 256, 512) if not bench.tiny else (4,):
        works = {}
        for name, dtype, depth in (
            ("fp16", torch.float16, 1),
            ("bf16", torch.bfloat16, 1),
            ("bf16", torch.bfloat16, layers),
        ):
            dtype = torch.float32 if bench.tiny else dtype
            stack = nn.ModuleList(nn.LSTM(width, width, depth, batch_first=True) for _ in range(layers // depth))
            stack = stack.to(bench.device, dtype)
            inputs = torch.randn(batch, steps, width, device=bench.device, dtype=dtype)

            def forward(stack: nn.ModuleList = stack, inputs: Tensor = inputs) -> Tensor:
                for layer in stack:
                    inputs, _ = layer(inputs)
                return inputs

            works[f"{name}, {layers // depth} modules of {depth}"] = learnt(forward, stack)
        operations = 6 * layers * 8 * width * width * batch * steps
        for name, took in bench.compare(works).items():
            share = 1000 * operations / took / bench.rate
            rows.append({"what": name, "batch": batch, "ms": took, "share": share})
    return rows


def cell(bench: Bench) -> list[Row]:
    """Our cell function, which peepholes need, called and recorded, against torch's standard LSTM."""
    width, steps = bench.size(1024, 16), bench.size(30, 4)
    rows = []
    for batch in (64, 512) if not bench.tiny else (4,):
        ours = LSTMConfig(size=width, peephole=True).build(width).to(bench.device, bench.half)
        standard = nn.LSTM(width, width, batch_first=True).to(bench.device, bench.half)
        inputs = torch.randn(batch, steps, width, device=bench.device, dtype=bench.half)
        mask = torch.ones(batch, steps, dtype=torch.bool, device=bench.device)
        zero = torch.zeros(batch, width, device=bench.device, dtype=bench.half)

        def ahead(inputs: Tensor, ours: Any = ours, mask: Tensor = mask, zero: Tensor = zero) -> tuple[Tensor, ...]:
            return (run(ours, inputs, mask, (zero, zero))[0],)

        with torch.no_grad():
            recorded = Recorded(ahead, [inputs])

        def unlearnt(work: Callable[[], Any]) -> Callable[[], None]:
            def run_it() -> None:
                with torch.no_grad():
                    work()

            return run_it

        works = {
            "standard, forward": unlearnt(lambda: standard(inputs)),  # noqa: B023
            "peephole, forward": unlearnt(lambda: ahead(inputs)),  # noqa: B023
            "peephole, forward, recorded": unlearnt(lambda: recorded(inputs)),  # noqa: B023
            "standard, both ways": learnt(lambda: standard(inputs)[0], standard),  # noqa: B023
            "peephole, both ways": learnt(lambda: ahead(inputs)[0], ours),  # noqa: B023
        }
        rows += [{"what": name, "batch": batch, "ms": took} for name, took in bench.compare(works).items()]
    return rows


class Sentences:
    """Pairs of random tokens with the lengths of newspaper sentences, or of a few words."""

    def __init__(self, bench: Bench, vocabulary: int) -> None:
        draw = np.random.default_rng(1)
        count, mean = bench.size(20_000, 60), bench.size(28, 4)
        source = np.clip(draw.gamma(4.0, mean / 4.0, count).round(), 1, 8 * mean).astype(np.int32)
        target = np.clip((source * draw.normal(1.05, 0.2, count)).round(), 1, 8 * mean).astype(np.int32)
        self.lengths = Lengths(source + 1, target + 1)
        self._tokens = draw.integers(4, vocabulary, 8 * mean, dtype=np.int32)

    def examples(self, places: np.ndarray) -> list[Example]:
        sides = (self.lengths.source, self.lengths.target)
        return [Example(int(n), *(self._tokens[: int(side[n]) - 1] for side in sides)) for n in places]

    def padded(self, tokens: int, count: int, multiple: int = 1) -> list[Batch]:
        """So many batches of at most so many padded tokens; lengths and rows rounded down to few shapes."""
        plan = Plan([self.lengths], 1, tokens)
        chosen = [plan.update(0, 0, number).places for number in range(min(count, plan.updates(0, 0)))]
        return [collate_pairs(self.examples(places[: max(1, len(places) // multiple * multiple)])) for places in chosen]

    def packed(self, tokens: int, count: int) -> list[Batch]:
        packing = Packing(packed_shape([self.lengths], tokens), 1)
        plan = Plan([self.lengths], 1, tokens, cut=packing.cut)
        chosen = [plan.update(0, 0, number).places for number in range(min(count, plan.updates(0, 0)))]
        return [collate_packed(self.examples(places), packing.shape) for places in chosen]


def configured(preset: str, bench: Bench) -> RunConfig:
    """A preset for a made-up corpus; tiny: with nothing wider than 16."""
    given: dict[str, Any] = {"preset": preset, "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1000}}
    if bench.tiny and preset.startswith("transformer"):
        part = {"width": 16, "heads": 2, "feed_forward": 16, "layers": 1}
        given["model"] = {"embedding": 16, "tied": "all", "encoder": part, "decoder": part}
    elif bench.tiny:
        sides = {"cell": {"kind": "lstm", "size": 16}, "layers": 3}
        given["model"] = {"embedding": 16, "encoder": sides, "decoder": sides} if preset.startswith("gnmt") else {
            "embedding": 16, "encoder": {"cell": {"size": 8}}, "decoder": {"cell": {"size": 16}}
        }  # fmt: skip
    return validate(RunConfig, with_preset([Layer(given, "benchmark")], USUAL)[0])


def built(preset: str, bench: Bench, vocabulary: int) -> EncoderDecoder:
    torch.manual_seed(1)
    return configured(preset, bench).model.build(vocabulary, vocabulary).to(bench.device, bench.half)


def going_round(
    bench: Bench, model: EncoderDecoder, forward: Callable[[Batch], Any], batches: list[Batch]
) -> Callable[[], None]:
    """Forward and backward over all the batches."""
    learner = Learner(forward, CrossEntropy(0.1)).train()
    here = [batch.to(bench.device) for batch in batches]

    def work() -> None:
        for batch in here:
            model.zero_grad(set_to_none=True)
            learner(batch, {"tokens": 1.0})[0].backward()

    return work


def transformer(bench: Bench) -> list[Row]:
    """Transformer-base: padded eager, padded compiled for few shapes, packed, packed compiled, packed with graphs."""
    vocabulary, tokens, count = bench.size(32_000, 50), bench.size(16_384, 64), bench.size(8, 2)
    backend = "aot_eager" if bench.tiny else "inductor"
    model, data = built("transformer-base", bench, vocabulary).train(), Sentences(bench, vocabulary)
    padded, packed = data.padded(tokens, count), data.packed(tokens, count)
    ways: dict[str, tuple[Callable[[Batch], Any], list[Batch]]] = {"padded": (model, padded), "packed": (model, packed)}
    if bench.device.type == "cuda":
        few = data.padded(tokens, count, multiple=8)
        ways["padded, compiled"] = (torch.compile(model, dynamic=False, backend=backend), few)
        ways["packed, compiled"] = (CompiledPacked(model, backend), packed)
        ways["packed, compiled, graphs"] = (CompiledPacked(model, backend, graphs=True), packed)
    works = {name: going_round(bench, model, *way) for name, way in ways.items()}
    units = {name: sum(batch.units["tokens"] for batch in way[1]) for name, way in ways.items()}
    return [
        {"what": name, "ms": took, "target_tokens_per_second": 1000 * units[name] / took}
        for name, took in bench.compare(works).items()
    ]


def feeding(bench: Bench) -> list[Row]:
    """A decoder with input feeding (Luong): eager both ways, forward, and forward recorded for one shape."""
    vocabulary, rows = bench.size(32_000, 50), bench.size(128, 4)
    model = built("luong-2015", bench, vocabulary).eval()
    data = Sentences(bench, vocabulary)
    examples = data.examples(np.argsort(data.lengths.source, kind="stable")[-rows:])
    batch = collate_pairs(examples).to(bench.device)
    source, target = batch.source, batch.target
    assert isinstance(source, Tokens) and isinstance(target, Tokens)

    def ahead(sources: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        state = model.start(Tokens(sources, source.mask), rows, 0)
        return (model.decoder(Tokens(targets, target.mask), state).hidden,)

    with torch.no_grad():
        recorded = Recorded(ahead, [source.ids, target.ids])

    def unlearnt(work: Callable[[Tensor, Tensor], Any]) -> Callable[[], None]:
        def run_it() -> None:
            with torch.no_grad():
                work(source.ids, target.ids)

        return run_it

    works = {
        "both ways": going_round(bench, model, model, [batch]),
        "forward": unlearnt(ahead),
        "forward, recorded": unlearnt(recorded),
    }
    steps = target.ids.shape[1]
    return [{"what": name, "steps": steps, "ms": took} for name, took in bench.compare(works).items()]


def beam(bench: Bench) -> list[Row]:
    """What a reordered cache costs by copying and by table of ancestors; a whole search, eager and captured."""
    sources, width, steps = bench.size(64, 2), bench.size(4, 2), bench.size(48, 4)
    rows, heads, size, layers = sources * width, bench.size(8, 2), bench.size(64, 8), bench.size(6, 1)
    new = torch.randn(rows, 1, 2, heads, size, device=bench.device, dtype=bench.half)
    parents = torch.randint(0, rows, (rows,), device=bench.device)
    fixed = FixedCache(
        new.new_zeros(rows, steps, 2, heads, size), torch.zeros(1, dtype=torch.int64, device=bench.device)
    )
    tabled = PreallocatedCache(steps)
    for _ in range(steps - 1):
        tabled = tabled.append(new).select(parents)

    def copying() -> None:
        for _ in range(layers):
            fixed.append(new).select(parents).filled.sum()

    def looking_up() -> None:
        for _ in range(layers):
            tabled.append(new).select(parents).filled.sum()

    found = [
        {"what": f"one step, {name}", "ms": took}
        for name, took in bench.compare({"copied": copying, "by table": looking_up}).items()
    ]
    vocabulary = bench.size(32_000, 50)
    by = ModelStepper(built("transformer-base", bench, vocabulary).eval(), vocabulary)
    source = Tokens(
        torch.randint(4, vocabulary, (sources, bench.size(30, 4)), device=bench.device),
        torch.ones(sources, bench.size(30, 4), dtype=torch.bool, device=bench.device),
    )
    limits, options = torch.full((sources,), steps), BeamOptions(beam=width)
    start = torch.full((sources, 1), START, device=bench.device)
    prefix = Tokens(start, torch.ones_like(start, dtype=torch.bool))
    captured = CapturedBeamSearch(by)
    works = {
        "eager": lambda: beam_search(by, by.start(source, sources, steps + 1), prefix, limits, options),
        "captured": lambda: captured.search(source, limits, options),
    }
    for name, took in bench.compare(works).items():
        found.append({"what": f"search, {name}", "ms": took, "sentences_per_second": 1000 * sources / took})
    return found


def training(bench: Bench) -> list[Row]:
    """Whole updates of transformer-base and gnmt-2016 as a share of the matrix rate; optimiser included."""
    vocabulary, tokens, count = bench.size(32_000, 50), bench.size(16_384, 64), bench.size(8, 2)
    found = []
    for preset in ("transformer-base", "gnmt-2016"):
        torch.manual_seed(1)
        config = configured(preset, bench)
        model = config.model.build(vocabulary, vocabulary)
        learner = Learner(model, CrossEntropy(0.1)).to(bench.device).train()
        data = Sentences(bench, vocabulary)
        packs = model.packs and bench.device.type == "cuda"
        batches = data.packed(tokens, count) if packs else data.padded(tokens, count)
        learning = Learner(CompiledPacked(model), learner.objective) if packs else None
        updater = Updater(learner, config.training, bench.half, bench.device, str, learning)
        places = np.arange(1)
        works = [Work(0, 1, count, places, batch.units["tokens"], [batch]) for batch in batches]
        number = iter(range(1 << 30))

        def updates(works: list[Work] = works, updater: Updater = updater, number: Any = number) -> None:
            for work in works:
                updater.learn(work, Moment(next(number), 0.3, 1.0))

        took = bench.compare({preset: updates})[preset]
        units = sum(batch.units["tokens"] for batch in batches)
        operations = (
            6
            * units
            * sum(  # a target token with about one source token; embeddings multiply nothing
                parameter.numel()
                for name, parameter in model.named_parameters()
                if parameter.dim() > 1 and ("embedding" not in name or parameter is model.head.weight)
            )
        )
        found.append({
            "what": f"{preset}{', packed, compiled' if packs else ', padded'}",
            "ms": took,
            "target_tokens_per_second": 1000 * units / took,
            "share": 1000 * operations / took / bench.rate,
        })  # fmt: skip
    return found


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "lstm": lstm,
    "cell": cell,
    "transformer": transformer,
    "feeding": feeding,
    "beam": beam,
    "training": training,
}


def told(value: Any) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and value < 10
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What a GPU makes of each part.")
    parser.add_argument("--part", default=",".join(PARTS), help="names with commas between; all unless told otherwise")
    parser.add_argument("--list", action="store_true", help="say what the parts are")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="a JSON file; what is in it of other parts stays")
    options = parser.parse_args(arguments)
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:12} {part.__doc__}")
        return
    bench = Bench(options.device, options.tiny, 1 if options.tiny else options.rounds)
    machine = torch.cuda.get_device_name() if bench.device.type == "cuda" else "processor"
    print(f"torch {torch.__version__}, {machine}, matrix rate {bench.rate / 1e12:.3g} TFLOP/s")
    found = {"machine": machine, "torch": str(torch.__version__), "matmul_rate": bench.rate}
    if options.output is not None and options.output.is_file():
        found = json.loads(options.output.read_text(encoding="utf-8")) | found
    for name in options.part.split(","):
        rows = PARTS[name](bench)
        found[name] = rows
        for row in rows:
            numbers = "  ".join(f"{key} {told(value)}" for key, value in row.items() if key != "what")
            print(f"{name:12} {row['what']:32} {numbers}", flush=True)
        if options.output is not None:  # after each part: a call may be cut off
            options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
