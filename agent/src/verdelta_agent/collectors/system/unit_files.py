"""What the name, the [Install] section and the links of a systemd unit say: pure.

Sources: systemd.unit(5), systemd.timer(5), systemd.syntax(7), systemctl(1) "is-enabled"; systemd's
src/shared/install.c for the rule, and config_parse_timer() of its src/core/load-fragment.c.
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
TIMES = ("OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec", "OnCalendar")
SWITCHES = ("OnClockChange", "OnTimezoneChange")


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
        for key, value in _lines(text, "[Install]"):
            words = value.split()
            values[key] = values.get(key, []) + words if words else []
    return Install(
        has_rules=any(values.get(key) for key in RULES),
        has_also=bool(values.get("Also")),
        names=tuple(values.get("Alias", ())),
        default_instance="".join(values.get("DefaultInstance", [])[-1:]),
    )


def parse_schedule(timer: str, drop_ins: Iterable[str] = ()) -> List[str]:
    """Return when a timer goes off, by its file and drop-ins together: "OnCalendar=daily" and the like, in order.

    An empty time takes back all times before it, those of other settings too.
    """
    times: List[str] = []
    switches: Dict[str, str] = {}
    for text in [timer] + list(drop_ins):
        for key, value in _lines(text, "[Timer]"):
            value = " ".join(value.split())
            if key in TIMES and value:
                times.append("%s=%s" % (key, value))
            elif key in TIMES:
                times.clear()
            elif key in SWITCHES:
                switches[key] = "%s=%s" % (key, value)
    return times + [switches[key] for key in sorted(switches)]


def generic_of(name: str) -> List[str]:
    """Return the names whose drop-ins count for a unit as well, the most general first: type, prefixes, template."""
    parts = UNIT.match(name)
    if parts is None:
        return []
    words, suffix = parts.group("prefix").split("-"), "%s.%s" % ("@" if parts.group("at") else "", parts.group("type"))
    prefixes = ["-".join(words[:count]) + "-" + suffix for count in range(1, len(words)) if words[count - 1]]
    return [parts.group("type")] + prefixes + ([template_of(name)] if parts.group("instance") else [])


def _lines(text: str, wanted: str) -> Iterator[Tuple[str, str]]:
    """Yield name and value of each setting in the sections of one name."""
    if wanted not in text:
        return
    section = ""
    for line in text.replace("\\\n", " ").split("\n"):
        line = line.strip()
        if line[:1] == "[":
            section = line
        elif section == wanted and line[:1] not in ("", "#", ";"):
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
