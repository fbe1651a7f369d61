"""Releases whose rehearsals come out as a test says, and people who need no second step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import Session

from verdelta_controller.access.accounts import Accounts
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.clock import now
from verdelta_controller.releases.expectations import Expectation
from verdelta_controller.releases.policy import shipped_policy
from verdelta_controller.releases.sides import Purpose
from verdelta_controller.releases.signing_off import SigningOffService
from verdelta_controller.releases.tables import Release, SignOffRow
from verdelta_controller.rollouts.records import Records
from verdelta_controller.rollouts.states import RolloutState
from verdelta_controller.rollouts.tables import Rollout
from verdelta_controller.wiring import Services

from .web import a_controller

MANIFEST = """
release: labapp
version: "{version}"
type: {type}
service: lab
description: build {build}
install: {{playbook: install_packages.yml}}
back_out: {{playbook: install_packages.yml}}
acceptance:
  - {{id: looks-right, says: It looks right, check: manual, instructions: Look at it.}}
changes:
  - {{section: software.dpkg, key: "labapp:*", after: {{version: "{version}"}}}}
"""
CHANGE = [Expectation(section="software.dpkg", key="labapp:all", after={"version": "1.1"})]
ROLES = {
    "rita": Role.RELEASE_MANAGER,
    "bob": Role.BUILD_MANAGER,
    "tess": Role.TEST_MANAGER,
    "tom": Role.TESTER,
    "bea": Role.BUSINESS_APPROVER,
    "carl": Role.CHANGE_MANAGER,
}


class Trusting:
    """Takes every code, and knows of no loan."""

    def __init__(self) -> None:
        self.lenders: dict[str, str] = {}

    def confirm_second_step(self, actor: Actor, code: str) -> None:
        """Take the code."""

    def lender_of(self, session: Session, actor: Actor, role: Role) -> str | None:
        """Return who lent the actor a role, as the test says."""
        return self.lenders.get(actor.name)


class Releases:
    """A controller with six people and the standard policy."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.service = services.releases
        self.tests = services.tests
        self.records = services.records
        self.credentials = Trusting()
        self.signing = SigningOffService(services.database, services.evidence, self.credentials)
        self.rollouts = Records(services.database, services.evidence, services.events, services.releases)
        accounts: Accounts = services.people.accounts
        self.people = {}
        for name, role in ROLES.items():
            person = accounts.create_person(name, name.title(), "root", Standing.MEMBER, (role,))
            self.people[name] = Actor(name, frozenset((role,)), person.id)

    def put_standard_policy(self) -> None:
        """Put the standard policy in force."""
        self.services.policies.put(shipped_policy("standard")[0], self.people["rita"])

    def build(self, by: str = "bob", build: int = 1, version: str = "1.1", kind: str = "minor") -> Release:
        """Build a package; another number is another package."""
        source = MANIFEST.format(version=version, build=build, type=kind)
        return self.service.build(source, {}, "release.yaml", self.people[by])[0]

    def begin_rehearsal(self, by: str = "tess", version: str = "1.1") -> int:
        """Begin a rehearsal that no engine drives."""
        release = self.service.release("labapp", version)
        rollout = Rollout(
            release_id=release.id or 0,
            package=release.digest,
            purpose="rehearsal",
            state=RolloutState.RUNNING.value,
            created_at=now(),
            created_by=by,
        )
        return self.rollouts.create(
            rollout,
            [],
            lambda session, number: self.service.begin_rehearsal(
                session, release, release.digest, number, self.people[by]
            ),
        )

    def end_rehearsal(self, rollout: int, passed: bool = True) -> None:
        """Let a rehearsal come out."""
        with self.services.database.transaction() as session:
            self.service.follow_rehearsal(session, rollout, passed, "1 host: 1 verified")

    def tell(self, passed: bool = True, by: str = "tom", version: str = "1.1") -> None:
        """Let a tester say how the manual step came out."""
        from verdelta_controller.releases.acceptance import Outcome, Result

        result = Result(Outcome.PASSED if passed else Outcome.FAILED, "seen")
        self.tests.tell("labapp", version, "looks-right", result, None, self.people[by])

    def accept_change(self, by: str = "tess", version: str = "1.1", changes: Any = CHANGE) -> None:
        """Accept what the newest rehearsal changed."""
        release = self.service.release("labapp", version)
        number = self.tests.newest_rehearsal("labapp", version) or 0
        self.tests.accept_change("labapp", version, release.digest, number, changes, self.people[by])

    def sign(self, by: str, purpose: Purpose, version: str = "1.1") -> SignOffRow:
        """Let somebody sign what there is to sign now."""
        subject = self.signing.binding("labapp", version, purpose).subject
        return self.signing.sign("labapp", version, purpose, subject, "000000", self.people[by])

    def accepted(self, version: str = "1.1") -> Release:
        """Return a release that was built, rehearsed, reviewed and accepted."""
        self.build(version=version)
        self.end_rehearsal(self.begin_rehearsal(version=version))
        self.tell(version=version)
        self.accept_change(version=version)
        self.sign("tess", Purpose.ACCEPTANCE, version)
        return self.service.release("labapp", version)


@contextmanager
def some_releases(folder: Path, database_url: str = "") -> Iterator[Releases]:
    """Yield a controller with six people and the standard policy."""
    with a_controller(folder, database_url) as services:
        releases = Releases(services)
        releases.put_standard_policy()
        yield releases
