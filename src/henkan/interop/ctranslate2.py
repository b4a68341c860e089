"""A Transformer translator as a model of CTranslate2: the same weights, so the same outputs to rounding.

Both store a linear map as (outputs, inputs) and queries, keys and values under one another, so weights are renamed and
nothing is computed. :func:`check` says from the settings alone whether a model can go there; :func:`write` writes it;
:func:`compare` lets the written model answer, and holds it to what ours says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from henkan.errors import ConfigError, RunError
from henkan.interop.outgoing import check_installed
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.positions import LearnedPositions, SinusoidalPositions
from henkan.nn.transformer import TransformerSizes
from henkan.tasks.preparation import save_tokenizers
from henkan.tasks.translator import Prediction
from henkan.text.normalise import normalise
from henkan.text.tokenizer import PAD, SPECIAL_TOKENS, START, Tokenizer

if TYPE_CHECKING:
    from ctranslate2.specs import LayerSpec, TransformerSpec

QUANTISATIONS = ("float32", "float16", "bfloat16", "int16", "int8", "int8_float16", "int8_bfloat16")
"""Of the weights in the file; CTranslate2 computes in another type where a processor lacks this one."""

POSITIONS = 1024
"""Places that a written table of sinusoids has: no source and no output may be longer there."""

TOLERANCE = 1e-3
"""How far the log-probability of an output may be off, in nats for each token, where weights stay float32."""

_ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "gelu_tanh": "GELUTanh", "silu": "SWISH"}

_NEVER = [[SPECIAL_TOKENS[PAD]], [SPECIAL_TOKENS[START]]]  # as in our own search

Weights = Mapping[str, np.ndarray]


def check(config: object, reverse_source: bool, quantisation: str = "float32") -> EncoderDecoderConfig:
    """The settings of a model, if CTranslate2 has such models.

    Raises:
        ConfigError: it has not; every setting in the way is named. Or the library is not installed.
    """
    if quantisation not in QUANTISATIONS:
        raise ConfigError(f"quantisation {quantisation!r}: expected one of {', '.join(QUANTISATIONS)}")
    found = list(_in_the_way(config))
    if reverse_source:
        found.append("data.reverse_source: true; there, a source is read from its beginning")
    if found:
        raise ConfigError(
            "CTranslate2 has no such model, nothing was written:\n"
            + "".join(f"  {each}\n" for each in found)
            + "It can have Transformers for both sides, pre- or post-norm, with sinusoidal or learned positions, tied "
            "or not; --to onnx takes more"
        )
    check_installed("ctranslate2", "ctranslate2")
    assert isinstance(config, EncoderDecoderConfig)
    return config


def _in_the_way(config: object) -> list[str]:
    """Settings that have no counterpart, each with the reason."""
    if not isinstance(config, EncoderDecoderConfig):
        return [f"model.kind: {getattr(config, 'kind', '?')}; only encoder_decoder models can be translators there"]
    found = []
    if config.copying:
        found.append("model.copying: true; there is no copying there")
    if config.scaled_output:
        found.append("model.scaled_output: true; expected false")
    for side, part in (("encoder", config.encoder), ("decoder", config.decoder)):
        if part.kind != "transformer":
            attention = getattr(part, "attention", None)
            inside = "" if attention is None else f" with {attention.kind} attention"
            found.append(f"model.{side}.kind: {part.kind}{inside}; expected transformer")
            continue
        if part.positions.kind not in ("sinusoidal", "learned"):
            found.append(f"model.{side}.positions: {part.positions.kind}; expected sinusoidal or learned")
        expected: dict[str, Any] = {"normalisation": "layer", "gated": False, "biased": True, "scaled": True}
        expected |= {"head_width": None, "key_heads": None, "segments": 0}
        for name, value in expected.items():
            if (given := getattr(part, name, value)) != value:
                found.append(f"model.{side}.{name}: {given}; expected {value}")
    sizes = [part for part in (config.encoder, config.decoder) if isinstance(part, TransformerSizes)]
    if len({part.epsilon for part in sizes}) > 1:
        found.append(f"epsilon: {sizes[0].epsilon} in the encoder, {sizes[1].epsilon} in the decoder; expected one")
    return found


def write(
    folder: Path,
    config: EncoderDecoderConfig,
    network: EncoderDecoder,
    tokenizers: tuple[Tokenizer, Tokenizer],
    quantisation: str = "float32",
) -> None:
    """Write the model, its vocabularies and our tokenizers into ``folder``, which is there.

    Args:
        config: of the network, taken by :func:`check`.
        quantisation: one of QUANTISATIONS.
    """
    spec = specification(config, network)
    for register, tokenizer in zip(
        (spec.register_source_vocabulary, spec.register_target_vocabulary), tokenizers, strict=True
    ):
        register(tokenizer.pieces(range(tokenizer.size)))
    _pad, unknown, start, end = SPECIAL_TOKENS
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = unknown, start, end
    spec.config.decoder_start_token = start
    spec.config.add_source_eos = True  # our encoders read the end of a sentence too
    spec.config.add_source_bos = False
    spec.validate()
    spec.optimize(quantization=None if quantisation == "float32" else quantisation)
    spec.save(str(folder))
    save_tokenizers(tokenizers, folder)
    (folder / "README.md").write_text(_readme(config, tokenizers), encoding="utf-8")


def specification(config: EncoderDecoderConfig, network: EncoderDecoder) -> TransformerSpec:
    """The network in CTranslate2's terms, without vocabularies."""
    from ctranslate2.specs import TransformerSpec
    from ctranslate2.specs.common_spec import Activation
    from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec

    # By every name, also those of shared weights; copies, because quantising is done in place.
    weights = {name: weight.float().cpu().clone().numpy() for name, weight in network.state_dict().items()}
    halves = []
    for side, kind, part in (
        ("encoder", TransformerEncoderSpec, config.encoder),
        ("decoder", TransformerDecoderSpec, config.decoder),
    ):
        assert isinstance(part, TransformerSizes)
        half = kind(
            part.layers,
            part.heads,
            pre_norm=part.norm == "pre",
            activation=getattr(Activation, _ACTIVATIONS[part.activation]),
            layernorm_embedding=part.embedding_norm,
        )
        half.scale_embeddings = config.scaled_embedding
        half.position_encodings.encodings = _places(getattr(network, side).positions)
        if part.embedding_norm:
            _put_norm(half.layernorm_embedding, weights, f"{side}.first_norm")
        if part.norm == "pre":
            _put_norm(half.layer_norm, weights, f"{side}.last_norm")
        for number, layer in enumerate(half.layer):
            _put_layer(layer, weights, f"{side}.layers.{number}", "before" if part.norm == "pre" else "after")
        halves.append(half)
    encoder, decoder = halves
    encoder.embeddings[0].weight = weights["encoder.embedding.weight"]
    decoder.embeddings.weight = weights["decoder.embedding.weight"]
    _put_linear(decoder.projection, weights, "head")
    spec = TransformerSpec(encoder, decoder)
    assert isinstance(config.encoder, TransformerSizes)
    spec.config.layer_norm_epsilon = config.encoder.epsilon
    return spec


def _put_layer(layer: LayerSpec, weights: Weights, name: str, norm: str) -> None:
    """An encoder layer, or a decoder layer, which also attends to the source."""
    _put_norm(layer.self_attention.layer_norm, weights, f"{name}.around_attention.{norm}")
    _put_linear(layer.self_attention.linear[0], weights, f"{name}.attention.inputs")
    _put_linear(layer.self_attention.linear[1], weights, f"{name}.attention.output")
    if hasattr(layer, "attention"):
        _put_norm(layer.attention.layer_norm, weights, f"{name}.around_source_attention.{norm}")
        for linear, part in zip(layer.attention.linear, ("query", "pairs", "output"), strict=True):
            _put_linear(linear, weights, f"{name}.source_attention.{part}")
    _put_norm(layer.ffn.layer_norm, weights, f"{name}.around_feed_forward.{norm}")
    _put_linear(layer.ffn.linear_0, weights, f"{name}.feed_forward.inner")
    _put_linear(layer.ffn.linear_1, weights, f"{name}.feed_forward.outer")


def _put_linear(linear: LayerSpec, weights: Weights, name: str) -> None:
    """A weight, and a bias where there is one."""
    linear.weight = weights[f"{name}.weight"]
    if f"{name}.bias" in weights:
        linear.bias = weights[f"{name}.bias"]


def _put_norm(norm: LayerSpec, weights: Weights, name: str) -> None:
    """A layer normalisation."""
    norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _places(positions: nn.Module) -> np.ndarray:
    """(places, D) what is added to the vectors of tokens."""
    if isinstance(positions, SinusoidalPositions):
        return positions.table(POSITIONS, torch.empty(0))[:POSITIONS].clone().numpy()
    assert isinstance(positions, LearnedPositions)
    return positions.weight[positions.offset :].detach().float().cpu().clone().numpy()


def compare(
    folder: Path,
    tokenizers: tuple[Tokenizer, Tokenizer],
    inputs: Sequence[str],
    expected: Sequence[Prediction],
    quantisation: str = "float32",
) -> str:
    """Let the written model answer greedily.

    Args:
        folder: what :func:`write` wrote.
        inputs: texts.
        expected: what our model says of each, greedily and in float32.

    Returns:
        How many outputs are equal, in a sentence.

    Raises:
        RunError: the weights are float32, and the model gives our outputs other probabilities than we do.
    """
    import ctranslate2

    rows = [row for row, each in enumerate(expected) if each.source_pieces]
    translator = ctranslate2.Translator(str(folder), device="cpu", intra_threads=1)
    sources = tokenizers[0].encode([normalise(inputs[row]) for row in rows])
    pieces = [tokenizers[0].pieces(source) for source in sources]
    outputs = [expected[row].pieces for row in rows]
    answers = translator.translate_batch(
        pieces,
        beam_size=1,
        max_decoding_length=max(map(len, outputs), default=0) + 1,
        suppress_sequences=_NEVER,
    )
    same = sum(
        answer.hypotheses[0][: len(output)] == output
        and (len(answer.hypotheses[0]) == len(output) or not expected[row].finished)
        for row, output, answer in zip(rows, outputs, answers, strict=True)
    )
    if quantisation == "float32":
        _compare_scores(folder, [expected[row] for row in rows], translator.score_batch(pieces, outputs))
    return f"greedy outputs equal the model's: {same} of {len(rows)} ({quantisation})"


def _compare_scores(folder: Path, expected: Sequence[Prediction], scored: Sequence[Any]) -> None:
    """RunError unless each output has the log-probability that we give it; the end counts if it was reached."""
    for prediction, score in zip(expected, scored, strict=True):
        found = score.log_probs if prediction.finished else score.log_probs[: len(prediction.pieces)]
        if not math.isclose(sum(found), prediction.log_prob, abs_tol=TOLERANCE * max(1, len(found))):
            raise RunError(
                f"{folder}: CTranslate2 gives {prediction.text!r} the log-probability {sum(found):.6f}, expected "
                f"{prediction.log_prob:.6f}: the exported model is another; it is not kept"
            )


def _readme(config: EncoderDecoderConfig, tokenizers: tuple[Tokenizer, Tokenizer]) -> str:
    """How to use the folder."""
    joint = tokenizers[0] == tokenizers[1]
    source, target = ("tokenizer.json",) * 2 if joint else ("tokenizer.source.json", "tokenizer.target.json")
    return f"""# A model for CTranslate2

    import ctranslate2, tokenizers
    source, target = (tokenizers.Tokenizer.from_file(name) for name in ({source!r}, {target!r}))
    pieces = source.encode("A dog runs.", add_special_tokens=False).tokens
    options = dict(beam_size=4, suppress_sequences={_NEVER})
    answer = ctranslate2.Translator(".").translate_batch([pieces], **options)[0].hypotheses[0]
    print(target.decode([target.token_to_id(piece) for piece in answer], skip_special_tokens=False))

Texts are in Unicode's normalisation form C. The longest source and output have {_longest(config)} tokens.
"""


def _longest(config: EncoderDecoderConfig) -> int:
    limits = [POSITIONS]
    for part in (config.encoder, config.decoder):
        if isinstance(part, TransformerSizes) and part.positions.kind == "learned":
            limits.append(part.positions.limit)
    return min(limits)
