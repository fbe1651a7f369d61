"""Check a roll-out's evidence with nothing but the file and the controller's public key: no database, no network.

What the controller says is not believed where it can be computed again: the package's digest, the authorised change,
who signed each audit, the rows under their digests, what changed, and the verdict, by the same rules.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from verdelta_agent import model
from verdelta_agent.model import canonical

from ..foundation import merkle, notes
from ..foundation.errors import InvalidInput
from ..foundation.notes import NoteVerifier
from ..foundation.signing import BadSignature, audience_of
from ..inventory.content import EMPTY
from ..releases.expectations import Expectation
from ..releases.manifest import Manifest, digest_of, read_manifest
from ..releases.rules import change_digest, change_document
from .bundle import Bundle, Evidence, Rows, check_one_form, check_seal, read
from .bundle_entries import Authorised, Built, Log, Said, Started, said
from .bundle_hosts import HostCheck
from .bundle_report import Refuted, Report
from .states import Purpose


def verify(data: bytes, trusted_keys: Sequence[NoteVerifier]) -> Report:
    """Return what a file of evidence proves to whoever trusts these keys of controllers, and nothing else.

    It never raises: what cannot be read, or does not fit together, does not hold, and the report says so.
    """
    report = Report()
    with suppress(Refuted):
        with report.claim("the file is the evidence of a roll-out, whole and in its one form"):
            bundle = read(data)
        report.rollout = bundle.evidence.rollout
        with report.claim("it is as a controller whose key is trusted has sealed it") as claim:
            verifier = _sealed_by(bundle, trusted_keys)
            claim.text = f"it is as {verifier.name} has sealed it, whose key is trusted"
        log = _check_log(report, bundle.evidence, verifier)
        changes = _check_release(report, bundle.evidence, log)
        _check_rollout(report, bundle.evidence, log)
        _check_rows(report, bundle.evidence)
        _check_hosts(report, bundle.evidence, log, audience_of(verifier.public_key), changes)
    return report


def _sealed_by(bundle: Bundle, trusted_keys: Sequence[NoteVerifier]) -> NoteVerifier:
    refusal = BadSignature("no key was given that is to be trusted")
    for verifier in trusted_keys:
        try:
            check_seal(bundle, verifier)
            return verifier
        except BadSignature as error:
            refusal = error
    raise refusal


def _check_log(report: Report, evidence: Evidence, verifier: NoteVerifier) -> Log:
    with report.claim("the state of its evidence log is signed") as claim:
        checkpoint = notes.open_checkpoint(evidence.checkpoint, verifier)
        check_one_form(evidence.checkpoint)
        claim.text = f"the state of its evidence log with {checkpoint.size} entries is signed"
    entries = evidence.entries
    with report.claim(f"each of the {len(entries)} entries in the file is in that log, where it says it is"):
        indexes = [entry.index for entry in entries]
        if sorted(set(indexes)) != indexes:
            raise InvalidInput("the entries are not in the order of the log, each once")
        for entry in entries:
            proof = [bytes.fromhex(step) for step in entry.proof]
            if not merkle.verify_inclusion(entry.leaf(), entry.index, checkpoint.size, proof, checkpoint.root):
                raise InvalidInput(
                    f"entry {entry.index} ({entry.kind[:40]} of {entry.subject[:80]}) is not in that log"
                )
    return Log(entries)


def _check_release(report: Report, evidence: Evidence, log: Log) -> list[Expectation]:
    release = evidence.release
    with report.claim("the release is a package that was built") as claim:
        manifest = Manifest.model_validate(release.manifest)
        report.release = label = f"{manifest.release} {manifest.version}"
        built = _said(log, "release-built", label, Built)
        claim.text = f"the release {label} is the package {release.digest[:12]} that {built.by} built"
        _same("the normalised manifest", canonical(release.manifest), canonical(manifest.document()))
        _same("the digest of manifest and files", digest_of(manifest, release.files), release.digest, built.digest)
        if built.files is not None:  # of very many, the digest of the package alone is recorded: it has them all
            _same("the list of its files", built.files, release.files)
    with report.claim("the manifest as its author wrote it says the same"):
        _same("the digest of release.yaml", hashlib.sha256(release.source.encode()).hexdigest(), built.source)
        _same("what it says", canonical(read_manifest(release.source).document()), canonical(release.manifest))
    if _is_rehearsal(evidence, log):
        with report.claim("what its hosts are held against is what the manifest declares"):
            _same("the change", canonical(release.authorised_change), canonical(change_document(manifest.changes)))
            _same("its digest", release.authorised_change_digest, change_digest(manifest.changes))
        return list(manifest.changes)
    with report.claim("what it may change is what was authorised") as claim:
        authorised = _said(log, "release-authorised", label, Authorised)
        day = log.one("release-authorised", label).day
        claim.text = f"what it may change is what {authorised.by} authorised on {day}"
        frozen = hashlib.sha256(canonical(release.authorised_change)).hexdigest()
        _same("the digest of the change", frozen, release.authorised_change_digest, authorised.authorised_change)
        _same("the package that was authorised", authorised.digest, release.digest)
        changes = [Expectation.model_validate(change) for change in release.authorised_change]
        read_back = canonical([change.document() for change in changes])
        _same("the form of the change", read_back, canonical(release.authorised_change))
    return changes


def _is_rehearsal(evidence: Evidence, log: Log) -> bool:
    started = log.all("rollout-started", str(evidence.rollout))
    return any(entry.content.get("purpose") == Purpose.REHEARSAL for entry in started)


def _check_rollout(report: Report, evidence: Evidence, log: Log) -> None:
    subject = str(evidence.rollout)
    hosts = [(host.host_id, host.name) for host in evidence.hosts]
    with report.claim(f"roll-out {subject} is of this release, and every host that it goes to is in the file") as claim:
        entry = log.one("rollout-started", subject)
        started = said(entry, Started)
        claim.text = f"roll-out {subject}, begun by {started.by} on {entry.day}, is of this release to these hosts"
        _same("the package", started.package, evidence.release.digest)
        _same("the hosts", [tuple(host) for wave in started.waves for host in wave], hosts)
        if not _is_rehearsal(evidence, log) and entry.index < log.one("release-authorised", report.release).index:
            raise InvalidInput("it was begun before the release was authorised")


def _check_rows(report: Report, evidence: Evidence) -> None:
    with report.claim("the rows of each section are those of the digest under which they stand"):
        for digest, rows in evidence.rows.items():
            if model.rows_digest(rows) != digest:
                raise InvalidInput(f"the rows under {digest[:12]} have another digest")


def _check_hosts(report: Report, evidence: Evidence, log: Log, audience: str, changes: Sequence[Expectation]) -> None:
    check = HostCheck(report, evidence, log, audience, changes, _finder(evidence.rows))
    for host in evidence.hosts:
        with suppress(Refuted):
            report.hosts.append(check.host(host))
    if len(report.hosts) < len(evidence.hosts):
        return
    with report.claim("there is nothing in the file that none of this is about"):
        _same("the messages", set(evidence.messages), check.used_messages)
        _same("the sections", set(evidence.rows), check.used_rows)


def _finder(rows: dict[str, Rows]) -> Callable[[str], model.Rows]:
    def find(digest: str) -> model.Rows:
        if digest != EMPTY and digest not in rows:
            raise InvalidInput(f"the rows with the digest {digest[:12]} are not in the file")
        return {} if digest == EMPTY else rows[digest]

    return find


def _said(log: Log, kind: str, subject: str, form: type[Said]) -> Said:
    return said(log.one(kind, subject), form)


Value = TypeVar("Value")


def _same(what: str, first: Value, *others: Value) -> None:
    if any(other != first for other in others):
        raise InvalidInput(f"{what}: not the same as recorded")
