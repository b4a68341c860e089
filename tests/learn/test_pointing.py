"""Copying: words that were never seen while learning come out right where they can be pointed at, and only there."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from henkan.decode.greedy import greedy_search
from henkan.decode.stepper import ModelStepper
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import IGNORE, Batch, Tokens
from henkan.text.tokenizer import END, PAD, START

FIRST, FRAME, KNOWN, UNKNOWN = 4, 4, 150, 50
"""Ids before the words; words that stand around names; names to learn from; names that come up later."""
VOCABULARY = FIRST + FRAME + KNOWN + UNKNOWN
STEPS, BATCH = 500, 64
THRESHOLD = 0.8
"""Share of sentences with new names that come out without a single mistake."""

GRU = {"kind": "gru", "size": 64}
SETTINGS: dict[str, Any] = {
    "embedding": 32,
    "encoder": {"kind": "recurrent", "bidirectional": "all", "cell": GRU},
    "decoder": {
        "kind": "bahdanau",
        "cell": GRU,
        "attention": {"kind": "soft", "scores": {"kind": "additive", "size": 64}},
        "maxout": 32,
        "dropout": 0.1,
    },
}


def sentences(draw: random.Random, count: int, names: range) -> list[tuple[list[int], list[int]]]:
    """Names after words of a frame; the names alone are wanted, in their order: b Ann a Bob b Eve -> Ann Bob Eve."""
    found = []
    for _ in range(count):
        wanted = draw.sample(names, draw.randint(1, 4))
        frame = [FIRST + draw.randrange(FRAME) for _ in wanted]
        found.append(([word for pair in zip(frame, wanted, strict=True) for word in pair], wanted))
    return found


def padded(rows: list[list[int]]) -> Tokens:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    return Tokens(ids, torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None])


def batch(pairs: list[tuple[list[int], list[int]]]) -> Batch:
    source = padded([[*source, END] for source, _ in pairs])
    target, labels = padded([[START, *wanted] for _, wanted in pairs]), padded([[*wanted, END] for _, wanted in pairs])
    wanted = labels.ids.masked_fill(~labels.mask, IGNORE)
    return Batch(torch.arange(len(pairs)), source, target, {"tokens": wanted}, {"tokens": int(labels.mask.sum())})


def right(model: EncoderDecoder, pairs: list[tuple[list[int], list[int]]]) -> float:
    """Share of sentences that greedy search gets right."""
    stepper = ModelStepper(model.eval(), VOCABULARY)
    source = padded([[*source, END] for source, _ in pairs])
    state = stepper.start(source, len(pairs), 16)
    found = greedy_search(stepper, state, padded([[START]] * len(pairs)), torch.full((len(pairs),), 8), None)
    model.train()
    return sum(own.tokens == wanted for own, (_, wanted) in zip(found, pairs, strict=True)) / len(pairs)


@pytest.mark.slow
@pytest.mark.parametrize("copying", [True, False])
def test_new_names(copying, fresh_seed):
    names = range(FIRST + FRAME, FIRST + FRAME + KNOWN)
    new = range(FIRST + FRAME + KNOWN, VOCABULARY)
    torch.manual_seed(fresh_seed)
    draw = random.Random(fresh_seed)
    known, unknown = sentences(draw, 200, names), sentences(draw, 200, new)
    model = EncoderDecoderConfig.model_validate(SETTINGS | {"copying": copying}).build(VOCABULARY, VOCABULARY)
    learner = Learner(model, CrossEntropy(0.0)).train()
    optimiser = torch.optim.Adam(learner.parameters(), 3e-3)
    for step in range(1, STEPS + 1):
        part = batch(sentences(draw, BATCH, names))
        loss, _ = learner(part, {"tokens": 1.0 / part.units["tokens"]})
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            shares = f"known {right(model, known):.0%}, new {right(model, unknown):.0%}"
            print(f"step {step}, loss {loss.item():.3f}, {shares}")
    assert right(model, known) >= THRESHOLD, "what it learnt from"
    if copying:
        assert right(model, unknown) >= THRESHOLD
    else:
        assert right(model, unknown) <= 0.05, "without copying nobody can write a word that was never written"
