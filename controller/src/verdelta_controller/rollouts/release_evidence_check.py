"""Check a release's evidence with nothing but the file and the controller's public key.

What can be computed again is: the package's digest, its lock and bill of materials, what each signature binds, who
stood on which side, the authorised change, and every roll-out down to the audits that its hosts' agents signed.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from verdelta_agent.model import canonical

from ..access.rules import Role
from ..foundation import merkle, notes
from ..foundation.errors import InvalidInput
from ..foundation.notes import NoteVerifier
from ..foundation.signing import BadSignature
from ..releases.bill_of_materials import bill_of_materials
from ..releases.expectations import Expectation
from ..releases.lock import NAME as LOCK
from ..releases.lock import LockedFile, lock_of, read_lock
from ..releases.manifest import Manifest, digest_of, read_manifest
from ..releases.policy import Policy
from ..releases.rules import change_digest, signed_subject
from ..releases.sides import SIGNED_BY, Purpose, Side, side_of
from . import bundle_check
from .bundle import Entry, check_one_form
from .bundle_report import Refuted, Report, Statement
from .release_evidence import Opened, Predicate, ReleaseBundle, open_bundle, read

# On which side of a release it puts a person to be named by an entry of this kind.
_SIDES = {
    "release-drafted": Side.DELIVERY,
    "release-built": Side.DELIVERY,
    "release-authorised": Side.DELIVERY,
    "rehearsal-started": Side.TEST,
    "criterion-told": Side.TEST,
    "rehearsed-change-accepted": Side.TEST,
    "release-rejected": Side.TEST,
}


def verify(data: bytes, trusted_keys: Sequence[NoteVerifier]) -> Report:
    """Return what a file of evidence of a release proves to whoever trusts these keys of controllers.

    It never raises: what cannot be read, or does not fit together, does not hold, and the report says so.
    """
    report = Report()
    with suppress(Refuted):
        with report.claim("the file is the evidence of a release, whole and in its one form"):
            bundle = read(data)
        with report.claim("it is as a controller whose key is trusted has signed it") as claim:
            verifier, opened = _signed_by(bundle, trusted_keys)
            claim.text = f"it is as {verifier.name} has signed it, whose key is trusted"
        report.release = opened.subject_name
        said = opened.predicate
        _check_log(report, said, verifier)
        _check_package(report, opened)
        _check_people(report, said)
        _check_signatures(report, opened)
        _check_change(report, opened)
        _check_rollouts(report, bundle, said, trusted_keys)
    return report


def _signed_by(bundle: ReleaseBundle, trusted_keys: Sequence[NoteVerifier]) -> tuple[NoteVerifier, Opened]:
    refusal = BadSignature("no key was given that is to be trusted")
    for verifier in trusted_keys:
        try:
            return verifier, open_bundle(bundle, verifier)
        except BadSignature as error:
            refusal = error
    raise refusal


def _check_log(report: Report, said: Predicate, verifier: NoteVerifier) -> None:
    with report.claim("the state of its evidence log is signed") as claim:
        checkpoint = notes.open_checkpoint(said.checkpoint, verifier)
        check_one_form(said.checkpoint)
        claim.text = f"the state of its evidence log with {checkpoint.size} entries is signed"
    with report.claim(f"each of the {len(said.entries)} entries about the release is in that log, where it says it is"):
        indexes = [entry.index for entry in said.entries]
        if sorted(set(indexes)) != indexes:
            raise InvalidInput("the entries are not in the order of the log, each once")
        for entry in said.entries:
            proof = [bytes.fromhex(step) for step in entry.proof]
            if not merkle.verify_inclusion(entry.leaf(), entry.index, checkpoint.size, proof, checkpoint.root):
                raise InvalidInput(f"entry {entry.index} ({entry.kind[:40]}) is not in that log")
            if entry.subject != f"{said.release} {said.version}":
                raise InvalidInput(f"entry {entry.index} ({entry.kind[:40]}) is about {entry.subject[:80]}")


def _check_package(report: Report, opened: Opened) -> None:
    said = opened.predicate
    label = f"{said.release} {said.version}"
    with report.claim("the package is what was built") as claim:
        manifest = Manifest.model_validate(said.manifest)
        built = [entry for entry in said.entries if entry.kind == "release-built"]
        if not built:
            raise InvalidInput("no entry says that it was built")
        claim.text = f"the release {label} is the package {opened.package[:12]} that {built[-1].content['by']} built"
        _same("its name", label, f"{manifest.release} {manifest.version}", opened.subject_name)
        _same("the normalised manifest", canonical(said.manifest), canonical(manifest.document()))
        _same("the digest of manifest and files", digest_of(manifest, said.files), opened.package)
        _same("the newest build", built[-1].content["digest"], opened.package)
        source = hashlib.sha256(said.source.encode()).hexdigest()
        _same("release.yaml", built[-1].content["source"], source)
        _same("what release.yaml says", canonical(read_manifest(said.source).document()), canonical(said.manifest))
    with report.claim("its lock and its bill of materials are of this package"):
        if LOCK in said.files:
            _same("the digest of the lock", hashlib.sha256(said.lock.encode()).hexdigest(), said.files[LOCK])
            lock = read_lock(said.lock.encode())
            _same("the bill of materials", canonical(bill_of_materials(lock, opened.package)), canonical(said.sbom))
        else:
            _same("the lock", said.lock, "")
            sized = {path: LockedFile(sha256=digest, size=0) for path, digest in said.files.items()}
            names = bill_of_materials(lock_of(manifest, sized), opened.package)
            _same("the serial number of the bill of materials", names["serialNumber"], said.sbom.get("serialNumber"))


def _check_people(report: Report, said: Predicate) -> None:
    with report.claim("nobody stood on two sides of it") as claim:
        sides: dict[str, dict[Side, Entry]] = {}
        for entry in said.entries:
            side = _side_in(entry)
            if side is not None:
                sides.setdefault(str(entry.content["by"]), {}).setdefault(side, entry)
        for name, found in sides.items():
            if len(found) > 1:
                both = " and ".join(f"{entry.kind} (entry {entry.index})" for entry in found.values())
                raise InvalidInput(f"{name[:80]} did both {both}")
        claim.text = f"nobody of the {len(sides)} who made, tested and accepted it stood on two sides of it"
    with report.claim("what was waived was granted by a second person"):
        for entry in said.entries:
            if entry.kind == "waiver-granted" and entry.content["by"] == entry.content["asked_by"]:
                raise InvalidInput(f"entry {entry.index}: {entry.content['by']} granted what she had asked for")


def _side_in(entry: Entry) -> Side | None:
    if entry.kind == "signed-off":
        return side_of(Role(str(entry.content["role"])))
    return _SIDES.get(entry.kind)


def _check_signatures(report: Report, opened: Opened) -> None:
    said = opened.predicate
    policy = Policy.model_validate(said.policy)
    for entry in _valid_signatures(said.entries):
        content = entry.content
        with report.claim(f"{content['by']} signed this package for {content['purpose']}") as claim:
            claim.text = f"{content['by']} signed this package for {content['purpose']} on {entry.day}"
            purpose = Purpose(str(content["purpose"]))
            _same("the role", SIGNED_BY[purpose].value, content["role"])
            _same("the package", content["package"], opened.package)
            change = accepted_change(said.entries, entry.index)
            bound = signed_subject(said.release, said.version, opened.package, policy.digest(), change, purpose.value)
            _same("what it binds: release, package, policy and change", content["subject"], bound)


def _valid_signatures(entries: Sequence[Entry]) -> list[Entry]:
    void = {entry.content["sign_off"] for entry in entries if entry.kind == "sign-off-voided"}
    return [entry for entry in entries if entry.kind == "signed-off" and entry.content["sign_off"] not in void]


def accepted_change(entries: Sequence[Entry], before: int) -> str:
    """Return the digest of the rehearsed change that held when the log had come to `before`, "" where there was none.

    An emergency may be authorised without one, and owe its rehearsal until it is closed.
    """
    standing = ""
    for entry in entries:
        if entry.index >= before:
            break
        if entry.kind == "rehearsed-change-accepted":
            standing = str(entry.content["change"])
        elif entry.kind == "rehearsed-change-voided":
            standing = ""
    return standing


def _check_change(report: Report, opened: Opened) -> None:
    said = opened.predicate
    authorised = [entry for entry in said.entries if entry.kind == "release-authorised"]
    if not authorised:
        with report.claim("it was not authorised, and so may change nothing"):
            _same("the authorised change", said.authorised_change, [])
        return
    with report.claim("what it may change is what was authorised") as claim:
        entry = authorised[-1]
        claim.text = f"what it may change is what {entry.content['by']} authorised on {entry.day}"
        changes = [Expectation.model_validate(change) for change in said.authorised_change]
        _same("its digest", change_digest(changes), entry.content["authorised_change"])
        _same("the package that was authorised", entry.content["digest"], opened.package)
    accepted = accepted_change(said.entries, entry.index)
    if accepted:
        with report.claim("that is the rehearsed change, as it was reviewed and accepted"):
            _same("the digest", accepted, entry.content["authorised_change"])
    with report.claim("every signature that it rests on was given before"):
        late = [one for one in _valid_signatures(said.entries) if one.index > entry.index and not _is_owed(said, one)]
        if late:
            raise InvalidInput(f"{late[0].content['by']} signed for {late[0].content['purpose']} afterwards")


def _is_owed(said: Predicate, entry: Entry) -> bool:
    """Return whether a signature may come after the authorisation: what was left out is owed until it is closed."""
    policy = Policy.model_validate(said.policy)
    kind = policy.of(Manifest.model_validate(said.manifest).type)
    purpose = entry.content["purpose"]
    before = [state for state, gates in kind.before.items() if any(one.name == f"sign-off {purpose}" for one in gates)]
    return all(state in (*kind.skips, "closed") for state in before)


def _check_rollouts(
    report: Report, bundle: ReleaseBundle, said: Predicate, trusted_keys: Sequence[NoteVerifier]
) -> None:
    with report.claim(f"the evidence of each of its {len(said.rollouts)} roll-outs is in the file, and no other"):
        _same("the roll-outs", {str(one.number) for one in said.rollouts}, set(bundle.rollouts))
        for one in said.rollouts:
            data = canonical(bundle.rollouts[str(one.number)]) + b"\n"
            _same(f"the evidence of roll-out {one.number}", hashlib.sha256(data).hexdigest(), one.sha256)
    for one in said.rollouts:
        inner = bundle_check.verify(canonical(bundle.rollouts[str(one.number)]) + b"\n", trusted_keys)
        about = f"{one.purpose} {one.number}"
        report.statements += [
            Statement(found.host and f"{about}, {found.host}", _of(about, found), found.holds, found.reason)
            for found in inner.statements
        ]
        report.hosts += [host._replace(name=f"{about}, {host.name}") for host in inner.hosts]
        if not inner.holds:
            raise Refuted(about)
        with report.claim(f"{about} is of this release, and was held against what it may change"):
            _same("the release", inner.release, report.release)
            evidence: dict[str, Any] = bundle.rollouts[str(one.number)]["evidence"]
            if one.purpose == "deployment":
                _same("the change", evidence["release"]["authorised_change"], said.authorised_change)


def _of(about: str, found: Statement) -> str:
    return found.text if found.host else f"{about}: {found.text}"


def _same(what: str, first: Any, *others: Any) -> None:
    if any(other != first for other in others):
        raise InvalidInput(f"{what}: not the same as recorded")
