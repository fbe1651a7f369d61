"""The picture of a roll-out: its waves and hosts as a tree, the next commands where a person gets stuck.  Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from .deltas import ACCEPTABLE
from .signs import BAD, HOSTS, ROLLOUTS, WAVES, Sign, sign_of
from .text import amount, cut, listed, plain

Document = Mapping[str, Any]

NAMED = 3  # hosts that a line names; more of them are counted
ONE_BY_ONE = 12  # hosts of a wave that are worked on and have a line each; more are counted by what they are at
ITEMS_SHOWN = 5  # items under a host
WORKING = ("auditing_before", "ready", "installing", "awaiting_hands", "rebooting", "auditing_after", "backing_out")
NOT_PROVED = ("at_variance", "failed", "indeterminate", "back_out_failed")


class Line(NamedTuple):
    """One line of the tree; `text` stands in a column of its own."""

    guide: str
    sign: Sign | None
    name: str
    text: str = ""


def rollout(view: Document, width: int, height: int = 0, wide: bool = False) -> RenderableType:
    """Return a roll-out as a tree; where it is higher than `height` lines, hosts at work are counted together."""
    lines = list(_waves(view, ONE_BY_ONE))
    below = outlook(view)
    if height and len(lines) + len(below) + 3 > height:
        lines = list(_waves(view, 0))
    heading = _heading(view, min(width, 100))
    return Group(heading, *_laid_out(lines, width, wide), *([Text(""), *below] if below else []))


def outlook(view: Document) -> list[Text]:
    """Return why a roll-out rests, and what can be done next; nothing while it runs."""
    state, number = view["state"], view["id"]
    if state in ("running", "backing_out"):
        return []
    sign = sign_of(ROLLOUTS, state)
    head = Text.assemble((f"{sign.sign} {sign.word}: ", sign.style), _why(view))
    if state != "suspended":
        return [head]
    first = next((host["host"] for host in _hosts(view) if host["state"] in NOT_PROVED), "")
    commands = [(f"verdelta rollout show {number} {plain(first)}".rstrip(), "what is not as released there")]
    if any(wave["state"] == "paused" for wave in view["waves"]):
        commands.append((f"verdelta rollout resume {number}", "audit again, retry what failed, and go on"))
    commands += [
        (f"verdelta rollout back-out {number}", "take its hosts back to what they were"),
        (f"verdelta rollout cancel {number}", "leave it at this"),
    ]
    longest = max(len(command) for command, _ in commands)
    return [head, *(Text.assemble(f"  {command:<{longest}}  ", (why, "dim")) for command, why in commands)]


def counts_of(host: Document) -> str:
    """Return what the verdict on a host counts: 1 unexpected, 2 missing."""
    return ", ".join(f"{n} {name}" for name, n in host["counts"].items() if n and name not in ACCEPTABLE)


def said_of(host: Document) -> str:
    """Return what there is to say about a host in a roll-out, on one line."""
    state, counts = host["state"], counts_of(host)
    word = sign_of(HOSTS, state).word
    if state in ("at_variance", "back_out_failed") and counts:
        return counts if state == "at_variance" else f"{word}: {counts}"
    if state in ("installing", "backing_out") and host["step"]:
        return f"{word}: {plain(host['step']['task'])}"
    reason = str(host["reason"] or host["install_error"]).strip().split("\n")[0]
    reason = plain(reason.removeprefix(f"{host['host']}: "))
    return f"{word}: {cut(reason, 200)}" if reason and state not in ("verified", "backed_out") else word


def complaints(host: Document) -> list[tuple[str, str]]:
    """Return the rows of a host that are not as authorised, each with what is wrong."""
    wrong = [item for item in host["items"] if item["outcome"] not in ACCEPTABLE]
    section = max((cell_len(plain(item["section"])) for item in wrong[:ITEMS_SHOWN]), default=0)
    shown = [
        (f"{plain(item['section']):<{section}}  {plain(item['key'])}", cut(plain(item["detail"]), 200))
        for item in wrong[:ITEMS_SHOWN]
    ]
    more = len(wrong) - len(shown)
    return [*shown, (f"and {more} more", "")] if more else shown


def _waves(view: Document, one_by_one: int) -> Iterator[Line]:
    waves = view["waves"]
    for place, wave in enumerate(waves):
        last = place == len(waves) - 1
        sign = sign_of(WAVES, wave["state"])
        yield Line("└─ " if last else "├─ ", sign, f"wave {wave['number']}", _of_wave(wave))
        if wave["state"] in ("running", "paused") or any(host["state"] in NOT_PROVED for host in wave["hosts"]):
            yield from _groups(wave["hosts"], "    " if last else "│   ", one_by_one)


def _of_wave(wave: Document) -> str:
    hosts, state = wave["hosts"], wave["state"]
    if state == "waiting":
        opens = f", opens when wave {wave['number'] - 1} is verified" if wave["number"] > 1 else ""
        return f"{len(hosts)} waiting{opens}"
    if hosts and all(host["state"] == "backed_out" for host in hosts):
        return f"{len(hosts)}/{len(hosts)} backed out"
    verified = sum(host["state"] == "verified" for host in hosts)
    alike = f", {_alike(hosts)}" if state == "passed" and len(hosts) > 1 else ""
    return f"{verified}/{len(hosts)} verified{alike}"


def _groups(hosts: Sequence[Document], guide: str, one_by_one: int) -> Iterator[Line]:
    """Yield the hosts of a wave, those about which the same is to be said together."""
    apart = sum(host["state"] in WORKING for host in hosts) <= one_by_one

    def kind(host: Document) -> tuple[int, str, str, str]:
        order = list(HOSTS).index(host["state"]) if host["state"] in HOSTS else len(HOSTS)
        rank = 0 if host["state"] in ("verified", "backed_out") else 1 if host["state"] in NOT_PROVED else 2
        same = str(complaints(host)) if host["state"] in NOT_PROVED else ""
        alone = host["host"] if apart and host["state"] == "installing" else ""
        return rank * 100 + order, said_of(host), same, alone

    groups = [list(group) for _, group in groupby(sorted(hosts, key=kind), key=kind)]
    for place, group in enumerate(groups):
        last, first = place == len(groups) - 1, group[0]
        yield _of_group(group, f"{guide}{'└─ ' if last else '├─ '}")
        if first["state"] in NOT_PROVED:
            for name, text in complaints(first):
                sign = Sign("!", "", BAD) if text else None
                yield Line(f"{guide}{'   ' if last else '│  '}   ", sign, name, text)


def _of_group(group: Sequence[Document], guide: str) -> Line:
    first = group[0]
    sign, said = sign_of(HOSTS, first["state"]), said_of(first)
    if len(group) <= NAMED:
        return Line(guide, sign, listed([host["host"] for host in group], NAMED), said)
    text = _alike(group) if first["state"] == "verified" else said.removeprefix(sign.word).removeprefix(": ")
    return Line(guide, sign, f"{len(group)} {sign.word}", text)


def _alike(hosts: Sequence[Document]) -> str:
    """Return whether the same changed on each of the hosts."""
    changes = {str([(i["section"], i["key"], i["outcome"], i.get("after")) for i in host["items"]]) for host in hosts}
    return "same change on each" if len(changes) == 1 else f"{len(changes)} different changes"


def _why(view: Document) -> str:
    state = view["state"]
    if state == "finished" and is_rehearsal(view):
        review = f"verdelta release rehearsed {plain(view['release'])} {plain(view['version'])}"
        return f"rehearsed on {amount(view['hosts_total'], 'host')}. What that changed is to be reviewed: {review}"
    if state == "finished":
        return f"{amount(view['hosts_total'], 'host')} verified: what changed is exactly what was released."
    if state == "backed_out":
        return "every host is again what it was, and that is proved."
    if state == "cancelled":
        begun = sum(host["state"] != "pending" for host in _hosts(view))
        return f"{begun} of {amount(view['hosts_total'], 'host')} had been begun."
    if view.get("reason"):  # it is no host's doing
        return plain(view["reason"])
    stuck = {state: [host["host"] for host in _hosts(view) if host["state"] == state] for state in NOT_PROVED}
    said = [f"{listed(names, NAMED)} {sign_of(HOSTS, state).word}" for state, names in stuck.items() if names]
    return f"{'; '.join(said) or 'a person decides'}."


def is_rehearsal(document: Document) -> bool:
    """Return whether a roll-out is there to find out what a release changes, and proves nothing of it yet."""
    return bool(document.get("purpose") == "rehearsal")


def _hosts(view: Document) -> Iterator[Document]:
    for wave in view["waves"]:
        yield from wave["hosts"]


def _heading(view: Document, width: int) -> Text:
    left = f"{plain(view['release'])} {plain(view['version'])} → {amount(view['hosts_total'], 'host')}"
    right = " · ".join(_tallies(view))
    gap = width - cell_len(left) - cell_len(right)
    return Text.assemble((left, "bold"), " " * gap if gap >= 3 else "\n", right)


def _tallies(view: Document) -> Iterator[str]:
    waves, counts = view["waves"], view["counts"]
    yield f"{'rehearsal' if is_rehearsal(view) else 'roll-out'} {view['id']}"
    if len(waves) > 1:
        current = next((wave["number"] for wave in waves if wave["state"] in ("running", "paused")), 0)
        yield f"wave {current} of {len(waves)}" if current else amount(len(waves), "wave")
    yield f"{view['hosts_ended']} of {view['hosts_total']} ended"
    for state in NOT_PROVED:
        if counts.get(state):
            yield f"{counts[state]} {sign_of(HOSTS, state).word}"


def _laid_out(lines: Sequence[Line], width: int, wide: bool) -> list[Text]:
    """Return the lines with their texts in one column."""
    starts = [cell_len(line.guide) + (2 if line.sign else 0) for line in lines]
    column = max(start + cell_len(line.name) for start, line in zip(starts, lines, strict=True)) + 2
    column = column if wide else min(column, max(width * 11 // 20, 30))
    laid = []
    for start, line in zip(starts, lines, strict=True):
        text = Text.assemble((line.guide, "dim"))
        if line.sign:
            text.append(f"{line.sign.sign} ", style=line.sign.style)
        room = column - start - 2
        name = line.name if cell_len(line.name) <= room else set_cell_size(line.name, room - 1) + "…"
        text.append(set_cell_size(name, room + 2) if line.text else name)
        text.append(line.text, style=line.sign.style if line.sign and line.sign.style != "dim" else "")
        if not wide:
            text.truncate(width, overflow="ellipsis")
        laid.append(text)
    return laid
