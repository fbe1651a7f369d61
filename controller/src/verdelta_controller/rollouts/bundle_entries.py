"""What entries of the evidence log say, as far as the proof of a roll-out needs it.  Pure."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ..fleet.enrolment import Enrolment
from ..foundation import signing
from ..foundation.errors import InvalidInput
from .bundle import Entry, Key

ROLLOUT_KINDS = frozenset(
    (
        "rollout-started",
        "rollout-resumed",
        "rollout-cancelled",
        "wave-closed",
        "install-intended",
        "install-ended",
        "back-out-started",
        "back_out-intended",
        "back_out-ended",
    )
)

KEY_KINDS = ("host-added", "host-key-pinned", "enrolled")  # the entries that can introduce a host's key


class Built(Struct, frozen=True):
    """release-built: `source` is the digest of the manifest as its author wrote it; very many files are not listed."""

    digest: str
    by: str
    source: str
    files: dict[str, str] | None = None


class Authorised(Struct, frozen=True):
    """release-authorised."""

    digest: str
    by: str
    authorised_change: str


class Started(Struct, frozen=True):
    """rollout-started: the hosts, wave by wave, as (id, name)."""

    by: str
    package: str
    waves: list[list[tuple[str, str]]]
    purpose: str = "deployment"


class Intended(Struct, frozen=True):
    """install-intended, back_out-intended: the names of the hosts."""

    hosts: list[str]


class Ended(Struct, frozen=True):
    """install-ended, back_out-ended: what the installer said of each host."""

    hosts: dict[str, str]


class AuditedBefore(Struct, frozen=True):
    """audited-before: which messages showed a host before anything was done to it."""

    host_id: str
    rollout: int
    known_envelope: str | None
    before_envelope: str


class Received(Struct, frozen=True):
    """audit: a message was taken in; `envelope` is the digest of its bytes, `digest` that of its payload."""

    host_id: str
    sequence: int
    digest: str
    envelope: str


class Concluded(Struct, frozen=True):
    """verdict, of a host that was audited."""

    host_id: str
    rollout: int
    before_envelope: str
    after_envelope: str
    install_error: str
    accepted_gaps: list[str]
    verdict: dict[str, Any]


class GivenUp(Struct, frozen=True):
    """verdict, of a host about which nothing could be told."""

    host_id: str
    rollout: int
    state: str
    reason: str


class _Enrolled(Struct, frozen=True):
    host_id: str
    epoch: int
    key_id: str
    envelope: str


class _Pinned(Struct, frozen=True):
    """host-added, host-key-pinned: with an epoch where the host's own SSH key signs its audits."""

    host_id: str
    host_key: str
    epoch: int = 0
    key_id: str = ""
    accepted_gaps: list[str] | None = None


class _Changed(Struct, frozen=True):
    host_id: str
    changes: dict[str, Any]


class Forked(Struct, frozen=True):
    """identity-forked: a key was seen on two machines."""

    host_id: str
    epoch: int


class Log:
    """The entries of the log that are in the file, in their order."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._by_index = {entry.index: entry for entry in entries}
        self._about: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            self._about[entry.kind, entry.subject].append(entry)

    def all(self, kind: str, subject: str) -> list[Entry]:
        """Return the entries of a kind about a subject."""
        return self._about.get((kind, subject), [])

    def at(self, index: int) -> Entry:
        """Return the entry with an index.  Raises InvalidInput."""
        if index not in self._by_index:
            raise InvalidInput(f"entry {index} of the log is not in the file")
        return self._by_index[index]

    def one(self, kind: str, subject: str) -> Entry:
        """Return the only entry of a kind about a subject.  Raises InvalidInput."""
        found = self.all(kind, subject)
        if len(found) != 1:
            raise InvalidInput(f"the file has {len(found)} entries that say {kind} of {subject[:80]}, not one")
        return found[0]


Said = TypeVar("Said", bound=Struct)


def said(entry: Entry, kind: type[Said]) -> Said:
    """Return what an entry says.  Raises InvalidInput."""
    try:
        return msgspec.convert(entry.content, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"entry {entry.index} of the log ({entry.kind[:40]}) is not understood: {error}") from error


def verdict_in(entry: Entry) -> Concluded | GivenUp:
    """Return what an entry of the kind verdict says.  Raises InvalidInput."""
    return said(entry, Concluded) if "verdict" in entry.content else said(entry, GivenUp)


def hosts_in(entry: Entry) -> Collection[str]:
    """Return the names of the hosts on which something was to be done, or was done.  Raises InvalidInput."""
    return said(entry, Ended).hosts if entry.kind.endswith("-ended") else said(entry, Intended).hosts


def key_in(entry: Entry, host_id: str, audience: str) -> Key | None:
    """Return the key that a host signs with from this entry on, or None when it is not about that.

    Raises InvalidInput, BadSignature.
    """
    if entry.kind == "enrolled":
        enrolled = said(entry, _Enrolled)
        if enrolled.host_id != host_id:
            return None
        enrolment = Enrolment.parse(enrolled.envelope.encode(), audience)
        if (enrolment.host_id, enrolment.epoch, enrolment.key_id) != (host_id, enrolled.epoch, enrolled.key_id):
            raise InvalidInput(f"entry {entry.index} of the log does not enrol the key that it names")
        return Key(enrolment.epoch, enrolment.scheme, enrolment.public_key, enrolment.key_id, entry.index)
    if entry.kind not in KEY_KINDS:
        return None
    pinned = said(entry, _Pinned)
    if pinned.host_id != host_id or not pinned.epoch:
        return None
    return Key(
        pinned.epoch, signing.SSHSIG, pinned.host_key, signing.key_id(signing.SSHSIG, pinned.host_key), entry.index
    )


def accepts_gaps(entry: Entry, host_id: str, sections: frozenset[str]) -> bool:
    """Return whether an operator says in this entry that a host's audits may be without exactly these sections."""
    if entry.kind == "host-added":
        added = said(entry, _Pinned)
        return added.host_id == host_id and set(added.accepted_gaps or ()) == sections
    if entry.kind == "host-changed":
        changed = said(entry, _Changed)
        return changed.host_id == host_id and set(changed.changes.get("accepted_gaps") or ()) == sections
    return False
