"""RoBERTa (Liu et al. 2019): BERT whose positions begin behind two unused rows, with other names for its heads."""

from __future__ import annotations

from typing import Any

from henkan.interop import bert
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, linear
from henkan.interop.settings import Settings
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import LearnedConfig
from henkan.nn.pooling import DensePoolerConfig
from henkan.nn.text_heads import ClassHeadConfig, HeadConfig, MaskedHeadConfig, SpanHeadConfig, ValueHeadConfig


def read_config(settings: Settings, shapes: Shapes) -> EncoderOnlyConfig:
    """Our config. Positions count from behind the row of padding: ``pad_token_id`` + 1."""
    settings.refuse_unless("position_embedding_type", "absolute")
    settings.refuse_unless("is_decoder", False)
    settings.refuse_unless("add_cross_attention", False)
    offset = settings.whole("pad_token_id", 1) + 1
    rows = settings.whole("max_position_embeddings")
    if rows <= offset:
        raise settings.refuse(f"max_position_embeddings is {rows}; expected more than the {offset} unused rows")
    pooler = bert.read_pooler(shapes)
    if "classifier.dense.weight" in shapes:
        dropout = settings.raw("classifier_dropout")
        pooler = DensePoolerConfig(
            dropout=settings.number("hidden_dropout_prob" if dropout is None else "classifier_dropout", 0.1)
        )
    return EncoderOnlyConfig(
        encoder=bert.read_encoder(settings, LearnedConfig(limit=rows - offset, offset=offset)),
        pooler=pooler,
        heads=_read_heads(settings, shapes),
    )


def _read_heads(settings: Settings, shapes: Shapes) -> dict[str, HeadConfig]:
    if "lm_head.dense.weight" in shapes:
        masked = MaskedHeadConfig(
            epsilon=settings.number("layer_norm_eps", 1e-12), tied=settings.flag("tie_word_embeddings", True)
        )
        return {"tokens": masked}
    out = "classifier.out_proj" if "classifier.out_proj.weight" in shapes else "classifier"
    return bert.read_task_heads(settings, shapes, out)


def write_config(config: EncoderOnlyConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens and labels, but with the padding that places count from."""
    positions = config.encoder.positions
    known = positions if isinstance(positions, LearnedConfig) and positions.offset else LearnedConfig(offset=1)
    masked = next((head for head in config.heads.values() if isinstance(head, MaskedHeadConfig)), None)
    return {
        "model_type": "roberta",
        "architectures": [f"Roberta{bert.architecture(config)}"],
        **bert.write_encoder(config.encoder, vocabularies[0]),
        "max_position_embeddings": known.limit + known.offset,
        "pad_token_id": known.offset - 1,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": masked is None or masked.tied,
        **bert.write_task(config),
    }


def table(config: EncoderOnlyConfig) -> Table:
    """Names without the backbone's prefix."""
    entries: list[Entry | Copy | Unread] = [
        *bert.backbone(config),
        Unread("embeddings\\.position_ids", "the numbers 0, 1, 2, ..."),
    ]
    whole_text = any(isinstance(head, (ClassHeadConfig, ValueHeadConfig)) for head in config.heads.values())
    if isinstance(config.pooler, DensePoolerConfig):
        entries += linear("classifier.dense" if whole_text else "pooler.dense", "pooler.dense")
    for name, head in config.heads.items():
        if isinstance(head, MaskedHeadConfig):
            entries += bert.masked_head("lm_head", "dense", "layer_norm", name, head.tied)
        elif isinstance(head, SpanHeadConfig):
            entries += linear("qa_outputs", f"heads.{name}.output")
        else:
            entries += linear("classifier.out_proj" if whole_text else "classifier", f"heads.{name}.output")
    return entries


FAMILY = Family(
    kind="roberta",
    prefix="roberta.",
    within=("embeddings.", "encoder.", "pooler."),
    old_names=bert.OLD_NAMES,
    takes=EncoderOnlyConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
