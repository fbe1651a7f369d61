"""Which component each file of a release folder belongs to.  Pure.

A component claims its own file by name, and further ones by a folder or a pattern.  The same code runs where the
folder lies and where the package is taken in, so that both agree on what belongs to what.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from .components import Component

MOST_FILES = 20_000  # of a package


class Claims:
    """The claims of the components of a manifest, by the folder in which each of them begins to be a pattern."""

    def __init__(self, components: Sequence[Component]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._patterns: dict[str, list[tuple[str, int]]] = {}
        for place, component in enumerate(components):
            for name in (component.own_file, *component.files):
                if name is not None and not is_pattern(name):
                    self._exact.setdefault(name, []).append(place)
                elif name is not None:
                    self._patterns.setdefault(base_of(name), []).append((name, place))

    def owners(self, path: str) -> list[int]:
        """Return the places of the components that claim a file, in order."""
        found = set(self._exact.get(path, ()))
        for folder in folders_above(path):
            found.update(self._exact.get(folder, ()) if folder else ())
            found.update(place for pattern, place in self._patterns.get(folder, ()) if fits(pattern, path))
        return sorted(found)


def files_of(components: Sequence[Component], paths: Iterable[str]) -> dict[int, list[str]]:
    """Return the files of each component, by its place, in order; a file that two claim is with the first of them."""
    claims, found = Claims(components), {place: list[str]() for place in range(len(components))}
    for path in sorted(paths):
        for place in claims.owners(path)[:1]:
            found[place].append(path)
    return found


def unmatched(component: Component, paths: Sequence[str]) -> list[str]:
    """Return the entries of `files` of a component that name none of its files."""
    return [name for name in component.files if not any(names(name, path) for path in paths)]


def names(entry: str, path: str) -> bool:
    """Return whether an entry of `files` names a path: as the file, as a folder above it, or as a pattern."""
    if is_pattern(entry):
        return fits(entry, path)
    return path == entry or path.startswith(f"{entry}/")


def is_pattern(name: str) -> bool:
    """Return whether an entry of `files` is a pattern, rather than a file or a folder."""
    return "*" in name or "?" in name


def base_of(pattern: str) -> str:
    """Return the folder below which everything is that a pattern names ("" is the release folder)."""
    parts = pattern.split("/")
    first = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts) - 1)
    return "/".join(parts[:first])


def folders_above(path: str) -> list[str]:
    """Return the folders that a path is in, from the release folder ("") downwards."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts))]


def fits(pattern: str, path: str) -> bool:
    """Return whether a path fits a pattern: ** stands for any folders or none, * and ? stay inside a name.

    The work is at most the product of the lengths of both, whatever they are.
    """
    names_left = path.split("/")
    reached = {0}  # how many names of the path the parts so far can have taken
    for part in pattern.split("/"):
        if part == "**":
            reached = set(range(min(reached), len(names_left) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(names_left) and _fits_name(part, names_left[at])}
        if not reached:
            return False
    return len(names_left) in reached


def _fits_name(part: str, name: str) -> bool:
    return _compiled(part).match(name) is not None if is_pattern(part) else part == name


@lru_cache(maxsize=4096)
def _compiled(part: str) -> re.Pattern[str]:
    # fnmatch makes atomic groups of it: no pattern is slow, whatever the names look like.
    return re.compile(fnmatch.translate(part.replace("[", "[[]")))
