"""A controller in a temporary directory, and a client that asks it over HTTP without a network."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verdelta_controller import wiring
from verdelta_controller.access.rules import Actor, Role
from verdelta_controller.app import create_app
from verdelta_controller.foundation.settings import Settings
from verdelta_controller.wiring import Services

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette asks for the successor of httpx, which we do not use otherwise
    from starlette.testclient import TestClient

__all__ = ["CI", "TestClient", "a_client", "a_controller", "a_token", "log_in"]

CI = Actor("ci", frozenset())  # a program, by its token


@contextmanager
def a_controller(directory: Path, database_url: str = "", device_names: str = "") -> Iterator[Services]:
    """Yield the services of a new controller whose state lies in `directory`; its database too, by default.

    It knows the names of devices from the folders that are given, not from those of this machine.
    """
    settings = Settings(state=directory / "state", database=database_url, device_names=device_names)
    wiring.initialise(settings, "one-person")
    services = wiring.build(settings)
    try:
        yield services
    finally:
        services.database.close()


def a_token(services: Services, role: Role = Role.ADMINISTRATOR) -> str:
    """Return the secret of a new token."""
    return services.access.create_token(role.value, role, 1).secret


def a_client(services: Services) -> TestClient:
    """Return a client whose forms are sent by pages of this controller; errors inside it are answers, as they are."""
    headers = {"origin": "http://testserver"}
    return TestClient(create_app(services), raise_server_exceptions=False, follow_redirects=False, headers=headers)


def log_in(client: TestClient, token: str) -> None:
    """Let the client hold a page session."""
    assert client.post("/login", data={"token": token}).status_code == 303
