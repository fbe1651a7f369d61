"""What works on this very machine, without asking a controller: init, and the demo."""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..foundation.errors import InvalidInput
from . import profile
from .command import Command

if TYPE_CHECKING:
    from ..foundation.settings import Settings

ADMINISTRATOR = "administrator"
TOKEN_DAYS = 366

state_option = click.option(
    "--state", metavar="DIR", help="Directory of everything that is kept.  [env VERDELTA_STATE]"
)


@click.command(
    cls=Command,
    examples="""
    verdelta init
    verdelta init --state /srv/verdelta
    verdelta init --policy one-person
    verdelta init --new-token
    """,
)
@state_option
@click.option(
    "--policy",
    default="standard",
    show_default=True,
    help="Release policy of a new controller: standard (several people answer for a release), or one-person.",
)
@click.option("--new-token", is_flag=True, help="Make another administrator's token, and put it into the profile.")
@click.option(
    "--profile",
    "profile_file",
    envvar="VERDELTA_PROFILE",
    metavar="FILE",
    help="Client profile to write.  [env VERDELTA_PROFILE]",
)
def init(state: str | None, policy: str, new_token: bool, profile_file: str | None) -> None:
    """Make the controller's state, and a client profile for its administrator.

    The state directory holds keys, a CA, the database and the library. The client profile (url, token, ca; readable
    by you alone) is what lets the other commands in. Again is safe: what is there stays as it is.
    """
    from ..foundation.settings import load_settings
    from ..wiring import initialise

    settings = load_settings(state=state)
    path = Path(profile_file) if profile_file else profile.default_path()
    before = _found(settings, path, replace=new_token)
    try:
        initialise(settings, policy)
    except OSError as error:
        raise InvalidInput(f"{settings.state}: {error.strerror}", mend="Give another directory: --state") from error
    click.echo(f"{'Found' if before.state else 'Made'} the controller's state in {settings.state}.")
    if before.profile is not None and not new_token:
        click.echo(f"Found the client profile {path} for {before.profile.url}; its token stays.")
    elif before.state and not new_token:
        click.echo(f"There is no client profile {path}. Make one with a token of its own: verdelta init --new-token")
    else:
        name = _write_profile(settings, path)
        click.echo(f"Made the client profile {path} with the token {name!r}, valid for {TOKEN_DAYS} days.")
    if not before.state:
        click.echo("Next: verdelta serve")


class _Before:
    """What was there before anything was made."""

    def __init__(self, state: bool, known: profile.Access | None) -> None:
        self.state = state
        self.profile = known


def _found(settings: "Settings", path: Path, *, replace: bool) -> _Before:
    """Return what is there already.  Raises InvalidInput for a directory or a profile of something else."""
    known = profile.read_profile(path)
    state = settings.state
    if (state / "signing.key").exists():
        return _Before(True, known)
    try:
        foreign = state.exists() and next(state.iterdir(), None) is not None
    except OSError as error:
        raise InvalidInput(f"{state}: {error.strerror}", mend="Give another directory: --state") from error
    if foreign:
        raise InvalidInput(
            f"{state} is not empty, and no controller's: nothing was made in it", mend="Give a new directory: --state"
        )
    if known is not None and not replace:
        raise InvalidInput(
            f"{path} is the client profile of another controller, at {known.url}: nothing was made",
            mend="Name another: --profile FILE; or replace it: --new-token",
        )
    return _Before(False, None)


def _write_profile(settings: "Settings", path: Path) -> str:
    """Make an administrator's token and keep it in the profile.  Returns the token's name."""
    from ..access.rules import Role
    from ..wiring import build

    services = build(settings)
    try:
        taken = {token.name for token in services.access.tokens()}
        names = (f"{ADMINISTRATOR}-{number}" if number > 1 else ADMINISTRATOR for number in count(1))
        name = next(name for name in names if name not in taken)
        made = services.access.create_token(name, Role.ADMINISTRATOR, TOKEN_DAYS)
    finally:
        services.database.close()
    profile.write_profile(path, profile.Access(own_url(settings), made.secret, str(settings.state / "ca.pem")))
    return name


def own_url(settings: "Settings", port: int = 0) -> str:
    """Return the address at which this machine reaches its own controller."""
    host = "127.0.0.1" if settings.listen in ("0.0.0.0", "::") else settings.listen  # noqa: S104 - compared, not bound
    scheme = "http" if is_loopback_address(settings.listen) else "https"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port or settings.port or 8470}"


def is_loopback_address(address: str) -> bool:
    """Return whether only this machine can reach an address."""
    return profile.is_loopback(f"//[{address}]" if ":" in address else f"//{address}")


@click.command(
    cls=Command,
    examples="""
    verdelta demo
    verdelta demo --once
    """,
)
@click.option("--once", is_flag=True, help="End after the report, instead of leaving the controller running.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the demo's controller; a free one by default.")
def demo(once: bool, port: int | None) -> int:
    """Run the main job on this very machine, from enrolment to verdict.

    A controller of its own, an agent that enrols, a release that does what it declares, and one that does a thing
    more: its verdict names it. Everything that it makes is removed at the end.
    """
    from .demo import run

    return run(once, port)
