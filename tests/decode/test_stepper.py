"""One model and several as something that scores the next token; forced decoding; penalties; what leaves when."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from henkan.decode.forced import forced_log_probs
from henkan.decode.history import History, staying
from henkan.decode.penalties import LengthPenalty
from henkan.decode.stepper import Ensemble, LogProbs, ModelStepper
from henkan.tensors import State
from henkan.text.tokenizer import END, START


class LinearModel(nn.Module):
    """The next token depends on the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(7, 7))

    def start(self, source, rows, capacity):
        return State(None, torch.zeros(rows, 1))

    def step(self, inputs, state):
        return LogProbs(self.weight[inputs.ids[:, -1]].log_softmax(-1)), state


def test_a_model_decodes_in_evaluation_mode_and_without_gradients(begin):
    model = LinearModel()
    stepper = ModelStepper(model, 7)
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        begin(stepper, [1])
    model.eval()
    state, prefix = begin(stepper, [1, 2])
    scores, _ = stepper.step(prefix, state)
    assert not scores.log_probs().requires_grad
    assert stepper.vocabulary_size == 7


def test_an_ensemble_averages_probabilities_and_attention(table, begin):
    members = [table(seed=1), table(seed=2), table(seed=3, attends=False)]
    ensemble = Ensemble(members)
    state, prefix = begin(ensemble, [5, 6])
    scores, _ = ensemble.step(prefix, state)
    rows = [[member.row(source, (START,)) for source in (5, 6)] for member in members]
    probabilities = np.mean([[np.exp(log_probs) for log_probs, _ in row] for row in rows], 0)
    np.testing.assert_allclose(scores.log_probs().exp().numpy(), probabilities, rtol=1e-5)
    np.testing.assert_allclose(
        scores.attention().numpy(), np.mean([[weights for _, weights in row] for row in rows[:2]], 0), rtol=1e-6
    )
    assert scores.argmax().tolist() == probabilities.argmax(1).tolist()
    best, ids = scores.top(3)
    assert ids.tolist() == np.argsort(-probabilities, 1)[:, :3].tolist()
    np.testing.assert_allclose(best.numpy(), np.log(np.take_along_axis(probabilities, ids.numpy(), 1)), rtol=1e-5)


def test_the_members_of_an_ensemble_share_a_vocabulary(table):
    for members in ([], [table(vocabulary_size=7), table(vocabulary_size=8)]):
        with pytest.raises(ValueError, match="one vocabulary"):
            Ensemble(members)


def test_an_ensemble_of_models_without_attention_has_none(table, begin):
    ensemble = Ensemble([table(attends=False)])
    state, prefix = begin(ensemble, [1])
    assert ensemble.step(prefix, state)[0].attention() is None


def test_forced_log_probabilities_are_those_of_the_table(table, begin):
    stepper = table(seed=3)
    outputs = [[4, 5, 1], [], [6, 6, 6, 6]]
    found = forced_log_probs(stepper, *begin(stepper, [1, 2, 3]), outputs)
    for source, tokens, log_probs in zip((1, 2, 3), outputs, found, strict=True):
        closed = [*tokens, END]
        expected = [float(stepper.row(source, (START, *closed[:t]))[0][token]) for t, token in enumerate(closed)]
        assert log_probs == pytest.approx(expected)
    assert forced_log_probs(stepper, *begin(stepper, []), []) == []
    with pytest.raises(ValueError, match="one for each"):
        forced_log_probs(stepper, *begin(stepper, [1, 2]), [[4]])


def test_length_penalties():
    assert LengthPenalty("gnmt", 1.0)(1.0) == 1.0
    assert LengthPenalty("gnmt", 0.5)(19.0) == 2.0
    assert LengthPenalty("plain", 1.0)(7.0) == 7.0
    assert LengthPenalty("plain", 0.0)(7.0) == LengthPenalty("none", 3.0)(7.0) == 1.0
    np.testing.assert_allclose(LengthPenalty("gnmt", 1.0)(np.array([1.0, 7.0, 13.0])), [1, 2, 3])


def test_sources_leave_together():
    done = torch.zeros(12, dtype=torch.bool)
    assert staying(done, 0) is None
    done[3] = True
    assert staying(done, 1) is None, "one of twelve is not worth a copy of what is attended to"
    done[5] = True
    assert staying(done, 2).tolist() == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]
    assert staying(torch.ones(2, dtype=torch.bool), 3).tolist() == []


def test_history_puts_everything_back_in_its_place():
    history = History(3)
    history.note(torch.tensor([1, 2, 3]), torch.tensor([0.1, 0.2, 0.3]))
    history.note(torch.tensor([4, 5, 6]), torch.tensor([0.4, 0.5, 0.6]))
    history.keep(torch.tensor([0, 2]))
    history.note(torch.tensor([7, 8]), torch.tensor([0.7, 0.8]))
    history.keep(torch.tensor([1]))
    history.note(torch.tensor([9]), torch.tensor([0.9]))
    ids, scores = history.arrays()
    assert ids.tolist() == [[1, 2, 3], [4, 5, 6], [7, 0, 8], [0, 0, 9]]
    assert scores[2].tolist() == pytest.approx([0.7, -math.inf, 0.8])
