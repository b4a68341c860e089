"""Selection: choosing rows of a state and decoding commute. This is what beams stand on."""

import pytest
import torch

import zoo
from henkan.tensors import State, Tokens

SOURCES, BEAMS = 3, 2


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def repeat(tokens: Tokens, times: int) -> Tokens:
    return Tokens(tokens.ids.repeat_interleave(times, 0), tokens.mask.repeat_interleave(times, 0))


@torch.no_grad()
def test_expand(model, capacity):
    """Before the first token or after some: the beams of a source are its copies."""
    source, prompt, step = zoo.tokens([4, 2, 5]), zoo.tokens([2, 3, 1]), zoo.tokens([1, 1, 1])
    decoded = model.decoder(prompt, model.start(source, SOURCES, capacity))
    expected = model.decoder(step, decoded.state).hidden.repeat_interleave(BEAMS, 0)
    late = model.decoder(prompt, model.start(source, SOURCES, capacity)).state.expand(BEAMS)
    close(model.decoder(repeat(step, BEAMS), late).hidden, expected)
    early = model.start(source, SOURCES, capacity).expand(BEAMS)
    read = model.decoder(repeat(prompt, BEAMS), early)
    close(read.hidden[:, 0], decoded.hidden[:, 0].repeat_interleave(BEAMS, 0))
    close(model.decoder(repeat(step, BEAMS), read.state).hidden, expected)


@torch.no_grad()
def test_keep(model, capacity):
    """Finished sources leave; those that stay do not notice, in whatever order they are kept."""
    source, prompt = zoo.tokens([4, 2, 5]), zoo.tokens([2, 3, 1])
    first, second = zoo.tokens([1] * SOURCES * BEAMS), zoo.tokens([2] * SOURCES * BEAMS)
    kept = torch.tensor([2, 0])
    own = (kept[:, None] * BEAMS + torch.arange(BEAMS)).flatten()

    def begun() -> State:
        state = model.decoder(prompt, model.start(source, SOURCES, capacity)).state.expand(BEAMS)
        return model.decoder(first, state).state

    expected = model.decoder(second, begun()).hidden[own]
    close(model.decoder(zoo.rows(second, own), begun().keep(kept)).hidden, expected)


@torch.no_grad()
def test_keep_before_the_first_token(model, capacity):
    source, target = zoo.tokens([4, 2, 5]), zoo.tokens([3, 3, 3])
    expected = model.decoder(target, model.start(source, SOURCES, capacity)).hidden[[2, 0]]
    state = model.start(source, SOURCES, capacity).keep(torch.tensor([2, 0]))
    close(model.decoder(zoo.rows(target, [2, 0]), state).hidden, expected)


@torch.no_grad()
def test_reorder(model, capacity):
    """Beams that branch, die and swap, against each surviving line read by itself from the start."""
    source, beams = zoo.tokens([4, 2, 5]), SOURCES * BEAMS
    state = model.start(source, SOURCES, capacity).expand(BEAMS)
    history = torch.empty(beams, 0, dtype=torch.int64)
    for parents in ([[0, 1], [1, 0], [1, 1]], [[0, 0], [1, 1], [1, 0]], [[1, 0], [0, 1], [0, 0]]):
        step = zoo.tokens([1] * beams)
        state = model.decoder(step, state).state.reorder(torch.tensor(parents))
        chosen = (torch.arange(SOURCES)[:, None] * BEAMS + torch.tensor(parents)).flatten()
        history = torch.cat([history, step.ids], 1)[chosen]
    last = zoo.tokens([1] * beams)
    found = model.decoder(last, state).hidden[:, 0]
    lines = torch.cat([history, last.ids], 1)
    each = model.start(repeat(source, BEAMS), beams, 0)
    expected = model.decoder(Tokens(lines, torch.ones_like(lines, dtype=torch.bool)), each).hidden[:, -1]
    close(found, expected)


@torch.no_grad()
def test_a_state_is_expanded_once(model):
    state = model.start(zoo.tokens([2]), 1, 0).expand(2)
    with pytest.raises(ValueError, match="it already has 2 rows"):
        state.expand(2)
