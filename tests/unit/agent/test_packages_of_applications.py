"""What applications bring with them: modules of Node.js and gems, beside those of the system."""

from typing import Any

import pytest

from verdelta_agent.collectors.software import gem, npm
from verdelta_agent.gather import collect
from verdelta_agent.model import Section
from verdelta_agent.recorded_host import RecordedHost


def section(module: Any, files: dict[str, Any], **more: Any) -> Section:
    return collect(RecordedHost({"files": files, **more}), module.COLLECTOR)


APP = "/srv/shop/node_modules"


def test_modules_of_an_application_are_rows_and_what_they_bring_themselves_is_not() -> None:
    files = {
        "/srv/shop/package.json": '{"name": "shop", "version": "9"}',
        f"{APP}/express/package.json": '{"version": "4.19.2"}',
        f"{APP}/express/node_modules/ms/package.json": '{"version": "2.0.0"}',
        f"{APP}/@babel/core/package.json": '{"version": "7.24.0"}',
        f"{APP}/.bin/tool": "",
        f"{APP}/.express-Xy12/package.json": '{"version": "4.0.0"}',
    }
    assert section(npm, files).rows == {
        f"{APP}:express": {"version": "4.19.2"},
        f"{APP}:@babel/core": {"version": "7.24.0"},
    }


def test_the_store_of_pnpm_is_read_through_its_links_and_a_working_copy_is_not() -> None:
    files = {
        f"{APP}/.pnpm/ms@2.1.3/node_modules/ms/package.json": '{"version": "2.1.3"}',
        "/home/somebody/tool/package.json": '{"version": "0.1"}',
    }
    links = {f"{APP}/ms": ".pnpm/ms@2.1.3/node_modules/ms", f"{APP}/@me/tool": "../../../../home/somebody/tool"}
    assert section(npm, files, links=links).rows == {
        f"{APP}:ms": {"version": "2.1.3"},
        f"{APP}:@me/tool": {"version": None, "link": "/home/somebody/tool"},
    }


def test_a_link_out_of_the_folder_is_not_followed() -> None:
    class Watched(RecordedHost):
        def read_bytes(self, path: str, limit: int = 0) -> bytes:
            assert "tool" not in path
            return super().read_bytes(path, limit)

    recording = {"links": {f"{APP}/tool": "/net/dead/tool"}, "directories": [APP]}
    assert collect(Watched(recording), npm.COLLECTOR).rows == {
        f"{APP}:tool": {"version": None, "link": "/net/dead/tool"}
    }


def test_a_module_that_does_not_say_what_it_is_keeps_its_row() -> None:
    files = {f"{APP}/a/package.json": "[" * 100000, f"{APP}/b/package.json": {"error": "EIO"}, f"{APP}/c/README": ""}
    found = section(npm, files)
    assert found.rows == {f"{APP}:a": {"version": None}, f"{APP}:b": {"version": None}}
    assert found.error == (
        f"partial: not read: {APP}/b/package.json (Input/output error); not understood: {APP}/a (no package.json)"
    )


def test_folders_of_very_many_modules_make_the_section_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{APP}/{number}/package.json": '{"version": "1"}' for number in range(30)}
    monkeypatch.setattr(npm, "PACKAGES", 20)
    found = section(npm, files)
    assert (len(found.rows), found.error) == (20, f"partial: not read: {APP} (more than 20 packages)")
    monkeypatch.setattr(npm, "ENTRIES", 25)
    found = section(npm, files)
    assert (len(found.rows), found.error) == (0, f"partial: not read: {APP} (more than 25 entries)")


@pytest.mark.parametrize(
    "home",
    [
        "/srv/shop/vendor/bundle/ruby/3.1.0",
        "/opt/puppetlabs/puppet/lib/ruby/gems/2.7.0",
        "/usr/local/lib/ruby/gems/3.3.0",
        "/usr/local/share/gems",
        "/usr/local/bundle",
        "/usr/local/rvm/gems/ruby-3.2.0",
        "/usr/lib64/ruby/gems/3.3.0",
        "/usr/lib/x86_64-linux-gnu/rubygems-integration/3.1.0",
    ],
)
def test_gems_are_found_wherever_an_interpreter_or_a_bundle_keeps_them(home: str) -> None:
    files = {f"{home}/specifications/rake-13.0.6.gemspec": "", f"{home}/specifications/default/json-2.6.1.gemspec": ""}
    found = section(gem, files)
    assert found.rows == {
        f"{home}/specifications:rake": {"versions": ["13.0.6"]},
        f"{home}/specifications/default:json": {"versions": ["2.6.1"]},
    }
    assert found.error is None


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("google-protobuf-4.26.1-x86_64-darwin-22.gemspec", ("google-protobuf", "4.26.1-x86_64-darwin-22")),
        ("nokogiri-1.16.5-x86_64-linux-musl.gemspec", ("nokogiri", "1.16.5-x86_64-linux-musl")),
        ("jruby-openssl-0.14.5-java.gemspec", ("jruby-openssl", "0.14.5-java")),
        ("foo-2bar-1.0.gemspec", ("foo-2bar", "1.0")),
        ("rack-2-compat-0.1.gemspec", ("rack-2-compat", "0.1")),
        ("odd-1.0-toaster.gemspec", ("odd", "1.0-toaster")),
    ],
)
def test_the_version_of_a_gem_is_not_taken_for_a_part_of_its_name(name: str, parsed: Any) -> None:
    assert gem.parse(name) == parsed


def test_a_name_of_a_specification_however_long_is_soon_told() -> None:
    for part in ("1-", "1.1-x86-", "a-1", "-1.", "x-1-arm-"):
        gem.parse(part * (250 // len(part)) + ".gemspec")
