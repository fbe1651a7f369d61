"""What the application promises over a real socket: limits, errors that say the mend and keep secrets, agents, TLS."""

import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import server as serving
from tests.support import sshd
from tests.support.agents import Agent, failed, packages
from tests.support.server import Server
from tests.support.web import a_controller, a_token

from verdelta_agent import identity, report, wire
from verdelta_agent.host import Host
from verdelta_agent.model import OK, Collector, Section
from verdelta_agent.recorded_host import RecordedHost
from verdelta_controller.app import create_app
from verdelta_controller.fleet import enrolment
from verdelta_controller.fleet.rules import NewHost
from verdelta_controller.foundation import certificates
from verdelta_controller.wiring import Services

SECRET = "hunter2-and-more"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        yield services


@pytest.fixture(scope="module")
def server(services: Services) -> Iterator[Server]:
    with serving.serving(create_app(services)) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server, services: Services) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {a_token(services)}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False) as api:
        yield api


def authorization(api: httpx.Client) -> str:
    return str(api.headers["Authorization"])


def request(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def said(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


# -- how much is taken


@pytest.mark.parametrize("path", ["/api/v1/hosts", "/api/v1/credentials", "/login"])
def test_a_request_that_announces_too_much_is_refused_before_it_is_sent(server, path):
    answer = server.raw(request("POST", path, f"Content-Length: {(8 << 20) + 1}"))
    assert status(answer) == 413


def test_a_request_that_does_not_say_how_long_it_is_is_refused(server):
    answer = server.raw(request("POST", "/api/v1/hosts", "Transfer-Encoding: chunked"), b'5\r\n{"a":\r\n')
    assert status(answer) == 413 and said(answer)["error"] == "a request has to say how long it is"


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "9" * 5000, "\u0661"])
def test_a_length_that_is_none_is_refused(server, length):
    answer = server.raw(request("POST", "/api/v1/hosts", f"Content-Length: {length}"))
    assert answer == b"" or 400 <= status(answer) < 500


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/agent/v1/enrol", enrolment.LIMIT), ("/agent/v1/messages", 64 << 20)],
    ids=["enrol", "messages"],
)
def test_a_message_of_an_agent_has_a_limit_of_its_own(server, path, limit):
    announced = server.raw(request("POST", path, "Content-Length: 104857600"))
    assert status(announced) == 413 and said(announced) == {
        "error": f"a message of 104857600 bytes; at most {limit}",
        "mend": None,
        "exit_code": 2,
    }


def test_a_message_that_does_not_say_how_long_it_is_is_taken_up_to_the_limit(server):
    chunk = b"10000\r\n" + b"x" * (64 << 10) + b"\r\n"
    answer = server.raw(request("POST", "/agent/v1/enrol", "Transfer-Encoding: chunked"), chunk, chunk)
    assert status(answer) == 413
    answer = server.raw(request("POST", "/agent/v1/enrol", "Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n\r\n")
    assert status(answer) == 422


@pytest.mark.parametrize("path", ["/api/v1/hosts", "/agent/v1/messages", "/api/v1/artifacts/x"])
def test_a_caller_that_goes_away_in_the_middle_is_no_failure(server, api, path, caplog):
    caplog.set_level(logging.INFO)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        method = "PUT" if "artifacts" in path else "POST"
        connection.sendall(request(method, path, f"Authorization: {authorization(api)}", "Content-Length: 1000") + b"{")
    time.sleep(0.3)
    assert httpx.get(f"{server.url}/api/v1/schemas/release", trust_env=False).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


# -- errors


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/hosts/nobody", None, 404),
        ("GET", "/hosts/a%00b", None, 404),
        ("GET", "/hosts/%ff%fe", None, 404),
        ("GET", "/rollouts/x", None, 422),
        ("GET", f"/rollouts/{10**30}", None, 422),
        ("GET", f"/hosts/nobody/delta?before={2**63}", None, 404),
        ("DELETE", "/hosts", None, 405),
        ("POST", "/hosts", {"name": "-x"}, 422),
        ("POST", "/hosts", {"name": "x", "nmae": "x"}, 422),
        ("POST", "/hosts", [], 422),
        ("POST", "/releases", {"manifest": "release: [", "name": "release.yaml"}, 422),
        ("POST", "/rollouts", {"release": "x", "version": "1", "hosts": ["nobody"]}, 404),
        ("POST", "/host-keys/scan", {"address": "-oProxyCommand=id"}, 422),
    ],
)
def test_an_error_is_json_with_the_mend_and_the_exit_code(api, method, path, body, expected):
    answer = api.request(method, path, json=body) if body is not None else api.request(method, path)
    assert answer.status_code == expected, answer.text
    assert set(answer.json()) == {"error", "mend", "exit_code"}
    assert answer.json()["error"] and answer.json()["exit_code"] == 2
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": ',
        b"\xff",
        b"nul",
        b'{"name": "\\ud800"}',
        b"[" * 100_000,
        b"1e999",
        b'{"port": NaN}',
        b"null",
        b'"x"',
    ],
)
def test_a_body_that_is_no_document_is_refused(api, body):
    answer = api.post("/hosts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()) == {"error", "mend", "exit_code"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "deploy-key", "private_key": [SECRET]},
        {"name": "deploy-key", "private_key": {"key": SECRET}},
        {"name": "deploy-key", "private_key": SECRET * 2000},
        {"name": "deploy-key", "private_key": SECRET},
        {"name": "deploy-key", "private_key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}"},
        {"name": "", "private_key": SECRET},
        {"name": SECRET * 10, "private_key": SECRET},
        {"private_key": SECRET, "passphrase": SECRET},
        SECRET,
        [SECRET],
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_it(api, body, caplog):
    caplog.set_level(logging.DEBUG)
    answer = api.post("/credentials", json=body)
    assert answer.status_code == 422
    assert SECRET not in answer.text.replace(json.dumps(SECRET * 10)[1:60], "")
    assert SECRET not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("uvicorn"))


def test_a_document_that_breaks_off_in_a_secret_does_not_repeat_it(api):
    content = b'{"name": "deploy-key", "private_key": "' + SECRET.encode()
    answer = api.post("/credentials", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and SECRET not in answer.text


def test_what_nobody_foresaw_is_answered_without_a_word_about_it(services, api, monkeypatch):
    def fail() -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(services.access, "tokens", fail)
    with serving.serving(create_app(services)) as server:
        headers = {"Authorization": authorization(api)}
        answer = httpx.get(f"{server.url}/api/v1/tokens", headers=headers, trust_env=False)
    assert answer.status_code == 500
    assert set(answer.json()) == {"error", "mend", "exit_code"} and answer.json()["exit_code"] == 1
    assert SECRET not in answer.text and "ZeroDivision" not in answer.text


def test_a_credential_comes_in_and_never_out(api, services, tmp_path):
    sshd.make_key(tmp_path / "login")
    private = (tmp_path / "login").read_text()
    made = api.post("/credentials", json={"name": "deploy-key", "private_key": private})
    assert made.status_code == 201
    for answer in (
        made,
        api.get("/credentials"),
        api.post("/credentials", json={"name": "deploy-key", "private_key": private}),
    ):
        assert not any(line in answer.text for line in private.splitlines()[1:-1])
    described = api.get("/openapi.json").json()["components"]["schemas"]["CredentialOrder"]["properties"]["private_key"]
    assert described["format"] == "password" and described["writeOnly"] is True


# -- the description


def test_the_description_is_openapi_3_1_and_every_model_has_an_example(api):
    description = api.get("/openapi.json").json()
    assert description["openapi"].startswith("3.1.")
    schemas = description["components"]["schemas"]
    assert "HTTPValidationError" not in schemas  # errors look as Refusal says
    lacking = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if "examples" not in schema
        for field, what in schema.get("properties", {}).items()
        if not has_example(what)
    ]
    assert lacking == []


def has_example(schema: dict[str, Any]) -> bool:
    """Return whether a field has one of its own, or is of a model that has."""
    inner: Sequence[dict[str, Any]] = [
        *schema.get("anyOf", []),
        schema.get("items", {}),
        schema.get("additionalProperties", {}),
    ]
    return (
        bool(schema.get("examples"))
        or "$ref" in schema
        or any(isinstance(i, dict) and has_example(i) for i in inner if i)
    )


def test_the_description_says_how_errors_look_and_who_may_ask(api):
    description = api.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            (refusal,) = operation["responses"]["4XX"]["content"].values()
            assert refusal["schema"] == {"$ref": "#/components/schemas/Refusal"}, (method, path)
            assert operation.get("x-public") or operation["security"] == [{"HTTPBearer": []}], (method, path)


def test_examples_are_taken_by_what_they_are_examples_of():
    from verdelta_controller.access.routes import TokenOrder
    from verdelta_controller.fleet.routes import CredentialOrder, HostChange, HostOrder, KeyPin, Target
    from verdelta_controller.releases.routes import ReleaseOrder
    from verdelta_controller.rollouts.routes import BackOutOrder, RolloutOrder

    for model in (
        TokenOrder,
        CredentialOrder,
        HostChange,
        HostOrder,
        KeyPin,
        Target,
        ReleaseOrder,
        BackOutOrder,
        RolloutOrder,
    ):
        for example in model.model_json_schema()["examples"]:
            model.model_validate(example)


# -- agents


def collectors(state: dict[str, Any]) -> list[Collector]:
    """Return collectors of what `shows` shows."""

    def collect(host: Host, name: str) -> Section:
        return Section(*json.loads(host.read(f"/{name}")))

    return [Collector(name, "", lambda host, name=name: collect(host, name), 60) for name in state]


def shows(state: dict[str, Section]) -> RecordedHost:
    """Return a host with these sections."""
    return RecordedHost({"files": {f"/{name}": json.dumps(section) for name, section in state.items()}})


def enrolled(services: Services, server: Server, folder: Path, name: str, ca: str | None = None) -> str:
    """Enrol an agent over HTTP as `verdelta-agent enrol` does, and return its state directory."""
    services.fleet.add_host(NewHost(name, reach="check-in"))
    agent = Agent(folder / name)
    data = agent.enrolment(services.fleet.invite(name))
    answer = report.post(server.url, "/agent/v1/enrol", data, ca)
    accepted = answer["accepted"] if isinstance(answer, dict) else answer.accepted
    directory = str(agent.directory)
    with identity.locked(directory):
        identity.save_history(directory, identity.acknowledge(agent.history, accepted))
        identity.save_identity(directory, agent.identity._replace(controller=server.url, ca_file=ca))
    return directory


def test_an_agent_reports_digests_first_and_then_what_is_not_known(server, services, tmp_path):
    directory = enrolled(services, server, tmp_path, "web-07")
    state: dict[str, Any] = {"software.dpkg": Section(OK, packages(50), {}), "system.users": failed()}

    def sent() -> list[str]:
        return list(report.report(directory, shows(state), collectors(state)).sent)

    assert sent() == ["software.dpkg"]
    assert sent() == []
    state["software.dpkg"] = Section(OK, {**packages(49), "added:all": {"version": "1"}}, {})
    assert sent() == ["software.dpkg"]
    host = services.fleet.host_named("web-07")
    states = services.inventory.snapshots(host.id)
    assert len(states) == 2
    delta = services.inventory.compare(states[1], states[0])
    assert [(change.op, change.key) for change in delta.changes] == [
        ("added", "added:all"),
        ("removed", "package-0049:amd64"),
    ]
    assert delta.unknown == ["system.users"]
    stored = json.loads(wire.decode_envelope(services.inventory.envelope(states[0].envelope_digest)).payload)
    assert stored["body"]["contents"]["software.dpkg"]["removed"] == ["package-0049:amd64"]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 100_000, b"null", b'{"payloadType": 1}'])
@pytest.mark.parametrize("path", ["/agent/v1/enrol", "/agent/v1/messages"])
def test_what_is_no_message_is_refused_with_a_reason(server, path, data):
    answer = httpx.post(server.url + path, content=data, trust_env=False)
    assert answer.status_code in (413, 422)
    assert set(answer.json()) == {"error", "mend", "exit_code"}


def test_over_tls_an_agent_speaks_to_the_controller_of_its_ca_and_to_no_other(services, tmp_path):
    state = services.settings.state
    pair = certificates.ensure_server(state, certificates.names_for("127.0.0.1"))
    strange = tmp_path / "strange"
    strange.mkdir()
    certificates.ensure_ca(strange)
    with serving.serving(create_app(services), pair) as server:
        directory = enrolled(services, server, tmp_path, "web-tls", str(state / "ca.pem"))
        sections = {"software.dpkg": Section(OK, packages(1), {})}
        assert report.report(directory, shows(sections), collectors(sections)).sent
        before = services.inventory.last_known(services.fleet.host_named("web-tls").id)
        for ca in (str(strange / "ca.pem"), None):
            with pytest.raises(report.ReportError, match="certificate verify failed"):
                report.post(server.url, "/agent/v1/messages", b"{}", ca)
        assert services.inventory.last_known(services.fleet.host_named("web-tls").id) == before
        context = serving.trusting(state / "ca.pem")
        assert httpx.get(f"{server.url}/api/v1/schemas/release", verify=context, trust_env=False).status_code == 200
