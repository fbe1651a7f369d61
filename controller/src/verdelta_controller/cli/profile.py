"""Where the controller is and how it is proved to it who asks: options, environment, client profile.

The client profile is a file {url, token, ca} that only its owner can read.  While somebody is logged in it has their
session as well, which goes before the token; a person who has no token has "" there.
"""

import ipaddress
import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..foundation.errors import InvalidInput, NotAuthenticated

DEFAULT_URL = "http://127.0.0.1:8470"
FILE_LIMIT = 1 << 20


class Access(NamedTuple):
    """How to ask a controller: its address, the token, and the CA file that its certificate is checked with ("")."""

    url: str
    token: str
    ca: str


class Login(NamedTuple):
    """Who is logged in, and the secret of the session."""

    person: str
    session: str


def default_path() -> Path:
    """Return where the client profile is kept."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "verdelta" / "client.json"


def read_profile(path: Path) -> Access | None:
    """Return what a client profile says, or None when there is none.  Raises InvalidInput."""
    if not path.exists():
        return None
    try:
        said = json.loads(read_text(path))
        return Access(*(_text(said[name]) for name in Access._fields))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path}: not a client profile: expected url, token and ca",
            mend="Remove it, and make one: verdelta init --new-token",
        ) from error


def read_login(path: Path) -> Login | None:
    """Return who is logged in by a client profile, or None when nobody is.  Raises InvalidInput."""
    if read_profile(path) is None:
        return None
    said = json.loads(read_text(path)).get("login")
    try:
        return None if said is None else Login(*(_text(said[name]) for name in Login._fields))
    except (KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path}: its login is not one: expected person and session", mend="Log in again: verdelta logout"
        ) from error


def write_profile(path: Path, access: Access, login: Login | None = None) -> None:
    """Keep a client profile where only its owner reads it, in one step.  Raises InvalidInput."""
    said = access._asdict() | ({"login": login._asdict()} if login else {})
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(said, file, indent=1)
            file.write("\n")
        temporary.rename(path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}", mend="Give another --profile.") from error


def path_of(profile: str) -> Path:
    """Return where the client profile is: where a person said, or the usual place."""
    return Path(profile) if profile else default_path()


def without_token(url: str, ca: str, profile: str) -> Access:
    """Return where the controller is, for who asks without saying who it is.  Raises InvalidInput."""
    known = read_profile(path_of(profile))
    wanted = checked(url or (known.url if known else DEFAULT_URL))
    return Access(wanted, "", ca or (known.ca if known else ""))


def given_token(token_file: str) -> str:
    """Return the token that was given beside the profile, by a file or the environment, or "".  Raises InvalidInput."""
    return read_text(Path(token_file)).strip() if token_file else os.environ.get("VERDELTA_TOKEN", "").strip()


def resolve(url: str, token_file: str, ca: str, profile: str) -> Access:
    """Return how to ask the controller: what was given, else the environment, else the profile.

    What a profile proves, by its session or its token, is for the machine that it names, and is sent to no other.
    Raises InvalidInput, NotAuthenticated.
    """
    path = path_of(profile)
    known = read_profile(path)
    if known is None and profile:
        raise InvalidInput(f"{path}: there is no such file", mend="verdelta init writes a client profile.")
    token = given_token(token_file)
    if not token and known is None:
        raise NotAuthenticated(
            f"no token was given, and there is no client profile {path}",
            mend="verdelta init makes one on the controller's machine; elsewhere: verdelta login, or --token-file.",
        )
    wanted = checked(url or (known.url if known else DEFAULT_URL))
    if not token and known is not None:
        if not _same_machine(wanted, known.url):
            raise NotAuthenticated(
                f"the token in {path} is for {known.url}, and is not sent to {wanted}",
                mend="Give the token for it: --token-file, or VERDELTA_TOKEN.",
            )
        login = read_login(path)
        token = login.session if login else known.token
        if not token:
            raise NotAuthenticated("nobody is logged in", mend="verdelta login NAME")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("the token is not one: it has other characters than letters, digits and _")
    return Access(wanted, token, ca or (known.ca if known else ""))


def read_text(path: Path, limit: int = FILE_LIMIT) -> str:
    """Return the text of a small file that a person named.  Raises InvalidInput, which names it."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > limit:
        raise InvalidInput(f"{path}: larger than {limit // 1024} KiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}:{line}: not UTF-8 text") from error


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked(url: str) -> str:
    """Return an address of a controller without a trailing slash; a token never goes over a network readable."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username or not url.isprintable():
        raise InvalidInput(f"{url!r} is no address of a controller", mend=f"Write it like {DEFAULT_URL}")
    if parts.scheme == "http" and not is_loopback(url):
        raise InvalidInput(
            f"{url}: the token would go over the network for everybody to read", mend="Use https:// and --ca."
        )
    return url.rstrip("/")


def _same_machine(one: str, other: str) -> bool:
    return urlsplit(one).hostname == urlsplit(other).hostname or (is_loopback(one) and is_loopback(other))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value
