"""A further process of a run, started by the first one on the same machine; see training/team.py. Not for people.

``python -m henkan.partner PLACE FOLDER``: its place as JSON, and the folder of the run.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from henkan.cli import process
from henkan.errors import HenkanError


def main() -> None:
    """Take part in the run in FOLDER until it ends or the first process is gone."""
    place, folder = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches all of a terminal; the first process decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_first, daemon=True).start()
    process.prepare()
    from henkan.run import follow
    from henkan.training.team import Place

    try:
        follow(Path(folder), Place(**json.loads(place)))
    except HenkanError as error:
        if not error.told:
            sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _leave_with_the_first() -> None:
    """The first process holds the other end of standard input; when it is gone, for whatever reason, so is this one."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
