"""A host with neither ssh-keygen nor openssl signs by `cryptography`, and the controller sees no difference."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import cryptography
import pytest

import verdelta_agent
from verdelta_agent import by_cryptography, identity
from verdelta_agent.identity import ECDSA, SSHSIG, IdentityError, Key
from verdelta_controller.foundation.signing import verify

DATA = b"the envelope's bytes"
OLD_SSH = '#!/bin/sh\ncase "$*" in *-Y*) echo "unknown option -- Y" >&2; exit 1;; esac\nexec /usr/bin/ssh-keygen "$@"\n'


@pytest.fixture
def bare_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a host's programs, of which there are none."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setitem(identity.ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_a_host_without_tools_gets_a_key_that_only_it_can_read(bare_host: Path, tmp_path: Path) -> None:
    key = identity.create_key(str(tmp_path / "state"))
    assert key.scheme == ECDSA
    assert {name: (tmp_path / "state" / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path / "state")} == {
        "key": 0o600,
        "key.pub": 0o600,
    }
    assert identity.load_key(str(tmp_path / "state")) == key
    verify(key.scheme, key.public_key, DATA, identity.sign(key, DATA))


def test_openssl_signs_with_the_key_that_cryptography_made(
    bare_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = identity.create_key(str(tmp_path / "state"))
    monkeypatch.setitem(identity.ENVIRONMENT, "PATH", "/usr/bin")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    signature = identity.sign(key, DATA)
    monkeypatch.undo()
    verify(key.scheme, key.public_key, DATA, signature)


@pytest.mark.parametrize(("tool", "scheme"), [("ssh-keygen", SSHSIG), ("openssl", ECDSA)])
def test_a_key_that_a_tool_made_signs_on_when_the_tool_is_gone(
    bare_host: Path, tmp_path: Path, tool: str, scheme: str
) -> None:
    (bare_host / tool).symlink_to(Path("/usr/bin") / tool)
    key = identity.create_key(str(tmp_path / "state"))
    assert key.scheme == scheme
    (bare_host / tool).unlink()
    verify(key.scheme, key.public_key, DATA, identity.sign(key, DATA))


@pytest.mark.parametrize("options", [("ed25519",), ("ecdsa",), ("ecdsa", "-m", "PEM")], ids=" ".join)
@pytest.mark.parametrize("openssh", ["old", "none"])
def test_every_kind_of_host_key_signs_where_openssh_cannot(
    bare_host: Path, tmp_path: Path, options: tuple[str, ...], openssh: str
) -> None:
    path = tmp_path / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path), "-t", *options], check=True)
    if openssh == "old":
        (bare_host / "ssh-keygen").write_text(OLD_SSH)
        (bare_host / "ssh-keygen").chmod(0o755)
    key = identity.host_key(str(path))
    for number in range(20):  # the numbers of an ECDSA signature have a leading zero in half of them
        verify(key.scheme, key.public_key, b"%d" % number, identity.sign(key, b"%d" % number))


def test_a_host_with_tools_does_not_import_cryptography(tmp_path: Path) -> None:
    program = "import sys; from verdelta_agent import identity as i; i.sign(i.create_key(sys.argv[1]), b'data'); "
    program += "print('verdelta_agent.by_cryptography' in sys.modules or 'cryptography' in sys.modules)"
    assert _python(program, str(tmp_path), options="-IE") == b"False\n"


def test_the_package_is_found_by_an_agent_that_was_started_without_packages(bare_host: Path, tmp_path: Path) -> None:
    where = str(Path(cryptography.__file__).parents[1])
    program = "import site, sys; from verdelta_agent import identity as i; path = list(sys.path); "
    program += f"site.getsitepackages = lambda: [{where!r}]; i.ENVIRONMENT['PATH'] = '/none'; "
    program += "key = i.create_key(sys.argv[1]); print(i.sign(key, b'data').hex(), path == sys.path)"
    signature, same_path = _python(program, str(tmp_path / "state"), options="-ISE").split()
    assert same_path == b"True"
    key = identity.load_key(str(tmp_path / "state"))
    verify(key.scheme, key.public_key, b"data", bytes.fromhex(signature.decode()))


BROKEN = {
    "missing": "",
    "a library too old": "raise ImportError('libssl.so.1.1: cannot open shared object file')",
    "syntax of a newer Python": "match x:\n case: pass",
    "an empty folder": "",
    "a panic of its Rust half": "class Panic(BaseException): pass\nraise Panic('Python API call failed')",
    "no memory": "raise MemoryError()",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_package_is_passed_over_and_the_host_told_what_to_install(
    bare_host: Path, tmp_path: Path, broken: str
) -> None:
    package = tmp_path / "site-packages" / "cryptography"
    if broken != "missing":
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(BROKEN[broken])
    program = "import site, sys; from verdelta_agent import identity as i; i.ENVIRONMENT['PATH'] = '/none'\n"
    program += f"site.getsitepackages = lambda: [{str(package.parent)!r}]\n"
    program += "try:\n i.create_key(sys.argv[1])\nexcept i.IdentityError as error:\n print(error)\n"
    told = _python(program, str(tmp_path / "state"), options="-ISE").decode()
    assert told.startswith("this host has nothing to sign with: ssh-keygen: No such")
    assert "; cryptography: " in told
    assert "\n  Install OpenSSH 8.1 or newer, OpenSSL, or cryptography for " in told
    assert os.listdir(tmp_path / "state") == []


def test_an_old_package_that_warns_of_this_python_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        by_cryptography, "_site_packages", lambda: warnings.warn("Python 3.6 is old", stacklevel=1) or ()
    )
    with warnings.catch_warnings(record=True) as said:
        by_cryptography.create_key()
    assert said == []


def test_where_neither_way_signs_the_first_one_says_why(bare_host: Path, tmp_path: Path) -> None:
    for scheme, tool in ((SSHSIG, "ssh-keygen"), (ECDSA, "openssl")):
        with pytest.raises(IdentityError, match=f"^{tool}: No such file"):
            identity.sign(Key(scheme, "ssh-ed25519 AAAA", str(tmp_path / "none")), DATA)


@pytest.mark.parametrize(
    "kind", [("-t", "rsa"), ("-t", "ecdsa", "-b", "384"), ("-t", "ed25519", "-N", "secret")], ids=str
)
def test_a_key_that_the_controller_does_not_take_is_no_key_to_sign_with(tmp_path: Path, kind: tuple[str, ...]) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path), *kind], check=True)
    with pytest.raises(ValueError, match=r"^cryptography: "):
        by_cryptography.sign(path.read_text().strip(), (tmp_path / "key.pub").read_text(), DATA)


def _python(program: str, *arguments: str, options: str) -> bytes:
    sources = str(Path(verdelta_agent.__file__).parents[1])
    command = [sys.executable, options, "-c", f"import sys; sys.path.insert(0, {sources!r}); {program}", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout
