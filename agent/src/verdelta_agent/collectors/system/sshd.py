"""sshd's configuration in effect, and the public halves of the keys that this host shows.

Source of the format: sshd_config(5), sshd(8).  What is not set has the default of the installed version, and no row.
"""

import base64
import binascii
import fnmatch
import hashlib
import os
from typing import List, Optional, Sequence, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from .sshd_config import CONFIGURATIONS, EVERYBODY, Parsed, parse

DIRECTORY = "/etc/ssh"
FILES = 1000  # of all inclusions: of files that include two others each, there soon is no end
WILD = frozenset("*?[")
DEFAULT_KEYS = tuple("%s/ssh_host_%s_key" % (DIRECTORY, kind) for kind in ("rsa", "ecdsa", "ed25519"))


def collect(host: Host) -> Section:
    """Absent where sshd has no configuration; partial where a part of it cannot be read or is not understood."""
    reader = Reader(host)
    parsed = read(reader)
    if parsed is None:
        return absent("there is no %s" % CONFIGURATIONS[0]) if not reader.problems else _partial(reader, {}, [])
    rows = settings(parsed)
    for path in parsed.blocks[EVERYBODY].get("hostkey", DEFAULT_KEYS):
        public = reader.text(path + ".pub")
        if public is not None:
            rows["host key %s" % printable(path)] = {
                "fingerprint": fingerprint(public),
                "value": "".join(public.split()[:1]),
            }
    return _partial(reader, rows, parsed.bad)


def _partial(reader: Reader, rows: Rows, bad: List[str]) -> Section:
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", map(printable, bad))))


def read(reader: Reader) -> Optional[Parsed]:
    """Return the whole configuration, or None where there is none."""
    files = _Files(reader)
    for path in CONFIGURATIONS:
        text = reader.text(path)
        if text is not None:
            return parse(path, text, files.included)
    return None


class _Files:
    """Finds and reads what Include names."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.left = FILES

    def included(self, pattern: str) -> Sequence[Tuple[str, str]]:
        """Return path and text of the files that a pattern names, in the order of their paths."""
        texts = ((path, self._text(path)) for path in self._paths(os.path.normpath(os.path.join(DIRECTORY, pattern))))
        return [(path, text) for path, text in texts if text is not None]

    def _paths(self, pattern: str) -> List[str]:
        """Return the paths that fit, as glob(3) finds them: a name with a dot before it only where one is asked for."""
        paths = [""]
        for part in pattern.strip("/").split("/"):
            if WILD.isdisjoint(part):
                paths = ["%s/%s" % (path, part) for path in paths]
            else:
                names = [(path, fnmatch.filter(self.reader.names(path or "/"), part)) for path in paths]
                shown = part.startswith(".")
                paths = ["%s/%s" % (path, name) for path, found in names for name in found if shown or name[0] != "."]
        return sorted(paths)

    def _text(self, path: str) -> Optional[str]:
        self.left -= 1
        if self.left < 0:
            self.reader.problem(path, "more than %d inclusions" % FILES)
            return None
        return self.reader.text(path)


def settings(parsed: Parsed) -> Rows:
    """Return keyword -> value of what counts for everybody, and "match CRITERIA: keyword" -> value."""
    rows: Rows = {}
    for criteria, block in parsed.blocks.items():
        prefix = "match %s: " % criteria if criteria else ""
        rows.update((printable(prefix + keyword), {"value": ", ".join(values)}) for keyword, values in block.items())
    return rows


def fingerprint(public_key: str) -> Optional[str]:
    """Return SHA256:… of one line of OpenSSH's public keys, or None where it is none."""
    words = public_key.split()
    try:
        blob = base64.b64decode(words[1].encode("ascii"), validate=True)
    except (IndexError, UnicodeEncodeError, binascii.Error):
        return None
    kind = words[0].encode("ascii", "replace")
    if blob[: len(kind) + 4] != len(kind).to_bytes(4, "big") + kind:  # it says itself what it is
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


COLLECTOR = Collector(
    "system.sshd",
    key='keyword in lower case, "match CRITERIA: keyword", or "host key" and its path',
    collect=collect,
    deadline=5,
    fields={
        "value": "what is set; several values with commas between them; of a host key, its type",
        "fingerprint": "of a host key, as ssh-keygen -l prints it; null where the file holds no key",
    },
)
