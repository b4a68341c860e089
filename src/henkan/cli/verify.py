"""``henkan verify``: is this model still what was trained?"""

from pathlib import Path
from typing import Annotated

import typer


def verify(model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")]) -> None:
    """Check every file of a model and re-run the self-test that it carries."""
    from henkan.model import verify as check

    for line in check(model):
        typer.echo(line)
