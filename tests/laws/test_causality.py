"""Causality: no hidden vector depends on a later position of the target."""

import torch

import zoo

LENGTH = 5


def test_no_gradient_from_later_positions(model):
    """The gradient of the vector at t by the embeddings read after t is zero, and by the one at t it is not."""
    read = []

    def watch(module, ids, vectors):
        read.append(vectors.detach().requires_grad_())
        return read[-1]

    source, target = zoo.tokens([4, 3]), zoo.tokens([LENGTH, LENGTH])
    state = model.start(source, 2, 0)
    model.decoder.embedding.register_forward_hook(watch)
    hidden = model.decoder(target, state).hidden
    (embedded,) = read
    weight = torch.rand(hidden.shape[0], hidden.shape[2], dtype=hidden.dtype)
    for position in range(LENGTH):
        total = (hidden[:, position] * weight).sum()
        gradient = torch.autograd.grad(total, embedded, retain_graph=True)[0]
        assert not gradient[:, position + 1 :].any(), f"position {position} sees what comes after it"
        assert gradient[:, position].abs().amax(-1).gt(0).all(), f"position {position} does not see its own input"


@torch.no_grad()
def test_a_changed_ending_leaves_the_beginning(model):
    source, target = zoo.tokens([4, 3]), zoo.tokens([LENGTH, LENGTH])
    expected = model.decoder(target, model.start(source, 2, 0)).hidden
    for position in range(1, LENGTH):
        changed = zoo.tokens([LENGTH, LENGTH])
        changed.ids[:, :position] = target.ids[:, :position]
        found = model.decoder(changed, model.start(source, 2, 0)).hidden
        torch.testing.assert_close(found[:, :position], expected[:, :position], rtol=1e-9, atol=1e-9)
