"""Lets the tests of this folder import tiny_run.py, which the process tests run as a script."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
