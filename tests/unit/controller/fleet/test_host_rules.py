"""What is said of a host reaches ssh, inventories and command lines: whatever they could misunderstand is refused."""

import ipaddress
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.fleet.rules import NewHost, check_address, checked
from verdelta_controller.foundation.errors import InvalidInput

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZvy4wBbTCrH2NqrwCdMpeVGlUkyrwlxJsgqSbGMdwz"
HOST = NewHost(
    "web-07", address="192.0.2.7", user="deploy", host_key=KEY, environment="live", groups=["web"], accepted_gaps=[]
)

HOSTILE = [
    "-oProxyCommand=touch /tmp/owned",
    "--help",
    "a b",
    "a\tb",
    "a\nb",
    "a\0b",
    "a;b",
    "a|b",
    "a&b",
    "$(touch owned)",
    "`touch owned`",
    "${HOME}",
    "a'b",
    'a"b',
    "a\\b",
    "a>b",
    "*",
    "~root",
    "{{ lookup('pipe', 'id') }}",
    "{% raw %}",
    "a=b",
    "a,b",
    "[a:b]",
    "#",
    "!a",
    "\u202egnp.exe",
    "\ud800",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}mlaut",
]


def test_an_ordinary_host_is_taken_as_it_is_said():
    assert checked(HOST) == HOST


@pytest.mark.parametrize("field", ["name", "address", "user", "python", "agent_path", "agent_state", "environment"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_could_be_an_option_a_second_word_or_an_expression_is_refused(field: str, hostile: str):
    values = [hostile, f"/{hostile}", f"a{hostile}"] if field in ("python", "agent_path", "agent_state") else [hostile]
    for value in values:
        with pytest.raises(InvalidInput) as refused:
            checked(HOST._replace(**{field: value}))
        assert len(str(refused.value)) < 400


@pytest.mark.parametrize("hostile", HOSTILE)
def test_groups_and_gaps_are_names_too(hostile):
    for field in ("groups", "accepted_gaps"):
        with pytest.raises(InvalidInput):
            checked(HOST._replace(**{field: ["web", hostile] if field == "groups" else [hostile]}))


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", "2001:db8::7", "web-07", "web-07.example.org", "web-07.example.org.", "_gw.example.org", "a" * 63]
    + [".".join(["a" * 49] * 5)],
)
def test_addresses_and_names_of_the_dns_are_taken(address):
    check_address(address)


@pytest.mark.parametrize(
    "address",
    ["", ".", "..", "a..b", ".a", "-a", "a-", "a.-b", "a" * 64, ".".join(["a" * 49] * 6), "fe80::1%eth0", "::1%$(id)"]
    + ["[::1]", "192.0.2.7:22", "user@web", "ssh://web", "web/07", "\u0660.0.0.1", "1" * 100_000],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInput, match="is no address"):
        check_address(address)


@pytest.mark.parametrize("port", [-1, 0, 65536, 10**30])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(InvalidInput, match="is no port"):
        checked(HOST._replace(port=port))


@pytest.mark.parametrize("user", ["root", "_apt", "svc.deploy", "build-01", "machine$", "anna@EXAMPLE.ORG", "R2"])
def test_logins_of_machines_and_directories_are_taken(user):
    assert checked(HOST._replace(user=user)).user == user


@pytest.mark.parametrize("path", ["/usr/bin/python3", "/opt/rh/python36/root/usr/bin/python3", "/opt/py@3.6+x/bin/py"])
def test_absolute_paths_are_taken(path):
    assert checked(HOST._replace(python=path, agent_path=path, agent_state=path)).python == path


@pytest.mark.parametrize(
    "path", ["python3", "./py", "/", "//bin/py", "/bin/", "/a/../b", "/a/./b", "/-c", "/" + "a" * 1000]
)
def test_paths_that_are_not_plain_and_absolute_are_refused(path):
    for field in ("python", "agent_path", "agent_state"):
        with pytest.raises(InvalidInput, match=rf"{field}: .* is not taken as a path"):
            checked(HOST._replace(**{field: path}))


def test_a_host_needs_a_python_and_over_ssh_all_that_it_is_reached_by():
    with pytest.raises(InvalidInput, match="python"):
        checked(HOST._replace(python=""))
    for field in ("address", "user", "host_key"):
        with pytest.raises(InvalidInput, match="needs address, user and a pinned host key"):
            checked(HOST._replace(**{field: ""}))
        assert checked(HOST._replace(**{field: ""}, reach="check-in"))


@pytest.mark.parametrize("name", ["all", "ungrouped", "localhost"])
def test_names_that_mean_something_to_an_inventory_are_not_given_to_hosts_and_groups(name):
    for said in ({"name": name}, {"groups": [name]}):
        with pytest.raises(InvalidInput, match="a meaning of its own"):
            checked(HOST._replace(**said))


def test_how_a_host_is_reached_is_one_of_the_known_ways():
    with pytest.raises(InvalidInput, match="the reach of a host is ssh or local or check-in, not 'telnet'"):
        checked(HOST._replace(reach="telnet"))
    with pytest.raises(InvalidInput, match="the agent of a host is installed or agentless"):
        checked(HOST._replace(agent="double"))


def test_an_unknown_section_is_refused_with_the_nearest_known_one():
    with pytest.raises(InvalidInput, match=r"there is no section 'hardware.smbois'") as refused:
        checked(HOST._replace(accepted_gaps=["hardware.smbois"]))
    assert refused.value.mend == "Did you mean hardware.smbios?"


def test_what_is_said_twice_counts_once_and_a_key_loses_its_comment():
    new = checked(HOST._replace(groups=["web", "canary", "web"], host_key=f"  {KEY} root@web-07\n"))
    assert (new.groups, new.host_key) == (["web", "canary"], KEY)


@given(st.text(min_size=1, max_size=300))
def test_an_address_that_is_taken_is_one_word_to_every_shell_and_no_option(text):
    try:
        check_address(text)
    except InvalidInput:
        return
    assert shlex.quote(text) == text or ipaddress.ip_address(text)
    assert not text.startswith("-")


@given(st.sampled_from(["user", "python", "agent_path", "agent_state"]), st.text(min_size=1, max_size=300))
def test_a_login_or_path_that_is_taken_is_one_word_to_every_shell_and_no_option(field, text):
    try:
        checked(HOST._replace(**{field: text}))
    except InvalidInput:
        return
    assert shlex.quote(text) in (text, f"'{text}'" if text.endswith("$") else text)
    assert not text.startswith("-")
