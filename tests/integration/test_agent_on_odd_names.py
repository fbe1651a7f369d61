"""Names and texts that are no UTF-8, in every place that they come from: shown, not lost, and no section fails.

A system below a directory (--root) is made of them, by the real agent's command.
"""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.bad_day import AGENT, PROGRAM, run

ODD = b"\xff\xfeodd"
SHOWN = "\\xff\\xfeodd"
KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode("ascii")

UNIT = b"[Unit]\nDescription=\xff\n[Install]\nWantedBy=multi-user.target\n"
SNAP = b'{"data": {"snaps": {"odd": {"current": "7", "sequence": [{"revision": "7"}]}}}}'

FILES: dict[bytes, bytes] = {
    b"etc/os-release": b"ID=odd\nPRETTY_NAME=" + ODD + b"\n",
    b"etc/passwd": b"root:x:0:0:" + ODD + b":/root:/bin/sh\n" + ODD + b":x:1001:1001::/home/" + ODD + b":/bin/sh\n",
    b"etc/shadow": b"root:*:1::::::\n" + ODD + b":*:1::::::\n",
    b"etc/group": ODD + b":x:1001:" + ODD + b"\n",
    b"home/" + ODD + b"/.ssh/authorized_keys": b"ssh-ed25519 " + KEY.encode() + b" " + ODD + b"\n",
    b"etc/fstab": b"/dev/sda1 /srv/" + ODD + b" ext4 defaults 0 0\n",
    b"etc/sudoers": b"root ALL=(ALL) ALL\n" + ODD + b" ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n",
    b"etc/sudoers.d/" + ODD: b"%" + ODD + b" ALL=(ALL) ALL\n",
    b"etc/crontab": b"1 2 * * * root echo " + ODD + b"\n",
    b"etc/cron.d/" + ODD: b"1 2 * * * root true\n",
    b"etc/security/limits.conf": ODD + b" hard nofile 1\n",
    b"etc/ssh/sshd_config": b"Banner /etc/" + ODD + b"\n",
    b"etc/apt/sources.list.d/" + ODD + b".list": b"deb http://odd.example/ stable main\n",
    b"etc/systemd/system/good.service": UNIT,
    b"etc/systemd/system/" + ODD + b".service": UNIT,
    b"etc/systemd/system/good.service.d/" + ODD + b".conf": b"[Service]\nNice=1\n",
    b"usr/lib/python3/dist-packages/" + ODD + b"-1.0.dist-info/METADATA": b"Name: odd\nVersion: 1.0\n",
    b"usr/lib/python3/dist-packages/good-1.0.dist-info/METADATA": b"Name: good\nVersion: 1.0\n",
    b"usr/lib/node_modules/" + ODD + b"/package.json": b'{"name": "odd", "version": "1.0"}',
    b"var/lib/dpkg/status": b"Package: good\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
    b"Description: " + ODD + b"\n\n",
    b"var/lib/snapd/state.json": SNAP,
}


def section(tree: Path, *names: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    arguments = [*AGENT, PROGRAM, "/etc", "inventory", "-o", "json", "--root", str(tree), *names]
    return run(arguments, env=environment)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("tree")
    for path, content in FILES.items():
        file = Path(os.fsdecode(os.fsencode(folder) + b"/" + path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def test_no_section_fails_for_them(tree: Path) -> None:
    failed = {name: found["error"] for name, found in section(tree).items() if found["status"] == "failed"}
    assert failed == {}


@pytest.mark.parametrize(
    "name",
    [
        "system.host",
        "system.users",
        "system.groups",
        "system.authorized_keys",
        "system.fstab",
        "system.sudoers",
        "system.limits",
        "system.sshd",
        "system.cron",
        "system.units",
        "system.files",
        "software.pip",
        "software.npm",
        "software.repositories",
    ],
)
def test_each_section_shows_them(tree: Path, name: str) -> None:
    found = section(tree, name)[name]
    assert SHOWN in str(found["rows"]).replace("\\\\", "\\"), found


def test_they_are_the_same_in_any_locale(tree: Path) -> None:
    environments: list[dict[str, str]] = [
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    ]
    digests = [
        {name: found["digest"] for name, found in section(tree, environment=each).items()} for each in environments
    ]
    assert digests[0] == digests[1] == digests[2]
