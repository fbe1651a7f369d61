"""Host keys are read as ssh-keygen and sshd read them; what is no public host key is not repeated."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.fleet.host_keys import fingerprint, from_known_hosts, normal
from verdelta_controller.foundation.errors import InvalidInput

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZvy4wBbTCrH2NqrwCdMpeVGlUkyrwlxJsgqSbGMdwz"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHW/6VRbaq/+bLdBkBtdG2bqrZ7jMQfOmxX1RjGmbHZx"


def keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One real key of each kind: its line."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for kind, options in {
        "ed25519": [],
        "ecdsa": ["-b", "256"],
        "ecdsa-384": ["-b", "384"],
        "rsa": ["-b", "2048"],
    }.items():
        keygen("-q", "-t", kind.partition("-")[0], *options, "-N", "", "-C", f"root@{kind}", "-f", str(folder / kind))
        made[kind] = (folder / f"{kind}.pub").read_text()
    return made


def test_the_fingerprint_is_the_one_that_ssh_keygen_shows(keys, tmp_path):
    for kind, line in keys.items():
        (tmp_path / kind).write_text(line)
        shown = keygen("-l", "-f", str(tmp_path / kind)).split()[1]
        assert fingerprint(line).split()[0] == shown
        assert fingerprint(line).endswith(f"({line.split()[0]})")


def test_a_key_is_pinned_as_its_type_and_base64(keys):
    for line in keys.values():
        assert normal(line) == " ".join(line.split()[:2])
        assert normal(normal(line)) == normal(line)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "AAAAC3NzaC1lZDI1NTE5AAAAIJZvy4wBbTCrH2NqrwCdMpeVGlUkyrwlxJsgqSbGMdwz",
        "ssh-ed25519 not-base64",
        "ssh-ed25519 AAAA",
        ED25519[:-8],
        ED25519 + "AAAA",
        ED25519.replace("ssh-ed25519", "ssh-rsa"),
        ED25519.replace("ssh-ed25519", "ssh-ed25519;id"),
        ED25519.replace("ssh-ed25519", "$(id)"),
        f"{ED25519}\nevil.example.org {OTHER}",
        f"web-07 {ED25519}",
        "ssh-ed25519 " + "A" * 5000,
        "\ud800 \ud800",
    ],
)
def test_what_is_no_public_key_is_refused(text):
    for read in (normal, fingerprint):
        with pytest.raises(InvalidInput, match="not a public host key"):
            read(text)


def test_a_private_key_that_was_given_by_mistake_is_not_repeated(tmp_path):
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    private = (tmp_path / "key").read_text()
    with pytest.raises(InvalidInput) as refused:
        normal(private)
    said = f"{refused.value!r} {refused.value} {refused.value.__cause__}"
    assert not any(line in said for line in private.splitlines())


# -- known_hosts


def test_a_key_is_found_by_name_by_address_and_by_port():
    text = f"web-07,192.0.2.7 {ED25519} a comment\n[web-07]:2222,[2001:db8::7]:2222 {OTHER}\n"
    assert from_known_hosts(text, "web-07", 22) == ED25519
    assert from_known_hosts(text, "192.0.2.7", 22) == ED25519
    assert from_known_hosts(text, "WEB-07", 2222) == OTHER
    assert from_known_hosts(text, "2001:db8::7", 2222) == OTHER
    for host, port in (("web-07", 2223), ("web-0", 22), ("eb-07", 22), ("192.0.2.70", 22), ("2001:db8::7", 22)):
        with pytest.raises(InvalidInput, match="known_hosts has no key for"):
            from_known_hosts(text, host, port)


def test_hashed_hosts_are_found_as_ssh_finds_them(tmp_path: Path):
    file = tmp_path / "known_hosts"
    file.write_text(f"web-07 {ED25519}\n[web-08]:2222 {OTHER}\n")
    keygen("-H", "-f", str(file))
    text = file.read_text()
    assert "web" not in text and text.count("|1|") == 2
    assert from_known_hosts(text, "web-07", 22) == ED25519
    assert from_known_hosts(text, "web-08", 2222) == OTHER
    with pytest.raises(InvalidInput):
        from_known_hosts(text, "web-08", 22)


def test_patterns_fit_and_exceptions_do_not():
    text = f"*.example.org,!db.example.org,web-0? {ED25519}\n"
    for host in ("a.example.org", "a.b.example.org", "web-07"):
        assert from_known_hosts(text, host, 22) == ED25519
    for host in ("db.example.org", "example.org", "web-0", "web-010"):
        with pytest.raises(InvalidInput):
            from_known_hosts(text, host, 22)
    with pytest.raises(InvalidInput):
        from_known_hosts(f"[w]eb {ED25519}", "web", 22)  # brackets are for ports, not for sets of characters


def test_of_several_keys_one_that_can_sign_for_verdelta_is_taken(keys):
    lines = [f"web-07 {keys[kind]}" for kind in ("rsa", "ecdsa-384", "ecdsa", "ed25519")]
    assert from_known_hosts("".join(lines), "web-07", 22) == normal(keys["ed25519"])
    assert from_known_hosts("".join(lines[:3]), "web-07", 22) == normal(keys["ecdsa"])
    assert from_known_hosts(lines[0], "web-07", 22) == normal(keys["rsa"])


def test_a_revoked_key_is_not_pinned_and_a_certificate_authority_is_no_host_key():
    with pytest.raises(InvalidInput, match="only revoked keys for web-07"):
        from_known_hosts(f"web-07 {ED25519}\n@revoked * {ED25519}\n", "web-07", 22)
    assert from_known_hosts(f"@revoked * {ED25519}\nweb-07 {ED25519}\nweb-07 {OTHER}\n", "web-07", 22) == OTHER
    with pytest.raises(InvalidInput, match="no key for web-07"):
        from_known_hosts(f"@cert-authority * {ED25519}\n", "web-07", 22)


def test_lines_of_another_kind_pin_nothing_and_disturb_nothing():
    text = "\n".join(
        [
            "# a comment",
            "",
            "   ",
            "web-07",
            "web-07 ssh-ed25519",
            "web-07 sk-ssh-ed25519@openssh.com AAAAGnNr",
            "web-07 ssh-dss AAAAB3NzaC1kc3M=",
            "web-07 ssh-ed25519 broken",
            "@unknown web-07 " + ED25519,
            "|1|broken|hash " + ED25519,
            "|1|" + ED25519,
            "|2|c2FsdA==|aGFzaA== " + ED25519,
            "\0\ud800",
            f"web-07 {OTHER}",
        ]
    )
    assert from_known_hosts(text, "web-07", 22) == OTHER


@given(st.text(max_size=500), st.text(max_size=50), st.integers(1, 65535))
def test_whatever_a_file_holds_a_key_is_found_or_missed_and_nothing_else_happens(text, host, port):
    with pytest.raises(InvalidInput):
        from_known_hosts(text, host, port)


def test_a_pattern_of_many_stars_takes_no_time():
    with pytest.raises(InvalidInput):
        from_known_hosts("*a" * 500 + f"b {ED25519}", "a" * 250, 22)
