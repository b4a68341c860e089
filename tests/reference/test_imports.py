"""The lessons stand alone: NumPy, each other, and what comes with Python."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from henkan import reference

FILES = sorted(Path(reference.__path__[0]).glob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_numpy_alone(path):
    strangers = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in {"numpy", *sys.stdlib_module_names}
        if name != "henkan.reference" and not name.startswith("henkan.reference.")
    }
    assert not strangers, f"{path.name} imports {sorted(strangers)}"


@pytest.mark.process
def test_torch_is_not_loaded():
    names = ", ".join(path.stem for path in FILES if path.stem != "__init__")
    program = f"import sys; from henkan.reference import {names}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
