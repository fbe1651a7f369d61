"""verdelta rollout: a release on its way to hosts, and what became of it on each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Group as Together
from rich.console import RenderableType
from rich.text import Text

from ..foundation.errors import InvalidInput
from . import deltas, output, render, signs, tree
from .audit import choose
from .command import Group, connected
from .diff import delta_of
from .evidence import export
from .session import Session, confirm, path_of
from .text import amount, listed, moment, plain, plain_lines


@click.group(cls=Group)
def rollout() -> None:
    """Roll a release out to hosts, and see each of them proved.

    Hosts are deployed to in waves: audited, installed on, audited again, and the difference held against what the
    release may change. The next wave opens when every host of the last one is verified.
    """


def watching(function: click.decorators.FC) -> click.decorators.FC:
    """Give a command -w and --timeout."""
    function = click.option(
        "--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Watch at most so long (exit code 6)."
    )(function)
    return click.option("-w", "--watch", "watched", is_flag=True, help="Watch it until it rests.")(function)


@rollout.command(
    examples="""
    verdelta rollout start labapp 1.1 --host web-07
    verdelta rollout start labapp 1.1 --group web --wave-size 10 --dry-run
    verdelta rollout start labapp 1.1 --environment live --wave-size 10 --watch
    """
)
@click.argument("name")
@click.argument("version")
@click.option("--host", "hosts", multiple=True, help="A host; may be given several times.")
@click.option("--group", default="", help="The hosts of this group.")
@click.option("--environment", default="", help="The hosts of this environment.")
@click.option("--wave-size", type=click.IntRange(1), help="Hosts a wave, by name; one wave of all without it.")
@click.option("--dry-run", is_flag=True, help="Show the waves; begin nothing, and ask nothing of the hosts.")
@watching
@connected
def start(
    session: Session,
    name: str,
    version: str,
    hosts: tuple[str, ...],
    group: str,
    environment: str,
    wave_size: int | None,
    dry_run: bool,
    watched: bool,
    timeout: float | None,
) -> int:
    """Begin to roll an authorised release out to hosts.

    With --watch the exit code is 0 when every host is verified, 3 when differences hold it up, 1 when an install
    failed or a host could not be proved.
    """
    if dry_run:
        return _plan(session, name, version, choose(session, hosts, group, environment), wave_size or 0)
    if not (hosts or group or environment):
        raise InvalidInput("a roll-out needs at least one host", mend="Name a --host, a --group or an --environment.")
    order = {
        "release": name,
        "version": version,
        "hosts": list(hosts),
        "group": group,
        "environment": environment,
        "wave_size": wave_size or 0,
    }
    return follow(session, session.api.post("rollouts", order), watched, timeout)


def _plan(session: Session, name: str, version: str, hosts: Sequence[Mapping[str, Any]], wave_size: int) -> int:
    found = session.api.get(path_of("releases", name, version))
    waves = planned_waves(hosts, wave_size)
    names = [[host["name"] for host in wave] for wave in waves]

    def picture() -> RenderableType:
        head = [Text(f"{plain(name)} {plain(version)} → {amount(len(hosts), 'host')}; nothing was begun")]
        if found["authorised_at"] is None:
            head.append(Text(f"! it is {plain(found['state'])}, not authorised yet", style=signs.UNSURE))
        unreached = [host["name"] for host in hosts if host["reach"] == "check-in"]
        if unreached:
            head.append(Text(f"! cannot be pushed to: {listed(unreached)}", style=signs.UNSURE))
        return Together(*head, render.planned(waves))

    session.show({"release": name, "version": version, "waves": names}, picture)
    return 0


def planned_waves(hosts: Sequence[Mapping[str, Any]], wave_size: int) -> list[list[Mapping[str, Any]]]:
    """Return the hosts wave by wave, as the controller makes them: by name, `wave_size` at a time (0: all at once)."""
    ordered = sorted(hosts, key=lambda host: str(host["name"]))
    step = wave_size or len(ordered) or 1
    return [ordered[first : first + step] for first in range(0, len(ordered), step)]


@rollout.command("list", examples="verdelta rollout list")
@connected
def list_rollouts(session: Session) -> None:
    """List the roll-outs, the newest first."""
    found = session.api.get("rollouts")
    session.show(found, lambda: render.rollouts(found, session.wide))


@rollout.command(
    examples="""
    verdelta rollout status 12
    verdelta rollout status 12 -w
    verdelta rollout status 12 -w --timeout 3600
    """
)
@click.argument("number", metavar="ID", type=int)
@watching
@connected
def status(session: Session, number: int, watched: bool, timeout: float | None) -> int:
    """Show where a roll-out stands: its waves, their hosts, what holds it up, and what can be done next.

    With -w it is watched until it rests; the exit code is then as of `verdelta rollout start --watch`.
    """
    if watched:
        from .watching import watch

        return watch(session, number, timeout)
    found = session.api.get(path_of("rollouts", number))
    session.show(found, lambda: tree.rollout(found, output.console().width, wide=session.wide))
    return 0


@rollout.command(
    examples="""
    verdelta rollout show 12
    verdelta rollout show 12 web-07
    """
)
@click.argument("number", metavar="ID", type=int)
@click.argument("host", required=False)
@connected
def show(session: Session, number: int, host: str | None) -> None:
    """Show what became of a roll-out on a HOST: the verdict, item by item, and what the installer said.

    Without HOST: one line for each host.
    """
    if host is None:
        view = session.api.get(path_of("rollouts", number))
        session.show(view, lambda: _hosts(view, session.wide))
        return
    found = session.api.get(path_of("rollouts", number, "hosts", host))
    compared = delta_of(session, found)
    session.show(found, lambda: _host(found, compared, number, session.wide))


def _hosts(view: Mapping[str, Any], wide: bool) -> RenderableType:
    columns = (
        render.Column("WAVE", lambda host: host["wave"]),
        render.Column("HOST", lambda host: host["host"]),
        render.Column("STATE", lambda host: signs.sign_of(signs.HOSTS, host["state"])),
        render.Column("WHY", lambda host: tree.counts_of(host) or plain(host["reason"])),
    )
    return render.listing([host for wave in view["waves"] for host in wave["hosts"]], columns, wide, "It has no host.")


def _host(found: Mapping[str, Any], compared: Mapping[str, Any] | None, number: int, wide: bool) -> RenderableType:
    sign, name = signs.sign_of(signs.HOSTS, found["state"]), plain(found["host"])
    facts = [
        ("host", f"{name}, wave {found['wave']} of roll-out {number}"),
        ("state", sign),
        ("why", Text(plain_lines(found["reason"].removeprefix(f"{found['host']}: ")))),
        ("installer", Text(plain_lines(found["install_error"]))),
        ("installed", moment(found["installed_at"])),
        ("concluded", moment(found["concluded_at"])),
    ]
    optional = {
        "why": found["reason"],
        "installer": found["install_error"] != found["reason"] and found["install_error"],
    }
    about = render.facts([(fact, value) for fact, value in facts if optional.get(fact, True)])
    return Together(about, Text(""), deltas.verdict(found, compared, output.console().width, wide))


@rollout.command(
    examples="""
    verdelta rollout resume 12
    verdelta rollout resume 12 --watch
    """
)
@click.argument("number", metavar="ID", type=int)
@watching
@connected
def resume(session: Session, number: int, watched: bool, timeout: float | None) -> int:
    """Go on with a suspended roll-out.

    Hosts whose install failed are tried again, the others are audited again; all of it is held against what each
    host was before the first attempt.
    """
    return follow(session, session.api.post(path_of("rollouts", number, "resume")), watched, timeout)


@rollout.command(
    examples="""
    verdelta rollout cancel 12
    verdelta rollout cancel 12 --yes
    """
)
@click.argument("number", metavar="ID", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def cancel(session: Session, number: int, yes: bool) -> None:
    """Stop a roll-out: no further host is begun, what runs is stopped and audited. It cannot be resumed."""
    _ask(session, number, "Cancel", "", yes)
    found = session.api.post(path_of("rollouts", number, "cancel"))
    session.show(found, lambda: tree.rollout(found, output.console().width, wide=session.wide))


@rollout.command(
    "back-out",
    examples="""
    verdelta rollout back-out 12
    verdelta rollout back-out 12 --host web-07 --watch
    """,
)
@click.argument("number", metavar="ID", type=int)
@click.option("--host", "hosts", multiple=True, help="Only this host; may be given several times.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@watching
@connected
def back_out(
    session: Session, number: int, hosts: tuple[str, ...], yes: bool, watched: bool, timeout: float | None
) -> int:
    """Take hosts back to what they were before a roll-out, and prove by an audit that they are.

    All hosts that were installed on, when none is named.
    """
    on = f" on {listed(hosts, 10)}" if hosts else " on every host that it was installed on"
    _ask(session, number, "Back out", on, yes)
    found = session.api.post(path_of("rollouts", number, "back-out"), {"hosts": list(hosts)})
    return follow(session, found, watched, timeout)


def _ask(session: Session, number: int, what: str, on: str, yes: bool) -> None:
    """Ask before what cannot be undone, with the release's name in the question."""
    view = session.api.get(path_of("rollouts", number))
    confirm(f"{what} roll-out {number} of {view['release']} {view['version']}{on}?", yes=yes)


def follow(session: Session, view: Mapping[str, Any], watched: bool, timeout: float | None) -> int:
    """Watch what was begun, or show that it is."""
    if watched:
        from .watching import watch

        return watch(session, int(view["id"]), timeout)
    session.show(view, lambda: tree.rollout(view, output.console().width, wide=session.wide))
    if session.for_people:
        session.say(f"Watch it: verdelta rollout status {view['id']} -w")
    return 0


rollout.add_command(export)
