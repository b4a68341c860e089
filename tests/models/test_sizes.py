"""The published numbers of parameters, and every family in every size as a checkpoint of its own kind."""

import pytest

from henkan import interop
from henkan.models import sizes
from henkan.models.outline import without_numbers

MILLIONS = {  # vocabulary, and millions of parameters as published or as the published weights have them
    ("bert", "tiny"): (30522, 4.4),
    ("bert", "mini"): (30522, 11.3),
    ("bert", "small"): (30522, 29.1),
    ("bert", "base"): (30522, 110.1),
    ("gpt2", "base"): (50257, 124.4),
    ("t5", "small"): (32128, 60.5),
    ("t5", "base"): (32128, 222.9),
    ("bart", "base"): (50265, 139.4),
}


def build(config, vocabulary):
    with without_numbers():
        return config.build(vocabulary, vocabulary) if config.kind == "encoder_decoder" else config.build(vocabulary)


@pytest.mark.parametrize(("kind", "size"), MILLIONS)
def test_published_numbers_of_parameters(kind, size):
    vocabulary, millions = MILLIONS[kind, size]
    network = build(sizes.FAMILIES[kind](size), vocabulary)
    count = sum(weight.numel() for weight in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("kind", sizes.FAMILIES)
def test_each_can_be_exported(kind, tmp_path):
    config = sizes.FAMILIES[kind]("tiny")
    network = config.build(*([40] * (2 if config.kind == "encoder_decoder" else 1)))
    family = interop.write(tmp_path, config, network)
    assert family.removesuffix("-v2") == kind
    assert interop.read(tmp_path).family == family
