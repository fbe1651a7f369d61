"""What differs between audits of a machine that nobody touches."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return every row that is not as it was, with both values, of two documents of an inventory."""
    return [
        f"{name} {key}: {old.get(key)} -> {new.get(key)}"
        for name in before["sections"]
        for old, new in [(before["sections"][name]["rows"], after["sections"][name]["rows"])]
        for key in sorted(set(old) | set(new))
        if old.get(key) != new.get(key)
    ]


def noise(seen: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return what differs in each pair of documents, one after the other, whose roots differ."""
    return [differing(one, other) for one, other in pairwise(seen) if one["root"] != other["root"]]
