"""Whatever goes wrong inside the controller, a roll-out is suspended with the reason, and can be taken up again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.rolled_out import RealRollouts
from tests.support.web import a_controller

from verdelta_controller.rollouts.tables import Deployment


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRollouts]:
    with a_controller(tmp_path) as services:
        yield RealRollouts(services, tmp_path)


def as_released(real: RealRollouts) -> None:
    """Let the installer do what release 1.1 declares, and take it back."""

    def install(action: str, deployment: Deployment) -> None:
        configuration = real.watched(deployment.host_name) / "labapp.conf"
        configuration.write_text("colour = blue\n") if action == "install" else configuration.unlink()

    real.install = install


def test_an_installer_that_breaks_suspends_the_rollout_and_resuming_carries_it_on(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release("1.1")

    def broken(action: str, deployment: Deployment) -> None:
        raise OSError(28, "No space left on device")

    real.install = broken
    number = real.roll_out("1.1", [host])
    view = real.rollouts.view(number)
    assert (view["state"], view["waves"][0]["state"]) == ("suspended", "paused")
    assert "No space left on device" in view["reason"]
    assert view["waves"][0]["hosts"][0]["state"] == "installing"

    as_released(real)
    real.rollouts.resume(number, "an operator")  # the host is audited first: nothing was done, so it is installed on
    view = real.rollouts.view(number)
    assert (view["state"], view["reason"]) == ("finished", "")
    assert view["waves"][0]["hosts"][0]["state"] == "verified"


def test_a_rollout_that_is_held_up_can_be_cancelled_and_its_hosts_are_free(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release("1.1")

    def broken(action: str, deployment: Deployment) -> None:
        raise OSError("the disk is gone")

    real.install = broken
    number = real.roll_out("1.1", [host])
    real.rollouts.cancel(number, "an operator")
    assert real.rollouts.view(number)["state"] == "cancelled"
    as_released(real)
    assert real.rollouts.view(real.roll_out("1.1", [host]))["state"] == "finished"


def test_a_back_out_that_breaks_is_a_failed_one_and_can_be_tried_again(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release("1.1")
    as_released(real)
    number = real.roll_out("1.1", [host])

    def broken(action: str, deployment: Deployment) -> None:
        raise OSError("the disk is gone")

    real.install = broken
    real.rollouts.back_out(number, [], "an operator")
    view = real.rollouts.view(number)
    assert view["state"] == "suspended"
    assert view["waves"][0]["hosts"][0]["state"] == "back_out_failed"
    assert "the disk is gone" in view["waves"][0]["hosts"][0]["reason"]

    as_released(real)
    real.rollouts.back_out(number, [], "an operator")
    assert real.rollouts.view(number)["state"] == "backed_out"


def test_a_run_that_ended_without_an_answer_is_begun_again_at_the_next_start(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release("1.1")
    as_released(real)
    number = real.roll_out("1.1", [host])
    with real.services.database.transaction() as session:
        rollout = real.records.rollout(number)
        rollout.state = "running"
        session.merge(rollout)
    run = rollout.run
    real.rollouts.carry_on()
    assert real.records.rollout(number).run == run + 1
