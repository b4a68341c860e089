"""What must not grow: the work of a step with sentences that are done, calls of the tokenizer, memory of the plan."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from henkan.data.corpus import write_corpus
from henkan.data.example import Pair
from henkan.data.plan import Lengths, Plan
from henkan.data.transforms import FilterConfig
from henkan.text.learning import learn
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from toys import toy_pairs

sys.path.insert(0, str(Path(__file__).parent))
from counting import PRESETS, Operations, model_for, search

PAIRS = 10_000


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("beam", [1, 4])
def test_sentences_that_are_done_cost_nothing(preset: str, beam: int):
    """14 of 16 end after two tokens; the other two go on for 38 more as if they were alone."""
    network = model_for(preset)
    numbers = []
    for limits in ([2] * 14 + [2, 2], [2] * 14 + [40, 40], [2, 2], [40, 40]):
        with Operations() as operations:
            search(network, beam, limits)
        numbers.append(operations.numbers)
    rest, rest_alone = numbers[1] - numbers[0], numbers[3] - numbers[2]
    assert rest <= 1.1 * rest_alone, (
        f"{preset}, beam {beam}: 38 steps compute {rest:,} numbers beside 14 finished sentences, {rest_alone:,} without"
    )


def test_texts_are_encoded_by_the_thousand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pairs = [Pair(source, target, line) for line, (source, target) in enumerate(toy_pairs(PAIRS), start=1)]
    tokenizer = learn(TokenizerConfig(vocabulary=60), (pair.source for pair in pairs))
    calls = []
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, texts: calls.append(len(texts)) or encode(self, texts))
    write_corpus(tmp_path / "corpus", pairs, tokenizer, tokenizer, FilterConfig())
    assert sum(calls) == 2 * PAIRS
    assert len(calls) <= 2 * -(-PAIRS // 4096), f"{len(calls)} calls of the tokenizer for {2 * PAIRS:,} texts"


def test_the_plan_of_a_larger_corpus_takes_no_more_memory():
    """Peak while every update of an epoch is planned, over 4 windows and over 32."""

    class MadeUp:
        def __init__(self, shards: int) -> None:
            self.shards = shards

        def __len__(self) -> int:
            return self.shards

        def __getitem__(self, number: int, /) -> Lengths:
            lengths = np.random.default_rng(number).integers(1, 60, 2000).astype(np.int32)
            return Lengths(lengths, lengths)

    def peak(shards: int) -> int:
        plan = Plan(MadeUp(shards), 1, 4096, window=8000)
        assert plan.windows == shards // 4
        tracemalloc.start()
        for window in range(plan.windows):
            for number in range(plan.updates(0, window)):
                plan.update(0, window, number)
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(16)  # what is imported at first use
    small, large = peak(16), peak(128)
    assert large <= 1.1 * small + 100_000, f"planning 8 times as many pairs took {large:,} bytes instead of {small:,}"


def test_counting_sees_what_it_counts():
    with Operations() as operations:
        torch.ones(3, 4).add(1).t().clone()
    assert operations.calls == {"ones": 1, "add": 1, "clone": 1}
    assert operations.numbers == 36


def test_memory_that_is_only_asked_for_is_no_work():
    with Operations() as operations:
        torch.empty(10)
    assert operations.calls == {"empty": 1}
    assert operations.numbers == 0
