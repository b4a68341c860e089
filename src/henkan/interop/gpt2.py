"""GPT-2 (Radford et al. 2019): ``config.json`` and weight names, both ways. Its matrices are (inputs, outputs)."""

from __future__ import annotations

from typing import Any

from henkan.decoders.causal import CausalDecoderConfig
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, linear, same, transposed
from henkan.interop.settings import Settings, activation_name
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.nn.places import LearnedConfig


def read_config(settings: Settings, shapes: Shapes) -> DecoderOnlyConfig:
    """Our config. Where dropout of the embeddings differs from that of residual connections, ours has the latter."""
    settings.refuse_unless("scale_attn_weights", True)
    settings.refuse_unless("scale_attn_by_inverse_layer_idx", False)
    settings.refuse_unless("add_cross_attention", False)
    width = settings.whole("n_embd")
    decoder = CausalDecoderConfig(
        width=width,
        heads=settings.whole("n_head"),
        feed_forward=settings.whole("n_inner", 4 * width),
        layers=settings.whole("n_layer"),
        norm="pre",
        activation=settings.activation("activation_function", "gelu_new"),
        dropout=settings.number("resid_pdrop", 0.1),
        attention_dropout=settings.number("attn_pdrop", 0.1),
        positions=LearnedConfig(limit=settings.whole("n_positions")),
        epsilon=settings.number("layer_norm_epsilon", 1e-5),
    )
    return DecoderOnlyConfig(tied=settings.flag("tie_word_embeddings", True), decoder=decoder)


def write_config(config: DecoderOnlyConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens."""
    decoder = config.decoder
    limit = decoder.positions.limit if isinstance(decoder.positions, LearnedConfig) else 1
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": vocabularies[1],
        "n_embd": decoder.width,
        "n_head": decoder.heads,
        "n_inner": decoder.feed_forward,
        "n_layer": decoder.layers,
        "n_positions": limit,
        "activation_function": activation_name(decoder.activation),
        "resid_pdrop": decoder.dropout,
        "embd_pdrop": decoder.dropout,
        "attn_pdrop": decoder.attention_dropout,
        "layer_norm_epsilon": decoder.epsilon,
        "tie_word_embeddings": config.tied,
    }


def table(config: DecoderOnlyConfig) -> Table:
    """Names without the backbone's prefix."""
    output = "lm_head.weight"
    entries: list[Entry | Copy | Unread] = [
        same("wte.weight", "decoder.embedding.weight"),
        same("wpe.weight", "decoder.positions.weight"),
        *linear("ln_f", "decoder.last_norm"),
        Copy(output, "wte.weight") if config.tied else same(output, "head.weight"),
        Unread(r"h\.\d+\.attn\.(bias|masked_bias)", "which positions are visible"),
    ]
    for number in range(config.decoder.layers):
        theirs, ours = f"h.{number}", f"decoder.layers.{number}"
        entries += [
            *linear(f"{theirs}.ln_1", f"{ours}.around_attention.before"),
            *_convolution(f"{theirs}.attn.c_attn", f"{ours}.attention.inputs"),
            *_convolution(f"{theirs}.attn.c_proj", f"{ours}.attention.output"),
            *linear(f"{theirs}.ln_2", f"{ours}.around_feed_forward.before"),
            *_convolution(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.inner"),
            *_convolution(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.outer"),
        ]
    return entries


def _convolution(theirs: str, ours: str) -> list[Entry]:
    """A layer that is written there as a convolution of width one."""
    return [transposed(f"{theirs}.weight", f"{ours}.weight"), same(f"{theirs}.bias", f"{ours}.bias")]


FAMILY = Family(
    kind="gpt2",
    prefix="transformer.",
    within=("wte.", "wpe.", "h.", "ln_f."),
    takes=DecoderOnlyConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
