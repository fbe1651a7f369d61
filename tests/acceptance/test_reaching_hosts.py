"""Pinned host keys, agents put on hosts and pushed for one run, reports over TLS, and machines that were cloned."""

import re

import pytest
from tests.lab import Lab
from tests.support.controller import Controller

pytestmark = pytest.mark.lab

WHERE = ("--user", "deploy", "--become", "--credential", "lab")


@pytest.fixture(scope="module")
def ready(controller: Controller, lab: Lab) -> Controller:
    """A controller with the key that opens the hosts."""
    controller.run("credential", "add", "lab", "--private-key", str(lab.private_key))
    return controller


def test_a_host_key_is_never_accepted_silently(ready: Controller, lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    refused = ready.run("host", "add", "h1", "--address", h1.address, *WHERE, check=False)
    assert refused.returncode == 2
    assert "--fingerprint" in refused.stderr
    wrong = ready.run(
        "host", "add", "h1", "--address", h1.address, *WHERE, "--fingerprint", f"SHA256:{'A' * 43}", check=False
    )
    assert wrong.returncode == 1
    assert "SHA256:" in wrong.stderr
    assert ready.json("host", "list") == []


def test_a_host_is_added_by_the_fingerprint_that_its_console_shows(ready: Controller, lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    shown = h1.console("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
    found = re.search(r"SHA256:\S+", shown)
    assert found is not None
    ready.run("host", "add", "h1", "--address", h1.address, *WHERE, "--fingerprint", found.group())
    assert ready.json("host", "show", "h1")["host_key_fingerprint"].startswith(found.group())


def test_an_agentless_audit_leaves_nothing_behind(ready: Controller, lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    h1.ssh("true", user="deploy")  # the first login of a user leaves traces of its own: a home, a journal
    listing = "find / /tmp /run /var -xdev -not -path '/proc/*' -not -path '/sys/*' | sort -u"
    before = h1.console(listing).stdout
    ready.run("audit", "h1")
    after = h1.console(listing).stdout
    left = set(after.splitlines()) - set(before.splitlines())
    assert not [path for path in left if not path.startswith(("/run/systemd/", "/run/user/", "/run/log/", "/var/log/"))]
    assert ready.run("audit", "h1").returncode == 0


def test_a_bootstrapped_agent_reports_by_itself_over_tls_digests_first(ready: Controller, lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    ready.run("host", "bootstrap", "h1")
    assert ready.json("host", "show", "h1")["agent"] == "installed"
    ready.run("audit", "h1", check=False)
    assert h1.ssh("systemctl is-enabled verdelta-agent.timer").stdout == "enabled\n"
    agent = "/usr/bin/python3 -ISE /usr/local/lib/verdelta-agent/verdelta-agent.pyz"
    first = h1.ssh(f"sudo {agent} report").stdout
    again = h1.ssh(f"sudo {agent} report").stdout
    assert "nothing changed" in again, (first, again)
    h1.ssh("echo changed > /etc/motd")
    assert "1 section" in h1.ssh(f"sudo {agent} report").stdout
    newest = ready.json("diff", "h1")
    assert [change["key"] for change in newest["changes"]] == ["/etc/motd"]
    service = h1.ssh("systemctl start verdelta-agent.service; systemctl show -P Result verdelta-agent.service").stdout
    assert service == "success\n"
    assert ready.json("diff", "h1") == newest  # what the hardened unit sees is what was seen over SSH


def test_a_changed_host_key_ends_the_connection_before_anything_is_sent(ready: Controller, lab: Lab) -> None:
    h2 = lab.hosts["h2"]
    ready.run("host", "add", "h2", "--address", h2.address, *WHERE, "--known-hosts", str(lab.known_hosts))
    ready.run("audit", "h2")
    h2.console("mv /etc/ssh/ssh_host_ed25519_key /root/k; mv /etc/ssh/ssh_host_ed25519_key.pub /root/k.pub")
    h2.console("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh")
    logins = "journalctl -u ssh --no-pager | grep -c 'Accepted publickey'"
    before = h2.console(logins).stdout
    refused = ready.run("audit", "h2", check=False)
    assert refused.returncode == 1
    assert "host key changed since it was pinned" in refused.stdout + refused.stderr
    assert "verdelta host repin h2" in refused.stdout + refused.stderr
    assert h2.console(logins).stdout == before
    h2.console("mv /root/k /etc/ssh/ssh_host_ed25519_key; mv /root/k.pub /etc/ssh/ssh_host_ed25519_key.pub")
    h2.console("systemctl restart ssh")
    assert ready.run("audit", "h2").returncode == 0


def test_two_machines_with_one_identity_are_noticed_at_the_next_message(ready: Controller, lab: Lab) -> None:
    h1, h3 = lab.hosts["h1"], lab.hosts["h3"]
    copy = h1.ssh("sudo tar -C / -c var/lib/verdelta-agent usr/local/lib/verdelta-agent | base64 -w0").stdout
    h3.write_file("/root/copy", copy)
    h3.console("base64 -d /root/copy | tar -C / -x")
    agent = "sudo /usr/bin/python3 -ISE /usr/local/lib/verdelta-agent/verdelta-agent.pyz report"
    assert h1.ssh(agent).returncode == 0
    cloned = h3.ssh(agent, check=False)
    assert cloned.returncode == 1
    assert "two machines hold the identity" in cloned.stderr
    assert h1.ssh(agent, check=False).returncode == 1  # which of the two is the host, only a person can tell

    ready.run("host", "bootstrap", "h1")  # a new key: the copy has the old one
    ready.run("audit", "h1", check=False)
    assert h1.ssh(agent).returncode == 0
    assert h3.ssh(agent, check=False).returncode == 1
