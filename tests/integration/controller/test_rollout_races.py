"""Where a release stands when its roll-outs, and who retires it, move at once: nothing is lost, and one thing is so."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.concurrently import at_once
from tests.support.scene import Scene
from tests.support.web import CI, a_controller

from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.errors import GateClosed
from verdelta_controller.library.rules import Retired
from verdelta_controller.rollouts.progress import Progress
from verdelta_controller.rollouts.service import RolloutService
from verdelta_controller.rollouts.states import WaveState


def a_host(scene: Scene, name: str) -> Host:
    """Look after a host that is reached over SSH."""
    key = Ed25519PrivateKey.generate().public_key()
    said = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return scene.host(name, reach="ssh", address="192.0.2.7", user="deploy", host_key=said)


@dataclass
class IdleEngine:
    """Keeps what it is told to begin, and begins nothing."""

    begun: list[int] = field(default_factory=list)

    def launch(self) -> None: ...
    def close(self) -> None: ...

    def has_ended(self, kind: str, rollout: int, run: int) -> bool:
        return False

    def start(self, kind: str, rollout: int, run: int) -> None:
        self.begun.append(rollout)


@pytest.fixture
def scene(database_url: str, tmp_path) -> Iterator[Scene]:
    with a_controller(tmp_path, database_url) as services:
        yield Scene(services)
        services.library_tasks.close()


@pytest.fixture
def engine() -> IdleEngine:
    return IdleEngine()


@pytest.fixture
def rollouts(scene: Scene, engine: IdleEngine) -> RolloutService:
    services = scene.services
    progress = Progress(services.events)
    return RolloutService(scene.records, services.fleet, services.releases, services.promotion, engine, progress)


def deployed(scene: Scene, version: str) -> None:
    """Let a release have been deployed, and be on no host any more."""
    release = scene.release(version)
    with scene.services.database.transaction() as session:
        found = session.get_one(type(release), release.id)
        found.state = "deployed"
        session.add(found)


def test_a_retired_version_is_not_rolled_out(scene, rollouts, engine):
    deployed(scene, "1.1")
    scene.services.retention.retire("labapp", "1.1", "has a hole", "alice")
    with pytest.raises(Retired, match=r"labapp 1\.1 was retired on .*: has a hole") as refused:
        rollouts.start("labapp", "1.1", [a_host(scene, "web-07")], 0, CI)
    assert isinstance(refused.value, GateClosed) and refused.value.exit_code == 5
    assert engine.begun == [] and rollouts.summaries() == []


def test_of_retiring_and_rolling_out_at_once_one_is_done(scene, rollouts):
    for turn in range(20):
        version = f"2.{turn}"
        host = a_host(scene, f"web-{turn}")
        deployed(scene, version)
        asked = [
            lambda version=version, host=host: rollouts.start("labapp", version, [host], 0, CI),
            lambda version=version: scene.services.retention.retire("labapp", version, "old", "alice"),
        ]
        results = at_once(asked if turn % 2 else asked[::-1])
        assert [isinstance(result, GateClosed) for result in results].count(True) == 1, results


def test_a_release_whose_two_rollouts_end_at_once_is_deployed(scene):
    for turn in range(20):
        release = scene.release(f"3.{turn}")
        numbers = [scene.rollout(release, [a_host(scene, f"web-{turn}-{place}")]) for place in range(2)]
        ended = at_once([partial(scene.records.close_wave, number, 1, WaveState.PASSED) for number in numbers])
        assert ended == [None, None]
        assert scene.services.releases.by_id(release.id).state == "deployed"
