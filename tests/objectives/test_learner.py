"""Model and objective as one module: weighted sums go backward, plain sums are reported."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from henkan.nn.heads import TokenHead
from henkan.objectives.base import Learner, Objective
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import IGNORE, Batch, Output, Tokens

VOCABULARY, WIDTH = 7, 4


class Bigrams(nn.Module):
    """The smallest model there is: what follows a token depends on that token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.head = TokenHead(WIDTH, VOCABULARY)

    def forward(self, batch: Batch) -> Output:
        return Output({"tokens": self.head(self.embedding(batch.target.ids))})


class TwoTerms(Objective):
    """The loss of the tokens, and how large the scores are."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = CrossEntropy()

    def weights(self, step: int) -> dict[str, float]:
        return {"tokens": 1.0, "size": 0.1 * step}

    def units(self, batch: Batch) -> dict[str, int]:
        return dict.fromkeys(("tokens", "size"), batch.units["tokens"])

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        return {**self.tokens(output, batch), "size": output.heads["tokens"].logits().square().sum()}

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """Nothing to remember."""


def batch(rows: slice = slice(None)) -> Batch:
    """Four rows of different lengths, or some of them."""
    generator = torch.Generator().manual_seed(0)
    ids, labels = (torch.randint(0, VOCABULARY, (4, 5), generator=generator)[rows] for _ in range(2))
    mask = (torch.arange(5) < torch.tensor([5, 2, 1, 4])[:, None])[rows]
    labels = labels.masked_fill(~mask, IGNORE)
    return Batch(torch.arange(4)[rows], None, Tokens(ids, mask), {"tokens": labels}, {"tokens": int(mask.sum())})


def gradients(
    learner: Learner, batches: list[Batch], weights: dict[str, float]
) -> tuple[dict[str, float], list[Tensor]]:
    """Sums over the batches, and what their backward passes add up to."""
    learner.zero_grad()
    totals: dict[str, float] = {}
    for part in batches:
        total, sums = learner(part, weights)
        total.backward()
        totals = {name: totals.get(name, 0.0) + value.item() for name, value in sums.items()}
    return totals, [parameter.grad.clone() for parameter in learner.parameters()]


@pytest.mark.parametrize("objective", [CrossEntropy(0.1), TwoTerms()], ids=["one term", "two terms"])
@pytest.mark.parametrize("cuts", [[2], [1], [1, 2, 3], [0, 3]], ids=str)
def test_parts_of_a_batch_add_up_to_it(objective, cuts):
    """In values and gradients, though the parts have different numbers of tokens; one of them may be empty."""
    learner, weights = Learner(Bigrams().double(), objective), objective.weights(3)
    expected_sums, expected = gradients(learner, [batch()], weights)
    parts = [batch(slice(start, end)) for start, end in zip([0, *cuts], [*cuts, 4], strict=True)]
    assert sum(part.units["tokens"] for part in parts) == batch().units["tokens"] == 12
    sums, found = gradients(learner, parts, weights)
    assert sums == pytest.approx(expected_sums)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_total_is_weighted_and_the_sums_are_not():
    learner = Learner(Bigrams(), TwoTerms())
    total, sums = learner(batch(), {"tokens": 2.0, "size": 0.5})
    torch.testing.assert_close(total.detach(), 2.0 * sums["tokens"] + 0.5 * sums["size"])
    assert total.requires_grad
    assert not any(value.requires_grad for value in sums.values()), "what is reported keeps no graph alive"


def test_a_weight_scales_the_gradient():
    learner = Learner(Bigrams().double(), CrossEntropy(0.1))
    _, once = gradients(learner, [batch()], {"tokens": 1.0})
    _, scaled = gradients(learner, [batch()], {"tokens": 0.25})
    for small, large in zip(scaled, once, strict=True):
        torch.testing.assert_close(small, 0.25 * large)


def test_the_model_is_part_of_the_learner():
    """So that whatever wraps the learner finds every parameter, and training mode reaches model and objective."""
    model, objective = Bigrams(), CrossEntropy(0.1)
    learner = Learner(model, objective)
    assert set(learner.parameters()) == set(model.parameters())
    learner.eval()
    assert not model.training and not objective.training


@pytest.mark.parametrize("method", ["weights", "units", "forward", "update"])
def test_an_objective_implements_every_method(method):
    body = {name: getattr(CrossEntropy, name) for name in ("weights", "units", "forward", "update") if name != method}
    with pytest.raises(TypeError, match=method):
        type("Unfinished", (Objective,), body)()
