"""Batches: a row's logits, loss and gradient are its own, whatever else is in the batch."""

import pytest
import torch

import zoo

SOURCE, TARGET = [4, 6, 1, 5], [3, 5, 2, 4]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}


def alone(source, target, row):
    only = slice(row, row + 1)
    return zoo.batch(
        zoo.columns(zoo.rows(source, only), slice(SOURCE[row])), zoo.columns(zoo.rows(target, only), slice(TARGET[row]))
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_do_not_see_each_other(model, dtype):
    model = model.to(dtype)
    source, target = zoo.tokens(SOURCE), zoo.tokens(TARGET)
    together = model(zoo.batch(source, target)).heads["tokens"].logits()
    assert together.dtype == dtype
    for row in range(4):
        own = model(alone(source, target, row)).heads["tokens"].logits()[0]
        bound = TOLERANCE[dtype]
        torch.testing.assert_close(together[row, : TARGET[row]], own, rtol=bound, atol=bound)


def test_bf16_is_close_to_float32(model):
    """Every part computes in the type of its weights, and rounding is all that differs."""
    model, batch = model.float(), zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    mask = batch.target.mask
    expected = model(batch).heads["tokens"].logits()[mask]
    output = model.to(torch.bfloat16)(batch)
    found = output.heads["tokens"].logits()
    assert found.dtype == torch.bfloat16
    error = (found[mask].float() - expected).norm() / expected.norm()
    assert error < 0.1, f"off by {error:.3f} of their norm"
    zoo.loss(output, batch.labels, 0.1).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_losses_and_gradients_add_up(model):
    """One batch and four batches of one row, in sums: this is why the loop may divide by the global count."""

    def gradients(batches):
        model.zero_grad()
        total = 0.0
        for batch in batches:
            loss = zoo.loss(model(batch), batch.labels, 0.1)
            loss.backward()
            total += loss.item()
        return total, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    source, target = zoo.tokens(SOURCE), zoo.tokens(TARGET)
    loss, expected = gradients([zoo.batch(source, target)])
    summed, found = gradients([alone(source, target, row) for row in range(4)])
    assert summed == pytest.approx(loss, rel=1e-9)
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_every_parameter_learns(model):
    """Each has a gradient that is not all zero: none was forgotten on the way."""
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    zoo.loss(model(batch), batch.labels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_dropout_only_in_training(model):
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    assert torch.equal(*(model(batch).heads["tokens"].logits() for _ in range(2)))
    model.train()
    assert not torch.equal(*(model(batch).heads["tokens"].logits() for _ in range(2)))
