"""What cron and anacron run, and when: one row a job.

Sources of the format: crontab(5) of cronie, Vixie cron and Debian, anacrontab(5), crond(8) of BusyBox.

The scripts of /etc/cron.daily and its like are files below /etc, and so in system.files; at(1) jobs run once, are no
configuration, and are counted only.  Of the variables that a crontab sets, those are shown that decide how jobs run;
the others may hold secrets, and are named only.  Commands are shown as they stand: whoever may list processes sees
them as well.
"""

import re
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from .colon_separated import unused

SYSTEM = "/etc/crontab"
SYSTEM_FOLDER = "/etc/cron.d"
USERS = ("/var/spool/cron/crontabs", "/var/spool/cron", "/var/spool/cron/tabs", "/etc/crontabs")  # a file a user
AT = ("/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs")  # of Debian, of Red Hat, of SUSE
AT_JOB = re.compile("[a-zA-Z][0-9a-f]{13}\\Z")
ANACRON = "/etc/anacrontab"
SHOWN = ("CRON_TZ", "HOME", "LOGNAME", "MAILFROM", "MAILTO", "PATH", "RANDOM_DELAY", "SHELL", "START_HOURS_RANGE")
VARIABLE = re.compile(r"""\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?\s*=\s*(.*?)\s*\Z""")
DEBIAN = "/etc/debian_version"
DEBIANS_NAMES = re.compile("[A-Za-z0-9_-]+\\Z")  # the only ones that its cron takes in /etc/cron.d
LEFT_OUT = (".", "#")  # beginnings of names that cron passes over in a folder
LEFT_BEHIND = ("~", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".rpmnew", ".rpmorig", ".rpmsave")
KEY = 200  # characters of a command in a key

Parsed = Tuple[str, Row]  # what the key has after the path, and the row


class Table(NamedTuple):
    """One file of jobs: whether its lines name a user, and whose it is where they do not."""

    path: str
    user: Optional[str]


def collect(host: Host) -> Section:
    """Absent where there is no file of jobs; partial where one cannot be read or a line is not understood."""
    reader = Reader(host)
    rows: Rows = {}
    tables, bad = 0, []
    for table in _tables(reader):
        text = reader.text(table.path)
        if text is not None:
            tables += 1
            bad += ["%s line %d" % (printable(table.path), number) for number in add(rows, table, text)]
    waiting = [name for folder in AT for name in reader.names(folder) if AT_JOB.match(name)]
    if not tables and not waiting and not reader.problems:
        return absent("there is no crontab")
    volatile: Rows = {"at": {"jobs": len(waiting)}} if waiting else {}
    return Section(OK, rows, volatile, together(reader.error(), missing("not understood", bad)))


def _tables(reader: Reader) -> Iterator[Table]:
    yield Table(SYSTEM, None)
    yield Table(ANACRON, None)
    names = list(filter(_counts, reader.names(SYSTEM_FOLDER)))
    odd = [name for name in names if not DEBIANS_NAMES.match(name)]
    passed_over = odd if odd and reader.host.exists(DEBIAN) else []
    for name in names:
        path = "%s/%s" % (SYSTEM_FOLDER, name)
        if name not in passed_over and _is_file(reader, path):
            yield Table(path, None)
    for folder in USERS:
        for name in filter(_counts, reader.names(folder)):
            path = "%s/%s" % (folder, name)
            if not name.startswith("cron.") and _is_file(reader, path):  # cron.update, a signal
                yield Table(path, name)


def _is_file(reader: Reader, path: str) -> bool:
    """Return whether there is anything but a directory: in folders of crontabs are folders of other things."""
    try:
        return reader.host.lstat(path).kind != "directory"
    except OSError:  # gone meanwhile
        return False


def _counts(name: str) -> bool:
    return not name.startswith(LEFT_OUT) and not name.endswith(LEFT_BEHIND)


def add(rows: Rows, table: Table, text: str) -> Iterator[int]:
    """Add the jobs and variables of a file to the rows; yield the numbers of the lines that are neither."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parsed = parse(line, table)
        if parsed is None:
            yield number
        else:
            key = "%s: %s" % (printable(table.path), parsed[0])
            rows[unused(key, rows)] = parsed[1]


def parse(line: str, table: Table) -> Optional[Parsed]:
    """Return what a line says, or None where that is nothing."""
    variable = VARIABLE.match(line)
    if variable:
        name, value = variable.groups()
        return name, {"value": value.strip("\"'") if name in SHOWN else None}
    if table.path == ANACRON:
        return _anacron(line)
    words = 1 if line.startswith("@") else 5
    fields = line.split(None, words if table.user is not None else words + 1)
    if len(fields) < words + (1 if table.user is not None else 2):
        return None
    command = fields[-1]
    user = table.user if table.user is not None else fields[words]
    return command[:KEY], {"schedule": " ".join(fields[:words]), "user": printable(user), "command": command}


def _anacron(line: str) -> Optional[Parsed]:
    fields = line.split(None, 3)
    if len(fields) < 4:
        return None
    period, delay, name, command = fields
    return name, {"schedule": "every %s, after %s min" % (period, delay), "user": "root", "command": command}


FIELDS: Dict[str, str] = {
    "schedule": "when: the five fields of crontab(5), or @reboot and its like; of anacron: days and delay",
    "user": "as whom",
    "command": "what is run",
    "value": "of a variable; null for one that may hold a secret",
}

COLLECTOR = Collector(
    "system.cron",
    key="path: command (its first 200 characters), path: name of a variable, or of an anacron job",
    collect=collect,
    deadline=5,
    fields=FIELDS,
    volatile={"jobs": "of at: jobs that wait; each of them runs once"},
)
