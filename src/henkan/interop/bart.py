"""BART (Lewis et al. 2020): ``config.json`` and weight names, both ways."""

from __future__ import annotations

from typing import Any

from henkan.decoders.transformer import TransformerDecoderConfig
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, linear, row, same, stacked_linear
from henkan.interop.settings import Settings, activation_name
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.nn.places import LearnedConfig, PositionsConfig

OFFSET = 2
"""Rows of the table of positions that no token ever reads."""


def read_config(settings: Settings, shapes: Shapes) -> EncoderDecoderConfig:
    """Our config."""
    positions = LearnedConfig(limit=settings.whole("max_position_embeddings"), offset=OFFSET)
    encoder, decoder = read_stacks(settings, positions, embedding_norm=True)
    return EncoderDecoderConfig(
        embedding=encoder.width,
        scaled_embedding=settings.flag("scale_embedding", False),
        tied="all" if settings.flag("tie_word_embeddings", True) else "inputs",
        output_bias=True,
        encoder=encoder,
        decoder=decoder,
    )


def read_stacks(
    settings: Settings, positions: PositionsConfig, *, embedding_norm: bool
) -> tuple[TransformerEncoderConfig, TransformerDecoderConfig]:
    """What BART and Marian have in common."""
    settings.refuse_unless("is_encoder_decoder", True)
    for name in ("normalize_before", "add_final_layer_norm"):
        settings.refuse_unless(name, False)
    shared: dict[str, Any] = {
        "width": settings.whole("d_model"),
        "norm": "post",
        "activation": settings.activation("activation_function", "gelu"),
        "dropout": settings.number("dropout", 0.1),
        "attention_dropout": settings.number("attention_dropout", 0.0),
        "inner_dropout": settings.number("activation_dropout", 0.0),
        "positions": positions,
        "embedding_norm": embedding_norm,
    }
    sizes: list[dict[str, Any]] = [
        {
            "heads": settings.whole(f"{stack}_attention_heads"),
            "feed_forward": settings.whole(f"{stack}_ffn_dim"),
            "layers": settings.whole(f"{stack}_layers"),
        }
        for stack in ("encoder", "decoder")
    ]
    return TransformerEncoderConfig(**shared, **sizes[0]), TransformerDecoderConfig(**shared, **sizes[1])


def write_config(config: EncoderDecoderConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens."""
    positions = config.encoder.positions if isinstance(config.encoder, TransformerEncoderConfig) else None
    return {
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "vocab_size": vocabularies[1],
        "max_position_embeddings": positions.limit if isinstance(positions, LearnedConfig) else 1,
        "tie_word_embeddings": config.tied == "all",
        **write_stacks(config),
    }


def write_stacks(config: EncoderDecoderConfig) -> dict[str, Any]:
    """What BART and Marian have in common."""
    encoder, decoder = config.encoder, config.decoder
    assert isinstance(encoder, TransformerEncoderConfig) and isinstance(decoder, TransformerDecoderConfig)
    written = {
        "is_encoder_decoder": True,
        "d_model": encoder.width,
        "activation_function": activation_name(encoder.activation),
        "dropout": encoder.dropout,
        "attention_dropout": encoder.attention_dropout,
        "activation_dropout": encoder.inner_dropout,
        "scale_embedding": config.scaled_embedding,
    }
    for stack, sizes in (("encoder", encoder), ("decoder", decoder)):
        written[f"{stack}_attention_heads"] = sizes.heads
        written[f"{stack}_ffn_dim"] = sizes.feed_forward
        written[f"{stack}_layers"] = sizes.layers
    return written


def table(config: EncoderDecoderConfig) -> Table:
    """Names without the backbone's prefix."""
    output = "lm_head.weight"
    entries: list[Entry | Copy | Unread] = [
        same("shared.weight", "encoder.embedding.weight"),
        Copy("encoder.embed_tokens.weight", "shared.weight"),
        Copy("decoder.embed_tokens.weight", "shared.weight"),
        Copy(output, "shared.weight") if config.tied == "all" else same(output, "head.weight"),
        *layers(config),
    ]
    for stack in ("encoder", "decoder"):
        entries.append(same(f"{stack}.embed_positions.weight", f"{stack}.positions.weight"))
        entries += linear(f"{stack}.layernorm_embedding", f"{stack}.first_norm")
    return entries


def layers(config: EncoderDecoderConfig) -> list[Entry]:
    """The layers of BART and Marian, and the bias of the output."""
    assert isinstance(config.encoder, TransformerEncoderConfig) and isinstance(config.decoder, TransformerDecoderConfig)
    entries = [row("final_logits_bias", "head.bias")]
    for number in range(config.encoder.layers):
        entries += _layer("encoder", number)
    for number in range(config.decoder.layers):
        theirs, ours = f"decoder.layers.{number}", f"decoder.layers.{number}"
        source = f"{theirs}.encoder_attn"
        entries += [
            *_layer("decoder", number),
            *linear(f"{source}.q_proj", f"{ours}.source_attention.query"),
            *stacked_linear([f"{source}.k_proj", f"{source}.v_proj"], f"{ours}.source_attention.pairs"),
            *linear(f"{source}.out_proj", f"{ours}.source_attention.output"),
            *linear(f"{theirs}.encoder_attn_layer_norm", f"{ours}.around_source_attention.after"),
        ]
    return entries


def _layer(stack: str, number: int) -> list[Entry]:
    theirs = ours = f"{stack}.layers.{number}"
    own = f"{theirs}.self_attn"
    return [
        *stacked_linear([f"{own}.{part}_proj" for part in "qkv"], f"{ours}.attention.inputs"),
        *linear(f"{own}.out_proj", f"{ours}.attention.output"),
        *linear(f"{theirs}.self_attn_layer_norm", f"{ours}.around_attention.after"),
        *linear(f"{theirs}.fc1", f"{ours}.feed_forward.inner"),
        *linear(f"{theirs}.fc2", f"{ours}.feed_forward.outer"),
        *linear(f"{theirs}.final_layer_norm", f"{ours}.around_feed_forward.after"),
    ]


FAMILY = Family(
    kind="bart",
    prefix="model.",
    within=("shared.", "encoder.", "decoder."),
    takes=EncoderDecoderConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
