"""Settings: defaults, below `verdelta.toml`, below secrets, below the environment (VERDELTA_…), below the command line.

A secret may lie in a file of its own, named as in the environment, in the directory that VERDELTA_SECRETS names.
Everything that the controller keeps lies under one state directory.
"""

import difflib
import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from .errors import InvalidInput


def default_state_directory() -> Path:
    """Return /var/lib/verdelta for root, and the user's own state directory for everybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/verdelta")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "verdelta"


class Settings(BaseSettings):
    """Where the controller keeps its state, where it listens, and how much it does at once."""

    model_config = SettingsConfigDict(env_prefix="VERDELTA_", extra="forbid", frozen=True, hide_input_in_errors=True)

    state: Path = Field(default_factory=default_state_directory, description="directory of everything that is kept")
    database: str = Field(
        default="", repr=False, description="SQLAlchemy URL; a SQLite file in the state directory by default"
    )
    listen: str = Field(default="127.0.0.1", description="address to listen on; anything but loopback turns TLS on")
    port: int = Field(default=8470, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    url: str = Field(default="", description="how agents reach this controller; they only answer when it is empty")
    forks: int = Field(default=10, ge=1, le=200, description="hosts worked on at the same time")
    envelope_limit: int = Field(default=64 << 20, ge=1 << 20, description="bytes of the largest message of an agent")
    device_names: str = Field(
        default="/usr/share/hwdata:/usr/share/misc",
        description="folders, with : between them, that pci.ids and usb.ids are looked for in",
    )
    artifact_limit: int = Field(default=8 << 30, ge=1, description="bytes of the largest artifact in the library")
    oidc_issuer: str = Field(default="", description="OpenID provider that people may log in by; none by default")
    oidc_client_id: str = Field(default="", description="what the provider calls this controller")
    oidc_client_secret: str = Field(default="", repr=False, description="what it knows this controller by")
    oidc_ca: str = Field(default="", description="file of the CA that its certificate is checked with")

    @field_validator("state")
    @classmethod
    def _absolute(cls, state: Path) -> Path:
        """What is started elsewhere has to find it, too."""
        return state.expanduser().absolute()

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        parts = urlsplit(url)  # raises ValueError for what is none
        if url and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.query or not url.isprintable()
        ):
            raise ValueError("not an address like https://deploy.example.org:8470")
        return url.rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _trustworthy(cls, issuer: str) -> str:
        if issuer and (not is_safe_address(issuer) or urlsplit(issuer).query):
            raise ValueError("not an address like https://login.example.org; plain http is for this very machine alone")
        return issuer

    @property
    def database_url(self) -> str:
        """Return the URL of the database in use."""
        return self.database or f"sqlite:///{self.state / 'verdelta.sqlite'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, the strongest first."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=os.environ.get("VERDELTA_CONFIG"))
        return init_settings, env_settings, file_secret_settings, toml


def is_safe_address(text: object) -> bool:
    """Return whether a text is the address of something that secrets can be sent to: by TLS, or on this machine."""
    if not isinstance(text, str) or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.port != 0 and not parts.username and not parts.fragment
    except ValueError:
        return False
    return whole and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname or "")))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**given: Any) -> Settings:
    """Return the settings with what the command line gave.  Raises InvalidInput, which names the setting and where."""
    path = os.environ.get("VERDELTA_CONFIG")
    if path and not Path(path).is_file():
        raise InvalidInput(f"{path}: there is no such file", mend="VERDELTA_CONFIG names it.")
    told = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**told, _secrets_dir=_secrets())
    except ValidationError as error:
        raise _not_valid(error, told, path or "") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: {error}", mend="VERDELTA_CONFIG names it.") from error


def _secrets() -> Path | None:
    """Return the directory with a file for each setting that is a secret, where there is one.  Raises InvalidInput."""
    named = os.environ.get("VERDELTA_SECRETS")
    if named and not Path(named).is_dir():
        raise InvalidInput(f"{named}: there is no such directory", mend="VERDELTA_SECRETS names it.")
    return Path(named) if named else None


def _not_valid(error: ValidationError, told: dict[str, Any], path: str) -> InvalidInput:
    first = error.errors(include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, 1)
        known = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(Settings.model_fields)}."
        return InvalidInput(f"{path}: there is no setting {name!r}", mend=known)
    variable = f"VERDELTA_{name.upper()}"
    where = f"--{name}" if name in told else variable if variable in os.environ else path
    return InvalidInput(f"setting {name}: {first['msg']}", mend=f"Mend it in {where}.")
