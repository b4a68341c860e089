"""Nobody makes an update or a step of a search dearer without saying so: calls of torch's operations are bounded.

Bounds are what `operations.json` holds and a tenth more. Where more is meant, write it anew, and say why in the change:

    python tests/guards/counting.py --record && HENKAN_NATIVE=0 python tests/guards/counting.py --record
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RECORD = json.loads((HERE / "operations.json").read_text(encoding="utf-8"))
SLACK = 1.1
KINDS = {
    "copies": ("copy_", "_to_copy", "clone", "contiguous", "cat", "stack", "repeat"),
    "new tensors": ("empty", "empty_like", "new_empty", "empty_strided", "zeros", "zeros_like", "new_zeros", "full"),
    "waits for the device": ("_local_scalar_dense", "nonzero", "equal", "item", "is_nonzero"),
}
"""Bounded each by itself, beside the sum of all."""


def complaint(what: str, kind: str, found: Counter[str], recorded: Counter[str]) -> str | None:
    """None while there are not too many; else which operations grew, from what to what, and where the bound is."""
    if found.total() <= SLACK * recorded.total():
        return None
    grown = sorted(found - recorded, key=lambda name: recorded[name] - found[name])
    return (
        f"{what}: {found.total()} {kind}, the bound is {SLACK} times {recorded.total()} in {HERE / 'operations.json'}; "
        f"{', '.join(f'{name} {recorded[name]} -> {found[name]}' for name in grown[:12])}"
    )


@pytest.mark.process
@pytest.mark.parametrize("native", [False, True], ids=["plain", "C++"])
def test_no_more_operations_than_recorded(native: bool):
    if native and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler")
    environment = {**os.environ, "HENKAN_NATIVE": "1" if native else "0"}
    command = [sys.executable, str(HERE / "counting.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    recorded = RECORD[counted["which"]]
    assert counted["found"].keys() == recorded.keys(), "other things are counted than recorded: record anew"
    complaints = []
    for what, calls in counted["found"].items():
        for kind, names in {"operations": tuple({*calls, *recorded[what]}), **KINDS}.items():
            found, known = (Counter({name: by[name] for name in names if name in by}) for by in (calls, recorded[what]))
            complaints.append(complaint(what, kind, found, known))
    assert not any(complaints), "\n".join(filter(None, complaints))


def test_a_complaint_names_what_grew():
    recorded = Counter(mm=10, copy_=1)
    assert complaint("a step", "operations", Counter(mm=10, copy_=2), recorded) is None
    said = complaint("a step", "operations", Counter(mm=10, copy_=1, clone=3), recorded)
    assert said is not None
    assert said.startswith("a step: 14 operations, the bound is 1.1 times 11 in ")
    assert said.endswith("operations.json; clone 0 -> 3")
