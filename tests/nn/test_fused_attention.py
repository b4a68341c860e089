"""Recurrences with attention inside, by hand, against their plain paths: values and every gradient."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from henkan import native
from henkan.nn.attended import Attended
from henkan.nn.attention import GatedAttention, SoftAttention
from henkan.nn.attentive import (
    attend_then_step,
    attend_then_step_plain,
    step_then_attend,
    step_then_attend_plain,
)
from henkan.nn.dropout import Dropout
from henkan.nn.readout import AttentionalVector
from henkan.nn.scores import AdditiveScores, ConcatScores, DotScores, GeneralScores
from henkan.tensors import Memory
from recurrences import INPUTS, ROWS, SIZE, SPLITTING, STEPS, TOLERANCE, agree, drawn, masks, results

PLACES = 7
ATTENDING = ["rnn", "gru", "gru, reset after", "lstm, gate", "lstm, none, peephole", "lstm-1997, as published"]
SCORERS = {
    "dot": DotScores,
    "general": lambda: GeneralScores(SIZE, SIZE),
    "additive": lambda: AdditiveScores(SIZE, SIZE, 6),
    "concat": lambda: ConcatScores(SIZE, SIZE, 6),
}


def attending(scorer: str, kind: str, dtype: torch.dtype, layers: int, dropout: Dropout | None = None):
    """Both recurrences with attention inside, plain and as they are chosen."""
    dropout = Dropout(0.0) if dropout is None else dropout
    attention = SoftAttention(drawn(SCORERS[scorer](), dtype))
    cells = [
        drawn(SPLITTING[kind](INPUTS + SIZE), dtype),
        *(drawn(SPLITTING[kind](SIZE), dtype) for _ in range(layers - 1)),
    ]
    attentional = drawn(AttentionalVector(SIZE, SIZE), dtype)
    mask, source_mask = masks([6, 3, 1, 5], STEPS), masks([2, 7, 4, 1], PLACES)
    parts = len(cells[0].start(1))
    shapes = [(ROWS, PLACES, SIZE), (ROWS, STEPS, INPUTS), (ROWS, SIZE), *[(ROWS, SIZE)] * (parts * layers)]
    leaves = [torch.randn(shape).to(dtype) for shape in shapes]

    def source(states: Tensor) -> Attended:
        return attention.project(Memory(states, source_mask))

    def attend(path):
        def forward(states, embedded, _, *state):
            found = path(cells[0], attention, embedded, mask, source(states), state[:parts], ())
            return [found.outputs, found.contexts, found.extras["attention"], *found.state]

        chosen = [*leaves[:2], leaves[2], *leaves[3 : 3 + parts]]
        return forward, chosen, [*attention.parameters(), *cells[0].parameters()]

    def feed(path):
        def forward(states, embedded, fed, *state):
            split = tuple(tuple(state[parts * height : parts * (height + 1)]) for height in range(layers))
            given = (cells, attention, attentional, dropout, embedded, mask, source(states), split, fed, ())
            found = path(*given)
            flat = [part for of_layer in found.states for part in of_layer]
            return [found.outputs, found.extras["attention"], found.fed, *flat]

        parameters = [*attention.parameters(), *attentional.parameters()]
        return forward, leaves, parameters + [p for cell in cells for p in cell.parameters()]

    return mask, attend, feed


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ATTENDING)
@pytest.mark.parametrize("scorer", SCORERS)
def test_attention_inside(scorer, kind, dtype):
    mask, attend, feed = attending(scorer, kind, dtype, layers=2)
    for which, fast, plain in (
        (attend, attend_then_step, attend_then_step_plain),
        (feed, step_then_attend, step_then_attend_plain),
    ):
        found = results_of(which(fast), mask)
        agree(found, results_of(which(plain), mask), TOLERANCE[dtype])


def results_of(case, mask) -> list[Tensor]:
    forward, leaves, parameters = case
    return results(forward, mask, leaves, parameters)


class Recorded(Dropout):
    """Factors for all steps at once, and then the same ones step by step, layer by layer."""

    factors_drawn: Tensor
    order: Iterator[tuple[int, int]]

    def factors(self, shape: tuple[int, ...], like: Tensor) -> Tensor | None:
        self.factors_drawn = torch.randint(0, 2, shape).to(like.dtype) * 2
        self.order = iter([(height, step) for step in range(shape[2]) for height in range(shape[0])])
        return self.factors_drawn

    def forward(self, vectors: Tensor) -> Tensor:
        height, step = next(self.order)
        return vectors * self.factors_drawn[height, :, step]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", ["gru", "lstm, gate"])
def test_dropout_between_the_layers(kind, layers):
    mask, _, feed = attending("additive", kind, torch.float64, layers, Recorded(0.5))
    found = results_of(feed(step_then_attend), mask)
    agree(found, results_of(feed(step_then_attend_plain), mask), TOLERANCE[torch.float64])


def test_the_fast_path_is_taken():
    """Otherwise the tests above compare a path with itself."""
    _, attend, feed = attending("additive", "gru", torch.float32, layers=1)
    for case in (attend(attend_then_step), feed(step_then_attend)):
        forward, leaves, _ = case
        names = {type(out.grad_fn).__name__ for out in forward(*(leaf.requires_grad_() for leaf in leaves))}
        assert names & {"_AttendThenStepBackward", "_StepThenAttendBackward"}, names


def test_a_gate_is_not_forgotten_on_the_fast_path():
    """An attention that is not plain soft attention goes by the plain path, whatever is inside it."""
    plain = SoftAttention(drawn(DotScores(), torch.float64))
    gated = drawn(GatedAttention(plain, SIZE), torch.float64)
    cell = drawn(SPLITTING["gru"](INPUTS + SIZE), torch.float64)
    source = plain.project(Memory(torch.randn(ROWS, PLACES, SIZE).double(), masks([2, 7, 4, 1], PLACES)))
    embedded, mask = torch.randn(ROWS, STEPS, INPUTS).double(), masks([6] * ROWS, STEPS)
    given = (embedded, mask, source, cell.start(ROWS), ())
    found, expected = attend_then_step(cell, gated, *given), attend_then_step_plain(cell, gated, *given)
    assert torch.equal(found.outputs, expected.outputs)
    assert not torch.allclose(found.outputs, attend_then_step(cell, plain, *given).outputs)


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_way_back_may_be_gone_twice(scorer):
    """With ``retain_graph``, as finite differences and several losses over one graph do."""
    _, attend, feed = attending(scorer, "gru", torch.float64, layers=2)
    for forward, leaves, parameters in (attend(attend_then_step), feed(step_then_attend)):
        total = sum(out.square().sum() for out in forward(*leaves))
        first = [gradient.clone() for gradient in torch.autograd.grad(total, parameters, retain_graph=True)]
        agree(torch.autograd.grad(total, parameters), first, 1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_native_attention_and_its_plain_twin(dtype, monkeypatch):
    if native.library() is None:
        pytest.skip("no C++ compiler: only the plain twins run here")
    mask, attend, feed = attending("additive", "gru", dtype, layers=1)
    for which, path in ((attend, attend_then_step), (feed, step_then_attend)):
        with monkeypatch.context() as patched:
            compiled = results_of(which(path), mask)
            patched.setattr(native, "runs", lambda tensor: False)
            agree(compiled, results_of(which(path), mask), 1e-5 if dtype == torch.float32 else 5e-2)
