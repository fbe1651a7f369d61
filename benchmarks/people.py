"""What people cost: a login (argon2id as recommended), recognising a session, the list of everybody."""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pyotp

from verdelta_controller import wiring
from verdelta_controller.access import passwords
from verdelta_controller.access.people import People
from verdelta_controller.access.rules import Role, Standing
from verdelta_controller.foundation.settings import Settings

PEOPLE = 1000
PASSWORD = "a sentence that nobody else would take"  # noqa: S105 - of nobody
ROLES = [role for role in Role if role is not Role.ADMINISTRATOR][:5]


def run() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state=Path(folder) / "state")
        wiring.initialise(settings)
        services = wiring.build(settings)
        try:
            _measure(services.people)
        finally:
            services.database.close()


def _measure(people: People) -> None:
    for number in range(PEOPLE):
        people.accounts.create_person(f"person{number}", "Somebody", "benchmark", Standing.MEMBER, ROLES)
    app = _join(people, "person0")
    stored = passwords.hash_of(PASSWORD)
    session = people.logins.log_in("person0", PASSWORD, app.now()).secret
    figures = {
        "argon2id, one password": _milliseconds(lambda: passwords.is_right(PASSWORD, stored), 10),
        "login, refused": _milliseconds(lambda: _refused(people), 4),
        "recognising a session": _milliseconds(lambda: people.logins.actor_of_session(session), 200),
        f"{PEOPLE} people with {PEOPLE * len(ROLES)} roles": _milliseconds(people.accounts.all, 5),
    }
    for name, figure in figures.items():
        print(f"people: {name:<34} {figure:8.2f} ms")


def _join(people: People, name: str) -> pyotp.TOTP:
    invitation = people.accounts.invite(name, "benchmark").secret
    app = pyotp.TOTP(people.accounts.offer_second_step(invitation)[1].secret)
    earlier = app.at(datetime.now(UTC) - timedelta(seconds=30))
    people.accounts.accept_invitation(invitation, PASSWORD, earlier)
    return app


def _refused(people: People) -> None:
    try:
        people.logins.log_in("person1", "wrong", "000000")
    except Exception as error:  # noqa: BLE001 - it is what is measured
        assert "is not right" in str(error), error


def _milliseconds(action: Callable[[], object], times: int) -> float:
    """Return the median of how long an action took."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return median(took) * 1000
