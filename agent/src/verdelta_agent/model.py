"""What an agent saw on one host: rows in sections in a snapshot, and the digests over them.

Pure, and spoken by both sides: the agent computes the digests, the controller computes them again.

Digests are SHA-256.  Of a row: over the canonical JSON of [key, fields].  Of a section: over its row digests (32 bytes
each), sorted.  Of a snapshot, called root: over the canonical JSON of the sorted [name, status, section digest].
Volatile values, times and error texts are in none of them: an idle host audited twice gives the same root.
"""

import hashlib
import json
from typing import Any, Callable, Dict, Iterable, Mapping, NamedTuple, Optional

SCHEMA = 1

OK = "ok"  # read completely; no rows means that there are none
ABSENT = "absent"  # the host has no such thing (no rpm database, no SMBIOS)
FAILED = "failed"  # could not be read: nothing is known, which is not the same as "nothing is there"
STATUSES = (OK, ABSENT, FAILED)

# Every section of this version, in the order in which they are read (a test holds this list against the collectors).
SECTION_NAMES = (
    "hardware.cpu",
    "hardware.memory",
    "hardware.numa",
    "hardware.block",
    "hardware.network",
    "hardware.pci",
    "hardware.usb",
    "hardware.gpu",
    "hardware.display",
    "hardware.sensors",
    "hardware.smbios",
    "software.dpkg",
    "software.rpm",
    "software.pip",
    "system.host",
    "system.kernel",
    "system.modules",
    "system.sysctl",
    "system.mounts",
    "system.sockets",
    "system.users",
    "system.groups",
    "system.units",
    "system.files",
)

Row = Dict[str, Any]  # field -> string, integer, boolean, None or a list of them
Rows = Dict[str, Row]


class Section(NamedTuple):
    """One kind of thing on a host.  `rows` is hashed and compared; `volatile` is shown and never compared.

    `error` is the reason why a section failed.  On a section that is ok it says what is missing from it (a file that
    may not be read, without root): such a section is partial, and whoever judges by it has to say so.
    """

    status: str
    rows: Rows
    volatile: Rows
    error: Optional[str] = None


Sections = Dict[str, Section]


class Collector(NamedTuple):
    """How one section is read.

    `key` says what a row's key is made of: it outlives an upgrade, so that an upgrade is one changed row.
    `fields` and `volatile` describe each field, for the reference; a volatile field's text is the reason why
    it is never compared.  `deadline` is in seconds.
    """

    name: str
    key: str
    collect: Callable[[Any], Section]
    deadline: float
    fields: Mapping[str, str] = {}
    volatile: Mapping[str, str] = {}


class Snapshot(NamedTuple):
    """What the agent saw on one host at one moment (`taken_at` is the host's own clock, RFC 3339, UTC)."""

    host_id: str
    taken_at: str
    agent: str
    sections: Sections


def failed(reason: str) -> Section:
    """Return a section that could not be read, with the reason."""
    return Section(FAILED, {}, {}, reason)


def absent(reason: Optional[str] = None) -> Section:
    """Return the section of something that this host does not have, with the reason where it needs one."""
    return Section(ABSENT, {}, {}, reason)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)  # one for all: making it is dear


def canonical(value: Any) -> bytes:
    """Return the one JSON form of a value that everybody hashes: sorted keys, no spaces, ASCII.

    Raises ValueError or TypeError for what JSON does not have.
    """
    return _CANONICAL.encode(value).encode("ascii")


def check_rows(rows: Rows) -> None:
    """Raise ValueError, which names the row, when rows hold anything but what `Row` says.

    What only nearly fits (a tuple, a number with a fraction, a name that is no Unicode) would be taken for something
    else by another reader of the same JSON, or refused by it together with all the rest.
    """
    for key, row in rows.items():
        try:
            whole = isinstance(row, dict) and all(map(_is_field, row, row.values()))
            key.encode("utf-8")
        except (AttributeError, UnicodeEncodeError):
            whole = False
        if not whole:
            raise ValueError("row %a is not text, integers and booleans alone" % (key,))


def _is_field(name: Any, value: Any) -> bool:
    if type(name) is not str or not _is_scalar(name):
        return False
    return all(map(_is_scalar, value)) if type(value) is list else _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    if type(value) is str:
        value.encode("utf-8")
        return True
    return value is None or type(value) in (int, bool)


def row_digest(key: str, row: Row) -> bytes:
    """Return the 32-byte digest of one row."""
    return hashlib.sha256(canonical([key, row])).digest()


def rows_digest(rows: Rows) -> str:
    """Return the hex digest of a section's rows; their order has no influence."""
    return combine(row_digest(key, row) for key, row in rows.items())


def combine(row_digests: Iterable[bytes]) -> str:
    """Return the hex digest of a section from the digests of its rows, in any order."""
    return hashlib.sha256(b"".join(sorted(row_digests))).hexdigest()


def root_digest(sections: Mapping[str, "Digested"]) -> str:
    """Return the hex digest of a snapshot from the status and digest of each of its sections."""
    listed = sorted([name, section.status, section.digest] for name, section in sections.items())
    return hashlib.sha256(canonical(listed)).hexdigest()


class Digested(NamedTuple):
    """A section without its rows: what a check-in carries."""

    status: str
    digest: str
    error: Optional[str] = None


def digest_sections(sections: Sections) -> Dict[str, Digested]:
    """Return status and digest of every section."""
    return {name: Digested(s.status, rows_digest(s.rows), s.error) for name, s in sections.items()}


def document(snapshot: Snapshot) -> Dict[str, Any]:
    """Return a snapshot as the one JSON document that `verdelta-agent inventory -o json` prints."""
    digests = digest_sections(snapshot.sections)
    return {
        "schema": SCHEMA,
        "host_id": snapshot.host_id,
        "taken_at": snapshot.taken_at,
        "agent": snapshot.agent,
        "root": root_digest(digests),
        "sections": {name: _section_document(s, digests[name].digest) for name, s in snapshot.sections.items()},
    }


def _section_document(section: Section, digest: str) -> Dict[str, Any]:
    shown = {"status": section.status, "digest": digest, "rows": section.rows, "volatile": section.volatile}
    if section.error is not None:
        shown["error"] = section.error
    return shown
