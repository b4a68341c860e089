"""One graph for a whole run: counted, not timed.

On the device "meta" nothing is computed, but every branch is taken that an accelerator would take, in training mode.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import zoo
from henkan.data.collate import collate_packed
from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import Batch
from henkan.training.compiled import CompiledPacked

SHAPE = PackedShape(source=48, target=64, examples=8, longest=12)
NAMES = ["transformer, pre-norm, all tied", pytest.param("transformer, post-norm", marks=pytest.mark.slow)]


pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.compile itself


@pytest.fixture(autouse=True)
def _forget_graphs() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def packed(seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)

    def ids() -> list[int]:
        length = int(torch.randint(0, 9, (), generator=draw))
        return torch.randint(4, zoo.VOCABULARY, (length,), generator=draw).tolist()

    return collate_packed([Example.of(n, ids(), ids()) for n in range(1 + seed % 5)], SHAPE)


def trained(name: str) -> EncoderDecoder:
    return zoo.build(zoo.CONFIGS[name], torch.float32).to("meta").train()


def gradients(model: EncoderDecoder, forward: Any, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    loss, _ = Learner(forward, CrossEntropy(0.1))(batch, {"tokens": 1.0})
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_many_updates_of_different_sentences_with_validations_between_them_are_one_graph(name: str):
    model = trained(name)
    counter = CompileCounterWithBackend("eager")
    compiled = CompiledPacked(model, counter)
    for seed in range(4):
        gradients(model, compiled, packed(seed).to("meta"))
        model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.01 * parameter.grad)
            model(zoo.batch(zoo.tokens([3, 9 + seed]), zoo.tokens([2, 7])).to("meta"))
        model.train()
    assert counter.frame_count == 1


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_the_model(name: str):
    model = zoo.build(zoo.CONFIGS[name]).eval()
    compiled = CompiledPacked(model, "aot_eager")
    for seed in range(2):
        torch.testing.assert_close(
            gradients(model, compiled, packed(seed)), gradients(model, model, packed(seed)), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_breaks_the_graph(name: str):
    model, batch = trained(name), packed(1).to("meta")
    model(batch)  # the table of positions
    found = torch._dynamo.explain(lambda source, target: model.decoder(target, model.start(source, 1, 0)).hidden)(
        batch.source, batch.target
    )
    assert found.graph_break_count == 0, found.break_reasons
    assert found.graph_count == 1
