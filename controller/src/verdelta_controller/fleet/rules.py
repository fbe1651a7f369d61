"""What may be said of a host.  Pure.

Names, addresses, logins and paths reach ssh, Ansible's inventories and command lines.  So each of them is made of few
characters and begins with none that an option begins with: whatever could be a second word, an option or an expression
to any of those is refused here, at the entrance.
"""

import difflib
import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from verdelta_agent.model import SECTION_NAMES

from ..foundation.errors import InvalidInput
from ..foundation.ids import is_name
from . import host_keys

REACHES = ("ssh", "local", "check-in")
AGENTS = ("installed", "agentless")
RESERVED = frozenset(("all", "ungrouped", "localhost"))
NAMING = "Letters, digits, dots, dashes and underscores, a letter or digit at both ends; at most 63."

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}[A-Za-z0-9_$]?")
_PATH = re.compile(r"(/[A-Za-z0-9_+@.][A-Za-z0-9_+@.-]*)+")
_PATH_LIMIT = 1000


class NewHost(NamedTuple):
    """What an operator says of a host that is to be looked after."""

    name: str
    reach: str = "ssh"
    agent: str = "agentless"
    address: str = ""
    port: int = 22
    user: str = ""
    become: bool = False
    python: str = "/usr/bin/python3"
    agent_state: str = ""
    agent_path: str = ""
    host_key: str = ""
    credential: str = ""
    environment: str = ""
    groups: Sequence[str] = ()
    accepted_gaps: Sequence[str] = ()


def checked(new: NewHost) -> NewHost:
    """Return what was said of a host, with its host key as it is pinned.  Raises InvalidInput, which says of what."""
    check_name(new.name, "host")
    for group in new.groups:
        check_name(group, "group")
    for name in {new.name, *new.groups} & RESERVED:
        raise InvalidInput(f"{name} has a meaning of its own in Ansible's inventories", mend="Give another name.")
    if new.environment:
        check_name(new.environment, "environment")
    for what, value, known in (("reach", new.reach, REACHES), ("agent", new.agent, AGENTS)):
        if value not in known:
            raise InvalidInput(f"{new.name}: the {what} of a host is {' or '.join(known)}, not {value[:40]!r}")
    if new.reach == "ssh" and not (new.address and new.user and new.host_key):
        raise InvalidInput(f"{new.name}: to be reached over SSH a host needs address, user and a pinned host key")
    _check_how_reached(new)
    for section in new.accepted_gaps:
        _check_section(section)
    return new._replace(
        host_key=host_keys.normal(new.host_key) if new.host_key else "",
        groups=list(dict.fromkeys(new.groups)),
        accepted_gaps=list(dict.fromkeys(new.accepted_gaps)),
    )


def check_name(name: str, what: str) -> None:
    """Raise InvalidInput for what cannot name a thing."""
    if not is_name(name):
        raise InvalidInput(f"{name[:80]!r} cannot name a {what}", mend=NAMING)


def check_address(address: str, port: int = 22) -> None:
    """Raise InvalidInput for what is neither an IP address nor a name in the DNS, and for no port."""
    if not _is_ip(address) and not _DNS_NAME.fullmatch(address):
        raise InvalidInput(f"{address[:80]!r} is no address", mend="Give an IP address, or a name in the DNS.")
    if not 1 <= port <= 65535:
        raise InvalidInput(f"{port} is no port", mend="Give one from 1 to 65535.")


def _check_how_reached(new: NewHost) -> None:
    if new.address:
        check_address(new.address, new.port)
    if new.user and not _USER.fullmatch(new.user):
        raise InvalidInput(
            f"{new.user[:80]!r} cannot be a login", mend="Letters, digits, dots, dashes; a letter first."
        )
    for what, path in (("python", new.python), ("agent_state", new.agent_state), ("agent_path", new.agent_path)):
        if path and not _is_plain_path(path):
            raise InvalidInput(
                f"{what}: {path[:80]!r} is not taken as a path",
                mend="Give an absolute path of letters, digits, dots, dashes, underscores, + and @.",
            )
    if not new.python:
        raise InvalidInput("python: the path of the host's interpreter is missing", mend="/usr/bin/python3 mostly.")


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return "%" not in address  # the zone of a link-local address may hold anything


def _is_plain_path(path: str) -> bool:
    plain = len(path) <= _PATH_LIMIT and _PATH.fullmatch(path) is not None
    return plain and not {".", ".."} & set(path.split("/"))


def _check_section(name: str) -> None:
    if name not in SECTION_NAMES:
        near = difflib.get_close_matches(name[:80], SECTION_NAMES, 1)
        raise InvalidInput(
            f"accepted_gaps: there is no section {name[:80]!r}",
            mend=f"Did you mean {near[0]}?" if near else f"One of {', '.join(SECTION_NAMES)}.",
        )
