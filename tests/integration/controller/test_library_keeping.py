"""What is checked, copied, retired and archived: nothing is taken for there, or let go, that was not read back."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select
from tests.support.scene import Scene
from tests.support.server import serving
from tests.support.web import CI, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.foundation.errors import Conflict, GateClosed, InvalidInput, NotFound, Unavailable
from verdelta_controller.foundation.evidence import EvidenceEntry
from verdelta_controller.library import keeping, rules, transfer
from verdelta_controller.library.rules import Origin
from verdelta_controller.library.sites import directory
from verdelta_controller.library.sites.port import Place, SiteKind
from verdelta_controller.library.tables import Artifact, LibraryTask
from verdelta_controller.releases import usage
from verdelta_controller.releases.tables import Release
from verdelta_controller.rollouts.states import HostState
from verdelta_controller.wiring import Services

MANIFEST = """
release: labapp
version: "{version}"
type: minor
service: lab
components:
  - {{kind: in-house-application, name: labapp, manager: file, version: "{version}", artifact: labapp.py}}
  - {{kind: in-house-application, name: shared, manager: file, version: "{version}", artifact: shared.py}}
install: {{playbook: deploy_files.yml, with: {{destination: /opt/labapp}}}}
back_out: {{playbook: deploy_files.yml, with: {{destination: /opt/labapp}}}}
changes:
  - {{section: system.files, key: /opt/labapp/labapp.py, after: any}}
"""


@pytest.fixture
def services(database_url: str, tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path, database_url) as services:
        yield services
        services.library_tasks.close()


def bring_in(services: Services, data: bytes, name: str = "labapp.py", source: str = "") -> str:
    class Data:
        left = data

        def read(self, size: int) -> bytes:
            piece, self.left = self.left[:size], self.left[size:]
            return piece

    return services.library.bring_in(Data(), None, Origin(name, "ci", source)).digest


def result(services: Services, task: LibraryTask) -> dict:
    """Wait for long work as a client does."""

    class Here:
        def get(self, path: str) -> dict:
            found = services.library_tasks.task(path.rpartition("/")[2])
            return {"id": found.id, "state": found.state, "result": found.result, "done": found.done}

    return transfer.wait(Here(), {"id": task.id, "state": "running", "done": 0})  # type: ignore[arg-type]


def evidence(services: Services, kind: str) -> list[EvidenceEntry]:
    with services.database.reading() as session:
        return services.evidence.entries(session, kind=kind)


def stored_at(root: Path, digest: str) -> Path:
    return root / "sha256" / digest[:2] / digest


def damage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff\0")


@pytest.fixture
def library(services: Services) -> Path:
    return services.settings.state / "library"


@pytest.fixture
def offsite(services: Services, tmp_path: Path) -> Path:
    """A directory that is a site."""
    root = tmp_path / "offsite"
    root.mkdir()
    services.library_keeping.add("offsite", Place(SiteKind.DIRECTORY, str(root), {}, {}), "alice")
    return root


# -- a check of everything


def test_a_check_of_everything_names_each_thing_that_is_wrong_and_is_evidence(services: Services, library: Path):
    intact, damaged, missing = (bring_in(services, os.urandom(2000), f"{name}.bin") for name in "abc")
    damage(stored_at(library, damaged))
    stored_at(library, missing).unlink()
    (library / "sha256/aa").mkdir(exist_ok=True)
    (library / "sha256/aa/stranger").write_bytes(b"?")
    (library / "sha256/aa" / ("aa" + "0" * 62)).symlink_to("/etc/passwd")
    (library / "quarantine" / ("0" * 64)).write_bytes(b"refused")

    found = result(services, services.library_checking.begin("auditor"))

    assert found["intact"] == 1 and found["bytes"] == 2000
    assert found["damaged"] == {"count": 1, "first": [damaged]}
    assert found["missing"] == {"count": 1, "first": [missing]}
    assert found["foreign"]["count"] == 2 and found["quarantined"]["count"] == 1
    assert found["wrong"] == 4
    (entry,) = evidence(services, "library-verified")
    assert damaged.encode() in entry.content and missing.encode() in entry.content and intact
    assert b'"by":"auditor"' in entry.content


def test_a_library_that_is_as_it_should_be_is_said_to_be(services: Services):
    bring_in(services, b"x")
    found = result(services, services.library_checking.begin("auditor"))
    assert (found["wrong"], found["intact"]) == (0, 1)


def test_content_on_the_disk_that_nobody_brought_in_is_foreign(services: Services, library: Path):
    digest = bring_in(services, b"x")
    with services.database.transaction() as session:
        from sqlmodel import delete

        from verdelta_controller.library.tables import Arrival

        session.exec(delete(Arrival))
        session.exec(delete(Artifact))
    found = result(services, services.library_checking.begin("auditor"))
    assert found["foreign"] == {"count": 1, "first": [digest]}


# -- copies


def test_a_site_gets_what_it_lacks_and_the_same_again_copies_nothing(services: Services, offsite: Path):
    first = bring_in(services, os.urandom(3_000_000))

    report = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (report["complete"], report["copied"], report["bytes"]) == (1, 1, 3_000_000)
    assert stored_at(offsite, first).read_bytes() == services.library.path(first).read_bytes()
    second = bring_in(services, b"more")

    report = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (report["complete"], report["copied"]) == (2, 1)
    assert stored_at(offsite, second).is_file()
    assert len(evidence(services, "library-replicated")) == 2
    (trace,) = services.tracing.trace(first).sites
    assert trace[0] == "offsite" and trace[1].state == "complete"


def test_a_check_of_a_site_says_what_is_complete_missing_damaged_and_extra(services: Services, offsite: Path):
    complete, missing, damaged, short = (bring_in(services, os.urandom(5000), f"{n}.bin") for n in "abcd")
    result(services, services.library_keeping.replicate("offsite", "alice"))
    stored_at(offsite, missing).unlink()
    damage(stored_at(offsite, damaged))
    stored_at(offsite, short).chmod(0o600)
    os.truncate(stored_at(offsite, short), 10)
    (offsite / "sha256/aa").mkdir(exist_ok=True)
    (offsite / "sha256/aa/stranger").write_bytes(b"?")

    report = result(services, services.library_keeping.check("offsite", "auditor"))

    assert (report["complete"], report["copied"]) == (1, 0) and complete
    assert report["missing"] == {"count": 1, "first": [missing]}
    assert report["damaged"] == {"count": 2, "first": sorted([damaged, short])}
    assert report["extra"] == {"count": 1, "first": ["stranger"]}
    mended = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (mended["complete"], mended["copied"]) == (4, 3)


def test_content_that_is_damaged_here_is_not_copied_and_stops_nothing_else(
    services: Services, library: Path, offsite: Path
):
    good, bad = bring_in(services, os.urandom(5000), "good"), bring_in(services, os.urandom(5000), "bad")
    damage(stored_at(library, bad))

    report = result(services, services.library_keeping.replicate("offsite", "alice"))

    assert report["complete"] == 1 and list(report["failed"]) == [bad]
    assert stored_at(offsite, good).is_file() and not stored_at(offsite, bad).exists()
    assert list((offsite / "incoming").iterdir()) == []


def test_what_is_damaged_here_comes_back_from_a_site(services: Services, library: Path, offsite: Path):
    data = os.urandom(5000)
    digest = bring_in(services, data)
    result(services, services.library_keeping.replicate("offsite", "alice"))
    damage(stored_at(library, digest))

    result(services, services.library_keeping.restore(digest, "alice"))

    assert services.library.path(digest).read_bytes() == data


def test_a_site_whose_disk_is_not_mounted_is_not_taken_for_an_empty_one(services: Services, offsite: Path):
    digest = bring_in(services, b"x")
    result(services, services.library_keeping.replicate("offsite", "alice"))
    (offsite / directory.MARK).unlink()

    with pytest.raises(Exception, match="mounted"):
        result(services, services.library_keeping.check("offsite", "alice"))

    assert services.tracing.trace(digest).sites[0][1].state == "complete"


@pytest.mark.parametrize("where", ["nowhere", "relative", "library", "inside", "around"])
def test_a_directory_that_cannot_be_a_site_is_refused(services: Services, library: Path, tmp_path: Path, where: str):
    location = {
        "nowhere": tmp_path / "nowhere",
        "relative": Path("."),
        "library": library,
        "inside": library / "quarantine",
        "around": tmp_path,
    }[where]
    with pytest.raises(InvalidInput):
        services.library_keeping.add("x", Place(SiteKind.DIRECTORY, str(location), {}, {}), "alice")


class Liar:
    """A site that says it has everything, and gives something else back."""

    def __init__(self, back: bytes) -> None:
        self.back = back
        self.sizes: dict[str, int] = {}

    def listing(self) -> Iterator[tuple[str, int]]:
        yield from self.sizes.items()

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterable[bytes]]:
        yield iter([self.back])

    def write(self, artifact: Artifact, read_from: transfer.ContentFrom) -> None:
        with read_from(0) as pieces:
            self.sizes[artifact.digest] = sum(len(piece) for piece in pieces)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("back", [b"", b"something else", b"y" * 4000, b"x" * 3999, b"x" * 4001])
def test_a_site_that_lies_is_found_out_and_nothing_is_let_go_for_it(
    services: Services, offsite: Path, monkeypatch: pytest.MonkeyPatch, back: bytes
):
    digest = bring_in(services, b"x" * 4000)
    liar = Liar(back)
    monkeypatch.setattr(keeping.Keeping, "_connected", lambda self, place: liar)

    report = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (report["complete"], report["damaged"]["count"]) == (0, 1)
    with pytest.raises(Exception, match="damaged"):
        result(services, services.library_keeping.archive("offsite", [digest], "alice"))
    assert services.library.path(digest).read_bytes() == b"x" * 4000
    assert services.tracing.trace(digest).artifact.archived_at is None


def test_an_interrupted_replication_leaves_nothing_half_and_goes_on(
    services: Services, offsite: Path, monkeypatch: pytest.MonkeyPatch
):
    digests = sorted(bring_in(services, os.urandom(3 << 20), f"{n}.bin") for n in range(3))
    whole = directory.DirectorySite.write

    def breaks(self: directory.DirectorySite, artifact: Artifact, read_from: transfer.ContentFrom) -> None:
        @contextmanager
        def broken(offset: int) -> Iterator[Iterable[bytes]]:
            with read_from(offset) as pieces:
                yield (next(iter(pieces)) if n == 0 else _raise() for n in range(2))

        whole(self, artifact, broken if artifact.digest == digests[1] else read_from)

    with monkeypatch.context() as patched:
        patched.setattr(directory.DirectorySite, "write", breaks)
        report = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (report["complete"], list(report["failed"])) == (2, [digests[1]])
    assert not stored_at(offsite, digests[1]).exists() and list((offsite / "incoming").iterdir()) == []

    report = result(services, services.library_keeping.replicate("offsite", "alice"))
    assert (report["complete"], report["copied"]) == (3, 1)


def _raise() -> bytes:
    raise Unavailable("as if the site had gone")


def test_another_controller_is_a_site_and_its_token_is_sealed(services: Services, tmp_path: Path, caplog):
    digest, large = bring_in(services, b"small"), bring_in(services, os.urandom((16 << 20) + 5), "large.img")
    (tmp_path / "other").mkdir()
    with a_controller(tmp_path / "other") as other, serving(create_app(other)) as server:
        token = a_token(other, Role.RELEASE_MANAGER)
        place = Place(SiteKind.CONTROLLER, server.url, {}, {"token": token})
        site = services.library_keeping.add("berlin", place, "alice")
        assert token.encode() not in site.sealed

        report = result(services, services.library_keeping.replicate("berlin", "alice"))
        assert (report["complete"], report["copied"], report["failed"]) == (2, 2, {})
        assert other.library.path(large).stat().st_size == (16 << 20) + 5
        assert other.tracing.trace(digest).arrivals[0].source.startswith("verdelta/")
        damage(stored_at(other.settings.state / "library", large))
        report = result(services, services.library_keeping.check("berlin", "alice"))
        assert (report["complete"], list(report["failed"])) == (1, [large])
        report = result(services, services.library_keeping.replicate("berlin", "alice"))
        assert report["complete"] == 2
    with services.database.reading() as session:
        written = b"".join(entry.content for entry in session.exec(select(EvidenceEntry)))
    assert token.encode() not in written and token not in caplog.text


def test_a_controller_with_a_token_that_is_none_is_refused_at_once(services: Services, tmp_path: Path):
    (tmp_path / "other").mkdir()
    with a_controller(tmp_path / "other") as other, serving(create_app(other)) as server:
        place = Place(SiteKind.CONTROLLER, server.url, {}, {"token": "vdt_0"})
        with pytest.raises(InvalidInput, match="401"):
            services.library_keeping.add("berlin", place, "alice")
    assert services.library_keeping.sites() == []


# -- retired versions, and the archive


def test_many_artifacts_are_asked_after_as_one_is(services: Services):
    digests = [bring_in(services, str(number).encode()) for number in range(usage.FEW)] + list(build(services, "1.0"))
    with services.database.reading() as session:
        together = usage.uses(session, digests)
        assert together == {digest: usage.uses(session, [digest])[digest] for digest in digests}
    assert [use.label for use in together[digests[-1]]] == ["labapp 1.0"] and together[digests[0]] == []


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


def build(services: Services, version: str) -> tuple[str, str]:
    """Build a release; return the digest of its own file, and of the one that all versions share."""
    own, shared = bring_in(services, version.encode()), bring_in(services, b"shared", "shared.py")
    files = {"labapp.py": own, "shared.py": shared}
    services.releases.build(MANIFEST.format(version=version), files, "release.yaml", CI)
    return own, shared


def retire(services: Services, version: str):
    return services.retention.retire("labapp", version, "replaced", "alice")


def test_what_only_retired_versions_use_is_not_deployed_and_still_there(services: Services):
    (old, shared), (new, _) = build(services, "1.0"), build(services, "1.1")

    done = retire(services, "1.0")

    assert (done.artifacts, done.kept) == ([old], [shared])
    with pytest.raises(rules.Retired):
        services.library.path(old)
    assert services.library.path(shared) and services.library.path(new)
    assert services.tracing.trace(old).is_retired and services.tracing.trace(old).is_here
    assert retire(services, "1.0").artifacts == [old]
    assert len(evidence(services, "version-retired")) == 1
    retire(services, "1.1")
    with pytest.raises(rules.Retired):
        services.library.path(shared)


def test_a_version_without_files_may_be_retired_too(services: Services, scene: Scene):
    scene.release("2.0")
    with services.database.transaction() as session:
        release = session.exec(select(Release)).one()
        release.state = "cancelled"
        session.add(release)
    assert retire(services, "2.0").artifacts == []


@pytest.mark.parametrize("state", ["draft", "in_test", "accepted", "authorised", "deploying", "suspended"])
def test_a_version_that_is_on_its_way_is_not_retired(services: Services, state: str):
    build(services, "1.0")
    with services.database.transaction() as session:
        release = session.exec(select(Release)).one()
        release.state = state
        session.add(release)
    with pytest.raises(GateClosed, match=state):
        retire(services, "1.0")


def test_what_is_on_a_host_is_known_and_not_retired_until_another_version_is_there(services: Services, scene: Scene):
    own, shared = build(services, "1.0")
    newer, _ = build(services, "1.1")
    host = scene.host("web-07")
    deploy(scene, services, "1.0", host, HostState.VERIFIED)

    (holding,) = services.tracing.trace(own).holdings
    assert (holding.host, holding.certain) == ("web-07", True)
    with pytest.raises(GateClosed, match="web-07"):
        retire(services, "1.0")

    deploy(scene, services, "1.1", host, HostState.VERIFIED)
    assert services.tracing.trace(own).holdings == []
    assert [one.host for one in services.tracing.trace(newer).holdings] == ["web-07"]
    assert [one.host for one in services.tracing.trace(shared).holdings] == ["web-07"]
    assert retire(services, "1.0").artifacts == [own]


@pytest.mark.parametrize("state", [HostState.AT_VARIANCE, HostState.INDETERMINATE, HostState.INSTALLING])
def test_where_it_may_be_is_not_where_it_is_proved_to_be(services: Services, scene: Scene, state: HostState):
    own, _ = build(services, "1.0")
    deploy(scene, services, "1.0", scene.host("web-07"), state)
    (holding,) = services.tracing.trace(own).holdings
    assert not holding.certain
    with pytest.raises(GateClosed):
        retire(services, "1.0")


def test_a_version_that_was_backed_out_leaves_the_one_before(services: Services, scene: Scene):
    (old, _), (new, _) = build(services, "1.0"), build(services, "1.1")
    host = scene.host("web-07")
    deploy(scene, services, "1.0", host, HostState.VERIFIED)
    deploy(scene, services, "1.1", host, HostState.BACKED_OUT)
    assert services.tracing.trace(new).holdings == []
    assert [one.host for one in services.tracing.trace(old).holdings] == ["web-07"]


def deploy(scene: Scene, services: Services, version: str, host, state: HostState) -> None:
    """Write down a deployment that ended so; the release is free again afterwards."""
    from verdelta_controller.foundation.clock import now
    from verdelta_controller.rollouts.tables import Deployment

    release = services.releases.authorise("labapp", version, CI)
    number = scene.rollout(release, [host])
    with services.database.transaction() as session:
        deployment = session.exec(select(Deployment).where(Deployment.rollout_id == number)).one()
        deployment.state, deployment.began_at, deployment.concluded_at = state.value, now(), now()
        session.add(deployment)
        stored = session.get_one(Release, release.id)
        stored.state = "deployed"
        session.add(stored)


def test_what_a_version_uses_that_is_not_retired_never_goes_to_the_archive(services: Services, offsite: Path):
    own, shared = build(services, "1.0")
    for digest in (own, shared):
        with pytest.raises(GateClosed, match=r"in use by labapp 1\.0"):
            services.library_keeping.archive("offsite", [digest], "alice")
    build(services, "1.1")
    retire(services, "1.0")
    with pytest.raises(GateClosed, match=r"in use by labapp 1\.1"):
        services.library_keeping.archive("offsite", [own, shared], "alice")
    assert services.library.path(shared)
    assert services.tracing.trace(own).is_here


def test_what_came_into_use_meanwhile_is_not_let_go(services: Services, offsite: Path, monkeypatch):
    digest, checked = bring_in(services, b"1.0"), []
    real = keeping.Keeping._check_unused

    def used_the_second_time(self: keeping.Keeping, session, digests: list[str]) -> None:
        checked.append(digests)
        if len(checked) > 1:
            raise GateClosed("in use by now")
        real(self, session, digests)

    monkeypatch.setattr(keeping.Keeping, "_check_unused", used_the_second_time)
    with pytest.raises(Exception, match="in use by now"):
        result(services, services.library_keeping.archive("offsite", [digest], "alice"))
    assert services.library.path(digest) and services.tracing.trace(digest).artifact.archived_at is None
    assert evidence(services, "artifact-archived") == []


def test_archived_content_is_read_back_at_the_site_gone_here_and_comes_back(
    services: Services, offsite: Path, library: Path
):
    own, _ = build(services, "1.0")
    build(services, "1.1")
    retire(services, "1.0")

    done = result(services, services.library_keeping.archive("offsite", [own], "alice"))

    assert done == {"site": "offsite", "archived": 1, "freed": 3}
    assert not stored_at(library, own).exists() and stored_at(offsite, own).read_bytes() == b"1.0"
    assert len(evidence(services, "artifact-archived")) == 1
    with pytest.raises(NotFound, match="archive"):
        services.library.open(own)
    found = result(services, services.library_checking.begin("auditor"))
    assert (found["wrong"], found["missing"]["count"]) == (0, 0)
    again = result(services, services.library_keeping.archive("offsite", [own], "alice"))
    assert again["freed"] == 0

    result(services, services.library_keeping.restore(own, "alice"))
    with services.library.open(own) as reader:
        assert reader.read() == b"1.0"
    assert services.tracing.trace(own).artifact.archived_at is None


def test_a_lost_archive_is_said_and_nothing_is_made_up(services: Services, offsite: Path):
    digest = bring_in(services, b"x" * 1000)
    result(services, services.library_keeping.archive("offsite", [digest], "alice"))
    stored_at(offsite, digest).unlink()
    with pytest.raises(Exception, match="no site gives it back"):
        result(services, services.library_keeping.restore(digest, "alice"))
    report = result(services, services.library_keeping.check("offsite", "auditor"))
    assert report["missing"]["first"] == [digest]


def test_a_name_of_a_site_is_taken_once(services: Services, offsite: Path, tmp_path: Path):
    (tmp_path / "second").mkdir()
    with pytest.raises(Conflict):
        services.library_keeping.add("offsite", Place(SiteKind.DIRECTORY, str(tmp_path / "second"), {}, {}), "alice")
