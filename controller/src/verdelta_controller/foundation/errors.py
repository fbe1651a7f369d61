"""One tree of errors.  A class's docstring is its default message; foreign errors are wrapped with `from`.

An error says what happened and where; `mend` says what the person can do about it.  `exit_code` is the command's
(0 ok, 1 failed, 2 usage, 3 differences found, 4 not allowed, 5 gate closed, 6 timed out), `http_status` the API's.
"""

from typing import ClassVar


class VerdeltaError(Exception):
    """Something failed."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, *, mend: str | None = None) -> None:
        self.message = message or (self.__class__.__doc__ or "").strip().splitlines()[0]
        self.mend = mend
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.mend}" if self.mend else self.message


class InvalidInput(VerdeltaError):
    """What was given is not valid."""

    exit_code = 2
    http_status = 422


class NotFound(InvalidInput):
    """There is no such thing."""

    http_status = 404


class Conflict(InvalidInput):
    """It contradicts what is already there."""

    http_status = 409


class TooLarge(InvalidInput):
    """It is larger than what is taken in."""

    http_status = 413


class NotAuthenticated(VerdeltaError):
    """Who is asking is not known."""

    exit_code = 4
    http_status = 401


class NotAllowed(VerdeltaError):
    """This is not allowed to whoever is asking."""

    exit_code = 4
    http_status = 403


class GateClosed(VerdeltaError):
    """A condition of this step is not met."""

    exit_code = 5
    http_status = 409


class TimedOut(VerdeltaError):
    """It did not end in time."""

    exit_code = 6
    http_status = 504


class Unavailable(VerdeltaError):
    """What this needs cannot be reached."""

    http_status = 503


class HostFailed(VerdeltaError):
    """A host did not do what was asked of it."""

    http_status = 502
