"""The pages about roll-outs: all of them, one as it goes, and the verdict of one host."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from markupsafe import Markup
from starlette.responses import Response

from ..access.http import Reads, identify
from ..foundation.errors import NotAuthenticated
from ..rollouts.routes import HEARTBEAT, is_at_rest
from ..rollouts.states import ENDED, HostState, Purpose, RolloutState
from .paging import Number, Offset, Page
from .rendering import fragment, render
from .state import Services, services_of

router = APIRouter()

LISTED = 100  # hosts of a roll-out that are shown at once; "?hosts=all" shows the others too
ITEMS = 20  # of the verdict of one of them; its own page has the rest
ITEMS_ALONE = 500
PAUSE = 0.3  # seconds at least between two updates of a page, however much happens
SHARE = 4  # how much longer than an update took the pause after it is: a large roll-out is not to keep a core busy

_ORDER = ("unexpected", "missing", "drift", "waived", "matched")
_WRONG = frozenset((HostState.AT_VARIANCE, HostState.FAILED, HostState.INDETERMINATE, HostState.BACK_OUT_FAILED))


class Command(NamedTuple):
    """A command to run next, and what it does."""

    line: str
    purpose: str


class ShownWave(NamedTuple):
    """A wave with the hosts of it that are listed, and how many hosts are in each state."""

    number: int
    state: str
    hosts: list[dict[str, Any]]
    tally: dict[str, int]
    unlisted: int


@router.get("/rollouts")
def rollouts(request: Request, actor: Reads) -> Response:
    """Return the newest roll-outs."""
    services = services_of(request)
    summaries = services.rollouts.summaries()
    tallies = services.overview.tallies([summary["id"] for summary in summaries])
    return render(request, "rollouts.html", rollouts=[{**one, "counts": tallies[one["id"]]} for one in summaries])


@router.get("/rollouts/{rollout_id}")
def rollout(
    request: Request, actor: Reads, rollout_id: Number, hosts: Annotated[str, Query(max_length=10)] = ""
) -> Response:
    """Return one roll-out as it stands; where scripts run, the page goes on from there by itself."""
    view = services_of(request).rollouts.view(rollout_id)
    return render(request, "rollout.html", **_shown(view, everything=hosts == "all"), live=not is_at_rest(view))


@router.get("/rollouts/{rollout_id}/hosts/{name}")
def verdict(request: Request, actor: Reads, rollout_id: Number, name: str, offset: Offset = 0) -> Response:
    """Return the whole verdict of one host of a roll-out."""
    services = services_of(request)
    deployment = services.rollouts.deployment(rollout_id, name)
    view = services.rollouts.host_view(rollout_id, name)
    items = in_order(view["items"])[offset : offset + ITEMS_ALONE]
    return render(
        request,
        "verdict.html",
        rollout=services.rollouts.summary(rollout_id),
        host={**view, "items": items},
        page=Page(offset, len(items), len(view["items"]), ITEMS_ALONE),
        envelopes=(deployment.before_envelope, deployment.after_envelope),
    )


def _known(request: Request, actor: Reads, rollout_id: Number) -> None:
    services_of(request).rollouts.summary(rollout_id)  # raises NotFound, while it can still be answered as that


@router.get("/rollouts/{rollout_id}/live", response_class=EventSourceResponse, dependencies=[Depends(_known)])
async def live(
    request: Request, actor: Reads, rollout_id: Number, hosts: Annotated[str, Query(max_length=10)] = ""
) -> AsyncIterator[ServerSentEvent]:
    """Stream the parts of the page that are not as they were sent last, until the roll-out rests.

    Who has been shut out since is sent nothing more.
    """
    services, sent = services_of(request), dict[str, str]()
    async with services.events.watch(f"rollout-{rollout_id}") as changed:
        while not await request.is_disconnected() and await asyncio.to_thread(_is_let_in, request):
            changed.clear()
            began = time.monotonic()
            parts, at_rest = await asyncio.to_thread(_now, services, rollout_id, hosts == "all")
            took = time.monotonic() - began
            news = "".join(part for name, part in parts.items() if sent.get(name) != part)
            yield ServerSentEvent(raw_data=news) if news else ServerSentEvent(comment="nothing new")
            sent = parts
            if at_rest:
                yield ServerSentEvent(event="rest", raw_data="")
                return
            await asyncio.sleep(max(PAUSE, SHARE * took))
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT)
            except TimeoutError:
                continue


def next_steps(view: dict[str, Any]) -> list[Command]:
    """Return the commands that a person may want now."""
    number, state = view["id"], view["state"]
    hosts = [host for wave in view["waves"] for host in wave["hosts"]]
    wrong = [host["host"] for host in hosts if host["state"] in _WRONG]
    look = Command(
        f"verdelta rollout show {number} {wrong[0] if wrong else ''}".rstrip(), "what is not as released there"
    )
    resume = Command(f"verdelta rollout resume {number}", "audit again, retry what failed, and go on")
    back_out = Command(f"verdelta rollout back-out {number}", "take its hosts back to what they were")
    if not is_at_rest(view):
        watch = Command(f"verdelta rollout status {number} -w", "watch it in a terminal")
        stop = Command(f"verdelta rollout cancel {number}", "begin no further host; what runs is stopped and audited")
        return [watch, stop] if state == "running" and not view["cancelled"] else [watch]
    if state == "suspended":
        paused = any(wave["state"] == "paused" for wave in view["waves"])
        leave = Command(f"verdelta rollout cancel {number}", "leave it at this")
        return [look, *([resume] if paused else []), back_out, leave]
    steps = [back_out] if any(host["installed_at"] and host["state"] != "backed_out" for host in hosts) else []
    if view["purpose"] == Purpose.REHEARSAL and state == RolloutState.FINISHED:
        look_over = f"verdelta release rehearsed {view['release']} {view['version']}"
        steps.insert(0, Command(look_over, "review what it changed, line by line, and accept that"))
    return steps


def in_order(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of a verdict, what is not as authorised first."""
    return sorted(items, key=lambda item: _ORDER.index(item["outcome"]))


def waves_shown(waves: Sequence[Mapping[str, Any]], limit: int | None) -> list[ShownWave]:
    """Return the waves with as many of their hosts as are to be listed: first those that need a person.

    Then those where something goes on, then the others, in the order of the waves.
    """
    hosts = [host for wave in waves for host in wave["hosts"]]
    listed = {id(host) for host in sorted(hosts, key=_urgency)[:limit]}
    return [
        ShownWave(
            wave["number"],
            wave["state"],
            [{**h, "items": in_order(h["items"])} for h in sorted(wave["hosts"], key=_place) if id(h) in listed],
            _tally(wave["hosts"]),
            sum(id(host) not in listed for host in wave["hosts"]),
        )
        for wave in waves
    ]


def _shown(view: dict[str, Any], everything: bool) -> dict[str, Any]:
    """Return what the templates of a roll-out show."""
    return {
        "rollout": {key: value for key, value in view.items() if key != "waves"},
        "waves": waves_shown(view["waves"], None if everything else LISTED),
        "commands": next_steps(view),
        "everything": everything,
        "host_line": _host_line,
    }


def _host_line(rollout_id: int, host: Mapping[str, Any]) -> Markup:
    """Return one host, rendered; most of those on a live page are as they were, for whoever looks at it."""
    return _rendered_host(rollout_id, json.dumps(host))


@lru_cache(maxsize=2_000)
def _rendered_host(rollout_id: int, host: str) -> Markup:
    line = fragment("parts/host.html", rollout_id=rollout_id, host=json.loads(host), items_shown=ITEMS)
    return Markup(line)  # noqa: S704 - a template made it


def _now(services: Services, rollout_id: int, everything: bool) -> tuple[dict[str, str], bool]:
    """Return what a page shows of a roll-out as it stands now, in parts, and whether it is at rest."""
    view = services.rollouts.view(rollout_id)
    return _parts(_shown(view, everything)), is_at_rest(view)


def _parts(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return what of the page can change, as htmx takes it: the title, and parts by the names of their elements."""
    parts = {"summary": fragment("parts/summary.html", **shown)}
    for wave in shown["waves"]:
        parts[f"wave-{wave.number}"] = fragment("parts/wave.html", **{**shown, "wave": wave})
    title = f"<title>{fragment('parts/title.html', **shown)} · Verdelta</title>"
    return {"title": title} | {
        name: f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{part}</hx-partial>'
        for name, part in parts.items()
    }


def _is_let_in(request: Request) -> bool:
    try:
        identify(request)
    except NotAuthenticated:
        return False
    return True


def _urgency(host: Mapping[str, Any]) -> int:
    state = HostState(host["state"])
    if state in _WRONG:
        return 0
    return 2 if state in ENDED or state is HostState.PENDING else 1


def _place(host: Mapping[str, Any]) -> tuple[bool, str]:
    return HostState(host["state"]) not in _WRONG, host["host"]


def _tally(hosts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counted = Counter(host["state"] for host in hosts)
    return {state.value: counted[state] for state in HostState if counted[state]}
