"""Whatever is asked of the API, by somebody who may ask it, is answered or refused: nothing makes it fail."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.agents import Agent, packages
from tests.support.web import CI, TestClient, a_controller, a_token

from verdelta_controller.app import create_app
from verdelta_controller.fleet import channels
from verdelta_controller.fleet.channels import Unreachable
from verdelta_controller.fleet.rules import NewHost
from verdelta_controller.fleet.service import FleetService

MANIFEST = """
release: labapp
version: "1.1"
type: minor
service: lab
install: {playbook: install_packages.yml}
changes:
  - {section: software.dpkg, key: "labapp:*", after: {version: "1.1"}}
"""
OF_HOSTS = (502, 503, 504)  # what is answered where a host does not do what it is asked for

KNOWN = ["web-07", "labapp", "1.1", "1.2", "administrator", "auditor", "ssh", "software.dpkg", "192.0.2.7", MANIFEST]
HOSTILE = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "-x",
    "--help",
    "..",
    "../..",
    "/",
    "%00",
    "' OR 1=1 --",
    "{{ 7 * 7 }}",
    "x" * 300,
]
NUMBERS = [0, 1, 2, -1, 2**31, 2**53, 2**63 - 1, 2**63, 10**40]

text = st.sampled_from(KNOWN) | st.sampled_from(HOSTILE) | st.text(max_size=30)
scalar = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.floats() | text
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)


class Asking:
    """A client, and the routes as the application describes them."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.description = client.get("/api/v1/openapi.json").json()
        paths = self.description["paths"].items()
        self.routes = [(method.upper(), path, said) for path, methods in paths for method, said in methods.items()]

    def request(self, data: st.DataObject) -> tuple[str, str, bytes]:
        """Draw a request that looks more or less as the description says."""
        method, path, said = data.draw(st.sampled_from(self.routes))
        query = []
        for parameter in said.get("parameters", []):
            value = str(
                data.draw(st.sampled_from(NUMBERS) if self._is_number(parameter) and data.draw(st.booleans()) else text)
            )
            encoded = quote(value.encode("utf-8", "surrogatepass"), safe="")
            if parameter["in"] == "path":  # in which "." and ".." are no names: a client takes them away
                path = path.replace(f"{{{parameter['name']}}}", encoded if encoded.strip(".") else "-")
            elif data.draw(st.booleans()):
                query.append(f"{parameter['name']}={encoded}")
        return method, f"{path}?{'&'.join(query)}", self._body(data, said)

    def _is_number(self, parameter: dict[str, Any]) -> bool:
        return "integer" in json.dumps(parameter["schema"])

    def _body(self, data: st.DataObject, said: dict[str, Any]) -> bytes:
        content = said.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return data.draw(st.binary(max_size=20))
        schema = self.description["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        if data.draw(st.integers(0, 9)) == 0:
            return json.dumps(data.draw(anything)).encode()
        example = dict(schema["examples"][0])
        for name in data.draw(st.lists(st.sampled_from(sorted(schema["properties"])), max_size=3)):
            example[name] = data.draw(anything)
        return json.dumps(example).encode()


@pytest.fixture
def asking(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """A controller with a host, two states of it and a release; it reaches nobody, and rolls nothing out."""

    def nobody(*_: object) -> None:
        raise Unreachable("nobody is reached by this test")

    monkeypatch.setattr(channels, "scan", nobody)
    monkeypatch.setattr(FleetService, "open_channel", nobody)
    with a_controller(tmp_path, database_url) as services:
        monkeypatch.setattr(services.engine, "start", lambda *_: None)
        services.fleet.add_host(NewHost("web-07", reach="check-in", groups=["web"]))
        agent = Agent(tmp_path / "agent")
        agent.heard(services.fleet.enrol(agent.enrolment(services.fleet.invite("web-07"))).last_digest)
        for version in ("1.0", "1.1"):
            agent.heard(services.inventory.take_in(agent.audit({"software.dpkg": packages(2, version)})).digest)
        services.releases.build(MANIFEST, {}, "release.yaml", CI)
        services.releases.authorise("labapp", "1.1", CI)
        client = TestClient(create_app(services), base_url="http://127.0.0.1")
        client.headers["Authorization"] = f"Bearer {a_token(services)}"
        yield Asking(client)


def test_whatever_is_asked_is_answered_or_refused(asking: Asking):
    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        method, path, body = asking.request(data)
        headers = {"Content-Type": "application/json"} if body[:1] in b"{[" else {}
        answer = asking.client.request(method, path, content=body, headers=headers)
        assert answer.status_code < 500 or answer.status_code in OF_HOSTS, (method, path, body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error", "mend", "exit_code"}, (method, path, answer.text)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask()


def test_whatever_an_agent_says_is_answered_or_refused(asking: Asking):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(
        st.sampled_from(["enrol", "messages"]),
        st.binary(max_size=100) | anything.map(lambda said: json.dumps(said).encode()),
    )
    def say(path: str, body: bytes) -> None:
        answer = asking.client.post(f"/agent/v1/{path}", content=body)
        assert answer.status_code == 422, answer.text

    say()
