"""Chains, sets, named objects and flow tables of nftables, out of the messages of the kernel.

Source of the format: Documentation/netlink/specs/nftables.yaml, include/uapi/linux/netfilter/nf_tables.h of the kernel.

The digest of a chain is one over what its rules do.  Left out of it is what a reload of the same rules changes
(handles, positions, the numbers in the names of sets and chains without a name of their own) and what packets change
(counters, consumed quotas, elements that packets have added or that run out).
"""

import hashlib
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from ...model import Row, Rows, canonical
from ...netlink import attributes, elements, messages, number, text

SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
GET_TABLES, GET_CHAINS, GET_RULES, GET_SETS, GET_ELEMENTS = (SUBSYSTEM | kind for kind in (1, 4, 7, 10, 13))
NEW_TABLE, NEW_CHAIN, NEW_RULE, NEW_SET, NEW_ELEMENTS = (SUBSYSTEM | kind for kind in (0, 3, 6, 9, 12))
GET_OBJECTS, GET_FLOW_TABLES, NEW_OBJECT, NEW_FLOW_TABLE = (SUBSYSTEM | kind for kind in (19, 23, 18, 22))

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_HOOKS = {0: "prerouting", 1: "input", 2: "forward", 3: "output", 4: "postrouting", 5: "ingress"}
_HOOKS_OF = {"arp": {0: "input", 1: "output", 2: "forward"}, "netdev": {0: "ingress", 1: "egress"}}
_POLICIES = {0: "drop", 1: "accept"}
_DORMANT = 1  # of the flags of a table: its chains see no packet
_BOUND = 4  # of the flags of a chain: it is part of the rule that jumps there
_ANONYMOUS, _MAP, _BY_PACKETS = 1, 0x48, 0x20  # of the flags of a set; a map leads to values or to objects
_FLAGS = {2: "constant", 4: "interval", 8: "map", 0x10: "timeout", 0x20: "dynamic", 0x40: "object", 0x80: "concat"}
_END = 1  # of the flags of an element: where an interval ends
_DEPLETED = 2  # of the flags of a quota
_OBJECTS = {1: "counter", 2: "quota", 3: "ct helper", 4: "limit", 5: "connlimit", 6: "tunnel", 7: "ct timeout"}
_OBJECTS.update({8: "secmark", 9: "ct expectation", 10: "synproxy"})
_DEEP = 40  # rules in sets in rules; the kernel follows 16 jumps
_SET_OF = {"lookup": 1, "dynset": 1, "objref": 4}  # expression -> the attribute that names a set
_NUMBERED = {"lookup": (4,), "dynset": (2,), "objref": (5,)}  # the set's number within a transaction
_INTERFACES = (4, 5)  # NFT_META_IIF, NFT_META_OIF
_RUNTIME = re.compile(
    r"(DOCKER|KUBE-|CNI-|cali(-|[46]0)|CILIUM_|NETAVARK|FLANNEL|WEAVE|f2b-|kube-(proxy|router)|netavark|crowdsec|sshguard"
    r"|weave-|cilium_)"
)
_OF_PEOPLE = ("DOCKER-USER",)

Named = Tuple[int, str, str]  # family, table, name


class Answers(NamedTuple):
    """What the kernel has answered; `elements` are those of each set, `interfaces` the names of their numbers."""

    tables: bytes
    chains: bytes
    rules: bytes
    sets: bytes
    elements: Mapping[Named, bytes] = {}
    interfaces: Mapping[int, str] = {}
    objects: bytes = b""
    flow_tables: bytes = b""


def sets(answer: bytes) -> List[Named]:
    """Return which sets there are, those without a name of their own included.  Raises ValueError."""
    return [(family, text(found.get(1)), text(found.get(2))) for family, found in _listed(answer, NEW_SET)]


def generations(answer: bytes) -> List[bytes]:
    """Return the number of the ruleset that each message of an answer belongs to."""
    return [message.body[2:4] for message in messages(answer)]


def parse(answers: Answers) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows.  Raises ValueError."""
    ruleset = _Ruleset(answers)
    rows: Rows = {}
    volatile: Rows = {}
    for family, found in _listed(answers.tables, NEW_TABLE):
        add(rows, volatile, _table(family, found))
    for named, found in ruleset.chains.items():
        if not number(found.get(10, b""), "big") & _BOUND:
            add(rows, volatile, _chain(named, found, ruleset))
    for named, found in ruleset.sets.items():
        if not _flags_of(found) & _ANONYMOUS:
            row = add(rows, volatile, _set(named, found, ruleset))
            volatile.setdefault(row, {})["passing_elements"] = len(ruleset.elements(named, passing=True))
    for family, found in _listed(answers.objects, NEW_OBJECT):
        add(rows, volatile, _object(family, found))
    for family, found in _listed(answers.flow_tables, NEW_FLOW_TABLE):
        add(rows, volatile, _flow_table(family, found))
    return rows, volatile


def add(rows: Rows, volatile: Rows, row: Row) -> str:
    """Add a row where it belongs, and return its key."""
    named = [part for part in (row["table"], row["name"]) if part is not None]
    key = " ".join([row["kind"], row["family"]] + named)
    if any(_RUNTIME.match(name) for name in named) and row["name"] not in _OF_PEOPLE:
        volatile[key] = row
    else:
        rows[key] = row
    return key


def _listed(answer: bytes, kind: int) -> Iterator[Tuple[int, Dict[int, bytes]]]:
    """Yield family and attributes of each message of a type."""
    for message in messages(answer):
        if message.kind == kind:
            if len(message.body) < 4:
                raise ValueError("a message of %d bytes" % len(message.body))
            yield message.body[0], attributes(message.body, 4)


def _family(family: int) -> str:
    return _FAMILIES.get(family, "family %d" % family)


def _flags_of(found: Mapping[int, bytes]) -> int:
    return number(found.get(3, b""), "big")


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _table(family: int, found: Mapping[int, bytes]) -> Row:
    dormant = bool(number(found.get(2, b""), "big") & _DORMANT)
    return {"kind": "table", "family": _family(family), "table": text(found.get(1)), "name": None, "dormant": dormant}


def _chain(named: Named, found: Mapping[int, bytes], ruleset: "_Ruleset") -> Row:
    family = _family(named[0])
    hook = attributes(found.get(4, b""))
    hooks = _HOOKS_OF.get(family, _HOOKS)
    place = number(hook[1], "big") if 1 in hook else None
    devices = [text(value) for kind, value in elements(hook.get(4, b"")) if kind == 1]
    policy = number(found[5], "big") if 5 in found else None
    return {
        "kind": "chain",
        "family": family,
        "table": named[1],
        "name": named[2],
        "type": text(found[7]) if 7 in found else None,
        "hook": None if place is None else hooks.get(place, str(place)),
        "priority": _signed(hook[2]) if 2 in hook else None,
        "devices": sorted(set(devices + ([text(hook[3])] if 3 in hook else []))),
        "policy": None if policy is None else _POLICIES.get(policy, str(policy)),
        "rules": len(ruleset.rules.get(named, [])),
        "digest": _digest(ruleset.chain(named)),
    }


def _set(named: Named, found: Mapping[int, bytes], ruleset: "_Ruleset") -> Row:
    flags = _flags_of(found)
    by_packets = bool(flags & _BY_PACKETS)
    return {
        "kind": "map" if flags & _MAP else "set",
        "family": _family(named[0]),
        "table": named[1],
        "name": named[2],
        "flags": [name for bit, name in sorted(_FLAGS.items()) if flags & bit],
        "timeout": number(found[11], "big") if 11 in found else None,
        "elements": None if by_packets else len([one for one in ruleset.elements(named) if not _flags_of(one) & _END]),
        "digest": _digest(ruleset.set(named)),
    }


def _object(family: int, found: Mapping[int, bytes]) -> Row:
    """Return a quota, a limit and the like that has a name, for rules to share."""
    kind = number(found.get(3, b""), "big")
    name = _OBJECTS.get(kind, "object %d" % kind)
    return {
        "kind": name,
        "family": _family(family),
        "table": text(found.get(1)),
        "name": text(found.get(2)),
        "digest": _digest(
            [_settings(name, attributes(found.get(4, b""))), found.get(8, b"").hex()]
        ),  # with its comment
    }


def _settings(name: str, fields: Mapping[int, bytes]) -> Dict[str, Any]:
    """Return what somebody has set of an expression or an object, without what packets change."""
    if name in ("counter", "last"):
        return {}
    told: Dict[str, Any] = {str(kind): value.hex() for kind, value in fields.items() if value}  # no padding
    if name == "quota":
        told.pop("4", None)  # what is consumed
        told["2"] = number(fields.get(2, b""), "big") & ~_DEPLETED
    return told


def _flow_table(family: int, found: Mapping[int, bytes]) -> Row:
    hook = attributes(found.get(3, b""))
    place = number(hook[1], "big") if 1 in hook else None
    return {
        "kind": "flowtable",
        "family": _family(family),
        "table": text(found.get(1)),
        "name": text(found.get(2)),
        "hook": None if place is None else _HOOKS_OF["netdev"].get(place, str(place)),
        "priority": _signed(hook[2]) if 2 in hook else None,
        "devices": sorted({text(value) for kind, value in elements(hook.get(3, b"")) if kind == 1}),
        "flags": [name for bit, name in ((1, "offload"), (2, "counter")) if number(found.get(7, b""), "big") & bit],
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


class _Ruleset:
    """What the answers hold, by name, and the form of it that a reload does not change."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._nameless: Dict[Named, str] = {}
        self._open: List[Any] = []
        self.chains: Dict[Named, Dict[int, bytes]] = {}
        self.rules: Dict[Named, List[Dict[int, bytes]]] = {}
        self.sets: Dict[Named, Dict[int, bytes]] = {}
        for family, found in _listed(answers.chains, NEW_CHAIN):
            self.chains[(family, text(found.get(1)), text(found.get(3)))] = found
        for family, found in _listed(answers.rules, NEW_RULE):
            self.rules.setdefault((family, text(found.get(1)), text(found.get(2))), []).append(found)
        for family, found in _listed(answers.sets, NEW_SET):
            self.sets[(family, text(found.get(1)), text(found.get(2)))] = found

    def chain(self, named: Named) -> List[Any]:
        """Return a digest of what each rule of a chain does, in their order."""
        return [_digest(self._rule(rule, named)) for rule in self.rules.get(named, [])]

    def _rule(self, rule: Mapping[int, bytes], named: Named) -> List[Any]:
        listed = [value for kind, value in elements(rule.get(4, b"")) if kind == 1]
        done: List[Any] = []
        before = None
        for value in listed:
            found = attributes(value)
            name, fields = text(found.get(1)), attributes(found.get(2, b""))
            done.append(self._expression(name, fields, named))
            if name == "cmp" and before in _INTERFACES:
                done[-1] = [name, fields.get(2, b"").hex(), self._interface(fields)]
            before = number(fields.get(2, b""), "big") if name == "meta" else None
        return [done, rule.get(7, b"").hex(), rule.get(5, b"").hex()]  # with its comment

    def _interface(self, fields: Mapping[int, bytes]) -> str:
        """Return the name of the interface that a rule knows by its number, which a reboot may change."""
        index = number(attributes(fields.get(3, b"")).get(1, b""))
        return self._answers.interfaces.get(index, "interface %d" % index)

    def _expression(self, name: str, fields: Dict[int, bytes], named: Named) -> List[Any]:
        told = _settings(name, fields)
        if name == "immediate" and 2 in fields:
            told["2"] = self._data(fields[2], named)
        elif name in _SET_OF:
            for kind in _NUMBERED[name]:
                told.pop(str(kind), None)
            if _SET_OF[name] in fields:
                told[str(_SET_OF[name])] = self._set_of(text(fields[_SET_OF[name]]), named)
            if name == "dynset":
                told.update(self._nested(fields, 7, 10, named))
        return [name, told]

    def _nested(self, fields: Mapping[int, bytes], one: int, several: int, named: Named) -> Dict[str, Any]:
        """Return the expressions that an element of a set carries: the attribute with one, or the list of several."""
        values = [fields[one]] if one in fields else []
        values += [value for _, value in elements(fields.get(several, b""))]
        found = [attributes(value) for value in values]
        listed = [(text(one.get(1)), attributes(one.get(2, b""))) for one in found]
        told = self._inside(None, lambda: [self._expression(name, inner, named) for name, inner in listed])
        return {str(one): told, str(several): None} if told else {}

    def _data(self, value: bytes, named: Named) -> Any:
        """Return a value, or a verdict with the chain that it leads to."""
        found = attributes(value)
        if 2 not in found:
            return found.get(1, b"").hex()
        verdict = attributes(found[2])
        chain = (named[0], named[1], text(verdict.get(2)))
        bound = number(self.chains.get(chain, {}).get(10, b""), "big") & _BOUND
        where = self._digest_of(chain, self.chain) if bound else chain[2]
        return [_signed(verdict.get(1, b"")), where]

    def _set_of(self, name: str, named: Named) -> Any:
        """Return the name of a set, or what is in one that has no name of its own."""
        found = (named[0], named[1], name)
        if not _flags_of(self.sets.get(found, {})) & _ANONYMOUS:
            return name
        return self._digest_of(found, self.set)

    def _digest_of(self, named: Named, content: Callable[[Named], Any]) -> str:
        """Return the digest of a set or chain that has no name of its own."""
        if named not in self._nameless:
            self._nameless[named] = self._inside(named, lambda: _digest(content(named)))
        return self._nameless[named]

    def _inside(self, named: Any, tell: Callable[[], Any]) -> Any:
        """Return what is told of something within something else.  Raises ValueError where that has no end."""
        if len(self._open) > _DEEP or (named is not None and named in self._open):
            raise ValueError("rules in sets in rules, without an end")
        self._open.append(named)
        try:
            return tell()
        finally:
            self._open.pop()

    def set(self, named: Named) -> List[Any]:
        """Return what a set is, and what somebody has put into it."""
        found = self.sets[named]
        size = attributes(found.get(9, b"")).get(1, b"")
        told = [found.get(kind, b"").hex() for kind in (3, 4, 5, 6, 7, 11, 13, 15)]  # flags, types, lengths, comment
        listed = [self._element(element, named) for element in self.elements(named)]
        return [told, size.hex(), sorted(listed, key=canonical)]

    def elements(self, named: Named, passing: bool = False) -> List[Dict[int, bytes]]:
        """Return the elements that stay; or those that packets have added or that run out."""
        by_packets = bool(_flags_of(self.sets[named]) & _BY_PACKETS)
        found: List[Dict[int, bytes]] = []
        for _, answer in _listed(self._answers.elements.get(named, b""), NEW_ELEMENTS):
            listed = (attributes(value) for kind, value in elements(answer.get(3, b"")) if kind == 1)
            found += [element for element in listed if (by_packets or 5 in element) == passing]
        return found

    def _element(self, element: Mapping[int, bytes], named: Named) -> Dict[str, Any]:
        told: Dict[str, Any] = {str(kind): element[kind].hex() for kind in (1, 3, 6, 9, 10) if element.get(kind)}
        if 2 in element:
            told["2"] = self._data(element[2], named)
        told.update(self._nested(element, 7, 11, named))
        return told
