"""How the controller is asked, and what its refusals become; who is sent the token, and who is not."""

import json
import stat
from pathlib import Path

import httpx
import pytest
from tests.support.command_line import ByHand

from verdelta_controller.cli import profile
from verdelta_controller.cli.client import Api, events, lines_of
from verdelta_controller.cli.profile import Access
from verdelta_controller.cli.session import path_of
from verdelta_controller.foundation.errors import InvalidInput, NotAuthenticated, TimedOut, Unavailable, VerdeltaError

LOCAL = Access("http://127.0.0.1:8470", "vdt_secret", "")


def api(answer: httpx.Response | Exception) -> Api:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Api(LOCAL, httpx.MockTransport(handle))


@pytest.mark.parametrize("code", [1, 2, 4, 5, 6])
def test_what_the_controller_refuses_keeps_its_words_its_mend_and_its_exit_code(code: int):
    said = {"error": "the gate is closed", "mend": "open it", "exit_code": code}

    with pytest.raises(VerdeltaError) as caught:
        api(httpx.Response(409, json=said)).get("hosts")

    assert (caught.value.message, caught.value.mend, caught.value.exit_code) == ("the gate is closed", "open it", code)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, text="<html>hello</html>"), "is no Verdelta controller"),
        (httpx.Response(500, text="Internal Server Error"), "is no Verdelta controller"),
        (httpx.Response(404, json={"detail": "Not Found"}), "answered 404"),
        (httpx.Response(502, json=[1]), "answered 502"),
        (httpx.Response(307, headers={"location": "https://elsewhere"}), "leads elsewhere: https://elsewhere"),
        (httpx.ConnectError("refused"), "no controller answers at http://127.0.0.1:8470"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "its certificate is not trusted"),
        (httpx.RemoteProtocolError("broke off"), "the connection ended: broke off"),
    ],
)
def test_whatever_answers_ends_in_one_sentence(answer: httpx.Response | Exception, said: str):
    with pytest.raises(VerdeltaError, match=said):
        api(answer).get("hosts")


def test_a_controller_that_does_not_run_is_answered_with_how_to_start_it():
    with pytest.raises(Unavailable) as caught:
        api(httpx.ConnectError("refused")).get("hosts")

    assert caught.value.mend == "Start it: verdelta serve"


def test_an_answer_that_takes_too_long_is_a_time_out():
    with pytest.raises(TimedOut):
        api(httpx.ReadTimeout("too long")).get("hosts")


def test_what_is_not_asked_for_is_not_in_the_query():
    asked = []
    transport = httpx.MockTransport(lambda request: asked.append(str(request.url)) or httpx.Response(200, json=[]))

    Api(LOCAL, transport).get("hosts/a/delta", before=None, after=3)

    assert asked == ["http://127.0.0.1:8470/api/v1/hosts/a/delta?after=3"]


def test_an_artifact_is_sent_piece_by_piece_with_its_length():
    hand = ByHand({})

    def handle(request: httpx.Request) -> httpx.Response:
        hand.asked.append(f"{request.headers['content-length']} {request.headers.get('transfer-encoding')}")
        return httpx.Response(201, json={"size": len(request.read())})

    made = Api(LOCAL, httpx.MockTransport(handle)).upload("artifacts/x", iter([b"ab", b"c"]), 3, sha256="00")

    assert made == {"size": 3}
    assert hand.asked == ["3 None"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../tokens"])
def test_a_name_never_leads_to_another_path_of_the_api(name: str):
    with pytest.raises(InvalidInput, match="is no name of anything"):
        path_of("hosts", name)


def test_what_is_odd_in_a_name_stays_in_its_segment():
    assert path_of("hosts", "a b?c#d%2e", 7) == "hosts/a%20b%3Fc%23d%252e/7"


# -- streams


def test_events_are_read_across_chunks_and_characters_of_hosts_do_not_end_a_line():
    text = json.dumps({"task": "a\u2028b\x85c\x1dd"}, ensure_ascii=False)
    stream = f": ping\r\n\r\nevent: rollout\ndata: {text}\n\ndata: 1\ndata: 2\n\ndata: unfinished".encode()
    chunks = [stream[place : place + 7] for place in range(0, len(stream), 7)]

    assert list(events([*lines_of(chunks)][:5])) == [{"task": "a\u2028b\x85c\x1dd"}]
    assert list(lines_of(chunks))[-1] == ""


def test_an_event_that_was_cut_off_is_not_shown():
    assert list(events(['data: {"a": 1}', "", 'data: {"b"'])) == [{"a": 1}]


def test_a_refused_stream_is_the_error_that_it_was():
    with pytest.raises(InvalidInput, match="there is no roll-out 7"):
        list(
            api(httpx.Response(404, json={"error": "there is no roll-out 7", "exit_code": 2})).stream(
                "rollouts/7/events"
            )
        )


# -- where the token goes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VERDELTA_TOKEN", raising=False)
    return tmp_path


def keep(access: Access) -> None:
    profile.write_profile(profile.default_path(), access)


def test_a_profile_is_read_back_and_is_its_owners_alone(home: Path):
    access = Access("https://deploy.example.org:8470", "vdt_1", "/srv/ca.pem")
    keep(access)

    path = home / "verdelta" / "client.json"
    assert profile.resolve("", "", "", "") == access
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_given_is_stronger_than_the_environment_and_that_than_the_profile(home: Path, monkeypatch):
    keep(Access("https://deploy.example.org:8470", "vdt_profile", "/srv/ca.pem"))
    monkeypatch.setenv("VERDELTA_TOKEN", "vdt_environment")
    file = home / "token"
    file.write_text("vdt_file\n")

    assert profile.resolve("", "", "", "").token == "vdt_environment"
    assert profile.resolve("", str(file), "", "").token == "vdt_file"
    assert profile.resolve("https://other:1/", "", "/x", "") == Access("https://other:1", "vdt_environment", "/x")


def test_the_token_of_a_profile_is_not_sent_to_another_machine(home: Path):
    keep(Access("https://deploy.example.org:8470", "vdt_1", ""))

    with pytest.raises(NotAuthenticated, match="is not sent to https://evil"):
        profile.resolve("https://evil.example.org", "", "", "")


def test_another_port_of_this_machine_is_still_this_machine(home: Path):
    keep(Access("http://127.0.0.1:8470", "vdt_1", ""))

    assert profile.resolve("http://localhost:9000", "", "", "").token == "vdt_1"


def test_a_token_never_goes_over_a_network_readable(home: Path, monkeypatch):
    monkeypatch.setenv("VERDELTA_TOKEN", "vdt_1")

    with pytest.raises(InvalidInput, match="for everybody to read"):
        profile.resolve("http://192.0.2.1:8470", "", "", "")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "127.0.0.1:8470",
        "http://",
        "http://[::1",
        "http://u@127.0.0.1",
        "https://x?y=1",
        "http://127.0.0.1:99999",
        "https://x\x1b",
    ],
)
def test_what_is_no_address_is_refused(home: Path, monkeypatch, url: str):
    monkeypatch.setenv("VERDELTA_TOKEN", "vdt_1")

    with pytest.raises(InvalidInput, match="is no address of a controller"):
        profile.resolve(url, "", "", "")


def test_without_token_and_profile_the_way_to_one_is_said(home: Path):
    with pytest.raises(NotAuthenticated) as caught:
        profile.resolve("", "", "", "")

    assert caught.value.exit_code == 4
    assert "verdelta init" in str(caught.value.mend)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": 1, "token": "x", "ca": ""}', "\x00", '{"url": "x"}'])
def test_a_damaged_profile_is_named(home: Path, content: str):
    path = home / "client.json"
    path.write_text(content)

    with pytest.raises(InvalidInput, match="not a client profile"):
        profile.resolve("", "", "", str(path))


@pytest.mark.parametrize("token", ["a b", "a\nb", "ä"])
def test_a_token_that_could_not_stand_in_a_request_is_refused_without_being_repeated(home: Path, token: str):
    file = home / "token"
    file.write_text(token)

    with pytest.raises(InvalidInput) as caught:
        profile.resolve("", str(file), "", "")

    assert token not in str(caught.value)
