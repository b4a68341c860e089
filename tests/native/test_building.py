"""Compiling the C++ loops: once, kept, and never a reason to fail."""

import ctypes
import shutil

import pytest
import torch

from henkan import native


@pytest.fixture(autouse=True)
def _forgotten():
    """Each test asks anew."""
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def test_compiled_once_and_kept(tmp_path, monkeypatch):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path))
    assert isinstance(native.library(), ctypes.CDLL)
    (built,) = (tmp_path / "native").iterdir()
    written = built.stat().st_mtime_ns
    native.library.cache_clear()
    assert isinstance(native.library(), ctypes.CDLL)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "native").iterdir()] == [written]


def test_no_compiler_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert native.library() is None
    assert native.library() is None
    assert [record.message for record in caplog.records if "no C++ compiler" in record.message] == [
        "no C++ compiler found: recurrent layers run by plain torch, slower but the same"
    ]
    assert not native.runs(torch.zeros(1))


def test_a_compiler_that_fails_is_no_disaster(tmp_path, monkeypatch, caplog):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'cannot compile' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    assert native.library() is None
    assert "cannot compile" in caplog.text


def test_switched_off(monkeypatch):
    monkeypatch.setenv("HENKAN_NATIVE", "0")
    assert native.library() is None
