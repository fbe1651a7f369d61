"""One release by six people, from draft to proof, on real hosts: through the command line, as each of them would."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import Lab
from tests.support.controller import Controller, host_of, items
from tests.support.six_people import Person

from verdelta_controller.cli.verify import trusted_keys
from verdelta_controller.rollouts.release_evidence_check import verify

pytestmark = pytest.mark.lab

# What the manifest does not declare (the link that enabling the unit makes) is for the rehearsal to show.
MANIFEST = """\
release: labapp
version: "1.0"
type: minor
service: lab
description: build {build}
components:
  - {{kind: external-software, manager: deb, package: labapp, version: "1.0", owner: lab, licence: Apache-2.0}}
  - {{kind: external-software, manager: deb, package: liblab, version: "1.0", owner: lab, licence: Apache-2.0}}
  - {{kind: documentation, document: user-manual, name: Manual, version: "{build}", artifact: manual.txt}}
tests:
  - {{name: the manual is written, run: [grep, -q, labapp, manual.txt]}}
install:  {{playbook: install_packages.yml}}
back_out: {{playbook: remove_packages.yml, with: {{also: [liblab]}}}}
acceptance:
  - {{id: enabled, says: It starts with the host, check: state, section: system.units, key: labapp.service,
     after: {{enabled: enabled}}}}
  - {{id: version, says: It tells its version, check: command, run: [labapp, --version], prints: "labapp 1.0"}}
  - {{id: starts-quickly, says: It starts quickly, check: measure, unit: ms, at_most: 500}}
  - {{id: manual-reads-well, says: The manual reads well, check: manual, instructions: Read it., evidence: true}}
changes:
  - {{section: software.dpkg, key: "labapp:*", after: {{version: "1.0"}}}}
  - {{section: software.dpkg, key: "liblab:*", after: {{version: "1.0"}}}}
  - {{section: system.units, key: labapp.service, after: {{enabled: enabled}}}}
  - {{section: system.files, key: /etc/labapp.conf, after: {{kind: file, digest: any}}}}
"""
LINK = ("system.files", "/etc/systemd/system/multi-user.target.wants/labapp.service")


def state_of(controller: Controller) -> str:
    state: str = controller.json("release", "show", "labapp", "1.0")["state"]
    return state


def build(bob: Person, number: int) -> None:
    """Let bob build the package anew."""
    folder = bob.folder / "labapp"
    folder.mkdir(exist_ok=True)
    (folder / "release.yaml").write_text(MANIFEST.format(build=number))
    (folder / "manual.txt").write_text(f"How to use labapp, edition {number}\n")
    bob.run("release", "build", str(folder / "release.yaml"))


def rehearse(tess: Person, controller: Controller, *, expect: int = 0) -> int:
    """Let tess rehearse the release on the test host, and return the roll-out's number."""
    tess.run("release", "test", "labapp", "1.0", "--environment", "test", "--watch", expect=expect)
    return int(controller.newest()["id"])


def test_one_release_by_six_people(controller: Controller, lab: Lab, tmp_path: Path) -> None:
    # The administrator lets people in, puts the policy in force, and says which host is what.
    standard = tmp_path / "standard.yaml"
    standard.write_text(controller.run("policy", "shipped", "standard").stdout)
    controller.run("policy", "put", str(standard))
    controller.add(lab.hosts["h1"], lab.hosts["h2"], lab.hosts["h3"])
    controller.run("host", "set", "h1", "--environment", "test")
    for live in ("h2", "h3"):
        controller.run("host", "set", live, "--environment", "live")
    rita = Person(controller, "rita", "release-manager")
    bob = Person(controller, "bob", "build-manager", "test-manager")  # both, by somebody's mistake
    tess = Person(controller, "tess", "test-manager")
    tom = Person(controller, "tom", "tester")
    bea = Person(controller, "bea", "business-approver")
    dan = Person(controller, "dan", "deployment-staff")

    # Drafted, built and tested by its builder.
    rita.run("release", "draft", "labapp", "1.0", "--type", "minor", "--service", "lab")
    rita.run("release", "appoint", "labapp", "1.0", "tess", "test-manager")
    build(bob, 1)
    assert state_of(controller) == "built"
    assert "labapp 1.0" in rita.run("release", "gates", "labapp", "1.0", expect=3).stdout
    refused = rita.run("release", "authorise", "labapp", "1.0", "--yes", expect=5).stderr
    assert "has to be in test first" in refused

    # Rehearsed in test, by somebody who did not build it: bob tries, and is refused.
    assert (
        "bob already makes the release"
        in bob.run("release", "test", "labapp", "1.0", "--environment", "test", expect=4).stderr
    )
    first = rehearse(tess, controller)
    assert state_of(controller) == "in_test"
    manual = tmp_path / "review.txt"
    manual.write_text("it does not say how to remove it\n")
    tom.run("release", "result", "labapp", "1.0", "starts-quickly", "--value", "120", "--unit", "ms")
    tom.run("release", "result", "labapp", "1.0", "manual-reads-well", "--failed", "--evidence", str(manual))

    # Rejected once, with a known error, and the test host taken back to what it was.
    tom.run("release", "known-error", "labapp", "1.0", "the manual is not complete", "--severity", "high")
    assert "cannot be signed" in tess.sign("labapp", "1.0", "acceptance", expect=5)
    tess.run("release", "reject", "labapp", "1.0", "--reason", "the manual is not complete", "--yes")
    assert state_of(controller) == "rejected"
    dan.run("rollout", "back-out", str(first), "--yes")
    assert controller.wait(first)["state"] == "backed_out"

    # Rebuilt, rehearsed again; what it changed is reviewed and accepted; the test manager signs.
    build(bob, 2)
    number = controller.json("release", "known-errors", "labapp", "1.0")[0]["id"]
    bob.run("release", "resolve", str(number), "--fixed", "the second edition says it")
    rehearse(tess, controller)
    shown = json.loads(tess.run("release", "rehearsed", "labapp", "1.0", "-o", "json").stdout)
    undeclared = {(line["change"]["section"], line["change"]["key"]) for line in shown["lines"] if not line["declared"]}
    assert undeclared == {LINK}
    reviewed = tmp_path / "rehearsed.yaml"
    tess.run("release", "rehearsed", "labapp", "1.0", "--write", str(reviewed))
    struck = tmp_path / "struck.yaml"
    lines = reviewed.read_text().splitlines(keepends=True)
    struck.write_text("".join(line for line in lines if LINK[1] not in line))
    assert (
        LINK[1] in tess.run("release", "rehearsed", "labapp", "1.0", "--accept", str(struck), "--yes", expect=2).stderr
    )
    tess.run("release", "rehearsed", "labapp", "1.0", "--accept", str(reviewed), "--yes")
    tom.run("release", "result", "labapp", "1.0", "starts-quickly", "--value", "120", "--unit", "ms")
    tom.run("release", "result", "labapp", "1.0", "manual-reads-well", "--passed", "--evidence", str(manual))
    criteria = json.loads(tess.run("release", "criteria", "labapp", "1.0", "-o", "json").stdout)
    assert criteria["passed"] and "4 of 4" in criteria["detail"]
    assert "bob" in bob.sign("labapp", "1.0", "acceptance", expect=4)
    assert "signed for acceptance by tess" in tess.sign("labapp", "1.0", "acceptance")
    assert state_of(controller) == "accepted"

    # Nobody signs on two sides; then the business signs, and the release manager.
    assert tess.sign("labapp", "1.0", "business", expect=4)
    bea.sign("labapp", "1.0", "business")
    rita.sign("labapp", "1.0", "implementation")
    rita.run("release", "authorise", "labapp", "1.0", "--yes")
    authorised = controller.json("release", "show", "labapp", "1.0")
    assert authorised["state"] == "authorised"
    assert (
        authorised["authorised_change"]
        == json.loads(tess.run("release", "rehearsed", "labapp", "1.0", "-o", "json").stdout)["accepted"]
    )

    # Deployed to other hosts, where what changes is what was rehearsed.
    dan.run("rollout", "start", "labapp", "1.0", "--environment", "live", "--watch")
    rollout = controller.newest()
    for name in ("h2", "h3"):
        host = host_of(rollout, name)
        assert host["state"] == "verified" and LINK in items(host, "matched")
    assert state_of(controller) == "deployed"
    held = [row for row in controller.json("release", "sign-offs", "labapp", "1.0") if row["voided_at"] is None]
    assert {row["purpose"]: row["by"] for row in held} == {
        "acceptance": "tess",
        "business": "bea",
        "implementation": "rita",
    }


def test_its_evidence_holds_where_there_is_nothing_but_the_key_and_no_edit_of_it_does(
    controller: Controller, tmp_path: Path
) -> None:
    evidence, key = tmp_path / "labapp.evidence.json", tmp_path / "controller.pub"
    controller.run("export", "evidence", "labapp", "1.0", "--file", str(evidence))
    key.write_text(controller.run("evidence", "key").stdout)
    nothing = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COLUMNS": "160"}
    words = [sys.executable, "-m", "verdelta_controller", "verify", str(evidence), "--key", str(key)]
    done = subprocess.run(words, env=nothing, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "nobody of the 5 who made, tested and accepted it stood on two sides",
        "tess signed this package for acceptance",
        "that is the rehearsed change, as it was reviewed and accepted",
        "the evidence holds",
    ):
        assert said in done.stdout

    data, trusted = evidence.read_bytes(), trusted_keys([str(key)])
    assert verify(data, trusted).holds
    chance = random.Random(4)  # noqa: S311 - the same edits each time
    for _ in range(1000):
        place, flip = chance.randrange(len(data)), 1 << chance.randrange(8)
        edited = data[:place] + bytes((data[place] ^ flip,)) + data[place + 1 :]
        assert not verify(edited, trusted).holds, f"byte {place}, bit {flip}"
