"""The lab's network: a bridge in a namespace of its own, which no route leaves.

The controller and every test tool run inside that namespace.  Each host has a namespace too, joined to the bridge
by a cable: a pair of interfaces, `eth0` in the host and `v-<host>` at the bridge.
"""

from collections.abc import Iterable
from pathlib import Path

from .commands import run

NET = "10.77.0"
GATEWAY = f"{NET}.1"
BRIDGE = "br0"


def address(family: str, number: int) -> str:
    """The address of the n-th host of a family (from 1)."""
    return f"{NET}.{(10 if family == 'debian' else 150) + number}"


def path(namespace: str) -> Path:
    """The file that names a network namespace."""
    return Path("/run/netns") / namespace


def existing(prefix: str) -> list[str]:
    """The network namespaces whose name begins so."""
    folder = Path("/run/netns")
    return sorted(p.name for p in folder.glob(f"{prefix}*")) if folder.exists() else []


def delete(namespace: str) -> None:
    run(["ip", "netns", "delete", namespace])


def create(namespace: str) -> None:
    """Create the lab's namespace with its bridge."""
    run(["ip", "netns", "add", namespace])
    _ip(namespace, [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"link set {BRIDGE} up",
        *_settle(GATEWAY, BRIDGE),
    ])  # fmt: skip


class Cable:
    """A host's namespace and its connection to the bridge."""

    def __init__(self, lab: str, host: str, host_address: str) -> None:
        self.lab = lab
        self.namespace = f"{lab}-{host}"
        self.address = host_address
        self._end = f"v-{host}"
        self._more: list[str] = []
        self._powered = False
        self._cut = False

    def lay(self) -> None:
        """Create the namespace and eth0; nothing is up yet."""
        run(["ip", "netns", "add", self.namespace])
        self._plug("eth0", self._end, ["link set lo up"])

    def add(self) -> str:
        """Plug in one more interface; return its name in the host."""
        name = f"eth{len(self._more) + 1}"
        self._more.append(name)
        self._plug(name, f"{self._end}-{name}", [f"link set {name} up"])
        return name

    def remove_added(self) -> None:
        """Unplug what add() plugged in."""
        _ip(self.namespace, [f"link del {name}" for name in self._more])
        self._more.clear()

    def _plug(self, name: str, end: str, then: Iterable[str]) -> None:
        number = 0 if name == "eth0" else int(name.removeprefix("eth"))
        mac = f"52:54:00:77:{number:02x}:{int(self.address.rpartition('.')[2]):02x}"
        _ip(self.lab, [
            f"link add {end} type veth peer name {name} address {mac} netns {self.namespace}",
            f"link set {end} master {BRIDGE} up",
        ])  # fmt: skip
        _ip(self.namespace, then)

    def power(self, on: bool) -> None:
        """A host without power does not even refuse a connection; one that starts has its addresses anew."""
        self._powered = on
        if on:
            _ip(self.namespace, ["addr flush dev eth0", "link set eth0 up", *_settle(self.address, "eth0")])
        self._apply()

    def cut(self, cut: bool) -> None:
        """Cut the cable, or mend it."""
        self._cut = cut
        self._apply()

    def _apply(self) -> None:
        _ip(self.lab, [f"link set {self._end} {'up' if self._powered and not self._cut else 'down'}"])


def _settle(own: str, interface: str) -> list[str]:
    """An address, and the way to its neighbours.  Quick acknowledgements save 80 ms of every SSH session."""
    return [
        f"addr add {own}/24 dev {interface} noprefixroute",
        f"route replace {NET}.0/24 dev {interface} src {own} quickack 1",
    ]


def _ip(namespace: str, commands: Iterable[str]) -> None:
    text = "".join(f"{command}\n" for command in commands)
    if text:
        run(["ip", "-n", namespace, "-batch", "-"], input=text)
