"""Examples to one Batch, padded or packed."""

from collections.abc import Sequence

import numpy as np
import torch

from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.tensors import IGNORE, Batch, Sentences, Tokens
from henkan.text.tokenizer import END, PAD, START


def collate_pairs(examples: Sequence[Example], reverse_source: bool = False) -> Batch:
    """One row for each pair, as long as the longest needs; no examples give a batch of no rows.

    Args:
        reverse_source: the source back to front, END still last (Sutskever 2014).

    Returns:
        source: ids, END; target: START, ids; labels ``"tokens"``: ids, END, and IGNORE where the target is padding;
        units ``"tokens"``: the number of labels that count.
    """
    source, source_mask = _padded(_sources(examples, reverse_source), PAD)
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


def collate_packed(examples: Sequence[Example], shape: PackedShape, reverse_source: bool = False) -> Batch:
    """One row of each side with all examples end to end; see :func:`collate_pairs` for the rest.

    Raises:
        ValueError: the examples are more than the shape has room for.
    """
    source = _packed(_sources(examples, reverse_source), shape.source, shape, "source")
    labels = _packed([example.target for example in examples], shape.target, shape, "target")
    assert labels.sentences is not None
    starts = labels.sentences.starts[: len(examples)].long()
    target = labels.ids.roll(1, 1).masked_fill_(~labels.mask, PAD)
    target[0, starts] = START
    return Batch(
        index=torch.tensor([example.index for example in examples], dtype=torch.int64),
        source=source,
        target=Tokens(target, labels.mask, sentences=labels.sentences),
        labels={"tokens": labels.ids.masked_fill(~labels.mask, IGNORE)},
        units={"tokens": int(labels.mask.sum())},
    )


def _sources(examples: Sequence[Example], reverse: bool) -> list[np.ndarray]:
    return [example.source[::-1] if reverse else example.source for example in examples]


def _packed(sequences: Sequence[np.ndarray], positions: int, shape: PackedShape, side: str) -> Tokens:
    """The sequences with END after each, end to end in one row of so many positions; padding behind the last."""
    lengths = np.array([len(sequence) + 1 for sequence in sequences], dtype=np.int64)
    filled = int(lengths.sum())
    if filled > positions or len(sequences) > shape.examples or lengths.max(initial=0) > shape.longest:
        raise ValueError(
            f"{len(sequences)} {side} sentences of {filled} tokens, at most {lengths.max(initial=0)} in one: "
            f"expected at most {shape.examples}, {positions} and {shape.longest}"
        )
    ids = np.full(positions, PAD, dtype=np.int64)
    ends = lengths.cumsum()
    if len(sequences):
        is_token = np.ones(filled, dtype=bool)
        is_token[ends - 1] = False
        ids[:filled] = END
        ids[:filled][is_token] = np.concatenate(sequences)
    starts = np.full(shape.sentences + 1, positions, dtype=np.int32)
    starts[0] = 0
    starts[1 : len(ends) + 1] = ends
    of_padding = np.arange(filled, positions, shape.longest)
    starts[len(ends) : len(ends) + len(of_padding)] = of_padding
    mask = torch.arange(positions)[None] < filled
    return Tokens(torch.from_numpy(ids)[None], mask, sentences=Sentences(torch.from_numpy(starts), shape.longest))
