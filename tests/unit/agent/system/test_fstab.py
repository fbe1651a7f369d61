"""fstab and crypttab: what is planned, in an order that counts where it counts, and no secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import fstab
from verdelta_agent.collectors.system.fstab import parse_crypttab, parse_fstab, stable_options
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost


def test_fstab_takes_tabs_comments_and_missing_fields() -> None:
    rows, malformed = parse_fstab("# all\n\n\t/dev/a\t/a\text4\n/dev/b /b xfs ro,noexec 1 2\n  # end")
    assert rows["/a"] == {"source": "/dev/a", "fstype": "ext4", "options": ["defaults"], "check_order": 0}
    assert rows["/b"] == {
        "source": "/dev/b",
        "fstype": "xfs",
        "options": ["noexec", "ro"],
        "check_order": 2,
        "dump": 1,
    }
    assert malformed == []


def test_lines_that_say_nothing_are_counted_and_the_others_stand() -> None:
    text = "garbage\n/dev/a /a ext4 defaults 0 soon\n/dev/b /b ext4\n/dev/c /c ext4 ro 0 \u00b2\n"
    rows, malformed = parse_fstab(text + "/dev/d /d ext4 " + "x" * 70000)
    assert (list(rows), malformed) == (["/b"], [1, 2, 4, 5])
    opened, malformed = parse_crypttab("only\na UUID=1\n")
    assert (list(opened), malformed) == (["crypttab:a"], [1])


def test_two_lines_for_one_mount_point_are_two_rows_and_swap_goes_by_its_source() -> None:
    rows, _ = parse_fstab("LABEL=A /mnt ext4\nLABEL=B /mnt vfat\nLABEL=S none swap sw\n")
    assert list(rows) == ["/mnt", "/mnt (2)", "LABEL=S"]


@pytest.mark.parametrize("one", ["noatime,ro", "defaults,noatime", "x-systemd.requires=a,x-systemd.requires=b,ro"])
def test_options_in_another_order_are_the_same(one: str) -> None:
    assert stable_options(one) == stable_options(",".join(reversed(one.split(","))))


@pytest.mark.parametrize(
    "one", ["user,exec", "defaults,noexec", "ro,rw", "users,suid", "nodev,dev", "subvol=a,subvol=b"]
)
def test_options_whose_order_counts_keep_it(one: str) -> None:
    assert stable_options(one) == one.split(",")


@pytest.mark.parametrize(
    "option",
    ["password=s3cret", "pass=s3cret", "passwd=s3cret", "secret=s3cret", "credentials=/etc/s3cret", "cred=/s3cret"],
)
def test_a_password_is_never_shown(option: str) -> None:
    planned, _ = parse_fstab(f"//nas/x /srv cifs user=ada,{option} 0 0\n//ada:s3cret@nas/y /y cifs ro\n")
    assert "s3cret" not in json.dumps(planned)
    assert "user=ada" in planned["/srv"]["options"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("a UUID=1 /etc/keys/a luks", "/etc/keys/a"),
        ("a UUID=1 none luks", "none"),
        ("a UUID=1", "none"),
        ("a UUID=1 /dev/urandom swap", "/dev/urandom"),
        ("a UUID=1 s3cret luks,keyscript=/bin/echo", "(hidden)"),
        ("a UUID=1 -s3cret keyscript=x", "(hidden)"),
        ("a UUID=1 - pkcs11-uri=pkcs11:token=x;pin-value=s3cret", "-"),
    ],
)
def test_a_key_itself_is_never_shown(line: str, key: str) -> None:
    rows, _ = parse_crypttab(line)
    assert rows["crypttab:a"]["key"] == key
    assert "s3cret" not in json.dumps(rows)


def test_one_file_that_may_not_be_read_makes_the_section_partial_and_both_fail_it() -> None:
    denied = {"error": "EACCES"}
    partial = collect(RecordedHost({"files": {"/etc/fstab": "a /a b\n", "/etc/crypttab": denied}}), fstab.COLLECTOR)
    assert (partial.status, partial.error, list(partial.rows)) == ("ok", "/etc/crypttab: Permission denied", ["/a"])
    none = collect(RecordedHost({"files": {"/etc/fstab": denied, "/etc/crypttab": denied}}), fstab.COLLECTOR)
    assert none.status == "failed"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    files = {name: {"hex": data.hex()} for name in ("/etc/fstab", "/etc/crypttab")}
    section = collect(RecordedHost({"files": files}), fstab.COLLECTOR)
    assert section.status == "ok"
    json.dumps(section).encode("ascii")
