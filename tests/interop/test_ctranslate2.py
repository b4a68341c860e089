"""Translators in CTranslate2: held to what ours say, on models of random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from henkan.decode.beam import BeamOptions
from henkan.errors import ConfigError, RunError
from henkan.interop import ctranslate2
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tasks.translator import Prediction, Translator
from henkan.text.learning import learn
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from toys import toy_pairs
from zoo import CONFIGS

SIZES = {"kind": "transformer", "width": 16, "heads": 2, "feed_forward": 24, "layers": 2}
TEXTS = [source for source, _ in toy_pairs(12)]

MODELS: dict[str, dict[str, Any]] = {
    "pre-norm, all tied, scaled": {"tied": "all", "scaled_embedding": True, "both": {"norm": "pre"}},
    "post-norm, output bias": {"output_bias": True, "both": {"norm": "post", "activation": "silu"}},
    "unlike sides": {
        "tied": "target",
        "encoder": {"norm": "pre", "layers": 3, "activation": "gelu"},
        "decoder": {"norm": "post", "layers": 1, "heads": 4},
    },
    "learned places, embedding norm": {
        "tied": "inputs",
        "both": {
            "positions": {"kind": "learned", "limit": 60, "offset": 2},
            "embedding_norm": True,
            "activation": "gelu_tanh",
            "epsilon": 1e-3,
        },
    },
    "stacked sinusoids": {"both": {"positions": {"kind": "sinusoidal", "stacked": True}}},
}


def config_of(settings: dict[str, Any]) -> EncoderDecoderConfig:
    settings = dict(settings)
    both = settings.pop("both", {})
    sides = {side: SIZES | both | settings.pop(side, {}) for side in ("encoder", "decoder")}
    return EncoderDecoderConfig.model_validate({"embedding": 16, **settings, **sides})


def tokenizers_for(config: EncoderDecoderConfig) -> tuple[Tokenizer, Tokenizer]:
    """One for both sides where the tables are shared, otherwise two that differ."""
    joint = learn(TokenizerConfig(kind="bpe", vocabulary=60), TEXTS)
    if config.tied in ("all", "inputs"):
        return joint, joint
    return joint, learn(TokenizerConfig(kind="character"), TEXTS)


def built(config: EncoderDecoderConfig, tokenizers: tuple[Tokenizer, Tokenizer]) -> EncoderDecoder:
    torch.manual_seed(3)
    network = config.build(tokenizers[0].size, tokenizers[1].size).eval()
    uniform_everywhere(network, 0.6)
    return network


def greedy(network: EncoderDecoder, tokenizers: tuple[Tokenizer, Tokenizer]) -> list[Prediction]:
    translator = Translator.of(network, tokenizers, False, BeamOptions(beam=1, max_length=30))
    return [found[0] for found in translator.predict(TEXTS)]


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_equal(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ctranslate2", reason="the library that the model is written for")
    config = ctranslate2.check(config_of(MODELS[name]), reverse_source=False)
    tokenizers = tokenizers_for(config)
    network = built(config, tokenizers)
    expected = greedy(network, tokenizers)
    assert len({prediction.text for prediction in expected}) > 4, "the outputs say something about the inputs"
    ctranslate2.write(tmp_path, config, network, tokenizers)
    assert ctranslate2.compare(tmp_path, tokenizers, TEXTS, expected) == (
        "greedy outputs equal the model's: 12 of 12 (float32)"
    )


def test_quantising_leaves_the_model_alone(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the library that the model is written for")
    config = config_of(MODELS["pre-norm, all tied, scaled"])
    tokenizers = tokenizers_for(config)
    network = built(config, tokenizers)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    ctranslate2.write(tmp_path, config, network, tokenizers, "int8")
    after = network.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert "(int8)" in ctranslate2.compare(tmp_path, tokenizers, TEXTS, greedy(network, tokenizers), "int8")


def test_another_model_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the library that the model is written for")
    config = config_of(MODELS["post-norm, output bias"])
    tokenizers = tokenizers_for(config)
    network = built(config, tokenizers)
    ctranslate2.write(tmp_path, config, network, tokenizers)
    with torch.no_grad():
        network.decoder.layers[1].feed_forward.outer.bias[3] += 0.05
    with pytest.raises(RunError, match="the exported model is another"):
        ctranslate2.compare(tmp_path, tokenizers, TEXTS, greedy(network, tokenizers))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t5", ["encoder.positions: t5", "decoder.normalisation: rms", "encoder.biased: False", "scaled_output: true"]),
        ("luong, dot, 1 layers, fed", ["decoder.kind: luong with soft attention", "encoder.kind: recurrent"]),
        ("bahdanau, coverage", ["decoder.kind: bahdanau with coverage attention"]),
        ("bahdanau, local-p", ["decoder.kind: bahdanau with local attention"]),
        ("luong, fed, hard", ["decoder.kind: luong with hard attention"]),
        ("copying, transformer, all tied", ["model.copying: true"]),
    ],
)
def test_what_is_not_there_is_named(name: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        ctranslate2.check(CONFIGS[name], reverse_source=True)
    for each in [*words, "data.reverse_source: true", "It can have Transformers"]:
        assert each in str(caught.value)


def test_an_unknown_quantisation_is_refused() -> None:
    with pytest.raises(ConfigError, match="quantisation 'int4': expected one of float32"):
        ctranslate2.check(config_of({}), reverse_source=False, quantisation="int4")
