"""Running the agent on a host: installed there, or pushed for one run and gone again."""

import shlex
from importlib import resources

from verdelta_agent import wire

from ..foundation.errors import HostFailed
from ..foundation.text import one_line
from . import agent_archive
from .channels import Channel, Completed, SshChannel
from .tables import Host

PROGRAM = "/usr/local/lib/verdelta-agent/verdelta-agent.pyz"
STATE = "/var/lib/verdelta-agent"
UNITS = "/etc/systemd/system"
AUDIT_TIMEOUT = 120.0


class AuditFailed(HostFailed):
    """The agent did not return an audit."""


class BootstrapFailed(HostFailed):
    """The agent could not be installed on the host."""


def ask(channel: Channel, host: Host, request: wire.Request) -> bytes:
    """Return the signed envelope with which a host's agent answers a request.  Raises AuditFailed, Unreachable."""
    data = wire.encode_request(request)
    if host.agent == "installed":
        done = channel.run(_installed(host, "audit", "--request", "-"), data, AUDIT_TIMEOUT)
    else:
        done = _ask_agentless(channel, host, data)
    if done.status != 0:
        raise AuditFailed(f"{host.name}: the agent failed with {done.status}: {_said(done)}", mend=_mend(host, done))
    return done.output.strip()


def _installed(host: Host, *arguments: str) -> list[str]:
    program = [host.python, "-ISE", host.agent_path or PROGRAM]
    state = ["--state", host.agent_state] if host.agent_state else []
    return [*_become(host), *program, *state, *arguments]


def _become(host: Host) -> list[str]:
    return ["sudo", "-n", "--"] if host.become else []


def _ask_agentless(channel: Channel, host: Host, data: bytes) -> Completed:
    """Push the agent, run it once, leave nothing: it lives in a directory that the same shell removes."""
    if not isinstance(channel, SshChannel):
        raise AuditFailed(f"{host.name}: without an installed agent a host is reached over SSH")
    archive = agent_archive.build()
    kind = host.host_key.split()[0].removeprefix("ssh-").split("-")[0]
    key = f"/etc/ssh/ssh_host_{kind}_key"
    run = shlex.join([*_become(host), host.python, "-ISE"])
    line = (
        "d=$(mktemp -d) && trap 'rm -rf \"$d\"' EXIT && "
        f'head -c {len(archive)} >"$d/agent.pyz" && {run} "$d/agent.pyz" audit --request - --sign-with {key}'
    )
    return channel.run_line(f"sh -c {shlex.quote(line)}", archive + data, AUDIT_TIMEOUT)


def bootstrap(channel: Channel, host: Host, token: str, url: str, ca: str) -> bytes:
    """Install the agent on a host with its nightly timer, and return its enrolment, signed with its new key.

    With a URL the timer reports to the controller each night; without one the agent answers only when asked.
    Doing it again is safe: files are replaced, and a key that was never accepted is dropped.
    Raises BootstrapFailed, Unreachable.
    """
    _put(channel, host, PROGRAM, agent_archive.build(), "755")
    _run(channel, host, [host.python, "-ISE", PROGRAM, "compile", PROGRAM])
    enrol = ["enrol", "--token-file", "-", "--print", "--replace"]
    if url:
        enrol += ["--url", url]
    if url and ca:
        _put(channel, host, f"{STATE}/ca.pem", ca.encode(), "644")
        enrol += ["--ca", f"{STATE}/ca.pem"]
    done = channel.run([*_become(host), host.python, "-ISE", PROGRAM, *enrol], token.encode())
    if done.status != 0:
        raise BootstrapFailed(f"{host.name}: the agent did not enrol: {_said(done)}")
    if url:
        for unit in ("verdelta-agent.service", "verdelta-agent.timer"):
            _put(channel, host, f"{UNITS}/{unit}", _unit(unit), "644")
        _run(channel, host, ["systemctl", "daemon-reload"])
        _run(channel, host, ["systemctl", "enable", "--now", "--quiet", "verdelta-agent.timer"])
    return done.output.strip()


def _unit(name: str) -> bytes:
    """Return a unit file of the agent's, for the one-file agent."""
    text = (resources.files("verdelta_agent") / "units" / name).read_text(encoding="utf-8")
    return text.replace("@COMMAND@", f"/usr/bin/python3 -ISE {PROGRAM}").encode()


def _put(channel: Channel, host: Host, path: str, content: bytes, mode: str) -> None:
    directory = path.rpartition("/")[0]
    script = (
        f"mkdir -p {directory} && cat >{path}.new && chmod {mode} {path}.new && "
        f"chown 0:0 {path}.new && mv {path}.new {path}"
    )
    _run(channel, host, ["sh", "-c", script], content)


def _run(channel: Channel, host: Host, command: list[str], data: bytes = b"") -> None:
    done = channel.run([*_become(host), *command], data)
    if done.status != 0:
        raise BootstrapFailed(
            f"{host.name}: {command[0]} failed with {done.status}: {_said(done)}", mend=_mend(host, done)
        )


def _mend(host: Host, done: Completed) -> str | None:
    """Return what usually helps where a host does not let the agent run."""
    said = done.error.lower()
    if "not found" in said:
        return f"Is {host.python} there? Name another Python: verdelta host set {host.name} --python PATH"
    if "sudo:" in said:
        return f"Let {host.user} use sudo there without a password, or: verdelta host set {host.name} --no-become"
    if not host.become and host.user != "root" and ("permission denied" in said or "not enrolled" in said):
        return f"The agent needs root: verdelta host set {host.name} --become"
    return None


def _said(done: Completed) -> str:
    return one_line(done.error) or "it gave no reason"
