"""Reading members out of a zip that came from outside: names checked, counts and sizes bounded, nothing unpacked."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType

from henkan.errors import DataError

_MOST_MEMBERS = 200_000
_LARGEST_MEMBER = 64 * 2**20


class Archive:
    """A zip file opened for reading; use it in a ``with`` statement.

    Raises:
        DataError: on opening, if the file is missing, is no zip, has too many members or a name that leads elsewhere;
            on reading, if the member is missing, damaged, encrypted or too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{path}: not a readable zip archive ({error}); fetch it again") from None
        try:
            self.names = _checked(path, self._zip.namelist())
        except DataError:
            self._zip.close()
            raise

    def read(self, name: str) -> bytes:
        """The bytes of a member; at most 64 MiB, whatever size the archive declares."""
        try:
            with self._zip.open(name) as member:
                content = member.read(_LARGEST_MEMBER + 1)
        except KeyError:
            raise DataError(f"{self.path}: has no member {name}") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self.path}: member {name} cannot be read ({error}); fetch it again") from None
        if len(content) > _LARGEST_MEMBER:
            raise DataError(f"{self.path}: member {name} has over {_LARGEST_MEMBER >> 20} MiB; refused")
        return content

    def read_text(self, name: str) -> str:
        """The text of a UTF-8 member."""
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: member {name} is not UTF-8 (byte {error.start})") from None

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


def _checked(path: Path, names: list[str]) -> frozenset[str]:
    if len(names) > _MOST_MEMBERS:
        raise DataError(f"{path}: {len(names):,} members: expected at most {_MOST_MEMBERS:,}; refused")
    for name in names:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
            raise DataError(f"{path}: member name {name!r} leads outside the archive; refused")
    return frozenset(names)
