"""Values out of JSON that other programs wrote, whatever it holds: what is missing, or of another kind, is empty."""

import json
from typing import Any, Dict, List, Union

LONGEST = 4096  # characters of one text; a longer one ends with CUT
CUT = "…"

Tree = Dict[str, Any]


def load(document: Union[str, bytes]) -> Tree:
    """Return the object that a document is.  Raises ValueError."""
    try:
        tree = _DECODER.decode(_decoded(document))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(tree, dict):
        raise ValueError("not an object")
    return tree


def _decoded(document: Union[str, bytes]) -> str:
    return document if isinstance(document, str) else document.decode("utf-8", "backslashreplace")


def _whole(digits: str) -> int:
    """Return a number.  One of megabytes of digits would keep an old Python busy for minutes."""
    return int(digits) if len(digits) <= 20 else 0


_DECODER = json.JSONDecoder(parse_int=_whole)  # one for all: making it is dear


def load_list(document: bytes) -> List[Tree]:
    """Return the objects in the list that a document is.  Raises ValueError."""
    listed = load(b'{"":%s}' % document)[""]
    if not isinstance(listed, list):
        raise ValueError("not a list")
    return [item for item in listed if isinstance(item, dict)]


def value(tree: Any, *names: str) -> Any:
    """Return what the names lead to, from one object to the next, or None."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def text(tree: Any, *names: str) -> str:
    """Return a text, or ""."""
    found = value(tree, *names)
    return plain(found) if isinstance(found, str) else ""


def texts(tree: Any, *names: str) -> List[str]:
    """Return the texts in a list, or those that an object has as names, in their order."""
    found = value(tree, *names)
    return [plain(item) for item in found if isinstance(item, str)] if isinstance(found, (list, dict)) else []


def number(tree: Any, *names: str) -> int:
    """Return a whole number, or 0."""
    found = value(tree, *names)
    return found if type(found) is int else 0


def mapping(tree: Any, *names: str) -> Tree:
    """Return an object, or an empty one."""
    found = value(tree, *names)
    return found if isinstance(found, dict) else {}


def objects(tree: Any, *names: str) -> List[Tree]:
    """Return the objects in a list."""
    found = value(tree, *names)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def plain(found: str) -> str:
    """Return text that can be sent: JSON also has halves of a pair of surrogates, and megabytes."""
    if len(found) > LONGEST:
        found = found[:LONGEST] + CUT
    try:
        found.encode("utf-8")
        return found
    except UnicodeEncodeError:
        return found.encode("utf-8", "backslashreplace").decode("utf-8")
