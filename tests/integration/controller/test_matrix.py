"""The matrix and the proofs for promotion, on both databases, from audits and deployments as they are written."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from tests.support.scene import Scene
from tests.support.web import CI, TestClient, a_controller, a_token

from verdelta_agent.model import FAILED, Section
from verdelta_controller.app import create_app
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.errors import NotFound
from verdelta_controller.inventory.tables import Snapshot
from verdelta_controller.releases.tables import Release
from verdelta_controller.rollouts import judging
from verdelta_controller.rollouts.rehearsing import GOOD
from verdelta_controller.rollouts.states import HostState, RolloutState, wave_decision
from verdelta_controller.rollouts.tables import Purpose, Rollout

MANIFEST = """
release: {name}
version: "{version}"
type: minor
service: lab
components:
  - {{kind: external-software, manager: deb, package: {name}, version: "{version}"}}
  - {{kind: external-software, manager: rpm, package: {name}, version: "{version}"}}
  - {{kind: external-software, manager: pip, package: Lab_App, version: "{version}"}}
  - {{kind: documentation, name: Manual, version: "1"}}
install: {{playbook: install_packages.yml}}
back_out: {{playbook: install_packages.yml}}
changes:
  - {{section: software.dpkg, key: "{name}:*", after: {{version: "{version}"}}}}
"""


def built(scene: Scene, version: str, name: str = "labapp") -> Release:
    """Return a release that is built."""
    return scene.services.releases.build(MANIFEST.format(name=name, version=version), {}, "release.yaml", CI)[0]


def release(scene: Scene, version: str, name: str = "labapp") -> Release:
    """Return an authorised release of a package."""
    built(scene, version, name)
    return scene.services.releases.authorise(name, version, CI)


def audited(scene: Scene, host: Host, version: str = "", **more: Any) -> Snapshot:
    """Let a host be audited, and have labapp in a version or not at all."""
    rows = {"labapp:all": {"version": version, "state": "installed", "hold": False}} if version else {}
    sections = {"system.host": {"os": {"family": "debian"}}, "software.dpkg": rows, **more}
    return scene.audit(host, sections)


def deployed(scene: Scene, made: Release, *hosts: Host, ends_with: str = "") -> int:
    """Roll a release out to hosts that are audited before and after; returns the roll-out's number."""
    number = scene.rollout(made, hosts)
    for host in hosts:
        before = scene.services.inventory.last_known(host.id) or audited(scene, host)
        scene.install(number, host, before)
        scene.conclude(number, host, before, audited(scene, host, ends_with or made.version))
    scene.close_wave(number, 1)
    return number


def rehearsed(scene: Scene, made: Release, host: Host, ends_with: str = "1.1") -> int:
    """Rehearse a release on a host that has another package afterwards, too; returns the roll-out's number."""
    rollout = Rollout(
        release_id=made.id or 0,
        package=made.digest,
        purpose=Purpose.REHEARSAL.value,
        state=RolloutState.RUNNING.value,
        created_at=datetime.now(UTC),
        created_by="ci",
    )
    releases = scene.services.releases
    number = scene.records.create(
        rollout,
        [[(host.id, host.name)]],
        lambda session, number: releases.begin_rehearsal(session, made, made.digest, number, CI),
    )
    scene.records.open_wave(number, 1)
    before = audited(scene, host, **{"system.users": {}})
    scene.install(number, host, before)
    after = audited(scene, host, ends_with, **{"system.users": {"eve": {"uid": 1001}}})
    deployment = scene.deployment(number, host)
    scene.records.move(deployment, HostState.AUDITING_AFTER)
    inventory = scene.services.inventory
    changes = releases.rehearsed(made.digest).changes
    delta = inventory.compare(before, after)
    verdict = judging.judge(changes, host, before, after, delta, [], inventory.sections_of)
    scene.records.conclude(scene.deployment(number, host), after, "a" * 64, verdict, [])
    scene.records.close_wave(number, 1, wave_decision([HostState(scene.deployment(number, host).state)], GOOD))
    return number


@pytest.fixture
def scene(tmp_path, database_url) -> Iterator[Scene]:
    with a_controller(tmp_path, database_url) as services:
        yield Scene(services)


@pytest.fixture
def ask(scene: Scene) -> Any:
    client = TestClient(create_app(scene.services), base_url="http://127.0.0.1")
    client.headers["Authorization"] = f"Bearer {a_token(scene.services)}"

    def matrix(**query: Any) -> Any:
        answer = client.get("/api/v1/environments/matrix", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return matrix


def cell(document: Any, manager: str, environment: str, package: str = "labapp") -> Any:
    """Return one cell of a matrix."""
    line = next(one for one in document["components"] if (one["manager"], one["package"]) == (manager, package))
    return next(one for one in line["cells"] if one["environment"] == environment)


def test_the_matrix_shows_what_audits_saw_and_marks_what_is_not_as_last_verified(scene, ask):
    made = release(scene, "1.1")
    web = [scene.host(f"web-{n}", environment="live") for n in range(3)]
    deployed(scene, made, *web)
    audited(scene, web[2], "1.0")  # somebody else's hand
    silent = scene.host("web-8", environment="live")
    blind = scene.host("web-9", environment="live")
    scene.audit(blind, {"software.dpkg": Section(FAILED, {}, {}, "no permission")})
    audited(scene, scene.host("t", environment="test"))
    scene.host("stray")

    found = ask()

    live = cell(found, "deb", "live")
    assert live["found"] == [{"versions": ["1.1"], "hosts": 2}, {"versions": ["1.0"], "hosts": 1}]
    assert (live["unknown"], live["not_there"], live["drift"], live["common"]) == (2, 0, 1, ["1.1"])
    assert [(one["host"], one["state"], one["expected"], one["drift"]) for one in live["hosts"]] == [
        ("web-2", "found", "1.1", True),
        (silent.name, "unknown", None, False),
        (blind.name, "unknown", None, False),
    ]
    assert cell(found, "deb", "test")["not_there"] == 1
    assert cell(found, "rpm", "live")["unknown"] == 5  # these hosts never said anything of rpm
    assert [one["environment"] for one in found["environments"]] == ["build", "test", "staging", "live", ""]
    column = found["environments"][3]
    assert (column["hosts"], column["never_audited"]) == (5, 1)
    assert column["oldest_audit"] <= column["newest_audit"] <= found["at"]
    assert {(one["manager"], one["package"]) for one in found["components"]} == {
        ("deb", "labapp"), ("rpm", "labapp"), ("pip", "lab-app"),
    }  # fmt: skip


def test_all_hosts_are_named_when_they_are_asked_for(scene, ask):
    deployed(scene, release(scene, "1.1"), scene.host("a", environment="live"), scene.host("b", environment="live"))
    assert cell(ask(), "deb", "live")["hosts"] == []
    assert [one["host"] for one in cell(ask(hosts=True), "deb", "live")["hosts"]] == ["a", "b"]


def test_the_last_verified_release_is_the_one_that_was_concluded_last_and_a_back_out_brings_the_one_before_back(
    scene, ask
):
    host = scene.host("a", environment="live")
    deployed(scene, release(scene, "1.0"), host)
    number = deployed(scene, release(scene, "1.1"), host)
    assert cell(ask(hosts=True), "deb", "live")["hosts"][0]["expected"] == "1.1"
    scene.records.begin_back_out(number, scene.records.deployments(number), "ops")
    audited(scene, host, "1.0")
    scene.records.move(scene.deployment(number, host), HostState.BACKED_OUT)
    (shown,) = cell(ask(hosts=True), "deb", "live")["hosts"]
    assert (shown["expected"], shown["versions"], shown["drift"]) == ("1.0", ["1.0"], False)


def test_one_release_is_shown_alone_and_an_unknown_one_is_an_error(scene, ask):
    release(scene, "1.1")
    release(scene, "2.0", "other")
    assert {line["package"] for line in ask(release="other")["components"]} == {"other", "lab-app"}
    for name in ("nosuch", "\0", "\x1b[31m", "' OR 1=1 --"):
        with pytest.raises(NotFound):
            scene.services.matrix.matrix(name)


def test_a_content_that_many_hosts_share_is_read_once(scene):
    release(scene, "1.1")
    for number in range(30):
        audited(scene, scene.host(f"h{number}", environment="live"), f"1.{number % 2}")
    read: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "FROM section_content" in statement:
            read.extend(parameters.values() if isinstance(parameters, dict) else parameters)

    event.listen(scene.services.database.engine, "before_cursor_execute", note)
    scene.services.matrix.matrix()
    assert len(read) == len(set(read)) == 2


# -- promotion


def test_a_package_is_proved_where_its_newest_deployment_is_verified_on_every_host(scene):
    made, other = release(scene, "1.1"), release(scene, "1.2")
    test, staging = scene.host("t", environment="test"), scene.host("s", environment="staging")
    second, stray = scene.host("s2", environment="staging"), scene.host("stray")
    promotion = scene.services.promotion
    assert promotion.verified_in(made.digest) == set()
    deployed(scene, made, test, staging, stray)
    assert promotion.verified_in(made.digest) == {"test", "staging"}
    assert promotion.verified_in(other.digest) == promotion.verified_in("0" * 64) == set()
    deployed(scene, made, second, ends_with="1.0")  # at variance
    assert promotion.verified_in(made.digest) == {"test"}
    audited(scene, second)
    deployed(scene, made, second)
    assert promotion.verified_in(made.digest) == {"test", "staging"}


def test_a_rehearsal_that_passed_is_a_proof_and_stays_one_when_its_hosts_are_taken_back(scene):
    made, (test, live) = built(scene, "1.1"), (scene.host(name, environment=name) for name in ("test", "live"))
    number = rehearsed(scene, made, test)
    assert scene.deployment(number, test).state == HostState.AT_VARIANCE  # it changed something undeclared
    assert scene.services.promotion.verified_in(made.digest) == {"test"}
    scene.records.begin_back_out(number, scene.records.deployments(number), "ops")
    assert scene.services.promotion.verified_in(made.digest) == {"test"}
    failed = rehearsed(scene, made, live, ends_with="")
    assert scene.records.rollout(failed).purpose == Purpose.REHEARSAL
    assert scene.services.promotion.verified_in(made.digest) == {"test"}


def test_a_deployment_that_never_began_proves_nothing_and_disproves_nothing(scene):
    made = release(scene, "1.1")
    test = scene.host("t", environment="test")
    scene.rollout(made, [test])
    assert scene.services.promotion.verified_in(made.digest) == set()
    deployed(scene, made, scene.host("t2", environment="test"))
    assert scene.services.promotion.verified_in(made.digest) == {"test"}


def test_the_age_of_an_audit_is_that_of_its_last_confirmation(scene, ask):
    release(scene, "1.1")
    at = datetime.now(UTC) - timedelta(days=3)
    scene.audit(scene.host("a", environment="live"), {"software.dpkg": {}}, at)
    assert datetime.fromisoformat(ask()["environments"][3]["oldest_audit"]) == at
