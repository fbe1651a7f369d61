"""The commands of a release's life, as the people call them whose turn it is: what they show, ask for and refuse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.command_line import URL, ByHand, CommandLine, InProcess
from tests.support.people import STEP, Clock, Joined, joined
from tests.support.releases import MANIFEST
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.cli import release_life, release_people
from verdelta_controller.releases.known_errors import Severity
from verdelta_controller.releases.manifest import ReleaseType
from verdelta_controller.releases.policy import shipped_policy
from verdelta_controller.releases.sides import SIDES, Purpose
from verdelta_controller.wiring import Services

SOON = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%dT%H:%MZ}"
CRITERIA = """\
  - {id: quick, says: It starts quickly, check: measure, unit: ms, at_most: 200}
  - {id: unit, says: Its tests pass, check: junit, at_least: 2}
"""
JUNIT = '<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'


class Office:
    """A controller under the standard policy, and somebody of each role at a terminal."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.folder = folder
        self.transport = InProcess(TestClient(create_app(services), base_url=URL))
        self.root = self._terminal("root", a_token(services))
        self.people: dict[str, Joined] = {}
        clock = Clock()
        for name, role in (("rita", Role.RELEASE_MANAGER), ("tess", Role.TEST_MANAGER), ("carl", Role.CHANGE_MANAGER)):
            self.people[name] = joined(services.people, clock, name, role)
        self.rita, self.tess, self.carl = (self._terminal(n, self.people[n].log_in()) for n in ("rita", "tess", "carl"))
        self.root("policy", "put", self.file("policy.yaml", shipped_policy("standard")[0]))
        source = MANIFEST.format(version="1.1", build=1, type="minor").replace("changes:\n", f"{CRITERIA}changes:\n")
        self.manifest = self.file("release.yaml", source)
        assert self.rita("release", "build", self.manifest).exit_code == 0

    def _terminal(self, name: str, token: str) -> CommandLine:
        (self.folder / name).mkdir()
        return CommandLine(self.folder / name, self.transport, token)

    def file(self, name: str, content: str) -> Path:
        (self.folder / name).write_text(content)
        return self.folder / name

    def code(self, name: str, steps: int) -> Path:
        person = self.people[name]
        return self.file(f"{name}.code", person.app.at(person.clock.now() + steps * STEP))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with a_controller(folder) as services:
        yield Office(services, folder)


def test_the_words_of_the_commands_are_those_of_the_controller():
    assert tuple(Purpose) == release_people.PURPOSES
    assert tuple(Severity) == release_people.SEVERITIES
    assert {role.value for role in SIDES} == set(release_people.DUTIES)
    assert tuple(ReleaseType) == release_life.TYPES


def test_the_checklist_says_what_is_met_by_what_and_whose_turn_it_is(office: Office):
    shown = office.rita("release", "gates", "labapp", "1.1")
    assert shown.exit_code == 3
    for line in (
        "labapp 1.1  built, by the policy standard (version 2)",
        "✔ criteria                 met      3 in the package, rita",
        "✖ rehearsal                not met  this package was not rehearsed",
        "→ test-manager: verdelta release test labapp 1.1",
    ):
        assert line in shown.stdout, shown.stdout
    left = office.rita("release", "gates", "labapp", "1.1", "--open").stdout
    assert "rehearsal" in left and "criteria  " not in left
    assert {gate["status"] for gate in office.rita.json("release", "gates", "labapp", "1.1")["gates"]} == {
        "met",
        "not_met",
    }


def test_where_nobody_else_looks_the_checklist_says_so_and_what_is_next(tmp_path: Path):
    document = {"release": "labapp", "version": "1.1", "state": "built", "policy": "one-person", "policy_version": 1}
    answers = ByHand({"GET releases/labapp/1.1/gates": (200, {**document, "gates": []})})
    answer = CommandLine(tmp_path, answers)("release", "gates", "labapp", "1.1")
    assert answer.exit_code == 0
    assert "The policy asks for nothing" in answer.stdout
    assert answer.stdout.rstrip().endswith("Next: verdelta release authorise labapp 1.1")


def test_a_draft_takes_a_moment_of_this_machine_and_says_which_it_took(office: Office):
    words = ("release", "draft", "labapp", "1.2", "--type", "minor", "--service", "lab", "--planned-for")
    refused = office.rita(*words, "tomorrow")
    assert refused.exit_code == 2 and "--planned-for: 'tomorrow' is no moment" in refused.stderr
    drafted = office.rita(*words, f"{SOON[:-1]}")
    assert drafted.exit_code == 0 and "taken as local time" in drafted.stderr
    assert "labapp 1.2 is drafted" in drafted.stdout
    assert office.rita("release", "cancel", "labapp", "1.2", "--yes").exit_code == 0


def test_a_package_that_was_rejected_or_given_up_is_not_shown_as_built(tmp_path: Path, office: Office):
    folder = tmp_path / "given-up"
    folder.mkdir()
    manifest = folder / "release.yaml"
    manifest.write_text(MANIFEST.format(version="1.3", build=1, type="minor"))
    assert "Next: verdelta release gates labapp 1.3" in office.rita("release", "build", manifest).stdout
    office.rita("release", "cancel", "labapp", "1.3", "--yes")
    again = office.rita("release", "build", manifest)
    assert again.exit_code == 0
    assert "! labapp 1.3" in again.stdout and "This release was given up" in again.stdout


def test_what_is_not_rehearsed_cannot_be_reviewed_signed_or_told(office: Office):
    for words in (
        ("release", "rehearsed", "labapp", "1.1"),
        ("release", "result", "labapp", "1.1", "looks-right", "--passed"),
        ("release", "sign", "labapp", "1.1", "acceptance", "--code-file", office.code("tess", 0)),
    ):
        refused = office.tess(*words)
        assert refused.exit_code == 5, (words, refused.stderr)
        assert "labapp 1.1" in refused.stderr


def test_a_refused_signature_spends_no_code(office: Office):
    code = office.code("tess", 1)
    for _ in range(2):  # a code works once: the second time it would be refused for that
        refused = office.tess("release", "sign", "labapp", "1.1", "acceptance", "--code-file", code)
        assert refused.exit_code == 5 and "cannot be signed for acceptance yet" in refused.stderr
    assert "I tested labapp 1.1" in refused.stderr


def test_a_token_signs_nothing_and_a_person_needs_a_code(office: Office):
    token = office.root("release", "sign", "labapp", "1.1", "change", "--code-file", office.code("carl", 0))
    assert token.exit_code == 4 and "tokens never sign" in token.stderr
    without = office.carl("release", "sign", "labapp", "1.1", "change")
    assert without.exit_code == 2 and "--code-file" in without.stderr


def test_who_stands_where_is_shown_and_nobody_is_appointed_to_two_sides(office: Office):
    shown = office.rita("release", "appoint", "labapp", "1.1", "tess", "test-manager").stdout
    assert "tess     test" in shown and "appointed test-manager" in shown
    assert "rita     delivery" in office.rita("release", "people", "labapp", "1.1").stdout
    refused = office.rita("release", "appoint", "labapp", "1.1", "rita", "tester")
    assert refused.exit_code == 4 and "rita already makes the release" in refused.stderr


def test_known_errors_are_written_down_and_resolved(office: Office):
    made = office.tess("release", "known-error", "labapp", "1.1", "loses its settings", "--severity", "high")
    assert made.exit_code == 0
    (error,) = office.tess.json("release", "known-errors", "labapp", "1.1")
    assert "loses its settings" in office.rita("release", "known-errors", "labapp", "1.1").stdout
    both = office.rita("release", "resolve", error["id"], "--fixed", "so", "--accepted", "so")
    assert both.exit_code == 2
    own = office.rita("release", "resolve", error["id"], "--accepted", "nobody minds")
    assert own.exit_code == 4 and "cannot accept a known error" in own.stderr
    assert office.rita("release", "resolve", error["id"], "--fixed", "mended").exit_code == 0


def test_a_waiver_is_asked_for_by_one_and_granted_by_another(office: Office):
    words = ("release", "waive", "labapp", "1.1", "rehearsal", "--reason", "as 1.0", "--until", SOON)
    asked = office.rita(*words)
    number = office.rita.json("release", "waivers", "labapp", "1.1")[0]["id"]
    assert f"A second person grants it: verdelta release grant {number}" in asked.stdout
    own = office.rita("release", "grant", number)
    assert own.exit_code == 4 and "second person" in own.stderr
    assert "rehearsal is waived until" in office.carl("release", "grant", number).stdout
    assert "carl" in office.rita("release", "waivers", "labapp", "1.1").stdout
    signature = office.rita(
        *("release", "waive", "labapp", "1.1", "sign-off business", "--reason", "x", "--until", SOON)
    )
    assert signature.exit_code == 2 and "cannot be waived" in signature.stderr


def test_a_record_that_the_policy_does_not_ask_for_is_refused_with_those_that_it_does(office: Office):
    refused = office.rita("release", "record", "labapp", "1.1", "training", "--passed")
    assert refused.exit_code == 2 and "the policy asks for no record training" in refused.stderr


def test_criteria_are_told_by_measures_reports_and_people_with_what_shows_it(office: Office):
    release = office.services.releases.release("labapp", "1.1")
    with office.services.database.transaction() as session:
        found = session.get_one(type(release), release.id)
        found.state, found.passed = "in_test", ["built", "in_test"]
        session.add(found)
    words = ("release", "result", "labapp", "1.1")
    wrong = office.tess(*words, "quick", "--value", "1", "--unit", "s")
    assert "unknown" in wrong.stdout and "the criterion is in ms" in wrong.stdout
    assert (
        "✔ quick: passed, 120 ms (at most 200)" in office.tess(*words, "quick", "--value", "120", "--unit", "ms").stdout
    )
    report = office.file("report.xml", JUNIT)
    assert "✔ unit: passed, 2 passed" in office.tess(*words, "unit", "--junit", report).stdout
    seen = office.tess(*words, "looks-right", "--failed", "--note", "crooked", "--evidence", report)
    assert "✖ looks-right: failed, crooked" in seen.stdout
    assert "quick takes a value and its unit" in office.tess(*words, "quick", "--passed").stderr
    shown = office.tess("release", "criteria", "labapp", "1.1")
    assert shown.exit_code == 3 and "2 of 3 criteria passed; not passed: looks-right" in shown.stdout
    told = {
        one["id"]: one["results"][0]["artifact"]
        for one in office.tess.json("release", "criteria", "labapp", "1.1")["criteria"]
    }
    assert told["unit"] and told["looks-right"] == told["unit"] and told["quick"] is None
    empty = office.tess(*words, "looks-right", "--passed", "--evidence", office.file("empty", ""))
    assert empty.exit_code == 2 and "evidence is a file of 1 byte" in empty.stderr


REVIEW = {
    "rollout": 12,
    "package": "5" * 64,
    "missing": ["system.units labapp.service on test-01"],
    "accepted": None,
    "lines": [
        {
            "host_class": "debian 12",
            "change": {"section": "system.files", "key": "/etc/x", "after": {"kind": "file", "digest": "any"}},
            "declared": False,
            "hosts": ["test-01"],
            "of": 2,
            "note": "not declared in the manifest; on 1 of 2 hosts",
        }
    ],
}


PATH = "releases/labapp/1.1/rehearsed-change"
ACCEPTED = {"package": "5" * 64, "rollout": 12, "digest": "c" * 64, "changes": 1, "accepted_by": "tess"}


class Reviewed:
    """Answers with a review, and keeps what was accepted."""

    def __init__(self, folder: Path) -> None:
        self.answers = ByHand({f"GET {PATH}": (200, REVIEW), f"POST {PATH}": (201, ACCEPTED)})
        self.run = CommandLine(folder, self.answers)

    @property
    def sent(self) -> list[object]:
        return [body for body in self.answers.sent if body is not None]

    def __call__(self, *words: object):
        return self.run("release", "rehearsed", "labapp", "1.1", *words)


def test_the_review_shows_each_line_with_what_a_reviewer_wants_to_know(tmp_path: Path):
    shown = Reviewed(tmp_path)().stdout
    for part in (
        "debian 12",
        "/etc/x",
        "kind file, digest any",
        "not declared",
        "1 line, 1 not declared in the manifest",
    ):
        assert part in shown, shown
    assert "! declared, and not seen: system.units labapp.service on test-01" in shown
    assert "--accept-all" in shown


def test_the_lines_are_written_edited_and_accepted_as_they_were_edited(tmp_path: Path):
    review, file = Reviewed(tmp_path), tmp_path / "rehearsed.yaml"
    assert review("--write", file).exit_code == 0
    assert "# debian 12, on 1 of 2, not declared in the manifest" in file.read_text()
    file.write_text(file.read_text().replace('"kind": "file"', '"kind": "any"'))
    accepted = review("--accept", file, "--yes")
    assert "✔ 1 line accepted, as cccccccccccc, of rehearsal 12" in accepted.stdout
    change = {"section": "system.files", "key": "/etc/x", "after": {"kind": "any", "digest": "any"}}
    assert review.sent == [{"package": "5" * 64, "changes": [change]}]
    assert review("--accept-all").exit_code == 2  # nobody is there to be asked
    assert len(review.sent) == 1


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("5" * 64, "6" * 64), "it is of package 666666666666, and that is 555555555555 now"),
        (('"after"', '"aftre"'), "rehearsed.yaml:6: "),
        (("changes:", "chnages:"), "no reviewed change"),
        (("changes:", "changes: ["), "rehearsed.yaml:"),
    ],
)
def test_a_file_that_is_not_the_review_is_refused_with_its_line_and_nothing_is_sent(
    tmp_path: Path, edit: tuple[str, str], said: str
):
    review, file = Reviewed(tmp_path), tmp_path / "rehearsed.yaml"
    review("--write", file)
    file.write_text(file.read_text().replace(*edit))
    refused = review("--accept", file, "--yes")
    assert refused.exit_code == 2 and said in refused.stderr, refused.stderr
    assert review.sent == []


def test_policies_are_shown_listed_checked_and_put(office: Office):
    assert office.root("policy", "shipped").stdout.split() == ["one-person", "standard"]
    assert office.root("policy", "show").stdout == shipped_policy("standard")[0]
    assert office.root.json("policy", "show", 1)["name"] == "one-person"
    house = office.file("house.yaml", "policy: house\ntypes:\n  minor: {}\n")
    assert "can be put in force" in office.root("policy", "put", house, "--dry-run").stdout
    assert "house is in force, as version 3" in office.root("policy", "put", house).stdout
    assert office.root("policy", "list").stdout.splitlines()[1].startswith("3")
    assert office.rita("policy", "put", house).exit_code == 4
    wrong = office.root("policy", "put", office.file("wrong.yaml", "policy: house\n"))
    assert wrong.exit_code == 2 and "wrong.yaml:1: " in wrong.stderr
