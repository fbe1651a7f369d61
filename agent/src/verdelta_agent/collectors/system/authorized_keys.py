"""The keys that open an account over SSH: one row a key, of every account that has a home.

Source of the format: sshd(8) "AUTHORIZED_KEYS FILE FORMAT"; where the files are, AuthorizedKeysFile of sshd_config(5).

Homes on another machine's file system are not touched: a server that does not answer would hold the audit up.
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from .colon_separated import unused
from .files import foreign, read_mounts
from .sshd import fingerprint, read
from .sshd_config import EVERYBODY

ACCOUNTS_FILE = "/etc/passwd"
DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
ACCOUNTS = 20000
KEY = re.compile(r"(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp[0-9]+|sk-\S+|\S+-cert-v01@openssh\.com)\Z")
WORD = re.compile(r'((?:"(?:\\"|[^"])*"|[^\s"])+)\s*')


class Account(NamedTuple):
    """Whose keys they are, and where the account is at home."""

    name: str
    uid: str
    home: str


def collect(host: Host) -> Section:
    """Absent without accounts; partial where a file of keys cannot be read or has lines that are none."""
    reader = Reader(host)
    passwd = reader.bytes(ACCOUNTS_FILE)
    if passwd is None and not reader.problems:
        return absent("there is no %s" % ACCOUNTS_FILE)
    mounts = read_mounts(host)
    parsed = read(reader)
    patterns = parsed.blocks[EVERYBODY].get("authorizedkeysfile", []) if parsed else []
    rows: Rows = {}
    bad: List[str] = []
    people = accounts((passwd or b"").decode("utf-8", "surrogateescape"))  # a home is a path, whatever its bytes
    for path, name in files(people, patterns[0].split() if patterns else DEFAULT_FILES).items():
        kind = foreign(path, mounts)
        if kind is not None:
            if not kind.startswith(("autofs", "proc", "sysfs", "dev")):
                reader.problem(path, "on %s" % kind)
            continue
        for number, key, row in parse(reader.text(path) or ""):
            if row is None:
                bad.append("%s line %d" % (printable(path), number))
            else:
                rows[unused("%s %s %s" % (name, printable(path), key), rows)] = row
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def accounts(passwd: str) -> List[Account]:
    """Return the accounts of /etc/passwd that have a home."""
    entries = (line.split(":") for line in passwd.split("\n")[:ACCOUNTS])
    return [Account(entry[0], entry[2], entry[5]) for entry in entries if len(entry) > 5 and entry[5].startswith("/")]


def files(found: List[Account], patterns: Sequence[str]) -> Dict[str, str]:
    """Return path -> the account whose keys it holds: the first one where several share a home."""
    paths: Dict[str, str] = {}
    for account in found:
        for pattern in patterns:
            if pattern.lower() != "none":
                paths.setdefault(expand(pattern, account), printable(account.name))
    return paths


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
    return shown, {"type": words[0], "options": options or None, "comment": words[2] if len(words) > 2 else ""}


COLLECTOR = Collector(
    "system.authorized_keys",
    key="account, path, and the key's fingerprint as ssh-keygen -l prints it",
    collect=collect,
    deadline=10,
    fields={
        "type": "kind of key",
        "options": "what the key may be used for: command, from, restrict, cert-authority …; null without",
        "comment": "what stands behind the key",
    },
)
