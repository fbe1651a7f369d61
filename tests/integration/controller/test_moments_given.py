"""A moment that is asked for has its zone, and lies in a calendar of ours; anything else is refused in one line."""

from collections.abc import Iterator

import pytest
from tests.support.releases import Releases, some_releases
from tests.support.web import TestClient, a_client, a_token

WRONG = ["2027-01-15", "2027-01-15T08:00:00", "tomorrow", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]


@pytest.fixture
def releases(tmp_path) -> Iterator[Releases]:
    with some_releases(tmp_path) as found:
        found.build()
        yield found


@pytest.fixture
def client(releases: Releases) -> TestClient:
    client = a_client(releases.services)
    client.headers["Authorization"] = f"Bearer {a_token(releases.services)}"
    return client


@pytest.mark.parametrize("moment", WRONG)
@pytest.mark.parametrize(
    ("path", "order", "field"),
    [
        ("releases/drafts", {"name": "labapp", "version": "1.2", "type": "minor", "service": "lab"}, "planned_for"),
        ("releases/labapp/1.1/waivers", {"gate": "criteria", "reason": "as 1.0"}, "expires_at"),
        ("people/tess/roles", {"role": "tester"}, "ends_at"),
        ("environments/test/bookings", {"booked_for": "bob", "purpose": "load"}, "ends_at"),
    ],
)
def test_a_moment_that_is_none_is_refused_wherever_it_is_given(
    client: TestClient, path: str, order: dict[str, str], field: str, moment: str
):
    answer = client.post(f"/api/v1/{path}", json={**order, field: moment})
    assert answer.status_code == 422, answer.text
    assert answer.json()["exit_code"] == 2 and "\n" not in answer.json()["error"]


def test_a_moment_of_another_zone_is_kept_as_it_is_meant(client: TestClient):
    order = {"name": "labapp", "version": "1.2", "type": "minor", "service": "lab"}
    answer = client.post("/api/v1/releases/drafts", json={**order, "planned_for": "2037-01-15T08:00:00+01:00"})
    assert answer.json()["planned_for"] == "2037-01-15T07:00:00Z"
