"""The agent's commands as a person or a controller runs them: what they print, and what they end with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.agents_door import AgentProcess, Reply, accepting, open_door, said

from verdelta_agent import __version__, identity, wire
from verdelta_agent.model import SECTION_NAMES, Digested, root_digest, rows_digest
from verdelta_controller.foundation import signing

TOKEN = "audience-1.host-1.1.secret"
REQUEST = wire.Request("audience-1", "host-1", "asked-1", {}, "")


@pytest.fixture
def agent(tmp_path: Path) -> AgentProcess:
    return AgentProcess(tmp_path)


def message_in(printed: bytes, public_key: str) -> wire.Message:
    """Return the message that was printed, whose signature has to be good."""
    assert printed.endswith(b"\n")
    assert printed.count(b"\n") == 1
    envelope = wire.decode_envelope(printed)
    scheme = signing.ECDSA if public_key.startswith("-----") else signing.SSHSIG
    signing.verify(scheme, public_key, wire.to_be_signed(envelope.payload), envelope.signature)
    assert envelope.key_id == identity.key_id(public_key)
    return wire.decode_message(envelope.payload)


# -- inventory


def test_the_inventory_is_one_json_document_whose_digests_are_those_of_its_rows(agent: AgentProcess) -> None:
    agent.watch_folder()
    done = agent.run("inventory", "-o", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    document = json.loads(done.stdout)
    assert set(document) == {"schema", "host_id", "taken_at", "agent", "root", "sections"}
    assert (document["schema"], document["agent"], document["host_id"]) == (1, __version__, "")
    digests = {}
    for name, section in document["sections"].items():
        assert set(section) - {"error"} == {"status", "digest", "rows", "volatile"}
        assert section["digest"] == rows_digest(section["rows"])
        digests[name] = Digested(section["status"], section["digest"])
    assert document["root"] == root_digest(digests)
    assert f"{agent.watched}/motd" in document["sections"]["system.files"]["rows"]


def test_the_inventory_keeps_nothing(agent: AgentProcess) -> None:
    assert agent.run("inventory").returncode == 0
    assert not agent.state.exists()


def test_an_idle_host_shows_the_same_root_twice(agent: AgentProcess) -> None:
    agent.watch_folder()
    roots = {json.loads(agent.run("inventory", "-o", "json").stdout)["root"] for _ in range(2)}
    assert len(roots) == 1


def test_a_part_of_the_inventory_has_those_sections_alone(agent: AgentProcess) -> None:
    agent.watch_folder()
    for asked, shown in (
        (["system.host"], {"system.host"}),
        (["system"], {"system.host", "system.files"}),
        (["system.files", "system.host"], {"system.host", "system.files"}),
    ):
        done = agent.run("inventory", *asked, "-o", "json")
        assert set(json.loads(done.stdout)["sections"]) == shown


def test_a_table_shows_rows_and_sums_up(agent: AgentProcess) -> None:
    agent.watch_folder()
    printed = agent.run("inventory").stdout.decode()
    assert f"  {agent.watched}/motd  digest " in printed
    assert printed.endswith("2 sections, 0 failed, 0 partial\n")


EVIL = "\x1b[2J\x1b]0;you\x07\r\n\x9b31m\u202e"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_no_name_of_a_file_drives_the_terminal(agent: AgentProcess, output: str, locale: str) -> None:
    (agent.watched / f"{EVIL}ü").write_text("x")
    (agent.watched / os.fsdecode(b"\xff\xfe")).symlink_to(f"{EVIL}")
    agent.watch_folder()
    environment = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = agent.run("inventory", "-o", output, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode("utf-8")
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert "\\x1b[2J" in printed or "\\u001b[2J" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["inventory", "software.dpgk"], "there is no section 'software.dpgk'"),
        (["inventory", "system.fils"], "there is no section 'system.fils'; did you mean system.files?"),
        (["inventory", "\x1b[2J"], "there is no section '\\x1b[2J'"),
        (["inventory", ""], "there is no section ''"),
    ],
)
def test_a_section_that_is_not_there_is_told_with_the_nearest_one(
    agent: AgentProcess, arguments: list[str], expected: str
) -> None:
    done = agent.run(*arguments)
    assert done.returncode == 2
    assert expected in said(done)


@pytest.mark.parametrize(
    "arguments",
    [[], ["no-such-command"], ["inventory", "-o", "xml"], ["audit", "extra"], ["report", "--no-such"], ["--state"]],
)
def test_wrong_usage_ends_with_2_and_a_usage_line(agent: AgentProcess, arguments: list[str]) -> None:
    done = agent.run(*arguments)
    assert done.returncode == 2
    assert said(done).startswith("usage: verdelta-agent")


def test_help_names_every_command_and_every_exit_code(agent: AgentProcess) -> None:
    done = agent.run("--help")
    assert done.returncode == 0
    for word in (b"inventory", b"audit", b"enrol", b"report", b"exit codes: 0 ok, 1 failed, 2 wrong usage"):
        assert word in done.stdout
    assert b"usage: verdelta-agent inventory" in agent.run("inventory", "--help").stdout


def test_a_damaged_choice_of_watched_paths_is_one_line(agent: AgentProcess) -> None:
    agent.watch_folder()
    (agent.state / "watched.json").write_text("{")
    done = agent.run("inventory")
    assert done.returncode == 1
    assert "watched.json is damaged" in said(done)


# -- whoever reads goes away, or nothing can be written


def test_a_reader_who_has_seen_enough_is_no_error_to_complain_about(agent: AgentProcess) -> None:
    for number in range(3000):
        (agent.watched / f"a-file-with-a-long-name-{number}").touch()
    agent.watch_folder()
    with agent.start("inventory", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_a_full_disk_is_one_line(agent: AgentProcess) -> None:
    agent.watch_folder()
    with open("/dev/full", "wb") as full:
        done = agent.run("inventory", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert said(done) == "verdelta-agent: [Errno 28] No space left on device\n"


def test_closed_standard_streams_are_one_line(agent: AgentProcess) -> None:
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *agent.command]
    for arguments, stream in ((["inventory", "system.host"], "output"), (["enrol", "--print"], "input")):
        done = subprocess.run([*shell, *arguments], stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 1
        assert said(done) == f"verdelta-agent: standard {stream} is closed\n"


def test_an_interrupted_command_ends_without_a_traceback(agent: AgentProcess) -> None:
    os.mkfifo(agent.watched.parent / "token")
    with agent.start(
        "enrol", "--print", "--token-file", f"{agent.watched.parent}/token", stderr=subprocess.PIPE
    ) as run:
        with open(agent.watched.parent / "token", "wb"):  # opens once the agent reads it
            run.send_signal(signal.SIGINT)
            assert run.wait(60) == 130
        assert run.stderr is not None
        assert run.stderr.read() == b""


# -- enrolment


def enrolment(printed: bytes) -> wire.Message:
    body = wire.decode_message(wire.decode_envelope(printed).payload).body
    return message_in(printed, body["public_key"])


def test_an_enrolment_is_printed_signed_with_the_key_that_it_brings(agent: AgentProcess) -> None:
    done = agent.run("enrol", "--print", data=f"{TOKEN}\n".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    message = enrolment(done.stdout)
    assert (message.audience, message.host_id, message.epoch) == ("audience-1", "host-1", 1)
    assert (message.kind, message.sequence, message.previous) == (wire.ENROL, 1, wire.GENESIS)
    assert message.body["token"] == TOKEN
    assert message.body["host_name"] == os.uname().nodename
    assert message.body["public_key"] == (agent.state / "key.pub").read_text().strip()


def test_a_token_can_come_from_a_file(agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    done = agent.run("enrol", "--print", "--token-file", f"{tmp_path}/token")
    assert enrolment(done.stdout).body["token"] == TOKEN


def test_an_enrolment_is_sent_and_its_acceptance_remembered(agent: AgentProcess) -> None:
    with open_door(accepting()) as door:
        done = agent.run("enrol", "--url", door.url, data=TOKEN.encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"enrolled as host-1 with key SHA256:")
    assert door.paths == ["/agent/v1/enrol"]
    assert agent.history().acknowledged == wire.decode_envelope(door.sent[0]).digest
    assert identity.load_identity(str(agent.state)).controller == door.url


def test_a_url_with_a_path_keeps_it(agent: AgentProcess) -> None:
    with open_door(accepting()) as door:
        assert agent.run("enrol", "--url", f"{door.url}/behind/a-proxy/", data=TOKEN.encode()).returncode == 0
    assert door.paths == ["/behind/a-proxy/agent/v1/enrol"]


def test_enrolling_again_is_refused_until_it_is_meant(agent: AgentProcess) -> None:
    agent.run("enrol", "--print", data=TOKEN.encode())
    before = (agent.state / "key").read_bytes()
    done = agent.run("enrol", "--print", data=TOKEN.encode())
    assert done.returncode == 2
    assert said(done) == (
        "verdelta-agent: this host is enrolled as host-1\n  To enrol it anew with a new key: --replace\n"
    )
    assert (agent.state / "key").read_bytes() == before
    done = agent.run("enrol", "--print", "--replace", data=b"audience-1.host-1.2.secret")
    assert done.returncode == 0
    assert enrolment(done.stdout).epoch == 2
    assert (agent.state / "key").read_bytes() != before


def test_the_same_again_after_a_lost_answer_brings_the_same_key(agent: AgentProcess) -> None:
    with open_door(lambda path, data: Reply(None)) as door:
        for _ in range(2):
            done = agent.run("enrol", "--url", door.url, data=TOKEN.encode())
            assert done.returncode == 1
            said(done)
        door.answer = accepting()
        assert agent.run("enrol", "--url", door.url, data=TOKEN.encode()).returncode == 0
    keys = {message.body["public_key"] for message in door.messages}
    assert len(keys) == 1
    assert [message.sequence for message in door.messages] == [1, 2, 3]


def test_a_key_is_good_for_one_invitation_alone(agent: AgentProcess) -> None:
    with open_door(lambda path, data: Reply(None)) as door:
        agent.run("enrol", "--url", door.url, data=TOKEN.encode())
        agent.run("enrol", "--url", door.url, data=b"audience-1.host-1.2.secret")
    assert len({message.body["public_key"] for message in door.messages}) == 2
    assert [message.sequence for message in door.messages] == [1, 1]


def test_what_is_watched_is_kept_beside_etc(agent: AgentProcess, tmp_path: Path) -> None:
    done = agent.run("enrol", "--print", "--watch", "/srv/ü", "--watch", "app", data=TOKEN.encode(), cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads((agent.state / "watched.json").read_text()) == ["/etc", "/srv/ü", f"{tmp_path}/app"]


@pytest.mark.parametrize(
    ("arguments", "token", "expected"),
    [
        ([], TOKEN, "say where the controller is: --url https://controller:8470"),
        (["--print"], "", "not an enrolment token"),
        (["--print"], "a.b.²*.secret", "not an enrolment token"),
        (["--print"], "a.b.1.secret " * 1000, "the token is larger than 4096 bytes"),
        (["--url", "controller:8470"], TOKEN, "URL has to look like https://controller:8470"),
        (["--url", "ftp://controller"], TOKEN, "URL has to look like https://controller:8470"),
        (["--url", "https://"], TOKEN, "URL has to look like https://controller:8470"),
        (["--url", "https://u:p@controller"], TOKEN, "URL has to look like https://controller:8470"),
        (["--url", "https://controller/?a=b"], TOKEN, "URL has to look like https://controller:8470"),
        (["--url", "https://controller:99999"], TOKEN, "is no URL"),
        (["--url", "https://controller:port"], TOKEN, "is no URL"),
        (["--url", "https://[::1"], TOKEN, "is no URL"),
        (["--url", "http://controller:8470"], TOKEN, "plain HTTP is spoken to this machine alone"),
        (["--url", "http://127.0.0.1.evil.example"], TOKEN, "plain HTTP is spoken to this machine alone"),
        (["--url", "http://localhost@evil.example"], TOKEN, "URL has to look like"),
    ],
)
def test_an_enrolment_that_makes_no_sense_makes_nothing(
    agent: AgentProcess, arguments: list[str], token: str, expected: str
) -> None:
    done = agent.run("enrol", *arguments, data=token.encode())
    assert done.returncode == 2
    assert expected in said(done)
    assert "secret" not in said(done)
    assert not agent.state.exists()


def test_bytes_for_a_token_are_refused(agent: AgentProcess) -> None:
    done = agent.run("enrol", "--print", data=b"a.b.1.\xff\xfe")
    assert (done.returncode, said(done)) == (
        2,
        "verdelta-agent: not an enrolment token: expected four parts separated by dots\n",
    )


def test_a_token_file_that_is_not_there_is_named(agent: AgentProcess) -> None:
    done = agent.run("enrol", "--print", "--token-file", "/no/such/token")
    assert done.returncode == 1
    assert "/no/such/token" in said(done)


def test_a_ca_file_that_is_not_there_is_named(agent: AgentProcess) -> None:
    done = agent.run("enrol", "--url", "https://127.0.0.1:9", "--ca", "/no/such/ca.pem", data=TOKEN.encode())
    assert done.returncode == 1
    assert "the CA's certificate /no/such/ca.pem: No such file or directory" in said(done)


# -- an audit by an installed agent


@pytest.fixture
def enrolled(agent: AgentProcess) -> AgentProcess:
    agent.enrolled("")
    return agent


def audit(agent: AgentProcess, request: wire.Request | None) -> wire.Message:
    arguments = ["--request", "-"] if request else []
    done = agent.run("audit", *arguments, data=wire.encode_request(request) if request else b"")
    assert (done.returncode, done.stderr) == (0, b"")
    return message_in(done.stdout, (agent.state / "key.pub").read_text())


def test_an_audit_of_its_own_accord_is_whole(enrolled: AgentProcess) -> None:
    message = audit(enrolled, None)
    assert (message.kind, message.host_id, message.sequence, message.previous) == (wire.AUDIT, "host-1", 1, "")
    assert set(message.body["contents"]) == {"system.host", "system.files"}
    for name, content in message.body["contents"].items():
        assert rows_digest(content["rows"]) == message.body["sections"][name]["digest"]
    assert "install_idle" not in message.body


def test_an_audit_answers_its_request(enrolled: AgentProcess) -> None:
    first = audit(enrolled, None)
    known = {name: section["digest"] for name, section in first.body["sections"].items()}
    accepted = wire.Envelope(wire.encode_message(first), "", b"").digest
    (enrolled.watched / "new").write_text("new")
    lock = str(enrolled.watched)
    second = audit(enrolled, REQUEST._replace(known=known, last=accepted, install_lock=lock))
    assert (second.sequence, second.previous, second.body["challenge"]) == (2, accepted, "asked-1")
    assert second.body["install_idle"] is True
    (name,) = second.body["contents"]
    assert (name, second.body["contents"][name]["base"]) == ("system.files", known["system.files"])
    assert f"{enrolled.watched}/new" in second.body["contents"][name]["set"]


def test_a_request_can_come_from_a_file(enrolled: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "request").write_bytes(wire.encode_request(REQUEST))
    done = enrolled.run("audit", "--request", f"{tmp_path}/request")
    assert message_in(done.stdout, (enrolled.state / "key.pub").read_text()).body["challenge"] == "asked-1"


@pytest.mark.parametrize(
    "request_",
    [REQUEST._replace(host_id="host-2"), REQUEST._replace(audience="audience-2")],
    ids=["host", "controller"],
)
def test_a_request_for_another_host_or_by_another_controller_is_refused(
    enrolled: AgentProcess, request_: wire.Request
) -> None:
    done = enrolled.run("audit", "--request", "-", data=wire.encode_request(request_))
    assert (done.returncode, done.stdout) == (2, b"")
    assert said(done) == "verdelta-agent: the request is for another host, or from another controller\n"
    assert enrolled.history().sequence == 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the request is not JSON"),
        (b"[]", "the request is not a JSON object"),
        (b"{}", "field 'audience' is not one line"),
        (b"\xff\xfe", "the request is not JSON"),
        (b"x" * (1 << 21), "the request is larger than 1048576 bytes"),
        (json.dumps({**REQUEST._asdict(), "install_lock": "../../x"}).encode(), "field 'install_lock' is not"),
        (json.dumps({**REQUEST._asdict(), "known": []}).encode(), "field 'known' is not an object of texts"),
    ],
    ids=["empty", "list", "object", "bytes", "large", "lock", "known"],
)
def test_a_request_that_is_none_is_wrong_usage(enrolled: AgentProcess, data: bytes, expected: str) -> None:
    done = enrolled.run("audit", "--request", "-", data=data)
    assert (done.returncode, done.stdout) == (2, b"")
    assert expected in said(done)


def test_an_install_lock_that_is_not_there_is_an_error_that_the_controller_can_show(enrolled: AgentProcess) -> None:
    request = REQUEST._replace(install_lock=f"{enrolled.watched}/nowhere")
    done = enrolled.run("audit", "--request", "-", data=wire.encode_request(request))
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"{enrolled.watched}/nowhere" in said(done)
    assert sorted(os.listdir(enrolled.watched)) == ["motd"]


@pytest.mark.parametrize("command", ["audit", "report"])
def test_a_host_that_is_not_enrolled_is_told_how_and_nothing_is_made(agent: AgentProcess, command: str) -> None:
    done = agent.run(command)
    assert done.returncode == 1
    assert said(done).endswith("this host is not enrolled\n  Enrol this host: verdelta-agent enrol\n")
    assert not agent.state.exists()


def test_a_host_that_only_answers_does_not_report(enrolled: AgentProcess) -> None:
    done = enrolled.run("report")
    assert done.returncode == 1
    assert "enrolled without a controller to call" in said(done)


def test_a_key_that_is_gone_is_said(enrolled: AgentProcess) -> None:
    (enrolled.state / "key").unlink()
    done = enrolled.run("audit")
    assert done.returncode == 1
    assert "there is no key here" in said(done)


# -- an audit without an agent


@pytest.fixture
def host_key(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/ssh_host_key"], check=True)
    return tmp_path / "ssh_host_key"


def test_without_an_agent_the_host_key_signs_and_nothing_is_left_behind(agent: AgentProcess, host_key: Path) -> None:
    (host_key.parent / "home").mkdir()
    before = sorted(host_key.parent.rglob("*"))
    request = REQUEST._replace(epoch=3, sequence=9, last="previous", known={"system.host": "other"})
    environment = {"HOME": str(host_key.parent / "home"), "TMPDIR": str(host_key.parent / "home")}
    arguments = ["audit", "--request", "-", "--sign-with", str(host_key)]
    done = agent.run(*arguments, data=wire.encode_request(request), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    message = message_in(done.stdout, host_key.with_suffix(".pub").read_text())
    assert (message.epoch, message.sequence, message.previous) == (3, 9, "previous")
    assert message.body["challenge"] == "asked-1"
    assert set(message.body["contents"]) == {"system.host", "system.files"}
    assert all("rows" in content for content in message.body["contents"].values())
    assert sorted(host_key.parent.rglob("*")) == before


def test_without_an_agent_there_has_to_be_a_request(agent: AgentProcess, host_key: Path) -> None:
    done = agent.run("audit", "--sign-with", str(host_key))
    assert done.returncode == 2
    assert "--sign-with needs --request" in said(done)


def test_a_host_key_that_is_not_there_is_named(agent: AgentProcess) -> None:
    done = agent.run("audit", "--request", "-", "--sign-with", "/no/such/key", data=wire.encode_request(REQUEST))
    assert (done.returncode, done.stdout) == (1, b"")
    assert "/no/such/key" in said(done)


# -- where the state may not be written


def test_a_state_directory_that_cannot_be_made_is_one_line(agent: AgentProcess) -> None:
    (agent.state).touch()
    for arguments in (["enrol", "--print"], ["report"], ["audit"], ["inventory"]):
        done = agent.run(*arguments, data=TOKEN.encode())
        assert done.returncode == 1
        said(done)


def test_a_state_directory_where_nobody_may_write_is_one_line() -> None:
    program = [sys.executable, "-m", "verdelta_agent", "--state", "/sys/verdelta-agent", "enrol", "--print"]
    done = subprocess.run(program, input=TOKEN.encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert "/sys/verdelta-agent" in said(done)


def test_every_section_can_be_named(agent: AgentProcess) -> None:
    program = [sys.executable, "-m", "verdelta_agent", "--state", str(agent.state)]
    inventory = [*program, "inventory", *SECTION_NAMES, "-o", "json"]
    printed = subprocess.run(inventory, stdout=subprocess.PIPE, check=True).stdout
    assert set(json.loads(printed)["sections"]) == set(SECTION_NAMES)
