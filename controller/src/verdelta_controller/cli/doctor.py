"""verdelta doctor: look for what keeps the controller from working; each finding with its mend."""

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ..foundation.errors import VerdeltaError
from . import profile
from .command import Command, connected
from .local import own_url, state_option
from .session import Session
from .text import size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..foundation.settings import Settings

OK, WARNING, WRONG, SKIPPED = "ok", "warning", "wrong", "skipped"
SPACE_NEEDED = 1 << 30  # bytes that should be free where the state is kept
ANSWERS_WITHIN = 3.0  # seconds; whoever has our port and says nothing is not this controller
CLOCK_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
SECRETS = ("signing.key", "vault.key", "ca.key", "server.key")


class Finding(NamedTuple):
    """What a check found: ok, warning, wrong or skipped; the mend where there is one."""

    check: str
    status: str
    said: str
    mend: str = ""


@click.command(
    cls=Command,
    examples="""
    verdelta doctor
    verdelta doctor --state /srv/verdelta -o json
    """,
)
@state_option
@connected
def doctor(session: Session, state: str | None) -> int:
    """Look for what keeps the controller from working, with the mend of each.

    Nothing is changed. On a machine without a controller, only whether the one in the profile is reached. Exit code 1
    when something is wrong.
    """
    from ..foundation.settings import load_settings

    found = [*local_findings(load_settings(state=state)), reach(session)]
    session.show([finding._asdict() for finding in found], lambda: _picture(found))
    return int(any(finding.status == WRONG for finding in found))


def _picture(found: list[Finding]) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from . import signs
    from .render import as_text

    shown = {OK: signs.OK, WARNING: signs.WARNING, WRONG: signs.WRONG, SKIPPED: signs.SKIPPED}
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in found:
        said = as_text(finding.said)
        if finding.mend:
            said.append(f"\n→ {as_text(finding.mend).plain}", style="bold")
        grid.add_row(as_text(shown[finding.status]), finding.check, said)
    wrong = sum(finding.status == WRONG for finding in found)
    return Group(grid, Text(f"{wrong} to mend." if wrong else "Nothing is wrong."))


def local_findings(settings: "Settings") -> Iterator[Finding]:
    """Yield what there is to say about this machine and the controller's state on it."""
    state = settings.state
    try:
        here = (state / "signing.key").exists()
    except OSError as error:
        yield Finding("state", WRONG, f"{state}: {error.strerror}", "Call this as the user that runs the controller.")
        return
    if not here:
        yield Finding(
            "state", SKIPPED, f"no controller in {state}", f"If one belongs here: verdelta init --state {state}"
        )
        return
    yield _state(state)
    yield _keys(state)
    yield _database(settings)
    yield _space(state)
    yield _port(settings)
    yield _program("ansible-playbook", "Install Verdelta again: Ansible comes with it.")
    yield _program("ssh", "apt-get install openssh-client, or dnf install openssh-clients")
    yield _clock(state)
    yield _device_names(settings)


def _state(state: Path) -> Finding:
    status = state.stat()
    if status.st_uid != os.geteuid():
        return Finding("state", WRONG, f"{state} is another user's", "Call this as the user that runs the controller.")
    if status.st_mode & 0o077:
        return Finding("state", WRONG, f"{state} can be entered by others", f"chmod 700 {state}")
    return Finding("state", OK, f"{state} is yours alone")


def _keys(state: Path) -> Finding:
    from ..foundation.signing import SigningKey, Vault

    for name in SECRETS:
        path = state / name
        if path.exists() and path.stat().st_mode & 0o077:
            return Finding(
                "keys", WRONG, f"{path} can be read by others", f"chmod 600 {path}, if nobody has read it yet"
            )
    try:
        SigningKey.load(state / "signing.key")
        Vault.load(state / "vault.key")
    except VerdeltaError as error:
        return Finding("keys", WRONG, error.message, error.mend or "")
    return Finding("keys", OK, "can be read, by you alone")


def _database(settings: "Settings") -> Finding:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import SQLAlchemyError

    from ..foundation.database import Database, alembic_config

    if not settings.database and not (settings.state / "verdelta.sqlite").exists():
        return Finding("database", WRONG, "there is none", f"verdelta init --state {settings.state}")
    scripts = ScriptDirectory.from_config(alembic_config())
    try:
        database = Database(settings.database_url)
        with database.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        database.close()
    except (VerdeltaError, SQLAlchemyError) as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return Finding("database", WRONG, said, "Is it there, and may you read it?")
    if current is None:
        return Finding("database", WARNING, "it has no schema yet", "The next `verdelta serve` makes it.")
    if current not in {script.revision for script in scripts.walk_revisions()}:
        said = f"its schema {current} is newer than this Verdelta"
        return Finding("database", WRONG, said, "Start the version that made it, or a newer one.")
    if current != scripts.get_current_head():
        said = f"its schema {current} is older than this Verdelta"
        return Finding("database", WARNING, said, "The next `verdelta serve` brings it up to date.")
    return Finding("database", OK, f"schema {current}")


def _space(state: Path) -> Finding:
    free = shutil.disk_usage(state).free
    if free < SPACE_NEEDED:
        return Finding("disk", WRONG, f"{size(free)} free at {state}", f"Keep {size(SPACE_NEEDED)} free.")
    return Finding("disk", OK, f"{size(free)} free")


def _port(settings: "Settings") -> Finding:
    from .serve import bind

    url = own_url(settings)
    if _is_ours(url, settings.state):
        return Finding("port", OK, f"the controller answers at {url}")
    try:
        bind(settings.listen, settings.port).close()
    except VerdeltaError as error:
        return Finding("port", WRONG, f"{error.message}, and not by this controller", error.mend or "")
    return Finding("port", OK, f"{settings.port} on {settings.listen} is free; the controller does not run")


def _is_ours(url: str, state: Path) -> bool:
    """Return whether a controller answers there: what it demands of nobody is asked for."""
    from .client import Api

    try:
        Api(profile.Access(url, "", str(state / "ca.pem")), patience=ANSWERS_WITHIN).get("schemas/release")
    except VerdeltaError:
        return False
    return True


def _program(name: str, mend: str) -> Finding:
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return Finding(name, OK, found) if found else Finding(name, WRONG, "not found", mend)


def _clock(state: Path) -> Finding:
    newest = max((path.stat().st_mtime for path in state.iterdir()), default=0.0)
    if newest > time.time() + 60:
        return Finding(
            "clock", WRONG, "it is behind files that this controller wrote", "Set it: timedatectl set-ntp true"
        )
    try:
        synchronised = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) != CLOCK_UNSYNCHRONISED
    except (OSError, AttributeError):
        return Finding("clock", SKIPPED, "this system does not say whether it is synchronised")
    if not synchronised:
        return Finding("clock", WARNING, "the system does not know it to be synchronised", "timedatectl set-ntp true")
    return Finding("clock", OK, "synchronised")


def _device_names(settings: "Settings") -> Finding:
    from ..inventory.device_names import PCI, USB, DeviceNames

    places = {name: DeviceNames(settings.device_names).place(name) for name in (PCI, USB)}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        said = f"no {' and no '.join(missing)} in {settings.device_names}: devices are shown by their ids alone"
        return Finding("device names", WARNING, said, "apt-get install pci.ids usb.ids, or dnf install hwdata")
    return Finding("device names", OK, ", ".join(str(place) for place in places.values()))


def reach(session: Session) -> Finding:
    """Return whether the controller of the profile answers, and lets its token in."""
    try:
        who = session.api.get("whoami")
    except VerdeltaError as error:
        return Finding("API", WRONG, error.message, error.mend or "")
    return Finding("API", OK, f"{session.access.url} lets you in as {who['name']} ({who['role']})")
