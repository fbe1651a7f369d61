"""Network interfaces, and what is bonded, bridged or tagged with what.

Source of the format: Documentation/ABI/testing/sysfs-class-net*, networking/bonding.rst and proc(5) "/proc/net" of the
Linux kernel.

An interface with hardware below it is known by its permanent address, or where it is plugged in when that cannot be
told; one without by its name.  Interfaces that containers, virtual machines and dial-ins make for themselves
(veth1a2b3c, vnet0, cali…, ppp0) come and go without anybody installing anything: they are in the volatile rows alone.
"""

import re
import sys
from struct import pack
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import Device, class_devices, has, link_target, number, place, read_attributes, uevent

CLASS = "/sys/class/net"
VLANS, ROUTES = "/proc/net/vlan/config", "/proc/net/route"
ADDRESSES, ADDRESSES6 = "/proc/net/fib_trie", "/proc/net/if_inet6"

_EVERY = ("uevent", "type", "address", "addr_assign_type", "flags", "mtu", "operstate")
_PLUGGED = ("device/uevent", "device/sriov_numvfs", "bonding_slave/perm_hwaddr", "speed", "duplex")
_BOND = ("bonding/mode", "bonding/xmit_hash_policy", "bonding/miimon")
_BRIDGE = ("bridge/stp_state", "bridge/vlan_filtering")
PASSING = re.compile(
    r"(veth|vnet|tap|cali|lxc|cilium_|ve-|vb-|vif[0-9]+\.|ppp|azv|fw(br|ln|pr)[0-9]|(eni|gke)[0-9a-f]{11}$)"
)
_TYPES = {"1": "ethernet", "32": "infiniband", "512": "ppp", "772": "loopback", "801": "wlan"}
_NO_NETWORK = ("00000000", "FFFFFFFF")  # masks of the default route and of single addresses
_LOCAL_LEAF = re.compile(r"\|-- ([0-9]+(?:\.[0-9]+){3})\n +/32 host LOCAL")
_PERMANENT = "0"  # addr_assign_type: 1 is random, 2 taken from another interface, 3 set by somebody
_ADMIN_UP = 1  # of the flags
_LIMIT = 256 << 10  # bytes of a list of routes; a router's own is longer, and its addresses are not worth it
# Attributes that no file has.
_VERSION, _FIRMWARE, _TOLD = "ethtool version", "ethtool firmware", "ethtool permanent address"
_NO_VERSION = ("", "N/A", "n/a")
RELEASE = "/proc/sys/kernel/osrelease"
_INFORMATION = pack("=I", 3) + bytes(192)  # ETHTOOL_GDRVINFO: driver, its version, the firmware's …
_PERMANENT_ADDRESS = pack("=II", 0x20, 32) + bytes(32)  # ETHTOOL_GPERMADDR
_LEASED_BY_NOBODY = 0x80  # of the flags of an IPv6 address: it has no lifetime


class Lists(NamedTuple):
    """What the kernel lists of all interfaces in one file each, as it wrote it; "" where there is no such file."""

    vlans: str = ""
    routes: str = ""
    addresses: str = ""
    addresses6: str = ""


class Interface(NamedTuple):
    """One interface, and the bond, bridge or other interface that it is a member of."""

    device: Device
    master: Optional[str]

    @property
    def plugged(self) -> bool:
        """Return whether there is hardware below it.  An InfiniBand child shows its parent's."""
        child = self.device.attributes.get("type") == "32" and "." in self.device.name
        return not self.device.virtual and not child

    @property
    def passing(self) -> bool:
        """Return whether a container, a virtual machine or a dial-in has made it for itself."""
        return self.device.virtual and PASSING.match(self.device.name) is not None


def collect(host: Host) -> Section:
    """Absent where the kernel has no network."""
    if not has(host, CLASS):
        return absent()
    interfaces = [_read(host, name, path) for name, path in class_devices(host, CLASS).items()]
    lists = Lists(*[_list(host, path) for path in (VLANS, ROUTES, ADDRESSES, ADDRESSES6)])
    return Section(OK, *parse([one for one in interfaces if one.device.attributes], lists))


def _read(host: Host, name: str, path: str) -> Interface:
    device = Device(name, path, read_attributes(host, path, _EVERY))
    kind = uevent(device.attributes.get("uevent")).get("DEVTYPE")
    more = _BOND if kind == "bond" else _BRIDGE if kind == "bridge" else ()
    device.attributes.update(read_attributes(host, path, more if device.virtual else _PLUGGED))
    interface = Interface(device, link_target(host, path + "/master"))
    if interface.plugged and device.attributes:
        _ask_driver(host, device)
    return interface


def _ask_driver(host: Host, device: Device) -> None:
    """Add what the driver alone tells: the firmware's version, and an address that another one is in use for."""
    information = _driver(host, device.name, _INFORMATION)
    for name, part in ((_VERSION, information[36:68]), (_FIRMWARE, information[68:100])):
        version = part.split(b"\0", 1)[0].decode("utf-8", "backslashreplace").strip()
        if version not in _NO_VERSION:
            device.attributes[name] = version
    if device.attributes.get(_VERSION) == (host.read_or_none(RELEASE) or "")[:31]:  # it has none of its own
        del device.attributes[_VERSION]
    if device.attributes.get("type") == "1" and permanent_address(device) is None:
        octets = _driver(host, device.name, _PERMANENT_ADDRESS)[8:14]
        if len(octets) == 6 and octets.strip(b"\0"):
            device.attributes[_TOLD] = ":".join("%02x" % octet for octet in octets)


def _driver(host: Host, name: str, request: bytes) -> bytes:
    try:
        return host.ethtool(name, request.hex())
    except OSError:  # it does not tell
        return b""


def _list(host: Host, path: str) -> str:
    try:
        return host.read(path, _LIMIT)
    except OSError:  # no IPv6, no vlans, or more than anybody wants to see: only shown, never compared
        return ""


def parse(interfaces: Sequence[Interface], lists: Lists) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: permanent address, place or name -> interface."""
    keys = _keys(interfaces)
    vlans = _vlans(lists.vlans)
    addresses, fixed = _addresses(lists)
    rows: Rows = {}
    volatile: Rows = {}
    for interface in interfaces:
        key, name = keys[interface.device.name], interface.device.name
        stable, moving = _row(interface), _moving(interface)
        stable.update(vlans.get(name, {}))
        if name in fixed:
            stable["fixed_ipv6"] = sorted(fixed[name])
        moving["addresses"] = sorted(addresses.get(name, []))
        if interface.passing:
            volatile[key] = dict(stable, **moving)
        else:
            rows[key], volatile[key] = stable, moving
    return rows, volatile


def _keys(interfaces: Sequence[Interface]) -> Dict[str, str]:
    """Return name -> key.

    Of those that share an address, the one that is no member of another keeps it alone: a virtual function comes and
    goes below the interface that stands for both.  What cannot be told apart so has its name after the address.
    """
    groups: Dict[str, List[Interface]] = {}
    for interface in interfaces:
        groups.setdefault(_identity(interface), []).append(interface)
    keys: Dict[str, str] = {}
    for shared, members in groups.items():
        names = {member.device.name for member in members}
        leaders = [member for member in members if member.master not in names]
        for member in members:
            alone = len(leaders) == 1 and member is leaders[0]
            keys[member.device.name] = shared if alone else "%s as %s" % (shared, member.device.name)
    return keys


def _identity(interface: Interface) -> str:
    if not interface.plugged:
        return interface.device.name
    plugged = place(interface.device.path)
    return permanent_address(interface.device) or ("path:" + plugged if plugged else interface.device.name)


def permanent_address(device: Device) -> Optional[str]:
    """Return the address that the hardware came with, or None where the kernel shows another one instead."""
    found = device.attributes
    if "bonding_slave/perm_hwaddr" in found:  # the bond has given all its members one address
        return found["bonding_slave/perm_hwaddr"]
    if _TOLD in found:
        return found[_TOLD]
    address = found.get("address", "")
    if found.get("addr_assign_type") != _PERMANENT or not address.strip("0:"):
        return None
    # An InfiniBand address starts with a queue's number, which is other at each start; the port's id is the end of it.
    return address[-23:] if found.get("type") == "32" else address


def _row(interface: Interface) -> Row:
    found = interface.device.attributes
    row: Row = {
        "name": interface.device.name,
        "kind": uevent(found.get("uevent")).get("DEVTYPE") or _TYPES.get(found.get("type", ""), "other"),
        "mtu": interface.device.number("mtu"),
        "enabled": bool(int(found.get("flags", "0"), 16) & _ADMIN_UP),
        "master": interface.master,
    }
    if interface.plugged:
        row["driver"] = uevent(found.get("device/uevent")).get("DRIVER")
        row["place"] = place(interface.device.path)
        row["mac"] = permanent_address(interface.device)
        row["driver_version"] = found.get(_VERSION)
        row["firmware"] = found.get(_FIRMWARE)
    for attribute in _BOND + _BRIDGE:
        if attribute in found:
            row[attribute.rpartition("/")[2]] = found[attribute].partition(" ")[0]
    if "device/sriov_numvfs" in found:
        row["virtual_functions"] = interface.device.number("device/sriov_numvfs")
    return row


def _moving(interface: Interface) -> Row:
    found = interface.device.attributes
    speed = interface.device.number("speed")
    return {
        "address": found.get("address"),
        "operstate": found.get("operstate"),
        "speed": speed if speed is not None and 0 < speed < 0xFFFFFFFF else None,  # both ends stand for: not known
        "duplex": found.get("duplex"),
    }


def _vlans(config: str) -> Dict[str, Row]:
    """Return name -> tag and the interface that is tagged, from the lines "bond0.12 | 12 | bond0"."""
    lines = (line.split("|") for line in config.split("\n"))
    named = ([word.strip() for word in words] for words in lines if len(words) == 3)
    return {name: {"vlan": number(tag), "vlan_of": below} for name, tag, below in named}


def _addresses(lists: Lists) -> Tuple[Dict[str, List[str]], Dict[str, List[str]]]:
    """Return name -> all addresses with their prefixes, and name -> the IPv6 addresses that somebody has set for good.

    What the kernel calls permanent has no lifetime.  A /128 is left out of those: it is a service's, and moves with it
    from host to host.  Of an IPv4 address the files below /proc do not tell whether it was leased.
    """
    every = _addresses4(lists.routes, lists.addresses)
    fixed: Dict[str, List[str]] = {}
    for words in (line.split() for line in lists.addresses6.split("\n")):
        if len(words) == 6:
            length, scope, flags = (int(word, 16) for word in words[2:5])
            address = "%s/%d" % (ipv6(words[0]), length)
            every.setdefault(words[5], []).append(address)
            if scope == 0 and flags & _LEASED_BY_NOBODY and length < 128:
                fixed.setdefault(words[5], []).append(address)
    return every, fixed


def _addresses4(routes: str, trie: str) -> Dict[str, List[str]]:
    """Return name -> IPv4 addresses: the local ones of the trie, each with the interface of the network it is in."""
    lines = [line.split() for line in routes.split("\n")[1:]]
    near = [words for words in lines if len(words) > 7 and words[2] == "00000000"]  # no gateway between
    networks = [(_number4(words[7]), _number4(words[1]), words[0]) for words in near if words[7] not in _NO_NETWORK]
    found: Dict[str, List[str]] = {}
    for address in dict.fromkeys(_LOCAL_LEAF.findall(trie)):  # each stands in two tables
        value = int.from_bytes(bytes(int(part) & 0xFF for part in address.split(".")), "big")
        inside = [entry for entry in networks if value & entry[0] == entry[1]]
        if inside:
            mask, _, name = max(inside)
            found.setdefault(name, []).append("%s/%d" % (address, bin(mask).count("1")))
    return found


def _number4(text: str) -> int:
    """Return an IPv4 number of /proc/net/route, which writes network order in the byte order of the machine."""
    return int.from_bytes(bytes.fromhex(text), sys.byteorder)


def ipv6(digits: str) -> str:
    """Return an IPv6 address of 32 hexadecimal digits as RFC 5952 writes it."""
    groups = [digits[at : at + 4].lstrip("0") or "0" for at in range(0, 32, 4)]
    text = ":".join(groups)
    zeros = max(re.finditer(r"\b0(?::0\b)+", text), key=lambda run: len(run.group()), default=None)
    if zeros is None:
        return text
    return text[: zeros.start()].rstrip(":") + "::" + text[zeros.end() :].lstrip(":")


COLLECTOR = Collector(
    "hardware.network",
    key="permanent address, path:bus address where that cannot be told, or the name where no hardware stands behind it",
    collect=collect,
    deadline=5,
    fields={
        "name": "the interface's name, which configurations use",
        "kind": "ethernet, wlan, infiniband, loopback, bridge, bond, vlan, vxlan …",
        "driver": "driver of the hardware",
        "place": "where it is plugged in: pci-0000:3b:00.0",
        "driver_version": "version of the driver, where it is another one than the kernel's",
        "firmware": "version of its firmware, where the driver tells",
        "mac": "permanent address, or null where another one hides it",
        "mtu": "largest packet, in bytes",
        "enabled": "whether it is switched on (not: whether there is a link)",
        "master": "name of the bond, bridge or virtual router that it is a member of",
        "mode": "how a bond spreads its load",
        "xmit_hash_policy": "what a bond spreads its load by",
        "miimon": "milliseconds between a bond's looks at its links",
        "stp_state": "whether a bridge speaks the spanning tree protocol",
        "vlan_filtering": "whether a bridge tells vlans apart",
        "virtual_functions": "virtual functions that are switched on",
        "vlan": "vlan tag",
        "vlan_of": "name of the interface that is tagged",
        "fixed_ipv6": "IPv6 addresses without a lifetime, other than link-local and /128",
    },
    volatile={
        "address": "link address in use: made up or borrowed at each start, where it is not the permanent one",
        "operstate": "up or down: what is at the other end of the cable decides it as well",
        "speed": "Mbit/s: is agreed with the other end of the cable",
        "duplex": "full or half: is agreed with the other end of the cable",
        "addresses": "all addresses: a leased one changes, and of IPv4 the kernel does not tell which are leased here",
    },
)
