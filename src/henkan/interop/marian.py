"""Marian, as OPUS-MT publishes it (Junczys-Dowmunt et al. 2018): ``config.json`` and weight names, both ways."""

from __future__ import annotations

from typing import Any, Literal

from henkan.interop import bart
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, same
from henkan.interop.settings import Settings
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.nn.places import SinusoidalConfig

PLACES = 512
"""Sinusoids that a written config asks for, as published; ours have no end."""

_TIED: dict[tuple[bool, bool], Literal["all", "inputs", "target", "none"]] = {
    (True, True): "all",
    (True, False): "inputs",
    (False, True): "target",
    (False, False): "none",
}
"""By whether source and target share a table, and whether the target's is the output matrix."""


def read_config(settings: Settings, shapes: Shapes) -> EncoderDecoderConfig:
    """Our config."""
    encoder, decoder = bart.read_stacks(settings, SinusoidalConfig(stacked=True), embedding_norm=False)
    settings.refuse_unless("normalize_embedding", False)
    shared = settings.flag("share_encoder_decoder_embeddings", True)
    return EncoderDecoderConfig(
        embedding=encoder.width,
        scaled_embedding=settings.flag("scale_embedding", False),
        tied=_TIED[shared, settings.flag("tie_word_embeddings", True)],
        output_bias=True,
        encoder=encoder,
        decoder=decoder,
    )


def write_config(config: EncoderDecoderConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens."""
    shared, tied = next(both for both, name in _TIED.items() if name == config.tied)
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "vocab_size": vocabularies[0],
        "decoder_vocab_size": vocabularies[1],
        "max_position_embeddings": PLACES,
        "share_encoder_decoder_embeddings": shared,
        "tie_word_embeddings": tied,
        **bart.write_stacks(config),
    }


def table(config: EncoderDecoderConfig) -> Table:
    """Names without the backbone's prefix."""
    output = "lm_head.weight"
    shared, tied = next(both for both, name in _TIED.items() if name == config.tied)
    entries: list[Entry | Copy | Unread] = [
        *bart.layers(config),
        Unread(r"(encoder|decoder)\.embed_positions\.weight", "sinusoids"),
    ]
    if shared:
        entries += [
            same("shared.weight", "encoder.embedding.weight"),
            Copy("encoder.embed_tokens.weight", "shared.weight"),
            Copy("decoder.embed_tokens.weight", "shared.weight"),
            Copy(output, "shared.weight") if tied else same(output, "head.weight"),
        ]
    else:
        entries += [
            same("encoder.embed_tokens.weight", "encoder.embedding.weight"),
            same("decoder.embed_tokens.weight", "decoder.embedding.weight"),
            Copy(output, "decoder.embed_tokens.weight") if tied else same(output, "head.weight"),
        ]
    return entries


FAMILY = Family(
    kind="marian",
    prefix="model.",
    within=("shared.", "encoder.", "decoder."),
    takes=EncoderDecoderConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
