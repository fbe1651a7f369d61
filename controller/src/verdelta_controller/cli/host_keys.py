"""Pinning a host's SSH key: from known_hosts, by a fingerprint, or by a person's yes; never silently."""

from pathlib import Path
from typing import NamedTuple

import click

from ..foundation.errors import InvalidInput, VerdeltaError
from . import profile
from .session import Session, is_interactive
from .text import plain

ON_THE_HOST = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"


class WrongHostKey(VerdeltaError):
    """The address shows another host key than the one that was given."""


class Pin(NamedTuple):
    """How a person says which key is the host's: a known_hosts file, a fingerprint, or neither: they are asked."""

    known_hosts: str
    fingerprint: str


def pin_options(function: click.decorators.FC) -> click.decorators.FC:
    """Give a command the options that say which key is the host's."""
    function = click.option(
        "--fingerprint", default="", metavar="SHA256:…", help="The host key's fingerprint, as its own console shows it."
    )(function)
    return click.option(
        "--known-hosts", default="", metavar="FILE", help="A known_hosts file that has the host's key already."
    )(function)


def settle(session: Session, name: str, address: str, port: int, pin: Pin) -> str:
    """Return the key to pin for a host.

    Raises InvalidInput where nobody says that it is the host's, WrongHostKey when it is not the one that was given.
    """
    if pin.known_hosts and pin.fingerprint:
        raise InvalidInput("a key is pinned from --known-hosts or by --fingerprint, not by both")
    if pin.known_hosts:
        from ..fleet.host_keys import from_known_hosts

        return from_known_hosts(profile.read_text(Path(pin.known_hosts)), address, port)
    if not pin.fingerprint and not is_interactive():
        raise InvalidInput(
            f"{name}: nobody has said which host key is its own, and none is trusted unseen",
            mend="Give --fingerprint SHA256:… or --known-hosts FILE; or call this on a terminal, to be shown it.",
        )
    shown = session.api.post("host-keys/scan", {"address": address, "port": port})
    if pin.fingerprint:
        _compare(name, pin.fingerprint, shown["fingerprint"])
    else:
        _ask(session, name, address, shown["fingerprint"])
    return str(shown["host_key"])


def _compare(name: str, given: str, shown: str) -> None:
    wanted = given.partition("(")[0].strip().removeprefix("SHA256:").rstrip("=")
    if wanted != shown.split()[0].removeprefix("SHA256:"):
        raise WrongHostKey(
            f"{name}: its host key is not the one that you gave (you: SHA256:{wanted}, it shows: {shown})",
            mend=f"Nothing was pinned. Compare on its own console: {ON_THE_HOST}",
        )


def _ask(session: Session, name: str, address: str, shown: str) -> None:
    session.say(f"{plain(name)} at {plain(address)} shows the host key {plain(shown)}")
    session.say(f"Compare it with what its own console says: {ON_THE_HOST}")
    click.confirm("Is it the same?", abort=True, err=True)
