"""What a command is given: the controller to ask, the paths there, and the way in which to answer."""

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from ..foundation.errors import InvalidInput
from . import profile
from .text import plain

if TYPE_CHECKING:
    import httpx
    from rich.console import RenderableType

    from .client import Api

PATIENCE = 900.0  # seconds for an answer that waits for hosts: audits, bootstraps


def path_of(*segments: object) -> str:
    """Return a path of the API; what a person gave as a name stays one segment of it.  Raises InvalidInput."""
    for segment in segments:
        if str(segment) in ("", ".", "..") or "/" in str(segment):
            raise InvalidInput(f"{str(segment)!r} is no name of anything")
    return "/".join(quote(str(segment), safe="") for segment in segments)


class Session:
    """One call of one command."""

    def __init__(
        self,
        output: str = "table",
        url: str = "",
        token_file: str = "",
        ca: str = "",
        profile: str = "",
        transport: "httpx.BaseTransport | None" = None,
    ) -> None:
        self.output = output
        self._wanted = (url, token_file, ca, profile)
        self._transport = transport

    @cached_property
    def access(self) -> profile.Access:
        """Where the controller is.  Raises InvalidInput, NotAuthenticated."""
        return profile.resolve(*self._wanted)

    @cached_property
    def api(self) -> "Api":
        """The controller.  Raises InvalidInput, NotAuthenticated."""
        return self.api_as(self.access)

    @cached_property
    def where(self) -> profile.Access:
        """Where the controller is, without a token: for who has none yet.  Raises InvalidInput."""
        url, _, ca, path = self._wanted
        return profile.without_token(url, ca, path)

    def api_as(self, access: profile.Access) -> "Api":
        """Return a controller, asked with other rights than this call has.  Raises InvalidInput."""
        from .client import Api

        return Api(access, self._transport)

    @property
    def profile_path(self) -> Path:
        """Where the client profile is kept."""
        return profile.path_of(self._wanted[3])

    @property
    def has_own_token(self) -> bool:
        """Whether a token was given beside the profile, which goes before it."""
        return bool(profile.given_token(self._wanted[1]))

    @property
    def wide(self) -> bool:
        """Whether to show everything, however long the lines get."""
        return self.output == "wide"

    @property
    def for_people(self) -> bool:
        """Whether a picture is wanted, and not the API's document."""
        return self.output in ("table", "wide")

    def show(self, document: Any, picture: "Callable[[], RenderableType]") -> None:
        """Print the API's document, or the picture of it."""
        from . import output

        if self.for_people:
            output.show(picture(), wide=self.wide)
        else:
            output.show_document(document, self.output)

    def show_alone(self, document: Any, text: str) -> None:
        """Print one line that people pipe to where it is needed, or the API's document."""
        if self.for_people:
            click.echo(plain(text))
        else:
            self.show(document, lambda: text)

    def say(self, text: str) -> None:
        """Tell a person something, beside what programs read."""
        click.echo(text, err=True)


def is_interactive() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone.  Raises InvalidInput where nobody can be asked, Abort when the answer is no."""
    if yes:
        return
    if not is_interactive():
        raise InvalidInput(f"{question} Nobody is there to answer.", mend="Say so beforehand: --yes")
    click.confirm(plain(question), abort=True, err=True)
