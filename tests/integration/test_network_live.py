"""The network's settings, its sockets and its firewall, held against iproute2 and nft in a network namespace."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import verdelta_agent

NAME = f"verdelta-test-{os.getpid()}"
AGENT = Path(verdelta_agent.__file__).parents[1]
SETTINGS = """
link set lo up
link add eth0 type veth peer name eth1
link set eth0 up
link set eth1 up
addr add 192.0.2.10/24 dev eth0
addr add 192.0.2.11/24 dev eth0 label eth0:web
addr add 192.0.2.77/24 dev eth0 valid_lft 3600 preferred_lft 3600
addr add 198.51.100.5/32 dev eth0
addr add 2001:db8::10/64 dev eth0 nodad
route add default via 192.0.2.1 metric 100
route add 203.0.113.0/24 proto static nexthop via 192.0.2.2 weight 2 nexthop via 192.0.2.3
route add 203.0.113.128/25 via 192.0.2.4 proto bgp
route add blackhole 10.9.0.0/16 proto static
-6 route add 2001:db8:9::/48 via 2001:db8::2 proto static
rule add from 10.1.0.0/16 fwmark 0x1/0xff iif eth0 table 100 priority 100
"""


def run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout


def within(*command: str, stdin: str | None = None) -> str:
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    return run("ip", "netns", "exec", NAME, *command, stdin=stdin)


def section(name: str) -> dict[str, Any]:
    program = f"import sys; sys.path.insert(0, {str(AGENT)!r}); from verdelta_agent.cli import main; sys.exit(main())"
    printed = within(sys.executable, "-ISE", "-c", program, "inventory", name, "-o", "json")
    found: dict[str, Any] = json.loads(printed)["sections"][name]
    return found


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip, for a network namespace of its own")
    run("ip", "netns", "add", NAME)
    try:
        for line in SETTINGS.strip().splitlines():
            run("ip", "-n", NAME, *line.split())
        yield
    finally:
        run("ip", "netns", "del", NAME)


def test_addresses_are_those_that_ip_lists() -> None:
    seen = section("system.network")
    listed = json.loads(run("ip", "-n", NAME, "-j", "addr"))
    theirs = {
        f"address {link['ifname']} {info['local']}/{info['prefixlen']}": not info.get("dynamic", False)
        for link in listed
        for info in link.get("addr_info", [])
    }
    ours = {key for key in [*seen["rows"], *seen["volatile"]] if key.startswith("address ")}
    assert ours == set(theirs)
    leased = {key for key, row in seen["volatile"].items() if row["reason"] == "it has a lifetime"}
    assert leased == {key for key, permanent in theirs.items() if not permanent}


def test_routes_are_those_that_ip_lists() -> None:
    seen = section("system.network")
    rows = {**seen["rows"], **seen["volatile"]}
    for family, default in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
        whole = 32 if family == "-4" else 128
        for route in json.loads(run("ip", "-n", NAME, family, "-j", "-d", "route", "show", "table", "main")):
            destination = default if route["dst"] == "default" else route["dst"]
            destination += "" if "/" in destination else f"/{whole}"
            row = rows.pop(f"route {destination} metric {route.get('metric', 0)}", None)
            if row is None:  # one more way of a row that was looked at before: fe80::/64 of each interface
                assert destination == "fe80::/64"
                continue
            assert (row["protocol"], row["type"]) == (route["protocol"], route["type"])
            for way in route.get("nexthops", [route]):
                if "gateway" in way:
                    assert any(text.startswith(f"{way['gateway']} {way['dev']}") for text in row["via"])
    assert [key for key in rows if key.startswith("route ")] == []


def test_rules_are_those_that_ip_lists_but_for_the_defaults() -> None:
    seen = {row["priority"] for row in section("system.network")["rows"].values() if row["kind"] == "rule"}
    listed = {rule["priority"] for rule in json.loads(run("ip", "-n", NAME, "-j", "rule"))}
    assert seen == listed - {0, 32766, 32767}


def test_an_idle_network_gives_the_same_rows() -> None:
    assert section("system.network")["rows"] == section("system.network")["rows"]


LINKS = (
    "link add br7 type bridge stp_state 1 vlan_filtering 0",
    "link add vx7 type vxlan id 7 dstport 4789 dev eth0",
    "link add link eth0 name eth0.7 type vlan id 7",
    "link add bond7 type bond mode active-backup miimon 100",
    "link add port7 type veth peer name end7",
    "link set port7 master br7 up",
    "link set vx7 mtu 1400",
)


def test_interfaces_are_those_that_ip_lists_with_what_is_made_of_them() -> None:
    for line in LINKS:
        try:
            run("ip", "-n", NAME, *line.split())
        except AssertionError as error:
            print(f"left out: {error}")  # this kernel knows no such interface
    seen = section("hardware.network")
    ours = {row["name"]: row for row in [*seen["volatile"].values(), *seen["rows"].values()] if "name" in row}
    listed = json.loads(run("ip", "-n", NAME, "-j", "-d", "link"))
    assert set(ours) == {link["ifname"] for link in listed}
    for link in listed:
        row, made = ours[link["ifname"]], link.get("linkinfo", {})
        assert (row["mtu"], row["master"], row["enabled"]) == (link["mtu"], link.get("master"), "UP" in link["flags"])
        told, kind = made.get("info_data", {}), made.get("info_kind")
        if kind in ("bridge", "vxlan", "vlan", "bond"):
            assert row["kind"] == kind
        if kind == "bridge":
            assert (int(row["stp_state"]), int(row["vlan_filtering"])) == (told["stp_state"], told["vlan_filtering"])
        if kind == "vlan":
            assert (row["vlan"], row["vlan_of"]) == (told["id"], link["link"])
        if kind == "bond":
            assert (row["mode"], int(row["miimon"])) == (told["mode"], told["miimon"])


SERVE = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
kept = [socket.create_server(("127.0.0.1", 8080)), socket.create_server(("::", 8443), family=socket.AF_INET6)]
kept.append(socket.create_server(("::", 8444), family=socket.AF_INET6, dualstack_ipv6=True))
kept += [socket.create_server(("0.0.0.0", 8080 + n), reuse_port=True) for n in (1, 1, 1, 2)]
for address in (("0.0.0.0", 53), ("::1", 123), ("0.0.0.0", 53530)):
    kept.append(socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM))
    kept[-1].bind(address)
connected = socket.create_connection(("127.0.0.1", 8080))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 5000))
datagrams.connect(("127.0.0.1", 53))
from verdelta_agent.collectors.system import sockets
from verdelta_agent.host import LocalHost
import json, re, subprocess
asked, read = sockets._asked(LocalHost()), sockets._read(LocalHost())
section = sockets.collect(LocalHost())
listed = subprocess.run(["ss", "-lntupH"], capture_output=True, text=True, check=True).stdout
listed = re.sub("pid=([0-9]+)", lambda found: "program=" + os.readlink("/proc/%s/exe" % found.group(1)), listed)
programs = {key: row["programs"] for key, row in section.rows.items()}
print(json.dumps([sorted(asked) if asked is not None else None, sorted(read), programs, listed]))
"""


def test_sockets_and_their_programs_are_those_of_ss_and_the_same_by_netlink_and_by_the_files() -> None:
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed")
    asked, read, programs, listed = json.loads(within(sys.executable, "-ISE", "-c", SERVE, str(AGENT)))
    if asked is None:
        print("this kernel is not asked by netlink: it would load modules, or does not answer")
    else:
        assert asked == read
    theirs: dict[str, list[str]] = {}
    for line in listed.splitlines():
        protocol, _, _, _, local = line.split()[:5]
        address, _, port = local.rpartition(":")
        if protocol == "udp" and int(port) >= 32768:  # a client's, as far as one can tell
            continue
        key = f"{protocol} {'[::]' if address == '*' else address.partition('%')[0]}:{port}"
        theirs[key] = sorted({*theirs.get(key, []), *re.findall("program=([^,]+)", line)})
    assert programs == theirs


RULES = """
flush ruleset
table inet filter {
  quota month { over 25 mbytes; }
  limit calm { rate 400/minute; }
  ct helper ftp { type "ftp" protocol tcp; }
  set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.7 }; }
  set seen { type ipv4_addr; flags dynamic,timeout; timeout 1h; size 65535; }
  map speeds { type inet_service : limit; elements = { 80 : "calm" }; }
  map jumps { type inet_service : verdict; elements = { 22 : jump ssh, 80 : accept }; }
  chain ssh {
    limit rate 5/minute counter accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iif "lo" counter accept
    ip saddr @blocked drop
    tcp dport vmap @jumps
    tcp dport { 8080, 8443-8450 } counter accept
    tcp dport 99 jump {
      ip saddr { 10.0.0.1, 10.0.0.2 } accept
      counter drop
    }
    add @seen { ip saddr }
  }
  chain output {
    type filter hook output priority 10; policy accept;
    add @seen { ip daddr }
    counter
    quota name "month" drop
    quota over 10 mbytes drop
  }
}
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat;
    oifname "eth0" masquerade
  }
}
"""
KNOCK = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"


@pytest.fixture
def rules() -> str:
    try:
        within("nft", "-f", "-", stdin=RULES)
    except AssertionError as error:
        pytest.skip(f"this kernel has no nftables, or not all of what the rules use: {error}")
    return RULES


def test_chains_and_sets_are_those_that_nft_lists(rules: str) -> None:
    listed = json.loads(within("nft", "-j", "list", "ruleset"))["nftables"]
    count: dict[str, int] = {}
    for item in listed:
        if "rule" in item:
            owner = f"chain {item['rule']['family']} {item['rule']['table']} {item['rule']['chain']}"
            count[owner] = count.get(owner, 0) + 1
    theirs: dict[str, Any] = {}
    for item in listed:
        for kind in ("table", "chain", "set", "map", "quota", "limit", "ct helper"):
            if kind in item:
                found = item[kind]
                names = [found["name"]] if kind == "table" else [found["table"], found["name"]]
                theirs[" ".join([kind, found["family"], *names])] = found
    rows = section("system.firewall")["rows"]
    assert set(rows) == set(theirs)
    for name, row in rows.items():
        if row["kind"] == "chain":
            known = (row["hook"], row["priority"], row["policy"], row["type"], row["rules"])
            theirs_known = tuple(theirs[name].get(field) for field in ("hook", "prio", "policy", "type"))
            assert known == (*theirs_known, count.get(name, 0))
        elif row["kind"] in ("set", "map") and row["elements"] is not None:
            assert row["elements"] == len(theirs[name]["elem"])


def test_a_reload_of_the_same_rules_and_packets_that_pass_change_nothing(rules: str) -> None:
    before = section("system.firewall")
    within(sys.executable, "-c", KNOCK)
    after = section("system.firewall")
    assert after["rows"] == before["rows"]
    assert after["volatile"]["set inet filter seen"] == {"passing_elements": 1}
    within("nft", "-f", "-", stdin=rules)
    assert section("system.firewall") == before


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("8443-8450", "8443-8451", "chain inet filter input"),
        ("10.0.0.2", "10.0.0.3", "chain inet filter input"),
        ("198.51.100.7", "198.51.100.8", "set inet filter blocked"),
        ("80 : accept", "80 : drop", "map inet filter jumps"),
        ("25 mbytes", "26 mbytes", "quota inet filter month"),
        ("400/minute", "401/minute", "limit inet filter calm"),
        ("5/minute", "6/minute", "chain inet filter ssh"),
        ("policy drop", "policy accept", "chain inet filter input"),
        ("priority 10", "priority 11", "chain inet filter output"),
    ],
)
def test_each_change_of_the_rules_is_one_changed_row(rules: str, old: str, new: str, key: str) -> None:
    before = section("system.firewall")["rows"]
    within("nft", "-f", "-", stdin=rules.replace(old, new))
    after = section("system.firewall")["rows"]
    assert set(before) == set(after)
    assert [name for name in before if before[name] != after[name]] == [key]


def test_without_root_the_firewall_is_not_taken_for_empty(rules: str) -> None:
    program = (
        f"import os, sys; os.setgid(65534); os.setuid(65534); sys.path.insert(0, {str(AGENT)!r})\n"
        "from verdelta_agent.cli import main; sys.exit(main())"
    )
    python = shutil.which("python3", path="/usr/bin") or sys.executable  # everybody may run it, unlike one below /root
    command = [python, "-ISE", "-c", program, "inventory", "system.firewall", "-o", "json"]
    outside = ["env", "HOME=/nonexistent", "ip", "netns", "exec", NAME]
    done = subprocess.run([*outside, *command], check=False, capture_output=True, text=True)
    if not done.stdout:
        pytest.skip(f"nobody may read the agent here: {done.stderr[-200:]}")
    seen = json.loads(done.stdout)["sections"]["system.firewall"]
    assert seen["status"] == "failed"
    assert seen["error"].startswith("permission")


SETS = """
create blocked hash:net family inet comment
add blocked 192.0.2.0/24 comment "testing"
add blocked 198.51.100.7
create seen hash:ip family inet6 timeout 600 counters
add seen 2001:db8::1
add seen 2001:db8::2 timeout 0
create ports bitmap:port range 0-1023
add ports 22
add ports 80-82
create large hash:ip
create all list:set
add all blocked
"""
MANY = "".join(f"add large 10.{number // 250}.{number % 250}.1\n" for number in range(5000))


@pytest.fixture
def sets() -> Iterator[str]:
    try:
        within("ipset", "restore", stdin=SETS + MANY)
    except AssertionError as error:
        pytest.skip(f"this kernel has no ipset, or not all kinds of sets: {error}")
    yield SETS + MANY
    remove_sets()


def remove_sets() -> None:
    within("ipset", "destroy", "all")
    within("ipset", "destroy")


def set_rows() -> dict[str, Any]:
    return {row["name"]: row for row in section("system.firewall")["rows"].values() if row["kind"] == "ipset"}


def test_sets_of_ipset_are_those_that_it_lists(sets: str) -> None:
    types, elements = {}, {}
    for words in map(str.split, within("ipset", "save").splitlines()):
        if words[0] == "create":
            types[words[1]], elements[words[1]] = words[2], 0
        elif "timeout" not in words or words[words.index("timeout") + 1] == "0":
            elements[words[1]] += 1
    found = set_rows()
    assert {name: row["type"] for name, row in found.items()} == types
    assert {name: row["elements"] for name, row in found.items()} == elements
    assert section("system.firewall")["volatile"]["ipset ip6 seen"] == {"passing_elements": 1}


def test_a_reload_of_sets_and_addresses_that_are_seen_change_nothing(sets: str) -> None:
    before = set_rows()
    within("ipset", "add", "seen", "2001:db8::3")
    assert set_rows() == before
    remove_sets()
    assert set_rows() == {}
    first, *others = MANY.splitlines()
    within("ipset", "restore", stdin=SETS + "\n".join([*reversed(others), first]) + "\n")
    assert set_rows() == before


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("add blocked 203.0.113.1", "blocked"),
        ("del blocked 198.51.100.7", "blocked"),
        ("-exist add blocked 192.0.2.0/24 comment other", "blocked"),
        ("add ports 83", "ports"),
        ("add large 192.0.2.1", "large"),
        ("-exist add seen 2001:db8::1 timeout 0", "seen"),
        ("add all ports", "all"),
    ],
)
def test_each_change_of_a_set_is_one_changed_row(sets: str, command: str, name: str) -> None:
    before = set_rows()
    within("ipset", *command.split())
    after = set_rows()
    assert [name for name in before if before[name] != after[name]] == [name]
    assert set(before) == set(after)


LEGACY = """
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:web - [0:0]
:empty - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j web
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment administration -j ACCEPT
-A INPUT -g empty
-A OUTPUT
-A OUTPUT -m limit --limit 5/min -j web
-A web -m statistic --mode nth --every 2 --packet 0 -j RETURN
-A web -m hashlimit --hashlimit-above 10/sec --hashlimit-name h -j LOG --log-prefix "web "
-A web -j ACCEPT
COMMIT
"""


@pytest.fixture(params=["iptables-legacy", "ip6tables-legacy"])
def legacy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Rules of iptables-legacy in the network namespace; yields the command's name."""
    command = str(request.param)
    try:
        within(f"{command}-restore", stdin=LEGACY)
    except AssertionError as error:
        pytest.skip(f"this kernel has no {command}, or not all of what the rules use: {error}")
    yield command
    empty = LEGACY.replace(":INPUT DROP", ":INPUT ACCEPT")
    kept = [line for line in empty.splitlines() if not line.startswith(("-A", ":web", ":empty"))]
    within(f"{command}-restore", stdin="\n".join(kept) + "\n")


def legacy_rows() -> dict[str, Any]:
    seen = section("system.firewall")
    assert seen.get("error") is None
    return {key: row for key, row in seen["rows"].items() if row["kind"] == "legacy"}


def test_chains_of_iptables_legacy_are_those_that_it_saves(legacy: str) -> None:
    within(legacy, "-t", "mangle", "-S")  # to look at a table makes it be there, and lets everything pass
    rules: dict[str, list[Any]] = {}
    for words in map(str.split, within(f"{legacy}-save", "-t", "filter").splitlines()):
        if words[0].startswith(":"):
            rules[words[0][1:]] = [None if words[1] == "-" else words[1].lower(), 0]
        elif words[0] == "-A":
            rules[words[1]][1] += 1
    family = "ip6" if legacy.startswith("ip6") else "ip"
    found = {row["name"]: [row["policy"], row["rules"]] for row in legacy_rows().values() if row["name"] is not None}
    assert found == rules
    assert set(legacy_rows()) == {f"legacy {family} filter", *(f"legacy {family} filter {name}" for name in rules)}


def test_a_reload_of_iptables_legacy_and_packets_that_pass_change_nothing(legacy: str) -> None:
    before = legacy_rows()
    within(sys.executable, "-c", KNOCK)
    assert legacy_rows() == before
    within(f"{legacy}-restore", stdin=within(f"{legacy}-save"))
    assert legacy_rows() == before


def test_each_change_of_iptables_legacy_is_one_changed_row(legacy: str) -> None:
    before = legacy_rows()
    chain = "legacy " + ("ip6" if legacy.startswith("ip6") else "ip") + " filter "
    for old, new, name in (
        ("--dport 22", "--dport 23", "INPUT"),
        ("-g empty", "-j empty", "INPUT"),
        ("-j ACCEPT\nCOMMIT", "-j DROP\nCOMMIT", "web"),
        ("5/min", "6/min", "OUTPUT"),
        ("FORWARD ACCEPT", "FORWARD DROP", "FORWARD"),
        ('"web "', '"wed "', "web"),
        ("-A web -j", "-A web\n-A web -j", "web"),
    ):
        within(f"{legacy}-restore", stdin=LEGACY.replace(old, new))
        after = legacy_rows()
        assert set(after) == set(before)
        assert [key for key in before if before[key] != after[key]] == [chain + name]
