"""The plan: every example once an epoch, budgets kept, reproducible; and its division among processes."""

import threading
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.data.plan import Lengths, Plan, share

corpora = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=120)
seeds = st.integers(0, 2**31)


def made(pairs: list[tuple[int, int]]) -> Lengths:
    return Lengths(*np.array(pairs, dtype=np.int32).T)


def realistic(examples: int, seed: int = 0) -> Lengths:
    """Lengths as sentences and their translations have them."""
    generator = np.random.default_rng(seed)
    source = np.clip(generator.lognormal(np.log(24), 0.55, examples), 3, 120)
    target = np.clip(source * generator.lognormal(0.05, 0.18, examples) + generator.normal(0, 1, examples), 3, 120)
    return Lengths(source.astype(np.int32), target.astype(np.int32))


def padded(rows: np.ndarray, lengths: Lengths) -> int:
    """What the budget counts."""
    return len(rows) * int(max(lengths.source[rows].max(), lengths.target[rows].max())) if len(rows) else 0


def epoch_of(plan: Plan, epoch: int) -> list[list[int]]:
    return [plan.update(epoch, number).tolist() for number in range(plan.updates(epoch))]


@given(corpora, seeds, st.integers(1, 400), st.integers(1, 4), st.integers(0, 5))
def test_every_example_once_and_budget_kept(
    pairs: list[tuple[int, int]], seed: int, budget: int, pool_batches: int, epoch: int
):
    lengths = made(pairs)
    plan = Plan(lengths, seed, budget, pool_batches)
    updates = epoch_of(plan, epoch)
    assert sorted(index for update in updates for index in update) == list(range(len(lengths)))
    for update in updates:
        size = padded(np.array(update), lengths)
        assert update, "no update is empty"
        assert size <= budget or len(update) == 1, f"{len(update)} examples, padded size {size}, budget {budget}"


@given(corpora, seeds, st.integers(1, 400), st.integers(1, 3), st.randoms(use_true_random=False))
def test_an_update_depends_on_nothing_but_its_place(pairs, seed, budget, pool_batches, random):
    lengths = made(pairs)
    in_order = [epoch_of(Plan(lengths, seed, budget, pool_batches), epoch) for epoch in range(3)]
    places = [(epoch, number) for epoch in range(3) for number in range(len(in_order[epoch]))]
    random.shuffle(places)
    plan = Plan(lengths, seed, budget, pool_batches)
    for epoch, number in places:
        assert plan.update(epoch, number).tolist() == in_order[epoch][number]


def test_seed_and_epoch_change_the_order():
    lengths = realistic(2000)
    orders = {(seed, epoch): epoch_of(Plan(lengths, seed, 512, 10), epoch) for seed in (0, 1) for epoch in (0, 1)}
    for one, other in combinations(orders, 2):
        assert orders[one] != orders[other], f"(seed, epoch) {one} and {other} have the same order"
        members = {frozenset(update) for update in orders[one]} & {frozenset(update) for update in orders[other]}
        assert len(members) < 0.05 * len(orders[one]), "updates are put together anew, not only reordered"


def test_lengths_of_updates_are_mixed():
    lengths = realistic(20_000)
    plan = Plan(lengths, 0, 2048, 100)
    longest = [lengths.source[plan.update(0, number)].max() for number in range(plan.updates(0))]
    neighbours = np.corrcoef(longest[:-1], longest[1:])[0, 1]
    assert abs(neighbours) < 0.2, f"lengths of neighbouring updates correlate by {neighbours:.2f}"


def test_little_is_padding():
    lengths = realistic(100_000)
    plan = Plan(lengths, 0, 8192, 100)
    updates = [plan.update(0, number) for number in range(plan.updates(0))]
    real = lengths.source.sum() + lengths.target.sum()
    area = sum(len(rows) * (lengths.source[rows].max() + lengths.target[rows].max()) for rows in updates)
    assert 1 - real / area < 0.14, f"{1 - real / area:.3f} of the positions are padding"
    assert len(plan._pool_ends) > 1, "this test is about pools"


def test_pools_have_about_the_batches_asked_for():
    plan = Plan(realistic(50_000), 0, 2048, 50)
    plan.updates(0)
    sizes = np.diff([0, *plan._epochs[0].ends])
    assert len(sizes) > 5
    assert sizes.min() >= 50


def test_an_over_long_example_stands_alone():
    lengths = made([(5, 5), (100, 3), (5, 5), (3, 100), (5, 5)])
    updates = epoch_of(Plan(lengths, 0, 15), 0)
    assert sorted(map(sorted, updates)) == [[0, 2, 4], [1], [3]]


def test_threads_may_share_a_plan():
    lengths = realistic(5000)
    expected = [epoch_of(Plan(lengths, 3, 512, 5), epoch) for epoch in range(3)]
    plan = Plan(lengths, 3, 512, 5)
    found: dict[int, list[list[int]]] = {}
    threads = [threading.Thread(target=lambda e=epoch: found.update({e: epoch_of(plan, e)})) for epoch in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[epoch] for epoch in range(3)] == expected


@pytest.mark.parametrize("number", [-1, 1])
def test_an_update_that_is_not_there(number: int):
    with pytest.raises(IndexError, match="epoch 2, which has 1"):
        Plan(made([(3, 3)]), 0, 10).update(2, number)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [((0, 0), "batch_tokens 0"), ((0, 10, 0), "pool_batches 0"), ((-1, 10), "seed -1")],
)
def test_impossible_arguments(arguments: tuple[int, ...], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        Plan(made([(3, 3)]), *arguments)


def test_no_examples_or_unequal_lengths():
    with pytest.raises(ValueError, match="at least one example"):
        Plan(Lengths(np.zeros(0, int), np.zeros(0, int)), 0, 10)
    with pytest.raises(ValueError, match="of one length"):
        Lengths(np.zeros(2, int), np.zeros(3, int))


@given(corpora, st.integers(1, 4), st.integers(1, 4))
def test_share_is_disjoint_and_complete(pairs: list[tuple[int, int]], world: int, accumulation: int):
    lengths = made(pairs)
    update = np.random.default_rng(0).permutation(len(lengths))
    ranks = share(update, lengths, world, accumulation)
    assert [len(parts) for parts in ranks] == [accumulation] * world
    everything = np.concatenate([part for parts in ranks for part in parts])
    assert sorted(everything.tolist()) == list(range(len(lengths)))
    again = share(update, lengths, world, accumulation)
    assert all((one == other).all() for a, b in zip(ranks, again, strict=True) for one, other in zip(a, b, strict=True))
    if world * accumulation == 1:
        assert (ranks[0][0] == update).all()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(2, 4))
def test_no_cutting_has_a_smaller_largest_part(sides: list[int], parts: int):
    """Against all ways to cut the sorted examples."""
    lengths = made([(side, 1) for side in sides])
    ordered = sorted(sides)
    best = min(
        max(
            (end - start) * ordered[end - 1]
            for start, end in zip((0, *cuts), (*cuts, len(sides)), strict=True)
            if end > start
        )
        for cuts in combinations([place for place in range(len(sides) + 1) for _ in range(parts)], parts - 1)
    )
    found = share(np.arange(len(sides)), lengths, parts, 1)
    assert max(padded(rank[0], lengths) for rank in found) == best


@given(seeds, st.integers(1, 8), st.integers(1, 4))
def test_shares_of_real_updates_are_near_equal(seed: int, world: int, accumulation: int):
    lengths = realistic(3000, seed)
    update = Plan(lengths, seed, 4096).update(0, 0)
    longest = int(max(lengths.source[update].max(), lengths.target[update].max()))
    ranks = share(update, lengths, world, accumulation)
    totals = [sum(padded(part, lengths) for part in parts) for parts in ranks]
    assert max(totals) - min(totals) <= 2 * longest, f"padded tokens of the ranks: {totals}"
    assert (
        max(padded(part, lengths) for parts in ranks for part in parts)
        <= padded(update, lengths) / (world * accumulation) + longest
    )


def test_fewer_examples_than_parts():
    ranks = share(np.array([7]), made([(3, 3)] * 8), 2, 2)
    assert sorted(len(part) for parts in ranks for part in parts) == [0, 0, 0, 1]
    assert all(part.dtype == np.int64 for parts in ranks for part in parts)
    assert all(len(part) == 0 for parts in share(np.zeros(0, np.int64), made([(3, 3)]), 2, 2) for part in parts)


def test_no_processes():
    with pytest.raises(ValueError, match="0 processes times 1 micro-batches"):
        share(np.array([0]), made([(3, 3)]), 0, 1)


def test_one_plan_as_it_has_always_been():
    """A run that is resumed by a later version must find the same updates."""
    plan = Plan(made([(1 + n % 5, 1 + n % 7) for n in range(12)]), 1, 16, 1)
    assert epoch_of(plan, 0) == [[11, 7, 8], [4], [0, 5], [1, 9], [2, 3], [10, 6]]
