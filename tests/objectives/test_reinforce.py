"""The gradient of drawn positions, in expectation, against enumerating every choice."""

import itertools

import pytest
import torch
from pydantic import ValidationError

import zoo
from henkan.objectives.base import Learner
from henkan.objectives.reinforce import Reinforce, ReinforceConfig, from_here_on
from henkan.tensors import IGNORE, Batch, Output
from henkan.training.session import persistent_buffers

SOURCE, TARGET = [3, 2], [3, 2]
DECODERS = ["luong, fed", "luong, not fed", "bahdanau"]


class Forced:
    """Stands in for the draw: takes the positions (N, T) it is told to, however many a call asks for."""

    def __init__(self) -> None:
        self.begin(torch.zeros(0, 0, dtype=torch.int64))

    def begin(self, choices):
        self.choices, self.read = choices, 0

    def __call__(self, weights):
        length = weights.shape[1]
        self.read += length
        return self.choices[:, self.read - length : self.read]


def learner(decoder: str, baseline: str, monkeypatch, **weights: float) -> tuple[Learner, Forced]:
    """In training mode without dropout; every sentence draws, as the second of the pair says."""
    config = zoo.CONFIGS[f"{decoder}, hard"]
    attention = config.decoder.attention.model_copy(update={"expected": 0.0, "baseline": baseline})
    changed = config.decoder.model_copy(update={"attention": attention, "dropout": 0.0})
    encoder = config.encoder.model_copy(update={"dropout": 0.0})
    model = zoo.build(config.model_copy(update={"decoder": changed, "encoder": encoder}))
    forced = Forced()
    monkeypatch.setattr(model.decoder.source_attention, "_take", forced)
    objective = Reinforce(**{"smoothing": 0.0, "policy": 1.0, "entropy": 0.0} | weights).double()
    return Learner(model, objective).train(), forced


def every_choice():
    """Positions (N, T) of all the ways to choose one real position for each real token."""
    ways = [
        [(*way, *[0] * (max(TARGET) - length)) for way in itertools.product(range(places), repeat=length)]
        for places, length in zip(SOURCE, TARGET, strict=True)
    ]
    return [torch.tensor(rows) for rows in itertools.product(*ways)]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("baseline", ["moving", "learnt"])
def test_the_expected_gradient_is_that_of_the_expected_likelihood(decoder, baseline, monkeypatch):
    """Sum over all choices of p(choice) times the gradient that choice gives, whatever the baseline."""
    together, forced = learner(decoder, baseline, monkeypatch)
    together.objective.average.fill_(-1.7)
    together.objective.gathered.fill_(1.0)
    batch = zoo.batch(zoo.tokens(SOURCE), zoo.tokens(TARGET))
    named = {name: p for name, p in together.model.named_parameters() if "baseline" not in name}
    found = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    expected, probabilities = torch.zeros((), dtype=torch.float64), 0.0
    for choices in every_choice():
        forced.begin(choices)
        output = together.model(batch)
        logs = output.extras["log_probability"][batch.target.mask].sum()
        loss, _ = output.heads["tokens"].loss(batch.labels["tokens"])
        expected = expected + logs.exp() * loss
        probability = logs.exp().item()
        probabilities += probability
        forced.begin(choices)
        total, _ = together(batch, together.objective.weights(0))
        gradients = torch.autograd.grad(total, list(named.values()), materialize_grads=True)
        for name, gradient in zip(named, gradients, strict=True):
            found[name] += probability * gradient
    assert probabilities == pytest.approx(1.0), "these are all the choices there are"
    exact = torch.autograd.grad(expected, list(named.values()), materialize_grads=True)
    for name, gradient in zip(named, exact, strict=True):
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-8, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )
    scorer = [name for name in named if "source_attention" in name]
    assert scorer and all(found[name].any() for name in scorer), "the attention learns from its draws"


def objective(**weights: float) -> Reinforce:
    return Reinforce(**{"smoothing": 0.0, "policy": 1.0, "entropy": 1.0} | weights).double()


def drawn(learnt: bool = False) -> tuple[Output, Batch]:
    """An output of a model that draws, every extra a leaf of its own."""
    name = "bahdanau, hard, learnt baseline" if learnt else "bahdanau, hard"
    batch = zoo.batch(zoo.tokens([4, 6]), zoo.tokens([5, 3]))
    output = zoo.build(zoo.CONFIGS[name]).train()(batch)
    extras = {key: extra.detach().requires_grad_() for key, extra in output.extras.items()}
    return Output(output.heads, extras), batch


@pytest.mark.parametrize("learnt", [False, True])
def test_closed_forms(learnt):
    """Token by token: the gradient by log p(s[t]) is what its token and those after it fell short of the baseline."""
    output, batch = drawn(learnt)
    part = objective()
    part.average.fill_(-1.0)
    part.gathered.fill_(0.5)  # so far the average is half there: it stands for -2
    sums = part(output, batch)
    labels = batch.labels["tokens"]
    loss, log_probs = output.heads["tokens"].loss(labels)
    torch.testing.assert_close(sums["tokens"], loss)
    torch.testing.assert_close(sums["log_likelihood"], -loss.detach())
    assert sums["policy"] == 0.0
    (policy,) = torch.autograd.grad(sums["policy"], output.extras["log_probability"])
    (entropy,) = torch.autograd.grad(sums["entropy"], output.extras["entropy"])
    errors = 0.0
    for row, length in enumerate((5, 3)):
        for t in range(5):
            left = max(length - t, 0)
            b = output.extras["baseline"][row, t].item() if learnt else -2.0
            to_come = log_probs[row, t:length].sum().item()
            assert policy[row, t].item() == pytest.approx(-(to_come - left * b), abs=1e-12)
            assert entropy[row, t].item() == (-1.0 if left else 0.0)
            errors += (to_come / left - b) ** 2 if left and learnt else 0.0
    assert sums["baseline"].item() == pytest.approx(errors)


def test_padding_is_in_no_sum():
    """Whatever the extras hold where there is no label."""
    output, batch = drawn(learnt=True)
    garbage = {
        name: torch.where(batch.labels["tokens"] == IGNORE, 77.0, extra) if extra.dim() == 2 else extra
        for name, extra in output.extras.items()
    }
    for (name, expected), found in zip(
        objective()(output, batch).items(), objective()(Output(output.heads, garbage), batch).values(), strict=True
    ):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_every_sum_has_a_weight_and_a_count():
    output, batch = drawn()
    part = ReinforceConfig(policy=0.5, entropy=0.25).build().double()
    sums = part(output, batch)
    assert part.weights(7) == {"tokens": 1, "policy": 0.5, "entropy": 0.25, "baseline": 1, "log_likelihood": 0}
    assert part.units(batch) == dict.fromkeys(sums, 8)
    with pytest.raises(ValidationError, match="policy"):
        ReinforceConfig(policy=-1.0)


def test_in_evaluation_the_loss_is_nats_per_token():
    output, batch = drawn()
    sums = objective(smoothing=0.3).eval()(output, batch)
    assert not any(sums[name] for name in ("policy", "entropy", "baseline"))
    torch.testing.assert_close(sums["tokens"], -sums["log_likelihood"])


def test_the_moving_average_changes_in_update_alone():
    """It is the mean of all updates so far, each nine tenths as heavy as the one after it."""
    part, (output, batch) = objective(), drawn()
    before = {name: buffer.clone() for name, buffer in part.named_buffers()}
    part(output, batch)
    assert all(torch.equal(buffer, before[name]) for name, buffer in part.named_buffers())
    means = [-3.0, -2.0, -5.0]
    for number, mean in enumerate(means, start=1):
        sums = dict.fromkeys(part.weights(0), torch.tensor(0.0)) | {"log_likelihood": torch.tensor(4.0 * mean)}
        part.update(sums, dict.fromkeys(sums, 4))
        shares = [0.9 ** (number - k) for k in range(1, number + 1)]
        expected = sum(share * m for share, m in zip(shares, means, strict=False)) / sum(shares)
        assert (part.average / part.gathered).item() == pytest.approx(expected)


def test_the_moving_average_is_in_a_checkpoint():
    model = torch.nn.Linear(2, 2)
    assert persistent_buffers(Learner(model, objective())).keys() == {"objective.average", "objective.gathered"}


def test_from_here_on():
    found = from_here_on(torch.tensor([[1.0, 2.0, 4.0], [0.5, 0.0, 0.0]]))
    assert found.tolist() == [[7.0, 6.0, 4.0], [0.5, 0.0, 0.0]]
