"""The plan: every example once an epoch, budgets kept, reproducible; and its division among processes."""

import hashlib
import threading
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.data.plan import Lengths, Plan, Update, share

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


def chosen(lengths: Lengths, places: np.ndarray) -> Update:
    """An update of these examples."""
    return Update(places, Lengths(lengths.source[places], lengths.target[places]))


def epoch_of(plan: Plan, epoch: int) -> list[list[int]]:
    """The examples of each update, window after window."""
    return [
        plan.update(epoch, window, number).places.tolist()
        for window in range(plan.windows)
        for number in range(plan.updates(epoch, window))
    ]


@given(corpora, seeds, st.integers(1, 400), st.integers(1, 4), st.integers(0, 5))
def test_every_example_once_and_budget_kept(
    pairs: list[tuple[int, int]], seed: int, budget: int, pool_batches: int, epoch: int
):
    lengths = made(pairs)
    plan = Plan([lengths], seed, budget, pool_batches)
    updates = epoch_of(plan, epoch)
    assert sorted(index for update in updates for index in update) == list(range(len(lengths)))
    for update in updates:
        size = padded(np.array(update), lengths)
        assert update, "no update is empty"
        assert size <= budget or len(update) == 1, f"{len(update)} examples, padded size {size}, budget {budget}"


@given(corpora, seeds, st.integers(1, 400), st.integers(1, 3), st.randoms(use_true_random=False))
def test_an_update_depends_on_nothing_but_its_place(pairs, seed, budget, pool_batches, random):
    lengths = made(pairs)
    in_order = [epoch_of(Plan([lengths], seed, budget, pool_batches), epoch) for epoch in range(3)]
    places = [(epoch, number) for epoch in range(3) for number in range(len(in_order[epoch]))]
    random.shuffle(places)
    plan = Plan([lengths], seed, budget, pool_batches)
    for epoch, number in places:
        assert plan.update(epoch, 0, number).places.tolist() == in_order[epoch][number]


def cut_up(lengths: Lengths, size: int) -> list[Lengths]:
    """The same in shards."""
    starts = range(0, len(lengths), size)
    return [Lengths(lengths.source[at : at + size], lengths.target[at : at + size]) for at in starts]


@given(corpora, seeds, st.integers(1, 400), st.integers(1, 40), st.integers(1, 60), st.integers(0, 3))
def test_with_windows_too_every_example_comes_once(
    pairs: list[tuple[int, int]], seed: int, budget: int, size: int, window: int, epoch: int
):
    lengths = made(pairs)
    plan = Plan(cut_up(lengths, size), seed, budget, 1, window)
    seen = []
    for number in range(plan.windows):
        updates = [plan.update(epoch, number, place) for place in range(plan.updates(epoch, number))]
        assert updates, "no window is empty"
        for update in updates:
            assert update.lengths.source.tolist() == lengths.source[update.places].tolist()
            assert update.lengths.target.tolist() == lengths.target[update.places].tolist()
            assert padded(update.places, lengths) <= budget or len(update) == 1
        places = np.concatenate([update.places for update in updates])
        assert len(places) <= max(window, min(size, len(lengths))), f"a window of {len(places)}, asked for {window}"
        seen.extend(places.tolist())
    assert sorted(seen) == list(range(len(lengths)))
    again = Plan(cut_up(lengths, size), seed, budget, 1, window)
    assert [index for update in epoch_of(again, epoch) for index in update] == seen


@given(corpora, seeds, st.integers(1, 40))
def test_one_window_is_one_plan_however_it_is_cut_into_shards(pairs: list[tuple[int, int]], seed: int, size: int):
    lengths = made(pairs)
    plan = Plan(cut_up(lengths, size), seed, 90, 2, len(lengths))
    assert plan.windows == 1
    assert epoch_of(plan, 1) == epoch_of(Plan([lengths], seed, 90, 2), 1)


def test_windows_may_be_asked_for_in_any_order():
    shards = cut_up(realistic(3000), 100)
    in_order = Plan(shards, 1, 512, 3, 700)
    expected = {
        (epoch, window, number): in_order.update(epoch, window, number).places.tolist()
        for epoch in range(2)
        for window in range(in_order.windows)
        for number in range(in_order.updates(epoch, window))
    }
    assert in_order.windows == 5
    plan = Plan(shards, 1, 512, 3, 700)
    for place in np.random.default_rng(0).permutation(list(expected)).tolist():
        assert plan.update(*place).places.tolist() == expected[tuple(place)]


def test_windows_are_other_shards_in_every_epoch():
    plan = Plan(cut_up(realistic(4000), 100), 0, 512, 3, 1000)

    def shards(epoch: int, window: int) -> set[int]:
        updates = [plan.update(epoch, window, number) for number in range(plan.updates(epoch, window))]
        return {place // 100 for update in updates for place in update.places.tolist()}

    found = {frozenset(shards(epoch, window)) for epoch in range(3) for window in range(plan.windows)}
    assert len(found) == 12
    assert {len(window) for window in found} == {10}, "whole shards, dealt out evenly"
    orders = [epoch_of(plan, epoch) for epoch in range(2)]
    assert not {tuple(update) for update in orders[0] if len(update) > 1} & {tuple(update) for update in orders[1]}


class Counting(list[Lengths]):
    """Remembers which shards were asked for."""

    def __init__(self, shards: list[Lengths]) -> None:
        super().__init__(shards)
        self.read: list[int] = []

    def __getitem__(self, number):
        self.read.append(number)
        return super().__getitem__(number)


def test_a_run_that_is_resumed_reads_one_window():
    shards = Counting(cut_up(realistic(4000), 100))
    plan = Plan(shards, 0, 512, 3, 1000)
    shards.read.clear()
    plan.update(7, 3, plan.updates(7, 3) - 1)
    assert len(shards.read) == 10, f"shards {shards.read} were read"


def test_a_shard_is_never_divided():
    lengths = made([(3, 3)] * 50)
    assert Plan([lengths], 0, 10, 1, 20).windows == 1
    assert Plan(cut_up(lengths, 25), 0, 10, 1, 20).windows == 2
    with pytest.raises(IndexError, match="window 2 of epoch 0, which has 2"):
        Plan(cut_up(lengths, 25), 0, 10, 1, 20).updates(0, 2)


def test_seed_and_epoch_change_the_order():
    lengths = realistic(2000)
    orders = {(seed, epoch): epoch_of(Plan([lengths], seed, 512, 10), epoch) for seed in (0, 1) for epoch in (0, 1)}
    for one, other in combinations(orders, 2):
        assert orders[one] != orders[other], f"(seed, epoch) {one} and {other} have the same order"
        members = {frozenset(update) for update in orders[one]} & {frozenset(update) for update in orders[other]}
        assert len(members) < 0.05 * len(orders[one]), "updates are put together anew, not only reordered"


def test_lengths_of_updates_are_mixed():
    lengths = realistic(20_000)
    plan = Plan([lengths], 0, 2048, 100)
    longest = [plan.update(0, 0, number).lengths.source.max() for number in range(plan.updates(0, 0))]
    neighbours = np.corrcoef(longest[:-1], longest[1:])[0, 1]
    assert abs(neighbours) < 0.2, f"lengths of neighbouring updates correlate by {neighbours:.2f}"


def test_little_is_padding():
    lengths = realistic(100_000)
    plan = Plan([lengths], 0, 8192, 100)
    updates = [plan.update(0, 0, number).places for number in range(plan.updates(0, 0))]
    real = lengths.source.sum() + lengths.target.sum()
    area = sum(len(rows) * (lengths.source[rows].max() + lengths.target[rows].max()) for rows in updates)
    assert 1 - real / area < 0.14, f"{1 - real / area:.3f} of the positions are padding"
    assert len(plan._known[0, 0].pool_ends) > 1, "this test is about pools"


def test_pools_have_about_the_batches_asked_for():
    plan = Plan([realistic(50_000)], 0, 2048, 50)
    plan.updates(0, 0)
    sizes = np.diff([0, *plan._known[0, 0].ends])
    assert len(sizes) > 5
    assert sizes.min() >= 50


def test_an_over_long_example_stands_alone():
    lengths = made([(5, 5), (100, 3), (5, 5), (3, 100), (5, 5)])
    updates = epoch_of(Plan([lengths], 0, 15), 0)
    assert sorted(map(sorted, updates)) == [[0, 2, 4], [1], [3]]


def test_threads_may_share_a_plan():
    lengths = realistic(5000)
    expected = [epoch_of(Plan([lengths], 3, 512, 5), epoch) for epoch in range(3)]
    plan = Plan([lengths], 3, 512, 5)
    found: dict[int, list[list[int]]] = {}
    threads = [threading.Thread(target=lambda e=epoch: found.update({e: epoch_of(plan, e)})) for epoch in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[epoch] for epoch in range(3)] == expected


@pytest.mark.parametrize("number", [-1, 1])
def test_an_update_that_is_not_there(number: int):
    with pytest.raises(IndexError, match="of epoch 2, which has 1"):
        Plan([made([(3, 3)])], 0, 10).update(2, 0, number)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [((0, 0), "batch_tokens 0"), ((0, 10, 0), "pool_batches 0"), ((0, 10, 1, 0), "window 0"), ((-1, 10), "seed -1")],
)
def test_impossible_arguments(arguments: tuple[int, ...], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        Plan([made([(3, 3)])], *arguments)


def test_no_examples_or_unequal_lengths():
    with pytest.raises(ValueError, match="at least one example"):
        Plan([Lengths(np.zeros(0, int), np.zeros(0, int))], 0, 10)
    with pytest.raises(ValueError, match="of one length"):
        Lengths(np.zeros(2, int), np.zeros(3, int))


@given(corpora, st.integers(1, 4), st.integers(1, 4))
def test_share_is_disjoint_and_complete(pairs: list[tuple[int, int]], world: int, accumulation: int):
    lengths = made(pairs)
    update = chosen(lengths, np.random.default_rng(0).permutation(len(lengths)))
    ranks = share(update, world, accumulation)
    assert [len(parts) for parts in ranks] == [accumulation] * world
    everything = np.concatenate([part for parts in ranks for part in parts])
    assert sorted(everything.tolist()) == list(range(len(lengths)))
    again = share(update, world, accumulation)
    assert all((one == other).all() for a, b in zip(ranks, again, strict=True) for one, other in zip(a, b, strict=True))
    if world * accumulation == 1:
        assert (ranks[0][0] == update.places).all()


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
    found = share(chosen(lengths, np.arange(len(sides))), parts, 1)
    assert max(padded(rank[0], lengths) for rank in found) == best


@given(seeds, st.integers(1, 8), st.integers(1, 4))
def test_shares_of_real_updates_are_near_equal(seed: int, world: int, accumulation: int):
    lengths = realistic(3000, seed)
    update = Plan([lengths], seed, 4096).update(0, 0, 0)
    longest = int(max(update.lengths.source.max(), update.lengths.target.max()))
    ranks = share(update, world, accumulation)
    totals = [sum(padded(part, lengths) for part in parts) for parts in ranks]
    assert max(totals) - min(totals) <= 2 * longest, f"padded tokens of the ranks: {totals}"
    assert (
        max(padded(part, lengths) for parts in ranks for part in parts)
        <= padded(update.places, lengths) / (world * accumulation) + longest
    )


def test_fewer_examples_than_parts():
    ranks = share(chosen(made([(3, 3)] * 8), np.array([7])), 2, 2)
    assert sorted(len(part) for parts in ranks for part in parts) == [0, 0, 0, 1]
    assert all(part.dtype == np.int64 for parts in ranks for part in parts)
    assert all(len(part) == 0 for parts in share(chosen(made([(3, 3)]), np.zeros(0, np.int64)), 2, 2) for part in parts)


def test_no_processes():
    with pytest.raises(ValueError, match="0 processes times 1 micro-batches"):
        share(chosen(made([(3, 3)]), np.array([0])), 0, 1)


def test_one_plan_as_it_has_always_been():
    """A run that is resumed by a later version must find the same updates."""
    plan = Plan([made([(1 + n % 5, 1 + n % 7) for n in range(12)])], 1, 16, 1)
    assert epoch_of(plan, 0) == [[11, 7, 8], [4], [0, 5], [1, 9], [2, 3], [10, 6]]
    large = Plan([realistic(30_000)], 5, 700, 20)
    found = [hashlib.sha256(str(epoch_of(large, epoch)).encode()).hexdigest()[:16] for epoch in (0, 3)]
    assert found == ["93ff0508978ab61e", "c1fd010838d20488"]
    windows = Plan(cut_up(made([(1 + n % 5, 1 + n % 7) for n in range(12)]), 2), 1, 16, 1, 4)
    assert epoch_of(windows, 0) == [[9], [0, 1, 8], [3, 4], [5, 2], [11, 7], [10, 6]]
