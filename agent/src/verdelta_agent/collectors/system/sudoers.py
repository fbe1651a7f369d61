"""Who may run what as whom: the rules of sudo and doas, one row each.

Sources of the format: sudoers(5) and its "Including other files from within sudoers", doas.conf(5).
"""

import os
import re
from typing import Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from .colon_separated import unused

SUDOERS = "/etc/sudoers"
DOAS = ("/etc/doas.conf", "/etc/doas.d")
DEPTH = 128  # of files that include each other, as sudo has it
INCLUDE = re.compile(r"[#@](include|includedir)\s+(\S.*)\Z")
ALIAS = re.compile(r"(User|Runas|Host|Cmnd|Cmd)_Alias\s+(.*)\Z")
DEFAULTS = re.compile(r"(Defaults(?:[:@!>]\s*\S+)?)\s+(.*)\Z")
COMMENT = re.compile(r"(?<!\\)#(?![0-9]).*\Z")
OUTSIDE_QUOTES = r"""(?:"[^"]*"|\\.|[^%s"\\])+"""


def collect(host: Host) -> Section:
    """Absent where there is neither sudo nor doas; partial where a file cannot be read or a line is not understood."""
    reader = Reader(host)
    walk = _Walk(reader)
    walk.sudoers(SUDOERS, 0)
    for path in [DOAS[0]] + ["%s/%s" % (DOAS[1], name) for name in reader.names(DOAS[1]) if name.endswith(".conf")]:
        walk.doas(path)
    if not walk.files and not reader.problems:
        return absent("there is no %s" % SUDOERS)
    return Section(OK, walk.rows, {}, together(reader.error(), missing("not understood", walk.bad)))


class _Walk:
    """Reads the files in sudo's order."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.files = 0
        self.rows: Rows = {}
        self.bad: List[str] = []

    def sudoers(self, path: str, depth: int) -> None:
        text = self.reader.text(path)
        if text is None:
            return
        self.files += 1
        if depth > DEPTH:
            self.reader.problem(path, "files include each other")
            return
        for number, line in logical_lines(text):
            inclusion = INCLUDE.match(line)
            if inclusion:
                self._include(path, inclusion.group(1), inclusion.group(2).strip().strip('"'), depth)
                continue
            found = list(parse(line))
            if not found and not line.startswith("#"):
                self.bad.append("%s line %d" % (printable(path), number))
            for key, row in found:
                self.rows[unused("%s: %s" % (printable(path), key), self.rows)] = row

    def _include(self, path: str, kind: str, target: str, depth: int) -> None:
        target = os.path.normpath(os.path.join(os.path.dirname(path), target.replace("\\ ", " ")))
        if "%h" in target:
            self.reader.problem(target, "named after the host")
        elif kind == "include":
            self.sudoers(target, depth + 1)
        else:
            for name in self.reader.names(target):
                if "." not in name and not name.endswith("~"):  # as sudo passes over what editors and dpkg leave
                    self.sudoers("%s/%s" % (target, name), depth + 1)

    def doas(self, path: str) -> None:
        text = self.reader.text(path)
        for _, line in logical_lines(text or ""):
            self.rows[unused("%s: %s" % (printable(path), line), self.rows)] = {"rule": line}
        self.files += text is not None


def logical_lines(text: str) -> Iterator[Tuple[int, str]]:
    """Yield the number and text of each line that says something, continuations joined and comments taken away."""
    pending, begun = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        begun = begun or number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line = (pending + line).strip()
        if not INCLUDE.match(line):
            line = COMMENT.sub("", line).strip()
        if line:
            yield begun, line
        pending, begun = "", 0


def parse(line: str) -> Iterator[Tuple[str, Row]]:
    """Yield the key and row of each thing that a line of sudoers says; nothing where it is not understood."""
    alias, defaults = ALIAS.match(line), DEFAULTS.match(line)
    if alias:
        for part in _split(alias.group(2), ":"):
            name, equals, value = part.partition("=")
            if equals:
                yield "%s_Alias %s" % (alias.group(1), name.strip()), {"value": _spaced(value)}
    elif defaults:
        for part in _split(defaults.group(2), ","):
            name, operator, value = _setting(part)
            shown = name + operator + value
            yield "%s %s" % ("".join(defaults.group(1).split()), name.lstrip("!").strip()), {"value": shown}
    else:
        who, rule = _user_and_rule(line)
        if rule is not None:
            yield who, {"rule": rule}


def _user_and_rule(line: str) -> Tuple[str, Optional[str]]:
    """Return the users of a rule, a list with commas, and what is left of it."""
    match = re.match(r"""((?:"[^"]*"|\\.|[^\s"\\,])+(?:\s*,\s*(?:"[^"]*"|\\.|[^\s"\\,])+)*)\s+(.*=.*)\Z""", line)
    if not match:
        return line, None
    return re.sub(r"\s*,\s*", ",", match.group(1)), _spaced(match.group(2))


def _setting(part: str) -> Tuple[str, str, str]:
    """Return name, operator (=, +=, -=, or nothing) and value of a setting."""
    match = re.match(r"([^=]*?)\s*([-+]?=)\s*(.*)\Z", part, re.DOTALL)
    return (match.group(1), match.group(2), match.group(3)) if match else (part, "", "")


def _split(text: str, separator: str) -> List[str]:
    return [part.strip() for part in re.findall(OUTSIDE_QUOTES % separator, text) if part.strip()]


def _spaced(text: str) -> str:
    """Return text with one space around each = and after each comma and colon that is none of its words' own."""
    return re.sub(r"\s*=\s*", "=", re.sub(r"\s*,\s*", ", ", " ".join(text.split())))


COLLECTOR = Collector(
    "system.sudoers",
    key="path: users of a rule, kind and name of an alias, or Defaults, its scope and a setting; (2) for another rule",
    collect=collect,
    deadline=5,
    fields={
        "rule": "on which hosts, as whom, with which tags, what; of doas, the whole line",
        "value": "of an alias, its members; of a setting, the whole setting",
    },
)
