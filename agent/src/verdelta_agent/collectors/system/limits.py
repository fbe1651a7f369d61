"""What a login session and a service may use: pam_limits' limits and systemd's defaults.

Sources of the format: limits.conf(5), systemd-system.conf(5).
"""

from typing import Dict, Iterator, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together

LIMITS = "/etc/security/limits.conf"
LIMITS_FOLDER = "/etc/security/limits.d"
SYSTEMD = ("/usr/lib/systemd", "/lib/systemd", "/usr/local/lib/systemd", "/etc/systemd")
KINDS = ("soft", "hard", "-")
PREFIX = "DefaultLimit"


def collect(host: Host) -> Section:
    """Absent where nothing sets limits; partial where a file cannot be read or a line is not understood."""
    reader = Reader(host)
    paths = [LIMITS] + _below(reader, LIMITS_FOLDER)
    texts = [(path, reader.text(path)) for path in paths]
    rows, bad = parse([(path, text) for path, text in texts if text is not None])
    defaults = [(path, reader.text(path)) for path in _systemd(reader)]
    rows.update(parse_systemd([(path, text) for path, text in defaults if text is not None]))
    if not any(text is not None for _, text in texts + defaults) and not reader.problems:
        return absent("there is no %s" % LIMITS)
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _below(reader: Reader, folder: str) -> List[str]:
    return ["%s/%s" % (folder, name) for name in reader.names(folder) if name.endswith(".conf")]


def _systemd(reader: Reader) -> Iterator[str]:
    """Yield system.conf and its drop-ins, in the order in which systemd reads them; of one name, the last folder's."""
    drop_ins: Dict[str, str] = {}
    for folder in SYSTEMD:
        yield "%s/system.conf" % folder
        drop_ins.update((path.rpartition("/")[2], path) for path in _below(reader, folder + "/system.conf.d"))
    for name in sorted(drop_ins):
        yield drop_ins[name]


def parse(files: List[Tuple[str, str]]) -> Tuple[Rows, List[str]]:
    """Return "domain type item" -> value and the file that says so last, and the lines that say nothing."""
    rows: Rows = {}
    bad = []
    for path, text in files:
        for number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].split()
            if len(words) == 4 and words[1] in KINDS:
                rows[" ".join(words[:3])] = {"value": words[3], "path": printable(path)}
            elif words and not (len(words) == 2 and words[1] == "-"):  # "domain -": no limits at all
                bad.append("%s line %d" % (printable(path), number))
            elif words:
                rows["%s -" % words[0]] = {"value": "unlimited", "path": printable(path)}
    return rows, bad


def parse_systemd(files: List[Tuple[str, str]]) -> Rows:
    """Return "systemd DefaultLimit…" -> value and file; an empty value takes an earlier one back."""
    rows: Rows = {}
    for path, text in files:
        section = ""
        for line in map(str.strip, text.split("\n")):
            if line.startswith("["):
                section = line
            elif section == "[Manager]" and line.startswith(PREFIX):
                name, _, value = line.partition("=")
                row: Row = {"value": value.strip(), "path": printable(path)}
                rows["systemd " + name.strip()] = row
    return {key: row for key, row in rows.items() if row["value"]}


COLLECTOR = Collector(
    "system.limits",
    key='"domain type item" as in limits.conf, or "systemd" and the name of a default',
    collect=collect,
    deadline=5,
    fields={"value": "the limit", "path": "the file that says so; the last one counts"},
)
