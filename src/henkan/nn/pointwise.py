"""The halves of a recurrent step between two matrix products, forward and backward, each in one pass.

Each function is written twice: plainly in torch, which is the specification and runs everywhere, and in C++
(``native/``) for float32 and bf16 on a processor. Both write into the buffers that they are given.

Shapes: N rows, D width, G gates. ``real`` is (N, 1) bool; where it is False the state passes through unchanged and so
does its gradient. ``arriving`` is the gradient of the step's output (N, D); of ``product`` (N, D) and ``carry`` (N, D),
the step behind, in two parts: what came through the recurrent product, and what came past it. Carousels, their
gradients and ``carry`` are float32 where the rest is bf16.
"""

from __future__ import annotations

import torch
from torch import Tensor

from henkan import native
from henkan.nn.lstm import Forgetting

_LSTM_FORWARD = native.Call("lstm_forward")
_LSTM_BACKWARD = native.Call("lstm_backward")
_PEEPHOLE_GRADIENT = native.Call("peephole_gradient")
_ADDITIVE_FORWARD = native.Call("additive_forward")
_ADDITIVE_BACKWARD = native.Call("additive_backward")
_GRU_GATES = native.Call("gru_gates")
_GRU_OUTPUT = native.Call("gru_output")
_GRU_OUTPUT_BACKWARD = native.Call("gru_output_backward")
_GRU_GATES_BACKWARD = native.Call("gru_gates_backward")
_RESET_AFTER_FORWARD = native.Call("reset_after_forward")
_RESET_AFTER_BACKWARD = native.Call("reset_after_backward")
_RNN_FORWARD = native.Call("rnn_forward")
_RNN_BACKWARD = native.Call("rnn_backward")

_FORGETTINGS: dict[Forgetting, int] = {"gate": 0, "coupled": 2, "none": 4}


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type of what runs from step to step: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def _pass(real: Tensor, arriving: Tensor, product: Tensor, carry: Tensor) -> Tensor:
    """The whole gradient of the state after this step; at padding it becomes what waits for the step before."""
    whole = arriving + product + carry
    carry.copy_(whole.masked_fill(real, 0.0))
    return whole


def lstm_forward(
    forgetting: Forgetting,
    projected: Tensor,  # (N, G * D)
    recurrent: Tensor,  # (N, G * D), contiguous
    peepholes: Tensor | None,  # ((G - 1) * D,)
    real: Tensor,
    hidden: Tensor,  # (N, D)
    cell: Tensor,  # (N, D)
    next_hidden: Tensor,  # (N, D), to write
    next_cell: Tensor,  # (N, D), to write
    gates: Tensor,  # (N, G * D), to write: the gates' values, for the way back
) -> None:
    """One step of :class:`henkan.nn.lstm.LSTMCell` after its products."""
    rows, size = hidden.shape
    if native.runs(hidden):
        _LSTM_FORWARD(
            *(hidden.dtype, rows, size, real, _FORGETTINGS[forgetting] + (peepholes is not None)),
            *(projected, projected.stride(0), recurrent, peepholes, cell, cell.stride(0), hidden, hidden.stride(0)),
            *(next_cell, next_hidden, gates, gates.stride(0)),
        )
        return
    entering, *forget, candidate, leaving = (projected + recurrent).to(cell.dtype).split(size, -1)
    if peepholes is not None:
        entering = entering + peepholes[:size] * cell
        forget = [gate + peepholes[size : 2 * size] * cell for gate in forget]
    entering, candidate = torch.sigmoid(entering), torch.tanh(candidate)
    forget = [torch.sigmoid(gate) for gate in forget]
    kept = cell if forgetting == "none" else (forget[0] if forget else 1 - entering) * cell
    after = kept + entering * candidate
    if peepholes is not None:
        leaving = leaving + peepholes[-size:] * after
    leaving = torch.sigmoid(leaving)
    torch.cat([part.to(gates.dtype) for part in (entering, *forget, candidate, leaving)], -1, out=gates)
    next_hidden.copy_(torch.where(real, (leaving * torch.tanh(after)).to(hidden.dtype), hidden))
    next_cell.copy_(torch.where(real, after, cell))


def lstm_backward(
    forgetting: Forgetting,
    arriving: Tensor,
    product: Tensor,
    carry: Tensor,
    grad_cell: Tensor,  # (N, D), of the cell after this step; becomes that of the cell before it
    gates: Tensor,
    peepholes: Tensor | None,
    real: Tensor,
    cell: Tensor,
    next_cell: Tensor,
    grad_gates: Tensor,  # (N, G * D), to write: before their squashing
) -> None:
    """The way back through :func:`lstm_forward`."""
    rows, size = carry.shape
    if native.runs(gates):
        _LSTM_BACKWARD(
            *(gates.dtype, rows, size, real, _FORGETTINGS[forgetting] + (peepholes is not None)),
            *(arriving, arriving.stride(0), product, carry, grad_cell, gates, gates.stride(0), peepholes),
            *(cell, next_cell, cell.stride(0), grad_gates),
        )
        return
    entering, *forget, candidate, leaving = gates.to(cell.dtype).split(size, -1)
    squashed = torch.tanh(next_cell)
    whole = _pass(real, arriving, product, carry)
    d_leaving = whole * squashed * leaving * (1 - leaving)
    d_cell = grad_cell + whole * leaving * (1 - squashed * squashed)
    if peepholes is not None:
        d_cell = d_cell + d_leaving * peepholes[-size:]
    d_entering, kept, d_forget = d_cell * candidate, d_cell, []
    if forgetting == "gate":
        d_forget = [d_cell * cell * forget[0] * (1 - forget[0])]
        kept = d_cell * forget[0]
    elif forgetting == "coupled":
        d_entering = d_entering - d_cell * cell
        kept = d_cell * (1 - entering)
    d_entering = d_entering * entering * (1 - entering)
    if peepholes is not None:
        kept = kept + d_entering * peepholes[:size]
        kept = kept + sum(gate * peepholes[size : 2 * size] for gate in d_forget)
    d_candidate = d_cell * entering * (1 - candidate * candidate)
    found = torch.cat([d_entering, *d_forget, d_candidate, d_leaving], -1)
    grad_gates.copy_(torch.where(real, found, 0.0))
    grad_cell.copy_(torch.where(real, kept, grad_cell))


def peephole_gradient(grad_gate: Tensor, cell: Tensor) -> Tensor:
    """Of one peephole (D,): the gradient of the gate (N, T, D) times the cell that it saw (N, T, D), summed."""
    if native.runs(grad_gate):
        rows, steps, size = cell.shape
        sums = cell.new_empty(size)
        _PEEPHOLE_GRADIENT(
            *(grad_gate.dtype, rows, size, None, steps, grad_gate, grad_gate.stride(0), grad_gate.stride(1)),
            *(cell, cell.stride(0), cell.stride(1), sums),
        )
        return sums
    return (grad_gate * cell).sum((0, 1))


def gru_gates(
    projected: Tensor,  # (N, 3 D)
    recurrent: Tensor,  # (N, 2 D), contiguous
    hidden: Tensor,
    gates: Tensor,  # (N, 3 D): its first 2 D are written
    reset_hidden: Tensor,  # (N, D), to write: r * h
) -> None:
    """Reset and update gate of :class:`henkan.nn.gru.GRUCell`."""
    rows, size = hidden.shape
    if native.runs(hidden):
        _GRU_GATES(
            *(hidden.dtype, rows, size, None, projected, projected.stride(0), recurrent, hidden, hidden.stride(0)),
            *(gates, gates.stride(0), reset_hidden, reset_hidden.stride(0)),
        )
        return
    both = torch.sigmoid((projected[:, : 2 * size] + recurrent).to(wide(hidden.dtype)))
    gates[:, : 2 * size] = both
    reset_hidden.copy_(both[:, :size] * hidden)


def gru_output(
    projected: Tensor, recurrent: Tensor, real: Tensor, hidden: Tensor, next_hidden: Tensor, gates: Tensor
) -> None:
    """Candidate and output; ``recurrent`` (N, D) is (r * h) U. Writes ``next_hidden`` and the last D of ``gates``."""
    rows, size = hidden.shape
    if native.runs(hidden):
        _GRU_OUTPUT(
            *(hidden.dtype, rows, size, real, projected, projected.stride(0), recurrent, hidden, next_hidden),
            *(hidden.stride(0), gates, gates.stride(0)),
        )
        return
    candidate = torch.tanh((projected[:, 2 * size :] + recurrent).to(wide(hidden.dtype)))
    gates[:, 2 * size :] = candidate
    after = torch.lerp(candidate, hidden.to(candidate.dtype), gates[:, size : 2 * size].to(candidate.dtype))
    next_hidden.copy_(torch.where(real, after.to(hidden.dtype), hidden))


def gru_output_backward(
    arriving: Tensor,
    product: Tensor,
    carry: Tensor,
    gates: Tensor,
    real: Tensor,
    hidden: Tensor,
    grad_gates: Tensor,  # (N, 3 D): its last 2 D are written, at padding all of it
) -> None:
    """The way back through :func:`gru_output`."""
    rows, size = carry.shape
    if native.runs(gates):
        _GRU_OUTPUT_BACKWARD(
            *(gates.dtype, rows, size, real, arriving, arriving.stride(0), product, carry, gates, gates.stride(0)),
            *(hidden, hidden.stride(0), grad_gates),
        )
        return
    _, update, candidate = gates.to(carry.dtype).split(size, -1)
    whole = _pass(real, arriving, product, carry)
    d_update = whole * (hidden - candidate) * update * (1 - update)
    d_candidate = whole * (1 - update) * (1 - candidate * candidate)
    grad_gates.copy_(torch.where(real, torch.cat([torch.zeros_like(d_update), d_update, d_candidate], -1), 0.0))
    carry.add_(torch.where(real, whole * update, 0.0))


def gru_gates_backward(
    grad_reset_hidden: Tensor,  # (N, D), contiguous
    carry: Tensor,
    gates: Tensor,
    real: Tensor,
    hidden: Tensor,
    grad_gates: Tensor,  # (N, 3 D): its first D are written
) -> None:
    """The way back through :func:`gru_gates`, as far as the reset gate."""
    rows, size = carry.shape
    if native.runs(gates):
        _GRU_GATES_BACKWARD(
            *(gates.dtype, rows, size, real, grad_reset_hidden, carry, gates, gates.stride(0)),
            *(hidden, hidden.stride(0), grad_gates),
        )
        return
    reset = gates[:, :size].to(carry.dtype)
    grad_gates[:, :size] = torch.where(real, grad_reset_hidden * hidden * reset * (1 - reset), 0.0)
    carry.add_(torch.where(real, grad_reset_hidden * reset, 0.0))


def reset_after_forward(
    projected: Tensor,  # (N, 3 D)
    recurrent: Tensor,  # (N, 3 D), contiguous
    hidden_bias: Tensor,  # (D,)
    real: Tensor,
    hidden: Tensor,
    next_hidden: Tensor,
    gates: Tensor,  # (N, 4 D), to write: reset, update, candidate, and h U + d
) -> None:
    """One step of :class:`henkan.nn.gru.ResetAfterGRUCell` after its product."""
    rows, size = hidden.shape
    if native.runs(hidden):
        _RESET_AFTER_FORWARD(
            *(hidden.dtype, rows, size, real, projected, projected.stride(0), recurrent, hidden_bias, hidden),
            *(next_hidden, hidden.stride(0), gates, gates.stride(0)),
        )
        return
    given, asked = projected.to(wide(hidden.dtype)), recurrent.to(wide(hidden.dtype))
    reset, update = torch.sigmoid(given[:, : 2 * size] + asked[:, : 2 * size]).chunk(2, -1)
    recurring = asked[:, 2 * size :] + hidden_bias
    candidate = torch.tanh(given[:, 2 * size :] + reset * recurring)
    gates.copy_(torch.cat([reset, update, candidate, recurring], -1))
    after = torch.lerp(candidate, hidden.to(candidate.dtype), update)
    next_hidden.copy_(torch.where(real, after.to(hidden.dtype), hidden))


def reset_after_backward(
    arriving: Tensor,
    product: Tensor,
    carry: Tensor,
    gates: Tensor,
    real: Tensor,
    hidden: Tensor,
    grad_projected: Tensor,  # (N, 3 D), to write
    grad_recurrent: Tensor,  # (N, 3 D), to write
) -> None:
    """The way back through :func:`reset_after_forward`."""
    rows, size = carry.shape
    if native.runs(gates):
        _RESET_AFTER_BACKWARD(
            *(gates.dtype, rows, size, real, arriving, arriving.stride(0), product, carry, gates, gates.stride(0)),
            *(hidden, hidden.stride(0), grad_projected, grad_recurrent, grad_projected.stride(0)),
        )
        return
    reset, update, candidate, recurring = gates.to(carry.dtype).split(size, -1)
    whole = _pass(real, arriving, product, carry)
    d_candidate = whole * (1 - update) * (1 - candidate * candidate)
    d_reset = d_candidate * recurring * reset * (1 - reset)
    d_update = whole * (hidden - candidate) * update * (1 - update)
    grad_projected.copy_(torch.where(real, torch.cat([d_reset, d_update, d_candidate], -1), 0.0))
    grad_recurrent.copy_(torch.where(real, torch.cat([d_reset, d_update, d_candidate * reset], -1), 0.0))
    carry.add_(torch.where(real, whole * update, 0.0))


def rnn_forward(
    relu: bool, projected: Tensor, recurrent: Tensor, real: Tensor, hidden: Tensor, next_hidden: Tensor
) -> None:
    """One step of :class:`henkan.nn.rnn.RNNCell` after its product."""
    rows, size = hidden.shape
    if native.runs(hidden):
        _RNN_FORWARD(
            *(hidden.dtype, rows, size, real, int(relu), projected, projected.stride(0), recurrent),
            *(hidden, next_hidden, hidden.stride(0)),
        )
        return
    inside = projected + recurrent
    next_hidden.copy_(torch.where(real, torch.relu(inside) if relu else torch.tanh(inside), hidden))


def rnn_backward(
    relu: bool,
    arriving: Tensor,
    product: Tensor,
    carry: Tensor,
    real: Tensor,
    next_hidden: Tensor,
    grad_projected: Tensor,  # (N, D), to write
) -> None:
    """The way back through :func:`rnn_forward`."""
    rows, size = carry.shape
    if native.runs(next_hidden):
        _RNN_BACKWARD(
            *(next_hidden.dtype, rows, size, real, int(relu), arriving, arriving.stride(0), product, carry),
            *(next_hidden, next_hidden.stride(0), grad_projected, grad_projected.stride(0)),
        )
        return
    whole = _pass(real, arriving, product, carry)
    slope = (next_hidden > 0).to(whole.dtype) if relu else 1 - next_hidden * next_hidden
    grad_projected.copy_(torch.where(real, whole * slope, 0.0))


def additive_forward(
    asked: Tensor,  # (N, A), contiguous: the query's share
    keys: Tensor,  # (N, S, A), contiguous
    vector: Tensor,  # (A,)
    squashed: Tensor,  # (N, S, A), to write: the tanh
) -> Tensor:
    """Scores (N, S) of one query a row by :class:`henkan.nn.scores.AdditiveScores`; at least float32."""
    rows, positions, size = keys.shape
    if native.runs(keys):
        scores = keys.new_empty(rows, positions, dtype=torch.float32)
        _ADDITIVE_FORWARD(
            *(keys.dtype, rows, size, None, positions, asked, keys, vector, squashed, squashed.stride(0), scores)
        )
        return scores
    torch.tanh(asked[:, None] + keys, out=squashed)
    return torch.matmul(squashed, vector).to(wide(keys.dtype))


def additive_backward(
    grad_scores: Tensor,  # (N, S), contiguous, at least float32
    squashed: Tensor,
    vector: Tensor,
    grad_keys: Tensor,  # (N, S, A), at least float32: added to
    grad_vector: Tensor,  # (N, A), at least float32: added to
) -> Tensor:
    """The way back through :func:`additive_forward`: the gradient of ``asked`` (N, A)."""
    rows, positions, size = squashed.shape
    if native.runs(squashed):
        grad_asked = squashed.new_empty(rows, size)
        _ADDITIVE_BACKWARD(
            *(squashed.dtype, rows, size, None, positions, grad_scores, squashed, squashed.stride(0), vector),
            *(grad_asked, grad_keys, grad_vector),
        )
        return grad_asked
    tanh = squashed.to(grad_scores.dtype)
    inside = grad_scores[..., None] * vector * (1 - tanh * tanh)
    grad_keys += inside
    grad_vector += (grad_scores[..., None] * tanh).sum(1)
    return inside.sum(1).to(squashed.dtype)
