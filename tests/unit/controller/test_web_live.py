"""The stream that keeps the page of a roll-out as the roll-out is."""

import re
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.support.scene import Scene
from tests.support.web import TestClient, a_client, a_controller, a_token, log_in

from verdelta_controller.access.rules import Role
from verdelta_controller.fleet.tables import Host
from verdelta_controller.rollouts.installers.listener import Step
from verdelta_controller.web import rollouts

OLD = {
    "software.dpkg": {"labapp:all": {"version": "1.0"}},
    "system.units": {},
    "system.files": {},
    "system.users": {},
}
NEW = {
    **OLD,
    "software.dpkg": {"labapp:all": {"version": "1.1"}},
    "system.units": {"labapp.service": {"enabled": "enabled"}},
    "system.files": {"/etc/labapp.conf": {"mode": "0644"}},
}


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Iterator[Scene]:
    monkeypatch.setattr(rollouts, "PAUSE", 0.01)
    with a_controller(tmp_path) as services:
        yield Scene(services)


@pytest.fixture
def client(scene) -> TestClient:
    client = a_client(scene.services)
    log_in(client, a_token(scene.services))
    return client


@pytest.fixture
def host(scene) -> Host:
    return scene.host("web-01")


def events(client: TestClient, path: str) -> Iterator[tuple[str, str]]:
    """Yield the events of a stream until its end, each with its name and its data."""
    with client.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for message in "".join(answer.iter_text()).split("\n\n"):
            fields = [line.partition(": ")[::2] for line in message.split("\n") if line and not line.startswith(":")]
            data = "\n".join(value for name, value in fields if name == "data")
            if fields:
                yield next((value for name, value in fields if name == "event"), "message"), data


def parts(data: str) -> list[str]:
    """Return which elements of the page an event renews."""
    return re.findall(r'<hx-partial hx-target="#([\w-]+)" hx-swap="outerMorph">', data)


def when_looked_at(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> list[threading.Thread]:
    """Do something as soon as a stream has looked at its roll-out for the first time, however long that takes."""
    look, acting = rollouts._now, list[threading.Thread]()

    def looked(*given: object) -> object:
        found = look(*given)
        if not acting:
            acting.append(threading.Thread(target=act))
            acting[0].start()
        return found

    monkeypatch.setattr(rollouts, "_now", looked)
    return acting


def test_a_roll_out_at_rest_is_sent_whole_and_the_stream_ends(scene, client, host):
    before = scene.audit(host, OLD)
    number = scene.rollout(scene.release(), [host])
    scene.install(number, host, before)
    scene.conclude(number, host, before, scene.audit(host, NEW))
    scene.close_wave(number, 1)

    (kind, data), (last, _) = events(client, f"/rollouts/{number}/live")
    assert (kind, last) == ("message", "rest")
    assert parts(data) == ["summary", "wave-1"]
    assert "finished" in data
    assert "verified" in data


def test_each_change_is_sent_as_the_parts_that_it_changes_until_the_roll_out_rests(scene, client, host, monkeypatch):
    other = scene.host("web-02")
    before = scene.audit(host, OLD)
    number = scene.rollout(scene.release(), [host, other], 1)

    def go_on() -> None:
        scene.install(number, host, before)
        scene.services.rollouts._progress.note(number, Step("web-01", "started", "Install <b>the</b> packages"))
        scene.conclude(number, host, before, scene.audit(host, {**NEW, "system.users": {"eve": {"uid": 1}}}))
        scene.close_wave(number, 1)

    acting = when_looked_at(monkeypatch, go_on)
    seen = list(events(client, f"/rollouts/{number}/live"))
    acting[0].join()

    assert parts(seen[0][1]) == ["summary", "wave-1", "wave-2"]
    assert seen[-1][0] == "rest"
    later = [name for _, data in seen[1:-1] for name in parts(data)]
    assert "wave-1" in later
    assert "wave-2" not in later, "it has not changed"
    shown = "".join(data for _, data in seen)
    assert "suspended" in shown
    assert "verdelta rollout resume" in shown
    assert "added, not authorised" in shown
    assert "<b>the</b>" not in shown


def test_who_is_shut_out_is_sent_nothing_more(scene, host, monkeypatch):
    monkeypatch.setattr(rollouts, "HEARTBEAT", 0.1)
    client = a_client(scene.services)
    log_in(client, a_token(scene.services, Role.AUDITOR))
    number = scene.rollout(scene.release(), [host])
    acting = when_looked_at(monkeypatch, lambda: scene.services.access.revoke_token("auditor"))
    seen = list(events(client, f"/rollouts/{number}/live"))
    acting[0].join()
    assert seen
    assert all(kind == "message" for kind, _ in seen), "it did not come to rest"


@pytest.mark.parametrize("headers", [{"hx-request": "true"}, {"hx-request": "true", "accept": "text/event-stream"}])
def test_who_is_not_let_in_is_told_so_and_neither_led_to_a_page_nor_told_what_there_is(scene, host, headers):
    number = scene.rollout(scene.release(), [host])
    for there_or_not in (number, number + 1):
        answer = a_client(scene.services).get(f"/rollouts/{there_or_not}/live", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/json"


def test_a_running_roll_out_has_a_page_that_follows_it_and_is_renewed_where_no_scripts_run(scene, client, host):
    number = scene.rollout(scene.release(), [host])
    page = client.get(f"/rollouts/{number}").text
    assert f'hx-sse:connect="/rollouts/{number}/live"' in page
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page
    assert f'hx-sse:connect="/rollouts/{number}/live?hosts=all"' in client.get(f"/rollouts/{number}?hosts=all").text


def test_every_part_that_is_sent_is_on_the_page(scene, client, host):
    number = scene.rollout(scene.release(), [host, scene.host("web-02")], 1)
    page = client.get(f"/rollouts/{number}").text
    view = scene.services.rollouts.view(number)
    for name, part in rollouts._parts(rollouts._shown(view, everything=False)).items():
        assert (part if name == "title" else f'id="{name}"') in page
