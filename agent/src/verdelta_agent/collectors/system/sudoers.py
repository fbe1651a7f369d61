"""Who may run what as whom: the rules of sudo and doas, one row for whatever a file says of the same users.

Sources of the format: sudoers(5), doas.conf(5); where they leave a doubt, plugins/sudoers/toke.l of sudo and parse.y
of doas: a rule that sudo follows must never be taken for a comment here.

Rules that LDAP or SSSD hand out are not on the host, and not among them.
"""

import os
import re
from typing import Iterator, List, Pattern, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together

SUDOERS = ("/etc/sudoers", "/usr/etc/sudoers")  # the second: of distributions with a bare /etc
DOAS = ("/etc/doas.conf", "/etc/doas.d")
HOST_NAMES = ("/proc/sys/kernel/hostname", "/etc/hostname")
DEPTH = 128  # of files that include each other, as sudo has it
FILES = 1000  # of all includes together: of files that include two others each, there soon is no end
HIDDEN = "(hidden)"  # in place of a variable's value

QUOTED = r'"(?:[^"\\\n]|\\[ \t]*\r?\n|\\.)*"'
SPLIT = re.compile(
    r"(%s|\\.|\bsha(?:224|256|384|512)\s*:\s*[A-Za-z0-9+/=]+)" % QUOTED
)  # every second piece means what it says
CONTINUED = re.compile(r"\\[ \t]*\r?\n\Z")
PIECE = r'(?P<inclusion>%s)|%s|\\[ \t]*\r?\n|\\.|(?P<comment>\#%s[^\n]*)|\n|[^"\\#\n]+|.'
INCLUSION = r"^(?:\#|[ \t]*@)include(?:dir)?[ \t]+[^\n]*"
SUDOERS_PIECE = re.compile(PIECE % (INCLUSION, QUOTED, "(?!-?[0-9])"), re.MULTILINE)
DOAS_PIECE = re.compile(PIECE % ("(?!)", QUOTED, ""))
INCLUDE = re.compile(r"""(?:\#|@)(include|includedir)[ \t]+("[^"\n]*"|(?:\\[ \t]|\S)+)""")
ALIAS = re.compile(r"(User|Runas|Host|Cmnd|Cmd)_Alias\s+(.*)\Z", re.DOTALL)
NEXT_ALIAS = re.compile(r"(?<!\\):\s*(?=[A-Z][A-Z0-9_]*\s*=)")
NAME = r'(?:%s|\\.|[^\s"\\,])+' % QUOTED
NAMES = r"%s(?:\s*,\s*%s)*" % (NAME, NAME)
DEFAULTS = re.compile(r"(Defaults)(?:([:@!>])\s*(%s))?\s+(.*)\Z" % NAMES, re.DOTALL)
RULE = re.compile(r"(%s)\s+(.*=.*)\Z" % NAMES, re.DOTALL)
SETTING = re.compile(r"([!\s]*[a-z_]+)\s*([-+]?=)?\s*(.*)\Z", re.DOTALL)
DOAS_RULE = re.compile(r"(?:permit|deny)\s+(?:(?:nopass|nolog|persist|keepenv)\s+|setenv\s*\{[^}]*\}\s*)*([^\s{}]+)")
DOAS_VARIABLES = re.compile(r"(setenv\s*\{)([^}]*)")

Line = Tuple[int, str]


def collect(host: Host) -> Section:
    """Absent where there is neither sudo nor doas; partial where a file cannot be read or a line is not understood."""
    reader = Reader(host)
    walk = _Walk(reader)
    for path in SUDOERS:
        if not walk.files:
            walk.sudoers(path, 0)
    for path in [DOAS[0]] + ["%s/%s" % (DOAS[1], name) for name in reader.names(DOAS[1]) if name.endswith(".conf")]:
        walk.doas(path)
    if not walk.files and not reader.problems:
        return absent("there is no %s" % SUDOERS[0])
    return Section(OK, walk.rows, {}, together(reader.error(), missing("not understood", walk.bad)))


class _Walk:
    """Reads the files in sudo's order."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.files = 0
        self.rows: Rows = {}
        self.bad: List[str] = []

    def sudoers(self, path: str, depth: int) -> None:
        if depth > DEPTH or self.files >= FILES:
            self.reader.problem(path, "files include each other")
            return
        text = self.reader.text(path)
        if text is None:
            return
        self.files += 1
        for number, line in sudoers_lines(text):
            inclusion = INCLUDE.match(line)
            if inclusion:
                self._include(path, inclusion.group(1), inclusion.group(2).strip('"'), depth)
            else:
                self._add(path, number, list(parse(line)))

    def doas(self, path: str) -> None:
        text = self.reader.text(path)
        self.files += text is not None
        for number, line in doas_lines(text or ""):
            self._add(path, number, list(parse_doas(line)))

    def _add(self, path: str, number: int, found: List[Tuple[str, Row]]) -> None:
        """Take in what a line says; what was said of the same before is in the same row, in order: the last counts."""
        if not found:
            self.bad.append("%s line %d" % (printable(path), number))
        for key, row in found:
            old = self.rows.setdefault("%s: %s" % (printable(path), key), {})
            for field, values in row.items():
                old.setdefault(field, []).extend(values)

    def _include(self, path: str, kind: str, target: str, depth: int) -> None:
        target = re.sub(r"\\([ \t])", r"\1", target)
        if "%h" in target:
            names = filter(None, map(self.reader.host.read_or_none, HOST_NAMES))
            target = target.replace("%h", next(names, "").partition(".")[0])
        target = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if kind == "include":
            self.sudoers(target, depth + 1)
            return
        for name in self.reader.names(target):
            if "." not in name and not name.endswith("~"):  # as sudo passes over what editors and dpkg leave
                file = "%s/%s" % (target, name)
                if self.reader.host.lstat(file).kind in ("file", "symlink"):
                    self.sudoers(file, depth + 1)


def sudoers_lines(text: str) -> Iterator[Line]:
    """Yield number and text of each line that says something, as sudo divides them, comments taken away.

    A comment ends with its line, whatever stands at its end; # and a number is a user; #include is one in the very
    first column alone.
    """
    return _lines(text, SUDOERS_PIECE)


def doas_lines(text: str) -> Iterator[Line]:
    """Yield number and text of each line that says something, as doas divides them, comments taken away."""
    return _lines(text, DOAS_PIECE)


def _lines(text: str, pieces: Pattern[str]) -> Iterator[Line]:
    """Yield the lines that continuations join."""
    said: List[str] = []
    number, begun = 1, 1
    for piece in pieces.finditer(text + "\n"):
        found = piece.group()
        if found == "\n":
            line = "".join(said).strip()
            if line:
                yield begun, line
            said = []
        elif piece.group("comment") is None and not (said and found.startswith("#include")):
            begun = begun if said else number
            said.append(" " if CONTINUED.match(found) else found)
        number += found.count("\n")


def parse(line: str) -> Iterator[Tuple[str, Row]]:
    """Yield the key and row of each thing that a line of sudoers says; nothing where it is not understood."""
    alias, defaults = ALIAS.match(line), DEFAULTS.match(line)
    rule = RULE.match(line) if "=" in line else None
    if alias:
        for part in NEXT_ALIAS.split(alias.group(2)):
            name, equals, value = part.partition("=")
            if equals:
                yield "%s_Alias %s" % (alias.group(1), name.strip()), {"members": [_spaced(value)]}
    elif defaults:
        scope = _spaced("".join(filter(None, defaults.groups()[:3])))
        for part in _separated(defaults.group(4)):
            setting = SETTING.match(part)
            if setting:
                name, operator, value = setting.groups()
                yield (
                    "%s %s" % (scope, name.lstrip("! ")),
                    {"settings": ["".join(name.split()) + (operator or "") + value]},
                )
    elif rule:
        yield _spaced(rule.group(1)).replace(", ", ","), {"rules": [_spaced(rule.group(2))]}


def parse_doas(line: str) -> Iterator[Tuple[str, Row]]:
    """Yield the key and row of a rule of doas; nothing where it is not understood."""
    rule = DOAS_RULE.match(line)
    if rule:
        shown = DOAS_VARIABLES.sub(lambda match: match.group(1) + _without_values(match.group(2)), line)
        yield rule.group(1), {"rules": [" ".join(shown.split())]}


def _without_values(variables: str) -> str:
    """Return the variables that a rule of doas sets, without what may be secret: all but references and PATH."""
    return re.sub(r'(?!PATH=)(\b\w+)=(?!\$)(?:"[^"]*"|\S)+', r"\1=%s" % HIDDEN, variables)


def _separated(text: str) -> List[str]:
    """Return the parts of a list with commas that are not quoted."""
    parts = [""]
    for index, piece in enumerate(SPLIT.split(text)):
        first, *others = [piece] if index % 2 else piece.split(",")
        parts[-1] += first
        parts += others
    return [part.strip() for part in parts if part.strip()]


def _spaced(text: str) -> str:
    """Return text with one space behind each comma and none around = and :, but as it is where that has a meaning."""
    pieces = SPLIT.split(text)
    for index in range(0, len(pieces), 2):
        narrow = re.sub(r" ?([=:]) ?", r"\1", re.sub(r"\s+", " ", pieces[index]))
        pieces[index] = re.sub(r" ?, ?", ", ", narrow)
    return "".join(pieces).strip()


COLLECTOR = Collector(
    "system.sudoers",
    key="path: users of rules, kind and name of an alias, or Defaults, its scope and a setting",
    collect=collect,
    deadline=5,
    fields={
        "rules": "on which hosts, as whom, with which tags, what, in order: the last that fits counts; of doas, whole "
        "lines, without the values of variables",
        "members": "of an alias",
        "settings": "of Defaults: the setting, in order where it is made several times",
    },
)
