"""Check what a file of evidence says of each host: whose audits they are, in which order, and what follows from them.

Pure.  The verdict is computed anew from what the host's agent has signed, by the rules that the controller uses.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from verdelta_agent import model, wire
from verdelta_agent.model import canonical

from ..foundation import signing
from ..foundation.errors import InvalidInput
from ..inventory.comparing import compare
from ..releases.expectations import Expectation
from . import seen
from .bundle import Audited, Entry, Evidence, HostEvidence, Key, read_audit, rows_needed
from .bundle_entries import (
    AuditedBefore,
    Concluded,
    Ended,
    Forked,
    GivenUp,
    Log,
    Received,
    accepts_gaps,
    hosts_in,
    key_in,
    said,
    verdict_in,
)
from .bundle_report import HostFound, Report
from .seen import Seen
from .states import HostState
from .verdict import Verdict, concluded, recorded

_OF_A_BACK_OUT = (HostState.BACKED_OUT, HostState.BACK_OUT_FAILED)


class Audit(NamedTuple):
    """An audit whose signature holds, and the entry of the log that says that it was taken in."""

    audited: Audited
    entry: Entry

    @property
    def place(self) -> tuple[int, int]:
        """Return where it stands in the host's own history."""
        return self.audited.message.epoch, self.audited.message.sequence


class Audits(NamedTuple):
    """What a verdict rests on; `known` is the last known state before, None where there was none."""

    known: Audit | None
    before: Audit
    after: Audit


class HostCheck:
    """Checks one host after the other, and remembers what of the file was needed for it."""

    def __init__(
        self,
        report: Report,
        evidence: Evidence,
        log: Log,
        audience: str,
        changes: Sequence[Expectation],
        rows: Callable[[str], model.Rows],
    ) -> None:
        self._report = report
        self._evidence = evidence
        self._log = log
        self._audience = audience
        self._changes = changes
        self._rows = rows
        self.used_messages: set[str] = set()
        self.used_rows: set[str] = set()

    def host(self, host: HostEvidence) -> HostFound:
        """Check all that is said of a host, and return what is proved.  Raises Refuted, which the report explains."""
        keys = self._keys(host)
        verdicts = self._verdicts(host)
        found = HostFound(host.name, "", None)
        for number, (entry, verdict) in enumerate(verdicts, 1):
            which = f" of verdict {number}" if len(verdicts) > 1 else ""
            if isinstance(verdict, GivenUp):
                found = self._given_up(host, entry, verdict)
            else:
                found = self._concluded(host, keys, entry, verdict, which)
        return found

    def _keys(self, host: HostEvidence) -> list[Key]:
        with self._report.claim("its keys are those that the log names", host.name):
            for key in host.keys:
                entry = self._log.at(key.entry)
                if entry.subject != host.name or key_in(entry, host.host_id, self._audience) != key:
                    raise InvalidInput(f"the key of epoch {key.epoch} is not the one of entry {key.entry} of the log")
            for entry in self._log.all("identity-forked", host.host_id):
                epoch = said(entry, Forked).epoch
                raise InvalidInput(f"from {entry.day} on its key of epoch {epoch} was seen on two machines")
        return host.keys

    def _verdicts(self, host: HostEvidence) -> list[tuple[Entry, Concluded | GivenUp]]:
        with self._report.claim("what became of it is in the log", host.name) as claim:
            found = [(entry, verdict_in(entry)) for entry in self._log.all("verdict", host.name)]
            claim.text = f"what became of it is in the log, as of {found[-1][0].day}" if found else claim.text
            for entry, verdict in found:
                if (verdict.host_id, verdict.rollout) != (host.host_id, self._evidence.rollout):
                    raise InvalidInput(f"entry {entry.index} of the log is of another host or roll-out")
            if not found:
                claim.text = "nothing was to be installed on it, and there is no verdict"
                if self._naming(host, None, "install-intended"):
                    raise InvalidInput("something was to be installed on it, and there is no verdict")
        return found

    def _given_up(self, host: HostEvidence, entry: Entry, verdict: GivenUp) -> HostFound:
        with self._report.claim(f"no verdict could be reached on {entry.day}: {verdict.reason}", host.name):
            return HostFound(host.name, HostState(verdict.state).value, None)

    def _concluded(
        self, host: HostEvidence, keys: Sequence[Key], entry: Entry, verdict: Concluded, which: str
    ) -> HostFound:
        before = self._signed(host, keys, verdict.before_envelope, f"the audit before{which}")
        after = self._signed(host, keys, verdict.after_envelope, f"the audit after{which}")
        with self._report.claim("the log says which audit was the one before", host.name):
            first = self._audited_before(host, verdict)
            known = said(first, AuditedBefore).known_envelope
        earlier = self._signed(host, keys, known, "the last state that was known of it") if known else None
        audits = Audits(earlier, before, after)
        self._order(host, entry, verdict, first, audits, which)
        self._gaps(host, entry, verdict)
        return self._verdict(host, verdict, audits, which)

    # -- whose audits they are

    def _signed(self, host: HostEvidence, keys: Sequence[Key], digest: str, what: str) -> Audit:
        with self._report.claim(f"{what} is signed by a key of this host", host.name) as claim:
            envelope = self._evidence.messages.get(digest)
            if envelope is None:
                raise InvalidInput(f"the message {digest[:12]} is not in the file")
            audited = read_audit(envelope)
            entry = self._received(host, audited, envelope, digest)
            key = _key_of(keys, audited.message.epoch, entry.index)
            introduced = self._log.at(key.entry)
            word = "enrolled" if introduced.kind == "enrolled" else "pinned"
            claim.text = f"{what} is signed by the key {word} on {introduced.day}"
            signed = wire.to_be_signed(audited.envelope.payload)
            signing.verify(key.scheme, key.public_key, signed, audited.envelope.signature)
            self.used_messages.add(digest)
            return Audit(audited, entry)

    def _received(self, host: HostEvidence, audited: Audited, envelope: str, digest: str) -> Entry:
        """Return the entry of the log that says that this message was taken in, in these very bytes."""
        message = audited.message
        if (message.audience, message.host_id) != (self._audience, host.host_id):
            raise InvalidInput("this message is of another host, or for another controller")
        if message.kind not in (wire.AUDIT, wire.CHECK_IN) or audited.body.install_idle is False:
            raise InvalidInput("this message is no audit, or was made while a step of an install was running")
        wanted = Received(host.host_id, message.sequence, digest, hashlib.sha256(envelope.encode()).hexdigest())
        for entry in self._log.all("audit", host.host_id):
            if said(entry, Received) == wanted and audited.envelope.digest == digest:
                return entry
        raise InvalidInput("the log does not say that this message was received")

    # -- in which order

    def _audited_before(self, host: HostEvidence, verdict: Concluded) -> Entry:
        for entry in self._log.all("audited-before", host.name):
            first = said(entry, AuditedBefore)
            wanted = (host.host_id, self._evidence.rollout, verdict.before_envelope)
            if (first.host_id, first.rollout, first.before_envelope) == wanted:
                return entry
        raise InvalidInput("the log does not say which audit was the one before")

    def _order(
        self, host: HostEvidence, entry: Entry, verdict: Concluded, first: Entry, audits: Audits, which: str
    ) -> None:
        """Hold the places in the log against the order in which it all has to have been."""
        text = f"the audit before was taken in before the install began, the audit after{which} when it had ended"
        with self._report.claim(text, host.name) as claim:
            action = "back_out" if verdict.verdict.get("state") in _OF_A_BACK_OUT else "install"
            begun = self._naming(host, entry, "install-intended")
            steps = self._naming(host, entry, f"{action}-intended", f"{action}-ended")
            if not begun or not steps:
                raise InvalidInput("the log does not say that anything was to be done to it")
            ended = [said(one, Ended).hosts[host.name] for one in steps if one.kind == f"{action}-ended"]
            claim.text += f" (the installer said: {ended[-1] if ended else 'nothing'})"
            known = [audits.known.entry] if audits.known else []
            if not (
                _in_order(*known, audits.before.entry, first, begun[0])
                and _in_order(steps[-1], audits.after.entry, entry)
            ):
                raise InvalidInput("the log has them in another order")
            if not audits.before.place < audits.after.place:
                raise InvalidInput("in the host's own count, the audit after is not later than the audit before")

    def _naming(self, host: HostEvidence, until: Entry | None, *kinds: str) -> list[Entry]:
        """Return what the log has about this roll-out and a host, in its order, up to an entry."""
        about = [entry for kind in kinds for entry in self._log.all(kind, str(self._evidence.rollout))]
        before = [entry for entry in about if until is None or entry.index < until.index]
        return sorted((one for one in before if host.name in hosts_in(one)), key=lambda entry: entry.index)

    # -- what follows from them

    def _gaps(self, host: HostEvidence, entry: Entry, verdict: Concluded) -> None:
        if not verdict.accepted_gaps:
            return
        names = ", ".join(verdict.accepted_gaps)
        with self._report.claim(f"its operator accepts that it is not seen completely: {names}", host.name):
            sections = frozenset(verdict.accepted_gaps)
            saying = [*self._log.all("host-added", host.name), *self._log.all("host-changed", host.name)]
            if not any(accepts_gaps(one, host.host_id, sections) for one in saying if one.index < entry.index):
                raise InvalidInput("the log does not say that anybody had accepted this")

    def _verdict(self, host: HostEvidence, verdict: Concluded, audits: Audits, which: str) -> HostFound:
        with self._report.claim(f"the verdict{which} follows from these audits", host.name) as claim:
            known = audits.known.audited if audits.known else None
            asked_for = seen.sections_asked_for(self._changes)
            self.used_rows |= rows_needed(known, audits.before.audited, audits.after.audited, asked_for)
            anew = self._judge(verdict, known, audits.before.audited, audits.after.audited)
            state = concluded(anew, verdict.install_error)
            claim.text = f"the verdict{which} follows from these audits: {_in_words(state, anew)}"
            if canonical(recorded(anew, state)) != canonical(verdict.verdict):
                raise InvalidInput(f"what was recorded is another verdict: {verdict.verdict.get('state')}")
            return HostFound(host.name, state.value, anew)

    def _judge(self, verdict: Concluded, known: Audited | None, before: Audited, after: Audited) -> Verdict:
        delta = compare(before.sections, after.sections, self._rows)
        if verdict.verdict.get("state") in _OF_A_BACK_OUT:
            return seen.judge_restored(self._seen(before), self._seen(after), delta, verdict.accepted_gaps)
        drift = compare(known.sections, before.sections, self._rows).changes if known else []
        return seen.judge(self._changes, self._seen(before), self._seen(after), delta, drift, verdict.accepted_gaps)

    def _seen(self, audited: Audited) -> Seen:
        sections = audited.sections
        return Seen(sections, lambda name: self._rows(sections[name].digest) if name in sections else {})


def _key_of(keys: Collection[Key], epoch: int, index: int) -> Key:
    """Return the key with which a message has to be signed that was taken in at a place of the log."""
    valid = [key for key in keys if key.entry < index]
    newest = max(valid, key=lambda key: key.epoch, default=None)
    if newest is None or newest.epoch != epoch:
        raise InvalidInput(f"when it was received, epoch {epoch} was not that of the host's key")
    return newest


def _in_order(*entries: Entry) -> bool:
    return all(one.index < other.index for one, other in pairwise(entries))


def _in_words(state: HostState, verdict: Verdict) -> str:
    counts = [f"{count} {outcome.value}" for outcome, count in verdict.counts().items() if count]
    return ", ".join([state.value.replace("_", " "), *counts])
