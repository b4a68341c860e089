"""Packed rows: nothing lost, nothing over the shape, and a batch that says the same as a padded one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import PackedShape, Packing, packed_shape
from henkan.data.plan import Lengths, Plan
from henkan.errors import ConfigError
from henkan.tensors import IGNORE
from henkan.text.tokenizer import PAD

ids = st.lists(st.integers(4, 100), max_size=9)
pairs = st.lists(st.tuples(ids, ids), max_size=6)
ROOM = PackedShape(source=64, target=80, examples=8, longest=10)


def corpus(examples: int, seed: int = 1) -> Lengths:
    """Lengths as of Multi30k: targets some 11 % longer."""
    draw = np.random.default_rng(seed)
    source = np.clip(draw.gamma(8.6, 13.3 / 8.6, examples).round(), 3, 60).astype(np.int32)
    return Lengths(
        source + 1, np.clip((source * draw.normal(1.11, 0.17, examples)).round(), 3, 60).astype(np.int32) + 1
    )


@given(pairs, st.booleans())
def test_a_packed_row_holds_the_real_part_of_the_padded_rows(given_pairs, reverse: bool):
    examples = [Example.of(10 + n, *pair) for n, pair in enumerate(given_pairs)]
    packed, padded = collate_packed(examples, ROOM, reverse), collate_pairs(examples, reverse)
    assert packed.index.tolist() == padded.index.tolist()
    assert packed.units == padded.units
    for one, other in ((packed.source, padded.source), (packed.target, padded.target)):
        real = one.mask[0]
        assert one.ids[0][real].tolist() == other.ids[other.mask].tolist()
        assert (one.ids[0][~real] == PAD).all()
        positions = other.mask.cumsum(1) - 1
        assert one.positions()[0][real].tolist() == positions[other.mask].tolist()
    labels = padded.labels["tokens"]
    assert packed.labels["tokens"][packed.target.mask].tolist() == labels[padded.target.mask].tolist()
    assert (packed.labels["tokens"][~packed.target.mask] == IGNORE).all()


@given(pairs)
def test_shapes_are_constant_and_every_position_is_in_one_sentence(given_pairs):
    batch = collate_packed([Example.of(n, *pair) for n, pair in enumerate(given_pairs)], ROOM)
    for tokens, positions in ((batch.source, ROOM.source), (batch.target, ROOM.target)):
        starts = tokens.sentences.starts
        assert tokens.ids.shape == tokens.mask.shape == (1, positions)
        assert starts.shape == (ROOM.sentences + 1,)
        assert starts.dtype == torch.int32
        assert (starts[0], starts[-1]) == (0, positions)
        assert 0 <= starts.diff().min() <= starts.diff().max() <= ROOM.longest
        numbers = tokens.sentences.numbers(positions)
        for place, number in enumerate(numbers.tolist()):
            assert starts[number] <= place < starts[number + 1]


@pytest.mark.parametrize(("sentence", "times"), [([5] * 10, 1), ([5] * 9, 7), ([5], 9)])
def test_what_does_not_fit_is_refused(sentence: list[int], times: int):
    with pytest.raises(ValueError, match="expected at most 8, 64 and 10"):
        collate_packed([Example.of(n, sentence, [5]) for n in range(times)], ROOM)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 4), st.integers(1, 3))
def test_every_example_once_an_epoch_within_the_shape(examples: int, rows: int, world: int):
    lengths = corpus(examples)
    shape = packed_shape([lengths], 256)
    packing = Packing(shape, rows * world)
    plan = Plan([lengths], 3, 256 * rows * world, pool_batches=4, cut=packing.cut)
    seen = []
    for number in range(plan.updates(0, 0)):
        update = plan.update(0, 0, number)
        shares = packing.share(update, world)
        assert [len(share) for share in shares] == [rows] * world
        for part in (part for share in shares for part in share):
            assert len(part) <= shape.examples
            assert lengths.source[part].sum() <= shape.source
            assert lengths.target[part].sum() <= shape.target
            seen.extend(part.tolist())
    assert sorted(seen) == list(range(examples))


def test_the_number_of_processes_changes_only_who_does_what():
    lengths = corpus(2000)
    packing = Packing(packed_shape([lengths], 512), 4)
    update = Plan([lengths], 3, 2048, cut=packing.cut).update(0, 0, 1)
    alone, both = packing.share(update, 1), packing.share(update, 2)
    assert [part.tolist() for part in alone[0]] == [part.tolist() for pair in zip(*both, strict=True) for part in pair]


@pytest.mark.parametrize(("tokens", "least"), [(4096, 0.95), (16_384, 0.96)])
def test_rows_are_nearly_full(tokens: int, least: float):
    lengths = corpus(30_000)
    packing = Packing(packed_shape([lengths], tokens), 1)
    plan = Plan([lengths], 1, tokens, cut=packing.cut)
    full = [packing.fill(plan.update(0, 0, number)) for number in range(plan.updates(0, 0))]
    shape = packing.shape
    print(f"{tokens}: mean fill {np.mean(full, 0)}, {shape}")
    assert np.mean(full) >= least


def test_a_sentence_longer_than_a_row_is_refused_with_a_cure():
    with pytest.raises(ConfigError, match="47 tokens and a packed row 0 positions: raise"):
        packed_shape([corpus(3000)], 63)
