"""Local groups, from /etc/group.

Source of the format: group(5).
"""

from typing import List, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from .colon_separated import Entry, is_inclusion, number, parse_lines

GROUP = "/etc/group"


def collect(host: Host) -> Section:
    """Absent where the host has no /etc/group; partial where some of its lines are not understood."""
    if not host.exists(GROUP):
        return absent()
    rows, malformed = parse(host.read(GROUP))
    return Section(OK, rows, {}, missing("lines not understood in %s" % GROUP, map(str, malformed)))


def parse(text: str) -> Tuple[Rows, List[int]]:
    """Return name -> gid and members, sorted, and the numbers of the lines that are no entries.

    Members are those that the file names: whoever has the group as his own (the gid of system.users) is not among them.
    """
    return parse_lines(text, 4, _group)


def _group(entry: Entry) -> Tuple[str, Row]:
    name, _, gid, members = entry
    named = sorted({member.strip() for member in members.split(",")} - {""})
    return name, {"gid": None if is_inclusion(entry) and not gid else number(gid), "members": named}


COLLECTOR = Collector(
    "system.groups",
    key="name; (2) is added to a second entry of a name; +… and -… are inclusions of NIS",
    collect=collect,
    deadline=5,
    fields={
        "gid": "number of the group",
        "members": "names that the file lists, sorted; users whose own group it is are not among them",
    },
)
