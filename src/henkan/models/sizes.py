"""The families in their published sizes, as configs of a network.

``tiny`` to ``base`` are the sizes of Turc et al. (2019), whose heads are 64 wide and whose feed-forward networks are
four times as wide as the model. Where a family was published in a size of that name, it is that one: ``_OWN``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from henkan.decoders.causal import CausalDecoderConfig
from henkan.decoders.transformer import TransformerDecoderConfig
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import DisentangledConfig, LearnedConfig, SinusoidalConfig, T5PositionsConfig
from henkan.nn.pooling import DensePoolerConfig, PoolerConfig
from henkan.nn.text_heads import ClassHeadConfig, HeadConfig, MaskDecoderConfig, MaskedHeadConfig

Size = Literal["tiny", "mini", "small", "base"]
Kind = Literal["bert", "roberta", "deberta", "gpt2", "t5", "bart", "marian"]


class Shape(NamedTuple):
    """How large; where there are two stacks, each has so many layers."""

    layers: int
    width: int

    def sizes(self) -> dict[str, Any]:
        """As settings of a stack."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.width // 64,
            "feed_forward": 4 * self.width,
        }


_SHAPES: dict[Size, Shape] = {
    "tiny": Shape(2, 128),
    "mini": Shape(4, 256),
    "small": Shape(4, 512),
    "base": Shape(12, 768),
}
_OWN: dict[tuple[Kind, Size], Shape] = {
    ("deberta", "small"): Shape(6, 768),
    ("t5", "small"): Shape(6, 512),
    ("bart", "base"): Shape(6, 768),
    ("marian", "base"): Shape(6, 512),
}


POOLERS: dict[Kind, PoolerConfig] = {
    "bert": DensePoolerConfig(),
    "roberta": DensePoolerConfig(dropout=0.1),
    "deberta": DensePoolerConfig(activation="gelu"),
}
"""Through which layer a family says something of a whole text. BERT pretrains it with the next sentence; others have
none before they are fine-tuned."""


def bert(size: Size) -> EncoderOnlyConfig:
    """BERT with what it is pre-trained by: ``tokens`` under masks, and whether a sentence is the ``next``."""
    encoder = TransformerEncoderConfig(
        **_sizes("bert", size), **_BERT, positions=LearnedConfig(limit=512), epsilon=1e-12, segments=2
    )
    heads: dict[str, HeadConfig] = {
        "tokens": MaskedHeadConfig(epsilon=1e-12),
        "next": ClassHeadConfig(classes=2, dropout=0.0),
    }
    return EncoderOnlyConfig(start="bert", encoder=encoder, pooler=POOLERS["bert"], heads=heads)


def roberta(size: Size) -> EncoderOnlyConfig:
    """RoBERTa with ``tokens``; its places begin behind padding, whose number is 0 here and 1 in their vocabulary."""
    positions = LearnedConfig(limit=512, offset=1)
    encoder = TransformerEncoderConfig(**_sizes("roberta", size), **_BERT, positions=positions, segments=1)
    return EncoderOnlyConfig(start="bert", encoder=encoder, heads={"tokens": MaskedHeadConfig()})


def deberta(size: Size) -> EncoderOnlyConfig:
    """DeBERTa version 3's encoder, with ``tokens`` under masks and the mask decoder of versions 1 and 2."""
    encoder = TransformerEncoderConfig(**_sizes("deberta", size), **_BERT, positions=DisentangledConfig(), epsilon=1e-7)
    tokens = MaskedHeadConfig(epsilon=1e-7, decoder=MaskDecoderConfig())
    return EncoderOnlyConfig(start="bert", encoder=encoder, heads={"tokens": tokens})


def gpt2(size: Size) -> DecoderOnlyConfig:
    """GPT-2."""
    decoder = CausalDecoderConfig(
        **_sizes("gpt2", size),
        norm="pre",
        activation="gelu_tanh",
        attention_dropout=0.1,
        positions=LearnedConfig(limit=1024),
    )
    return DecoderOnlyConfig(start="gpt2", decoder=decoder)


def t5(size: Size) -> EncoderDecoderConfig:
    """T5, first version."""
    sizes = _sizes("t5", size) | {
        "norm": "pre",
        "normalisation": "rms",
        "epsilon": 1e-6,
        "biased": False,
        "scaled": False,
        "head_width": 64,
        "attention_dropout": 0.1,
        "inner_dropout": 0.1,
        "last_dropout": 0.1,
        "positions": T5PositionsConfig(),
    }
    return _both(sizes, tied="all", scaled_output=True, start="t5")


def bart(size: Size) -> EncoderDecoderConfig:
    """BART."""
    positions = LearnedConfig(limit=1024, offset=2)
    sizes = _sizes("bart", size) | {"activation": "gelu", "positions": positions, "embedding_norm": True}
    return _both(sizes, tied="all", output_bias=True, start="bert")


def marian(size: Size) -> EncoderDecoderConfig:
    """Marian, as OPUS-MT has it."""
    sizes = _sizes("marian", size) | {"activation": "silu", "positions": SinusoidalConfig(stacked=True)}
    return _both(sizes, tied="all", scaled_embedding=True, output_bias=True)


FAMILIES: dict[Kind, Callable[[Size], EncoderOnlyConfig | DecoderOnlyConfig | EncoderDecoderConfig]] = {
    "bert": bert,
    "roberta": roberta,
    "deberta": deberta,
    "gpt2": gpt2,
    "t5": t5,
    "bart": bart,
    "marian": marian,
}

_BERT: dict[str, Any] = {"norm": "post", "activation": "gelu", "attention_dropout": 0.1, "embedding_norm": True}


def _sizes(kind: Kind, size: Size) -> dict[str, Any]:
    return _OWN.get((kind, size), _SHAPES[size]).sizes()


def _both(sizes: dict[str, Any], **model: Any) -> EncoderDecoderConfig:
    return EncoderDecoderConfig(
        embedding=sizes["width"],
        encoder=TransformerEncoderConfig(**sizes),
        decoder=TransformerDecoderConfig(**sizes),
        **model,
    )
