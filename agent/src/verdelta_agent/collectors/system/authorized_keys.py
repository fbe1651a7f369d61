"""The keys that open an account over SSH: one row a key, of every account that has a home.

Source of the format: sshd(8) "AUTHORIZED_KEYS FILE FORMAT"; where the files are, AuthorizedKeysFile of sshd_config(5),
also behind Match, whomever that fits.  TrustedUserCAKeys names the keys whose certificates open accounts.

Homes on another machine's file system are not touched, whether they are mounted there or links lead there: a server
that does not answer would hold the audit up.
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ...paths import walk
from ..configuration import Reader
from ..incomplete import missing, together
from .colon_separated import unused
from .files import foreign, read_mounts
from .sshd import fingerprint, read
from .sshd_config import EVERYBODY, Parsed

ACCOUNTS_FILE = "/etc/passwd"
DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
ACCOUNTS = 10000
NO_HOMES = (
    "dev",
    "proc",
    "sysfs",
)  # beginnings of file systems of the kernel, where accounts of services pretend to be
KEY = re.compile(r"(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp[0-9]+|sk-\S+|\S+-cert-v01@openssh\.com)\Z")
WORD = re.compile(r'((?:"(?:\\"|[^"])*"|[^\s"])+)\s*')
VARIABLE = re.compile(r'(\benvironment="[^"=]*=)(?:\\"|[^"])*"', re.IGNORECASE)
ANYBODY = "(certificates)"  # in place of an account, where whoever has a certificate of the key gets in


class Account(NamedTuple):
    """Whose keys they are, and where the account is at home."""

    name: str
    uid: str
    home: str


class _Elsewhere(Exception):
    """A path leads to a file system that is not this machine's: its kind."""


def collect(host: Host) -> Section:
    """Absent without accounts; partial where a file of keys cannot be read or has lines that are none."""
    reader = Reader(host)
    passwd = reader.bytes(ACCOUNTS_FILE)
    if passwd is None and not reader.problems:
        return absent("there is no %s" % ACCOUNTS_FILE)
    found = accounts((passwd or b"").decode("utf-8", "surrogateescape"))  # a home is a path, whatever its bytes
    if len(found) > ACCOUNTS:
        reader.problem(ACCOUNTS_FILE, "accounts after the first %d" % ACCOUNTS)
    parsed = read(reader)
    places = _Places(host)
    rows: Rows = {}
    bad: List[str] = []
    for path, name in files(found[:ACCOUNTS], parsed).items():
        for number, key, row in parse(_text(reader, places, path)):
            if row is None:
                bad.append("%s line %d" % (printable(path), number))
            else:
                rows[unused("%s %s %s" % (name, printable(path), key), rows)] = row
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _text(reader: Reader, places: "_Places", path: str) -> str:
    try:
        return reader.text(places.real(path)) or ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except _Elsewhere as kind:
        if not str(kind).startswith(NO_HOMES):
            reader.problem(path, "on %s" % kind)
    except OSError as error:
        reader.problem(path, error.strerror or type(error).__name__)
    return ""


class _Places:
    """Finds out where paths lead, without a look at what is on another machine's file system."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.mounts = read_mounts(host)
        self.known: Dict[str, Optional[str]] = {"/": None}  # path -> target of a link, or None

    def real(self, path: str) -> str:
        """Return a path without links.  Raises _Elsewhere, or OSError where it leads nowhere."""
        return walk(path, True, self._link_at, self._enter)

    def _enter(self, directory: str) -> None:
        """Look at each mount point on the way, and at nothing below one that is not local."""
        kind = foreign(directory, self.mounts) if directory in self.mounts else None
        if kind is not None:
            raise _Elsewhere(kind)

    def _link_at(self, here: str) -> Optional[str]:
        self._enter(here)
        if here not in self.known:
            is_link = self.host.lstat(here).kind == "symlink"
            self.known[here] = self.host.readlink(here) if is_link else None
        return self.known[here]


def accounts(passwd: str) -> List[Account]:
    """Return the accounts of /etc/passwd that have a home."""
    entries = (line.split(":") for line in passwd.split("\n"))
    return [Account(entry[0], entry[2], entry[5]) for entry in entries if len(entry) > 5 and entry[5].startswith("/")]


def files(found: List[Account], sshd: Optional[Parsed]) -> Dict[str, str]:
    """Return path -> the account whose keys it holds: the first one where several share a home."""
    patterns, authorities = list(_values(sshd, "authorizedkeysfile")), _values(sshd, "trustedusercakeys")
    if sshd is None or "authorizedkeysfile" not in sshd.blocks[EVERYBODY]:
        patterns += DEFAULT_FILES
    paths: Dict[str, str] = {}
    for account in found:
        for pattern in patterns:
            if pattern.lower() != "none":
                paths.setdefault(expand(pattern, account), printable(account.name))
    paths.update((path, ANYBODY) for path in authorities if path.startswith("/"))
    return paths


def _values(sshd: Optional[Parsed], keyword: str) -> Iterator[str]:
    for block in sshd.blocks.values() if sshd else ():
        for value in block.get(keyword, ()):
            yield from value.split()


def expand(pattern: str, account: Account) -> str:
    """Return the path that AuthorizedKeysFile means for an account; a relative one is below its home."""
    values = {"%": "%", "h": account.home, "u": account.name, "U": account.uid}
    path = re.sub("%([%hUu])", lambda match: values[match.group(1)], pattern)
    return path if path.startswith("/") else "%s/%s" % (account.home.rstrip("/"), path)


def parse(text: str) -> Iterator[Tuple[int, str, Optional[Row]]]:
    """Yield line number, fingerprint and row of each key; no row for a line that is neither a key nor a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            key, row = _entry(line)
            yield number, key, row


def _entry(line: str) -> Tuple[str, Optional[Row]]:
    options = ""
    first = WORD.match(line)
    if first and not KEY.match(first.group(1)):
        options, line = first.group(1), line[first.end() :]
    words = line.split(None, 2)
    shown = fingerprint(line) if words and KEY.match(words[0]) else None
    if shown is None:
        return "", None
    return shown, {"type": words[0], "options": _shown(options) or None, "comment": words[2] if len(words) > 2 else ""}


def _shown(options: str) -> str:
    """Return options without the values of variables, which may be secret."""
    return VARIABLE.sub(r'\1(hidden)"', options)


COLLECTOR = Collector(
    "system.authorized_keys",
    key="account, path, and the key's fingerprint as ssh-keygen -l prints it; (certificates) for an authority of such",
    collect=collect,
    deadline=10,
    fields={
        "type": "kind of key",
        "options": "what the key may be used for: command, from, restrict, cert-authority …; null without; values of "
        "environment are hidden",
        "comment": "what stands behind the key",
    },
)
