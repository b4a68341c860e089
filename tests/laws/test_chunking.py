"""Chunking: a target that is read in pieces gives the hidden states of the target read whole."""

import contextlib
import random

import torch

import zoo

LENGTHS = [7, 2, 5, 1]


def cuts(draw: random.Random, columns: int) -> list[slice]:
    """The columns in random pieces, none of them empty."""
    places = sorted(draw.sample(range(1, columns), draw.randint(1, columns - 1)))
    return [slice(start, end) for start, end in zip([0, *places], [*places, columns], strict=True)]


def read(model, memory, capacity, target, pieces):
    """Hidden vectors of all pieces, and of one token more after them."""
    state = model.decoder.start(memory, len(target.ids), capacity)
    hidden = []
    for piece in pieces:
        decoded = model.decoder(zoo.columns(target, piece), state)
        hidden.append(decoded.hidden)
        state = decoded.state
    one_more = zoo.columns(target, slice(0, 1))
    return torch.cat(hidden, 1), model.decoder(one_more, state).hidden


def test_pieces_or_whole(model, capacity):
    source, target = zoo.tokens([4, 6, 1, 3]), zoo.tokens(LENGTHS)
    with torch.no_grad() if capacity else contextlib.nullcontext():
        memory = model.encode(source)
        expected, next_expected = read(model, memory, 0, target, [slice(None)])
        for seed in range(3):
            pieces = cuts(random.Random(seed), max(LENGTHS))
            hidden, following = read(model, memory, capacity, target, pieces)
            torch.testing.assert_close(hidden[target.mask], expected[target.mask], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(following, next_expected, rtol=1e-9, atol=1e-9)


def test_gradients_in_pieces_or_whole(model):
    """The growing cache is differentiable through every cut."""
    source, target = zoo.tokens([4, 6, 1, 3]), zoo.tokens(LENGTHS)
    found = []
    for pieces in ([slice(None)], cuts(random.Random(0), max(LENGTHS))):
        model.zero_grad()
        hidden, following = read(model, model.encode(source), 0, target, pieces)
        (hidden[target.mask].square().sum() + following.square().sum()).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if not name.startswith("head.")})
    whole, cut = found
    for name, gradient in whole.items():
        torch.testing.assert_close(
            cut[name], gradient, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )
