"""The agent's key and state: what is kept survives, what is lost is said, and nothing is repeated by accident."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verdelta_agent import identity, wire
from verdelta_agent.identity import ECDSA, SSHSIG, History, Identity, IdentityError, Key

ME = Identity("host-1", "controller-1", 1, "https://controller.example:8470", None)
OLD_SSH = '#!/bin/sh\ncase "$*" in *-Y*) echo "unknown option -- Y" >&2; exit 1;; esac\nexec /usr/bin/ssh-keygen "$@"\n'


def _tools(directory: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Let the agent find these programs and no others."""
    directory.mkdir()
    for name, script in scripts.items():
        (directory / name.replace("_", "-")).write_text(script)
        (directory / name.replace("_", "-")).chmod(0o755)
    monkeypatch.setitem(identity.ENVIRONMENT, "PATH", str(directory))


def _old_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tools(tmp_path / "bin", monkeypatch, ssh_keygen=OLD_SSH, openssl='#!/bin/sh\nexec /usr/bin/openssl "$@"\n')


def test_a_key_is_ed25519_where_ssh_keygen_signs(tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path / "state"))
    assert key.scheme == SSHSIG
    assert key.public_key.startswith("ssh-ed25519 ")
    assert identity.sign(key, b"data").startswith(b"SSHSIG\0\0\0\1")


def test_a_key_is_ecdsa_where_ssh_keygen_is_too_old_to_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _old_host(tmp_path, monkeypatch)
    key = identity.create_key(str(tmp_path / "state"))
    assert key.scheme == ECDSA
    assert key.public_key.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert identity.sign(key, b"data")[0] == 0x30  # a DER sequence
    assert identity.load_key(str(tmp_path / "state")) == key


def test_a_host_with_nothing_to_sign_with_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tools(tmp_path / "bin", monkeypatch)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.backends", None)
    reasons = r"(?s)ssh-keygen: No such.*openssl: No such.*cryptography: .*\n  Install OpenSSH"
    with pytest.raises(IdentityError, match=reasons):
        identity.create_key(str(tmp_path / "state"))
    assert os.listdir(tmp_path / "state") == []


@pytest.mark.parametrize("old", [False, True], ids=["ssh-keygen", "openssl"])
def test_nobody_else_can_read_the_key_or_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        _old_host(tmp_path, monkeypatch)
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    key = identity.create_key(str(state))
    assert state.stat().st_mode & 0o777 == 0o700
    assert Path(key.path).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path))
    os.chmod(key.path, 0o640)
    with pytest.raises(IdentityError, match="others may read this key"):
        identity.load_key(str(tmp_path))


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path))
    with pytest.raises(IdentityError, match="there is a key already"):
        identity.create_key(str(tmp_path))
    assert identity.load_key(str(tmp_path)) == key


def test_a_key_made_half_way_is_made_anew(tmp_path: Path) -> None:
    for leftover in ("key.new", "key.new.pub", "key.pub"):
        (tmp_path / leftover).write_text("half")
    with pytest.raises(IdentityError, match="there is no key here"):
        identity.load_key(str(tmp_path))
    key = identity.create_key(str(tmp_path))
    assert identity.load_key(str(tmp_path)) == key
    assert identity.sign(key, b"data")
    assert sorted(os.listdir(tmp_path)) == ["key", "key.pub"]


def test_a_key_id_is_what_ssh_keygen_prints(tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path))
    printed = subprocess.run(["ssh-keygen", "-l", "-f", key.path], stdout=subprocess.PIPE, check=True).stdout
    assert identity.key_id(key.public_key) == printed.decode().split()[1]


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 ***", "-----BEGIN PUBLIC KEY-----", "\0\n \n"])
def test_what_is_no_public_key_has_no_id(text: str) -> None:
    with pytest.raises(IdentityError, match="not a public key"):
        identity.key_id(text if not text.startswith("-----") else text + "\n!\n-----END PUBLIC KEY-----")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("public_half", [True, False])
def test_an_ssh_host_key_signs_and_leaves_nothing_behind(tmp_path: Path, kind: str, public_half: bool) -> None:
    path = tmp_path / "ssh_host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    if not public_half:
        (tmp_path / "ssh_host_key.pub").unlink()
    before = sorted(os.listdir(tmp_path))
    key = identity.host_key(str(path))
    assert identity.sign(key, b"data").startswith(b"SSHSIG")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_missing_host_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="ssh-keygen"):
        identity.host_key(str(tmp_path / "none"))


def test_a_key_with_a_passphrase_fails_instead_of_asking(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(path)], check=True)
    with pytest.raises(IdentityError, match="ssh-keygen -Y sign failed"):
        identity.sign(identity.host_key(str(path)), b"data")


def test_a_tool_that_hangs_is_ended_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tools(tmp_path / "bin", monkeypatch, ssh_keygen="#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(IdentityError, match=r"did not end within 0\.2 s"):
        identity.sign(Key(SSHSIG, "ssh-ed25519 AAAA", "/none"), b"data", deadline=0.2)


def test_a_tool_that_prints_something_else_is_no_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tools(tmp_path / "bin", monkeypatch, ssh_keygen="#!/bin/sh\necho hello\n")
    with pytest.raises(IdentityError, match="printed no signature"):
        identity.sign(Key(SSHSIG, "ssh-ed25519 AAAA", "/none"), b"data")


def test_a_sealed_message_comes_out_as_it_went_in(tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path))
    payload, history = identity.next_message(ME, History(), wire.CHECK_IN, {"root": "r"})
    envelope = wire.decode_envelope(identity.seal(payload, key))
    assert envelope.payload == payload
    assert envelope.key_id == identity.key_id(key.public_key)
    assert history.pending == (envelope.digest,)


def test_a_message_rises_in_sequence_and_names_the_last_one_that_was_accepted() -> None:
    payload, history = identity.next_message(ME, History(), wire.ENROL, {})
    first = wire.decode_message(payload)
    assert (first.sequence, first.previous, first.body) == (1, wire.GENESIS, {})
    history = identity.acknowledge(history, history.pending[0])
    payload, history = identity.next_message(ME, history, wire.CHECK_IN, {})
    second = wire.decode_message(payload)
    assert (second.sequence, second.previous) == (2, history.acknowledged)


def test_a_message_names_those_that_went_unanswered_since() -> None:
    _, history = identity.next_message(ME, History(4, "accepted"), wire.CHECK_IN, {})
    payload, after = identity.next_message(ME, history, wire.CHECK_IN, {"root": "r"})
    second = wire.decode_message(payload)
    assert second.previous == "accepted"
    assert second.body == {"root": "r", "unanswered": list(history.pending)}
    assert identity.acknowledge(after, after.pending[0]) == History(6, after.pending[0], after.pending[1:])
    assert identity.acknowledge(after, after.pending[1]) == History(6, after.pending[1], ())


def test_a_digest_that_this_host_did_not_make_is_not_acknowledged() -> None:
    _, history = identity.next_message(ME, History(4, "accepted"), wire.CHECK_IN, {})
    assert identity.acknowledge(history, "somebody else's") == history
    assert identity.acknowledge(history, "accepted") == history  # the one under way may still arrive


def test_a_year_of_silence_does_not_grow_the_history_without_bound() -> None:
    history = History()
    for _ in range(identity.KEPT + 100):
        _, history = identity.next_message(ME, history, wire.CHECK_IN, {})
    assert len(history.pending) == identity.KEPT
    assert history.sequence == identity.KEPT + 100


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = History(7, "accepted", ("one", "two"))
    identity.save_history(str(tmp_path), history)
    identity.save_identity(str(tmp_path), ME._replace(ca_file="/etc/verdelta/ca.pem"))
    assert identity.load_history(str(tmp_path)) == history
    assert identity.load_identity(str(tmp_path)) == ME._replace(ca_file="/etc/verdelta/ca.pem")
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "history.json": 0o600,
        "identity.json": 0o600,
    }


def test_what_a_newer_agent_wrote_beside_it_is_no_error(tmp_path: Path) -> None:
    identity.save_identity(str(tmp_path), ME)
    path = tmp_path / "identity.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), later="field")))
    assert identity.load_identity(str(tmp_path)) == ME


def test_a_host_that_is_not_enrolled_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match=r"(?s)not enrolled\n  Enrol this host: verdelta-agent enrol"):
        identity.load_identity(str(tmp_path))
    with pytest.raises(IdentityError, match="no key here"):
        identity.load_key(str(tmp_path))


def test_a_lost_history_does_not_begin_again(tmp_path: Path) -> None:
    identity.save_identity(str(tmp_path), ME)
    with pytest.raises(IdentityError, match=r"history\.json: this host is not enrolled"):
        identity.load_history(str(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"[" * 90000, b"\xff\xfe", b'{"sequence": true}', b'{"sequence": "1"}']
)
def test_a_damaged_state_is_said_and_never_guessed(tmp_path: Path, content: bytes) -> None:
    for name, load in (("history.json", identity.load_history), ("identity.json", identity.load_identity)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(IdentityError, match="is damaged"):
            load(str(tmp_path))


def test_a_state_file_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "history.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(IdentityError, match="larger than"):
        identity.load_history(str(tmp_path))


def test_a_second_run_waits_for_the_first_and_says_so_when_it_takes_too_long(tmp_path: Path) -> None:
    impatient = identity.locked(str(tmp_path), patience=0.1)
    with identity.locked(str(tmp_path)), pytest.raises(IdentityError, match="another run of the agent"), impatient:
        pass
    with identity.locked(str(tmp_path), patience=0):
        pass


def test_a_lock_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    program = (
        f"from verdelta_agent import identity as i\nwith i.locked({str(tmp_path)!r}): print(1, flush=True); input()"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with run:
        assert run.stdout.readline() == b"1\n"
        run.kill()
        with identity.locked(str(tmp_path), patience=5):
            pass


WRITER = """
from verdelta_agent import identity as i
directory, me = {directory!r}, i.Identity("h", "a", 1, "u")
while True:
    with i.locked(directory):
        _, history = i.next_message(me, i.load_history(directory), "check-in", {{}})
        i.save_history(directory, history)
        print(history.sequence, flush=True)
"""


def test_a_run_killed_at_any_point_leaves_a_history_that_is_not_behind_what_was_sent(tmp_path: Path) -> None:
    identity.save_history(str(tmp_path), History())
    sent = 0
    for attempt in range(8):
        run = subprocess.Popen([sys.executable, "-c", WRITER.format(directory=str(tmp_path))], stdout=subprocess.PIPE)
        time.sleep(0.15 + attempt * 0.013)
        run.send_signal(signal.SIGKILL)
        lines = [int(line) for line in run.communicate()[0].splitlines() if line]
        assert lines == sorted(set(lines)) and (not lines or lines[0] > sent)
        sent = max([sent, *lines])
        assert identity.load_history(str(tmp_path)).sequence >= sent
    assert sent > 0
