"""verdelta host: the hosts that are audited and deployed to."""

from typing import Any

import click

from ..foundation.errors import InvalidInput
from . import parallel, render, signs
from .command import Group, connected
from .host_keys import Pin, pin_options, settle
from .session import PATIENCE, Session, path_of

REACHES = ("ssh", "local", "check-in")


@click.group(cls=Group)
def host() -> None:
    """The hosts that are audited and deployed to.

    A host is reached over SSH (its key is pinned first), is this very machine (local), or calls by itself (check-in).
    """


def _how_reached(function: click.decorators.FC) -> click.decorators.FC:
    """Give a command the options that add and set have in common."""
    options = (
        click.option("--address", help="Name or address of its SSH server."),
        click.option("--port", type=click.IntRange(1, 65535), help="Port of its SSH server.  [default: 22]"),
        click.option("--user", help="Login there."),
        click.option("--become/--no-become", default=None, help="Whether commands run as root, by sudo."),
        click.option("--python", metavar="PATH", help="Its Python, 3.6 or newer.  [default: /usr/bin/python3]"),
        click.option("--environment", help="The environment that it is part of: verdelta environment list."),
        click.option("--group", "groups", multiple=True, help="A group that it is in; may be given several times."),
        click.option(
            "--accept-gap",
            "accepted_gaps",
            multiple=True,
            metavar="SECTION",
            help="A section that you do without, where it cannot be read; may be given several times.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@host.command(
    examples="""
    verdelta host add web-07 --address 192.0.2.7 --user deploy --become --credential deploy-key --group web
    verdelta host add web-07 --address 192.0.2.7 --user root --credential deploy-key --known-hosts ~/.ssh/known_hosts
    verdelta host add web-07 --address 192.0.2.7 --user root --credential deploy-key --fingerprint SHA256:Zx0…
    verdelta host add laptop-3 --reach check-in --environment live
    """
)
@click.argument("name")
@click.option("--reach", type=click.Choice(REACHES), default="ssh", show_default=True, help="How it is reached.")
@_how_reached
@click.option("--credential", default="", help="The SSH key to log in with: verdelta credential list.")
@click.option("--agent-path", default="", metavar="FILE", help="Its agent's program, where it is not the usual one.")
@click.option("--agent-state", default="", metavar="DIR", help="Its agent's state, where it is not in the usual place.")
@pin_options
@connected
def add(session: Session, name: str, reach: str, known_hosts: str, fingerprint: str, **given: Any) -> None:
    """Look after one more host.

    Over SSH its host key is pinned first: from --known-hosts, by --fingerprint, or shown on the terminal for you to
    compare. Without one of these nothing is added.
    """
    order = {"name": name, "reach": reach, **_given(given)}
    if reach == "ssh":
        for needed in ("address", "user"):
            if not order.get(needed):
                raise InvalidInput(
                    f"{name}: to be reached over SSH it needs --{needed}", mend="verdelta host add --help"
                )
        pin = Pin(known_hosts, fingerprint)
        order["host_key"] = settle(session, name, order["address"], order.get("port", 22), pin)
    elif known_hosts or fingerprint:
        raise InvalidInput(f"{name}: a host that is reached by {reach} has no SSH host key to pin")
    made = session.api.post("hosts", order)
    session.show(made, lambda: render.host(made, []))


@host.command(
    "list",
    examples="""
    verdelta host list
    verdelta host list --group web --environment live -o wide
    """,
)
@click.option("--group", default="", help="Only the hosts of this group.")
@click.option("--environment", default="", help="Only the hosts of this environment.")
@connected
def list_hosts(session: Session, group: str, environment: str) -> None:
    """List the hosts."""
    found = session.api.get("hosts", group=group, environment=environment)
    session.show(found, lambda: render.hosts(found, session.wide))


@host.command(examples="verdelta host show web-07")
@click.argument("name")
@connected
def show(session: Session, name: str) -> None:
    """Show a host, and the states that it was in.

    The numbers of the states are what `verdelta diff --before --after` takes.
    """
    found = session.api.get(path_of("hosts", name))
    states = session.api.get(path_of("hosts", name, "snapshots")) if session.for_people else []
    session.show(found, lambda: render.host(found, states, session.wide))


@host.command(
    "set",
    examples="""
    verdelta host set web-07 --group web --group canary
    verdelta host set web-07 --address 192.0.2.17
    verdelta host set web-07 --accept-gap hardware.smbios
    """,
)
@click.argument("name")
@_how_reached
@click.option("--credential", help="The SSH key to log in with: verdelta credential list.")
@click.option("--no-groups", is_flag=True, help="Take it out of every group.")
@click.option("--no-accepted-gaps", is_flag=True, help="Accept no gap any more.")
@connected
def set_host(session: Session, name: str, no_groups: bool, no_accepted_gaps: bool, **given: Any) -> None:
    """Change how a host is reached or grouped; what is not said stays.

    The groups, and the accepted gaps, that are given take the place of those that it has.
    """
    change = _given(given)
    for emptied, field in ((no_groups, "groups"), (no_accepted_gaps, "accepted_gaps")):
        if emptied and field in change:
            raise InvalidInput(f"{name}: {field.replace('_', ' ')} are given and taken away at once")
        if emptied:
            change[field] = []
    if not change:
        raise InvalidInput(f"{name}: nothing to change was given", mend="verdelta host set --help")
    changed = session.api.patch(path_of("hosts", name), change)
    session.show(changed, lambda: render.host(changed, []))


@host.command(
    examples="""
    verdelta host repin web-07
    verdelta host repin web-07 --fingerprint SHA256:pQ1…
    """
)
@click.argument("name")
@pin_options
@connected
def repin(session: Session, name: str, known_hosts: str, fingerprint: str) -> None:
    """Trust another SSH host key, because the host was reinstalled.

    The new key is settled as in `verdelta host add`: never silently.
    """
    known = session.api.get(path_of("hosts", name))
    if known["reach"] != "ssh":
        raise InvalidInput(f"{name} is reached by {known['reach']}: it has no SSH host key to pin")
    if session.for_people:
        session.say(f"Pinned until now: {known['host_key_fingerprint']}")
    key = settle(session, name, known["address"], known["port"], Pin(known_hosts, fingerprint))
    changed = session.api.put(path_of("hosts", name, "host-key"), {"host_key": key})
    session.show(changed, lambda: render.host(changed, []))


@host.command(
    examples="""
    verdelta host invite laptop-3
    verdelta host invite laptop-3 | ssh laptop-3 verdelta-agent enrol --url https://deploy.example.org:8470
    """
)
@click.argument("name")
@connected
def invite(session: Session, name: str) -> None:
    """Print a one-time token, with which the host's agent enrols within the hour.

    The token stands alone on standard output, so that it can be piped to where the agent is.
    """
    made = session.api.post(path_of("hosts", name, "invitations"))
    session.show_alone(made, made["token"])


@host.command(examples="verdelta host bootstrap web-07 web-08")
@click.argument("names", nargs=-1, required=True)
@connected
def bootstrap(session: Session, names: tuple[str, ...]) -> int:
    """Install the agent on hosts over SSH, enrol it, and audit the host; again is safe.

    From then on the agent signs with a key of its own. Without it, hosts are audited all the same: the agent is
    pushed, run once, and nothing is left behind.
    """
    paths = {name: path_of("hosts", name, "bootstrap") for name in dict.fromkeys(names)}
    documents, errors = parallel.each(
        session,
        "installing agents",
        list(paths),
        lambda name: session.api.post(paths[name], patience=PATIENCE),
        lambda made: render.host_line(made["host"], signs.OK, _installed(made["reports_to"])),
    )
    if not session.for_people:
        session.show(documents, lambda: "")
    return parallel.exit_code(errors)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was said on the command line, without what was not."""
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {name: value for name, value in listed.items() if value not in (None, [])}


def _installed(reports_to: str) -> str:
    """Return what to say of an agent just installed."""
    if reports_to:
        return f"agent installed and enrolled; it reports to {reports_to} each night"
    return "agent installed and enrolled; it answers when asked (no nightly timer: serve with --url for one)"
