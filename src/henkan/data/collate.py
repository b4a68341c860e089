"""Examples to one padded Batch."""

from collections.abc import Sequence

import numpy as np
import torch

from henkan.data.example import Example
from henkan.tensors import IGNORE, Batch, Tokens
from henkan.text.tokenizer import END, PAD, START


def collate_pairs(examples: Sequence[Example], reverse_source: bool = False) -> Batch:
    """One row for each pair, as long as the longest needs; no examples give a batch of no rows.

    Args:
        reverse_source: the source back to front, END still last (Sutskever 2014).

    Returns:
        source: ids, END; target: START, ids; labels ``"tokens"``: ids, END, and IGNORE where the target is padding;
        units ``"tokens"``: the number of labels that count.
    """
    sources = [example.source[::-1] if reverse_source else example.source for example in examples]
    source, source_mask = _padded(sources, PAD)
    labels, target_mask = _padded([example.target for example in examples], IGNORE)
    target = np.full_like(labels, PAD)
    target[:, 0] = START
    target[:, 1:] = labels[:, :-1]
    target[~target_mask] = PAD
    return Batch(
        index=torch.tensor([example.index for example in examples], dtype=torch.int64),
        source=Tokens(torch.from_numpy(source), torch.from_numpy(source_mask)),
        target=Tokens(torch.from_numpy(target), torch.from_numpy(target_mask)),
        labels={"tokens": torch.from_numpy(labels)},
        units={"tokens": int(target_mask.sum())},
    )


def _padded(sequences: Sequence[np.ndarray], filling: int) -> tuple[np.ndarray, np.ndarray]:
    """The sequences with END after each: (N, longest + 1) int64, and True where there is a token or END."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    places = np.arange(lengths.max(initial=0) + 1)
    ids = np.full((len(sequences), len(places)), filling, dtype=np.int64)
    ids[places == lengths[:, None]] = END
    if len(sequences):
        ids[places < lengths[:, None]] = np.concatenate(sequences)
    return ids, places <= lengths[:, None]
