"""What version runs where, over a fleet: 1,000 hosts that share 20 distinct lists of packages, in 4 environments.

The lists are as long as a server's (600 packages).  Measured is the whole use-case, from the database to what the API
answers; once it is also done with a content of its own for every host, which is what sharing saves.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from tests.support.scene import Scene
from tests.support.web import CI, a_controller

from verdelta_agent.model import OK, Section, digest_sections, root_digest
from verdelta_controller.access.rules import Actor
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.database import Database
from verdelta_controller.inventory.content import pack
from verdelta_controller.inventory.tables import SectionContent, Snapshot
from verdelta_controller.rollouts.matrix_routes import show_matrix

HOSTS = 1000
CONTENTS = 20
PACKAGES = 600
OTHER_SECTIONS = 45  # of a snapshot, which the matrix does not look at
COMPONENTS = 10
ROUNDS = 7
ENVIRONMENTS = ("build", "test", "staging", "live")

MANIFEST = """
release: everything
version: "1.{version}"
type: minor
service: lab
components:
{components}
install: {{playbook: install_packages.yml}}
changes:
  - {{section: software.dpkg, key: "package-1:*", after: any}}
"""
COMPONENT = '  - {{kind: external-software, manager: deb, package: package-{number}, version: "1.{version}"}}'


def run() -> None:
    """Measure and print."""
    print(
        f"\nWhat version runs where: {HOSTS} hosts, {PACKAGES} packages each, {COMPONENTS} components, {ROUNDS} rounds:"
    )
    for contents in (CONTENTS, HOSTS):
        with tempfile.TemporaryDirectory() as folder, a_controller(Path(folder)) as services:
            scene = Scene(services)
            _release(scene)
            _fill(services.database, contents)
            seconds = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                shown = show_matrix(Actor("benchmark", frozenset()), services.matrix)
                seconds.append(time.perf_counter() - began)
            if sum(cell.found[0].hosts for cell in shown.components[0].cells) == 0:
                raise SystemExit("the matrix is empty")
        middle, low, high = (1000 * value for value in (statistics.median(seconds), min(seconds), max(seconds)))
        print(f"  {contents:5} distinct contents   median {middle:6.0f} ms   min {low:6.0f}   max {high:6.0f}")


def _release(scene: Scene) -> None:
    listed = "\n".join(COMPONENT.format(number=number, version=1) for number in range(COMPONENTS))
    scene.services.releases.build(MANIFEST.format(version=1, components=listed), {}, "release.yaml", CI)


def _fill(database: Database, contents: int) -> None:
    """Write hosts and their audits down, as taking them in would have."""
    now = datetime.now(UTC)
    states = [_state(number) for number in range(contents)]
    with database.transaction() as session:
        session.execute(insert(SectionContent), [{"digest": digest, "rows": rows} for _, _, digest, rows in states])
        hosts = [_host(number, now) for number in range(HOSTS)]
        session.execute(insert(Host), hosts)
        session.execute(
            insert(Snapshot),
            [
                {
                    "host_id": host["id"], "root": states[number % contents][0], "agent": "0.1.0",
                    "sections": states[number % contents][1], "volatile": {}, "envelope_digest": "e" * 64,
                    "taken_at": now.isoformat(), "received_at": now, "confirmed_at": now, "confirmed_by": "e" * 64,
                }
                for number, host in enumerate(hosts)
            ],
        )  # fmt: skip


def _host(number: int, now: datetime) -> dict[str, Any]:
    host = Host(id=f"{number:032x}", name=f"h-{number}", reach="check-in", agent="installed", created_at=now)
    host.environment = ENVIRONMENTS[number % len(ENVIRONMENTS)]
    return host.model_dump()


def _state(number: int) -> tuple[str, dict[str, Any], str, bytes]:
    """Return a root, the sections without their rows, and digest and packed rows of the packages."""
    rows = {f"package-{each}:amd64": {"version": f"1.{number}", "state": "installed"} for each in range(PACKAGES)}
    sections = {"software.dpkg": Section(OK, rows, {})}
    sections.update({f"system.section{each}": Section(OK, {}, {}) for each in range(OTHER_SECTIONS)})
    digests = digest_sections(sections)
    listed = {name: list(digested) for name, digested in digests.items()}
    return root_digest(digests), listed, digests["software.dpkg"].digest, pack(rows)
