"""Forced decoding: what a model thinks of outputs that are given."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from henkan.decode.hypothesis import next_inputs
from henkan.decode.stepper import Stepper
from henkan.tensors import State, Tokens
from henkan.text.tokenizer import END


@torch.inference_mode()
def forced_log_probs(
    stepper: Stepper, state: State, prefix: Tokens, outputs: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The log-probability of every token of each output, and of END behind them: one number more than tokens.

    Args:
        stepper: scores the next token.
        state: fresh from ``stepper.start``, with room for the prefix and the longest output; spent afterwards.
        prefix: what the outputs begin with, usually START alone.
        outputs: one for each source, without prefix and END.
    """
    if len(outputs) != prefix.ids.shape[0]:
        raise ValueError(f"{len(outputs)} outputs for {prefix.ids.shape[0]} sources: expected one for each")
    if not outputs:
        return []
    lengths = [len(output) + 1 for output in outputs]
    padded = [[*output, *[END] * (max(lengths) - len(output))] for output in outputs]  # what follows END is not read
    targets = torch.tensor(padded, device=prefix.ids.device)  # (N, T)
    columns = []
    inputs = prefix
    for target in targets.unbind(1):
        scores, state = stepper.step(inputs, state)
        columns.append(scores.log_probs().gather(1, target[:, None]))
        inputs = next_inputs(target)
    rows = torch.cat(columns, 1).tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]
