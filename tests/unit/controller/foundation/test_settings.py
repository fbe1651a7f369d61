"""Settings come from four places, the nearest one wins, and a mistake is named with its place and its mend."""

import os
from pathlib import Path

import pytest

from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.foundation.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("VERDELTA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "verdelta.toml"
    monkeypatch.setenv("VERDELTA_CONFIG", str(path))
    return path


def test_without_a_word_the_controller_listens_to_this_machine_alone():
    settings = load_settings()
    assert (settings.listen, settings.port, settings.url) == ("127.0.0.1", 8470, "")
    assert settings.database_url == f"sqlite:///{settings.state / 'verdelta.sqlite'}"


def test_the_command_line_is_above_the_environment_and_that_above_the_file(config, monkeypatch):
    config.write_text("port = 1\nforks = 1\nlisten = '192.0.2.1'\n")
    monkeypatch.setenv("VERDELTA_PORT", "2")
    monkeypatch.setenv("VERDELTA_FORKS", "2")
    settings = load_settings(port=3, forks=None)
    assert (settings.port, settings.forks, settings.listen) == (3, 2, "192.0.2.1")


def test_the_state_is_found_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_settings(state="state").state == tmp_path / "state"
    assert load_settings(state="~/state").state == tmp_path / "state"


def test_root_keeps_its_state_for_the_machine_and_everybody_else_at_home(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings().state == Path("/var/lib/verdelta")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert load_settings().state == tmp_path / ".local/state/verdelta"
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert load_settings().state == Path("/elsewhere/verdelta")


@pytest.mark.parametrize(
    ("given", "why"), [("65536", "less than or equal to 65535"), ("-1", "greater"), ("x", "integer")]
)
def test_a_wrong_value_is_named_with_where_it_was_given(given, why, config, monkeypatch):
    config.write_text("")
    with pytest.raises(InvalidInput, match=rf"setting port: .*{why}") as refused:
        load_settings(port=given)
    assert refused.value.mend == "Mend it in --port."
    config.write_text(f"port = '{given}'\n")
    with pytest.raises(InvalidInput) as refused:
        load_settings()
    assert refused.value.mend == f"Mend it in {config}."
    monkeypatch.setenv("VERDELTA_PORT", given)
    with pytest.raises(InvalidInput) as refused:
        load_settings()
    assert refused.value.mend == "Mend it in VERDELTA_PORT."


def test_an_unknown_setting_is_named_with_the_nearest_known_one(config):
    config.write_text("lisen = '0.0.0.0'\n")
    with pytest.raises(InvalidInput, match=rf"{config}: there is no setting 'lisen'") as refused:
        load_settings()
    assert refused.value.mend == "Did you mean listen?"
    config.write_text("zzz = 1\n")
    with pytest.raises(InvalidInput, match="there is no setting 'zzz'") as refused:
        load_settings()
    assert "Known are state, database" in (refused.value.mend or "")


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"[port", b"port = 1\nport = 2"])
def test_a_file_that_is_not_toml_is_named(config, content):
    config.write_bytes(content)
    with pytest.raises(InvalidInput, match=str(config)):
        load_settings()


def test_a_file_that_is_not_there_is_not_passed_over_in_silence(config):
    with pytest.raises(InvalidInput, match=rf"{config}: there is no such file") as refused:
        load_settings()
    assert "VERDELTA_CONFIG" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["deploy.example.org", "ftp://deploy.example.org", "https://", "https://[::1", "https://a\n", "x"]
)
def test_agents_are_not_sent_to_what_is_no_address(url):
    with pytest.raises(InvalidInput, match="setting url"):
        load_settings(url=url)


def test_an_address_loses_its_last_slash():
    assert load_settings(url="https://deploy.example.org:8470/").url == "https://deploy.example.org:8470"


def test_the_password_of_the_database_is_in_no_description_and_no_error(monkeypatch):
    url = "postgresql://deploy:hunter2@db/verdelta"
    assert "hunter2" not in repr(load_settings(database=url))
    with pytest.raises(InvalidInput) as refused:
        load_settings(database=url, port="hunter3")
    for error in (refused.value, refused.value.__cause__):
        assert "hunter" not in f"{error!r} {error}"


def test_settings_do_not_change_while_the_controller_runs():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
