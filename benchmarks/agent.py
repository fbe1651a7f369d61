"""The agent on this machine: CPU seconds and memory of the whole process, against its floor and against its peers.

Each pair runs in turn in one go (ours, theirs, ours, …), so that a ratio holds where the machine's speed drifts.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cost import Cost, cost
from verdelta_agent import wire
from verdelta_agent.collectors import SECTIONS
from verdelta_agent.gather import find
from verdelta_agent.host import LocalHost
from verdelta_agent.memory import Witness
from verdelta_agent.model import Collector
from verdelta_controller.fleet import agent_archive

RUNS = 11
PAIRS = 5
PYTHON = "/usr/bin/python3"
TOKEN = b"controller.host.1.secret"


class Peer(NamedTuple):
    """Another inventory.  `target` is the most that ours may cost of it; `sections` is what of ours does its work."""

    name: str
    commands: Sequence[Sequence[str]]
    target: float | None
    sections: Sequence[str] = ()
    accepted: Sequence[int] = (0,)


class Agent(NamedTuple):
    """The one-file agent as it is installed: enrolled, with byte code."""

    command: Sequence[str]
    folder: Path

    def inventory(self, *sections: str) -> Sequence[str]:
        """Return the command that prints everything, or some sections."""
        return [*self.command, "inventory", "-o", "json", *sections]


def run() -> None:
    """Measure and print."""
    with _installed() as agent:
        _by_itself(agent)
        _against_peers(agent)


@contextmanager
def _installed() -> Iterator[Agent]:
    python = PYTHON if Path(PYTHON).exists() else sys.executable
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "verdelta-agent.pyz"
        archive.write_bytes(agent_archive.build())
        agent = Agent([python, "-ISE", str(archive), "--state", str(Path(name) / "state")], Path(name))
        subprocess.run([*agent.command, "enrol", "--print"], input=TOKEN, stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*agent.command, "compile", str(archive)], check=True)
        yield agent


def _by_itself(agent: Agent) -> None:
    """Print what an audit costs, beside the floor."""
    python = agent.command[0]
    for _ in range(3):  # from the second on, it knows which sections move by themselves
        subprocess.run([*agent.command, "audit"], stdout=subprocess.DEVNULL, check=True)
    request = wire.encode_request(wire.Request("controller", "host", "asked", _digests(agent), ""))
    read = agent.folder / "read"
    read.write_text("\n".join(_reads()), encoding="utf-8", errors="surrogateescape")
    floor = [python, "-ISE", str(Path(__file__).with_name("floor.py")), str(read)]
    print(f"\nOne audit of this machine ({python}), median of {RUNS} runs, user + system CPU of the whole process:")
    _measure("the interpreter alone", [python, "-ISE", "-c", "pass"])
    least = _measure("floor: it reads the same bytes, and no more", floor)
    full = _measure("full inventory", agent.inventory())
    _measure("full audit, signed, all rows sent", [*agent.command, "audit"])
    same = _measure("audit of an unchanged host, signed", [*agent.command, "audit", "--request", "-"], request)
    print(f"  full inventory / floor {full / least:.2f}, unchanged / floor {same / least:.2f}  (target ≤ 1.50)")


def _digests(agent: Agent) -> dict[str, str]:
    printed = subprocess.run(agent.inventory(), stdout=subprocess.PIPE, check=True).stdout
    return {name: section["digest"] for name, section in json.loads(printed)["sections"].items()}


def _reads() -> Iterator[str]:
    """Yield what an audit of this machine reads, each as floor.py takes it."""
    letters = {"read_bytes": "r", "lstat": "l", "exists": "l", "listdir": "d", "readlink": "t", "local_path": "r"}
    for source in SECTIONS:
        collector = find(LocalHost(), source)
        if not isinstance(collector, Collector):
            continue
        witness = Witness(LocalHost())
        collector.collect(witness)
        for question in witness.questions:
            method, path = question.split(" ", 1) if isinstance(question, str) else (question[0], question[1][0])
            if method in letters and isinstance(path, str) and "\n" not in path:
                yield letters[method] + path


def _measure(name: str, command: Sequence[str], data: bytes = b"") -> float:
    cost(command, data=data)
    costs = [cost(command, data=data) for _ in range(RUNS)]
    seconds = statistics.median(one.seconds for one in costs)
    memory = statistics.median(one.mebibytes for one in costs)
    print(f"  {name:46} {seconds:7.3f} CPU s   {memory:6.1f} MiB")
    return seconds


def peers(folder: Path, python: str) -> list[Peer]:
    """Return the peers that there are packages of, whether they are installed or not."""
    playbook, ansible = folder / "facts.yml", Path(sys.executable).with_name("ansible-playbook")
    modules = ("setup", "package_facts", "service_facts")
    tasks: list[dict[str, Any]] = [{f"ansible.builtin.{module}": {}} for module in modules]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play]))
    salt = [str(Path("build/peers/salt/bin/salt-call").resolve()), "--local", "--config-dir", str(folder)]
    hardware = ("hardware",)
    return [
        Peer(
            "Ansible setup, package_facts, service_facts",
            [[str(ansible), "-i", "localhost,", "-e", f"ansible_python_interpreter={python}", str(playbook)]],
            1 / 20,
        ),
        Peer("ohai", [["ohai"]], 1 / 10),
        Peer("fusioninventory-inventory", [["fusioninventory-inventory"]], 1 / 10),
        Peer("facter", [["facter", "--json"]], None, accepted=(0, 1)),
        Peer("salt-call grains.items, pkg.list_pkgs", [[*salt, "grains.items"], [*salt, "pkg.list_pkgs"]], None),
        Peer(
            "osquery, 18 core tables", [["osqueryi", "--json", ";".join(map("select * from {}".format, TABLES))]], 1 / 2
        ),
        Peer("lshw (hardware only)", [["lshw", "-json"]], 1 / 3, hardware),
        Peer("hwinfo (hardware only)", [["hwinfo", "--all"]], None, hardware),
    ]


OS_TABLES = ("os_version", "system_info", "kernel_info", "kernel_modules", "deb_packages", "python_packages")
NET_TABLES = ("interface_details", "interface_addresses", "routes", "listening_ports", "etc_hosts", "pci_devices")
MORE_TABLES = ("users", "groups", "mounts", "block_devices", "crontab", "usb_devices")
TABLES = OS_TABLES + NET_TABLES + MORE_TABLES


def _against_peers(agent: Agent) -> None:
    print(f"\nAgainst its peers on this machine, {PAIRS} pairs each, CPU seconds, memory, and ours / theirs:")
    for peer in peers(agent.folder, agent.command[0]):
        lacking = [command[0] for command in peer.commands if shutil.which(command[0]) is None]
        if lacking:
            print(f"  {peer.name:44} not installed here: {Path(lacking[0]).name}")
            continue
        _pair(agent, peer)


def _pair(agent: Agent, peer: Peer) -> None:
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(PAIRS + 1):
        ours.append(cost(agent.inventory(*peer.sections)))
        several = [cost(command, peer.accepted) for command in peer.commands]
        theirs.append(Cost(sum(one.seconds for one in several), max(one.mebibytes for one in several)))
    ours, theirs = ours[1:], theirs[1:]  # the first pair warms the caches up
    ratios = [our.seconds / their.seconds for our, their in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    target = "" if peer.target is None else f"  target {peer.target:.3f}: {'met' if ratio <= peer.target else 'missed'}"
    print(
        f"  {peer.name:44} {_medians(ours)}   {_medians(theirs)}   {ratio:.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}), 1/{1 / ratio:.1f}{target}"
    )


def _medians(costs: Sequence[Cost]) -> str:
    seconds = statistics.median(one.seconds for one in costs)
    return f"{seconds:6.3f} s {statistics.median(one.mebibytes for one in costs):5.1f} MiB"
