"""A roll-out as lines, one a change, for where no terminal is.  Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from . import render, tree
from .signs import BAD, HOSTS, WAVES, sign_of
from .text import amount, plain

Document = Mapping[str, Any]


def news(before: Document | None, after: Document) -> Iterator[Text]:
    """Yield a line for each thing that changed between two views of a roll-out; all that is begun, of the first.

    What a host is at within its install is not told: a view shows only some of the steps.
    """
    if before is None:
        hosts = amount(after["hosts_total"], "host")
        yield Text(f"roll-out {after['id']}: {plain(after['release'])} {plain(after['version'])} → {hosts}")
    waves = {wave["number"]: wave["state"] for wave in before["waves"]} if before else {}
    hosts_before = {host["host"]: host["state"] for wave in before["waves"] for host in wave["hosts"]} if before else {}
    for wave in after["waves"]:
        if wave["state"] != waves.get(wave["number"], "waiting") and wave["state"] == "running":
            yield _wave(wave)
        for host in wave["hosts"]:
            if host["state"] != hosts_before.get(host["host"], "pending"):
                yield from _host(host)
        if wave["state"] != waves.get(wave["number"], "waiting") and wave["state"] != "running":
            yield _wave(wave)
    if before is None or before["state"] != after["state"]:
        yield from tree.outlook(after)


def _wave(wave: Document) -> Text:
    sign = sign_of(WAVES, wave["state"])
    return Text(f"{sign.sign} wave {wave['number']} {sign.word}", style=sign.style)


def _host(host: Document) -> Iterator[Text]:
    sign = sign_of(HOSTS, host["state"])
    said = sign.word if host["state"] in tree.WORKING else tree.said_of(host)
    yield render.host_line(host["host"], sign, said)
    if host["state"] in tree.NOT_PROVED:
        for row, wrong in tree.complaints(host):
            yield Text.assemble("    ", ("! ", BAD) if wrong else "  ", row, f"  {wrong}")
