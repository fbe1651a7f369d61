"""What the application promises as a whole, whatever it is asked."""

import pytest
from fastapi import APIRouter
from tests.support.web import a_controller

from verdelta_controller import app as application


@pytest.mark.parametrize("router", application.ROUTERS)
def test_the_application_does_not_start_with_a_route_that_demands_nothing(
    router: APIRouter, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(router, "routes", list(router.routes))
    router.add_api_route("/open-to-all", lambda: None)

    with a_controller(tmp_path) as services, pytest.raises(application.UndeclaredRoute, match="open-to-all"):
        application.create_app(services)


def test_the_application_starts_when_every_route_demands_a_permission_or_says_why_it_is_public(tmp_path):
    with a_controller(tmp_path) as services:
        application.create_app(services)
