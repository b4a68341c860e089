"""What the command line sets for its process, and what it leaves to the user."""

import os

import pytest

from henkan.cli import process


def test_waiting_threads_go_to_sleep_soon_and_few_kernels_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    process.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "128"


def test_the_environment_of_the_user_wins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setattr(process, "_keep_memory_mapped", lambda: pytest.fail("the user chose how memory is kept"))
    process.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
