"""Versions in the order of the section that they stand in: dpkg's, rpm's, PEP 440's, or numbers with dots.

Sources of the orders: deb-version(7), rpm's rpmvercmp, PEP 440 (all three by the library univers), and Semantic
Versioning 2.0.0 (https://semver.org) for everything else, where any count of numbers is taken.

A text without a sure order is refused rather than guessed at: 6.1.0-13-amd64 would stand before 6.1.0-9-amd64, and
before 6.1.0, if it were taken for a semantic version.
"""

import re
from typing import Any

LONGEST = 200  # characters of a version; a host may say anything

_RPM = re.compile(r"([0-9]+:)?[A-Za-z0-9._+~^]+(-[A-Za-z0-9._+~^]+)?")
_DOTTED = re.compile(r"([0-9]+(?:\.[0-9]+)*)(?:-([A-Za-z][0-9A-Za-z-]*(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?")


class NoVersion(ValueError):
    """The text has no place in the order of versions of this section; the message says why."""


def compare_versions(section: str, one: str, other: str) -> int:
    """Return less than 0, 0 or more than 0 as `one` is before, equal to or after `other`.  Raises NoVersion.

    As in rpm's own dependencies, a version without a release is equal to it with any: 1.0 and 1.0-3.el9.
    """
    parse = _PARSERS.get(section, _dotted)
    if parse is _rpm and ("-" in one) != ("-" in other):
        one, other = one.partition("-")[0], other.partition("-")[0]
    left, right = _parsed(parse, one), _parsed(parse, other)
    return int(left > right) - int(left < right)


def check_version(section: str, text: str) -> None:
    """Raise NoVersion when the text cannot be compared in this section."""
    _parsed(_PARSERS.get(section, _dotted), text)


def _parsed(parse: Any, text: str) -> Any:
    if len(text) > LONGEST:
        raise NoVersion(f"a text of {len(text)} characters is no version")
    try:
        return parse(text)
    except ValueError as error:
        raise NoVersion(f'"{text}" is no version that can be ordered') from error


def _debian(text: str) -> Any:
    from univers.versions import DebianVersion  # here, because its import costs 170 ms

    return DebianVersion(_as_written(text))


def _rpm(text: str) -> Any:
    from univers.versions import RpmVersion

    if not _RPM.fullmatch(text):
        raise ValueError(text)
    return RpmVersion(_as_written(text))


def _python(text: str) -> Any:
    from univers.versions import PypiVersion

    return PypiVersion(_as_written(text))


def _as_written(text: str) -> str:
    """Return the text, or refuse what univers would leave out before it compares: white space, and a leading v."""
    if not text.isascii() or any(character.isspace() for character in text) or text[:1] in ("v", "V"):
        raise ValueError(text)
    return text


def _dotted(text: str) -> Any:
    """Return the numbers without trailing zeros, then the pre-release, which comes before the release itself.

    Not univers' SemverVersion: it drops the fourth number, so that 1.2.3.4 and 1.2.3.5 would be equal.
    """
    match = _DOTTED.fullmatch(text)
    if match is None or not text.isascii():
        raise ValueError(text)
    numbers = [int(number) for number in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    identifiers = match[2].split(".") if match[2] else []
    before = [(False, int(word), "") if word.isdigit() else (True, 0, word) for word in identifiers]
    return numbers, not before, before


_PARSERS = {"software.dpkg": _debian, "software.rpm": _rpm, "software.pip": _python}
