"""A wave of ten real hosts against bare ansible-playbook: the same playbook, forks and SSH settings, in the same run.

The wave has both audits of every host in it, the delta and the verdict.  Rounds alternate; each begins with hosts on
which the package is not installed.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.lab import Lab
from tests.support.controller import Controller

from verdelta_controller.releases import playbooks
from verdelta_controller.rollouts.installers import ansible

HOSTS = 10
ROUNDS = 4
FORKS = 10


def run() -> None:
    """Measure and print."""
    with Lab.up(debian=HOSTS, rpm=0) as lab, tempfile.TemporaryDirectory() as folder:
        controller = Controller(lab, Path(folder))
        controller.start()
        try:
            controller.add(*lab.hosts.values())
            controller.labapp("1.0")
            bare, waves, verdicts = [], [], []
            for _ in range(ROUNDS):
                bare.append(_bare(lab, Path(folder), "install_packages.yml"))
                _bare(lab, Path(folder), "remove_packages.yml")
                controller.run("audit", *lab.hosts, check=False)  # the state that the next round starts from is known
                seconds, delays = _wave(controller)
                waves.append(seconds)
                verdicts.extend(delays)
                _bare(lab, Path(folder), "remove_packages.yml")
                controller.run("audit", *lab.hosts, check=False)
        finally:
            controller.stop()
    ratios = [wave / alone for wave, alone in zip(waves, bare, strict=True)]
    print(f"\nA wave of {HOSTS} hosts (install_packages.yml, forks {FORKS}), {ROUNDS} rounds, wall seconds:")
    _line("bare ansible-playbook", bare)
    _line("the wave, both audits included", waves)
    _line("ratio, round by round (target ≤ 1.15)", ratios)
    _line("playbook's end on a host → verdict", verdicts, "(target < 1 s)")


def _line(name: str, values: list[float], note: str = "") -> None:
    low, high = min(values), max(values)
    print(f"  {name:38} median {statistics.median(values):6.2f}   min {low:6.2f}   max {high:6.2f}  {note}")


def _wave(controller: Controller) -> tuple[float, list[float]]:
    """Return the seconds of one roll-out, and of each host from its playbook's end to its verdict."""
    hosts = [word for number in range(1, HOSTS + 1) for word in ("--host", f"h{number}")]
    controller.run("rollout", "start", "labapp", "1.0", *hosts, "--watch")  # asking again and again would take a core
    rollout = controller.newest()
    if rollout["state"] != "finished":
        raise SystemExit(f"the wave did not pass: {json.dumps(rollout)[:3000]}")
    ended = [host for wave in rollout["waves"] for host in wave["hosts"]]
    delays = [_seconds(host["installed_at"], host["concluded_at"]) for host in ended]
    return _seconds(rollout["created_at"], rollout["ended_at"]), delays


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _bare(lab: Lab, folder: Path, playbook: str) -> float:
    """Return the seconds that ansible-playbook takes by itself."""
    inventory = {"all": {"hosts": {name: {"ansible_host": host.address} for name, host in lab.hosts.items()}}}
    variables: dict[str, Any] = {
        "ansible_user": "deploy",
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(lab.private_key),
        "verdelta_os_family": "debian",
        "verdelta_components": [{"manager": "deb", "package": "labapp", "version": "1.0"}],
        "also": ["liblab"],
    }
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "variables.json").write_text(json.dumps(variables))
    configuration = folder / "ansible.cfg"
    configuration.write_text(ansible.configuration(folder, lab.known_hosts, Path("ssh"), FORKS))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "inventory.json")]
    arguments = ["-e", f"@{folder / 'variables.json'}", str(playbooks.directory() / playbook)]
    began = time.monotonic()
    done = lab.run(
        ["env", f"ANSIBLE_CONFIG={configuration}", *command, *arguments],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(done.stdout[-3000:])
    return time.monotonic() - began
