"""Licences as SPDX writes them: the form of an expression, not whether a licence is on SPDX's list, which grows.

Source of the form: SPDX Specification 3.0.1, annex "SPDX license expressions" (https://spdx.github.io/spdx-spec).
Operators are taken in capitals alone: `MIT or Apache-2.0` is refused, since the older versions of the form refuse it.
"""

import re

_WORD = re.compile(r"\s*(\(|\)|[^\s()]+)")
_LICENCE = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+|[A-Za-z0-9][A-Za-z0-9.-]*\+?|NONE")
_EXCEPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_OPERATORS = ("AND", "OR", "WITH")


def licence_problem(text: str) -> str | None:
    """Return what is wrong with a licence expression, or None.  Brackets are counted, so no depth is too much."""
    words = _WORD.findall(text)
    opened, wanted = 0, "a licence"
    for word in words:
        if wanted == "an operator":
            if word == ")" and opened:
                opened -= 1
            elif word in _OPERATORS:
                wanted = "an exception" if word == "WITH" else "a licence"
            else:
                return f'expected AND, OR or WITH before "{word[:40]}"'
        elif word == "(" and wanted == "a licence":
            opened += 1
        elif word in _OPERATORS or not (_EXCEPTION if wanted == "an exception" else _LICENCE).fullmatch(word):
            return f'"{word[:40]}" is not {wanted}'
        else:
            wanted = "an operator"
    if wanted != "an operator":
        return f"it ends where {wanted} is expected"
    return "a bracket is not closed" if opened else None
