"""A signature counts when the key that is trusted made it over these bytes for Verdelta, and in no other case."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent import identity
from verdelta_controller.foundation import sshsig
from verdelta_controller.foundation.errors import NotFound
from verdelta_controller.foundation.keyfile import UnsafeKeyFile
from verdelta_controller.foundation.signing import (
    ECDSA,
    SSHSIG,
    BadKey,
    BadSignature,
    SealBroken,
    SigningKey,
    Statement,
    Vault,
    key_id,
    open_statement,
    verify,
)

DATA = b"the envelope's bytes"


def _ssh(directory: Path, kind: str) -> identity.Key:
    path = directory / f"{kind}-key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    return identity.host_key(str(path))


def _openssl(directory: Path) -> identity.Key:
    return identity._create_openssl_key(str(directory / "openssl-key"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, identity.Key]:
    directory = tmp_path_factory.mktemp("keys")
    return {
        "ed25519": _ssh(directory, "ed25519"),
        "ecdsa": _ssh(directory, "ecdsa"),
        "openssl": _openssl(directory),
    }


@pytest.fixture(scope="module")
def signatures(keys: dict[str, identity.Key]) -> dict[str, bytes]:
    return {kind: identity.sign(key, DATA) for kind, key in keys.items()}


KINDS = ["ed25519", "ecdsa", "openssl"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_agent_signs_is_verified(keys, signatures, kind: str) -> None:
    verify(keys[kind].scheme, keys[kind].public_key, DATA, signatures[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_give_a_key_the_same_id(keys, kind: str) -> None:
    assert key_id(keys[kind].scheme, keys[kind].public_key) == identity.key_id(keys[kind].public_key)


def test_a_key_has_one_id_however_its_line_is_written(keys) -> None:
    kind, encoded = keys["ed25519"].public_key.split()[:2]
    assert key_id(SSHSIG, f" {kind}\t{encoded}  root@host now with a comment\n") == key_id(SSHSIG, f"{kind} {encoded}")


@pytest.mark.parametrize("kind", KINDS)
def test_other_data_another_key_or_another_scheme_is_refused(keys, signatures, tmp_path: Path, kind: str) -> None:
    key = keys[kind]
    with pytest.raises(BadSignature):
        verify(key.scheme, key.public_key, DATA + b".", signatures[kind])
    other = _openssl(tmp_path) if kind == "openssl" else _ssh(tmp_path, kind)
    with pytest.raises(BadSignature):
        verify(other.scheme, other.public_key, DATA, signatures[kind])
    with pytest.raises(BadKey):
        verify(SSHSIG if key.scheme == ECDSA else ECDSA, key.public_key, DATA, signatures[kind])
    with pytest.raises(BadKey, match="no scheme of signatures 'none'"):
        verify("none", key.public_key, DATA, signatures[kind])


def test_a_signature_made_for_something_else_is_refused(keys) -> None:
    command = ["ssh-keygen", "-Y", "sign", "-n", "file", "-f", keys["ed25519"].path]
    armoured = subprocess.run(command, input=DATA, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    blob = base64.b64decode(b"".join(armoured.splitlines()[1:-1]))
    with pytest.raises(BadSignature, match="signed for b'file', not for verdelta"):
        verify(SSHSIG, keys["ed25519"].public_key, DATA, blob)


def test_sha256_is_as_good_as_sha512(keys) -> None:
    command = ["ssh-keygen", "-Y", "sign", "-O", "hashalg=sha256", "-n", "verdelta", "-f", keys["ed25519"].path]
    armoured = subprocess.run(command, input=DATA, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    verify(SSHSIG, keys["ed25519"].public_key, DATA, base64.b64decode(b"".join(armoured.splitlines()[1:-1])))


@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_signature_can_be_changed_left_out_or_added(keys, signatures, kind: str, data) -> None:
    signature = signatures[kind]
    at = data.draw(st.integers(0, len(signature) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != signature[at]))
    for bad in (
        signature[:at] + bytes([byte]) + signature[at + 1 :],
        signature[:at],
        signature[:at] + signature[at + 1 :],
        signature + bytes([byte]),
    ):
        with pytest.raises(BadSignature):
            verify(keys[kind].scheme, keys[kind].public_key, DATA, bad)


@given(st.binary(max_size=2000))
@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_are_a_bad_signature_and_never_a_crash(keys, kind: str, blob: bytes) -> None:
    for bad in (blob, b"SSHSIG\0\0\0\1" + blob):
        with pytest.raises(BadSignature):
            verify(keys[kind].scheme, keys[kind].public_key, DATA, bad)


@given(
    st.one_of(
        st.text(max_size=300), st.binary(max_size=200).map(lambda b: "ssh-ed25519 " + base64.b64encode(b).decode())
    )
)
@pytest.mark.parametrize("scheme", [SSHSIG, ECDSA])
def test_any_text_is_a_bad_key_and_never_a_crash(scheme: str, text: str) -> None:
    with pytest.raises(BadKey):
        verify(scheme, text, DATA, b"")
    with pytest.raises(BadKey):
        key_id(scheme, text)


def _field(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _line(kind: str, *fields: bytes) -> str:
    return f"{kind} {base64.b64encode(_field(kind.encode(), *fields)).decode()}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (_line("ssh-rsa", b"\1\0\1", b"\1" * 256), "'ssh-rsa'"),
        (_line("ssh-ed25519", b"\1" * 31), "31 bytes"),
        (_line("ssh-ed25519", b"\1" * 32, b""), "left over"),
        (_line("ecdsa-sha2-nistp256", b"nistp384", b"\4" * 65), "another curve"),
        (_line("ssh-ed25519", b"\1" * 32).replace("ssh-ed25519", "ssh-rsa"), "two types"),
        ("ssh-ed25519 " + "A" * 5000, "not an OpenSSH"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(BadKey, match=reason):
        key_id(SSHSIG, line)


def test_a_point_beside_the_curve_is_a_bad_key(signatures, keys) -> None:
    point = b"\4" + b"\1" * 64
    blob = _field(b"ecdsa-sha2-nistp256", b"nistp256", point)
    forged = signatures["ecdsa"].replace(sshsig.parse_public_key(keys["ecdsa"].public_key).blob, blob)
    with pytest.raises(BadKey, match="no point on P-256"):
        verify(SSHSIG, _line("ecdsa-sha2-nistp256", b"nistp256", point), DATA, forged)


def test_an_ed25519_key_of_small_order_signs_nothing() -> None:
    """Such a key "verifies" any message in libraries that do not look."""
    weak = _line("ssh-ed25519", b"\1" + b"\0" * 31)
    key = sshsig.parse_public_key(weak)
    value = _field(b"ssh-ed25519", b"\1" + b"\0" * 63)
    blob = b"SSHSIG\0\0\0\1" + _field(key.blob, b"verdelta", b"", b"sha512", value)
    with pytest.raises(BadSignature):
        verify(SSHSIG, weak, DATA, blob)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_a_pem_key_of_another_kind_is_refused(key) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(BadKey, match="no ECDSA key on P-256"):
        verify(ECDSA, pem, DATA, b"")


# -- the controller's own key


def test_a_statement_comes_out_as_it_went_in() -> None:
    key, statement = SigningKey.generate(), Statement("application/vnd.verdelta.verdict+json", b'{"a": 1}')
    assert open_statement(key.sign_statement(statement), key.public_key) == statement


def test_a_statement_signed_with_another_key_or_said_to_be_something_else_is_refused() -> None:
    key, statement = SigningKey.generate(), Statement("application/x-one", b"payload")
    envelope = key.sign_statement(statement)
    with pytest.raises(BadSignature):
        open_statement(envelope, SigningKey.generate().public_key)
    with pytest.raises(BadSignature):
        open_statement(envelope.replace(b"x-one", b"x-two"), key.public_key)


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100000,
        b"\xff",
        b'{"signatures": []}',
        b'{"signatures": [1], "payloadType": "t", "payload": ""}',
        b'{"signatures": [{"sig": "!"}], "payloadType": "t", "payload": ""}',
        b'{"signatures": [{"sig": 1}], "payloadType": "t", "payload": ""}',
        b'{"signatures": [{"sig": ""}], "payloadType": "\\ud800", "payload": ""}',
        b'{"signatures": [{"sig": ""}], "payloadType": "t", "payload": ""}',
    ],
)
def test_what_is_no_statement_is_a_bad_signature_and_never_a_crash(envelope: bytes) -> None:
    with pytest.raises(BadSignature):
        open_statement(envelope, SigningKey.generate().public_key)


def test_a_key_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing"
    first = SigningKey.load_or_create(path)
    assert SigningKey.load_or_create(path).public_key == SigningKey.load(path).public_key == first.public_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["signing"]


def test_processes_that_make_a_key_at_once_get_the_same_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from verdelta_controller.foundation import keyfile;"
        "sys.stdin.read(); print(keyfile.load_or_create(Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "key")]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for run in runs:
        run.stdin.close()
    made = {run.stdout.read() for run in runs}
    for run in runs:
        run.stdout.close()
        assert run.wait() == 0
    assert len(made) == 1


def test_a_key_that_is_missing_is_not_made_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Restore it from a backup"):
        SigningKey.load(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "short", base64.b64encode(b"x" * 31).decode(), "\0" * 4096])
def test_a_damaged_key_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(UnsafeKeyFile):
        SigningKey.load_or_create(path)
    assert path.read_text() == content


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Vault.load_or_create(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(UnsafeKeyFile, match="others may read this key"):
        Vault.load(tmp_path / "key")


# -- secrets at rest


def test_a_secret_opens_with_the_key_and_purpose_that_it_was_sealed_with(tmp_path: Path) -> None:
    vault = Vault.load_or_create(tmp_path / "key")
    sealed = vault.seal(b"hunter2", "credential-1")
    assert b"hunter2" not in sealed
    assert Vault.load(tmp_path / "key").open(sealed, "credential-1") == b"hunter2"
    assert vault.seal(b"hunter2", "credential-1") != sealed  # equal secrets are not to be seen


@given(st.binary(max_size=80))
def test_a_secret_does_not_open_otherwise(noise: bytes) -> None:
    vault, other = Vault(b"k" * 32), Vault(b"o" * 32)
    sealed = vault.seal(b"hunter2", "credential-1")
    for box, bad, purpose in (
        (other, sealed, "credential-1"),
        (vault, sealed, "credential-2"),
        (vault, sealed[:-1], "credential-1"),
        (vault, noise, "credential-1"),
    ):
        with pytest.raises(SealBroken) as caught:
            box.open(bad, purpose)
        assert "hunter2" not in str(caught.value)


def test_no_key_shows_itself(tmp_path: Path) -> None:
    seed = b"0123456789abcdef0123456789abcdef"
    for holder in (Vault(seed), SigningKey(seed)):
        shown = f"{holder!r} {holder}"
        assert seed.decode() not in shown
        assert base64.b64encode(seed).decode() not in shown
        assert seed.hex() not in shown
