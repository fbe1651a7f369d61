"""A roll-out is proved by one file, whatever happened in it: every audit in these tests is really taken and signed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.rolled_out import RealRollouts
from tests.support.web import a_controller

from verdelta_controller.fleet import agent_runs
from verdelta_controller.fleet.channels import LocalChannel
from verdelta_controller.foundation.errors import GateClosed, NotFound
from verdelta_controller.rollouts import verdict
from verdelta_controller.rollouts.bundle_check import verify
from verdelta_controller.rollouts.bundle_report import Report
from verdelta_controller.rollouts.installers import ansible
from verdelta_controller.rollouts.states import RolloutState
from verdelta_controller.rollouts.tables import Deployment


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRollouts]:
    with a_controller(tmp_path) as services:
        yield RealRollouts(services, tmp_path)


def _proved(real: RealRollouts, rollout: int) -> Report:
    """Return what the file of a roll-out proves; it has to hold."""
    report = verify(real.export(rollout), real.trusted)
    assert report.holds, "\n".join(str(statement) for statement in report.statements if not statement.holds)
    return report


def _said(report: Report, host: str) -> list[str]:
    return [statement.text for statement in report.statements if statement.host == host]


def _installs(real: RealRollouts, *more: str) -> Callable[[str, Deployment], None]:
    """Return an installer that does what the release declares, and writes more files than that."""

    def install(action: str, deployment: Deployment) -> None:
        folder = real.watched(deployment.host_name)
        if action == "install":
            for name in ("labapp.conf", *more):
                (folder / name).write_text("colour = blue\n")
        else:
            (folder / "labapp.conf").unlink()

    return install


def test_one_file_proves_what_changed_on_each_host_and_whose_word_that_is(tmp_path: Path, database_url: str) -> None:
    with a_controller(tmp_path, database_url) as services:
        real = RealRollouts(services, tmp_path)
        hosts = [real.host("web-07"), real.host("web-08")]
        real.release()
        install, intrude = _installs(real), _installs(real, "eve")
        real.install = lambda action, deployment: (intrude if deployment.host_name == "web-08" else install)(
            action, deployment
        )
        report = _proved(real, real.roll_out("1.1", hosts))
        day = hosts[0].created_at.date()
    assert (report.rollout, report.release) == (1, "labapp 1.1")
    assert [(host.name, host.state) for host in report.hosts] == [("web-07", "verified"), ("web-08", "at_variance")]
    said = _said(report, "web-07")
    assert f"the audit before is signed by the key enrolled on {day}" in said
    assert f"the audit after is signed by the key enrolled on {day}" in said
    assert said[-1] == "the verdict follows from these audits: verified, 1 matched"
    assert _said(report, "web-08")[-1] == "the verdict follows from these audits: at variance, 1 matched, 1 unexpected"


def test_the_same_roll_out_gives_the_same_file_until_the_log_grows(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release()
    real.install = _installs(real)
    rollout = real.roll_out("1.1", [host])
    first = real.export(rollout)
    assert real.export(rollout) == first
    real.services.auditor.audit(host)
    assert real.export(rollout) != first
    _proved(real, rollout)


def test_an_install_that_is_tried_again_and_then_taken_back_is_proved_at_every_step(
    tmp_path: Path, database_url: str
) -> None:
    with a_controller(tmp_path, database_url) as services:
        real = RealRollouts(services, tmp_path)
        host = real.host("web-07")
        real.release()

        def fail(action: str, deployment: Deployment) -> None:
            raise RuntimeError("the package manager was locked")

        real.install = fail
        rollout = real.roll_out("1.1", [host])
        assert [found.state for found in _proved(real, rollout).hosts] == ["failed"]

        real.install = _installs(real)
        real.rollouts.resume(rollout, "release-manager")
        report = _proved(real, rollout)
        assert [found.state for found in report.hosts] == ["verified"]
        assert "the verdict of verdict 1 follows from these audits: failed, 1 missing" in _said(report, "web-07")

        real.rollouts.back_out(rollout, [], "release-manager")
        report = _proved(real, rollout)
        assert [found.state for found in report.hosts] == ["backed_out"]
        assert _said(report, "web-07")[-1] == "the verdict of verdict 3 follows from these audits: backed out"


class Killed(BaseException):
    """The controller's process ends here."""


def test_an_install_that_was_killed_after_a_failed_attempt_is_proved_by_what_the_audits_show(
    real: RealRollouts,
) -> None:
    host = real.host("web-07")
    real.release()
    attempts = iter((RuntimeError("the package manager was locked"), Killed()))

    def install(action: str, deployment: Deployment) -> None:
        error = next(attempts)
        if isinstance(error, Killed):
            _installs(real)(action, deployment)
        raise error

    real.install = install
    rollout = real.roll_out("1.1", [host])
    with pytest.raises(Killed):
        real.rollouts.resume(rollout, "release-manager")
    real.rollouts.carry_on()
    report = _proved(real, rollout)
    assert [found.state for found in report.hosts] == ["verified"]
    (deployment,) = real.records.deployments(rollout)
    assert (deployment.install_error, deployment.reason) == ("", "")


def test_what_was_there_before_the_roll_out_came_is_proved_to_have_been_there(real: RealRollouts) -> None:
    host = real.host("web-07")
    (real.watched("web-07") / "by-hand").write_text("somebody was here")
    real.release()
    real.install = _installs(real)
    report = _proved(real, real.roll_out("1.1", [host]))
    assert _said(report, "web-07")[-1] == "the verdict follows from these audits: at variance, 1 matched, 1 drift"


def test_a_host_that_was_never_audited_before_is_proved_without_a_last_known_state(real: RealRollouts) -> None:
    host = real.host("web-07", audit=False)
    real.release()
    real.install = _installs(real)
    report = _proved(real, real.roll_out("1.1", [host]))
    assert [found.state for found in report.hosts] == ["verified"]
    assert not any("last state that was known" in text for text in _said(report, "web-07"))


@pytest.mark.parametrize("by_a_change", [False, True])
def test_a_gap_counts_as_accepted_where_the_log_says_that_its_operator_accepted_it(
    real: RealRollouts, by_a_change: bool
) -> None:
    host = real.host("web-07", accepted_gaps=[] if by_a_change else ["hardware.cpu"], marks=["partial"])
    if by_a_change:
        host = real.services.fleet.change_host("web-07", {"accepted_gaps": ["hardware.cpu"]})
    real.release()
    real.install = _installs(real)
    report = _proved(real, real.roll_out("1.1", [host]))
    assert [found.state for found in report.hosts] == ["verified"]
    assert "its operator accepts that it is not seen completely: hardware.cpu" in _said(report, "web-07")


def test_a_host_that_enrolled_anew_is_proved_by_its_newest_key(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.enrol("web-07")
    real.services.auditor.audit(host)
    real.release()
    real.install = _installs(real)
    rollout = real.roll_out("1.1", [host])
    _proved(real, rollout)
    (evidence,) = json.loads(real.export(rollout))["evidence"]["hosts"]
    assert [key["epoch"] for key in evidence["keys"]] == [1, 2]


def test_a_host_whose_openssh_cannot_sign_is_proved_by_the_key_that_it_made_otherwise(real: RealRollouts) -> None:
    host = real.host("web-07", marks=["old"])
    real.release()
    real.install = _installs(real)
    rollout = real.roll_out("1.1", [host])
    assert [found.state for found in _proved(real, rollout).hosts] == ["verified"]
    (evidence,) = json.loads(real.export(rollout))["evidence"]["hosts"]
    assert [key["scheme"] for key in evidence["keys"]] == ["ecdsa-p256-sha256"]


def test_a_host_without_an_agent_is_proved_by_the_ssh_host_key_that_was_pinned_last(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_runs, "ask", real.ask)
    monkeypatch.setattr(real.services.fleet, "open_channel", lambda host: LocalChannel())
    monkeypatch.setattr(ansible, "INSTALL_LOCK", str(real.folder))
    host = real.agentless("web-07", real.new_host_key("web-07"))
    real.services.auditor.audit(host)
    host = real.services.fleet.repin("web-07", real.new_host_key("web-07"))
    real.release()
    real.install = _installs(real)
    rollout = real.roll_out("1.1", [host])
    said = _said(_proved(real, rollout), "web-07")
    assert f"the audit before is signed by the key pinned on {host.created_at.date()}" in said
    (evidence,) = json.loads(real.export(rollout))["evidence"]["hosts"]
    assert [(key["epoch"], key["public_key"] == host.host_key) for key in evidence["keys"]] == [(1, False), (2, True)]


def test_a_host_that_falls_silent_is_proved_to_have_given_no_verdict(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release()

    def cut(action: str, deployment: Deployment) -> None:
        (real.folder / "web-07" / "identity.json").unlink()

    real.install = cut
    report = _proved(real, real.roll_out("1.1", [host]))
    assert [found.state for found in report.hosts] == ["indeterminate"]
    assert "no verdict could be reached" in _said(report, "web-07")[-1]


def test_hosts_of_a_wave_that_never_opened_are_proved_to_be_left_alone(real: RealRollouts) -> None:
    hosts = [real.host("web-07"), real.host("web-08")]
    real.release()
    real.install = _installs(real, "eve")
    report = _proved(real, real.roll_out("1.1", hosts, wave_size=1))
    assert [(found.name, found.state) for found in report.hosts] == [("web-07", "at_variance"), ("web-08", "")]
    assert _said(report, "web-08")[-1] == "nothing was to be installed on it, and there is no verdict"


def test_a_verdict_too_large_for_the_log_is_proved_by_its_digest(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "RECORDED_LIMIT", 600)
    host = real.host("web-07")
    real.release()
    real.install = _installs(real, *(f"eve-{number}" for number in range(20)))
    rollout = real.roll_out("1.1", [host])
    report = _proved(real, rollout)
    assert _said(report, "web-07")[-1].endswith("at variance, 1 matched, 20 unexpected")
    (entry,) = (e for e in json.loads(real.export(rollout))["evidence"]["entries"] if e["kind"] == "verdict")
    assert set(entry["content"]["verdict"]) == {"state", "counts", "sha256"}


def test_the_evidence_of_what_still_runs_is_not_given_out(real: RealRollouts) -> None:
    host = real.host("web-07")
    real.release()

    def look(action: str, deployment: Deployment) -> None:
        assert real.records.rollout(deployment.rollout_id).state == RolloutState.RUNNING
        with pytest.raises(GateClosed, match="roll-out 1 is running"):
            real.export(deployment.rollout_id)

    real.install = look
    assert _proved(real, real.roll_out("1.1", [host])).hosts[0].state == "at_variance"
    with pytest.raises(NotFound, match="no roll-out 2"):
        real.export(2)


# -- a controller that lies


def _lies(real: RealRollouts, monkeypatch: pytest.MonkeyPatch, **said: Any) -> Report:
    """Return what is found out when the controller records something else than what is so."""
    host = real.host("web-07")
    real.release()
    real.install = _installs(real, "eve")
    append = real.services.evidence.append

    def lie(session: Any, kind: str, subject: str, content: Any, at: Any) -> int:
        return append(session, kind, subject, said[kind](content) if kind in said else content, at)

    monkeypatch.setattr(real.services.evidence, "append", lie)
    return verify(real.export(real.roll_out("1.1", [host])), real.trusted)


def _refused(report: Report) -> list[str]:
    assert not report.holds
    return [str(statement) for statement in report.statements if not statement.holds]


def test_a_controller_that_calls_a_host_verified_which_is_not_is_found_out(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def better(content: dict[str, Any]) -> dict[str, Any]:
        items = [item for item in content["verdict"]["items"] if item["outcome"] == "matched"]
        return {**content, "verdict": {**content["verdict"], "state": "verified", "items": items}}

    assert _refused(_lies(real, monkeypatch, verdict=better)) == [
        "web-07: the verdict follows from these audits: at variance, 1 matched, 1 unexpected:"
        " does not hold: what was recorded is another verdict: verified"
    ]


def test_a_controller_that_takes_a_later_audit_for_the_one_before_is_found_out(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "before_envelope": content["after_envelope"]}

    (refused,) = _refused(_lies(real, monkeypatch, verdict=later))
    assert refused.startswith("web-07: the log says which audit was the one before: does not hold")


def test_a_controller_that_says_so_twice_is_found_out_by_the_order_of_the_log(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = real.host("web-07")
    real.release()
    real.install = _installs(real, "eve")
    remember = real.records.remember_before
    kept: list[Any] = []
    monkeypatch.setattr(real.records, "remember_before", lambda *said: (kept.append(said), remember(*said)))
    conclude = real.records.conclude

    def rewrite(deployment: Deployment, snapshot: Any, envelope: str, found: Any, gaps: Any) -> None:
        """Audit once more before the verdict, and let that one be the audit before."""
        taken = real.services.auditor.audit(host)
        remember(deployment, taken.snapshot, taken.digest, kept[0][3], [])
        again = real.services.auditor.audit(host)
        conclude(deployment, again.snapshot, again.digest, found, gaps)

    monkeypatch.setattr(real.records, "conclude", rewrite)
    refused = _refused(verify(real.export(real.roll_out("1.1", [host])), real.trusted))
    assert any("in another order" in line for line in refused)


def test_a_controller_that_accepts_a_gap_itself_is_found_out(
    real: RealRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "accepted_gaps": ["hardware.cpu"]}

    (refused,) = _refused(_lies(real, monkeypatch, verdict=accept))
    assert refused.endswith("does not hold: the log does not say that anybody had accepted this")
