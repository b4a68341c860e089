"""Graphs of models with random weights: onnxruntime alone must choose the tokens that the model chooses."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from henkan.decode.beam import BeamOptions
from henkan.decode.greedy import greedy_search
from henkan.decode.hypothesis import next_inputs
from henkan.decode.stepper import ModelStepper
from henkan.errors import ConfigError, RunError
from henkan.interop import onnx
from henkan.interop.onnx_graphs import run_scanned
from henkan.models.decoder_only import DecoderOnly
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from henkan.nn.cells import LSTMCell
from henkan.nn.init import uniform_everywhere
from henkan.nn.recurrent import run_plain
from henkan.tasks.translator import pad_sources
from henkan.text.tokenizer import END, START
from zoo import CAUSAL_CONFIGS, CONFIGS, TRANSFORMER, VOCABULARY

SOURCES = [[4, 5, 6], [7], [8, 9, 10, 11, 12, 4, 5, 5, 9]]
TEXTS = [[*source, END] for source in SOURCES]
LONGEST = 9

QUICK = ["transformer, pre-norm, all tied", "bahdanau, gru"]
ALL = [name for name, config in CONFIGS.items() if name not in QUICK and onnx.in_the_way(config) is None]


@pytest.fixture
def library() -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason="graphs are written and run by it")


def built(name: str) -> EncoderDecoder:
    torch.manual_seed(5)
    network = CONFIGS[name].build(VOCABULARY, VOCABULARY).eval()
    uniform_everywhere(network, 0.5)
    with torch.no_grad():
        network.head.weight[END] = 0.0  # or some would say nothing else
    return network


def expected(network: EncoderDecoder) -> list[list[int]]:
    """What our own search finds, the end included where it came."""
    source = pad_sources(SOURCES, reverse_source=False)
    stepper = ModelStepper(network, VOCABULARY)
    prefix = next_inputs(torch.full((len(SOURCES),), START))
    limits = torch.full((len(SOURCES),), LONGEST)
    state = stepper.start(source, len(SOURCES), 0)
    found = greedy_search(stepper, state, prefix, limits, BeamOptions().penalty)
    return [each.tokens + [END] * each.finished for each in found]


def search_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the code in the README of an export defines; it knows onnxruntime and NumPy alone."""
    code = "\n".join(re.findall(r"^    (.*)$|^$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert "henkan" not in code and "torch" not in code
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def agrees(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    network = built(name)
    onnx.write(folder, network)
    assert "within" in onnx.compare(folder, network, TEXTS)
    greedy = search_of(folder, monkeypatch)["greedy"]
    outputs = [greedy(text, limit=LONGEST) for text in TEXTS]
    assert outputs == expected(network)
    return outputs


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", QUICK)
def test_onnxruntime_alone_finds_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = agrees(name, tmp_path, monkeypatch)
    assert len(set(map(tuple, outputs))) > 1, "the outputs say something about the sources"


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ALL)
def test_all_families(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agrees(name, tmp_path, monkeypatch)


@pytest.mark.usefixtures("library")
def test_what_differs_is_refused_and_the_manifest_is_true(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network: DecoderOnly = next(iter(CAUSAL_CONFIGS.values())).build(VOCABULARY).eval()
    uniform_everywhere(network, 0.5)
    onnx.write(tmp_path, network, {"reverse_source": False})
    onnx.compare(tmp_path, network, TEXTS)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    session = onnx.Session(tmp_path / "step.onnx")
    step = manifest["graphs"]["step"]
    assert [port["name"] for port in step["inputs"]] == session.inputs
    assert [port["name"] for port in step["outputs"]] == session.outputs
    assert set(manifest["next"]) == set(session.inputs) - {"ids"}
    assert step["outputs"][0]["shape"] == ["rows", VOCABULARY]
    with torch.no_grad():
        network.head.weight[7] += 0.01
    with pytest.raises(RunError, match="differs from the model's by"):
        onnx.compare(tmp_path, network, TEXTS)


@pytest.mark.usefixtures("library")
def test_an_encoder_alone(tmp_path: Path) -> None:
    heads = {"class": {"kind": "class", "classes": 3}, "tokens": {"kind": "masked"}}
    config = EncoderOnlyConfig.model_validate({"encoder": TRANSFORMER | {"segments": 2, "layers": 1}, "heads": heads})
    torch.manual_seed(5)
    network: EncoderOnly = config.build(VOCABULARY).eval()
    uniform_everywhere(network, 0.5)
    onnx.write(tmp_path, network)
    assert "within" in onnx.compare(tmp_path, network, TEXTS)
    session = onnx.Session(tmp_path / "reader.onnx")
    assert session.inputs == ["ids", "mask", "segments"]
    assert session.outputs == ["states", "pooled", "heads.class", "heads.tokens"]
    ids = np.array([TEXTS[0]])
    said = session.run({"ids": ids, "mask": ids > 0, "segments": ids * 0 + 1})
    other = session.run({"ids": ids, "mask": ids > 0, "segments": ids * 0})
    assert np.abs(said["pooled"] - other["pooled"]).max() > 1e-2, "segments are read"


def test_the_loop_of_a_graph_is_the_plain_one() -> None:
    """Traced, as an export does; without onnx."""

    class Through(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = LSTMCell(4, 6)

        def forward(self, inputs: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs, state = run_scanned(self.cell, inputs, mask, self.cell.start(len(inputs)))
            return (outputs, *state)

    torch.manual_seed(5)
    module = Through().eval().requires_grad_(False)
    inputs, mask = torch.randn(3, 5, 4), torch.arange(5) < torch.tensor([[5], [1], [3]])
    program = torch.export.export(module, (inputs, mask), strict=False).module()
    outputs, state = run_plain(module.cell, inputs, mask, module.cell.start(3))
    for found, wanted in zip(program(inputs, mask), (outputs, *state), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "hard" in name])
def test_what_cannot_be_a_graph_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.decoder\.attention\.kind: hard"):
        onnx.check(CONFIGS[name])
