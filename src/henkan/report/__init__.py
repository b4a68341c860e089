"""``report.html`` of a run folder: what was trained, how it went, how good it is.

    events, scores, filter report, settings --(history)--> Run --(page, charts)--> report.html

The page is one file that needs nothing else: no script, no font, no request; curves are inline SVG; it follows the
reader's light or dark setting and fits a phone. Everything on it is a number of these files.
"""

import os
from pathlib import Path

from henkan.errors import StorageError
from henkan.report.history import read_run
from henkan.report.page import page


def write_report(folder: Path) -> Path:
    """Writes ``report.html`` into a run folder, in place of an earlier one, and returns its path.

    Args:
        folder: has ``events.jsonl`` or ``metrics.json`` or both; ``config.yaml`` and
            ``prepared/report.json`` are shown if they are there.

    Raises:
        FolderError: the folder has none of them, or one cannot be read.
        StorageError: the page cannot be written; an earlier one is intact.
    """
    folder = Path(folder)
    text = page(read_run(folder))
    path = folder / "report.html"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); free some space or check the rights"
        ) from error
    return path


__all__ = ["write_report"]
