"""Reading files that people write: what is not there is nothing, what cannot be read is noted, and the rest goes on."""

from typing import List, Optional

from ..host import Host, printable
from .incomplete import missing

LIMIT = 4 << 20  # bytes of one file; a larger one was not written by people


class Reader:
    """Reads small files and directories of a host, and remembers what was wrong."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.problems: List[str] = []

    def text(self, path: str) -> Optional[str]:
        """Return a file's text, or None where there is none or it cannot be read."""
        content = self.bytes(path)
        return None if content is None else content.decode("utf-8", "backslashreplace")

    def bytes(self, path: str, limit: int = LIMIT) -> Optional[bytes]:
        """Return a file's content, or None where there is none or it cannot be read."""
        try:
            return self.host.read_bytes(path, limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.problem(path, error.strerror or type(error).__name__)
            return None

    def names(self, directory: str) -> List[str]:
        """Return the names in a directory, sorted; none where there is no such directory, or it cannot be read."""
        try:
            return self.host.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.problem(directory, error.strerror or type(error).__name__)
            return []

    def problem(self, path: str, reason: str) -> None:
        """Note that something is missing from the section."""
        self.problems.append("%s (%s)" % (printable(path), reason))

    def error(self) -> Optional[str]:
        """Return what is missing from the section, if anything is."""
        return missing("partial: not read", self.problems)
