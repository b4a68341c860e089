"""Writing or pointing: the mixture against a loop over words, and every way of asking for it against the others."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.copying import CopyHead, CopyTokenScores
from henkan.nn.heads import Alignment, TokenHead
from henkan.tensors import IGNORE

ROWS, LENGTH, SOURCE, WIDTH, VOCABULARY = 3, 4, 6, 5, 9
REAL = [6, 3, 1]  # positions of each source


class Setting:
    """A head with large weights, hidden vectors, and where a decoder looked."""

    def __init__(self, dtype: torch.dtype = torch.float64, bias: bool = True) -> None:
        self.head = CopyHead(TokenHead(WIDTH, VOCABULARY, bias=bias), WIDTH).to(dtype)
        for parameter in self.head.parameters():
            nn.init.normal_(parameter)
        self.hidden = torch.randn(ROWS, LENGTH, WIDTH, dtype=dtype, requires_grad=True)
        real = torch.arange(SOURCE) < torch.tensor(REAL)[:, None]
        self.looks = torch.randn(ROWS, LENGTH, SOURCE, dtype=dtype, requires_grad=True)
        self.weights = self.looks.masked_fill(~real[:, None], -torch.inf).softmax(-1)
        self.ids = torch.randint(0, VOCABULARY, (ROWS, SOURCE))
        self.ids[:, 2] = self.ids[:, 0]  # a word that stands there twice, and under the padding of the last row

    def scores(self) -> CopyTokenScores:
        return self.head(self.hidden, Alignment(lambda: self.weights, self.ids))

    def plain(self) -> Tensor:
        """(N, T, V) probabilities, equation 9 word by word."""
        written = self.head.words(self.hidden).logits().softmax(-1)
        gate = torch.sigmoid(self.head.gate(self.hidden))[..., 0]
        rows = []
        for row in range(ROWS):
            for position in range(LENGTH):
                g = gate[row, position]
                total = list((g * written[row, position]).unbind())
                for place in range(REAL[row]):
                    word = int(self.ids[row, place])
                    total[word] = total[word] + (1 - g) * self.weights[row, position, place]
                rows.append(torch.stack(total))
        return torch.stack(rows).view(ROWS, LENGTH, VOCABULARY)

    def labels(self) -> Tensor:
        """Words of the source, words that are not in it, and padding."""
        labels = torch.randint(0, VOCABULARY, (ROWS, LENGTH))
        labels[0] = self.ids[0, :LENGTH]
        labels[1, 2:] = IGNORE
        return labels


def test_probabilities_are_those_of_the_plain_loop():
    setting = Setting()
    expected = setting.plain()
    torch.testing.assert_close(expected.sum(-1), torch.ones(ROWS, LENGTH, dtype=torch.float64))
    torch.testing.assert_close(setting.scores().logits().exp(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradients_are_those_of_the_plain_loop(smoothing, bias):
    setting = Setting(bias=bias)
    labels = setting.labels()
    loss, log_probs = setting.scores().loss(labels, smoothing)
    flat, wanted = setting.plain().log().flatten(0, 1), labels.flatten()
    # cross_entropy normalises once more, which changes nothing
    expected = functional.cross_entropy(flat, wanted, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    chosen = -functional.nll_loss(flat, wanted, ignore_index=IGNORE, reduction="none").view(ROWS, LENGTH)
    torch.testing.assert_close(log_probs, chosen.detach(), rtol=1e-10, atol=1e-10)
    assert not log_probs.requires_grad
    leaves = {"hidden": setting.hidden, "looks": setting.looks, **dict(setting.head.named_parameters())}
    found, wanted = (torch.autograd.grad(what, list(leaves.values()), retain_graph=True) for what in (loss, expected))
    for name, ours, theirs in zip(leaves, found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


def test_nothing_to_learn():
    setting = Setting()
    loss, log_probs = setting.scores().loss(torch.full((ROWS, LENGTH), IGNORE), 0.1)
    loss.backward()
    assert loss == 0 and not log_probs.any() and not setting.hidden.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step_scores_agree(dtype):
    setting = Setting(dtype)
    alignment = Alignment(lambda: setting.weights[:, 1], setting.ids)
    step = setting.head.step(setting.hidden[:, 1], alignment)
    log_probs = step.log_probs()
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(ROWS))
    bound = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(log_probs, setting.scores().logits()[:, 1].float(), rtol=bound, atol=bound)
    best, ids = step.top(4)
    torch.testing.assert_close(best, log_probs.sort(descending=True).values[:, :4])
    torch.testing.assert_close(best, log_probs.gather(1, ids))
    assert torch.equal(step.argmax(), ids[:, 0])
    assert step.attention() is not None


@pytest.mark.parametrize("sureness", [-200.0, 200.0])
def test_sure_of_pointing_and_of_writing(sureness):
    """Where g is 0 or 1 to the last digit, nothing is minus infinity or without a gradient."""
    setting = Setting(torch.float32)
    nn.init.zeros_(setting.head.gate.weight)
    nn.init.constant_(setting.head.gate.bias, sureness)
    loss, _ = setting.scores().loss(setting.labels(), 0.1)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in setting.head.parameters())


def test_weights_that_do_not_sum_to_one_are_made_to():
    setting = Setting()
    expected = setting.scores().logits()
    half = setting.head(setting.hidden, Alignment(lambda: setting.weights * 0.5, setting.ids)).logits()
    torch.testing.assert_close(half, expected)
