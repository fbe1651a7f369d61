"""Agents that behave as the real one, and sign as it does, on hosts that look as a test says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verdelta_agent import __version__, delta, identity, model, wire
from verdelta_agent.identity import History, Identity
from verdelta_agent.model import FAILED, OK, Rows, Section

Said = Mapping[str, Rows | Section]


class Agent:
    """One agent: its key, its identity and where its history stands."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.history = History()
        self.identity = Identity("", "", 0, "")
        self.key = identity.create_key(str(directory))

    def copy(self) -> "Agent":
        """Return a second machine with the same key and history."""
        twin = object.__new__(Agent)
        twin.__dict__.update(self.__dict__)
        return twin

    def enrolment(self, token: str, /, **other: Any) -> bytes:
        """Return the enrolment with a token; what it says can be changed."""
        invited = wire.parse_token(token)
        self.identity = Identity(invited.host_id, invited.audience, invited.epoch, "")
        self.history = History()
        body = {"token": token, "scheme": self.key.scheme, "public_key": self.key.public_key, "host_name": "web-07"}
        return self.message(wire.ENROL, {**body, **other})

    def message(self, kind: str, body: dict[str, Any], /, **other: Any) -> bytes:
        """Return the next message, signed; any field of it can be changed before it is."""
        payload, self.history = identity.next_message(self.identity, self.history, kind, body)
        message = wire.decode_message(payload)._replace(**other)
        return identity.seal(wire.encode_message(message), self.key)

    def signed(self, payload: bytes) -> bytes:
        """Return an envelope around any payload, signed as a message is."""
        signature = identity.sign(self.key, wire.to_be_signed(payload))
        return wire.encode_envelope(wire.Envelope(payload, identity.key_id(self.key.public_key), signature))

    def check_in(self, said: Said, **other: Any) -> bytes:
        """Return a check-in: digests only."""
        return self.message(wire.CHECK_IN, {**summary(said), **other})

    def audit(self, said: Said, bases: Mapping[str, Rows] | None = None, **other: Any) -> bytes:
        """Return an audit: all rows, or a patch where a base is given."""
        sections, bases = whole(said), bases or {}
        contents = {name: _content(s.rows, bases.get(name)) for name, s in sections.items() if s.rows}
        volatile = {name: s.volatile for name, s in sections.items() if s.volatile}
        body = {**summary(said), "contents": contents, "volatile": volatile, "challenge": "", **other}
        return self.message(wire.AUDIT, body)

    def heard(self, digest: str) -> None:
        """Note the controller's answer."""
        self.history = identity.acknowledge(self.history, digest)


def whole(said: Said) -> dict[str, Section]:
    """Return what a test says as sections: rows alone are those of one that was read."""
    return {name: s if isinstance(s, Section) else Section(OK, dict(s), {}) for name, s in said.items()}


def failed(reason: str = "permission: denied") -> Section:
    """Return a section that could not be read."""
    return Section(FAILED, {}, {}, reason)


def root_of(said: Said) -> str:
    """Return the root of what a test says."""
    return model.root_digest(model.digest_sections(whole(said)))


def summary(said: Said) -> dict[str, Any]:
    """Return the body of a check-in."""
    digests = model.digest_sections(whole(said))
    return {
        "taken_at": "2026-11-22T02:14:07Z",
        "agent": __version__,
        "root": model.root_digest(digests),
        "sections": {
            name: {"status": d.status, "digest": d.digest, **({"error": d.error} if d.error else {})}
            for name, d in digests.items()
        },
    }


def _content(rows: Rows, base: Rows | None) -> dict[str, Any]:
    return {"rows": rows} if base is None else dict(delta.patch(base, rows), base=model.rows_digest(base))


def packages(count: int, version: str = "1.0") -> Rows:
    """Return as many packages as a test needs."""
    return {
        f"package-{number:04d}:amd64": {"version": version, "state": "installed", "hold": False}
        for number in range(count)
    }
