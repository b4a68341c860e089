"""A Henkan Transformer as a CTranslate2 model: the same weights, so the same outputs to rounding.

    python ctranslate2_model.py MODEL_FOLDER OUTPUT_FOLDER [--quantisation int8]

Runs where ctranslate2 and safetensors are installed; neither Henkan nor torch is needed. Both store a linear map as
(outputs, inputs), queries, keys and values under one another, so weights are renamed and nothing is computed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ctranslate2.specs import LayerSpec, TransformerSpec
from ctranslate2.specs.common_spec import Activation
from safetensors.numpy import load_file

POSITIONS = 512
"""Rows of the table of positions; also the longest sentence of the converted model."""

ACTIVATIONS = {"relu": Activation.RELU, "gelu": Activation.GELU, "silu": Activation.SWISH}

TABLES = {
    "all": ("encoder.embedding.weight",) * 3,
    "target": ("encoder.embedding.weight", "decoder.embedding.weight", "decoder.embedding.weight"),
    "none": ("encoder.embedding.weight", "decoder.embedding.weight", "head.weight"),
}
"""Source embedding, target embedding and output matrix, by what is tied."""

Weights = Mapping[str, np.ndarray]


def convert(folder: Path, output: Path, quantisation: str | None = None) -> None:
    """Write the model in ``folder`` as a CTranslate2 model; ``output`` is replaced.

    Args:
        folder: a model folder: config.yaml, model.safetensors, tokenizer.json or one for each side.
        quantisation: of the stored weights, such as ``int8``; None keeps float32.

    Raises:
        ValueError: not a Transformer, or of a kind that CTranslate2 does not have.
    """
    settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    if settings["data"]["reverse_source"]:
        raise ValueError("reverse_source: CTranslate2 reads a source from its beginning")
    spec = specification(settings["model"], load_file(folder / "model.safetensors"))
    spec.register_source_vocabulary(pieces(folder, "source"))
    spec.register_target_vocabulary(pieces(folder, "target"))
    spec.config.add_source_eos = True  # Henkan's encoders read the end of a sentence too
    spec.validate()
    spec.optimize(quantization=quantisation)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    spec.save(str(output))


def specification(model: Mapping[str, Any], weights: Weights) -> TransformerSpec:
    """The network, without its vocabularies.

    Args:
        model: the ``model`` section of config.yaml.
        weights: by their names in model.safetensors; a shared one has one name.
    """
    encoder, decoder = model["encoder"], model["decoder"]
    for side in (encoder, decoder):
        if side["kind"] != "transformer" or model["copying"]:
            raise ValueError(f"{side['kind']}: only Transformers without copying can be converted")
    for name in ("norm", "heads", "activation"):
        if encoder[name] != decoder[name]:
            raise ValueError(f"{name}: the encoder has {encoder[name]}, the decoder {decoder[name]}; expected one")
    norm = "before" if encoder["norm"] == "pre" else "after"
    spec = TransformerSpec.from_config(
        (encoder["layers"], decoder["layers"]),
        encoder["heads"],
        pre_norm=norm == "before",
        activation=ACTIVATIONS[encoder["activation"]],
    )
    source, target, output = TABLES[model["tied"]]
    spec.encoder.embeddings[0].weight = weights[source]
    spec.decoder.embeddings.weight = weights[target]
    spec.decoder.projection.weight = weights[output]
    for side, half in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        half.scale_embeddings = model["scaled_embedding"]
        half.position_encodings.encodings = sinusoids(POSITIONS, encoder["width"])
        if norm == "before":
            put_norm(half.layer_norm, weights, f"{side}.last_norm")
        for number, layer in enumerate(half.layer):
            put_layer(layer, weights, f"{side}.layers.{number}", norm)
    return spec


def put_layer(layer: LayerSpec, weights: Weights, name: str, norm: str) -> None:
    """An encoder layer, or a decoder layer, which also attends to the source."""
    put_norm(layer.self_attention.layer_norm, weights, f"{name}.around_attention.{norm}")
    put_linear(layer.self_attention.linear[0], weights, f"{name}.attention.inputs")
    put_linear(layer.self_attention.linear[1], weights, f"{name}.attention.output")
    if hasattr(layer, "attention"):
        put_norm(layer.attention.layer_norm, weights, f"{name}.around_source_attention.{norm}")
        for linear, part in zip(layer.attention.linear, ("query", "pairs", "output"), strict=True):
            put_linear(linear, weights, f"{name}.source_attention.{part}")
    put_norm(layer.ffn.layer_norm, weights, f"{name}.around_feed_forward.{norm}")
    put_linear(layer.ffn.linear_0, weights, f"{name}.feed_forward.inner")
    put_linear(layer.ffn.linear_1, weights, f"{name}.feed_forward.outer")


def put_linear(linear: LayerSpec, weights: Weights, name: str) -> None:
    """A weight and its bias."""
    linear.weight, linear.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]


def put_norm(norm: LayerSpec, weights: Weights, name: str) -> None:
    """A layer normalisation."""
    norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def sinusoids(length: int, width: int) -> np.ndarray:
    """(length, width): sines in the even columns, cosines in the odd ones; CTranslate2's own table stacks them."""
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    table = np.empty((length, width), np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)[:, : width // 2]
    return table


def pieces(folder: Path, side: str) -> list[str]:
    """How each id of a side's vocabulary is written."""
    path = folder / "tokenizer.json"
    path = path if path.exists() else folder / f"tokenizer.{side}.json"
    library = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = library["model"]["vocab"]
    if isinstance(vocabulary, list):  # a unigram vocabulary is a list of pieces with their scores
        return [piece for piece, _ in vocabulary]
    return sorted(vocabulary, key=vocabulary.__getitem__)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Henkan Transformer as a CTranslate2 model.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--quantisation")
    given = parser.parse_args()
    convert(given.folder, given.output, given.quantisation)
