"""A controller for each module of acceptance tests, on hosts as freshly installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import Lab
from tests.support.controller import Controller


@pytest.fixture(scope="module")
def controller(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """A real controller that looks after no host yet, beside a lab of fresh hosts."""
    lab.reset()
    folder: Path = tmp_path_factory.mktemp("controller")
    controller = Controller(lab, folder)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()
