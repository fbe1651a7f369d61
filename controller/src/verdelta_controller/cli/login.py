"""verdelta login, logout, whoami: who the controller takes you for."""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ..foundation.errors import InvalidInput
from . import profile
from . import render_people as render
from .asking import secret, with_secrets
from .command import Command, connected
from .inbox import count_of, waiting
from .session import Session, is_interactive
from .text import moment, plain


@click.command(
    cls=Command,
    examples="""
    verdelta login alice
    verdelta login alice --url https://deploy.example.org:8470 --ca ca.pem
    verdelta login alice --password-file password --code-file code
    verdelta login --oidc
    """,
)
@click.argument("name", default="")
@click.option("--oidc", is_flag=True, help="Log in at the login provider of the controller, with a browser.")
@with_secrets
@connected
def login(session: Session, name: str, oidc: bool, password_file: str, code_file: str) -> None:
    """Log in as a person, with a password and a code of your app.

    Both are asked for and not shown. With --oidc a browser goes to the controller's login provider instead, and comes
    back to a page with a code, which is asked for here. Give it to nobody, and type none that you did not ask for.

    The session, half a day, is kept in the client profile, and goes before the token in it until you log out.
    """
    if oidc == bool(name) or (oidc and password_file):
        raise InvalidInput("who logs in?", mend="verdelta login NAME, or verdelta login --oidc, without a name")
    path, where = session.profile_path, session.where
    token = _kept_token(path, where)
    made = _by_provider(session, code_file) if oidc else _by_password(session, name, password_file, code_file)
    ca = str(Path(where.ca).absolute()) if where.ca else ""
    profile.write_profile(path, where._replace(token=token, ca=ca), profile.Login(made["name"], made["secret"]))
    session.say(f"You are {plain(made['name'])} at {where.url} until {moment(made['expires_at'])}.")
    count = count_of(session.api_as(where._replace(token=made["secret"])))
    if count is not None:
        session.say(f"{waiting(count)}{'  verdelta inbox' if count else ''}")
    if session.has_own_token:
        session.say("But VERDELTA_TOKEN or --token-file is given, and goes before it.")


def _by_password(session: Session, name: str, password_file: str, code_file: str) -> Any:
    password = secret("Password", password_file)
    code = secret("Code of your app", code_file)
    return session.api_as(session.where).post("sessions", {"name": name, "password": password, "code": code})


def _by_provider(session: Session, code_file: str) -> Any:
    """Return a session for who comes back from the provider with a code, in a browser on whichever machine."""
    api = session.api_as(session.where)
    begun = api.post("oidc/logins")
    session.say(f"Log in within ten minutes at:\n{plain(begun['url'])}")
    open_browser(begun["url"])
    if code_file or not is_interactive():
        code = secret("Code that the page shows", code_file)
    else:
        code = click.prompt("Code that the page shows", err=True)
    return api.post("oidc/sessions", {"secret": begun["secret"], "code": code})


def open_browser(url: str) -> None:
    """Open an address where somebody sits who sees it; elsewhere she takes it from what was printed."""
    seen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if seen and is_interactive() and urlsplit(url).scheme in ("https", "http"):
        click.launch(url)


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
