"""The agent and its controller over a real connection: digests first, nothing twice, and nobody else is trusted."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents_door import AgentProcess, Answer, Door, Reply, accepting, open_door, real, reply, said
from tests.support.web import a_controller

from verdelta_agent import identity, report, wire
from verdelta_agent.model import rows_digest
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.foundation import certificates
from verdelta_controller.wiring import Services

FILES = "system.files"


@pytest.fixture
def agent(tmp_path: Path) -> AgentProcess:
    return AgentProcess(tmp_path / "host")


def run_report(agent: AgentProcess, door: Door) -> "subprocess.CompletedProcess[bytes]":
    """Report to a door, as a host that enrolled there."""
    if not agent.state.exists():
        agent.enrolled(door.url)
    return agent.run("report")


def refused(agent: AgentProcess, answer: Answer) -> str:
    """Return the one line that a report to such a controller ends with."""
    with open_door(answer) as door:
        done = run_report(agent, door)
    assert (done.returncode, done.stdout) == (1, b"")
    return said(done)


# -- with a real controller


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path / "controller") as services:
        yield services


@pytest.fixture
def host_id(services: Services) -> str:
    return services.fleet.add_host(NewHost("web-07", reach="check-in", agent="installed")).id


def enrol(agent: AgentProcess, door: Door, services: Services, *more: str) -> "subprocess.CompletedProcess[bytes]":
    token = services.fleet.invite("web-07").encode()
    done = agent.run("enrol", "--url", door.url, *more, data=token)
    agent.watch_folder()
    return done


def test_a_host_enrols_reports_and_from_then_on_sends_what_changed(agent, services: Services, host_id: str) -> None:
    with open_door(real(services)) as door:
        assert enrol(agent, door, services).returncode == 0
        first = agent.run("report")
        assert first.stdout.endswith(b": 2 sections sent\n"), first.stderr
        assert [message.kind for message in door.messages] == [wire.ENROL, wire.CHECK_IN, wire.AUDIT]

        idle = agent.run("report")
        assert idle.stdout.endswith(b": nothing changed\n"), idle.stderr
        assert first.stdout.split(b":")[0] == idle.stdout.split(b":")[0]

        (agent.watched / "motd").write_text("changed\n")
        (agent.watched / "new").write_text("new\n")
        assert agent.run("report").stdout.endswith(b": 1 sections sent\n")
    assert [message.kind for message in door.messages[3:]] == [wire.CHECK_IN, wire.CHECK_IN, wire.AUDIT]
    assert [message.sequence for message in door.messages] == list(range(1, 7))
    (content,) = door.messages[-1].body["contents"].values()
    assert set(content) == {"base", "set", "removed"}
    assert set(content["set"]) >= {f"{agent.watched}/motd", f"{agent.watched}/new"}
    known = services.inventory.last_known(host_id)
    assert known is not None
    rows = services.inventory.sections_of(known)[FILES].rows
    assert set(rows) == {str(agent.watched), f"{agent.watched}/motd", f"{agent.watched}/new"}


def test_a_host_with_nothing_to_sign_with_but_cryptography_enrols_and_reports(agent, services, host_id: str) -> None:
    launcher = agent.state.parent / "agent.py"
    without_tools = "from verdelta_agent import cli, identity\nidentity.ENVIRONMENT['PATH'] = '/none'\n"
    launcher.write_text(launcher.read_text().replace("from verdelta_agent import cli\n", without_tools))
    agent.command[1] = "-IE"  # with the packages of this Python
    with open_door(real(services)) as door:
        enrolled = enrol(agent, door, services)
        assert enrolled.returncode == 0, enrolled.stderr
        assert agent.run("report").stdout.endswith(b": 2 sections sent\n")
        assert agent.run("report").stdout.endswith(b": nothing changed\n")
    assert door.messages[0].body["scheme"] == identity.ECDSA
    assert (agent.state / "key").stat().st_mode & 0o777 == 0o600
    assert services.inventory.last_known(host_id) is not None


def test_an_idle_night_is_one_small_request_and_touches_no_more_than_the_history(agent, services, host_id) -> None:
    with open_door(real(services)) as door:
        enrol(agent, door, services)
        agent.run("report")
        agent.run("report")  # from which the agent learns what moves by itself
        before = {path.name: path.stat().st_ino for path in agent.state.iterdir()}
        sent = len(door.sent)
        agent.run("report")
    assert len(door.sent) == sent + 1
    assert len(door.sent[-1]) < 4000
    after = {path.name: path.stat().st_ino for path in agent.state.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} <= {"history.json"}


def losing(answer: Answer, *numbers: int) -> Answer:
    """Return the answers of a controller of which some are lost on their way back, by their number."""
    count = iter(range(1, 1000))

    def lose(path: str, data: bytes) -> Reply:
        answered = answer(path, data)
        return Reply(None) if next(count) in numbers else answered

    return lose


@pytest.mark.parametrize("lost", [(1,), (2,), (1, 2), (1, 3)], ids=str)
def test_lost_answers_are_made_good_by_the_next_report(agent, services, host_id, lost: tuple[int, ...]) -> None:
    with open_door(real(services)) as door:
        enrol(agent, door, services)
        door.answer = losing(real(services), *lost)
        results = [agent.run("report") for _ in range(4)]
    assert [done.returncode for done in results].count(1) == len(lost)
    for done in results:
        assert done.returncode == 0 or "127.0.0.1" in said(done)
    assert results[-1].returncode == 0
    assert agent.history().pending == ()
    known = services.inventory.last_known(host_id)
    assert known is not None
    assert results[-1].stdout.startswith(f"reported {known.root[:12]}: ".encode())


def test_a_lost_answer_to_an_enrolment_is_made_good_by_the_same_command(agent, services, host_id) -> None:
    token = services.fleet.invite("web-07").encode()
    with open_door(losing(real(services), 1)) as door:
        assert agent.run("enrol", "--url", door.url, data=token).returncode == 1
        assert agent.run("enrol", "--url", door.url, data=token).returncode == 0
        agent.watch_folder()
        done = agent.run("report")
    assert done.returncode == 0, done.stderr
    assert len(door.sent) == 4


def test_a_controller_that_refuses_says_why_and_what_to_do(agent, services, host_id) -> None:
    with open_door(real(services)) as door:
        done = agent.run("enrol", "--url", door.url, data=b"audience.host.1.secret")
        assert done.returncode == 1
        assert f"{door.url} refused: this enrolment is for another controller\n" in said(done)
        token = services.fleet.invite("web-07").rpartition(".")[0] + ".wrong"
        done = agent.run("enrol", "--url", door.url, data=token.encode())
        assert said(done).endswith("the enrolment token is not known\n  Ask for one: verdelta host invite\n")
        assert not (agent.state / "identity.json").exists()
        assert enrol(agent, door, services).returncode == 0


def test_two_machines_with_one_identity_are_noticed_and_the_second_is_told(agent, services, host_id, tmp_path) -> None:
    with open_door(real(services)) as door:
        enrol(agent, door, services)
        twin = AgentProcess(tmp_path / "twin")
        shutil.copytree(agent.state, twin.state)
        assert agent.run("report").returncode == 0
        done = twin.run("report")
        assert done.returncode == 1
        assert "refused: " in said(done)


def test_two_reports_at_once_are_one_after_the_other(agent, services, host_id) -> None:
    with open_door(real(services)) as door:
        enrol(agent, door, services)
        runs = [agent.start("report", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
        for run in runs:
            _, complaint = run.communicate(timeout=120)
            assert (run.returncode, complaint) == (0, b"")
    assert [message.sequence for message in door.messages] == list(range(1, len(door.messages) + 1))
    assert agent.history().pending == ()


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def server(authority: Path) -> tuple[Path, Path]:
    return certificates.ensure_server(authority, ["localhost", "127.0.0.1"])


def test_a_controller_with_a_certificate_of_the_pinned_ca_is_spoken_to(agent, authority: Path, server) -> None:
    for name in ("localhost", "127.0.0.1"):
        with open_door(accepting(), server, name) as door:
            done = agent.run("enrol", "--replace", "--url", door.url, "--ca", f"{authority}/ca.pem", data=b"a.h.1.s")
            assert done.returncode == 0, done.stderr
            assert len(door.sent) == 1
            agent.watch_folder()
            assert agent.run("report").returncode == 0
            assert len(door.sent) == 2


def distrusted(agent: AgentProcess, certificate: tuple[Path, Path], ca_file: Path | None, name: str) -> str:
    """Return why a controller is not spoken to; nothing may have been sent to it."""
    with open_door(accepting(), certificate, name) as door:
        pinned = ["--ca", str(ca_file)] if ca_file else []
        done = agent.run("enrol", "--url", door.url, *pinned, data=b"audience.host.1.the-secret")
        assert (done.returncode, done.stdout, door.sent) == (1, b"", [])
        assert "the-secret" not in said(done)
        return said(done)


def test_a_certificate_of_a_foreign_ca_is_not_trusted(agent, authority: Path, server, tmp_path: Path) -> None:
    foreign = certificates.ensure_server(tmp_path, ["127.0.0.1"])
    assert "CERTIFICATE_VERIFY_FAILED" in distrusted(agent, foreign, authority / "ca.pem", "127.0.0.1")


def test_without_a_pinned_ca_only_those_of_the_system_are_trusted(agent, server) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in distrusted(agent, server, None, "127.0.0.1")


def test_with_a_pinned_ca_those_of_the_system_are_not_trusted(authority: Path, server) -> None:
    place = report.Place("https", "127.0.0.1", 1, "")
    context = report._connect(place, f"{authority}/ca.pem")._context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_expired_certificate_is_not_trusted(agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SERVER_LIFE", timedelta(minutes=-1))
    expired = certificates.ensure_server(tmp_path, ["127.0.0.1"])
    assert "certificate has expired" in distrusted(agent, expired, tmp_path / "ca.pem", "127.0.0.1")


def test_a_certificate_for_another_name_is_not_trusted(agent, tmp_path: Path) -> None:
    other = certificates.ensure_server(tmp_path, ["controller.example", "localhost"])
    assert "127.0.0.1" in distrusted(agent, other, tmp_path / "ca.pem", "127.0.0.1")


def test_a_file_that_is_no_certificate_is_named(agent, server, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate\n")
    assert f"the CA's certificate {tmp_path}/ca.pem" in distrusted(agent, server, tmp_path / "ca.pem", "127.0.0.1")


def test_a_server_without_tls_behind_https_is_one_line(agent) -> None:
    with open_door(accepting()) as door:
        done = agent.run("enrol", "--url", door.url.replace("http:", "https:"), data=b"a.h.1.s")
    assert done.returncode == 1
    assert "https://127.0.0.1" in said(done)


# -- answers that are none


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        (Reply(500), "refused: 500 Internal Server Error"),
        (Reply(502, b"<html>Bad Gateway</html>"), "refused: 502 Bad Gateway"),
        (Reply(403, b'{"error": "not you"}'), "refused: not you\n"),
        (Reply(409, b'{"error": "two of you", "mend": "Find it."}'), "refused: two of you\n  Find it.\n"),
        (Reply(400, b'{"error": ["a list"]}'), "refused: 400 Bad Request"),
        (Reply(400, b'{"error": "\\u001b[2J\\nverdelta-agent: all is well"}'), "refused: \\x1b[2J verdelta-agent: all"),
        (Reply(400, b'{"error": "' + b"x" * 9000 + b'"}'), "refused: xxxx"),
        (Reply(302, b"", {"Location": "https://evil.example/"}), "refused: 302 Found"),
        (Reply(307, b"", {"Location": "https://evil.example/"}), "refused: 307 Temporary Redirect"),
        (Reply(204), "refused: 204 No Content"),
        (Reply(200), "the answer is not understood: the answer is not JSON"),
        (Reply(200, b"<html>"), "the answer is not understood: the answer is not JSON"),
        (Reply(200, b"\xff"), "the answer is not understood: the answer is not JSON"),
        (Reply(200, b"[" * 100000), "the answer is not understood: the answer is not JSON"),
        (Reply(200, b"[]"), "the answer is not understood: the answer is not a JSON object"),
        (Reply(200, b"{}"), "the answer is not understood: field 'accepted' is not one line"),
        (Reply(200, b" " * (5 << 20)), "an answer of more than 4194304 bytes"),
        (Reply(200, b'{"accepted": "d"', {"Content-Length": "100"}), "the answer is not JSON"),
        (Reply(200, b"zz\r\n{}\r\n", {"Transfer-Encoding": "chunked"}), "http://127.0.0.1"),
        (Reply(None), "http://127.0.0.1"),
        (reply(accepted="d", unknown=FILES), "field 'unknown' is not a list of texts"),
        (reply(accepted="d", unknown=[FILES], known=[]), "field 'known' is not an object of texts"),
        (reply(accepted="d", unknown=[], next_poll="soon"), "field 'next_poll' is not a number"),
        (reply(accepted=5, unknown=[]), "field 'accepted' is not one line"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, Reply) else "",
)  # fmt: skip
def test_an_answer_that_is_none_is_one_clear_line(agent: AgentProcess, answered: Reply, expected: str) -> None:
    line = refused(agent, lambda path, data: answered)
    assert expected in line
    assert len(line) < 700
    assert agent.history().pending != ()  # it may have been accepted all the same


def test_sections_that_nobody_has_are_not_sent_and_rows_are_sent_once(agent: AgentProcess) -> None:
    asked = {"unknown": ["software.none", FILES, FILES], "known": {"system.host": "d" * 64, FILES: "e" * 64}}
    with open_door(lambda path, data: accepting(**(asked if len(door.sent) == 1 else {}))(path, data)) as door:
        assert run_report(agent, door).stdout.endswith(b": 1 sections sent\n")
    (content,) = door.messages[1].body["contents"].values()
    assert rows_digest(content["rows"]) == door.messages[1].body["sections"][FILES]["digest"]


def test_a_controller_that_asks_for_everything_each_time_gets_it_once_a_report(agent: AgentProcess) -> None:
    with open_door(accepting(unknown=["system.host", FILES])) as door:
        assert run_report(agent, door).returncode == 0
    assert [message.kind for message in door.messages] == [wire.CHECK_IN, wire.AUDIT]


def test_a_controller_that_is_not_there_is_said_with_what_becomes_of_the_audit(agent: AgentProcess) -> None:
    agent.enrolled("http://127.0.0.1:9")
    done = agent.run("report")
    assert done.returncode == 1
    kept = "The audit is kept: 1 in the spool, 0 dropped so far."
    assert said(done) == f"verdelta-agent: http://127.0.0.1:9: [Errno 111] Connection refused\n  {kept}\n"


PATIENT = """
import sys
sys.path.insert(0, {sources!r})
from verdelta_agent import report
report.STALLED, report.PATIENCE = {stalled}, {patience}
try:
    report.post({url!r}, "/", b"{{}}", None)
except report.ReportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("stalled", "patience", "drip", "expected"),
    [
        (0.5, 30, False, "timed out"),
        (30, 1.5, False, "no whole answer within 1.5 s"),
        (30, 1.5, True, "no whole answer within 1.5 s"),
    ],
    ids=["silent", "silent for long", "a byte at a time"],
)  # fmt: skip
def test_a_controller_that_keeps_us_waiting_is_not_waited_for_for_ever(
    stalled: float, patience: float, drip: bool, expected: str
) -> None:
    sources = str(Path(report.__file__).parents[1])
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while not done.wait(0.1):
                    try:
                        connection.sendall(b"H" if drip else b"")
                    except OSError:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        program = PATIENT.format(sources=sources, url=url, stalled=stalled, patience=patience)
        began = time.monotonic()
        ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=True)
        done.set()
        thread.join()
    assert expected in ended.stdout.decode()
    assert time.monotonic() - began < 30


# -- what is kept


def test_a_state_directory_that_turned_read_only_sends_nothing(agent: AgentProcess) -> None:
    with open_door(accepting()) as door:
        agent.enrolled(door.url)
        state = str(agent.state)
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && echo mounted >&2; exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, state, *agent.command, "report"]
        done = subprocess.run(command, capture_output=True, check=False)
    if not done.stderr.startswith(b"mounted\n"):
        pytest.skip("needs root, and mount namespaces")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr
    assert b"Traceback" not in done.stderr
    assert door.sent == []


@pytest.mark.parametrize("damage", [b"", b"\xff\xff", b"garbage"], ids=["empty", "bytes", "garbage"])
def test_a_damaged_cache_costs_bytes_and_nothing_else(agent: AgentProcess, damage: bytes) -> None:
    def answer(path: str, data: bytes) -> Reply:
        known: dict[str, Any] = {}
        if door.messages[-1].kind == wire.CHECK_IN and len(door.sent) > 1:
            known = {"unknown": [FILES], "known": {FILES: door.messages[0].body["sections"][FILES]["digest"]}}
        return accepting(**known)(path, data)

    with open_door(answer) as door:
        assert run_report(agent, door).returncode == 0
        cache = agent.state / "last"
        cache.write_bytes(cache.read_bytes().partition(b"\n")[0] + b"\n" + damage)
        (agent.watched / "new").touch()
        assert agent.run("report").returncode == 0
    assert set(door.messages[-1].body["contents"][FILES]) == {"rows"}
    assert json.loads(cache.read_bytes().partition(b"\n")[2])


def test_the_history_is_on_the_disk_before_a_message_leaves(agent: AgentProcess) -> None:
    seen: list[bool] = []

    def answer(path: str, data: bytes) -> Reply:
        seen.append(wire.decode_envelope(data).digest in identity.load_history(str(agent.state)).pending)
        return accepting(unknown=[FILES] if len(seen) == 1 else [])(path, data)

    with open_door(answer) as door:
        assert run_report(agent, door).returncode == 0
    assert seen == [True, True]
