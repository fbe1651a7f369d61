"""The system's collectors on the machine at hand: twice the same, and the same as independent tools see."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from verdelta_agent.collectors.system import (
    firewall,
    fstab,
    groups,
    kernel,
    modules,
    mounts,
    network,
    sockets,
    sysctl,
    users,
)
from verdelta_agent.collectors.system import host as operating_system
from verdelta_agent.delta import rows_changed
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import Collector, Section, rows_digest

SYSTEM = [module.COLLECTOR for module in (operating_system, kernel, modules, sysctl, mounts, fstab, sockets, users)]
SYSTEM += [module.COLLECTOR for module in (groups, network, firewall)]
AGENT = Path(kernel.__file__).parents[3]
Seen = TypeVar("Seen")


def tool(*command: str) -> str:
    """Return what a tool prints, or skip the test where it is missing."""
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def side_by_side(collector: Collector, other: Callable[[], Seen]) -> tuple[Section, Seen]:
    """Return what the collector and another one see while nothing changes: other tests mount, serve and set.

    What changes each time, however often one looks, is no work of others: it should have been left out.
    """
    for _ in range(20):
        before, seen, after = collect(LocalHost(), collector), other(), collect(LocalHost(), collector)
        if before.rows == after.rows:
            return after, seen
        time.sleep(0.2)
    changed = [(change.key, change.before, change.after) for change in rows_changed("", before.rows, after.rows)]
    pytest.fail(f"{collector.name} changes each time: {changed[:5]}")


def root_only() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a namespace of its own")


@pytest.mark.parametrize("collector", SYSTEM, ids=lambda collector: collector.name)
def test_an_idle_machine_audited_twice_gives_the_same_rows(collector: Collector) -> None:
    section, _ = side_by_side(collector, lambda: None)
    assert section.status in ("ok", "absent")
    if os.geteuid() == 0:  # which does not see into every process in every container
        assert section.error in (None, "programs: not every process may be looked at")
    first, second = (side_by_side(collector, lambda: None)[0] for _ in range(2))
    assert rows_digest(first.rows) == rows_digest(second.rows)


def test_work_that_changes_no_setting_changes_no_row(tmp_path: Path) -> None:
    def work() -> None:
        for number in range(200):
            (tmp_path / str(number)).write_bytes(b"x" * 10000)
        subprocess.run(["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do ls / >/dev/null; done"], check=True)
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            leader, follower = os.openpty()
            os.close(leader)
            os.close(follower)

    for collector in SYSTEM:
        before, _ = side_by_side(collector, work)
        assert before.status in ("ok", "absent")


def getent(database: str, fields: int) -> dict[str, list[str]]:
    lines = [line.split(":", fields - 1) for line in tool("getent", "-s", "files", database).splitlines()]
    return {fields[0]: fields for fields in reversed(lines)}


def test_users_are_those_that_the_c_library_knows() -> None:
    section, theirs = side_by_side(users.COLLECTOR, lambda: getent("passwd", 7))
    ours = {
        name: [str(row["uid"]), str(row["gid"]), row["gecos"], row["home"], row["shell"]]
        for name, row in section.rows.items()
        if name[0] not in "+-(" and not name.endswith(")")
    }
    assert ours == {name: fields[2:] for name, fields in theirs.items() if name[:1] not in ("+", "-", "")}


def test_passwords_have_the_state_that_passwd_tells() -> None:
    root_only()
    section, told = side_by_side(users.COLLECTOR, lambda: tool("passwd", "--status", "--all"))
    states = {"L": users.LOCKED, "LK": users.LOCKED, "P": users.SET, "PS": users.SET, "NP": users.NONE}
    for line in told.splitlines():
        name, state, day, _, most_days = line.split()[:5]
        row = section.rows[name]
        # passwd calls locked only what begins with !; shadow(5) whatever no password can fit, like Debian's *
        assert row["password"] == states[state] or (row["password"], states[state]) == (users.LOCKED, users.SET)
        month_first = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", day)
        changed = "{2}-{0}-{1}".format(*month_first.groups()) if month_first else day
        assert row["password_changed"] in (changed, None)
        assert row["password_max_days"] == (None if most_days == "-1" else int(most_days))


def test_groups_are_those_that_the_c_library_knows() -> None:
    section, theirs = side_by_side(groups.COLLECTOR, lambda: getent("group", 4))
    ours = {name: [str(row["gid"]), row["members"]] for name, row in section.rows.items() if name[0] not in "+-("}
    assert ours == {
        name: [gid, sorted({member for member in members.split(",") if member})]
        for name, _, gid, members in theirs.values()
        if name[:1] not in ("+", "-", "")
    }


ACCOUNTS = """\
root:x:0:0:root:/root:/bin/bash
# comment:x:5:5::/:/bin/sh
  led:x:1:1::/:/bin/sh
early:x:0:0
earlier::0:0
space:x: 0:0::/:/bin/sh
plus:x:+0:+0::/:/bin/sh
long:x:00000000000:0::/:/bin/sh
negative:x:-1:0::/:/bin/sh
hexadecimal:x:0x0:0::/:/bin/sh
root:x:1001:1001:again:/:/bin/sh
:x:0:0:nameless:/:/bin/sh
noid:x::0::/:/bin/sh
garbage
"""


def test_no_account_that_the_c_library_lets_in_is_missing(tmp_path: Path) -> None:
    root_only()
    file = tmp_path / "passwd"
    file.write_text(ACCOUNTS)
    told = tool("unshare", "-m", "sh", "-c", f"mount --bind {file} /etc/passwd && getent -s files passwd")
    rows, malformed = users.parse(ACCOUNTS, {})
    ours = sorted((name.split(" (")[0].replace("(no name)", ""), row["uid"]) for name, row in rows.items())
    assert ours == sorted((line.split(":")[0], int(line.split(":")[2])) for line in told.splitlines())
    assert malformed == [9, 10, 13, 14]


def ss() -> set[str]:
    """Return protocol and address of what ss shows, as system.sockets writes them."""
    told = set()
    for line in tool("ss", "-Hltun").splitlines():
        protocol, address = line.split()[0], line.split()[4]
        host, _, port = address.rpartition(":")
        host = host.partition("%")[0] + ("]" if "%" in host and host.startswith("[") else "")  # bound to a device
        told.add(f"{protocol} {'[::]' if host == '*' else host}:{port}")
    return told


@pytest.fixture
def served() -> Iterator[set[str]]:
    """Serve on addresses of every kind, and return those that have to be seen."""
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as shared,
        socket.create_server(shared.getsockname(), reuse_port=True),
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.create_connection(four.getsockname()),
    ):
        client.bind(("127.0.0.1", 0))
        server.bind(("127.0.0.1", next(port for port in range(20000, 30000) if is_free(port))))
        yield {
            f"tcp 127.0.0.1:{four.getsockname()[1]}",
            f"tcp [::1]:{six.getsockname()[1]}",
            f"tcp 127.0.0.1:{shared.getsockname()[1]}",
            f"tcp [::]:{both.getsockname()[1]}",
            f"udp 127.0.0.1:{server.getsockname()[1]}",
        }


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_sockets_are_those_that_ss_shows_without_the_clients(served: set[str]) -> None:
    section, told = side_by_side(sockets.COLLECTOR, ss)
    first, last = map(int, Path(sockets.RANGE).read_text().split())
    for_clients = {key for key in told if key.startswith("udp") and first <= int(key.rpartition(":")[2]) <= last}
    assert for_clients, "the client of this test is among them"
    assert set(section.rows) == told - for_clients
    assert served <= set(section.rows)
    assert all(section.rows[key]["uids"] == [os.geteuid()] for key in served)


def test_settings_are_those_that_sysctl_shows_and_each_difference_has_its_reason() -> None:
    def told() -> dict[str, str]:
        values: dict[str, list[str]] = {}
        for line in tool("sysctl", "--all", "--ignore").splitlines():
            key, _, value = line.partition(" = ")
            values.setdefault(key, []).append(value)
        return {key: "\n".join(lines).strip().replace("\t", " ") for key, lines in values.items()}

    section, theirs = side_by_side(sysctl.COLLECTOR, told)
    lasting = sysctl.lasting_interfaces(LocalHost())

    def reason(key: str) -> str | None:
        parts = key.split(".")
        directories = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        return next(filter(None, (sysctl.left_out(name, lasting) for name in directories)), None)

    readable = {key: row["value"] for key, row in section.rows.items() if row["value"] is not None}
    assert readable == {key: value for key, value in theirs.items() if reason(key) is None}


def test_modules_are_those_that_lsmod_shows() -> None:
    if not Path(modules.MODULES).exists():
        pytest.skip("this kernel was built without modules")
    section, told = side_by_side(modules.COLLECTOR, lambda: tool("lsmod"))
    assert set(section.rows) == {line.split()[0] for line in told.splitlines()[1:]}


def is_read_only(options: list[str]) -> bool:
    return "ro" in options


def left_out_of_mounts(mount: dict[str, Any], automounted: tuple[str, ...]) -> bool:
    kept_out = mount["fstype"] in mounts.LEFT_OUT_TYPES or mount["target"].startswith(tuple(mounts.LEFT_OUT_BELOW))
    return kept_out or (mount["fstype"] != "autofs" and mount["target"].startswith(automounted))


def same_as_findmnt(rows: dict[str, Any], told: list[dict[str, Any]]) -> None:
    automounted = tuple(mount["target"] for mount in told if mount["fstype"] == "autofs")
    expected = {mount["target"]: mount for mount in told if not left_out_of_mounts(mount, automounted)}
    assert set(rows) == set(expected)
    for point, row in rows.items():
        theirs = expected[point]["options"].split(",")
        assert row["fstype"] == expected[point]["fstype"]
        assert is_read_only(row["options"]) == is_read_only(theirs)
        stable = {option for option in theirs if option.partition("=")[0] not in mounts.LEFT_OUT_OPTIONS}
        assert set(row["options"]) - stable <= {
            f"{name}={mounts.HIDDEN}" for name in ("credentials", "password", "secret")
        }


def test_mounts_are_those_that_findmnt_shows() -> None:
    section, told = side_by_side(mounts.COLLECTOR, lambda: tool("findmnt", "--json", "--list"))
    same_as_findmnt(section.rows, json.loads(told)["filesystems"])


def test_mounts_with_odd_names_are_those_that_findmnt_shows(tmp_path: Path) -> None:
    root_only()
    odd = tmp_path / "with space, tab\tand \\040 back#slash"
    odd.mkdir()
    (tmp_path / "bound").mkdir()
    script = """
        mount -t tmpfs -o size=1m,noexec 'a name' "$1" && mkdir "$1/sub" && mount --bind "$1/sub" "$2" &&
        mount -o remount,bind,ro "$2" && findmnt --json --list && printf '\\0' && cat /proc/self/mountinfo
    """
    told, _, mountinfo = tool("unshare", "-m", "sh", "-c", script, "sh", str(odd), f"{tmp_path}/bound").partition("\0")
    rows = mounts.parse(mountinfo)
    same_as_findmnt(rows, json.loads(told)["filesystems"])
    assert (rows[str(odd)]["source"], rows[str(odd)]["options"][0]) == ("a name", "noexec")
    assert (rows[f"{tmp_path}/bound"]["root"], "ro" in rows[f"{tmp_path}/bound"]["options"]) == ("/sub", True)


FSTAB = """\
# comment
/dev/sda1 / ext4 defaults,errors=remount-ro 0 1
LABEL=data /srv/with\\040space xfs noexec,ro
tmpfs\t/tmp\ttmpfs\tsize=1g\t0\t0
nas:/srv /mnt/nas nfs4 _netdev
"""


def test_fstab_says_what_findmnt_reads_in_it(tmp_path: Path) -> None:
    (tmp_path / "fstab").write_text(FSTAB)
    columns = "TARGET,SOURCE,FSTYPE,OPTIONS,PASSNO"
    told = tool("findmnt", "--json", "--list", "--tab-file", str(tmp_path / "fstab"), "--output", columns)
    rows, malformed = fstab.parse_fstab(FSTAB)
    assert malformed == []
    assert {key: (row["source"], row["fstype"], row["options"], row["check_order"]) for key, row in rows.items()} == {
        entry["target"]: (
            entry["source"],
            entry["fstype"],
            sorted((entry["options"] or "defaults").split(",")),
            int(entry["passno"] or 0),
        )
        for entry in json.loads(told)["filesystems"]
    }


def test_kernel_and_host_are_what_uname_and_systemd_say() -> None:
    running = collect(LocalHost(), kernel.COLLECTOR).rows["running"]
    rows = collect(LocalHost(), operating_system.COLLECTOR).rows
    assert running["release"] == tool("uname", "-r").strip()
    assert running["version"] == tool("uname", "-v").strip()
    assert rows["os"]["architecture"] == tool("uname", "-m").strip()
    assert rows["host"]["host_name"] == tool("uname", "-n").strip()
    if shutil.which("systemd-detect-virt"):
        told = subprocess.run(["systemd-detect-virt"], stdout=subprocess.PIPE, text=True)  # fails where there is none
        assert rows["host"]["virtualisation"] == told.stdout.strip()


WITHOUT_ROOT = """
import json, sys
from verdelta_agent.collectors.system import groups, host, kernel, modules, mounts, sockets, sysctl, users
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
seen = (host, kernel, modules, sysctl, mounts, sockets, users, groups)
json.dump({m.COLLECTOR.name: collect(LocalHost(), m.COLLECTOR) for m in seen}, sys.stdout)
"""


def test_without_root_nothing_fails_and_what_is_missing_is_told() -> None:
    root_only()
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    python = next((name for name in ("/usr/bin/python3", sys.executable) if os.access(name, os.X_OK)), "")
    options: dict[str, Any] = {"env": {"PYTHONPATH": str(AGENT), "PYTHONDONTWRITEBYTECODE": "1"}, **nobody}
    probe = subprocess.run([python, "-c", "import verdelta_agent"], capture_output=True, cwd="/", **options)
    if probe.returncode != 0:
        pytest.skip("nobody may not run this Python, or not read the agent")
    done = subprocess.run([python, "-c", WITHOUT_ROOT], check=True, stdout=subprocess.PIPE, cwd="/", **options)
    seen = {name: Section(*fields) for name, fields in json.loads(done.stdout).items()}
    assert {section.status for section in seen.values()} <= {"ok", "absent"}
    assert seen["system.users"].error == "no permission to read /etc/shadow"
    assert seen["system.users"].rows["root"]["password"] is None
    assert (seen["system.sysctl"].error or "").startswith("not readable: ")
    assert seen["system.sockets"].error in (None, "programs: not every process may be looked at")
    for name in ("system.host", "system.kernel", "system.groups"):
        assert seen[name].error is None
