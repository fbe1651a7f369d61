"""The files of one entry a line and colons between the fields: passwd, group, shadow.

Source of the format: passwd(5), group(5), shadow(5); for lines that begin with + or -, nsswitch.conf(5) "compat".
What is an entry is decided as the C library's nss/nss_files/files-parse.c decides it: an account that it lets in is
one that has to be seen.
"""

from typing import Any, Callable, Dict, List, Sequence, Tuple

LINE = 65536  # characters; a longer line is no entry that any program writes
NAMELESS = "(no name)"  # the C library takes ":x:0:0" for an account
LARGEST = 4294967295

Entry = Sequence[str]


def parse_lines(text: str, fields: int, parse: Callable[[Entry], Tuple[str, Any]]) -> Tuple[Dict[str, Any], List[int]]:
    """Return what `parse` makes of each entry, by the key that it gives it, and the numbers of the lines that are none.

    Missing fields at the end are empty, and a colon too many is part of the last field.  `parse` raises ValueError for
    what it does not understand.  A second entry of a name is kept too, as "name (2)": programs that look for the name
    never find it, those that look for the number do.
    """
    parsed: Dict[str, Any] = {}
    malformed: List[int] = []
    for line_number, line in enumerate(text.split("\n"), 1):
        stripped = line.lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            key, value = parse(_fields(stripped, fields))
        except ValueError:
            malformed.append(line_number)
        else:
            parsed[unused(key or NAMELESS, parsed)] = value
    return parsed, malformed


def _fields(line: str, fields: int) -> Entry:
    entry = line.split(":", fields - 1)
    if len(line) > LINE:
        raise ValueError("too long for an entry")
    return entry + [""] * (fields - len(entry))


def is_inclusion(entry: Entry) -> bool:
    """Return whether an entry takes in (+) or shuts out (-) names of NIS: it is no account or group of its own."""
    return entry[0][:1] in ("+", "-")


def number(text: str) -> int:
    """Return a user's or group's number.  Raises ValueError: int() alone also takes "-1", "1_0" and foreign digits."""
    digits = text.strip()
    digits = digits[1:] if digits.startswith("+") else digits
    if not digits or digits.strip("0123456789") or len(digits.lstrip("0")) > 10 or int(digits) > LARGEST:
        raise ValueError("not a number: %r" % text[:20])
    return int(digits)


def unused(key: str, taken: Dict[str, Any]) -> str:
    """Return the key, or where it is taken "key (2)", "key (3)" …"""
    if key not in taken:
        return key
    count = 2
    while "%s (%d)" % (key, count) in taken:
        count += 1
    return "%s (%d)" % (key, count)
