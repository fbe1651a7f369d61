"""Static files: kept by browsers for ever, complete, and what their table says they are."""

import gzip
import hashlib
import re
from importlib.resources import files

import pytest
from starlette.applications import Starlette
from tests.support.web import TestClient

from verdelta_controller.web import static_files

WEB = files("verdelta_controller.web")
VENDOR = WEB / "static/vendor"


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(Starlette(routes=[static_files.route]))


@pytest.mark.parametrize("path", sorted(static_files.assets()))
def test_a_file_is_kept_for_ever_under_an_address_of_its_content(client, path):
    address = static_files.address(path)
    content = (WEB / "static" / path).read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] in address

    for encoding in ("gzip, br", "identity"):
        answer = client.get(address, headers={"accept-encoding": encoding})
        assert answer.content == content
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert ("content-encoding" in answer.headers) == ("gzip" in encoding)
    assert len(gzip.compress(content)) <= len(content)


@pytest.mark.parametrize(
    "path",
    [
        "/static/0000000000000000/verdelta.css",
        "/static/x/../../pages.py",
        "/static/x/vendor/README.md",
        "/static/x/",
        "/static/x/%2e%2e/signs.py",
    ],
)
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


def test_files_of_others_are_what_the_table_beside_them_says():
    table = re.findall(
        r"^\| `([\w./-]+)` \|.*\| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    assert table
    for path, digest in table:
        assert hashlib.sha256((VENDOR / path).read_bytes()).hexdigest() == digest
        assert (VENDOR / path.partition("/")[0] / "LICENSE").is_file()
    assert {path for path, _ in table} == {
        path.removeprefix("vendor/") for path in static_files.assets() if path.startswith("vendor/")
    }


def test_style_sheets_and_scripts_fetch_nothing_from_elsewhere():
    for path, asset in static_files.assets().items():
        text = asset.content.decode()
        assert "sourceMappingURL" not in text, path
        assert "@import" not in text, path
        assert set(re.findall(r"url\(\s*['\"]?(\w*:?)", text)) <= {"data:"}, path


def test_templates_have_neither_styles_nor_scripts_in_them():
    for template in [*(WEB / "templates").iterdir(), *(WEB / "templates/parts").iterdir()]:
        if template.is_file():
            text = template.read_text()
            assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", text), template
            assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), template
            assert "| safe" not in text, template
