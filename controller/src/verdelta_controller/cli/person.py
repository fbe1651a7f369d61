"""verdelta person: accounts, roles, and who stands in for whom."""

from datetime import UTC, datetime, timedelta

import click

from . import render_people as render
from .asking import secret, with_secrets
from .command import Group, connected
from .session import Session, confirm, path_of
from .text import moment, plain
from .token import ROLES

MEMBERS_ROLES = [role for role in ROLES if role != "administrator"]
DAY = click.DateTime(["%Y-%m-%d"])

role_argument = click.argument("role", type=click.Choice(MEMBERS_ROLES), metavar="ROLE")


@click.group(cls=Group)
def person() -> None:
    """The people who take part: accounts, roles, who stands in for whom.

    A person sets her own password and second step by an invitation. Administrators let people in, and sign nothing;
    members hold the other roles. The roles: release-manager, build-manager, test-manager, tester, business-approver,
    change-manager, deployment-staff, technician, auditor.
    """


@person.command(
    examples="""
    verdelta person add alice --full-name "Alice Adams" --role release-manager --role build-manager
    verdelta person add root --full-name "Ruth Root" --administrator
    """
)
@click.argument("name")
@click.option("--full-name", required=True, help="As it stands under a signature.")
@click.option("--role", "roles", type=click.Choice(MEMBERS_ROLES), metavar="ROLE", multiple=True, help="A first role.")
@click.option("--administrator", is_flag=True, help="Lets people in, and does nothing else.")
@connected
def add(session: Session, name: str, full_name: str, roles: tuple[str, ...], administrator: bool) -> None:
    """Add a person, by the NAME that she logs in with."""
    standing = "administrator" if administrator else "member"
    order = {"name": name, "full_name": full_name, "standing": standing, "roles": list(roles)}
    made = session.api.post("people", order)
    session.show(made, lambda: render.person(made))
    session.say(f"She cannot log in yet: verdelta person invite {plain(name)}")


@person.command("list", examples="verdelta person list")
@connected
def list_people(session: Session) -> None:
    """List the people, with the roles that they hold now."""
    found = session.api.get("people")
    session.show(found, lambda: render.people(found, session.wide))


@person.command(examples="verdelta person show alice")
@click.argument("name")
@connected
def show(session: Session, name: str) -> None:
    """Show a person: her roles, what she lends and what is lent to her, with its dates."""
    found = session.api.get(path_of("people", name))
    session.show(found, lambda: render.person(found, session.wide))


@person.command(
    examples="""
    verdelta person invite alice > alice.invitation
    verdelta person invite alice --yes
    """
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def invite(session: Session, name: str, yes: bool) -> None:
    """Make an invitation, with which a person sets her password and second step.

    The invitation stands alone on standard output; it works once, within a week. Hand it over in person or by a way
    that only she reads. If she has joined before, her password, second step and sessions end now.
    """
    if session.api.get(path_of("people", name))["joined"]:
        confirm(f"End {name}'s password, second step and sessions?", yes=yes)
    made = session.api.post(path_of("people", name, "invitations"))
    session.say(f"For {plain(name)}, until {moment(made['expires_at'])}: verdelta person join")
    session.show_alone(made, made["secret"])


@person.command(
    examples="""
    verdelta person join
    verdelta person join --url https://deploy.example.org:8470 --ca ca.pem
    verdelta person join --invitation-file alice.invitation
    """
)
@click.option("--invitation-file", default="", metavar="FILE", help="File with the invitation; - reads it from stdin.")
@with_secrets
@connected
def join(session: Session, invitation_file: str, password_file: str, code_file: str) -> None:
    """Set your password and second step, with the invitation that you were given.

    It prints a secret for the app that computes your codes, and as an otpauth:// address the same; then it asks for a
    code, to see that the app works. Nobody else ever gets to know either.
    """
    api = session.api_as(session.where)
    invitation = secret("Invitation", invitation_file)
    offered = api.post("joining", {"invitation": invitation})
    session.show_alone(offered, offered["uri"])
    session.say(f"{plain(offered['name'])}: put this into your app, or type the secret {plain(offered['secret'])}")
    password = secret("New password", password_file, twice=not password_file)
    code = secret("Code of your app", code_file)
    api.post("joining/acceptance", {"invitation": invitation, "password": password, "code": code})
    session.say(f"Welcome. Log in with the next code: verdelta login {plain(offered['name'])}")


@person.command(examples="verdelta person link alice --subject 00u1a2b3")
@click.argument("name")
@click.option("--subject", required=True, help="What the login provider calls her: sub in its tokens, no name or mail.")
@connected
def link(session: Session, name: str, subject: str) -> None:
    """Let a person log in by way of the login provider: verdelta login --oidc

    Who logs in there and is linked to nobody is shown her subject. It gives no role, and no second step: to sign, she
    joins by an invitation as well.
    """
    session.api.put(path_of("people", name, "identity"), {"subject": subject})
    session.say(f"{plain(name)} may log in by way of the provider.")


@person.command(examples="verdelta person unlink alice --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def unlink(session: Session, name: str, yes: bool) -> None:
    """Let a person log in by no provider any more; her sessions end now."""
    confirm(f"End {name}'s sessions and logins by the provider?", yes=yes)
    session.api.delete(path_of("people", name, "identity"))
    session.say(f"{plain(name)} may log in with her password alone.")


@person.command(
    examples="""
    verdelta person grant alice tester
    verdelta person grant alice tester --from 2026-12-01 --until 2026-12-31
    """
)
@click.argument("name")
@role_argument
@click.option("--from", "begins", type=DAY, metavar="DAY", help="First day, UTC; now by default.")
@click.option("--until", "ends", type=DAY, metavar="DAY", help="Last day, UTC; it stays by default.")
@connected
def grant(session: Session, name: str, role: str, begins: datetime | None, ends: datetime | None) -> None:
    """Give a person a role."""
    order = {"role": role, "begins_at": _first(begins), "ends_at": _after(ends)}
    made = session.api.post(path_of("people", name, "roles"), order)
    session.show(made, lambda: render.grants([made], session.wide))


@person.command(examples="verdelta person withdraw alice tester")
@click.argument("name")
@role_argument
@connected
def withdraw(session: Session, name: str, role: str) -> None:
    """Take a role away from a person, and with it what she lent of it."""
    session.api.delete(path_of("people", name, "roles", role))
    session.say(f"{plain(name)} is {role} no more.")


@person.command(
    examples="""
    verdelta person lend alice release-manager --to bob --from 2026-12-01 --until 2026-12-14
    verdelta person lend alice release-manager --team deputies --from 2026-12-01 --until 2026-12-14
    """
)
@click.argument("name")
@role_argument
@click.option("--to", default="", metavar="PERSON", help="Who stands in.")
@click.option("--team", default="", metavar="TEAM", help="Each who is in this team now stands in.")
@click.option("--from", "begins", type=DAY, metavar="DAY", required=True, help="First day, UTC.")
@click.option("--until", "ends", type=DAY, metavar="DAY", required=True, help="Last day, UTC.")
@connected
def lend(session: Session, name: str, role: str, to: str, team: str, begins: datetime, ends: datetime) -> None:
    """Lend a role of NAME's own to a deputy or a team, for some days.

    You lend your own roles; an administrator lends those of who is away. What is lent cannot be lent on, and who
    stands in takes the lender's side of a release.
    """
    order = {"role": role, "to": to, "team": team, "begins_at": _first(begins), "ends_at": _after(ends)}
    made = session.api.post(path_of("people", name, "loans"), order)
    session.show(made, lambda: render.grants(made, session.wide))


@person.command("take-back", examples="verdelta person take-back alice release-manager --to bob")
@click.argument("name")
@role_argument
@click.option("--to", default="", metavar="PERSON", help="Who it was lent to; everybody by default.")
@connected
def take_back(session: Session, name: str, role: str, to: str) -> None:
    """End at once what NAME lent of a role."""
    query = f"?to={path_of(to)}" if to else ""
    session.api.delete(path_of("people", name, "loans", role) + query)
    session.say(f"{role} is {plain(name)}'s alone again." if not to else f"{plain(to)} stands in no more.")


@person.command(
    examples="""
    verdelta person leave alice
    verdelta person leave alice --yes
    """
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def leave(session: Session, name: str, yes: bool) -> None:
    """End all that a person may: her sessions, password, roles, what she lent, teams; what she did stays hers.

    The name is not given to anybody else.
    """
    confirm(f"Does {name} leave for good?", yes=yes)
    session.api.post(path_of("people", name, "departure"))
    session.say(f"{plain(name)} has left.")


@person.command(
    examples="""
    verdelta person merge alice alice2
    verdelta person merge alice alice2 --yes
    """
)
@click.argument("keep")
@click.argument("gone")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def merge(session: Session, keep: str, gone: str, yes: bool) -> None:
    """Make two accounts of one human one: what GONE did is KEEP's from now on; the roles of GONE end.

    It is refused as a whole where both took part in one release on different sides.
    """
    confirm(f"Are {keep} and {gone} one human, and does {gone} go for good?", yes=yes)
    found = session.api.post(path_of("people", keep, "merge"), {"gone": gone})
    session.show(found, lambda: render.person(found, session.wide))


def _first(day: datetime | None) -> str | None:
    """Return the first moment of a day (UTC); today begins now."""
    if day is None:
        return None
    begins, now = day.replace(tzinfo=UTC), datetime.now(UTC)
    return (now if begins.date() == now.date() else begins).isoformat()


def _after(day: datetime | None) -> str | None:
    """Return the moment after a day (UTC)."""
    return None if day is None else (day.replace(tzinfo=UTC) + timedelta(days=1)).isoformat()
