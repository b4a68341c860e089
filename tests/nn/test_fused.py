"""The hand-written recurrences against their plain paths: values and every gradient, on random shapes and masks."""

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from henkan import native
from henkan.nn.attended import Attended
from henkan.nn.attention import SoftAttention
from henkan.nn.attentive import (
    attend_then_step,
    attend_then_step_plain,
    step_then_attend,
    step_then_attend_plain,
)
from henkan.nn.cells import (
    FirstLSTMCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinimalGRUCell,
    ResetAfterGRUCell,
    RNNCell,
)
from henkan.nn.dropout import Dropout
from henkan.nn.fused import plain_path, run_fused
from henkan.nn.readout import AttentionalVector
from henkan.nn.recurrent import run, run_plain
from henkan.nn.scores import AdditiveScores, ConcatScores, DotScores, GeneralScores
from henkan.tensors import Memory

ROWS, STEPS, PLACES, INPUTS, SIZE = 4, 6, 7, 5, 8

SPLITTING = {
    "rnn": lambda inputs: RNNCell(inputs, SIZE),
    "rnn, relu": lambda inputs: RNNCell(inputs, SIZE, "relu"),
    "gru": lambda inputs: GRUCell(inputs, SIZE),
    "gru, reset after": lambda inputs: ResetAfterGRUCell(inputs, SIZE),
    **{
        f"lstm, {forgetting}{', peephole' if peephole else ''}": (
            lambda inputs, forgetting=forgetting, peephole=peephole: LSTMCell(inputs, SIZE, forgetting, peephole)
        )
        for forgetting in ("gate", "coupled", "none")
        for peephole in (False, True)
    },
}
SPLITTING |= {
    "lstm-1997, squashed as published": lambda inputs: FirstLSTMCell(inputs, SIZE, True, False),
    "lstm-1997, as published": lambda inputs: FirstLSTMCell(inputs, SIZE, True, True),
    "lstm-1997, cut": lambda inputs: FirstLSTMCell(inputs, SIZE, False, True),
}
CELLS = SPLITTING | {
    "lstm, layer norm": lambda inputs: LayerNormLSTMCell(inputs, SIZE),
    "min-gru": lambda inputs: MinimalGRUCell(inputs, SIZE),
}
ATTENDING = ["rnn", "gru", "gru, reset after", "lstm, gate", "lstm, none, peephole", "lstm-1997, as published"]
SCORERS = {
    "dot": DotScores,
    "general": lambda: GeneralScores(SIZE, SIZE),
    "additive": lambda: AdditiveScores(SIZE, SIZE, 6),
    "concat": lambda: ConcatScores(SIZE, SIZE, 6),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def drawn(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Every parameter large and random, biases and scales too."""
    for parameter in module.to(dtype).parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def masks(lengths: Sequence[int], columns: int) -> Tensor:
    return torch.arange(columns) < torch.tensor(lengths)[:, None]


def results(
    forward: Callable[..., Sequence[Tensor]], mask: Tensor, leaves: Sequence[Tensor], parameters: Sequence[Tensor]
) -> list[Tensor]:
    """Outputs where real, and the gradients of leaves and parameters under one fixed random weighting."""
    copies = [leaf.clone().requires_grad_() for leaf in leaves]
    for parameter in parameters:
        parameter.grad = None
    outputs = [out * mask[..., None] if out.dim() == 3 else out for out in forward(*copies)]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(out.shape, generator=generator).bfloat16().to(out.dtype) for out in outputs]
    sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True)).backward()
    return [*outputs, *(leaf.grad for leaf in copies), *(parameter.grad for parameter in parameters)]


def agree(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for place, (ours, plain) in enumerate(zip(found, expected, strict=True)):
        error = (ours - plain).norm() / (plain.norm() + 1e-9)
        assert error < tolerance, f"tensor {place} of {len(found)} is off by {error:.2e} of its norm"


def layer(kind: str, dtype: torch.dtype, leading: bool):
    cell = drawn(CELLS[kind](INPUTS), dtype)
    mask = masks([6, 3, 1, 5], STEPS)
    mask = mask.flip(1) if leading else mask
    # read backwards, a layer starts from zeros: the vendor's kernel carries no other state over padding in front
    state = [] if leading else [torch.randn(ROWS, SIZE) for _ in cell.start(1)]
    leaves = [leaf.to(dtype) for leaf in (torch.randn(ROWS, STEPS, INPUTS), *state)]

    def through(path):
        def forward(inputs, *state):
            outputs, last = path(cell, inputs, mask, state or cell.start(ROWS))
            return [outputs, *last]

        return results(forward, mask, leaves, list(cell.parameters()))

    return through


@pytest.mark.parametrize("leading", [False, True], ids=["padding behind", "padding before"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", CELLS)
def test_a_layer(kind, dtype, leading):
    through = layer(kind, dtype, leading)
    agree(through(run), through(run_plain), TOLERANCE[dtype])


@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind != "min-gru"])
def test_gradients_in_bf16_are_no_further_from_float64(kind):
    """Than those of the eager bf16 cell: carousels and what runs from step to step are float32."""
    errors = {run_fused: 0.0, run_plain: 0.0}
    mask = masks([20, 12, 5, 1], 20)
    for _ in range(5):
        cell = drawn(CELLS[kind](INPUTS), torch.bfloat16)
        exact = copy.deepcopy(cell).double()
        leaves = [torch.randn(ROWS, 20, INPUTS), *(torch.randn(ROWS, SIZE) for _ in cell.start(1))]
        leaves = [leaf.bfloat16() for leaf in leaves]

        def forward(path, cell):
            def through(inputs, *state):
                outputs, last = path(cell, inputs, mask, state)
                return [outputs, *last]

            return through

        true = results(forward(run_plain, exact), mask, [leaf.double() for leaf in leaves], list(exact.parameters()))
        for path in errors:
            found = results(forward(path, cell), mask, leaves, list(cell.parameters()))
            pairs = zip(found, true, strict=True)
            errors[path] += sum(((ours - right).norm() / (right.norm() + 1e-9)).item() for ours, right in pairs)
    assert errors[run_fused] < 1.1 * errors[run_plain], errors


def attending(scorer: str, kind: str, dtype: torch.dtype, layers: int):
    """Both recurrences with attention inside, plain and as they are chosen."""
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
            given = (cells, attention, attentional, Dropout(0.0), embedded, mask, source(states), split, fed, ())
            found = path(*given)
            flat = [part for of_layer in found.states for part in of_layer]
            return [found.outputs, found.extras["attention"], found.fed, *flat]

        parameters = [*attention.parameters(), *attentional.parameters()]
        return forward, leaves, parameters + [p for cell in cells for p in cell.parameters()]

    return mask, attend, feed


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "kind", ["rnn", "gru", "gru, reset after", "lstm, gate", "lstm, none, peephole", "lstm-1997, as published"]
)
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
    copies = [leaf.clone().requires_grad_() for leaf in leaves]
    for parameter in parameters:
        parameter.grad = None
    outputs = [out * mask[..., None] if out.dim() == 3 else out for out in forward(*copies)]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(out.shape, generator=generator).bfloat16().to(out.dtype) for out in outputs]
    sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True)).backward()
    read = [leaf.grad for leaf in copies if leaf.grad is not None]
    return [*outputs, *read, *(parameter.grad for parameter in parameters)]


def test_the_fast_path_is_taken():
    """Otherwise the tests above compare a path with itself."""
    _, attend, feed = attending("additive", "gru", torch.float32, layers=1)
    for case in (attend(attend_then_step), feed(step_then_attend)):
        forward, leaves, _ = case
        names = {type(out.grad_fn).__name__ for out in forward(*(leaf.requires_grad_() for leaf in leaves))}
        assert names & {"_AttendThenStepBackward", "_StepThenAttendBackward"}, names
    cell = GRUCell(INPUTS, SIZE)
    outputs, _ = run(cell, torch.randn(ROWS, STEPS, INPUTS), masks([6] * ROWS, STEPS), cell.start(ROWS))
    assert type(outputs.grad_fn).__name__ == "_RunBackward"


@pytest.mark.parametrize("kind", ["lstm, gate, peephole", "gru", "gru, reset after", "rnn", "lstm, layer norm"])
def test_gradcheck(kind):
    cell = drawn(CELLS[kind](2), torch.float64)
    mask = masks([3, 1], 3)
    leaves = [torch.randn(2, 3, 2), *(torch.randn(2, SIZE) for _ in cell.start(1))]
    leaves = [leaf.double().requires_grad_() for leaf in leaves]
    parameters = list(cell.parameters())

    def forward(*tensors):
        outputs, last = run_fused(cell, tensors[0], mask, tensors[1 : len(leaves)])
        return (outputs * mask[..., None], *last)

    assert torch.autograd.gradcheck(forward, [*leaves, *parameters])


def test_second_derivatives_are_refused():
    cell = GRUCell(INPUTS, SIZE)
    inputs, mask = torch.randn(ROWS, STEPS, INPUTS, requires_grad=True), masks([6] * ROWS, STEPS)
    outputs, _ = run(cell, inputs, mask, cell.start(ROWS))
    with pytest.raises(RuntimeError, match="plain_path"):
        torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    with plain_path():
        outputs, _ = run(cell, inputs, mask, cell.start(ROWS))
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    gradient.square().sum().backward()
    assert inputs.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [kind for kind in SPLITTING if kind != "lstm, gate" and "1997" not in kind])
def test_native_loops_and_their_plain_twins(kind, dtype, monkeypatch):
    """The C++ loops against torch's, where there is a compiler; large enough for several threads."""
    if native.library() is None:
        pytest.skip("no C++ compiler: only the plain twins run here")
    torch.set_num_threads(2)
    cell = drawn(SPLITTING[kind](INPUTS), dtype)
    rows, steps = 600, 3
    mask = torch.rand(rows, steps) > 0.2
    leaves = [torch.randn(rows, steps, INPUTS).to(dtype), *(torch.randn(rows, SIZE).to(dtype) for _ in cell.start(1))]

    def forward(inputs, *state):
        outputs, last = run_fused(cell, inputs, mask, state)
        return [outputs, *last]

    compiled = results(forward, mask, leaves, list(cell.parameters()))
    monkeypatch.setattr(native, "runs", lambda tensor: False)
    plain = results(forward, mask, leaves, list(cell.parameters()))
    agree(compiled, plain, 1e-5 if dtype == torch.float32 else 2e-2)


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


def test_extreme_values_stay_finite_and_nan_stays_nan():
    """Gates saturate without overflow, and a broken number is not hidden."""
    cell = LSTMCell(INPUTS, SIZE, "gate", peephole=True)
    mask = masks([2] * ROWS, 2)
    for value, ends in ((1e4, "finite"), (-1e4, "finite"), (float("nan"), "nan")):
        inputs = torch.full((ROWS, 2, INPUTS), value, requires_grad=True)
        outputs, _ = run_fused(cell, inputs, mask, cell.start(ROWS))
        outputs.sum().backward()
        assert (outputs.isfinite() if ends == "finite" else outputs.isnan()).all(), value
        assert (inputs.grad.isfinite() if ends == "finite" else inputs.grad.isnan()).all(), value
