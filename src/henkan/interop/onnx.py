"""A model as ONNX graphs that run without Henkan and without torch; see ``onnx_graphs.py`` for what is in each.

:func:`check` says from the settings alone whether a model can go there; :func:`write` writes the graphs and a
``manifest.json`` that lists their inputs and outputs; :func:`compare` lets onnxruntime run them beside the model.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.decode.hypothesis import forbidden_tokens, next_inputs
from henkan.errors import ConfigError, RunError
from henkan.interop import onnx_graphs as graphs
from henkan.interop.outgoing import check_installed
from henkan.models.decoder_only import DecoderOnly
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.encoder_only import EncoderOnly
from henkan.nn import fused
from henkan.nn.segments import SegmentEmbedding
from henkan.tensors import Tokens
from henkan.text.tokenizer import END, PAD, START, UNKNOWN
from henkan.tree import Tree

FORMAT = 1
"""Of manifest.json; raised when a reader of the version before would misread it."""

TOLERANCE = 1e-4
"""How far a number may be off."""

README = Path(__file__).with_name("onnx.md")

STEPS = 12
"""Greedy steps that are compared."""

Exported = EncoderDecoder | DecoderOnly | EncoderOnly

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph, and a tensor to trace with. An axis of any length has a name instead of a size."""

    name: str
    example: Tensor
    shape: Shape

    @property
    def dynamic(self) -> dict[int, str]:
        """The axes of any length."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}

    def describe(self) -> dict[str, Any]:
        """As in the manifest."""
        return {"name": self.name, "type": str(self.example.dtype).removeprefix("torch."), "shape": list(self.shape)}


@dataclass(frozen=True)
class Graph:
    """A module with its ports."""

    module: nn.Module
    inputs: list[Port]
    outputs: list[Port]
    tail: int = 0  # so many inputs, the last ones, are one argument, a tuple

    def arguments(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What is said of each input, as the module takes its inputs."""
        alone = len(values) - self.tail
        return (*values[:alone], *[tuple(values[alone:])][: self.tail])


def check(config: object) -> None:
    """ConfigError if no graphs can be made of a model of these settings, or what makes them is not installed."""
    if (found := in_the_way(config)) is not None:
        raise ConfigError(f"{found}. Nothing was written; encoders and decoders of all other kinds can be exported")
    check_installed("onnx", "onnx", "onnxscript", "onnxruntime")


def in_the_way(config: object) -> str | None:
    """The setting of which no graph can be made, and why."""
    kind = getattr(config, "kind", "?")
    if kind not in ("encoder_decoder", "decoder_only", "encoder_only"):
        return f"model.kind: {kind}; expected encoder_decoder, decoder_only or encoder_only"
    attention = getattr(getattr(config, "decoder", None), "attention", None)
    if attention is not None and attention.kind == "hard":
        return "model.decoder.attention.kind: hard; a graph cannot pick one position among any number of them"
    for name, head in getattr(config, "heads", {}).items():
        if getattr(head, "decoder", None) is not None:
            return f"model.heads.{name}.decoder: a part of pretraining; export what was fine-tuned from this model"
    return None


def write(folder: Path, network: Exported, facts: dict[str, Any] | None = None) -> None:
    """Write the graphs of a network, in evaluation mode, into ``folder``, which is there.

    Args:
        facts: what the manifest says beside.
    """
    made = _graphs(network)
    for name, graph in made.items():
        _export(graph, folder / f"{name}.onnx")
    state = [port.name for port in made["step"].inputs[1:]] if "step" in made else []
    moving = [name for name in state if name.startswith("moving.")]
    manifest = {
        "format": FORMAT,
        **(facts or {}),
        "special": {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END},
        "graphs": {
            name: {
                "file": f"{name}.onnx",
                "inputs": [port.describe() for port in graph.inputs],
                "outputs": [port.describe() for port in graph.outputs],
            }
            for name, graph in made.items()
        },
        "next": {name: _after(name) for name in moving},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    if isinstance(network, EncoderDecoder):
        shutil.copyfile(README, folder / "README.md")


def _graphs(network: Exported) -> dict[str, Graph]:
    """By file name. An axis has any length if it differs between two runs of unlike rows, sources and steps."""
    if isinstance(network, EncoderOnly):
        return {"reader": _reader(graphs.traceable(network))}
    plain = graphs.traceable(network)
    one, other = (_Run(network, sizes) for sizes in _SIZES)
    state = _ports(one.before, other.before)
    after = [Port(_after(port.name), port.example, port.shape) for port in _ports(one.moved, other.moved)]
    step = Graph(
        graphs.StepGraph(plain, one.state),
        [_port("ids", one.token, other.token), *state],
        [_port("log_probs", one.scores, other.scores), *after],
        tail=len(state),
    )
    if isinstance(plain, DecoderOnly):
        return {"step": step}
    ids, mask, states = (_port(name, one.read[name], other.read[name]) for name in ("ids", "mask", "states"))
    final = _ports(one.final, other.final)
    start = graphs.StartGraph(plain, one.memory.final, one.state)
    return {
        "encoder": Graph(graphs.EncoderGraph(plain), [ids, mask], [states, *final]),
        "start": Graph(start, [ids, mask, states, *final], state, tail=len(final)),
        "step": step,
    }


def _reader(plain: EncoderOnly) -> Graph:
    """The graph of an encoder with heads."""
    module = graphs.ReadingGraph(plain)
    names = ["ids", "mask", *["segments"] * isinstance(plain.encoder.segments, SegmentEmbedding)]
    runs = []
    for rows, positions, _ in _SIZES:
        ids = torch.full((rows, positions), END)
        values = [ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids)][: len(names)]
        with torch.no_grad():
            runs.append((values, module(*values)))
    inputs = [_port(*found) for found in zip(names, *(values for values, _ in runs), strict=True)]
    names = ["states", "pooled", *(f"heads.{name}" for name, _ in plain.heads.named_children())]
    outputs = [_port(*found) for found in zip(names, *(said for _, said in runs), strict=True)]
    return Graph(module, inputs, outputs)


_SIZES = ((3, 5, 6), (4, 7, 9))  # rows, source positions and steps of two runs
_AXES = {(3, 4): "rows", (5, 7): "source", (6, 9): "past", (7, 10): "past + 1"}  # how an axis differs between them


class _Run:
    """Every tensor that goes into a graph or comes out, from one run of a model of these sizes."""

    @torch.no_grad()
    def __init__(self, network: EncoderDecoder | DecoderOnly, sizes: tuple[int, int, int]) -> None:
        rows, positions, steps = sizes
        with fused.plain_path():
            if isinstance(network, EncoderDecoder):
                ids = torch.full((rows, positions), END)
                source = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
                self.memory = network.encode(source)
                self.final = _named(self.memory.final, "final")
                self.read = {"ids": ids, "mask": source.mask, "states": self.memory.states}
                state = network.decoder.start(self.memory, rows)
            else:
                state = network.start(None, rows, 0)
            self.token = torch.full((rows,), START)
            for _ in range(steps):
                _, state = network.step(next_inputs(self.token), state)
            scores, after = network.step(next_inputs(self.token), state)
        self.scores = scores.log_probs()
        self.state = state
        self.before = _named(state.fixed, "fixed") | _named(state.moving, "moving")
        self.moved = _named(after.moving, "moving")


def _named(tree: Tree, path: str) -> dict[str, Tensor]:
    """The tensor of every leaf, by its path."""
    names = [name for name, _ in graphs.named_leaves(tree, path)]
    return dict(zip(names, graphs.tensors_of(tree), strict=True))


def _port(name: str, one: Tensor, other: Tensor) -> Port:
    """From the same tensor of both runs."""
    shape = tuple(a if a == b else _AXES[a, b] for a, b in zip(one.shape, other.shape, strict=True))
    return Port(name, one.contiguous(), shape)  # a graph knows no strides


def _ports(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[Port]:
    return [_port(name, one[name], other[name]) for name in one]


def _after(name: str) -> str:
    """How a step calls what it returns for the part of a state that it took as ``moving.``."""
    return name.replace("moving.", "after.", 1)


def _export(graph: Graph, path: Path) -> None:
    """Trace a graph and write it, weights included."""
    with fused.plain_path(), _quiet():
        program = torch.onnx.export(
            graph.module,
            graph.arguments([port.example for port in graph.inputs]),
            dynamo=True,
            dynamic_shapes=graph.arguments([port.dynamic for port in graph.inputs]),
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            verbose=False,
        )
        assert program is not None
        program.save(str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells its own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def compare(folder: Path, network: Exported, texts: Sequence[Sequence[int]]) -> str:
    """Let onnxruntime run the graphs beside the model.

    Args:
        texts: ids as the model reads them, the end included.

    Returns:
        What was found, in a sentence.

    Raises:
        RunError: a number differs by more than TOLERANCE.
    """
    read = _padded(texts)
    with torch.no_grad(), fused.plain_path():
        if isinstance(network, EncoderOnly):
            worst, what = _compare_reading(folder, network, read), "what is said of"
        else:
            worst, what = _compare_steps(folder, network, read), f"log-probabilities of {STEPS} greedy steps for"
    if not worst <= TOLERANCE:
        raise RunError(
            f"{folder}: {what} {len(texts)} texts differs from the model's by {worst:.1e}, expected at most "
            f"{TOLERANCE}: the exported model is another; it is not kept"
        )
    return f"{what} {len(texts)} texts: within {worst:.1e} of the model's"


def _padded(texts: Sequence[Sequence[int]]) -> Tokens:
    longest = max(map(len, texts))
    ids = torch.tensor([[*text, *[PAD] * (longest - len(text))] for text in texts])
    mask = torch.arange(longest) < torch.tensor([len(text) for text in texts])[:, None]
    return Tokens(ids, mask)


def _compare_reading(folder: Path, network: EncoderOnly, read: Tokens) -> float:
    """The largest difference in anything, at real positions."""
    session = Session(folder / "reader.onnx")
    segments = (torch.zeros_like(read.ids),) if "segments" in session.inputs else ()
    expected = graphs.ReadingGraph(network)(read.ids, read.mask, *segments)
    found = session.run(dict(zip(session.inputs, (read.ids, read.mask, *segments), strict=True)))
    return max(
        _difference(torch.from_numpy(array), tensor, read.mask)
        for array, tensor in zip(found.values(), expected, strict=True)
    )


def _difference(found: Tensor, expected: Tensor, mask: Tensor) -> float:
    """The largest; of what has positions, only at real ones."""
    if found.shape[:2] == mask.shape and found.dim() > 2:
        found, expected = found[mask], expected[mask]
    return float((found - expected).abs().max())


def _compare_steps(folder: Path, network: EncoderDecoder | DecoderOnly, read: Tokens) -> float:
    """The largest difference of a log-probability while both read what the model finds best."""
    rows = len(read.ids)
    if isinstance(network, EncoderDecoder):
        source = {"ids": read.ids, "mask": read.mask}
        memory = Session(folder / "encoder.onnx").run(source)
        there = Session(folder / "start.onnx").run(source | memory)
        state = network.start(read, rows, 0)
    else:
        state = network.start(None, rows, 0)
        there = _empty(folder, rows)
    step, token, worst = Session(folder / "step.onnx"), torch.full((rows,), START), 0.0
    for _ in range(STEPS):
        scores, state = network.step(next_inputs(token), state)
        expected = scores.log_probs()
        said = step.run({"ids": token, **there})
        worst = max(worst, float((torch.from_numpy(said["log_probs"]) - expected).abs().max()))
        there = {name: said.get(_after(name), value) for name, value in there.items()}
        token = (expected + forbidden_tokens(expected.shape[1], expected.device)).argmax(-1)
    return worst


def _empty(folder: Path, rows: int) -> dict[str, Any]:
    """The state of a model without a source before its first token: zeros, and nothing cached."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    sizes = {"rows": rows, "past": 0}
    return {
        port["name"]: np.zeros([sizes.get(size, size) for size in port["shape"]], port["type"])
        for port in manifest["graphs"]["step"]["inputs"][1:]
    }


class Session:
    """A graph in onnxruntime, on one thread, with names for what goes in and comes out."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [port.name for port in self._session.get_inputs()]
        self.outputs = [port.name for port in self._session.get_outputs()]

    def run(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        """Every output by its name."""
        found = self._session.run(None, {name: np.asarray(values[name]) for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))
