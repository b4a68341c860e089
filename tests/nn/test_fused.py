"""Hand-written layers against their plain path: values and every gradient, on random shapes and masks."""

import copy

import pytest
import torch

from henkan import native
from henkan.nn.cells import GRUCell, LSTMCell
from henkan.nn.fused import plain_path, run_fused
from henkan.nn.recurrent import run, run_plain, run_scan
from recurrences import CELLS, INPUTS, ROWS, SIZE, SPLITTING, STEPS, TOLERANCE, agree, drawn, masks, results


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
    fast = run_scan if kind == "min-gru" else run  # a scan, which only accelerators use
    agree(through(fast), through(run_plain), TOLERANCE[dtype])


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


def test_the_fast_path_is_taken():
    """Otherwise the tests above compare a path with itself."""
    cell = GRUCell(INPUTS, SIZE)
    outputs, _ = run(cell, torch.randn(ROWS, STEPS, INPUTS), masks([6] * ROWS, STEPS), cell.start(ROWS))
    assert type(outputs.grad_fn).__name__ == "_RunBackward"


@pytest.mark.parametrize("rows", [1, 2])
def test_results_are_the_callers_own(rows):
    """Changed in place, they do not change what the way back reads; one row alone is contiguous as it lies."""
    cell, mask = GRUCell(INPUTS, SIZE), masks([3] * rows, 3)
    inputs = torch.randn(rows, 3, INPUTS, requires_grad=True)

    def gradient(factor) -> torch.Tensor:
        outputs, (last,) = run_fused(cell, inputs, mask, cell.start(rows))
        total = outputs.sum() + last.sum()
        with torch.no_grad():
            outputs.mul_(factor)
            last.mul_(factor)
        return torch.autograd.grad(total, inputs)[0]

    assert torch.equal(gradient(0.0), gradient(1.0))


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
