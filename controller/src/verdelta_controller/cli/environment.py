"""verdelta environment: what releases pass on their way, who booked it when, and what version runs where."""

from datetime import UTC, datetime
from typing import Any

import click

from ..foundation.errors import InvalidInput
from . import calendars, matrices, moments
from .command import Group, connected
from .session import Session, confirm, path_of

STAGES = ("build", "test", "staging", "live")
WEEKS = 4


@click.group(cls=Group)
def environment() -> None:
    """What releases pass: its order, bookings, what runs there.

    An environment is of a stage: build, test, staging or live. A host is put into one with --environment.
    """


@environment.command(
    examples="""
    verdelta environment add live-eu --stage live --team "web operations"
    verdelta environment add performance --stage test --description "Load tests"
    """
)
@click.argument("name")
@click.option("--stage", type=click.Choice(STAGES), required=True, help="What it is for.")
@click.option("--team", default="", help="Who looks after it.")
@click.option("--description", default="", help="What else there is to say.")
@connected
def add(session: Session, name: str, stage: str, team: str, description: str) -> None:
    """Make an environment, the last of its stage."""
    order = {"name": name, "stage": stage, "team": team, "description": description}
    made = session.api.post("environments", order)
    session.show(made, lambda: calendars.environments([made], session.wide))


@environment.command("list", examples="verdelta environment list")
@connected
def list_environments(session: Session) -> None:
    """List the environments, in the order in which a release passes them."""
    found = session.api.get("environments")
    session.show(found, lambda: calendars.environments(found, session.wide))


@environment.command(examples="verdelta environment show staging")
@click.argument("name")
@connected
def show(session: Session, name: str) -> None:
    """Show an environment, and its bookings of the next weeks."""
    found = session.api.get(path_of("environments", name))
    begins = _day_of(datetime.now(UTC))
    booked = _booked(session, name, begins, WEEKS) if session.for_people else []
    session.show(found, lambda: calendars.environment(found, booked, begins, WEEKS))


@environment.command("set", examples='verdelta environment set staging --team "release team"')
@click.argument("name")
@click.option("--team", help="Who looks after it.")
@click.option("--description", help="What else there is to say.")
@connected
def set_environment(session: Session, name: str, **given: str | None) -> None:
    """Say who looks after an environment, and what else there is to say; what is not said stays."""
    change = {what: said for what, said in given.items() if said is not None}
    if not change:
        raise InvalidInput(f"{name}: nothing to change was given", mend="verdelta environment set --help")
    changed = session.api.patch(path_of("environments", name), change)
    session.show(changed, lambda: calendars.environments([changed], session.wide))


@environment.command(examples="verdelta environment order build test staging live")
@click.argument("names", nargs=-1, required=True)
@connected
def order(session: Session, names: tuple[str, ...]) -> None:
    """Put all environments into the order in which a release is to pass them.

    The stages stay in theirs: build, test, staging, live. Within a stage the order is free.
    """
    found = session.api.put("environments/order", {"names": list(names)})
    session.show(found, lambda: calendars.environments(found, session.wide))


@environment.command(examples="verdelta environment remove performance --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def remove(session: Session, name: str, yes: bool) -> None:
    """Take an environment away, with its past bookings; one that has hosts or is booked stays."""
    path = path_of("environments", name)
    session.api.get(path)
    confirm(f"Remove {name}, and the list of its past bookings?", yes=yes)
    session.api.delete(path)
    session.say(f"{name} is removed.")


@environment.command(
    examples="""
    verdelta environment book staging --for "web team" --purpose rehearsal --to 2027-01-04T17:00
    verdelta environment book test --for bob --purpose load --from 2027-01-04T08:00Z --to 2027-01-04T18:00Z --exclusive
    verdelta environment book test --for eve --purpose demo --to 2027-01-04T18:00Z --release labapp --share
    """
)
@click.argument("name")
@click.option("--for", "booked_for", required=True, metavar="WHO", help="The team or person that it is kept for.")
@click.option("--purpose", required=True, help="What for.")
@click.option("--from", "begins", default="", metavar="MOMENT", help="When it begins.  [default: now]")
@click.option("--to", "ends", required=True, metavar="MOMENT", help="When it ends; that moment is free again.")
@click.option("--exclusive", is_flag=True, help="Keep everybody else out.")
@click.option("--share", is_flag=True, help="Keep it although it conflicts with others; the conflict is shown.")
@click.option("--release", default="", help="The release that it is for.")
@click.option("--version", default="", help="The version of that release.")
@connected
def book(session: Session, name: str, begins: str, ends: str, **given: Any) -> None:
    """Keep an environment for a team or person.

    A moment is written as 2027-01-04T17:00, with Z or +01:00 behind it where it is not in this machine's zone. Where
    somebody wants to be alone, the second booking is refused, and the first one is named.
    """
    order = {**given, "ends_at": moments.parse(session, "--to", ends).isoformat()}
    if begins:
        order["begins_at"] = moments.parse(session, "--from", begins).isoformat()
    made = session.api.post(path_of("environments", name, "bookings"), order)
    session.show(made, lambda: calendars.booking(made))


@environment.command(
    examples="""
    verdelta environment bookings
    verdelta environment bookings staging --weeks 8
    verdelta environment bookings --from 2026-12-01T00:00Z -o wide
    """
)
@click.argument("name", default="")
@click.option("--from", "begins", default="", metavar="MOMENT", help="The first day.  [default: today]")
@click.option("--weeks", type=click.IntRange(1, 12), default=WEEKS, show_default=True, help="How many weeks.")
@connected
def bookings(session: Session, name: str, begins: str, weeks: int) -> None:
    """Show who has booked which environment when, as a calendar with conflicts marked."""
    first = _day_of(moments.parse(session, "--from", begins) if begins else datetime.now(UTC))
    found = _booked(session, name, first, weeks)
    session.show(found, lambda: calendars.bookings(found) if session.wide else calendars.calendar(found, first, weeks))


@environment.command(
    examples="""
    verdelta environment prolong 12 --to 2027-01-05T17:00
    verdelta environment prolong 12 --to 2027-01-05T17:00Z --share
    """
)
@click.argument("number", type=click.IntRange(1))
@click.option("--to", "ends", required=True, metavar="MOMENT", help="When it is to end instead.")
@click.option("--share", is_flag=True, help="Do so although it then conflicts with others.")
@connected
def prolong(session: Session, number: int, ends: str, share: bool) -> None:
    """Let a booking last longer, or end earlier than planned."""
    order = {"ends_at": moments.parse(session, "--to", ends).isoformat(), "share": share}
    changed = session.api.patch(path_of("environments", "bookings", number), order)
    session.show(changed, lambda: calendars.booking(changed))


@environment.command(examples="verdelta environment cancel 12 --yes")
@click.argument("number", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def cancel(session: Session, number: int, yes: bool) -> None:
    """Cancel a booking; one that has begun ends now."""
    confirm(f"Give up booking {number}? Somebody else may have its time then.", yes=yes)
    done = session.api.post(path_of("environments", "bookings", number, "cancel"))
    session.show(done, lambda: calendars.booking(done))


@environment.command(
    examples="""
    verdelta environment matrix
    verdelta environment matrix --release labapp --hosts
    """
)
@click.option("--release", default="", help="Only the components of this release.")
@click.option("--hosts", is_flag=True, help="Name every host, not only those that differ.")
@connected
def matrix(session: Session, release: str, hosts: bool) -> int:
    """Show what version of each released component runs where: what audits saw.

    Drift is where the newest audit shows another version than the last verified release; then the exit code is 3.
    What could not be read is unknown, never "not there".
    """
    found = session.api.get("environments/matrix", release=release, hosts=hosts)
    session.show(found, lambda: matrices.matrix(found, hosts))
    return 3 if matrices.drifts(found) else 0


def _booked(session: Session, name: str, begins: datetime, weeks: int) -> Any:
    query = {"environment": name or None, "begins_at": begins.isoformat(), "weeks": weeks}
    return session.api.get("environments/bookings", **query)


def _day_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's day, in UTC as the calendar is."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
