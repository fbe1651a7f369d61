"""verdelta login, logout, whoami: who the controller takes you for."""

from pathlib import Path

import click

from ..foundation.errors import InvalidInput
from . import profile
from . import render_people as render
from .asking import secret, with_secrets
from .command import Command, connected
from .inbox import count_of, waiting
from .session import Session
from .text import moment, plain


@click.command(
    cls=Command,
    examples="""
    verdelta login alice
    verdelta login alice --url https://deploy.example.org:8470 --ca ca.pem
    verdelta login alice --password-file password --code-file code
    """,
)
@click.argument("name")
@with_secrets
@connected
def login(session: Session, name: str, password_file: str, code_file: str) -> None:
    """Log in as a person, with a password and a code of your app.

    Both are asked for and not shown. The session, half a day, is kept in the client profile, and goes before the token
    in it until you log out.
    """
    path, where = session.profile_path, session.where
    token = _kept_token(path, where)
    password = secret("Password", password_file)
    code = secret("Code of your app", code_file)
    made = session.api_as(where).post("sessions", {"name": name, "password": password, "code": code})
    ca = str(Path(where.ca).absolute()) if where.ca else ""
    profile.write_profile(path, where._replace(token=token, ca=ca), profile.Login(made["name"], made["secret"]))
    session.say(f"You are {plain(made['name'])} at {where.url} until {moment(made['expires_at'])}.")
    count = count_of(session.api_as(where._replace(token=made["secret"])))
    if count is not None:
        session.say(f"{waiting(count)}{'  verdelta inbox' if count else ''}")
    if session.has_own_token:
        session.say("But VERDELTA_TOKEN or --token-file is given, and goes before it.")


def _kept_token(path: Path, where: profile.Access) -> str:
    """Return the token of a client profile, which stays in it.  Raises InvalidInput: it is another controller's."""
    known = profile.read_profile(path)
    if known is None:
        return ""
    if known.url != where.url and (known.token or profile.read_login(path)):
        raise InvalidInput(
            f"{path} is the client profile of another controller, at {known.url}", mend="Name another: --profile FILE"
        )
    return known.token


@click.command(cls=Command, examples="verdelta logout")
@connected
def logout(session: Session) -> None:
    """End your session; what you had before it is used again.

    That is the token of the client profile, if there is one.
    """
    path = session.profile_path
    known, logged_in = profile.read_profile(path), profile.read_login(path)
    if known is None or logged_in is None:
        session.say("Nobody is logged in.")
        return
    try:
        session.api_as(known._replace(token=logged_in.session)).delete("sessions/current")
    finally:
        profile.write_profile(path, known)  # it is forgotten here in any case
    session.say(f"{plain(logged_in.person)} is logged out.")
    if known.token:
        session.say("From now on the token of the client profile is used.")


@click.command(cls=Command, examples="verdelta whoami")
@connected
def whoami(session: Session) -> None:
    """Show who the controller takes you for, and in which roles."""
    found = session.api.get("whoami")
    session.show(found, lambda: render.whoami(found, _waiting(session) if found["is_person"] else ""))


def _waiting(session: Session) -> str:
    count = count_of(session.api)
    return "" if count is None else waiting(count)
