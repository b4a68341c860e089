"""Every law is asked of every model of tests/zoo.py, with both kinds of cache."""

import pytest

import zoo
from henkan.models.decoder_only import DecoderOnly
from henkan.models.encoder_decoder import EncoderDecoder


@pytest.fixture(params=[*zoo.CONFIGS, *zoo.CAUSAL_CONFIGS])
def model(request: pytest.FixtureRequest) -> EncoderDecoder | DecoderOnly:
    """In float64 and evaluation mode."""
    if request.param in zoo.CAUSAL_CONFIGS:
        return zoo.build_causal(zoo.CAUSAL_CONFIGS[request.param])
    return zoo.build(zoo.CONFIGS[request.param])


@pytest.fixture(params=[0, 2, 64], ids=["growing", "outgrown", "preallocated"])
def capacity(request: pytest.FixtureRequest) -> int:
    """Room in the caches: none (they grow and are differentiable), too little, plenty."""
    return request.param
