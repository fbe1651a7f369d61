"""What /etc/fstab says should be mounted, and /etc/crypttab should be opened before.

Source of the format: fstab(5), mount(8), crypttab(5) of systemd and of Debian's cryptsetup.  What is planned and what
is so are different facts: a release that adds a line without mounting it changes this section, and not system.mounts.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..incomplete import missing, together
from .colon_separated import unused
from .mounts import FSTAB, HIDDEN, shown_option, unescape, without_password

CRYPTTAB = "/etc/crypttab"
CONTENT = 1 << 20  # bytes of a file
ENTRY = 65536  # characters of a line

Parse = Callable[[str], Tuple[Rows, List[int]]]

# Of two options that set one of these, the later one holds: their order has a meaning.
_SETS: Dict[str, Tuple[str, ...]] = {
    "defaults": ("rw", "suid", "dev", "exec", "auto", "user", "sync"),
    "user": ("user", "exec", "suid", "dev"),
    "users": ("user", "exec", "suid", "dev"),
    "owner": ("user", "suid", "dev"),
    "group": ("user", "suid", "dev"),
    "ro": ("rw",),
    "async": ("sync",),
    "strictatime": ("atime",),
    "relatime": ("atime",),
}
# What stands where a key is expected: a file, a device, or no key.  Anything else may be the key itself, which goes
# to a script.
_NO_SECRET = ("/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=")


def collect(host: Host) -> Section:
    """Absent without either file; partial where one cannot be read or a line is not understood."""
    rows: Rows = {}
    problems: List[Optional[str]] = []
    found = unread = 0
    for path, parse in _FILES:
        if not host.exists(path):
            continue
        found += 1
        try:
            more, malformed = parse(host.read(path, CONTENT))
        except OSError as error:
            unread += 1
            problems.append("%s: %s" % (path, error.strerror or type(error).__name__))
            continue
        rows.update(more)
        problems.append(missing("lines not understood in %s" % path, map(str, malformed)))
    reason = together(*problems)
    if not found:
        return absent()
    return failed(reason or "") if unread == found else Section(OK, rows, {}, reason)


def parse_fstab(text: str) -> Tuple[Rows, List[int]]:
    """Return mount point -> what should be there, and the numbers of the lines that say nothing.

    An entry without a mount point (swap) goes by its source, a second one for the same by "… (2)".
    """
    return _parse(text, _mount)


def parse_crypttab(text: str) -> Tuple[Rows, List[int]]:
    """Return crypttab:<name> -> what should be opened by that name, and the numbers of the lines that say nothing."""
    return _parse(text, _volume)


def _parse(text: str, parse: Callable[[Sequence[str]], Tuple[str, Row]]) -> Tuple[Rows, List[int]]:
    rows: Dict[str, Any] = {}
    malformed = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            if len(line) > ENTRY:
                raise ValueError("too long for an entry")
            key, row = parse(fields)
        except ValueError:
            malformed.append(number)
        else:
            rows[unused(key, rows)] = row
    return rows, malformed


def _mount(fields: Sequence[str]) -> Tuple[str, Row]:
    """Return the key and the row of a line of fstab.  Raises ValueError."""
    if len(fields) < 3:
        raise ValueError("not an entry")
    source, point, fstype = without_password(unescape(fields[0])), unescape(fields[1]), fields[2]
    options = stable_options((fields[3:] or ["defaults"])[0])
    row = {"source": source, "fstype": fstype, "options": options, "check_order": _digit(fields[5:])}
    if _digit(fields[4:]):
        row["dump"] = _digit(fields[4:])
    return (point if point.startswith("/") else source), row


def _digit(fields: Sequence[str]) -> int:
    text = (list(fields) or ["0"])[0]
    if text.strip("0123456789") or len(text) > 9:  # int() alone also takes "-1", "1_0" and foreign digits
        raise ValueError("not a number: %r" % text[:20])
    return int(text)


def _volume(fields: Sequence[str]) -> Tuple[str, Row]:
    """Return the key and the row of a line of crypttab.  Raises ValueError."""
    if len(fields) < 2:
        raise ValueError("not an entry")
    key = unescape((list(fields[2:]) or ["none"])[0])
    row: Row = {
        "source": unescape(fields[1]),
        "key": key if key in ("none", "-") or key.startswith(_NO_SECRET) else HIDDEN,
        "options": stable_options((fields[3:] or [""])[0]),
    }
    return "crypttab:" + unescape(fields[0]), row


def stable_options(text: str) -> List[str]:
    """Return the options, without a secret, and sorted, unless two of them set the same: then the later one holds."""
    options = [option for option in text.split(",") if option]
    shown = [shown_option(option.partition("=")[0], unescape(option)) for option in options]
    seen: Set[str] = set()
    for option in options:
        name = option.partition("=")[0]
        sets = set(_SETS.get(name) or (name[2:] if name.startswith("no") else name,))
        if sets & seen and not name.startswith("x-"):
            return shown
        seen |= sets
    return sorted(shown)


_FILES: Tuple[Tuple[str, Parse], ...] = ((FSTAB, parse_fstab), (CRYPTTAB, parse_crypttab))


COLLECTOR = Collector(
    "system.fstab",
    key="mount point, or source of swap; crypttab:<name> for a line of /etc/crypttab",
    collect=collect,
    deadline=5,
    fields={
        "source": "device, UUID=…, server:/path, as it is written there; passwords hidden",
        "fstype": "kind of file system",
        "options": "sorted, unless two of them set the same: then in their order; passwords and credentials hidden",
        "check_order": "when the file system is checked at the start; 0 for never",
        "dump": "whether dump(8) saves it",
        "key": "of crypttab: the file with the key, or none; hidden where it may be the key itself",
    },
)
