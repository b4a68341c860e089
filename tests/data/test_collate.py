"""Examples to batches, against a loop that follows the words of the definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.tensors import IGNORE
from henkan.text.tokenizer import END, PAD, START

ids = st.lists(st.integers(4, 100), max_size=9)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=6), st.booleans())
def test_every_position(pairs: list[tuple[list[int], list[int]]], reverse: bool):
    batch = collate_pairs([Example.of(10 + n, *pair) for n, pair in enumerate(pairs)], reverse)
    assert batch.index.tolist() == [10 + n for n in range(len(pairs))]
    longest = [max(len(pair[side]) for pair in pairs) + 1 for side in (0, 1)]
    for row, (source, target) in enumerate(pairs):
        source_row = [*(reversed(source) if reverse else source), END]
        padding = [longest[0] - len(source_row), longest[1] - len(target) - 1]
        assert batch.source.ids[row].tolist() == source_row + [PAD] * padding[0]
        assert batch.source.mask[row].tolist() == [True] * len(source_row) + [False] * padding[0]
        assert batch.target.ids[row].tolist() == [START, *target] + [PAD] * padding[1]
        assert batch.target.mask[row].tolist() == [True] * (len(target) + 1) + [False] * padding[1]
        assert batch.labels["tokens"][row].tolist() == [*target, END] + [IGNORE] * padding[1]
    assert batch.units == {"tokens": sum(len(target) + 1 for _, target in pairs)}
    tensors = [batch.index, batch.source.ids, batch.target.ids, batch.labels["tokens"]]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}


@pytest.mark.parametrize("reverse", [False, True])
def test_no_examples(reverse: bool):
    batch = collate_pairs([], reverse)
    assert batch.source.ids.shape == batch.target.ids.shape == batch.labels["tokens"].shape == (0, 1)
    assert batch.units == {"tokens": 0}


def test_examples_are_left_as_they_were():
    example = Example.of(0, [5, 6, 7], [8, 9])
    collate_pairs([example], True)
    assert example.source.tolist() == [5, 6, 7]
    assert example.source.dtype == np.int32
