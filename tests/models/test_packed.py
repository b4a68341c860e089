"""A packed batch teaches what the padded batch of the same sentences teaches."""

from dataclasses import replace

import pytest
import torch

import zoo
from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import Batch, Tokens

SHAPE = PackedShape(source=48, target=64, examples=8, longest=12)


def examples(count: int = 6, seed: int = 1) -> list[Example]:
    """Source and target lengths differ, and so do the boundaries of the two rows."""
    draw = torch.Generator().manual_seed(seed)

    def ids() -> list[int]:
        length = int(torch.randint(0, 8, (), generator=draw))
        return torch.randint(4, zoo.VOCABULARY, (length,), generator=draw).tolist()

    return [Example.of(n, ids(), ids()) for n in range(count)]


def learn(model: EncoderDecoder, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss, _ = Learner(model, CrossEntropy(0.1))(batch, {"tokens": 1.0})
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


TRANSFORMERS = [name for name in zoo.CONFIGS if name.startswith("transformer, ")]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_loss_and_gradients_are_those_of_the_padded_batch(name: str):
    model = zoo.build(zoo.CONFIGS[name]).eval()
    padded, packed = collate_pairs(examples()), collate_packed(examples(), SHAPE)
    loss, gradients = learn(model, padded)
    found, others = learn(model, packed)
    torch.testing.assert_close(found, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(others, gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMERS[:1])
def test_no_sentence_sees_another_nor_the_padding(name: str):
    model = zoo.build(zoo.CONFIGS[name]).eval()
    packed = collate_packed(examples(), SHAPE)

    def hidden(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        changed = replace(packed, source=replace(packed.source, ids=source), target=replace(packed.target, ids=target))
        return model(changed).heads["tokens"].hidden[0]

    before = hidden(packed.source.ids, packed.target.ids)
    for side in (packed.source, packed.target):
        third = side.sentences.numbers(side.ids.shape[1]) == 2
        ids = torch.where(third | ~side.mask, 5, side.ids)
        after = hidden(ids, packed.target.ids) if side is packed.source else hidden(packed.source.ids, ids)
        untouched = packed.target.mask[0] & (packed.target.sentences.numbers(len(before)) != 2)
        torch.testing.assert_close(after[untouched], before[untouched])
        assert not torch.allclose(after[~untouched], before[~untouched])


@pytest.mark.parametrize("name", list(zoo.CONFIGS))
def test_what_cannot_read_a_packed_row_refuses_it(name: str):
    model = zoo.build(zoo.CONFIGS[name])
    packed = collate_packed(examples(), SHAPE)
    if model.packs:
        model(packed)
        return
    with pytest.raises(ConfigError, match="this batch is packed"):
        model(packed)


def test_scheduled_sampling_refuses_a_packed_row():
    batch = collate_packed(examples(), SHAPE)
    assert isinstance(batch.target, Tokens)
    with pytest.raises(ConfigError, match="scheduled sampling reads one sentence a row"):
        zoo.build(zoo.CONFIGS[TRANSFORMERS[0]]).forward_by_steps(
            batch, torch.zeros(1, 64, dtype=torch.bool), lambda scores: scores
        )
