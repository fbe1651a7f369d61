"""What the sections are, in words: for the command line and for the reference, from the collectors themselves."""

import sys
from typing import Any, Iterator, List, Sequence

from .collectors import Entry
from .gather import read
from .host import Host
from .model import ABSENT, OK, Collector, Section
from .show import plain


def at_a_glance(host: Host, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield for each section what it is and how it is read on this host, and why where it is not, or not whole."""
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        section = read(host, entry)
        yield "%s  %-10s  %s" % (entry.name.ljust(width), _here(section), (about(entry.load()) or [""])[0])
        reason = section.error or ("this host has no such thing" if section.status == ABSENT else None)
        if reason is not None:
            yield "%s  %s" % (" " * width, plain(reason))
    yield "verdelta-agent sections NAME tells what a row is, and what its fields mean."


def _here(section: Section) -> str:
    if section.status != OK:
        return section.status
    if section.error is not None:
        return "partial"
    return "%d row%s" % (len(section.rows), "" if len(section.rows) == 1 else "s")


def about(collector: Collector) -> List[str]:
    """Return the paragraphs that the collector's module says of itself, each as one line; none under python -OO."""
    module: Any = sys.modules[collector.collect.__module__]
    return [" ".join(paragraph.split()) for paragraph in (module.__doc__ or "").split("\n\n") if paragraph.strip()]


def in_full(collector: Collector) -> str:
    """Return all about a section as text: what it is, its key, its fields, what is never compared and why."""
    lines = [collector.name, ""]
    for paragraph in about(collector):
        lines += _wrapped(paragraph, "  ") + [""]
    lines += _wrapped("key: %s" % collector.key, "  ")
    lines += _wrapped("deadline: %g s" % collector.deadline, "  ")
    for title, fields in (("fields", collector.fields), ("never compared, because", collector.volatile)):
        if fields:
            lines += ["", "  %s" % title]
            width = max(map(len, fields))
            for name, text in fields.items():
                lines += _wrapped("%s  %s" % (name.ljust(width), text), "    ", " " * (width + 2))
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str, hanging: str = "") -> List[str]:
    import textwrap

    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent + hanging, break_on_hyphens=False)
