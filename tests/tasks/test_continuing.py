"""Lines through models of text: what is longer than a model reads is said, and none of the user's text is lost."""

import pytest

from henkan.decoders.causal import CausalDecoderConfig
from henkan.decoders.transformer import TransformerDecoderConfig
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import LearnedConfig
from henkan.nn.text_heads import MaskedHeadConfig
from henkan.tasks.continuing import Continuing, Filling, Writing
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

LENGTH = 16
SIZES = {"width": 8, "heads": 2, "feed_forward": 8, "layers": 1, "positions": LearnedConfig(limit=LENGTH)}
LONG = " ".join("abcdefg" * 4)


@pytest.fixture(scope="module")
def tokenizer():
    return learn(TokenizerConfig(kind="word", vocabulary=50, mask=True), ["a b c d e f g"])


def test_a_long_text_is_printed_whole_and_its_end_is_gone_on_from(tokenizer):
    network = DecoderOnlyConfig(decoder=CausalDecoderConfig(**SIZES)).build(tokenizer.size).eval()
    continuing = Continuing(network, tokenizer, LENGTH)
    other = "g g g " + LONG
    found = continuing.predict([LONG, "a b", other, "b a"])
    assert all(line.startswith(text) for line, text in zip(found, [LONG, "a b", other, "b a"], strict=True))
    assert len(found[0]) > len(LONG), "there is room for something more"
    end = " ".join(LONG.split(" ")[-LENGTH * 3 // 4 :])
    assert found[0].removeprefix(LONG) == found[2].removeprefix(other) == continuing.predict([end])[0].removeprefix(end)
    assert continuing.cut.sentence() == "2 of 5 texts were cut to their last 12 tokens; the model's `length` is 16"


def test_what_just_fits_is_not_cut(tokenizer):
    network = DecoderOnlyConfig(decoder=CausalDecoderConfig(**SIZES)).build(tokenizer.size).eval()
    continuing = Continuing(network, tokenizer, LENGTH)
    text = " ".join("abcde" * 3)
    assert continuing.predict([text])[0].startswith(text)
    assert continuing.cut.sentence() is None


def test_a_line_that_leaves_little_room_stops_while_others_go_on(tokenizer):
    network = DecoderOnlyConfig(decoder=CausalDecoderConfig(**SIZES)).build(tokenizer.size).eval()
    lines = [" ".join("abcdefg" * 2), *["a b"] * 19]
    together = Continuing(network, tokenizer, LENGTH).predict(lines)
    assert together == [Continuing(network, tokenizer, LENGTH).predict([line])[0] for line in lines]


def test_masks_of_a_long_text(tokenizer):
    config = EncoderOnlyConfig(encoder=TransformerEncoderConfig(**SIZES), heads={"tokens": MaskedHeadConfig()})
    filling = Filling(config.build(tokenizer.size).eval(), tokenizer, LENGTH)
    found = filling.predict([LONG, f"a b\t{LONG}", "a <mask>", "a <mask>\t", ""])
    assert found[0] == LONG[: 2 * (LENGTH - 2) - 1]
    assert found[1].split("\t")[0] == "a b" and LONG.startswith(found[1].split("\t")[1])
    assert [line.count("\t") for line in found] == [0, 1, 0, 1, 0]
    assert filling.cut.sentence() == "2 of 5 texts were cut to 16 tokens; the model's `length` is 16"


def test_a_long_text_to_be_written_anew(tokenizer):
    config = EncoderDecoderConfig(
        embedding=8, encoder=TransformerEncoderConfig(**SIZES), decoder=TransformerDecoderConfig(**SIZES), tied="all"
    )
    writing = Writing(config.build(tokenizer.size, tokenizer.size).eval(), tokenizer, LENGTH)
    kept = " ".join(LONG.split(" ")[: LENGTH - 1])
    assert writing.predict([LONG, kept])[0] == writing.predict([kept])[0]
    assert writing.cut.sentence() == "1 of 3 texts were cut to 16 tokens; the model's `length` is 16"
