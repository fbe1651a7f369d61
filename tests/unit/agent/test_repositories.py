"""Where packages come from: every format, no secret, and one row for what one person changes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import repositories
from verdelta_agent.model import ABSENT, OK, Section, canonical
from verdelta_agent.recorded_host import RecordedHost


def section(files: dict[str, Any]) -> Section:
    return repositories.collect(RecordedHost({"files": files}))


def test_no_login_and_no_token_is_shown() -> None:
    files = {
        "/etc/apt/sources.list": "deb https://me:pw@x.example/deb?token=t stable main\n",
        "/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://me:pw@x.example/?k=t\npassword=pw\nusername=me\n",
        "/etc/apk/repositories": "https://me:pw@x.example/a\n",
    }
    shown = canonical(section(files).rows)
    for secret in (b"pw", b"token", b"?", b"me:"):
        assert secret not in shown


def test_two_lines_for_one_suite_are_one_row_with_the_components_of_both() -> None:
    text = "deb https://x.example/deb stable main\ndeb https://x.example/deb stable contrib\n"
    (row,) = section({"/etc/apt/sources.list": text}).rows.values()
    assert row["components"] == ["contrib", "main"]


def test_a_repository_that_is_switched_off_is_a_changed_row() -> None:
    before = section({"/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://x.example\n"}).rows
    after = section({"/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://x.example\nenabled=0\n"}).rows
    assert set(before) == set(after) == {"dnf a"}
    assert (before["dnf a"]["enabled"], after["dnf a"]["enabled"]) == (True, False)


def test_a_key_that_was_exchanged_is_seen_though_it_lies_outside_of_etc() -> None:
    text = "deb [signed-by=/usr/share/keyrings/x.gpg] https://x.example stable main\n"
    rows = [section({"/etc/apt/sources.list": text, "/usr/share/keyrings/x.gpg": key}).rows for key in ("one", "two")]
    assert [key for key in rows[0] if rows[0][key] != rows[1][key]] == ["key /usr/share/keyrings/x.gpg"]


def test_a_host_without_any_is_absent() -> None:
    assert section({}).status == ABSENT


@given(st.lists(st.text(alphabet="[]=:# \tabd/@?%\\-", max_size=30), max_size=10).map("\n".join))
def test_whatever_stands_in_the_files_they_are_read_to_their_end(text: str) -> None:
    paths = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/a.sources", "/etc/yum.repos.d/a.repo")
    for path in (*paths, "/etc/apk/repositories", "/etc/pacman.conf"):
        found = section({path: text})
        assert found.status in (OK, ABSENT)
        assert canonical(found.rows)
