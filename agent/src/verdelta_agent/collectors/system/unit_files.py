"""What the name, the [Install] section and the links of a systemd unit say: pure.

Sources: systemd.unit(5), systemd.syntax(7), systemctl(1) "is-enabled"; systemd's src/shared/install.c for the rule.
"""

import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Tuple

ENABLED = "enabled"  # starts by itself
DISABLED = "disabled"  # could be enabled
STATIC = "static"  # has nothing that enabling would do; something else starts it
INDIRECT = "indirect"  # is enabled under another name or instance, or names others to be enabled with it
LINKED = "linked"  # from outside of the searched directories
ALIAS = "alias"  # another name of a unit
MASKED = "masked"  # cannot be started
BAD = "bad"  # leads nowhere

NAME = 255  # bytes, as systemd has it
UNIT = re.compile(
    r"(?P<prefix>[A-Za-z0-9:_.\\-]+)(?P<at>@(?P<instance>[A-Za-z0-9:_.\\@-]*))?"
    r"\.(?P<type>service|socket|target|timer|mount|automount|swap|path|slice|scope|device)\Z"
)
RULES = ("WantedBy", "RequiredBy", "UpheldBy", "Alias")


class Link(NamedTuple):
    """A symbolic link below /etc/systemd/system: in the directory itself (""), or in one such as "x.target.wants"."""

    directory: str
    name: str
    target: str  # the last part of where it leads; as good as the name in one of dependencies

    def __str__(self) -> str:
        return "%s/%s" % (self.directory, self.name) if self.directory else self.name


class Install(NamedTuple):
    """What the [Install] section says, as far as a state follows from it."""

    has_rules: bool = False  # that enabling would follow
    has_also: bool = False
    names: Tuple[str, ...] = ()  # aliases
    default_instance: str = ""


def is_unit(name: str) -> bool:
    """Return whether a file of that name is a unit."""
    return len(name) <= NAME and UNIT.match(name) is not None


def template_of(name: str) -> str:
    """Return x@.service of x@y.service; any other name as it is."""
    parts = UNIT.match(name)
    return "%s@.%s" % (parts.group("prefix"), parts.group("type")) if parts and parts.group("instance") else name


def names_of(link: Link) -> List[str]:
    """Return the units that a link is about: by name and template below .wants, by name and target beside the units."""
    return sorted({link.name, template_of(link.name) if link.directory else link.target})


def parse_install(unit: str, drop_ins: Iterable[str] = ()) -> Install:
    """Return what the [Install] sections of a unit and its drop-ins say together; an empty value takes back."""
    values: Dict[str, List[str]] = {}
    for text in [unit] + list(drop_ins):
        for key, value in _install_lines(text):
            words = value.split()
            values[key] = values.get(key, []) + words if words else []
    return Install(
        has_rules=any(values.get(key) for key in RULES),
        has_also=bool(values.get("Also")),
        names=tuple(values.get("Alias", ())),
        default_instance="".join(values.get("DefaultInstance", [])[-1:]),
    )


def _install_lines(text: str) -> Iterator[Tuple[str, str]]:
    if "[Install]" not in text:
        return
    section = ""
    for line in text.replace("\\\n", " ").split("\n"):
        line = line.strip()
        if line[:1] == "[":
            section = line
        elif section == "[Install]" and line[:1] not in ("", "#", ";"):
            key, _, value = line.partition("=")
            yield key.rstrip(), value


def state_of(name: str, install: Install, links: Iterable[Link]) -> str:
    """Return the state of a unit that is no alias, from the links that are about it."""
    known = set(install.names) | {name}
    if install.default_instance and name == template_of(name):
        known.add(name.replace("@.", "@%s." % install.default_instance, 1))
    same = [link for link in links if link.directory == "" and link.name == link.target == name]
    others = [link for link in links if link not in same]
    if any(link.name in known for link in others):
        return ENABLED
    if same:
        return LINKED
    if others:
        return INDIRECT
    if install.has_rules:
        return DISABLED
    return INDIRECT if install.has_also else STATIC
