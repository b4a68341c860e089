"""BERT (Devlin et al. 2019): ``config.json`` and weight names of the reference library, both ways."""

from __future__ import annotations

from typing import Any

from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.interop.family import Family, Shapes
from henkan.interop.names import Copy, Entry, Table, Unread, linear, same, stacked_linear
from henkan.interop.settings import Settings, activation_name
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import LearnedConfig
from henkan.nn.pooling import DensePoolerConfig, FirstPoolerConfig, PoolerConfig
from henkan.nn.text_heads import (
    ChoiceHeadConfig,
    ClassHeadConfig,
    HeadConfig,
    LabelHeadConfig,
    MaskedHeadConfig,
    SpanHeadConfig,
    ValueHeadConfig,
)

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

_ARCHITECTURES = {
    (): "Model",
    ("masked",): "ForMaskedLM",
    ("class",): "ForSequenceClassification",
    ("value",): "ForSequenceClassification",
    ("label",): "ForTokenClassification",
    ("span",): "ForQuestionAnswering",
    ("choice",): "ForMultipleChoice",
}


def read_config(settings: Settings, shapes: Shapes) -> EncoderOnlyConfig:
    """Our config; ``shapes`` are those of the weights by their present names, which tell what heads there are."""
    settings.refuse_unless("position_embedding_type", "absolute")
    settings.refuse_unless("is_decoder", False)
    settings.refuse_unless("add_cross_attention", False)
    positions = LearnedConfig(limit=settings.whole("max_position_embeddings"))
    return EncoderOnlyConfig(
        encoder=read_encoder(settings, positions), pooler=read_pooler(shapes), heads=_read_heads(settings, shapes)
    )


def read_encoder(settings: Settings, positions: LearnedConfig) -> TransformerEncoderConfig:
    """What BERT and RoBERTa have in common."""
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
        epsilon=settings.number("layer_norm_eps", 1e-12),
        segments=settings.whole("type_vocab_size", 2),
    )


def read_pooler(shapes: Shapes) -> PoolerConfig:
    """Whether the file has one."""
    return DensePoolerConfig() if "pooler.dense.weight" in shapes else FirstPoolerConfig()


def _read_heads(settings: Settings, shapes: Shapes) -> dict[str, HeadConfig]:
    heads: dict[str, HeadConfig] = {}
    if "cls.predictions.transform.dense.weight" in shapes:
        heads["tokens"] = MaskedHeadConfig(
            activation=settings.activation("hidden_act", "gelu"),
            epsilon=settings.number("layer_norm_eps", 1e-12),
            tied=settings.flag("tie_word_embeddings", True),
        )
    if "cls.seq_relationship.weight" in shapes:
        heads["next"] = ClassHeadConfig(classes=2, dropout=0.0)
    return heads | read_task_heads(settings, shapes, "classifier")


def read_task_heads(settings: Settings, shapes: Shapes, classifier: str) -> dict[str, HeadConfig]:
    """The head that fine-tuning added; ``classifier`` is the layer that gives classes."""
    dropout = settings.raw("classifier_dropout")
    dropout = settings.number("hidden_dropout_prob" if dropout is None else "classifier_dropout", 0.1)
    if "qa_outputs.weight" in shapes:
        return {"span": SpanHeadConfig()}
    if f"{classifier}.weight" not in shapes:
        return {}
    outputs = shapes[f"{classifier}.weight"][0]
    if settings.architecture().endswith("ForTokenClassification"):
        return {"labels": LabelHeadConfig(labels=outputs, dropout=dropout)}
    if settings.architecture().endswith("ForMultipleChoice"):
        return {"choice": ChoiceHeadConfig(dropout=dropout)}
    if settings.raw("problem_type") == "multi_label_classification":
        raise settings.refuse(
            "problem_type is 'multi_label_classification': several labels for one text, where a model here tells one; "
            "take the encoder alone, in the library it comes from: model.base_model.save_pretrained(FOLDER)"
        )
    if outputs == 1 or settings.raw("problem_type") == "regression":
        return {"values": ValueHeadConfig(size=outputs, dropout=dropout)}
    return {"class": ClassHeadConfig(classes=outputs, dropout=dropout)}


def write_config(config: EncoderOnlyConfig, vocabularies: tuple[int, int]) -> dict[str, Any]:
    """Their config.json, without special tokens and labels."""
    encoder = config.encoder
    masked = next((head for head in config.heads.values() if isinstance(head, MaskedHeadConfig)), None)
    limit = encoder.positions.limit if isinstance(encoder.positions, LearnedConfig) else 1
    return {
        "model_type": "bert",
        "architectures": [f"Bert{architecture(config)}"],
        **write_encoder(encoder, vocabularies[0]),
        "max_position_embeddings": limit,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": masked is None or masked.tied,
        **write_task(config),
    }


def write_encoder(encoder: TransformerEncoderConfig, vocabulary: int) -> dict[str, Any]:
    """What BERT, RoBERTa and DeBERTa have in common."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": encoder.width,
        "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.feed_forward,
        "num_hidden_layers": encoder.layers,
        "hidden_act": activation_name(encoder.activation),
        "hidden_dropout_prob": encoder.dropout,
        "attention_probs_dropout_prob": encoder.attention_dropout,
        "layer_norm_eps": encoder.epsilon,
        "type_vocab_size": encoder.segments,
    }


def write_task(config: EncoderOnlyConfig) -> dict[str, Any]:
    """What a fine-tuned head has in config.json."""
    for head in config.heads.values():
        if isinstance(head, ValueHeadConfig):
            return {"problem_type": "regression", "num_labels": head.size, "classifier_dropout": head.dropout}
        if isinstance(head, (ClassHeadConfig, LabelHeadConfig)) and head is not config.heads.get("next"):
            outputs = head.classes if isinstance(head, ClassHeadConfig) else head.labels
            return {"num_labels": outputs, "classifier_dropout": head.dropout}
        if isinstance(head, ChoiceHeadConfig):
            return {"classifier_dropout": head.dropout}
    return {}


def architecture(config: EncoderOnlyConfig) -> str:
    """The end of their class's name."""
    if "next" in config.heads:
        return "ForPreTraining" if "tokens" in config.heads else "ForNextSentencePrediction"
    kinds = tuple(head.kind for head in config.heads.values())
    return _ARCHITECTURES.get(kinds, "Model")


def table(config: EncoderOnlyConfig) -> Table:
    """Names without the backbone's prefix; heads never had it."""
    entries: list[Entry | Copy | Unread] = [
        *backbone(config),
        Unread("embeddings\\.position_ids", "the numbers 0, 1, 2, ..."),
    ]
    if isinstance(config.pooler, DensePoolerConfig):
        entries += linear("pooler.dense", "pooler.dense")
    for name, head in config.heads.items():
        if isinstance(head, MaskedHeadConfig):
            entries += masked_head("cls.predictions", "transform.dense", "transform.LayerNorm", name, head.tied)
        elif isinstance(head, SpanHeadConfig):
            entries += linear("qa_outputs", f"heads.{name}.output")
        else:
            entries += linear("cls.seq_relationship" if name == "next" else "classifier", f"heads.{name}.output")
    return entries


def backbone(config: EncoderOnlyConfig) -> list[Entry]:
    """The encoder of BERT and RoBERTa."""
    entries = [
        same("embeddings.word_embeddings.weight", "encoder.embedding.weight"),
        same("embeddings.position_embeddings.weight", "encoder.positions.weight"),
        *linear("embeddings.LayerNorm", "encoder.first_norm"),
    ]
    if config.encoder.segments:
        entries.append(same("embeddings.token_type_embeddings.weight", "encoder.segments.weight"))
    for number in range(config.encoder.layers):
        entries += layer(number, ("query", "key", "value"))
    return entries


def layer(number: int, projections: tuple[str, str, str]) -> list[Entry]:
    """A layer of BERT, RoBERTa and DeBERTa, who call the projections of attention differently."""
    theirs, ours = f"encoder.layer.{number}", f"encoder.layers.{number}"
    return [
        *stacked_linear([f"{theirs}.attention.self.{part}" for part in projections], f"{ours}.attention.inputs"),
        *linear(f"{theirs}.attention.output.dense", f"{ours}.attention.output"),
        *linear(f"{theirs}.attention.output.LayerNorm", f"{ours}.around_attention.after"),
        *linear(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.inner"),
        *linear(f"{theirs}.output.dense", f"{ours}.feed_forward.outer"),
        *linear(f"{theirs}.output.LayerNorm", f"{ours}.around_feed_forward.after"),
    ]


def masked_head(theirs: str, dense: str, norm: str, name: str, tied: bool) -> list[Entry | Copy | Unread]:
    """The output layer over masks; ``dense`` and ``norm`` are what the two parts of its transform are called."""
    ours = f"heads.{name}"
    weight, bias, first_bias = f"{theirs}.decoder.weight", f"{theirs}.decoder.bias", f"{theirs}.bias"
    transform = [*linear(f"{theirs}.{dense}", f"{ours}.dense"), *linear(f"{theirs}.{norm}", f"{ours}.norm")]
    if tied:
        output = [same(first_bias, f"{ours}.output.bias")]
        return [*transform, *output, Copy(bias, first_bias), Copy(weight, "embeddings.word_embeddings.weight")]
    output = [same(weight, f"{ours}.output.weight"), same(bias, f"{ours}.output.bias")]
    return [*transform, *output, Copy(first_bias, bias, read=False)]


FAMILY = Family(
    kind="bert",
    prefix="bert.",
    within=("embeddings.", "encoder.", "pooler."),
    old_names=OLD_NAMES,
    takes=EncoderOnlyConfig,
    read_config=read_config,
    write_config=write_config,
    table=table,
)
