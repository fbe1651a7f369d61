"""The inbox of one person over 10,000 releases, of which 200 are open: each with a package, results, people, sign-offs.

The person holds four roles.  Measured is the whole use-case, from the database to the list, on SQLite.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from tests.support.web import a_controller

from verdelta_agent.model import SECTION_NAMES
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.database import Database
from verdelta_controller.releases.manifest import load_manifest
from verdelta_controller.releases.policy import shipped_policy
from verdelta_controller.releases.tables import CriterionResult, Package, RehearsalRun, Release, ReleaseSide, SignOffRow

RELEASES = 10_000
OPEN = 200
COMPONENTS = 10
CRITERIA = 10
HOSTS = 2  # of each rehearsal
ROUNDS = 15
TARGET = 200  # ms
STATES = ("built", "in_test", "accepted", "deployed")  # of those that are open
ROLES = (Role.RELEASE_MANAGER, Role.BUILD_MANAGER, Role.DEPLOYMENT_STAFF, Role.TEST_MANAGER)
SIGNERS = {"tess": "test", "bea": "business"}

MANIFEST = """
release: labapp
version: "1"
type: minor
service: lab
components:
{components}
install: {{playbook: install_packages.yml}}
back_out: {{playbook: install_packages.yml}}
acceptance:
{criteria}
changes:
  - {{section: software.dpkg, key: "package-1:*", after: any}}
"""
COMPONENT = '  - {{kind: external-software, manager: deb, package: package-{}, version: "1"}}'
CRITERION = "  - {{id: step-{}, says: It works, check: manual, instructions: Look at it.}}"


def run() -> None:
    """Measure and print."""
    print(f"\nInbox of a person with {len(ROLES)} roles: {RELEASES} releases, {OPEN} open, {ROUNDS} rounds:")
    with tempfile.TemporaryDirectory() as folder, a_controller(Path(folder)) as services:
        people = {
            name: services.people.accounts.create_person(name, name, "root", Standing.MEMBER, roles).id
            for name, roles in (("rita", ROLES), *((name, ()) for name in SIGNERS))
        }
        rita = Actor("rita", frozenset(ROLES), people["rita"])
        services.policies.put(shipped_policy("standard")[0], rita)
        _fill(services.database, services.policies.in_force().number or 0, people)
        seconds, used = [], []
        for _ in range(ROUNDS):
            began, before = time.perf_counter(), time.process_time()
            found = services.inbox.of(rita).entries
            seconds.append(time.perf_counter() - began)
            used.append(time.process_time() - before)
        if len(found) < OPEN // len(STATES):
            raise SystemExit("the inbox is empty")
    middle, low, high = (1000 * value for value in (statistics.median(seconds), min(seconds), max(seconds)))
    verdict = "met" if middle <= TARGET else "missed"
    processor = 1000 * statistics.median(used)
    print(f"  {len(found)} entries   median {middle:.0f} ms   min {low:.0f}   max {high:.0f}   {TARGET} ms: {verdict}")
    print(f"  of which on the processor {processor:.0f} ms; the rest is waiting for it")


def _fill(database: Database, policy: int, people: dict[str, str]) -> None:
    """Write releases down as having come to where they are."""
    written = MANIFEST.format(
        components="\n".join(map(COMPONENT.format, range(COMPONENTS))),
        criteria="\n".join(map(CRITERION.format, range(CRITERIA))),
    )
    manifest = load_manifest(written, "release.yaml", SECTION_NAMES).document()
    built = datetime.now(UTC) - timedelta(days=10)
    numbers = range(1, RELEASES + 1)
    with database.transaction() as session:
        session.execute(insert(Release), [_release(number, policy, built) for number in numbers])
        session.execute(insert(Package), [_package(number, manifest, built) for number in numbers])
        session.execute(insert(ReleaseSide), [side for number in numbers for side in _sides(number, people, built)])
        session.execute(insert(SignOffRow), [row for number in numbers for row in _sign_offs(number, people, built)])
        session.execute(insert(RehearsalRun), [_rehearsal(number, built) for number in numbers])
        session.execute(insert(CriterionResult), [row for number in numbers for row in _results(number, built)])


def _state(number: int) -> str:
    return STATES[number % len(STATES)] if number > RELEASES - OPEN else "closed"


def _digest(number: int) -> str:
    return f"{number:064x}"


def _release(number: int, policy: int, built: datetime) -> dict[str, Any]:
    state = _state(number)
    passed = ["built", "in_test", "accepted", "authorised"]
    kept = passed[: passed.index(state) + 1] if state in passed else passed
    return {
        "id": number, "name": f"app-{number % 50}", "version": f"1.{number}", "type": "minor", "service": "lab",
        "state": state, "policy_number": policy, "digest": _digest(number), "passed": kept, "drafted_at": built,
        "drafted_by": "bob", "deployed_at": built if state in ("closed", "deployed") else None,
        "authorised_changes": [],
    }  # fmt: skip


def _package(number: int, manifest: dict[str, Any], built: datetime) -> dict[str, Any]:
    return {
        "digest": _digest(number), "release_id": number, "manifest": manifest, "source": "s" * 2000,
        "files": {f"package-{each}.deb": "a" * 64 for each in range(COMPONENTS)}, "built_at": built, "built_by": "bob",
    }  # fmt: skip


def _sides(number: int, people: dict[str, str], built: datetime) -> list[dict[str, Any]]:
    return [
        {
            "release_id": number, "person_id": people[name], "standing": "member", "side": side, "since": built,
            "reason": "signed",
        }
        for name, side in SIGNERS.items()
    ]  # fmt: skip


def _sign_offs(number: int, people: dict[str, str], built: datetime) -> list[dict[str, Any]]:
    if _state(number) in ("built", "in_test"):
        return []
    return [
        {
            "release_id": number, "person_id": people[name], "person_name": name, "side": side,
            "purpose": {"test": "acceptance", "business": "business"}[side], "subject": "b" * 64,
            "package": _digest(number), "statement": "I accept it.", "signed_at": built, "void_reason": "",
        }
        for name, side in SIGNERS.items()
    ]  # fmt: skip


def _rehearsal(number: int, built: datetime) -> dict[str, Any]:
    return {
        "rollout_id": number, "release_id": number, "package": _digest(number), "passed": True,
        "detail": "2 hosts: 2 verified", "begun_at": built, "begun_by": "tess", "ended_at": built,
    }  # fmt: skip


def _results(number: int, built: datetime) -> list[dict[str, Any]]:
    return [
        {
            "release_id": number, "package": _digest(number), "rollout_id": number, "criterion": f"step-{step}",
            "host": f"test-{host}", "outcome": "passed", "detail": "seen", "recorded_at": built, "recorded_by": "tom",
        }
        for step in range(CRITERIA)
        for host in range(HOSTS)
    ]  # fmt: skip
