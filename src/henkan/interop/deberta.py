"""DeBERTa, versions 2 and 3 (He et al. 2021): ``config.json`` and weight names, both ways."""

from __future__ import annotations

from typing import Any, Literal

from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.interop import bert
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, linear, same
from henkan.interop.settings import Settings
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import DisentangledConfig
from henkan.nn.pooling import DensePoolerConfig, FirstPoolerConfig, PoolerConfig
from henkan.nn.text_heads import HeadConfig, MaskedHeadConfig, SpanHeadConfig


def read_config(settings: Settings, shapes: Shapes) -> EncoderOnlyConfig:
    """Our config."""
    settings.refuse_unless("relative_attention", True)
    settings.refuse_unless("share_att_key", True)
    settings.refuse_unless("conv_kernel_size", 0)
    settings.refuse_unless("embedding_size", settings.whole("hidden_size"))
    settings.refuse_unless("legacy", True)
    if not settings.raw("relative_attention") or not settings.raw("share_att_key"):
        raise settings.refuse("expected relative_attention and share_att_key to be true, as in versions 2 and 3")
    return EncoderOnlyConfig(
        encoder=_read_encoder(settings), pooler=_read_pooler(settings, shapes), heads=_read_heads(settings, shapes)
    )


def _read_encoder(settings: Settings) -> TransformerEncoderConfig:
    epsilon = settings.number("layer_norm_eps", 1e-7)
    longest = settings.whole("max_position_embeddings", 512)
    limit = settings.whole("max_relative_positions", -1)
    limit = longest if limit < 1 else limit
    span = settings.whole("position_buckets", -1)
    terms = settings.raw("pos_att_type") or []
    terms = terms.lower().split("|") if isinstance(terms, str) else terms
    positions = DisentangledConfig(
        span=span if span > 0 else limit,
        limit=limit if span > 0 else 0,
        content_to_position="c2p" in terms,
        position_to_content="p2c" in terms,
        normalised="layer_norm" in settings.text("norm_rel_ebd", "none"),
        epsilon=epsilon,
        learned=longest if settings.flag("position_biased_input", True) else 0,
    )
    return TransformerEncoderConfig(
        width=settings.whole("hidden_size"),
        heads=settings.whole("num_attention_heads"),
        feed_forward=settings.whole("intermediate_size"),
        layers=settings.whole("num_hidden_layers"),
        norm="post",
        activation=settings.activation("hidden_act", "gelu"),
        dropout=settings.number("hidden_dropout_prob", 0.1),
        attention_dropout=settings.number("attention_probs_dropout_prob", 0.1),
        positions=positions,
        embedding_norm=True,
        epsilon=epsilon,
        segments=settings.whole("type_vocab_size", 0),
    )


def _read_pooler(settings: Settings, shapes: Shapes) -> PoolerConfig:
    if "pooler.dense.weight" not in shapes:
        return FirstPoolerConfig()
    settings.refuse_unless("pooler_hidden_act", "gelu", "tanh")
    activation: Literal["tanh", "gelu"] = "tanh" if settings.raw("pooler_hidden_act") == "tanh" else "gelu"
    return DensePoolerConfig(activation=activation, dropout=settings.number("pooler_dropout", 0.0))


def _read_heads(settings: Settings, shapes: Shapes) -> dict[str, HeadConfig]:
    if "cls.predictions.transform.dense.weight" in shapes:
        masked = MaskedHeadConfig(
            activation=settings.activation("hidden_act", "gelu"),
            epsilon=settings.number("layer_norm_eps", 1e-7),
            tied=settings.flag("tie_word_embeddings", True),
        )
        return {"tokens": masked}
    heads = bert.read_task_heads(settings, shapes, "classifier")
    dropout = settings.raw("cls_dropout")
    if dropout is not None and heads.keys() & {"class", "values"}:
        rate = settings.number("cls_dropout", 0.1)
        return {name: head.model_copy(update={"dropout": rate}) for name, head in heads.items()}
    return heads


def write_config(config: EncoderOnlyConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens and labels."""
    positions = config.encoder.positions
    known = positions if isinstance(positions, DisentangledConfig) else DisentangledConfig()
    terms = {"c2p": known.content_to_position, "p2c": known.position_to_content}
    masked = next((head for head in config.heads.values() if isinstance(head, MaskedHeadConfig)), None)
    written = {
        "model_type": "deberta-v2",
        "architectures": [f"DebertaV2{bert.architecture(config)}"],
        **bert.write_encoder(config.encoder, vocabularies[0]),
        "max_position_embeddings": known.learned or known.limit or known.span,
        "max_relative_positions": known.limit or known.span,
        "position_buckets": known.span if known.limit else -1,
        "position_biased_input": known.learned > 0,
        "relative_attention": True,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm" if known.normalised else "none",
        "pos_att_type": [name for name, there in terms.items() if there],
        "tie_word_embeddings": masked is None or masked.tied,
        **bert.write_task(config),
    }
    if "classifier_dropout" in written:
        written["cls_dropout"] = written["classifier_dropout"]
    if isinstance(config.pooler, DensePoolerConfig):
        written |= {
            "pooler_hidden_act": config.pooler.activation,
            "pooler_dropout": config.pooler.dropout,
            "pooler_hidden_size": config.encoder.width,
        }
    return written


def table(config: EncoderOnlyConfig) -> Table:
    """Names without the backbone's prefix."""
    encoder, positions = config.encoder, config.encoder.positions
    entries: list[Entry | Copy | Unread] = [
        same("embeddings.word_embeddings.weight", "encoder.embedding.weight"),
        *linear("embeddings.LayerNorm", "encoder.first_norm"),
        same("encoder.rel_embeddings.weight", "encoder.terms.weight"),
        Unread("embeddings\\.position_ids", "the numbers 0, 1, 2, ..."),
        Unread("mask_predictions\\..*", "the discriminator of replaced tokens, used in pre-training alone"),
    ]
    if encoder.segments:
        entries.append(same("embeddings.token_type_embeddings.weight", "encoder.segments.weight"))
    if isinstance(positions, DisentangledConfig):
        if positions.learned:
            entries.append(same("embeddings.position_embeddings.weight", "encoder.positions.weight"))
        if positions.normalised:
            entries += linear("encoder.LayerNorm", "encoder.terms.norm")
    for number in range(encoder.layers):
        entries += bert.layer(number, ("query_proj", "key_proj", "value_proj"))
    if isinstance(config.pooler, DensePoolerConfig):
        entries += linear("pooler.dense", "pooler.dense")
    for name, head in config.heads.items():
        if isinstance(head, MaskedHeadConfig):
            entries += bert.masked_head("cls.predictions", "transform.dense", "transform.LayerNorm", name, head.tied)
        elif isinstance(head, SpanHeadConfig):
            entries += linear("qa_outputs", f"heads.{name}.output")
        else:
            entries += linear("classifier", f"heads.{name}.output")
    return entries


FAMILY = Family(
    kind="deberta-v2",
    prefix="deberta.",
    within=("embeddings.", "encoder."),
    old_names=bert.OLD_NAMES,
    takes=EncoderOnlyConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
