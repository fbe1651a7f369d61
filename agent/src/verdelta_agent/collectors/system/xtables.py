"""Chains of iptables-legacy, out of a table as the kernel hands it over.

Source of the format: include/uapi/linux/netfilter/x_tables.h, netfilter_ipv4/ip_tables.h and
netfilter_ipv6/ip6_tables.h of the kernel; libiptc.c of iptables.

A table is a row of rules, each with its conditions (matches) and what it does (target).  A chain of the kernel's own
begins where its hook enters, one of people's behind a rule whose target is ERROR and bears the chain's name; the last
rule of a chain is its policy, or a return.  A jump leads to a number of bytes, which other rules shift: it counts by
the name of the chain.
"""

import hashlib
import sys
from struct import Struct, calcsize
from typing import Dict, Iterator, List, NamedTuple, Tuple

from ...model import Row

_ABOUT = 52  # bytes: which hooks, where each enters and ends, how many rules, how many bytes
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_NUMBERS = Struct("=11I").unpack_from
_OFFSETS = Struct("=HH").unpack_from  # from a rule's beginning: of its target, of the next rule
_VERDICT = Struct("=i").unpack_from
_VERDICTS = {-1: "drop", -2: "accept", -4: "queue", -5: "return"}
_PART = 32  # bytes before the data of a match or target: size, name, revision
_ERROR = b"ERROR"


class _Layout(NamedTuple):
    """Where the parts of a rule are: bytes of addresses, interfaces and protocol; the offsets; the first match."""

    packet: int
    offsets: int
    matches: int


# Families whose tables can be read -> how their rules are laid out.
LAYOUTS = {"ip": _Layout(84, 88, 112), "ip6": _Layout(133, 140, calcsize("@148s2Q"))}


class _Rule(NamedTuple):
    """One rule: where it stands, where the next one does, and its parts."""

    at: int
    following: int
    packet: bytes
    matches: List[bytes]
    target: bytes


Chain = Tuple[str, List[_Rule]]


def parse(family: str, table: str, answer: bytes) -> List[Row]:
    """Return the chains of a table.  Raises ValueError."""
    if len(answer) < _ABOUT:
        raise ValueError("a table of %d bytes" % len(answer))
    numbers = _NUMBERS(answer)
    hooks = {numbers[1 + hook]: name for hook, name in enumerate(_HOOKS) if numbers[0] >> hook & 1}
    chains = _chains(list(_rules(answer[_ABOUT:], LAYOUTS[family])), hooks)
    starts = {rules[0].at: name for name, rules in chains}
    own = set(hooks.values())
    return [_row(family, table, name, name in own, rules, starts) for name, rules in chains]


def is_untouched(rows: List[Row]) -> bool:
    """Return whether a table lets everything pass, as if it were not there: so it is when somebody only looks at it."""
    return all(row["policy"] == "accept" and not row["rules"] for row in rows)


def _rules(data: bytes, layout: _Layout) -> Iterator[_Rule]:
    at = 0
    while at < len(data):
        if at + layout.matches > len(data):
            raise ValueError("a rule of %d bytes" % (len(data) - at))
        target, following = _OFFSETS(data, at + layout.offsets)
        if not layout.matches <= target <= following - _PART or at + following > len(data):
            raise ValueError("a rule of %d bytes, its target at %d" % (following, target))
        matches = list(_matches(data[at + layout.matches : at + target]))
        yield _Rule(at, at + following, data[at : at + layout.packet], matches, data[at + target : at + following])
        at += following


def _matches(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big" if sys.byteorder == "big" else "little")
        if size < _PART or at + size > len(data):
            raise ValueError("a match of %d bytes" % size)
        yield data[at : at + size]
        at += size


def _name(part: bytes) -> bytes:
    return part[2:31].split(b"\0", 1)[0]


def _chains(rules: List[_Rule], hooks: Dict[int, str]) -> List[Chain]:
    """Return each chain that has a rule, which is all of them but what stands behind the last one."""
    chains: List[Chain] = []
    for rule in rules:
        if _name(rule.target) == _ERROR:
            chains.append((rule.target[_PART:].split(b"\0", 1)[0].decode("utf-8", "backslashreplace"), []))
        elif rule.at in hooks:
            chains.append((hooks[rule.at], [rule]))
        elif chains:
            chains[-1][1].append(rule)
        else:
            raise ValueError("a rule before the first chain")
    return [chain for chain in chains if chain[1]]


def _row(family: str, table: str, name: str, own: bool, rules: List[_Rule], starts: Dict[int, str]) -> Row:
    # Not by way of JSON, as elsewhere: there may be ten thousand rules, and all of it is bytes already.
    told = hashlib.sha256(b"".join(_told(rule, starts) for rule in rules[:-1]))
    policy = _verdict(rules[-1], starts) if own else None
    return {
        "kind": "legacy",
        "family": family,
        "table": table,
        "name": name,
        "policy": policy,
        "rules": len(rules) - 1,
        "digest": told.hexdigest(),
    }


def _told(rule: _Rule, starts: Dict[int, str]) -> bytes:
    """Return what a rule does, without its counters.  Each part tells where it ends."""
    target = rule.target if _name(rule.target) else _verdict(rule, starts).encode("utf-8") + b"\0"
    return b"%s%d %s%s" % (rule.packet, len(rule.matches), b"".join(rule.matches), target)


def _verdict(rule: _Rule, starts: Dict[int, str]) -> str:
    if _name(rule.target) or len(rule.target) < _PART + 4:
        raise ValueError("no verdict: %s" % rule.target[:80].hex())
    verdict = _VERDICT(rule.target, _PART)[0]
    if verdict < 0:
        return _VERDICTS.get(verdict, str(verdict))
    return "next" if verdict == rule.following else "chain " + starts.get(verdict, "")
