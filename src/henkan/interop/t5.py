"""T5 and T5 1.1 (Raffel et al. 2020): ``config.json`` and weight names, both ways."""

from __future__ import annotations

from typing import Any

from henkan.decoders.transformer import TransformerDecoderConfig
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, same, stacked
from henkan.interop.settings import ACTIVATIONS, Settings, activation_name
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.nn.places import T5PositionsConfig


def read_config(settings: Settings, shapes: Shapes) -> EncoderDecoderConfig:
    """Our config. Version 1.1 has an output matrix of its own, whose inputs are not scaled."""
    settings.refuse_unless("is_encoder_decoder", True)
    *gate, activation = settings.text("feed_forward_proj", "relu").split("-")
    if gate not in ([], ["gated"]) or activation not in ACTIVATIONS:
        raise settings.refuse(
            f"feed_forward_proj is {settings.raw('feed_forward_proj')!r}; expected relu or gated-gelu"
        )
    dropout = settings.number("dropout_rate", 0.1)
    sizes: dict[str, Any] = {
        "width": settings.whole("d_model"),
        "heads": settings.whole("num_heads"),
        "head_width": settings.whole("d_kv"),
        "feed_forward": settings.whole("d_ff"),
        "norm": "pre",
        "activation": "gelu_tanh" if gate and activation == "gelu" else ACTIVATIONS[activation],
        "gated": bool(gate),
        "biased": False,
        "scaled": False,
        "normalisation": "rms",
        "epsilon": settings.number("layer_norm_epsilon", 1e-6),
        "dropout": dropout,
        "attention_dropout": dropout,
        "inner_dropout": dropout,
        "last_dropout": dropout,
        "positions": T5PositionsConfig(
            buckets=settings.whole("relative_attention_num_buckets", 32),
            limit=settings.whole("relative_attention_max_distance", 128),
        ),
    }
    layers = settings.whole("num_layers")
    tied = settings.flag("tie_word_embeddings", True)
    # The reference library, version 5, writes that 1.1 is tied, and that its outputs are not scaled.
    own_output = "lm_head.weight" in shapes and not (tied and settings.flag("scale_decoder_outputs", True))
    return EncoderDecoderConfig(
        embedding=sizes["width"],
        tied="inputs" if own_output else "all",
        scaled_output=settings.flag("scale_decoder_outputs", tied),
        encoder=TransformerEncoderConfig(layers=layers, **sizes),
        decoder=TransformerDecoderConfig(layers=settings.whole("num_decoder_layers", layers), **sizes),
    )


def write_config(config: EncoderDecoderConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens."""
    assert isinstance(config.encoder, TransformerEncoderConfig) and isinstance(config.decoder, TransformerDecoderConfig)
    sizes = config.encoder
    positions = sizes.positions if isinstance(sizes.positions, T5PositionsConfig) else T5PositionsConfig()
    activation = "gelu" if sizes.gated and sizes.activation == "gelu_tanh" else activation_name(sizes.activation)
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "vocab_size": vocabularies[1],
        "d_model": sizes.width,
        "d_kv": sizes.head_width or sizes.width // sizes.heads,
        "d_ff": sizes.feed_forward,
        "num_layers": sizes.layers,
        "num_decoder_layers": config.decoder.layers,
        "num_heads": sizes.heads,
        "feed_forward_proj": f"gated-{activation}" if sizes.gated else activation,
        "relative_attention_num_buckets": positions.buckets,
        "relative_attention_max_distance": positions.limit,
        "layer_norm_epsilon": sizes.epsilon,
        "dropout_rate": sizes.dropout,
        "tie_word_embeddings": config.tied == "all",
        "scale_decoder_outputs": config.scaled_output,
    }


def table(config: EncoderDecoderConfig) -> Table:
    """The names in a file."""
    head = "head.head.weight" if config.scaled_output else "head.weight"
    entries: list[Entry | Copy | Unread] = [
        same("shared.weight", "encoder.embedding.weight"),
        Copy("encoder.embed_tokens.weight", "shared.weight"),
        Copy("decoder.embed_tokens.weight", "shared.weight"),
        Copy("lm_head.weight", "shared.weight") if config.tied == "all" else same("lm_head.weight", head),
        Unread(
            r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
            "left over from an early version; attention over the source has no positions",
        ),
    ]
    assert isinstance(config.encoder, TransformerEncoderConfig) and isinstance(config.decoder, TransformerDecoderConfig)
    for stack, layers in (("encoder", config.encoder.layers), ("decoder", config.decoder.layers)):
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        entries += [same(bias, f"{stack}.terms.weight")]
        entries += [same(f"{stack}.final_layer_norm.weight", f"{stack}.last_norm.weight")]
        for number in range(layers):
            entries += _layer(stack, number, config.encoder.gated)
    return entries


def _layer(stack: str, number: int, gated: bool) -> list[Entry]:
    theirs, ours = f"{stack}.block.{number}.layer", f"{stack}.layers.{number}"
    own = f"{theirs}.0.SelfAttention"
    entries = [
        stacked([f"{own}.{part}.weight" for part in "qkv"], f"{ours}.attention.inputs.weight"),
        same(f"{own}.o.weight", f"{ours}.attention.output.weight"),
        same(f"{theirs}.0.layer_norm.weight", f"{ours}.around_attention.before.weight"),
    ]
    if stack == "decoder":
        source = f"{theirs}.1.EncDecAttention"
        entries += [
            same(f"{source}.q.weight", f"{ours}.source_attention.query.weight"),
            stacked([f"{source}.{part}.weight" for part in "kv"], f"{ours}.source_attention.pairs.weight"),
            same(f"{source}.o.weight", f"{ours}.source_attention.output.weight"),
            same(f"{theirs}.1.layer_norm.weight", f"{ours}.around_source_attention.before.weight"),
        ]
    last = f"{theirs}.{2 if stack == 'decoder' else 1}"
    parts = {"wi_0": "gate", "wi_1": "inner"} if gated else {"wi": "inner"}
    for name, part in {**parts, "wo": "outer"}.items():
        entries.append(same(f"{last}.DenseReluDense.{name}.weight", f"{ours}.feed_forward.{part}.weight"))
    return [*entries, same(f"{last}.layer_norm.weight", f"{ours}.around_feed_forward.before.weight")]


FAMILY = Family(
    kind="t5",
    prefix="",
    within=(),
    takes=EncoderDecoderConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
