"""A network without numbers: made at once, and filled with whatever weights fit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from henkan.errors import FolderError
from henkan.models.outline import fill, outline

PLACE = Path("somewhere")


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_a_filled_outline_is_the_network_that_the_weights_are_from(name: str):
    model = zoo.CONFIGS[name].build(30, 30)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    empty = outline(zoo.CONFIGS[name], 30, 30)
    assert all(parameter.device.type == "meta" for parameter in empty.parameters())
    fill(empty, weights, PLACE)
    filled = dict(empty.named_parameters())
    assert filled.keys() == weights.keys(), "tied weights are tied again"
    for name, weight in weights.items():
        assert filled[name].data_ptr() == weight.data_ptr(), f"{name} was copied"
        assert filled[name].requires_grad


def test_weights_that_do_not_fit_are_refused():
    config = next(iter(zoo.CONFIGS.values()))
    weights = {name: parameter.detach() for name, parameter in config.build(30, 30).named_parameters()}
    first = next(iter(weights))
    with pytest.raises(FolderError, match=f"somewhere: weights lack {first}"):
        fill(outline(config, 30, 30), {name: weight for name, weight in weights.items() if name != first}, PLACE)
    with pytest.raises(FolderError, match="weights that this model does not have: more"):
        fill(outline(config, 30, 30), {**weights, "more": torch.zeros(1)}, PLACE)
    with pytest.raises(FolderError, match=f"weight {first} is \\(1, 1, 1\\), the model wants"):
        fill(outline(config, 30, 30), {**weights, first: torch.zeros(1, 1, 1)}, PLACE)


@pytest.mark.process
def test_an_outline_does_not_wait_for_torchs_compiler():
    code = (
        "import sys, zoo\n"
        "from henkan.models.outline import outline\n"
        "for config in zoo.CONFIGS.values():\n"
        "    outline(config, 30, 30)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(zoo.__file__).parent, timeout=120)
