"""Looking for hosts among many: by text, group and environment, some at a time."""

from collections.abc import Iterator

import pytest
from tests.support.web import a_controller

from verdelta_controller.fleet.service import FleetService, NewHost
from verdelta_controller.foundation.errors import NotFound

HOSTS = [
    ("web-01", "192.0.2.1", "live", ["web", "canary"]),
    ("web-02", "192.0.2.2", "live", ["web"]),
    ("web-03", "192.0.2.30", "test", ["Web"]),
    ("db-01", "db.web.example.org", "test", ["db", "web-backend"]),
    ("alone", "", "", []),
]


@pytest.fixture
def fleet(tmp_path, database_url) -> Iterator[FleetService]:
    with a_controller(tmp_path, database_url) as services:
        for name, address, environment, groups in HOSTS:
            services.fleet.add_host(
                NewHost(name, "check-in", "agentless", address, environment=environment, groups=groups)
            )
        yield services.fleet


def found(fleet: FleetService, **wanted: object) -> list[str]:
    return [host.name for host in fleet.search(**wanted).hosts]


def test_a_text_is_looked_for_in_names_and_addresses_whatever_its_case(fleet):
    assert found(fleet, text="WEB") == ["db-01", "web-01", "web-02", "web-03"]
    assert found(fleet, text="192.0.2.3") == ["web-03"]


@pytest.mark.parametrize("text", ["%", "_", "web%", "'", '"', "\\", "\0", "w" * 10_000])
def test_a_text_is_never_a_pattern(fleet, text):
    assert found(fleet, text=text) == []


def test_a_group_is_looked_for_by_its_whole_name(fleet):
    assert found(fleet, group="web") == ["web-01", "web-02"]
    assert found(fleet, group="Web") == ["web-03"]
    assert found(fleet, group="canary", environment="live") == ["web-01"]


@pytest.mark.parametrize("group", ['web", "canary', "[", "]", ", ", '"', "eb", "%", "\0"])
def test_what_is_no_name_of_a_group_finds_nothing(fleet, group):
    assert found(fleet, group=group) == found(fleet, environment=group) == []


def test_a_page_says_how_many_there_are_in_all(fleet):
    page = fleet.search(limit=2, offset=1)
    assert ([host.name for host in page.hosts], page.total) == (["db-01", "web-01"], 5)
    assert [fleet.search(limit=5, offset=offset).total for offset in (0, 4, 5, 100)] == [5, 5, 5, 5]
    assert fleet.search(offset=100).hosts == []


def test_hosts_that_are_named_are_found_or_missed_by_name(fleet):
    assert [host.name for host in fleet.hosts(["web-02", "db-01"])] == ["db-01", "web-02"]
    assert [host.name for host in fleet.hosts(["web-02", "db-01"], environment="live")] == ["web-02"]
    with pytest.raises(NotFound, match="no host named web-99"):
        fleet.hosts(["web-01", "web-99"])
    with pytest.raises(NotFound, match="no host in nowhere"):
        fleet.hosts(group="nowhere")
