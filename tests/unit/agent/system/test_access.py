"""Who may log in, and what they may do then: sudo's rules, sshd's settings, keys, limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import authorized_keys, cron, limits, sshd, sudoers
from verdelta_agent.host import FileStatus
from verdelta_agent.model import ABSENT, Section, canonical
from verdelta_agent.recorded_host import RecordedHost


def section(collector: Any, files: dict[str, Any], **more: Any) -> Section:
    return collector.collect(RecordedHost({"files": files, **more}))


def rules(text: str) -> dict[str, Any]:
    return section(sudoers, {"/etc/sudoers": text}).rows


# -- sudo


def test_one_changed_rule_is_one_changed_row() -> None:
    before = rules("root ALL=(ALL) ALL\n%ops ALL=(root) /usr/bin/less\nbob ALL=ALL\n")
    after = rules("root ALL=(ALL) ALL\n%ops ALL=(root) NOPASSWD: ALL\nbob ALL=ALL\n")
    assert set(before) == set(after)
    assert [key for key in before if before[key] != after[key]] == ["/etc/sudoers: %ops"]


@pytest.mark.parametrize(
    ("line", "key", "row"),
    [
        ("alice ALL = (root:adm)  NOPASSWD : ALL", "alice", {"rules": ["ALL=(root:adm) NOPASSWD:ALL"]}),
        ("alice ALL = (#-1) /bin/vi", "alice", {"rules": ["ALL=(#-1) /bin/vi"]}),
        ("alice,bob\t,%ops ALL=ALL", "alice,bob,%ops", {"rules": ["ALL=ALL"]}),
        ('"domain users" ALL=ALL', '"domain users"', {"rules": ["ALL=ALL"]}),
        ("domain\\ users ALL=ALL", "domain\\ users", {"rules": ["ALL=ALL"]}),
        ("#1001 ALL=ALL # by number", "#1001", {"rules": ["ALL=ALL"]}),
        ("a ALL=/bin/echo a\\=b\\, \\#c#d", "a", {"rules": ["ALL=/bin/echo a\\=b\\, \\#c"]}),
        ("User_Alias A=x,y", "User_Alias A", {"members": ["x, y"]}),
        ("Cmnd_Alias C=sha224:ab+/== /bin/x", "Cmnd_Alias C", {"members": ["sha224:ab+/== /bin/x"]}),
        ("Host_Alias H = fe80::1", "Host_Alias H", {"members": ["fe80::1"]}),
        ('Defaults>root env_keep+="A,B C"', "Defaults>root env_keep", {"settings": ['env_keep+="A,B C"']}),
        ("Defaults:a , b ! lecture", "Defaults:a, b lecture", {"settings": ["!lecture"]}),
        ('Defaults passprompt="#: "', "Defaults passprompt", {"settings": ['passprompt="#: "']}),
    ],
)
def test_lines_of_sudoers_are_read_as_sudo_does(line: str, key: str, row: dict[str, list[str]]) -> None:
    found = {name.partition(": ")[2]: row for name, row in rules(line).items()}
    assert found == {key: row}


@pytest.mark.parametrize(
    "text", ["# a comment ends here \\\neve ALL=ALL\n", "bob ALL=/a # \\\neve ALL=ALL\n", 'a#"\neve ALL=ALL #"']
)
def test_no_rule_hides_behind_a_comment(text: str) -> None:
    assert rules(text)["/etc/sudoers: eve"] == {"rules": ["ALL=ALL"]}


def test_a_second_rule_for_the_same_users_is_in_their_row_in_order() -> None:
    before = rules("bob ALL=/bin/a\nbob ALL=/bin/b\nDefaults env_keep+=A\nDefaults env_keep+=B\n")
    assert before["/etc/sudoers: bob"] == {"rules": ["ALL=/bin/a", "ALL=/bin/b"]}
    assert before["/etc/sudoers: Defaults env_keep"] == {"settings": ["env_keep+=A", "env_keep+=B"]}
    after = rules("bob ALL=/bin/b\nDefaults env_keep+=A\nDefaults env_keep+=B\n")
    assert [key for key in before if before[key] != after[key]] == ["/etc/sudoers: bob"]


def test_a_line_goes_on_behind_a_backslash_and_files_that_include_each_other_end() -> None:
    assert rules("alice ALL=\\\n  /bin/a, \\\n /bin/b\n") == {"/etc/sudoers: alice": {"rules": ["ALL=/bin/a, /bin/b"]}}
    found = section(sudoers, {"/etc/sudoers": "root ALL=ALL\n@include /etc/sudoers\n"})
    assert found.error == "partial: not read: /etc/sudoers (files include each other)"
    twice = section(sudoers, {"/etc/sudoers": "@include /etc/sudoers\n@include /etc/sudoers\n"})
    assert "files include each other" in (twice.error or "")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("@include more", True),
        (" @include /etc/more", True),
        ("#include /etc/more", True),
        ('@include "/etc/more"', True),
        ("@include /etc/%h", True),
        (" #include /etc/more", False),
        ("# include /etc/more", False),
    ],
)
def test_an_inclusion_is_what_sudo_takes_for_one(line: str, read: bool) -> None:
    files = {"/etc/sudoers": line + "\n", "/etc/more": "eve ALL=ALL\n", "/proc/sys/kernel/hostname": "more.example\n"}
    assert ("/etc/more: eve" in section(sudoers, files).rows) == read


def test_what_editors_and_packages_leave_behind_is_passed_over_as_sudo_does() -> None:
    files = {f"/etc/sudoers.d/{name}": "eve ALL=ALL\n" for name in ("a.bak", "b~", "c.dpkg-new", "folder/file")}
    found = section(sudoers, {"/etc/sudoers": "@includedir sudoers.d\n", **files})
    assert (found.rows, found.error) == ({}, None)


def test_rules_of_doas_are_known_by_whom_they_are_for_and_show_no_value_of_a_variable() -> None:
    text = "# x \\\npermit nopass setenv { TOKEN=s3cret PATH=/bin D=$D -E } :wheel as root cmd reboot\ndeny eve\nx y\n"
    found = section(sudoers, {"/etc/doas.conf": text})
    rule = "permit nopass setenv { TOKEN=(hidden) PATH=/bin D=$D -E } :wheel as root cmd reboot"
    assert found.rows == {"/etc/doas.conf: :wheel": {"rules": [rule]}, "/etc/doas.conf: eve": {"rules": ["deny eve"]}}
    assert found.error == "not understood: /etc/doas.conf line 4"


# -- sshd


def settings(text: str, **files: str) -> dict[str, Any]:
    below = {f"/etc/ssh/sshd_config.d/{name}.conf": content for name, content in files.items()}
    rows = section(sshd, {"/etc/ssh/sshd_config": text, **below}).rows
    return {key: row["value"] for key, row in rows.items()}


def test_the_first_value_counts_and_an_included_one_comes_where_it_is_included() -> None:
    text = "Include sshd_config.d/*.conf\nPermitRootLogin yes\nPermitRootLogin no\n"
    assert settings(text) == {"permitrootlogin": "yes"}
    assert settings(text, b="PermitRootLogin forced-commands-only", a="permitrootlogin=no") == {"permitrootlogin": "no"}


def test_a_match_of_an_included_file_ends_with_the_file() -> None:
    text = "Include sshd_config.d/*.conf\nPort 2222\nMatch all\nPort 1\n"
    assert settings(text, a="Match User x\nX11Forwarding no") == {
        "port": "2222",
        "match User x: x11forwarding": "no",
        "match all: port": "1",
    }


def test_what_may_be_given_once_or_several_times_is_as_sshd_has_it() -> None:
    text = 'PermitOpen a:1\nPermitOpen b:2\nAcceptEnv A\nAcceptEnv B\n"MaxSessions" 4\nForceCommand echo "a  #b"\n'
    once = {"permitopen": "a:1", "acceptenv": "A, B", "maxsessions": "4", "forcecommand": 'echo "a  #b"'}
    assert settings(text) == once


def test_an_inclusion_finds_what_a_shell_would_find() -> None:
    names = ("a/x.conf", "b/x.conf", "b/.x.conf", "b/x.conf~")
    files = {f"/etc/ssh/{name}": f"AcceptEnv {name}\n" for name in names}
    rows = section(sshd, {"/etc/ssh/sshd_config": "Include /etc/ssh/*/*.conf\n", **files}).rows
    assert rows == {"acceptenv": {"value": "a/x.conf, b/x.conf"}}


def test_files_that_include_others_without_end_are_told() -> None:
    text = "Include /etc/ssh/sshd_config\nInclude /etc/ssh/sshd_config\nPort 1\n"
    assert "more than 1000 inclusions" in (section(sshd, {"/etc/ssh/sshd_config": text}).error or "")


def test_files_that_include_each_other_end() -> None:
    found = section(sshd, {"/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config\nPort 1\n"})
    assert found.rows["port"] == {"value": "1"}
    assert "not understood" in (found.error or "")


# -- keys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1fYhCVTUA7GMFcSPAWWTVr2Sx7NzWmgTXrkL0fXeMI"


def keys(passwd: str, files: dict[str, Any]) -> Section:
    return section(authorized_keys, {"/etc/passwd": passwd, **files})


def test_a_file_of_keys_is_read_once_though_several_accounts_share_the_home() -> None:
    passwd = "a:x:1:1::/home/a:/bin/sh\nb:x:2:2::/home/a:/bin/sh\n"
    assert [key.split()[0] for key in keys(passwd, {"/home/a/.ssh/authorized_keys": KEY}).rows] == ["a"]


def test_no_authorized_keys_file_means_none() -> None:
    files = {"/etc/ssh/sshd_config": "AuthorizedKeysFile none\n", "/home/a/.ssh/authorized_keys": KEY}
    assert keys("a:x:1:1::/home/a:/bin/sh\n", files).rows == {}


MOUNTS = "1 1 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / /home rw - %s x:/ rw\n"


class Dead(RecordedHost):
    """A machine on which whoever touches anything below /home never comes back."""

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes:
        assert not path.startswith("/home"), path
        return super().read_bytes(path, limit)

    def lstat(self, path: str) -> FileStatus:
        assert not path.startswith("/home"), path
        return super().lstat(path)


@pytest.mark.parametrize("home", ["/home/a", "/links/a", "/links/b"])
@pytest.mark.parametrize("kind", ["fuse.sshfs", "nfs4", "autofs"])
def test_a_home_on_another_machine_is_not_touched_whatever_leads_there(home: str, kind: str) -> None:
    files = {"/etc/passwd": f"a:x:1:1::{home}:/bin/sh\n", "/proc/self/mountinfo": MOUNTS % kind}
    links = {"/links/a": "../home/a", "/links/b/.ssh": "/home/b"}
    found = authorized_keys.collect(Dead({"files": files, "links": links}))
    assert f"{home}/.ssh/authorized_keys (on {kind})" in (found.error or "")


def test_homes_below_the_kernels_own_file_systems_are_none() -> None:
    files = {"/etc/passwd": "sys:x:1:1::/dev:/bin/sh\n", "/proc/self/mountinfo": "1 1 0:1 / /dev rw - devtmpfs d rw\n"}
    assert section(authorized_keys, files) == ("ok", {}, {}, None)


def test_more_accounts_than_are_looked_at_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorized_keys, "ACCOUNTS", 2)
    passwd = "".join(f"{name}:x:1:1::/home/{name}:/bin/sh\n" for name in "abc")
    found = keys(passwd, {f"/home/{name}/.ssh/authorized_keys": KEY for name in "abc"})
    assert [key[0] for key in found.rows] == ["a", "b"]
    assert found.error == "partial: not read: /etc/passwd (accounts after the first 2)"


def test_a_file_that_only_a_match_names_is_read_and_one_of_authorities_too() -> None:
    text = "AuthorizedKeysFile /keys/%u\nTrustedUserCAKeys /etc/ssh/ca.pub\nMatch User x\nAuthorizedKeysFile /sftp/%u\n"
    files = {"/etc/ssh/sshd_config": text, "/keys/a": KEY, "/sftp/a": KEY, "/etc/ssh/ca.pub": KEY}
    found = keys("a:x:1:1::/home/a:/bin/sh\n", {**files, "/home/a/.ssh/authorized_keys": KEY})
    assert [key.rpartition(" ")[0] for key in found.rows] == [
        "a /keys/a",
        "a /sftp/a",
        "(certificates) /etc/ssh/ca.pub",
    ]


def test_what_a_key_may_do_is_shown_and_no_value_of_a_variable() -> None:
    line = f'from="10.*",environment="TOKEN=s3\\"cret",command="echo \\"x\\"" {KEY} me'
    (row,) = keys("a:x:1:1::/home/a:/bin/sh\n", {"/home/a/.ssh/authorized_keys": line}).rows.values()
    assert row["options"] == 'from="10.*",environment="TOKEN=(hidden)",command="echo \\"x\\""'


@pytest.mark.parametrize("line", [KEY.replace("ed25519", "rsa", 1), "ssh-rsa AAAA", "ssh-rsa", "ssh-rsa !", "x"])
def test_a_line_that_sshd_takes_for_no_key_is_told(line: str) -> None:
    found = keys("a:x:1:1::/home/a:/bin/sh\n", {"/home/a/.ssh/authorized_keys": line})
    assert (found.rows, found.error) == ({}, "not understood: /home/a/.ssh/authorized_keys line 1")


# -- cron, limits


def test_another_schedule_of_a_job_is_a_changed_row_and_no_secret_is_shown() -> None:
    before = section(cron, {"/etc/crontab": "TOKEN=s3cret\n0 1 * * * root backup\n"}).rows
    after = section(cron, {"/etc/crontab": "TOKEN=other\n0 2 * * * root backup\n"}).rows
    assert set(before) == set(after)
    assert [key for key in before if before[key] != after[key]] == ["/etc/crontab: backup"]
    assert b"s3cret" not in canonical(before)


def test_what_else_is_in_the_spool_of_cron_is_no_crontab() -> None:
    spool = "/var/spool/cron"
    files = {f"{spool}/atjobs/a0000101c5a2f0": "", f"{spool}/atjobs/.SEQ": "1", f"{spool}/crontabs/a": "@daily x\n"}
    found = section(cron, files, directories=[f"{spool}/atspool", "/etc/cron.d/x"])
    assert list(found.rows) == [f"{spool}/crontabs/a: x"]
    assert (found.volatile, found.error) == ({"at": {"jobs": 1}}, None)


def test_a_name_that_debians_cron_passes_over_runs_nothing_there() -> None:
    files = {f"/etc/cron.d/{name}": "@daily root x\n" for name in ("a", "b.sh", "c.dpkg-old")}
    assert list(section(cron, files).rows) == ["/etc/cron.d/a: x", "/etc/cron.d/b.sh: x"]
    assert list(section(cron, {**files, "/etc/debian_version": "12.1\n"}).rows) == ["/etc/cron.d/a: x"]


def test_limits_are_read_as_pam_limits_reads_them() -> None:
    text = "@ops SOFT NoFile 100 200\n* hard core 0 # none\nbob -\nbad line\n"
    files = {"/etc/security/limits.conf": text, "/etc/security/limits.d/9.conf": "* hard core 1\n"}
    found = section(limits, {**files, "/usr/etc/security/limits.conf": "eve hard core 9\n"})
    assert {key: row["value"] for key, row in found.rows.items()} == {
        "@ops soft nofile": "100",
        "* hard core": "1",
        "bob -": "unlimited",
    }
    assert found.error == "not understood: /etc/security/limits.conf line 4"


def test_of_systemds_main_files_one_counts_and_a_masked_drop_in_does_not() -> None:
    usr, etc = "/usr/lib/systemd/system.conf", "/etc/systemd/system.conf"
    manager = "[Manager]\nDefaultLimit%s\n"
    files = {usr: manager % "CORE=0", f"{usr}.d/a.conf": manager % "NOFILE=1", f"{usr}.d/b.conf": manager % "NPROC=1"}
    links = {f"{etc}.d/b.conf": "/dev/null"}
    found = section(limits, {**files, etc: manager % "STACK=1"}, links=links)
    assert (list(found.rows), found.error) == (["systemd DefaultLimitSTACK", "systemd DefaultLimitNOFILE"], None)
    assert "systemd DefaultLimitCORE" in section(limits, files).rows


def test_without_such_files_a_section_is_absent() -> None:
    for module in (cron, limits, sudoers, sshd, authorized_keys):
        assert section(module, {}).status == ABSENT


LINES = st.lists(st.text(alphabet='aD=,:@#%!\\" ()*/\t', max_size=20), max_size=8).map("\n".join)


@given(LINES)
def test_whatever_stands_in_such_a_file_it_is_read_to_its_end(text: str) -> None:
    for module, path in (
        (sudoers, "/etc/sudoers"),
        (sshd, "/etc/ssh/sshd_config"),
        (cron, "/etc/crontab"),
        (limits, "/etc/security/limits.conf"),
        (authorized_keys, "/root/.ssh/authorized_keys"),
    ):
        found = section(module, {path: text, "/etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
        assert found.status == "ok"
        assert canonical(found.rows)


@pytest.mark.parametrize("hostile", ['"' * 50000, "a" + "," * 50000, "\\\n" * 50000, "a " * 50000, "=" * 50000])
def test_a_hostile_line_costs_no_more_than_its_length(hostile: str) -> None:
    for module, path in ((sudoers, "/etc/sudoers"), (sshd, "/etc/ssh/sshd_config"), (cron, "/etc/crontab")):
        assert section(module, {path: hostile}).status == "ok"
