"""sshd's configuration, read as sshd reads it: pure, but for the files that it includes.

Source of the format: sshd_config(5), and servconf.c of OpenSSH.  For most keywords the first value counts; some may be
given several times.  Lines behind Match count for the connections that it names.
"""

import re
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

CONFIGURATIONS = ("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")  # the second: of distributions with a bare /etc
DEPTH = 16  # of files that include each other, as sshd has it
EVERYBODY = ""  # the criteria of what stands before the first Match
SEVERAL = frozenset(
    ("acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "hostkey", "hostcertificate", "listenaddress")
    + ("persourcepenalties", "port", "subsystem")
)
WHOLE = frozenset(("forcecommand", "versionaddendum"))  # the rest of the line is the value, quotes and # too
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
    "hostdsakey": "hostkey",
    "keyregenerationinterval": "deprecated",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "skeyauthentication": "kbdinteractiveauthentication",
}
LINE = re.compile(r'\s*"?([A-Za-z0-9]+)"?\s*(?:=\s*|\s+)(.*?)\s*\Z')

Settings = Dict[str, List[str]]  # keyword in lower case -> values
Include = Callable[[str], Sequence[Tuple[str, str]]]  # a pattern -> path and text of the files that it names


class Parsed(NamedTuple):
    """Criteria of Match ("" for everybody) -> what is set there; and the places of lines that are not understood."""

    blocks: Dict[str, Settings]
    bad: List[str]


def parse(path: str, text: str, include: Include) -> Parsed:
    """Return what sshd would do by a file and those that it includes."""
    parsed = Parsed({EVERYBODY: {}}, [])
    _read(path, text, include, parsed, EVERYBODY, 0)
    return parsed


def _read(path: str, text: str, include: Include, parsed: Parsed, criteria: str, depth: int) -> None:
    """Take a file in.  A Match in it ends with it: what follows its Include belongs where that stands."""
    for number, keyword, value in _lines(text):
        if keyword is None or depth > DEPTH:
            parsed.bad.append("%s line %d" % (path, number))
        elif keyword == "match":
            criteria = " ".join(value.split())
            parsed.blocks.setdefault(criteria, {})
        elif keyword == "include":
            for pattern in arguments(value):
                for included, content in include(pattern):
                    _read(included, content, include, parsed, criteria, depth + 1)
        else:
            _set(parsed.blocks[criteria], keyword, value)


def _lines(text: str) -> Iterator[Tuple[int, Optional[str], str]]:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.match(line)
        keyword = match.group(1).lower() if match else None
        yield number, ALIASES.get(keyword, keyword) if keyword else None, match.group(2) if match else ""


def _set(settings: Settings, keyword: str, value: str) -> None:
    value = value if keyword in WHOLE else " ".join(arguments(value))
    if keyword in SEVERAL:
        if value not in settings.setdefault(keyword, []):
            settings[keyword].append(value)
    else:
        settings.setdefault(keyword, [value])


def arguments(value: str) -> List[str]:
    """Return the words of a value, without quotes and without a comment behind them."""
    words = []
    for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', value):
        if plain.startswith("#"):
            break
        words.append(quoted or plain)
    return words
