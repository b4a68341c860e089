"""Every law is asked of every model of tests/zoo.py, with both kinds of cache."""

import pytest

import zoo
from henkan.models.encoder_decoder import EncoderDecoder


@pytest.fixture(params=zoo.CONFIGS)
def model(request: pytest.FixtureRequest) -> EncoderDecoder:
    """In float64 and evaluation mode."""
    return zoo.build(zoo.CONFIGS[request.param])


@pytest.fixture(params=[0, 2, 64], ids=["growing", "outgrown", "preallocated"])
def capacity(request: pytest.FixtureRequest) -> int:
    """Room in the caches: none (they grow and are differentiable), too little, plenty."""
    return request.param
