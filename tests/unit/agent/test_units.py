"""systemd's units as rows: the states that follow from the links, and files that say otherwise."""

import errno
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import unit_files, units
from verdelta_agent.collectors.system.unit_files import Install, Link, parse_install, state_of
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

ETC, USR = "/etc/systemd/system", "/usr/lib/systemd/system"
SERVICE = "[Service]\nExecStart=/bin/true\n"
WANTED = SERVICE + "[Install]\nWantedBy=multi-user.target\n"
WANTS = f"{ETC}/multi-user.target.wants"


def section(files, links=(), **more):
    return collect(RecordedHost({"files": files, "links": dict(links), **more}), units.COLLECTOR)


def states(files, links=()):
    return {name: row.get("enabled") for name, row in section(files, links).rows.items()}


def test_a_unit_is_enabled_disabled_or_static_by_its_install_section_and_the_links_below_etc():
    files = {f"{USR}/on.service": WANTED, f"{USR}/off.service": WANTED, f"{USR}/static.service": SERVICE}
    links = {f"{WANTS}/on.service": f"{USR}/on.service"}
    assert states(files, links) == {"on.service": "enabled", "off.service": "disabled", "static.service": "static"}


@pytest.mark.parametrize("place", ["/usr/lib/systemd/system", "/run/systemd/system"])
def test_links_anywhere_but_below_etc_enable_nothing(place):
    files = {f"{USR}/a.service": WANTED}
    assert states(files, {f"{place}/multi-user.target.wants/a.service": "../a.service"}) == {"a.service": "disabled"}


def test_what_is_generated_or_forgotten_at_the_next_start_is_no_row():
    files = {f"{USR}/a.service": SERVICE, "/run/systemd/generator/boot.mount": "", "/run/systemd/system/b.service": ""}
    assert list(section(files).rows) == ["a.service"]


def test_what_stands_below_etc_goes_before_what_the_distribution_ships():
    row = section({f"{USR}/a.service": WANTED, f"{ETC}/a.service": SERVICE}).rows["a.service"]
    digest = hashlib.sha256(SERVICE.encode()).hexdigest()
    assert row == {"enabled": "static", "path": f"{ETC}/a.service", "digest": digest}


def test_a_unit_is_masked_by_a_link_to_null_and_by_an_empty_file():
    files = {f"{USR}/a.service": WANTED, f"{USR}/b.service": WANTED, f"{ETC}/b.service": ""}
    read = states(files, {f"{ETC}/a.service": "/dev/null", f"{USR}/c.service": "a.service"})
    assert read == {"a.service": "masked", "b.service": "masked", "c.service": "masked"}


def test_an_alias_says_whose_and_the_default_target_is_one():
    files = {f"{USR}/graphical.target": "[Unit]\n", f"{USR}/multi-user.target": "[Unit]\n"}
    before = section(files, {f"{ETC}/default.target": f"{USR}/graphical.target"}).rows["default.target"]
    assert before == {"enabled": "alias", "path": f"{ETC}/default.target", "alias_of": "graphical.target"}
    after = section(files, {f"{ETC}/default.target": f"{USR}/multi-user.target"}).rows["default.target"]
    assert after["alias_of"] == "multi-user.target"


def test_an_instance_that_is_enabled_counts_for_its_template_and_is_named():
    files = {f"{USR}/getty@.service": SERVICE + "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"}
    link = f"{ETC}/getty.target.wants/getty@%s.service"
    default = section(files, {link % "tty1": f"{USR}/getty@.service"}).rows["getty@.service"]
    other = section(files, {link % "tty7": f"{USR}/getty@.service"}).rows["getty@.service"]
    assert (default["enabled"], default["links"]) == ("enabled", ["getty.target.wants/getty@tty1.service"])
    assert (other["enabled"], other["links"]) == ("indirect", ["getty.target.wants/getty@tty7.service"])


def test_a_unit_from_outside_is_linked_and_its_content_compared():
    files = {f"{USR}/x.service": SERVICE, "/opt/app/app.service": WANTED}
    row = section(files, {f"{ETC}/app.service": "/opt/app/app.service"}).rows["app.service"]
    assert (row["enabled"], row["digest"]) == ("linked", hashlib.sha256(WANTED.encode()).hexdigest())


@pytest.mark.parametrize("target", ["nowhere.service", "/nowhere/a.service", "a.service"])
def test_a_link_that_leads_nowhere_or_to_itself_is_bad(target):
    assert states({f"{USR}/x.service": ""}, {f"{ETC}/a.service": target})["a.service"] == "bad"


def test_a_drop_in_below_etc_goes_before_one_of_its_name_and_changes_only_the_row_of_its_unit():
    files = {f"{USR}/a.service": SERVICE, f"{USR}/b.service": SERVICE, f"{USR}/a.service.d/10.conf": "vendor"}
    plain = section(files).rows
    changed = section({**files, f"{ETC}/a.service.d/10.conf": "mine", f"{ETC}/a.service.d/README": ""}).rows
    assert changed["a.service"]["drop_ins"] == [
        f"{ETC}/a.service.d/10.conf {hashlib.sha256(b'mine').hexdigest()}",
    ]
    assert changed["b.service"] == plain["b.service"]


def test_a_drop_in_for_a_type_or_an_instance_has_a_row_of_its_own():
    files = {f"{USR}/a@.service": SERVICE, f"{ETC}/service.d/x.conf": "", f"{ETC}/a@1.service.d/x.conf": ""}
    assert set(section(files).rows) == {"a@.service", "service.d", "a@1.service.d"}


def test_an_install_section_in_a_drop_in_counts():
    files = {f"{USR}/a.service": SERVICE, f"{ETC}/a.service.d/x.conf": "[Install]\nWantedBy=multi-user.target\n"}
    assert states(files)["a.service"] == "disabled"


def test_one_directory_that_two_paths_lead_to_is_read_once():
    files = {"/usr/lib/systemd/system/a.service": SERVICE}
    assert section(files, {"/lib": "usr/lib"}).rows["a.service"]["path"] == f"{USR}/a.service"


def test_a_unit_that_cannot_be_read_keeps_its_row_and_makes_the_section_partial():
    read = section({f"{USR}/a.service": {"error": "EACCES"}, f"{USR}/b.service": SERVICE})
    assert read.rows["a.service"] == {"enabled": None, "path": f"{USR}/a.service", "digest": None}
    assert (read.status, read.error) == ("ok", f"partial: not read: {USR}/a.service (Permission denied)")


def test_a_unit_on_another_machines_file_system_is_not_touched():
    class Hanging(RecordedHost):
        def lstat(self, path):
            assert not path.startswith("/srv"), path
            return super().lstat(path)

    mountinfo = "22 1 254:1 / / rw - ext4 /dev/vda rw\n43 22 0:53 / /srv rw - nfs4 server:/srv rw\n"
    files = {f"{USR}/x.service": SERVICE, "/srv/a.service": SERVICE, "/proc/self/mountinfo": mountinfo}
    read = collect(Hanging({"files": files, "links": {f"{ETC}/a.service": "/srv/a.service"}}), units.COLLECTOR)
    assert (read.rows["a.service"]["digest"], read.error) == (
        None,
        f"partial: not read: {ETC}/a.service (on nfs4)",
    )


def test_a_directory_of_links_that_leads_nowhere_harms_nothing():
    links = {f"{ETC}/x.target.wants": "/nowhere", f"{ETC}/a.service.d": "/nowhere"}
    assert states({f"{USR}/a.service": SERVICE}, links) == {"a.service": "static"}


def test_drop_ins_that_may_not_be_listed_make_the_section_partial():
    class Refusing(RecordedHost):
        def listdir(self, path):
            if path.endswith(".d"):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return super().listdir(path)

    files = {f"{USR}/a.service": SERVICE, f"{ETC}/a.service.d/x.conf": ""}
    read = collect(Refusing({"files": files}), units.COLLECTOR)
    assert (list(read.rows), read.error) == (
        ["a.service"],
        f"partial: not read: {ETC}/a.service.d (Permission denied)",
    )


def test_names_that_are_no_units_and_directories_that_are_named_like_one_are_left_out():
    files = {f"{USR}/{name}": "" for name in ("README", "a.txt", ".service", "a b.service", "x" * 250 + ".service")}
    assert section({**files, f"{USR}/dir.service/file": ""}) == ("ok", {}, {}, None)


def test_more_units_than_any_host_has_fail_the_section(monkeypatch):
    monkeypatch.setattr(units, "ENTRIES", 2)
    assert section({f"{USR}/{name}.service": "" for name in "abc"}).status == "failed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Install]\nWantedBy=a.target\n", Install(has_rules=True)),
        ("[Install]\nWantedBy = \\\n a.target\n", Install(has_rules=True)),
        ("[Install]\nWantedBy=a.target\nWantedBy=\n", Install()),
        ("[Install]\n#WantedBy=a.target\n;Also=b\n", Install()),
        ("[install]\nWantedBy=a.target\n", Install()),
        ("[Install]\n[Unit]\nWantedBy=a.target\n", Install()),
        ("[Install]\nAlso=b.socket\n", Install(has_also=True)),
        ("[Install]\nAlias=b.service c.service\n", Install(has_rules=True, names=("b.service", "c.service"))),
    ],
)
def test_the_install_section_is_read_as_systemd_does(text, expected):
    assert parse_install(text) == expected


def test_a_link_under_a_name_that_the_unit_does_not_state_is_indirect():
    link = Link("", "other.service", "a.service")
    assert state_of("a.service", Install(), [link]) == "indirect"
    assert state_of("a.service", Install(has_rules=True, names=("other.service",)), [link]) == "enabled"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_no_text_at_all_crashes_anything(text, drop_ins):
    assert isinstance(parse_install(text, drop_ins), Install)
    unit_files.is_unit(text)
    assert unit_files.template_of(text) == text or "@" in text


# -- timers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Timer]\nOnCalendar=daily\nOnBootSec=5 min\n", ["OnCalendar=daily", "OnBootSec=5 min"]),
        ("[Timer]\nOnCalendar = Mon \\\n  *-*-* 03:00\n", ["OnCalendar=Mon *-*-* 03:00"]),
        ("[Timer]\nOnCalendar=daily\nOnBootSec=\nOnUnitActiveSec=1h\n", ["OnUnitActiveSec=1h"]),
        ("[Timer]\nOnClockChange=no\nOnBootSec=1\nOnClockChange=yes\n", ["OnBootSec=1", "OnClockChange=yes"]),
        ("[Timer]\n#OnBootSec=1\n[Unit]\nOnBootSec=2\n", []),
    ],
)
def test_a_schedule_is_read_as_systemd_does(text, expected):
    assert unit_files.parse_schedule(text) == expected


def test_another_schedule_in_a_drop_in_is_one_changed_timer():
    files = {f"{USR}/a.timer": "[Timer]\nOnCalendar=daily\n"}
    before = section(files).rows["a.timer"]
    after = section({**files, f"{ETC}/a.timer.d/x.conf": "[Timer]\nOnCalendar=\nOnCalendar=weekly\n"}).rows["a.timer"]
    assert (before["schedule"], after["schedule"]) == (["OnCalendar=daily"], ["OnCalendar=weekly"])


def test_drop_ins_of_a_type_or_a_prefix_count_by_file_name_and_the_nearest_of_one_name():
    names = ("timer.d/30", "timer.d/10", "a-.timer.d/10", "a-b.timer.d/20")
    files = {f"{ETC}/{name}.conf": f"[Timer]\nOnCalendar={name}\n" for name in names}
    row = section({**files, f"{USR}/a-b.timer": "[Timer]\nOnCalendar=own\n"}).rows["a-b.timer"]
    times = ("own", "a-.timer.d/10", "a-b.timer.d/20", "timer.d/30")
    assert row["schedule"] == [f"OnCalendar={name}" for name in times]


def test_a_schedule_that_cannot_be_read_is_unknown_and_never_none():
    files = {f"{USR}/a.timer": "[Timer]\nOnBootSec=1\n", f"{ETC}/a.timer.d/x.conf": {"error": "EACCES"}}
    assert section(files).rows["a.timer"]["schedule"] is None
