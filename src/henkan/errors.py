"""What can go wrong, as one tree.

    HenkanError
    ├── InputError            what we were given is wrong             exit code 2
    │   ├── ConfigError       a recipe, an override, a command-line value
    │   ├── DataError         a corpus, a line of it, a vocabulary
    │   └── FolderError       a model, run or checkpoint folder
    ├── RunError              something failed while running          exit code 1
    │   ├── NonFiniteLoss     the loss became NaN or infinite
    │   ├── StorageError      a disk that is full or cannot be written
    │   ├── ProcessLost       another process of the run ended
    │   └── NetworkError      something could not be fetched
    └── Stopped               somebody asked us to stop, after saving  exit code 130 or 143

A message names the value, the rule and the place, and says what to do:
``line 7 of train.en: not UTF-8 (byte 0xff at column 12); re-save the file as UTF-8``.
"""


class HenkanError(Exception):
    """The root of everything that Henkan raises on purpose."""

    exit_code = 1
    told = False  # another process of the run tells the user


class InputError(HenkanError):
    """What was given is wrong; nothing was started or written."""

    exit_code = 2


class ConfigError(InputError):
    """A recipe, an override or a command-line value is wrong."""


class DataError(InputError):
    """A corpus, one of its lines, or a vocabulary is wrong."""


class FolderError(InputError):
    """A model, run or checkpoint folder is missing, damaged, of a newer version, or taken."""


class RunError(HenkanError):
    """Something failed while running; what was saved before is intact."""


class NonFiniteLoss(RunError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


class StorageError(RunError):
    """A file could not be written; the previous version of it is intact."""


class ProcessLost(RunError):
    """One of several processes ended before its time; what was saved before is intact."""


class NetworkError(RunError):
    """Something could not be fetched."""


class Stopped(HenkanError):
    """A signal asked us to stop, and everything was saved first.

    Args:
        message: what was saved and how to go on.
        signal_number: 2 for Ctrl-C, 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
