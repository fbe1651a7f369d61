"""pytest fixtures of the lab.  A test that asks for one is marked `lab`, and all of them run in one xdist group."""

from collections.abc import Iterator

import pytest

from . import Lab, LabHost, why_not


def pytest_itemcollected(item: pytest.Item) -> None:
    """One worker for all: the lab of the session is brought up once.  Later, the groups have been read already."""
    if "lab" in getattr(item, "fixturenames", ()):
        item.add_marker("lab")
    if item.get_closest_marker("lab"):
        item.add_marker(pytest.mark.xdist_group("lab"))


@pytest.fixture(scope="session")
def lab_machine() -> None:
    """Skip, with the reason, where no lab can run."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def lab(lab_machine: None) -> Iterator[Lab]:
    """Three Debian hosts (h1, h2, h3) and one of the rpm family (r1), as the tests before have left them."""
    with Lab.up(debian=3, rpm=1) as lab:
        yield lab


@pytest.fixture
def fresh_lab(lab: Lab) -> Lab:
    """The lab with every host as freshly installed."""
    lab.reset()
    return lab


@pytest.fixture
def fresh_host(lab: Lab) -> LabHost:
    """A Debian host as freshly installed."""
    lab.hosts["h1"].reset()
    return lab.hosts["h1"]


@pytest.fixture
def fresh_rpm_host(lab: Lab) -> LabHost:
    """A host of the rpm family as freshly installed."""
    lab.hosts["r1"].reset()
    return lab.hosts["r1"]
