"""A host whose OpenSSH cannot sign gives the same signatures as one whose can, made by OpenSSL."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent import identity, old_openssh
from verdelta_agent.identity import SSHSIG, IdentityError, Key
from verdelta_controller.foundation.signing import verify

OLD_SSH = """#!/bin/sh
case "$*" in *-Y*) echo "unknown option -- Y" >&2; exit 1;; esac
exec /usr/bin/ssh-keygen "$@"
"""
DATA = b"the envelope's bytes"


@pytest.fixture
def old_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a host's keys, where ssh-keygen is of OpenSSH 8.0."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ssh-keygen").write_text(OLD_SSH)
    (tools / "ssh-keygen").chmod(0o755)
    monkeypatch.setitem(identity.ENVIRONMENT, "PATH", f"{tools}:/usr/bin:/bin")
    (tmp_path / "ssh").mkdir()
    return tmp_path / "ssh"


def _make(path: Path, *options: str) -> Key:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", *options, "-f", str(path)], check=True)
    return identity.host_key(str(path))


@pytest.mark.parametrize("options", [(), ("-m", "PEM")], ids=["openssh", "pem"])
def test_an_ecdsa_host_key_signs_and_leaves_nothing_behind(old_host: Path, options: tuple[str, ...]) -> None:
    key = _make(old_host / "key", *options)
    for number in range(20):  # the numbers of a signature have a leading zero in half of them
        verify(SSHSIG, key.public_key, b"%d" % number, identity.sign(key, b"%d" % number))
    assert sorted(os.listdir(old_host)) == ["key", "key.pub"]


def test_openssh_itself_verifies_such_a_signature(old_host: Path) -> None:
    blob = identity.sign(_make(old_host / "key"), DATA)
    armoured = subprocess.run(["openssl", "base64"], input=blob, stdout=subprocess.PIPE, check=True).stdout
    path = old_host / "signature"
    path.write_bytes(b"-----BEGIN SSH SIGNATURE-----\n" + armoured + b"-----END SSH SIGNATURE-----\n")
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", "verdelta", "-s", str(path)]
    subprocess.run(command, input=DATA, stdout=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("number", [1, 5, 1 << 240, (1 << 255) + 7])
def test_a_secret_number_of_any_size_is_taken(old_host: Path, number: int) -> None:
    private = ec.derive_private_key(number, ec.SECP256R1())
    path = old_host / "key"
    path.touch(mode=0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    verify(SSHSIG, public, DATA, identity.sign(Key(SSHSIG, public, str(path)), DATA))


def test_an_ed25519_host_key_is_refused_with_the_way_out(old_host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.backends", None)  # test_by_cryptography.py has it there
    path = old_host / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    with pytest.raises(IdentityError, match=r"cannot sign.*\n  Pin its ecdsa-sha2-nistp256 host key"):
        identity.sign(identity.host_key(str(path)), DATA)


@pytest.mark.parametrize("options", [("-b", "384"), ("-N", "secret")])
def test_a_key_that_cannot_be_used_is_said(old_host: Path, options: tuple[str, ...]) -> None:
    _make(old_host / "key", *options)
    public = _make(old_host / "other").public_key
    with pytest.raises(IdentityError, match=r"not an ECDSA key on P-256|has a passphrase"):
        identity.sign(Key(SSHSIG, public, str(old_host / "key")), DATA)


def test_a_key_file_of_any_size_does_not_fill_the_pipe(old_host: Path) -> None:
    public = _make(old_host / "other").public_key
    (old_host / "key").write_text("x" * 100000)
    with pytest.raises(IdentityError, match="a private key of 100000 characters"):
        identity.sign(Key(SSHSIG, public, str(old_host / "key")), DATA)


@given(data=st.data())
def test_a_damaged_private_key_is_said_and_never_a_crash(data) -> None:
    private = ec.derive_private_key(7, ec.SECP256R1())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "A", "\n", "!"])) + text[at + data.draw(st.integers(1, 9)) :]
    with contextlib.suppress(ValueError):  # and nothing else
        old_openssh.private_key_for_openssl(damaged)


@given(st.binary(max_size=100))
def test_any_bytes_are_no_der_signature_and_never_a_crash(noise: bytes) -> None:
    for der in (noise, b"\x30" + bytes([len(noise)]) + noise):
        with contextlib.suppress(ValueError):  # and nothing else
            assert old_openssh._integers(der)
