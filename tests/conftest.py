"""What every test gets: one thread, known seeds, and the corpora where they are at hand."""

import os
import random
import secrets
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in processes that tests start

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("henkan", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("henkan")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests run only where they are asked for by name: `-m slow`, whatever else `-m` says."""
    if "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    """Every test starts from the same generators, on one thread: the order of tests changes no number."""
    random.seed(0)
    np.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
        torch.manual_seed(0)


@pytest.fixture
def fresh_seed() -> int:
    """A new seed each time, for tests of learning; a failure prints it, and $HENKAN_SEED repeats it."""
    seed = int(os.environ.get("HENKAN_SEED") or secrets.randbelow(1 << 31))
    print(f"HENKAN_SEED={seed} repeats this test")
    return seed


@pytest.fixture(scope="session")
def henkan_data() -> Path:
    """The folder with the corpora, $HENKAN_DATA; tests that ask for it are skipped where there is none."""
    folder = os.environ.get("HENKAN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("$HENKAN_DATA does not name a folder with corpora")
    return Path(folder)
