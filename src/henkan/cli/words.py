"""What stands on the command line beside flags: a recipe, and settings that win over it."""

from collections.abc import Sequence
from pathlib import Path

from henkan.errors import ConfigError


def split_words(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The recipe file, if there is one, and the ``key.path=value`` words; ConfigError where there are two recipes."""
    files = [word for word in words if "=" not in word or Path(word).is_file()]
    if len(files) > 1:
        raise ConfigError(f"{', '.join(files)}: one recipe at a time; settings are written key.path=value")
    return Path(files[0]) if files else None, [word for word in words if word not in files]
