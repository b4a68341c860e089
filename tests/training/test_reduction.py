"""Two ranks move the masters as one does, whichever way they reduce; and what each of them holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_ranks import OPTIMISERS, WAYS, write

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="common memory needs Linux"),
]

SCRIPT = Path(__file__).parent / "two_ranks.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """What each rank has in the end, by name; and what one process has."""
    folder = tmp_path_factory.mktemp("ranks")
    memory = os.memfd_create("test")
    with socket.create_server(("127.0.0.1", 0)) as door:
        # the first rank gets the open door, the other its number
        doors = [door.fileno(), door.getsockname()[1]]
        both = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT), str(rank), str(doors[rank]), str(memory), str(folder)],
                pass_fds=[memory, door.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in (0, 1)
        ]
        for process in both:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    os.close(memory)
    write(folder, "one", [0, 1], ("whole",))
    return {who: load_file(folder / f"{who}.safetensors") for who in ("one", "0", "1")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_two_ranks_do_what_one_does(results, kind: str, way: str) -> None:
    expected = {name: value for name, value in results["one"].items() if name.startswith(f"whole {kind} ")}
    assert len(expected) > 4
    for name, value in expected.items():
        if name.endswith("state here"):
            continue
        for rank in ("0", "1"):
            found = results[rank][name.replace("whole", way, 1)]
            torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("way", ["common", "sharded"])
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_each_rank_holds_half_of_the_state(results, kind: str, way: str) -> None:
    whole = int(results["one"][f"whole {kind} state here"])
    halves = [int(results[rank][f"{way} {kind} state here"]) for rank in ("0", "1")]
    assert sum(halves) == whole
    assert max(halves) <= whole / 2 + 32, "a half, but for where parts may start"
