"""Users and groups: whoever the system lets in is seen, and no hash ever leaves."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import groups, users
from verdelta_agent.collectors.system.colon_separated import number
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

DES = "ab01FAX.bQRSU"


@pytest.mark.parametrize(
    ("field", "state"),
    [
        ("", users.NONE),
        ("$6$salt$hash", users.SET),
        ("$y$j9T$salt$hash", users.SET),
        ("_J9..rasmBYk8r9AiWNc", users.SET),
        (DES, users.SET),
        ("!", users.LOCKED),
        ("!!", users.LOCKED),
        ("*", users.LOCKED),
        ("*LK*", users.LOCKED),
        ("!$6$salt$hash", users.LOCKED),
        ("!" + DES[1:], users.LOCKED),
        ("NP", users.LOCKED),
    ],
)
def test_a_password_is_locked_unless_something_can_fit_it(field: str, state: str) -> None:
    assert users.password_state(field) == state


def test_a_hash_in_passwd_itself_is_told_and_not_shown() -> None:
    shadow, _ = users.parse_shadow("eve:!:20000::::::\n")
    rows, _ = users.parse("eve:$6$secret$hash:0:0::/:/bin/sh\n", shadow)
    assert rows["eve"]["password"] == users.SET
    assert rows["eve"]["password_changed"] == "2024-10-04"
    assert "secret" not in json.dumps(rows)


@given(st.text(alphabet="abz09$./!*x", min_size=1, max_size=40), st.sampled_from(["passwd", "shadow"]))
def test_no_hash_ever_leaves_the_host(salt: str, where: str) -> None:
    secret = f"$6${salt}QQQ"
    passwd = f"eve:{secret if where == 'passwd' else 'x'}:1:1::/:/bin/sh"
    shadow = f"eve:{secret}:1::::::"
    section = collect(RecordedHost({"files": {"/etc/passwd": passwd, "/etc/shadow": shadow}}), users.COLLECTOR)
    assert section.rows["eve"]["password"] == users.SET
    assert "QQQ" not in json.dumps(section)


def test_a_user_whom_shadow_does_not_know_has_an_unknown_password() -> None:
    rows, _ = users.parse("eve:x:1:1::/:/bin/sh", {})
    assert rows["eve"]["password"] == users.UNKNOWN


def test_without_a_shadow_file_nothing_is_refused_and_nothing_known() -> None:
    section = collect(RecordedHost({"files": {"/etc/passwd": "eve:x:1:1::/:/bin/sh"}}), users.COLLECTOR)
    assert (section.rows["eve"]["password"], section.error) == (users.UNKNOWN, None)


def test_a_second_entry_of_a_name_does_not_hide_behind_the_first() -> None:
    rows, malformed = users.parse("root:x:0:0::/root:/bin/sh\nroot:x:1:1::/:/bin/sh\nroot:x:2:2::/:/bin/sh\n", {})
    assert {name: row["uid"] for name, row in rows.items()} == {"root": 0, "root (2)": 1, "root (3)": 2}
    assert malformed == []


def test_a_user_is_only_renamed_by_his_name_not_by_a_colon_in_his_shell() -> None:
    rows, _ = users.parse("eve:x:0:0::/:/bin/sh:and:more", {})
    assert rows["eve"]["shell"] == "/bin/sh:and:more"


def test_an_entry_that_ends_early_is_an_account_all_the_same() -> None:
    rows, malformed = users.parse("eve::0:0", {})
    assert (rows["eve"]["uid"], rows["eve"]["password"], malformed) == (0, users.NONE, [])


def test_lines_that_are_no_entries_are_counted_and_the_others_stand() -> None:
    text = "\n# comment\nbroken\nada:x:1:1::/:/bin/sh\neve:x:many:1::/:/bin/sh\nhuge:x:1:1:%s:/:/bin/sh\n" % (
        "a" * 70000
    )
    section = collect(RecordedHost({"files": {"/etc/passwd": text}}), users.COLLECTOR)
    assert list(section.rows) == ["ada"]
    assert section.error == "lines not understood in /etc/passwd: 3, 5, 6"


def test_many_bad_lines_make_a_short_error() -> None:
    section = collect(RecordedHost({"files": {"/etc/group": "bad\n" * 20}}), groups.COLLECTOR)
    assert section.error == "lines not understood in /etc/group: 1, 2, 3, 4, 5 and 15 more"


@pytest.mark.parametrize("day", ["1e9", "99999999999", "-5", "2932897", "\u0663"])
def test_a_day_that_is_none_spoils_its_line_alone(day: str) -> None:
    rows, malformed = users.parse_shadow(f"bad:!:{day}::::::\ngood:!:0::::::\n")
    assert (list(rows), malformed) == (["good"], [1])


@pytest.mark.parametrize("text", ["", " ", "-1", "+", "0x0", "1_0", "\u0661", "4294967296", "9" * 5000, "1 2"])
def test_what_is_no_number_for_the_system_is_none_for_us(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        number(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), (" 7", 7), ("+7", 7), ("000", 0), ("4294967295", 4294967295)])
def test_what_the_system_takes_for_a_number_is_one(text: str, value: int) -> None:
    assert number(text) == value


def test_members_are_sorted_and_named_once() -> None:
    rows, _ = groups.parse("wheel:x:10:eve,ada, eve ,,bob\n")
    assert rows["wheel"] == {"gid": 10, "members": ["ada", "bob", "eve"]}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_line_by_line(data: bytes) -> None:
    host = RecordedHost({"files": {name: {"hex": data.hex()} for name in ("/etc/passwd", "/etc/shadow", "/etc/group")}})
    for collector in (users.COLLECTOR, groups.COLLECTOR):
        section = collect(host, collector)
        assert section.status == "ok"
        json.dumps(section).encode("ascii")
