"""Padding: it changes nothing real, neither do the other rows of the batch, nor prompts of other lengths."""

import torch

import zoo

SOURCE, TARGET = [4, 6, 1], [3, 5, 2]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_more_padding_changes_nothing(model, capacity):
    """In the source and in the target; neither does what lies under the padding, nor the step after it."""
    source, target, following = zoo.tokens(SOURCE), zoo.tokens(TARGET), zoo.tokens([1, 1, 1])
    wide_source, wide_target = zoo.tokens(SOURCE, 9), zoo.tokens(TARGET, 8)
    wide_source.ids[:, :6][source.mask] = source.ids[source.mask]
    wide_target.ids[:, :5][target.mask] = target.ids[target.mask]
    found = []
    for read, written in ((source, target), (wide_source, wide_target)):
        decoded = model.decoder(written, model.start(read, 3, capacity))
        found.append((decoded.hidden[written.mask], model.decoder(following, decoded.state).hidden))
    close(found[1], found[0])


@torch.no_grad()
def test_each_row_by_itself(model, capacity):
    """Prompts of different lengths share a batch and are continued together, step by step."""
    source, prompt, steps = zoo.tokens(SOURCE), zoo.tokens(TARGET), zoo.tokens([3, 3, 3])
    together = continued(model, source, prompt, steps, capacity)
    for row in range(3):
        only = slice(row, row + 1)
        own_source = zoo.columns(zoo.rows(source, only), slice(SOURCE[row]))
        own_prompt = zoo.columns(zoo.rows(prompt, only), slice(TARGET[row]))
        alone = continued(model, own_source, own_prompt, zoo.rows(steps, only), capacity)
        close(together[0][row, : TARGET[row]], alone[0][0])
        close(together[1][row], alone[1][0])


def continued(model, source, prompt, steps, capacity):
    """Hidden vectors of the prompt, and of the steps after it."""
    decoded = model.decoder(prompt, model.start(source, len(source.ids), capacity))
    hidden, after = decoded.hidden, []
    for position in range(steps.ids.shape[1]):
        decoded = model.decoder(zoo.columns(steps, slice(position, position + 1)), decoded.state)
        after.append(decoded.hidden)
    return hidden, torch.cat(after, 1)


@torch.no_grad()
def test_a_padded_step_changes_nothing(model, capacity):
    """A row that has nothing to read in this call waits, as a longer prompt's neighbour does."""
    source, prompt, later = zoo.tokens(SOURCE), zoo.tokens([3, 3, 3]), zoo.tokens([1, 1, 1])
    decoded = model.decoder(prompt, model.start(source, 3, capacity))
    expected = model.decoder(later, decoded.state).hidden
    decoded = model.decoder(prompt, model.start(source, 3, capacity))
    for columns in (1, 3):
        decoded = model.decoder(zoo.tokens([0, 0, 0], columns), decoded.state)
    close(model.decoder(later, decoded.state).hidden, expected)


def test_an_empty_source_or_target_gives_no_nan(model):
    """Neither forwards nor backwards: a batch may hold such a row, and its neighbours must not suffer."""
    source, target = zoo.tokens([0, 3, 2], 4), zoo.tokens([2, 0, 3], 4)
    decoded = model.decoder(target, model.start(source, 3, 0))
    assert decoded.hidden.isfinite().all()
    (decoded.hidden[target.mask].sum() + zoo.choices(decoded.extras, target.mask)).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("head."):
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
