"""A controller in a temporary directory, and a client that asks it over HTTP without a network."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verdelta_controller import wiring
from verdelta_controller.access.rules import Role
from verdelta_controller.foundation.settings import Settings
from verdelta_controller.wiring import Services

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette asks for the successor of httpx, which we do not use otherwise
    from starlette.testclient import TestClient

__all__ = ["TestClient", "a_controller", "a_token"]


@contextmanager
def a_controller(directory: Path, database_url: str = "") -> Iterator[Services]:
    """Yield the services of a new controller whose state lies in `directory`; its database too, by default."""
    settings = Settings(state=directory / "state", database=database_url)
    wiring.initialise(settings)
    services = wiring.build(settings)
    try:
        yield services
    finally:
        services.database.close()


def a_token(services: Services, role: Role = Role.ADMINISTRATOR) -> str:
    """Return the secret of a new token."""
    return services.access.create_token(role.value, role, 1).secret
