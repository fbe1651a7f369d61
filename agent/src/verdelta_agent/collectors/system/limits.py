"""What a login session and a service may use: pam_limits' limits and systemd's defaults.

Sources of the format: limits.conf(5), systemd-system.conf(5).
"""

from typing import List, Sequence, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together

LIMITS = ("/etc/security/limits.conf", "/usr/etc/security/limits.conf")  # the first one that there is
LIMITS_FOLDERS = ("/usr/etc/security/limits.d", "/etc/security/limits.d")  # of one name, the last one's
SYSTEMD = ("/usr/lib/systemd", "/lib/systemd", "/usr/local/lib/systemd", "/etc/systemd")  # likewise
NULL = "/dev/null"
KINDS = ("soft", "hard", "-")
PREFIX = "DefaultLimit"


def collect(host: Host) -> Section:
    """Absent where nothing sets limits; partial where a file cannot be read or a line is not understood."""
    reader = Reader(host)
    limits = _texts(reader, LIMITS, LIMITS_FOLDERS)
    mains = ["%s/system.conf" % folder for folder in reversed(SYSTEMD)]
    defaults = _texts(reader, mains, ["%s/system.conf.d" % folder for folder in SYSTEMD])
    if not limits and not defaults and not reader.problems:
        return absent("there is no %s" % LIMITS[0])
    rows, bad = parse(limits)
    rows.update(parse_systemd(defaults))
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _texts(reader: Reader, mains: Sequence[str], folders: Sequence[str]) -> List[Tuple[str, str]]:
    """Return path and text of the files that count, in their order: the first main file, and then the drop-ins.

    Of drop-ins with one name, that in the last folder counts; a link to /dev/null there takes the name out.
    """
    texts: List[Tuple[str, str]] = []
    for path in mains:
        text = reader.text(path)
        if text is not None:
            texts.append((path, text))
            break
    drop_ins = {name: "%s/%s" % (folder, name) for folder in folders for name in reader.names(folder)}
    for name in sorted(drop_ins):
        if name.endswith(".conf") and not _is_masked(reader.host, drop_ins[name]):
            text = reader.text(drop_ins[name])
            texts += [] if text is None else [(drop_ins[name], text)]
    return texts


def _is_masked(host: Host, path: str) -> bool:
    try:
        return host.lstat(path).kind == "symlink" and host.readlink(path) == NULL
    except OSError:  # gone meanwhile
        return True


def parse(files: List[Tuple[str, str]]) -> Tuple[Rows, List[str]]:
    """Return "domain type item" -> value and the file that says so last, and the lines that say nothing."""
    rows: Rows = {}
    bad = []
    for path, text in files:
        for number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].split()
            words[1:3] = [word.lower() for word in words[1:3]]  # as pam_limits reads them
            if len(words) >= 4 and words[1] in KINDS:
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
