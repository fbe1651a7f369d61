"""Reaching hosts over SSH, held against OpenSSH's own server.

Nothing is sent to a host whose key is not the pinned one, and whatever a command or a connection does, it ends.
"""

import contextlib
import hashlib
import io
import logging
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest
from tests.support import sshd
from tests.support.sshd import Sshd

from verdelta_controller.fleet import channels
from verdelta_controller.fleet.channels import Address, HostKeyChanged, LocalChannel, SshChannel, Unreachable
from verdelta_controller.fleet.host_keys import fingerprint, normal
from verdelta_controller.foundation.errors import InvalidInput

LOGIN = "userauth-request"  # what the server logs when a client first says who it is


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def channel(server: Sshd) -> Iterator[SshChannel]:
    with open_channel(server) as channel:
        yield channel


def open_channel(server: Sshd, host_key: str = "") -> SshChannel:
    return SshChannel(server.address(host_key), channels.load_private_key(server.private_key))


def shell(channel: SshChannel, line: str, data: bytes = b"", timeout: float = 20) -> channels.Completed:
    return channel.run(["sh", "-c", line], data, timeout)


# -- whom we speak to


def test_the_pinned_key_lets_us_speak(server):
    before = len(server.log())
    with open_channel(server) as channel:
        assert channel.run(["echo", "hello"]) == (0, b"hello\n", "")
    assert LOGIN in server.log()[before:]  # so its absence below means something


def test_a_changed_key_is_named_and_nothing_is_sent_not_even_a_login(server, tmp_path):
    other = sshd.make_key(tmp_path / "other")
    before = len(server.log())
    with pytest.raises(HostKeyChanged) as refused:
        open_channel(server, other)
    shown, pinned = fingerprint(server.host_keys["ed25519"]), fingerprint(other)
    assert f"web-07: host key changed since it was pinned (was {pinned}, now {shown})" in str(refused.value)
    assert "verdelta host repin web-07" in str(refused.value)
    wait_until(lambda: re.search("Connection (closed|reset)|[Dd]isconnect", server.log()[before:]) is not None)
    assert LOGIN not in server.log()[before:]


def test_a_key_of_another_type_than_the_pinned_one_is_a_changed_key_too(server, tmp_path):
    before = len(server.log())
    for kind in ("ecdsa", "rsa"):
        with pytest.raises(HostKeyChanged, match="host key changed"):
            open_channel(server, sshd.make_key(tmp_path / kind, kind))
    assert LOGIN not in server.log()[before:]


def test_a_key_that_changes_after_it_was_looked_at_is_noticed(tmp_path):
    with sshd.running(tmp_path / "one") as one, sshd.running(tmp_path / "other") as other:
        looked_at = channels.scan("127.0.0.1", one.port)
        elsewhere = one.address(looked_at)._replace(port=other.port)  # another machine answers there now
        with pytest.raises(HostKeyChanged):
            SshChannel(elsewhere, channels.load_private_key(other.private_key))
        assert LOGIN not in other.log()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_of_a_hosts_keys_any_can_be_the_pinned_one(tmp_path, kind):
    with sshd.running(tmp_path / "sshd", ["ed25519", "ecdsa", "rsa"]) as server:
        with open_channel(server, server.host_keys[kind]) as channel:
            assert channel.run(["true"]).status == 0
        with pytest.raises(HostKeyChanged):
            open_channel(server, sshd.make_key(tmp_path / "other", kind))


@pytest.mark.parametrize("pinned", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "nonsense nonsense"])
def test_without_a_pinned_key_nobody_is_spoken_to(server, pinned):
    address = Address("web-07", "127.0.0.1", server.port, "root", pinned)
    with pytest.raises(InvalidInput, match="not a public host key"):
        SshChannel(address, channels.load_private_key(server.private_key))


def test_a_login_that_is_refused_says_so_without_the_key(server, tmp_path):
    sshd.make_key(tmp_path / "wrong")
    private = (tmp_path / "wrong").read_text()
    with pytest.raises(Unreachable, match="was not let in") as refused:
        SshChannel(server.address(), channels.load_private_key(private))
    said = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert not any(line in said for line in private.splitlines())


def test_a_failed_connection_leaves_nothing_open(server, tmp_path):
    other, wrong = sshd.make_key(tmp_path / "other"), tmp_path / "wrong"
    sshd.make_key(wrong)
    for host_key, private in ((other, server.private_key), ("", wrong.read_text())):
        with pytest.raises((HostKeyChanged, Unreachable)):
            SshChannel(server.address(host_key), channels.load_private_key(private))
    wait_until(lambda: not any(isinstance(thread, paramiko.Transport) for thread in threading.enumerate()))


def test_nobody_there_is_unreachable(server):
    with sshd_port_without_sshd() as port, pytest.raises(Unreachable, match=f"web-07: not reached at 127.0.0.1:{port}"):
        SshChannel(server.address()._replace(port=port), channels.load_private_key(server.private_key))


@pytest.mark.parametrize(
    "greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-\x1b[31mred\x07\r\n" + b"x" * 9000]
)
def test_what_is_no_ssh_server_is_unreachable_and_cannot_drive_the_terminal(server, greeting, monkeypatch):
    monkeypatch.setattr(channels, "CONNECT_TIMEOUT", 0.5)
    private = channels.load_private_key(server.private_key)
    with strange_server(greeting) as port:
        for speak in (
            lambda: SshChannel(server.address()._replace(port=port), private),
            lambda: channels.scan("127.0.0.1", port),
        ):
            with pytest.raises(Unreachable) as refused:
                speak()
            assert refused.value.message.isprintable() and len(refused.value.message) < 700


# -- looking at a key


def test_a_scan_shows_the_key_and_does_not_log_in(server):
    before = len(server.log())
    assert channels.scan("127.0.0.1", server.port) == normal(server.host_keys["ed25519"])
    assert LOGIN not in server.log()[before:]


@pytest.mark.parametrize("address", ["", "-oProxyCommand=id", "a b", "$(id)", "\ud800", "a" * 300, "fe80::1%$(id)"])
def test_a_scan_of_what_is_no_address_looks_nothing_up(address, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("it was looked up"))
    with pytest.raises(InvalidInput, match="is no address"):
        channels.scan(address, 22)


def test_a_scan_of_nobody_is_unreachable():
    with sshd_port_without_sshd() as port, pytest.raises(Unreachable, match="no SSH server answers"):
        channels.scan("127.0.0.1", port)


# -- commands


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_a_command_ends_with_its_status_its_output_and_what_it_complained_of(channel, status):
    done = shell(channel, f"echo out; echo err >&2; exit {status}")
    assert done == (status, b"out\n", "err\n")


def test_words_stay_words(channel):
    words = ["a b", "$HOME", "'", '"', "\\", "*", "; exit 9", "\n", "", "-n", "\N{GREEK SMALL LETTER LAMDA}"]
    done = channel.run(["printf", "[%s]", *words])
    assert done.output.decode() == "".join(f"[{word}]" for word in words)


def test_a_megabyte_goes_in_whole(channel):
    data = bytes(range(256)) * 4096
    done = channel.run(["sha256sum"], data)
    assert done.output.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_command_that_does_not_read_its_input_ends_all_the_same(channel):
    assert channel.run(["true"], b"x" * (8 << 20)).status == 0
    assert shell(channel, "exec <&-; sleep 0.2; echo done", b"x" * (8 << 20)).output == b"done\n"


@pytest.mark.parametrize(
    "line",
    [
        "head -c 8000000 /dev/zero | tr '\\0' e >&2; echo last >&2; cat",  # all complaints first
        "head -c 8000000 /dev/zero | tr '\\0' e >&2 & cat; wait; echo last >&2",  # both at once
    ],
)
def test_a_command_that_complains_at_length_is_heard_out_and_the_end_of_it_is_kept(channel, line):
    data = b"o" * (4 << 20)
    done = shell(channel, line, data, timeout=60)
    assert done.output == data
    assert done.error.endswith("last\n") and len(done.error) <= channels.ERROR_LIMIT


def test_more_output_than_is_taken_ends_the_command(channel, monkeypatch):
    monkeypatch.setattr(channels, "OUTPUT_LIMIT", 1 << 20)
    with pytest.raises(Unreachable, match="web-07: the command printed more than 1048576 bytes"):
        shell(channel, "cat /dev/zero")
    assert channel.run(["echo", "again"]).output == b"again\n"  # the connection is as good as before


def test_what_is_no_text_among_the_complaints_is_replaced(channel):
    assert shell(channel, r"printf '\377\000ok' >&2").error == "\N{REPLACEMENT CHARACTER}\0ok"


@pytest.mark.parametrize(
    "line",
    [
        "sleep 60",
        "exec >&- 2>&-; sleep 60",  # silent for good, and still there
        "while :; do echo .; sleep 0.1; done",
        "while :; do echo . >&2; sleep 0.1; done",
        "cat >/dev/null; sleep 60",
    ],
)
def test_a_command_that_does_not_end_is_given_up_in_time(channel, line):
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"web-07: the command did not end within 0\.8 s"):
        shell(channel, line, timeout=0.8)
    assert time.monotonic() - began < 8
    assert channel.run(["echo", "again"]).output == b"again\n"


def test_a_connection_that_is_cut_while_a_command_runs_is_noticed_at_once(tmp_path):
    with sshd.running(tmp_path / "sshd") as server, open_channel(server) as channel:
        threading.Timer(0.5, server.cut).start()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="web-07: the connection ended, or the command was killed"):
            shell(channel, "echo begun; sleep 60", timeout=60)
        assert time.monotonic() - began < 20
        with pytest.raises(Unreachable):
            channel.run(["true"])


def test_a_command_that_is_killed_has_no_status_and_did_not_succeed(channel):
    with pytest.raises(Unreachable, match="or the command was killed"):
        channel.run_line("exec sh -c 'kill -9 $$'")


def test_several_commands_run_on_one_connection_at_once(channel):
    with ThreadPoolExecutor(5) as threads:
        results = list(threads.map(lambda n: shell(channel, f"sleep 0.2; cat; echo {n} >&2", b"%d" % n), range(5)))
    assert [(done.output, done.error) for done in results] == [(b"%d" % n, f"{n}\n") for n in range(5)]


def test_what_is_sent_and_the_key_are_in_no_log(server, caplog):
    caplog.set_level(logging.DEBUG)
    with open_channel(server) as channel:
        channel.run(["sh", "-c", "cat >/dev/null"], b"hunter2")
    assert "paramiko" in {record.name.partition(".")[0] for record in caplog.records}
    assert "hunter2" not in caplog.text
    assert not any(line in caplog.text for line in server.private_key.splitlines()[1:-1])


# -- the controller's own machine


def test_this_machine_runs_commands_as_others_do():
    local = LocalChannel()
    assert local.run(["sh", "-c", "cat; echo err >&2; exit 3"], b"in") == (3, b"in", "err\n")
    with pytest.raises(Unreachable, match="this machine"):
        local.run(["/nowhere/at/all"])
    with pytest.raises(Unreachable, match="timed out"):
        local.run(["sleep", "60"], timeout=0.2)


# -- strangers


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@contextlib.contextmanager
def sshd_port_without_sshd() -> Iterator[int]:
    """Yield a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def strange_server(greeting: bytes) -> Iterator[int]:
    """Yield the port of a server that says this to everybody, and then nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        callers: list[socket.socket] = []

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    callers.append(caller)
                    caller.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for caller in callers:
            caller.close()


# -- private keys


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_private_keys_of_each_kind_are_taken(tmp_path: Path, kind):
    public = sshd.make_key(tmp_path / "key", kind)
    key = channels.load_private_key((tmp_path / "key").read_text())
    assert f"{key.get_name()} {key.get_base64()}" == " ".join(public.split()[:2])


def test_keys_of_every_length_are_taken(tmp_path: Path):
    for number in range(8):  # an empty comment, and a number that is a byte longer in every other key
        sshd.make_key(tmp_path / f"key{number}", "ecdsa")
        assert channels.load_private_key((tmp_path / f"key{number}").read_text())


@pytest.mark.parametrize(
    "comment", ["", "x", "deploy@controller", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "a b" * 30]
)
@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_keys_of_every_form_and_comment_are_taken(tmp_path: Path, kind, form, comment):
    command = ["ssh-keygen", "-q", "-t", kind, "-m", form, "-N", "", "-C", comment, "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    assert channels.load_private_key((tmp_path / "key").read_text())


@pytest.mark.parametrize("spoil", ["cut", "swap", "public", "nothing", "words", "huge"])
def test_what_is_no_private_key_is_refused_without_a_byte_of_it(tmp_path: Path, spoil):
    public = sshd.make_key(tmp_path / "key")
    text = (tmp_path / "key").read_text()
    lines = text.splitlines()
    spoilt = {
        "cut": text[: len(text) // 2],
        "swap": "\n".join([lines[0], *reversed(lines[1:-1]), lines[-1]]),
        "public": public,
        "nothing": "",
        "words": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n",
        "huge": text.replace(lines[1], lines[1] * 1000),
    }[spoil]
    with pytest.raises(InvalidInput, match="not an SSH private key") as refused:
        channels.load_private_key(spoilt)
    said = f"{refused.value!r} {refused.value} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert not any(line in said for line in [*lines[1:-1], "hunter2", public.split()[1]])


def test_a_key_with_a_passphrase_is_refused_with_the_mend(tmp_path: Path):
    key = paramiko.ECDSAKey.generate()
    locked = io.StringIO()
    key.write_private_key(locked, password="hunter2")
    with pytest.raises(InvalidInput, match="without a passphrase") as refused:
        channels.load_private_key(locked.getvalue())
    assert "ssh-keygen -t ed25519 -N ''" in str(refused.value)
