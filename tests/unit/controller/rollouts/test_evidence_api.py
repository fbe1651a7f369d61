"""What auditors are given over the API and check on the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.command_line import CommandLine
from tests.support.rolled_out import RealRollouts
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.foundation import notes
from verdelta_controller.foundation.notes import NoteVerifier
from verdelta_controller.foundation.signing import SigningKey
from verdelta_controller.rollouts.tables import Deployment


class Auditing:
    """A controller with one roll-out to two hosts, of which one shows more than was released; and its auditor."""

    def __init__(self, real: RealRollouts) -> None:
        self.real = real
        hosts = [real.host("web-07"), real.host("web-08")]
        real.release()
        real.install = self._install
        self.rollout = real.roll_out("1.1", hosts)
        self.client = TestClient(create_app(real.services), raise_server_exceptions=False)
        self.client.headers["Authorization"] = f"Bearer {a_token(real.services, Role.AUDITOR)}"
        self.file = self.client.get(f"/api/v1/rollouts/{self.rollout}/evidence").content
        self.key = self.client.get("/api/v1/evidence/key").json()["key"]

    def _install(self, action: str, deployment: Deployment) -> None:
        folder = self.real.watched(deployment.host_name)
        (folder / "labapp.conf").write_text("colour = blue\n")
        if deployment.host_name == "web-08":
            (folder / "eve\x1b[31m").write_text("somebody else\n")


@pytest.fixture(scope="module")
def auditing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Auditing]:
    folder = tmp_path_factory.mktemp("auditing")
    with a_controller(folder) as services:
        yield Auditing(RealRollouts(services, folder))


# -- over the API


def test_an_auditor_is_given_a_rollouts_evidence_as_a_file(auditing: Auditing) -> None:
    answer = auditing.client.get(f"/api/v1/rollouts/{auditing.rollout}/evidence")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["content-disposition"] == 'attachment; filename="rollout-1.evidence.json"'
    assert answer.content == auditing.real.export(auditing.rollout)


def test_nobody_is_given_evidence_without_a_token(auditing: Auditing) -> None:
    anybody = TestClient(auditing.client.app)
    for path in ("rollouts/1/evidence", "evidence/key", "evidence/checkpoint"):
        assert anybody.get(f"/api/v1/{path}").status_code == 401
    assert anybody.post("/api/v1/evidence/check", json={}).status_code == 401


def test_evidence_of_what_there_is_not_is_a_clear_line(auditing: Auditing) -> None:
    answer = auditing.client.get("/api/v1/rollouts/99/evidence")
    assert (answer.status_code, answer.json()["error"]) == (404, "there is no roll-out 99")
    assert auditing.client.get("/api/v1/rollouts/x/evidence").status_code == 422


def test_the_key_opens_the_checkpoint(auditing: Auditing) -> None:
    note = auditing.client.get("/api/v1/evidence/checkpoint").json()["checkpoint"]
    with auditing.real.services.database.reading() as session:
        size = auditing.real.services.evidence.size(session)
    assert notes.open_checkpoint(note, NoteVerifier.parse(auditing.key)).size == size


def test_the_whole_log_is_checked_against_checkpoints_that_were_kept(auditing: Auditing) -> None:
    note = auditing.client.get("/api/v1/evidence/checkpoint").json()["checkpoint"]
    found = auditing.client.post("/api/v1/evidence/check", json={"checkpoints": [note]}).json()
    assert (found["holds"], found["agreed"], found["first_broken"]) == (True, found["entries"], None)
    assert auditing.client.post("/api/v1/evidence/check", json={}).json()["agreed"] is None


def test_a_checkpoint_of_another_log_is_refused_and_not_taken_for_a_broken_one(auditing: Auditing) -> None:
    foreign = notes.sign_checkpoint(
        notes.Checkpoint(auditing.real.trusted[0].name, 1, b"x" * 32), SigningKey.generate()
    )
    for note in (foreign, "", "x\n", "x" * 70_000):
        answer = auditing.client.post("/api/v1/evidence/check", json={"checkpoints": [note]})
        assert answer.status_code == 422, note


def test_a_log_in_which_an_entry_was_changed_does_not_hold_from_there_on(tmp_path: Path) -> None:
    with a_controller(tmp_path) as services:
        real = RealRollouts(services, tmp_path)
        real.host("web-07")
        with services.database.transaction() as session:
            session.execute(text("UPDATE evidence_entry SET subject = 'web-08' WHERE \"index\" = 1"))
        found = services.proofs.check([])
        assert (found.holds, found.entries, found.first_broken) == (False, 1, 1)
        assert "entry 1 was changed after it was recorded" in str(found.reason)


# -- on the command line


@pytest.fixture
def verify(auditing: Auditing, tmp_path: Path) -> CommandLine:
    (tmp_path / "evidence.json").write_bytes(auditing.file)
    (tmp_path / "controller.pub").write_text(f"# of the lab\n{auditing.key}\n")
    return CommandLine(tmp_path)


def test_evidence_that_holds_is_said_statement_by_statement(verify: CommandLine, tmp_path: Path) -> None:
    result = verify("verify", tmp_path / "evidence.json", "--key", tmp_path / "controller.pub")
    assert result.exit_code == 0
    assert "web-07  ✔ verified\n" in result.stdout and "web-08  ✖ at variance\n" in result.stdout
    assert "  ✔ holds  the audit before is signed by the key enrolled on " in result.stdout
    assert result.stdout.endswith("✔ labapp 1.1, roll-out 1: the evidence holds, 26 statements\n")


def test_what_hosts_say_is_shown_and_does_nothing(verify: CommandLine, tmp_path: Path) -> None:
    result = verify("verify", tmp_path / "evidence.json", "--key", tmp_path / "controller.pub")
    assert "! unexpected  system.files" in result.stdout
    assert "eve" in result.stdout and "\x1b" not in result.stdout


def test_programs_are_given_the_statements_and_the_verdicts(verify: CommandLine, tmp_path: Path) -> None:
    found = verify.json("verify", tmp_path / "evidence.json", "--key", tmp_path / "controller.pub")
    assert (found["holds"], found["release"], found["rollout"]) == (True, "labapp 1.1", 1)
    assert [(host["host"], host["verdict"]["state"]) for host in found["hosts"]] == [
        ("web-07", "verified"),
        ("web-08", "at_variance"),
    ]
    assert all(statement["holds"] for statement in found["statements"])


def test_changed_evidence_ends_with_1_and_says_what_does_not_hold(
    auditing: Auditing, verify: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "evidence.json").write_bytes(auditing.file.replace(b'"by":"ci"', b'"by":"me"'))
    result = verify("verify", tmp_path / "evidence.json", "--key", tmp_path / "controller.pub")
    assert result.exit_code == 1
    assert "✖ does not hold  it is as a controller whose key is trusted has sealed it\n" in result.stdout
    assert "changed after it was exported" in result.stdout
    assert result.stdout.endswith("✖ the evidence does not hold: 1 statement refuted\n")


def test_the_key_may_be_given_as_it_is_and_several_may(auditing: Auditing, verify: CommandLine, tmp_path: Path) -> None:
    other = NoteVerifier("verdelta/other", SigningKey.generate().public_key)
    file = tmp_path / "evidence.json"
    assert verify("verify", file, "--key", auditing.key).exit_code == 0
    assert verify("verify", file, "--key", str(other)).exit_code == 1
    assert verify("verify", file, "--key", str(other), "--key", auditing.key).exit_code == 0


def test_what_is_no_file_or_no_key_is_wrong_usage_and_names_it(verify: CommandLine, tmp_path: Path) -> None:
    file, key = tmp_path / "evidence.json", tmp_path / "controller.pub"
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "wrong").write_text("verdelta+00000000+AAAA\n")
    for arguments, named in (
        ([tmp_path / "nosuch", "--key", key], "nosuch: cannot be read"),
        ([tmp_path, "--key", key], f"{tmp_path}: cannot be read"),
        ([file, "--key", tmp_path / "nosuch"], "nosuch: cannot be read"),
        ([file, "--key", tmp_path / "empty"], "empty: there is no key in it"),
        ([file, "--key", tmp_path / "wrong"], "wrong: not an Ed25519 key"),
        ([file, "--key", "a+b+c"], "a+b+c: not"),
        ([file], "--key"),
    ):
        result = verify("verify", *arguments)
        assert result.exit_code == 2 and named in result.stderr, (arguments, result.stderr)


def test_a_machine_that_has_the_file_and_the_key_needs_no_profile_and_no_token(
    verify: CommandLine, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "verdelta_controller", "verify", "evidence.json", "--key", "controller.pub"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([*command, "-o", "json"], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"] is True
