"""Lists, single things and gates with 10,000 releases and a million evidence entries, asked for over HTTP in process.

The floor beside them is the shortest request that there is (who am I), and one `select 1` without any HTTP.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text
from sqlmodel import SQLModel
from tests.support.web import CI, TestClient, a_client, a_controller, a_token

from verdelta_agent.model import SECTION_NAMES
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.clock import now
from verdelta_controller.foundation.evidence import Record
from verdelta_controller.releases.manifest import Manifest, digest_of, load_manifest
from verdelta_controller.releases.policy import shipped_policy
from verdelta_controller.wiring import Services

RELEASES, ENTRIES, BATCH = 10_000, 1_000_000, 10_000
PEOPLE, HOSTS, BOOKINGS = 200, 100, 5_000
CRITERIA, RESULTS, SIGN_OFFS, RECORDS = 100, 1_000, 100, 200  # of the busy release
ROUNDS = 15
TARGET_GATES, TARGET = 50, 200  # ms
BUSY = "busy", "1.0"

MANIFEST = """
release: {name}
version: "{version}"
type: minor
service: lab
install: {{playbook: install_packages.yml}}
back_out: {{playbook: install_packages.yml}}
acceptance:
{criteria}
changes:
  - {{section: software.dpkg, key: "labapp:*", after: any}}
"""
CRITERION = "  - {{id: step-{number}, says: It is right, check: manual, instructions: Look at it.}}"

# What is asked for; a name in it is that of the release in which much was done, or that of one among the others.
ASKED = (
    "/releases",
    "/releases?before=5000",
    "/releases?limit=1000",
    "/releases/busy/1.0",
    "/releases/app-5000/1.0",
    "/releases/busy/1.0/gates",
    "/releases/app-5000/1.0/gates",
    "/releases/busy/1.0/sign-offs",
    "/releases/busy/1.0/sign-offs/acceptance/statement",
    "/releases/busy/1.0/people",
    "/releases/busy/1.0/records",
    "/releases/busy/1.0/known-errors",
    "/releases/busy/1.0/waivers",
    "/releases/busy/1.0/criteria",
    "/releases/busy/1.0/rehearsed-change",
    "/releases/busy/1.0/sbom",
    "/policies",
    "/policies/in-force",
    "/evidence/key",
    "/evidence/checkpoint",
    "/artifacts",
    "/artifacts?named=file-9999",
    "/artifacts/{artifact}",
    "/library/retired",
    "/library/sites",
    "/rollouts",
    "/rollouts/5000",
    "/environments",
    "/environments/live",
    "/environments/bookings",
    "/environments/bookings?weeks=53",
    "/environments/matrix",
    "/hosts",
    "/hosts/h-7",
    "/people",
    "/people/p-7",
    "/teams",
    "/tokens",
)


def run() -> None:
    """Measure and print."""
    print(f"\n{RELEASES} releases, {ENTRIES} evidence entries, over HTTP in process, median of {ROUNDS}, ms:")
    with tempfile.TemporaryDirectory() as folder, a_controller(Path(folder)) as services:
        services.policies.put(shipped_policy("standard")[0], CI)
        _fill(services)
        client = a_client(services)
        client.headers["authorization"] = f"Bearer {a_token(services)}"
        _line("select 1, without HTTP", lambda: _select_one(services))
        _line("/whoami", lambda: _get(client, "/whoami"))
        artifact = _digest("file 5000")
        for path in ASKED:
            target = TARGET_GATES if path.endswith("/gates") else TARGET
            _line(path, partial(_get, client, path.format(artifact=artifact)), target)
        _line("gates, without HTTP", lambda: services.releases.checklist(*BUSY), TARGET_GATES)
        for name, asked in _evidence(services).items():
            _line(name, asked, TARGET)


def _evidence(services: Services) -> dict[str, Callable[[], object]]:
    def entries(**wanted: Any) -> Callable[[], object]:
        def ask() -> object:
            with services.database.reading() as session:
                return services.evidence.entries(session, **wanted)

        return ask

    return {
        "evidence: the newest": entries(),
        "evidence: of a release": entries(subject="app-5000 1.0"),
        "evidence: of a common kind": entries(kind="release-built"),
    }


def _line(name: str, action: Callable[[], object], target: int | None = None) -> None:
    action()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - began))
    middle = statistics.median(times)
    note = "" if target is None else f"(target < {target})" + ("" if middle < target else "  MISSED")
    print(f"  {name:50} {middle:7.1f}   max {max(times):7.1f}  {note}")


def _get(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/v1{path}")
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")


def _select_one(services: Services) -> None:
    with services.database.reading() as session:
        session.connection().execute(text("select 1")).all()


# -- what is in the tables


def _fill(services: Services) -> None:
    at, environments = now(), [described.environment.id for described in services.environments.all()]
    with services.database.transaction() as session:

        def write(table: str, rows: Iterable[dict[str, Any]]) -> None:
            session.execute(insert(SQLModel.metadata.tables[table]), list(rows))

        _people(write, at)
        _releases(write, at)
        _busy(write, at)
        _around(write, at, environments)
    for first in range(0, ENTRIES, BATCH):
        with services.database.transaction() as session:
            services.evidence.append_many(session, [_entry(number) for number in range(first, first + BATCH)], at)


Write = Callable[[str, Iterable[dict[str, Any]]], None]


def _people(write: Write, at: datetime) -> None:
    one = {"standing": "member", "created_at": at}
    write("person", ({"id": f"{n:032x}", "name": f"p-{n}", "full_name": f"Person {n}", **one} for n in range(PEOPLE)))
    grant = {"standing": "member", "role": "tester", "begins_at": at, "granted_by": "bench"}
    write("role_grant", ({"id": f"{n:032x}", "person_id": f"{n:032x}", **grant} for n in range(PEOPLE)))


def _releases(write: Write, at: datetime) -> None:
    """Write releases with a package and a sign-off each; all of them of one service, and nearly all deployed."""
    manifest = _manifest("app", "1.0", 1).document()
    release = {"version": "1.0", "type": "minor", "service": "lab", "policy_number": 2, "drafted_by": "bench"}
    numbers = range(1, RELEASES + 1)
    write(
        "release",
        (
            {
                **release, "id": n, "name": f"app-{n}", "state": "closed" if n % 10 else "built",
                "digest": _digest(f"package {n}"), "passed": ["built"], "drafted_at": at,
                "deployed_at": at - timedelta(minutes=n) if n % 10 else None, "authorised_changes": [],
            }
            for n in numbers
        ),
    )  # fmt: skip
    package = {"manifest": manifest, "source": "", "built_at": at, "built_by": "bench"}
    write(
        "release_package",
        (
            {**package, "digest": _digest(f"package {n}"), "release_id": n, "files": {"f": _digest(f"file {n}")}}
            for n in numbers
        ),
    )
    for n in (1, 2):
        side = "delivery" if n == 1 else "test"
        write("release_side", (_side(number, n, side, at) for number in numbers))
    write("sign_off", (_sign_off(number, 2, _digest(f"package {number}"), at, void=False) for number in numbers))


def _busy(write: Write, at: datetime) -> None:
    """Write the one release in which much was done."""
    number, manifest = RELEASES + 1, _manifest(*BUSY, CRITERIA)
    digest = digest_of(manifest, {})
    mine: dict[str, Any] = {"release_id": number, "package": digest}
    write(
        "release",
        [
            {
                "id": number, "name": BUSY[0], "version": BUSY[1], "type": "minor", "service": "lab",
                "state": "in_test", "policy_number": 2, "digest": digest, "passed": ["built", "in_test"],
                "drafted_at": at, "drafted_by": "bench", "authorised_changes": [],
            }
        ],
    )  # fmt: skip
    one = {
        "release_id": number,
        "manifest": manifest.document(),
        "source": "",
        "files": {},
        "built_at": at,
        "built_by": "bench",
    }
    write("release_package", [{**one, "digest": digest}])
    write("release_side", (_side(number, n, "test", at) for n in range(PEOPLE)))
    write("sign_off", (_sign_off(number, n, digest, at, void=True) for n in range(SIGN_OFFS)))
    write("rehearsal", [{**mine, "rollout_id": RELEASES + 1, "passed": True, "detail": "", "begun_at": at,
                         "begun_by": "bench", "ended_at": at}])  # fmt: skip
    rollout = {"state": "finished", "run": 1, "reason": "", "cancelled": False, "created_at": at, "created_by": "p"}
    write("rollout", [{**mine, **rollout, "id": RELEASES + 1, "purpose": "rehearsal", "ended_at": at}])
    result = {"rollout_id": RELEASES + 1, "outcome": "passed", "detail": "seen", "recorded_at": at, "recorded_by": "p"}
    write(
        "criterion_result",
        ({**mine, **result, "criterion": f"step-{n % CRITERIA}", "host": f"h-{n // CRITERIA}"} for n in range(RESULTS)),
    )
    record = {"of": "scan", "passed": True, "note": "", "recorded_at": at, "recorded_by": "bench"}
    write("gate_record", ({**mine, **record} for _ in range(RECORDS)))
    error = {"component": "", "title": "it hangs", "severity": "low", "workaround": "", "state": "open"}
    write("known_error", ({**mine, **error, "resolution": "", "found_at": at, "found_by": "p"} for _ in range(RECORDS)))
    waiver = {"gate": "rehearsal", "reason": "urgent", "asked_by": f"{1:032x}", "asked_by_name": "p-1", "asked_at": at,
              "granted_by": f"{2:032x}", "granted_by_name": "p-2", "granted_at": at, "expires_at": at}  # fmt: skip
    write("gate_waiver", ({"release_id": number, **waiver} for _ in range(RECORDS)))


def _around(write: Write, at: datetime, environments: Sequence[str]) -> None:
    """Write artifacts, hosts, roll-outs, and the bookings of environments."""
    numbers = range(1, RELEASES + 1)
    artifact = {"size": 1000, "added_by": "bench"}
    write(
        "artifact",
        (
            {
                **artifact,
                "digest": _digest(f"file {n}"),
                "file_name": f"file-{n}",
                "added_at": at + timedelta(seconds=n),
            }
            for n in numbers
        ),
    )
    write("retired_version", ({"name": f"app-{n}", "version": "1.0", "reason": "old", "retired_at": at,
                               "retired_by": "bench"} for n in range(1, 1001)))  # fmt: skip
    write(
        "retired_artifact",
        ({"digest": _digest(f"file {n}"), "name": f"app-{n}", "version": "1.0"} for n in range(1, 1001)),
    )
    booking = {"booked_for": "bench", "purpose": "rehearsal", "release": "", "version": "", "exclusive": False}
    write("environment_booking", ({**booking, "environment_id": environments[n % len(environments)],
                                   "begins_at": at + timedelta(hours=8 * n - 20_000),
                                   "ends_at": at + timedelta(hours=8 * n - 19_996), "booked_at": at,
                                   "booked_by": "bench"} for n in range(BOOKINGS)))  # fmt: skip
    write("host", (_host(n, at) for n in range(HOSTS)))
    rollout = {"purpose": "deployment", "state": "finished", "run": 1, "reason": "", "cancelled": False}
    write("rollout", ({**rollout, "id": n, "release_id": n, "package": _digest(f"package {n}"), "created_at": at,
                       "created_by": "bench", "ended_at": at} for n in numbers))  # fmt: skip
    write("wave", ({"rollout_id": n, "number": 1, "state": "passed"} for n in numbers))
    deployment = {"wave": 1, "state": "verified", "reason": "", "install_error": "", "drift": [], "items": []}
    write("deployment", ({**deployment, "rollout_id": n, "host_id": f"{n % HOSTS:032x}", "host_name": f"h-{n % HOSTS}",
                          "changed_at": at} for n in numbers))  # fmt: skip


def _host(number: int, at: datetime) -> dict[str, Any]:
    host = Host(id=f"{number:032x}", name=f"h-{number}", reach="check-in", agent="installed", created_at=at)
    host.environment = "live"
    return host.model_dump()


def _side(release: int, person: int, side: str, at: datetime) -> dict[str, Any]:
    named = {"release_id": release, "person_id": f"{person:032x}", "standing": "member"}
    return {**named, "side": side, "since": at, "reason": "appointed"}


def _sign_off(release: int, person: int, package: str, at: datetime, *, void: bool) -> dict[str, Any]:
    return {
        "release_id": release, "person_id": f"{person:032x}", "person_name": f"p-{person}", "side": "test",
        "purpose": "acceptance", "subject": package, "package": package, "statement": "I accept it." * 20,
        "signed_at": at, "voided_at": at if void else None, "void_reason": "built anew" if void else "",
    }  # fmt: skip


def _manifest(name: str, version: str, criteria: int) -> Manifest:
    listed = "\n".join(CRITERION.format(number=number) for number in range(criteria))
    source = MANIFEST.format(name=name, version=version, criteria=listed)
    return load_manifest(source, "release.yaml", SECTION_NAMES)


def _entry(number: int) -> Record:
    return Record("release-built", f"app-{number % RELEASES} 1.0", {"by": "bench", "digest": _digest(str(number))})


def _digest(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()
