"""A corpus larger than what may be in memory."""

import shutil
from pathlib import Path

import pytest

from test_benchmarks import benchmark

PAIRS = 20_000_000


@pytest.mark.slow
@pytest.mark.process
def test_twenty_million_pairs(tmp_path: Path):
    corpus = benchmark("corpus")
    try:
        corpus.in_process("write", tmp_path, PAIRS)
        found = corpus.in_process("read", tmp_path, PAIRS)
    finally:
        shutil.rmtree(tmp_path)
    print(found)
    assert found["windows"] == 10
    assert found["imports_seconds"] + found["first_update_seconds"] < 10, found
    assert found["memory_growth_mb"] < 700, f"2 GB are read, and memory grows with them: {found}"
