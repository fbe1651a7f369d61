"""Settings: defaults, below `verdelta.toml`, below the environment (VERDELTA_…), below the command line.

Everything that the controller keeps lies under one state directory.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from .errors import InvalidInput


def default_state_directory() -> Path:
    """Return /var/lib/verdelta for root, and the user's own state directory for everybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/verdelta")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "verdelta"


class Settings(BaseSettings):
    """Where the controller keeps its state, where it listens, and how much it does at once."""

    model_config = SettingsConfigDict(env_prefix="VERDELTA_", extra="forbid", frozen=True)

    state: Path = Field(default_factory=default_state_directory, description="directory of everything that is kept")
    database: str = Field(default="", description="SQLAlchemy URL; a SQLite file in the state directory by default")
    listen: str = Field(default="127.0.0.1", description="address to listen on; anything but loopback turns TLS on")
    port: int = Field(default=8470, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    url: str = Field(default="", description="how agents reach this controller; they only answer when it is empty")
    forks: int = Field(default=10, ge=1, le=200, description="hosts worked on at the same time")
    envelope_limit: int = Field(default=64 << 20, description="bytes of the largest message taken from an agent")
    artifact_limit: int = Field(default=8 << 30, description="bytes of the largest artifact taken into the library")

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


def load_settings(**given: Any) -> Settings:
    """Return the settings with what the command line gave.  Raises InvalidInput, which names the setting."""
    path = os.environ.get("VERDELTA_CONFIG")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"{path} or the environment" if path else f"the environment (VERDELTA_{name.upper()})"
        raise InvalidInput(f"setting {name}: {first['msg']}", mend=f"Mend it in {where}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path}: {error}") from error
