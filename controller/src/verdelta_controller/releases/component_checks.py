"""What is wrong with the components of a manifest when they are looked at together, each with its place.  Pure."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from verdelta_agent.model import canonical

from .components import Component, dependencies, fetched_name
from .licences import licence_problem
from .located_yaml import Path
from .manifest_errors import quoted
from .versions import NoVersion, check_version

_ORDERS = {"deb": "software.dpkg", "rpm": "software.rpm", "pip": "software.pip"}


class Flaw(NamedTuple):
    """A problem that only the whole manifest shows, and where in it."""

    path: Path
    text: str


def component_flaws(components: Sequence[Component]) -> Iterator[Flaw]:
    """Yield what is wrong with the components; places are those of the manifest."""
    for place, component in enumerate(components):
        for field, text in _alone(component):
            yield Flaw(("components", place, field), f"{text}, in component {place + 1}")
    yield from _repeated(components)
    yield from _claimed_twice(components)
    yield from _unknown_relations(components)
    yield from _cycles(components)


def _alone(component: Component) -> Iterable[tuple[str, str]]:
    if component.manager in _ORDERS:
        try:
            check_version(_ORDERS[component.manager], component.version)
        except NoVersion as error:
            yield "version", f"version: {error} as {component.manager} orders them"
    if component.licence is not None and (problem := licence_problem(component.licence)):
        mend = "write it as SPDX does: MIT, GPL-2.0-only OR MIT, LicenseRef-of-your-own"
        yield "licence", f"licence {quoted(component.licence)}: {problem}; {mend}"
    if component.is_fetched and fetched_name(component.source) is None:
        yield "source", "source ends in no name of a file; give the name in the package as artifact"


def _repeated(components: Sequence[Component]) -> Iterable[Flaw]:
    seen: dict[bytes, int] = {}
    for place, component in enumerate(components):
        written = canonical(component.model_dump(mode="json", exclude_defaults=True))
        first = seen.setdefault(written, place)
        if first != place:
            yield Flaw(("components", place), f"component {place + 1} repeats component {first + 1}; leave one of them")


def _claimed_twice(components: Sequence[Component]) -> Iterable[Flaw]:
    owners: dict[str, int] = {}
    for place, component in enumerate(components):
        file = component.own_file
        if file is None:
            continue
        first = owners.setdefault(file, place)
        if first != place:
            field = "artifact" if component.artifact else "source"
            yield Flaw(("components", place, field), two_owners(file, components, first, place))


def two_owners(file: str, components: Sequence[Component], first: int, second: int) -> str:
    """Return the sentence for a file that two components claim."""
    names = [f"component {place + 1} ({components[place].label})" for place in (first, second)]
    return f"{file} is claimed by {names[0]} and by {names[1]}; leave it to one of them"


def _unknown_relations(components: Sequence[Component]) -> Iterable[Flaw]:
    known = {name for component in components for name in (component.name, component.package) if name}
    for place, component in enumerate(components):
        for number, name in enumerate(component.requires):
            if name not in known:
                near = difflib.get_close_matches(name, sorted(known), n=1)
                mend = f'did you mean "{near[0]}"?' if near else "add it to the components"
                text = f"component {place + 1} requires {quoted(name)}, which is not there; {mend}"
                yield Flaw(("components", place, "requires", number), text)
            elif name in (component.name, component.package):
                text = f"component {place + 1} requires itself ({quoted(name)})"
                yield Flaw(("components", place, "requires", number), text)


def _cycles(components: Sequence[Component]) -> Iterable[Flaw]:
    """Yield one flaw for the first cycle that is found: another may be gone once it is mended."""
    required = dependencies(components)
    done: set[int] = set()
    for start in range(len(components)):
        cycle = _cycle_from(start, required, done)
        if cycle:
            names = " → ".join(components[place].label for place in [*cycle, cycle[0]])
            yield Flaw(("components", cycle[0], "requires"), f"components require each other in a circle: {names}")
            return


def _cycle_from(start: int, required: Sequence[Sequence[int]], done: set[int]) -> list[int]:
    """Return the places of a cycle that is reached from a component, or nothing.  Walks; it does not recurse."""
    way: list[int] = []
    on_way: set[int] = set()
    todo = [(start, False)]
    while todo:
        place, left = todo.pop()
        if left:
            way.pop()
            on_way.discard(place)
            done.add(place)
        elif place in on_way:
            return way[way.index(place) :]
        elif place not in done:
            way.append(place)
            on_way.add(place)
            todo.append((place, True))
            todo.extend((following, False) for following in reversed(required[place]))
    return []
