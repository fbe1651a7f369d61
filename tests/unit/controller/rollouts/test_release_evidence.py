"""A release's evidence in which anything was changed proves nothing, whoever changed it."""

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.releases import Releases
from tests.support.rolled_out import MANIFEST, RealRollouts
from tests.support.web import a_controller

from verdelta_agent.model import canonical
from verdelta_controller.foundation.signing import SigningKey, Statement
from verdelta_controller.releases.sides import Purpose
from verdelta_controller.rollouts import release_evidence
from verdelta_controller.rollouts.bundle import Entry
from verdelta_controller.rollouts.bundle_report import Report
from verdelta_controller.rollouts.rehearsals import RehearsalService
from verdelta_controller.rollouts.release_evidence_check import accepted_change, verify
from verdelta_controller.rollouts.release_evidence_export import ReleaseExporter
from verdelta_controller.rollouts.tables import Deployment

Document = dict[str, Any]
ACCEPTANCE = "acceptance:\n  - {id: looks-right, says: It looks right, check: manual, instructions: Look at it.}\n"


class Proved:
    """A release that was rehearsed, accepted, signed and rolled out by agents on this machine, and its evidence."""

    def __init__(self, real: RealRollouts, folder: Path) -> None:
        services = real.services
        people = Releases(services)
        people.put_standard_policy()
        test, live = real.host("test-01"), real.host("web-07")
        source = MANIFEST.format(version="1.1") + ACCEPTANCE
        services.releases.build(source, {}, "release.yaml", people.people["bob"])

        def install(action: str, deployment: Deployment) -> None:
            (real.watched(deployment.host_name) / "labapp.conf").write_text("colour = blue\n")

        real.install = install
        real.rollouts.rehearse("labapp", "1.1", [test], people.people["tess"])
        people.tell()
        rehearsals = RehearsalService(
            real.records, services.fleet, services.inventory, services.releases, services.tests
        )
        review = rehearsals.review("labapp", "1.1")
        lines = [self._of_any_host(line.expectation) for line in review.lines]
        rehearsals.accept("labapp", "1.1", review.package, lines, people.people["tess"])
        people.sign("tess", Purpose.ACCEPTANCE)
        people.sign("bea", Purpose.BUSINESS)
        people.sign("rita", Purpose.IMPLEMENTATION)
        services.releases.authorise("labapp", "1.1", people.people["rita"])
        real.rollouts.start("labapp", "1.1", [live], 0, people.people["rita"])
        self.exporter = ReleaseExporter(
            services.database,
            services.evidence,
            services.releases,
            services.packages,
            services.library,
            real.exporter,
            services.signing_key,
        )
        self.file = self.exporter.export("labapp", "1.1")
        self.trusted = real.trusted
        self.key = services.signing_key

    @staticmethod
    def _of_any_host(expectation: Any) -> Any:
        """Return a line for the file of the same name below any host's folder."""
        return expectation.model_copy(update={"key": f"*/{expectation.key.rsplit('/', 1)[-1]}"})

    def statement(self) -> Document:
        """Return what is signed, to be changed."""
        return json.loads(base64.b64decode(json.loads(self.file)["envelope"]["payload"]))  # type: ignore[no-any-return]

    def signed(self, statement: Document, rollouts: Document | None = None, key: SigningKey | None = None) -> bytes:
        """Return a file that says this instead, signed as only the controller could."""
        envelope = (key or self.key).sign_statement(Statement(release_evidence.PAYLOAD_TYPE, canonical(statement)))
        document = copy.deepcopy(json.loads(self.file))
        document["envelope"] = json.loads(envelope)
        if rollouts is not None:
            document["rollouts"] = rollouts
        return canonical(document) + b"\n"


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    folder = tmp_path_factory.mktemp("proved")
    with a_controller(folder) as services:
        yield Proved(RealRollouts(services, folder), folder)


def _reason(report: Report) -> str:
    """Return why the evidence does not hold."""
    assert not report.holds
    return next(str(statement) for statement in report.statements if not statement.holds)


def test_an_untouched_file_holds_and_says_what_it_proves(proved: Proved) -> None:
    report = verify(proved.file, proved.trusted)
    said = [str(statement) for statement in report.statements]
    assert report.holds, said
    assert [host.state for host in report.hosts] == ["verified", "verified"]
    for part in ("tess signed this package for acceptance", "stood on two sides of it: holds", "that is the rehearsed"):
        assert any(part in one for one in said), (part, said)


def test_the_same_statement_signed_again_holds(proved: Proved) -> None:
    """What the tests below show of changed statements, they would not show if signing alone broke them."""
    assert verify(proved.signed(proved.statement()), proved.trusted).holds


def test_no_byte_of_it_can_be_another_one(proved: Proved) -> None:
    chance = random.Random(20261126)  # noqa: S311 - the same edits each time
    for _ in range(300):
        data = bytearray(proved.file)
        place = chance.randrange(len(data))
        data[place] ^= chance.randrange(1, 256)
        assert not verify(bytes(data), proved.trusted).holds, (place, bytes(data[place - 30 : place + 30]))


def test_another_controllers_signature_is_no_signature(proved: Proved) -> None:
    forged = proved.signed(proved.statement(), key=SigningKey.generate())
    assert "whose key is trusted" in _reason(verify(forged, proved.trusted))


def _entry(statement: Document, kind: str, **said: Any) -> Document:
    """Return the newest entry of a kind."""
    entries: list[Document] = statement["predicate"]["entries"]
    return [e for e in entries if e["kind"] == kind and said.items() <= e["content"].items()][-1]


def _without(kind: str) -> Callable[[Document], None]:
    def change(statement: Document) -> None:
        said = statement["predicate"]
        said["entries"] = [entry for entry in said["entries"] if entry["kind"] != kind]

    return change


def _say(kind: str, field: str, value: Any) -> Callable[[Document], None]:
    def change(statement: Document) -> None:
        _entry(statement, kind)["content"][field] = value

    return change


def _predicate(field: str, value: Any) -> Callable[[Document], None]:
    def change(statement: Document) -> None:
        statement["predicate"][field] = value

    return change


def _swap(statement: Document) -> None:
    entries = statement["predicate"]["entries"]
    entries[0]["content"], entries[1]["content"] = entries[1]["content"], entries[0]["content"]


def _other_change(statement: Document) -> None:
    statement["predicate"]["authorised_change"][0]["after"] = "any"


LIES: dict[str, tuple[Callable[[Document], None], str]] = {
    "another name under a signature": (_say("signed-off", "by", "mallory"), "is not in that log"),
    "entries swapped": (_swap, "is not in that log"),
    "entries in another order": (lambda s: s["predicate"]["entries"].reverse(), "not in the order of the log"),
    "no entry of the build": (_without("release-built"), "no entry says that it was built"),
    "no entry of the authorisation": (_without("release-authorised"), "it was not authorised"),
    "no entry of what was accepted": (_without("rehearsed-change-accepted"), "what it binds"),
    "another package": (
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        "the digest of manifest and files",
    ),
    "another release": (lambda s: s["subject"][0].update(name="labapp 1.2"), "its name"),
    "another manifest": (lambda s: s["predicate"]["manifest"].update(description="x"), "the digest of manifest"),
    "another policy": (
        _predicate("policy", {"policy": "lax", "types": {"minor": {}}}),
        "what it binds: release, package, policy and change",
    ),
    "another change": (_other_change, "its digest: not the same as recorded"),
    "another bill of materials": (lambda s: s["predicate"]["sbom"].update(serialNumber="urn:uuid:0"), "materials"),
    "a lock that there is not": (_predicate("lock", "components: []\n"), "the lock"),
    "a roll-out left out": (_predicate("rollouts", []), "roll-outs is in the file, and no other"),
    "a checkpoint of another log": (_predicate("checkpoint", "x\n1\nAAAA\n\n— x AAAA\n"), "evidence log is signed"),
}


@pytest.mark.parametrize(("lie", "said"), LIES.values(), ids=LIES)
def test_a_lie_is_refused_even_when_the_controller_signs_it(
    proved: Proved, lie: Callable[[Document], None], said: str
) -> None:
    statement = proved.statement()
    lie(statement)
    assert said in _reason(verify(proved.signed(statement), proved.trusted))


def test_a_roll_out_that_was_exchanged_for_another_is_refused(proved: Proved) -> None:
    rollouts = json.loads(proved.file)["rollouts"]
    one, other = sorted(rollouts)
    swapped = {one: rollouts[other], other: rollouts[one]}
    assert "the evidence of roll-out" in _reason(verify(proved.signed(proved.statement(), swapped), proved.trusted))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]\n", b'{"format":"verdelta-release-evidence"}\n', b"\xff" * 100])
def test_what_is_no_evidence_is_refused_and_never_a_crash(proved: Proved, data: bytes) -> None:
    assert "the file is the evidence of a release" in _reason(verify(data, proved.trusted))


def test_what_is_accepted_after_a_moment_does_not_count_for_it() -> None:
    """An emergency is authorised by what it declares, and its rehearsal, which it owes, is accepted later."""
    said = [
        _recorded(1, "rehearsed-change-accepted", "a"),
        _recorded(2, "rehearsed-change-voided", "a"),
        _recorded(5, "rehearsed-change-accepted", "b"),
    ]
    assert [accepted_change(said, before) for before in (1, 2, 3, 5, 6)] == ["", "a", "", "", "b"]


def _recorded(index: int, kind: str, change: str) -> Entry:
    return Entry(index, kind, "labapp 1.1", "2026-11-26T00:00:00Z", {"change": change}, [])
