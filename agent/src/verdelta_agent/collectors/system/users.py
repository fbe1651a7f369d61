"""Local users, from /etc/passwd, and what /etc/shadow says of their passwords, never a hash.

Source of the format: passwd(5), shadow(5), crypt(5).
"""

import time
from typing import Dict, List, Mapping, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing, together
from .colon_separated import Entry, is_inclusion, number, parse_lines

USERS = "/etc/passwd"
SECRETS = "/etc/shadow"
LAST_DAY = 2932896  # since 1970: 9999-12-31

IN_SHADOW = "x"  # in the place of a password: it stands in /etc/shadow
LOCKED, SET, NONE, UNKNOWN = "locked", "set", "none", "unknown"

NOTHING_KNOWN: Row = {"password": None, "password_changed": None, "password_max_days": None, "expires": None}

Shadow = Mapping[str, Row]


def collect(host: Host) -> Section:
    """Absent where the host has no /etc/passwd.  Without the right to read /etc/shadow, partial."""
    if not host.exists(USERS):
        return absent()
    refused = None
    try:
        shadow, bad_shadow = parse_shadow(host.read(SECRETS)) if host.exists(SECRETS) else ({}, [])
    except PermissionError:
        shadow, bad_shadow, refused = None, [], "no permission to read %s" % SECRETS
    rows, bad_passwd = parse(host.read(USERS), shadow)
    error = together(refused, _not_understood(USERS, bad_passwd), _not_understood(SECRETS, bad_shadow))
    return Section(OK, rows, {}, error)


def _not_understood(path: str, lines: List[int]) -> Optional[str]:
    return missing("lines not understood in %s" % path, map(str, lines))


def parse(passwd: str, shadow: Optional[Shadow]) -> Tuple[Rows, List[int]]:
    """Return name -> user, and the numbers of the lines that are no entries.

    `shadow` is what parse_shadow() returns, or None where it may not be read: then the state of a password that
    stands there is null.
    """
    return parse_lines(passwd, 7, lambda entry: (entry[0], _user(entry, shadow)))


def _user(entry: Entry, shadow: Optional[Shadow]) -> Row:
    name, password, uid, gid, gecos, home, shell = entry
    row: Row = {"gecos": gecos, "home": home, "shell": shell}
    if is_inclusion(entry):
        row.update(uid=number(uid) if uid else None, gid=number(gid) if gid else None)
        row.update(NOTHING_KNOWN)
        return row
    row.update(uid=number(uid), gid=number(gid))
    if shadow is None:
        row.update(NOTHING_KNOWN)
    else:
        row.update(shadow.get(name, dict(NOTHING_KNOWN, password=UNKNOWN)))
    if password != IN_SHADOW:  # passwd holds a password of its own: then nobody asks shadow for one
        row["password"] = password_state(password)
    return row


def parse_shadow(text: str) -> Tuple[Dict[str, Row], List[int]]:
    """Return name -> what is known of the password and the account, and the numbers of the lines that are none."""
    return parse_lines(text, 9, _secret)


def _secret(entry: Entry) -> Tuple[str, Row]:
    return entry[0], {
        "password": password_state(entry[1]),
        "password_changed": _day(entry[2]),
        "password_max_days": None if entry[4] in ("", "-1") else number(entry[4]),
        "expires": _day(entry[7]),
    }


def password_state(field: str) -> str:
    """Return none where anybody gets in without a password, set where there is a hash, else locked.

    shadow(5): with a string that is no valid result of crypt(3), like ! or *, no password ever fits.
    """
    if not field:
        return NONE
    plain = field.startswith(("$", "_")) or len(field) == 13  # of DES: 13 characters of salt and hash
    return SET if plain and not field.startswith(("!", "*")) else LOCKED


def _day(field: str) -> Optional[str]:
    """Return the date of a day counted from 1970, or None where the field is empty or, as -1, switched off."""
    if field in ("", "-1"):
        return None
    day = number(field)
    if day > LAST_DAY:
        raise ValueError("not a day: %d" % day)
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86400))


COLLECTOR = Collector(
    "system.users",
    key="name; (2) is added to a second entry of a name; +… and -… are inclusions of NIS",
    collect=collect,
    deadline=5,
    fields={
        "uid": "number of the user",
        "gid": "number of the user's own group",
        "gecos": "comment, mostly the full name",
        "home": "home directory",
        "shell": "program that is run at login; empty for /bin/sh",
        "password": "locked, set, none (nobody is asked for one) or unknown (no entry in shadow); "
        "null where shadow may not be read",
        "password_changed": "day of the last change; 1970-01-01 for one that has to be changed at the next login",
        "password_max_days": "days after which a password has to be changed; 99999 for never, null for no say",
        "expires": "day from which on the account is closed; null for never",
    },
)
