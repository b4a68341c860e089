"""Feeding: read step by step, a target gives what it gives at once, whoever chose its words."""

import pytest
import torch

import zoo
from henkan.objectives.feeding import likeliest
from henkan.tensors import Batch, Tokens


@pytest.fixture(params=zoo.CONFIGS)
def model(request):
    """A model that only continues a text is not fed by anybody else."""
    return zoo.build(zoo.CONFIGS[request.param])


SOURCE, TARGET = [4, 6, 1, 3], [3, 5, 2, 4]


def scored(model, output, labels):
    """Loss and gradients; an attention may have a parameter that this loss does not reach."""
    model.zero_grad()
    loss, _ = output.heads["tokens"].loss(labels, 0.1)
    loss.backward()
    reached = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), reached


def same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-9)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_the_target_step_by_step(model):
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    nobody = torch.zeros(len(TARGET), max(TARGET), dtype=torch.bool)
    expected = scored(model, model(batch), batch.labels["tokens"])
    same(scored(model, model.forward_by_steps(batch, nobody, likeliest), batch.labels["tokens"]), expected)


def test_words_of_its_own_are_constants(model):
    """Loss and gradients are those of a target that holds the words which were chosen."""
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    own = torch.rand(len(TARGET), max(TARGET)) < 0.6
    own[:, 0] = False
    read = batch.target.ids.clone()
    said: list[int] = []

    def choose(scores):
        said.extend(likeliest(scores).tolist())
        return likeliest(scores)

    output = model.forward_by_steps(batch, own, choose)
    for position in range(max(TARGET)):
        for row in own[:, position].nonzero()[:, 0].tolist():
            read[row, position] = said.pop(0)
    assert not torch.equal(read, batch.target.ids)
    mixed = Batch(batch.index, batch.source, Tokens(read, batch.target.mask), batch.labels, batch.units)
    labels = batch.labels["tokens"]
    same(scored(model, output, labels), scored(model, model(mixed), labels))


@torch.no_grad()
def test_all_of_its_own_words_are_greedy_search(model):
    source, target = zoo.tokens([4, 2]), zoo.tokens([5, 5])
    state, step, words = model.start(source, 2, 8), zoo.columns(target, slice(0, 1)), []
    for _ in range(4):
        scores, state = model.step(step, state)
        words.append(scores.argmax())
        step = Tokens(words[-1][:, None], step.mask)
    found = []

    def choose(scores):
        found.append(likeliest(scores))
        return found[-1]

    model.forward_by_steps(zoo.batch(source, target), torch.ones(2, 5, dtype=torch.bool), choose)
    assert torch.equal(torch.stack(found), torch.stack(words))
