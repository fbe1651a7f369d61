"""Criteria are held against what was audited, answered or told: what could not be found out is never passed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.model import ABSENT, FAILED, OK, Section
from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.releases.acceptance import (
    CommandCriterion,
    HttpCriterion,
    JunitCriterion,
    MeasureCriterion,
    Outcome,
    StateCriterion,
    Told,
    judge_answer,
    judge_command,
    judge_measure,
    judge_state,
    judge_tests,
    summarise,
)
from verdelta_controller.releases.manifest import load_manifest

DEBIAN = {"id": "debian", "version_id": "12"}
ROWS = {"labapp.service": {"enabled": "enabled"}, "old.service": {"enabled": "disabled"}}


def state(key: str = "labapp.service", after: Any = "any", **more: Any) -> StateCriterion:
    return StateCriterion(id="one", says="so", check="state", section="system.units", key=key, after=after, **more)


@pytest.mark.parametrize(
    ("criterion", "outcome", "said"),
    [
        (state(after={"enabled": "enabled"}), Outcome.PASSED, "labapp.service"),
        (state(after={"enabled": "disabled"}), Outcome.FAILED, "labapp.service enabled is enabled, wanted disabled"),
        (state("gone.service", "absent"), Outcome.PASSED, "absent"),
        (state("gone.service"), Outcome.FAILED, "gone.service is not there"),
        (state("gone.service", {"enabled": "enabled"}), Outcome.FAILED, "gone.service is not there"),
        (state(after="absent"), Outcome.FAILED, "labapp.service is there, wanted to be absent"),
        (state("*.service", {"enabled": {"one_of": ["enabled", "disabled"]}}), Outcome.PASSED, "labapp.service"),
        (state("*.service", {"enabled": "enabled"}), Outcome.FAILED, "old.service enabled is disabled"),
    ],
)
def test_a_criterion_of_the_audited_state_is_held_against_its_rows(
    criterion: StateCriterion, outcome: Outcome, said: str
):
    result = judge_state(criterion, {"system.units": Section(OK, ROWS, {})}, DEBIAN)
    assert result is not None and result.outcome is outcome and said in result.detail


@pytest.mark.parametrize(
    "section", [None, Section(FAILED, {}, {}, "permission"), Section(OK, {}, {}, "partial: 1 file not read")]
)
@pytest.mark.parametrize("after", ["absent", "any"])
def test_what_the_audit_does_not_show_is_unknown_and_never_passed(section: Section | None, after: str):
    sections = {} if section is None else {"system.units": section}
    result = judge_state(state("gone.service", after), sections, DEBIAN)
    assert result is not None and result.outcome is Outcome.UNKNOWN


def test_a_section_that_is_absent_has_no_rows():
    result = judge_state(state("gone.service", "absent"), {"system.units": Section(ABSENT, {}, {})}, DEBIAN)
    assert result is not None and result.outcome is Outcome.PASSED


def test_a_criterion_for_other_systems_says_nothing_of_this_one():
    assert judge_state(state(on={"id": "rocky"}), {"system.units": Section(OK, ROWS, {})}, DEBIAN) is None


def test_a_command_passes_by_its_exit_code_and_what_it_prints():
    command = CommandCriterion(id="c", says="so", check="command", run=["labapp", "--check"], prints="*ready*")
    assert judge_command(command, 0, "labapp is ready\n").outcome is Outcome.PASSED
    assert judge_command(command, 1, "labapp is ready\n").outcome is Outcome.FAILED
    assert judge_command(command, 0, "not yet").outcome is Outcome.FAILED


def test_an_answer_passes_by_its_status_and_text():
    page = HttpCriterion(id="h", says="so", check="http", port=8080, contains="ok")
    assert judge_answer(page, 200, "all ok").outcome is Outcome.PASSED
    assert judge_answer(page, 503, "all ok").outcome is Outcome.FAILED
    assert judge_answer(page, 200, "no").outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("value", "unit", "outcome"),
    [
        (200.0, "ms", Outcome.PASSED),
        (200.1, "ms", Outcome.FAILED),
        (1.0, "ms", Outcome.FAILED),
        (0.1, "s", Outcome.UNKNOWN),
        (float("nan"), "ms", Outcome.FAILED),
    ],
)
def test_a_measure_is_held_against_its_limits_in_its_own_unit(value: float, unit: str, outcome: Outcome):
    measure = MeasureCriterion(id="m", says="so", check="measure", unit="ms", at_least=2, at_most=200)
    assert judge_measure(measure, value, unit).outcome is outcome


def test_a_report_passes_when_nothing_failed_and_enough_was_tested():
    report = JunitCriterion(id="j", says="so", check="junit", at_least=20)
    assert judge_tests(report, 20, 0, 3).outcome is Outcome.PASSED
    assert judge_tests(report, 19, 0, 3).outcome is Outcome.FAILED
    assert judge_tests(report, 30, 1, 0).outcome is Outcome.FAILED


TOLD = st.builds(Told, st.sampled_from(("a", "b")), st.sampled_from(("", "h1")), st.sampled_from(Outcome))
CRITERIA = [state().model_copy(update={"id": name}) for name in ("a", "b")]


@given(st.lists(TOLD, max_size=6))
def test_criteria_passed_together_only_when_each_has_results_and_all_of_these_passed(told: list[Told]):
    summary = summarise(CRITERIA, told)
    each = [[one.outcome for one in told if one.criterion == name] for name in ("a", "b")]
    assert summary.passed == all(found and set(found) == {Outcome.PASSED} for found in each)


MANIFEST = """
release: labapp
version: "1.1"
type: minor
service: lab
install: {playbook: install_packages.yml}
acceptance:
  - {id: runs, says: It runs, check: state, section: system.units, key: labapp.service, after: {enabled: enabled}}
changes:
  - {section: software.dpkg, key: "labapp:*", after: any}
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("section: system.unts", 'release.yaml:8: unknown section "system.unts" in criterion 1; did you mean'),
        ("check: stat", 'release.yaml:8: unknown check "stat" in criterion 1; did you mean "state"?'),
        ("after: {}", "release.yaml:8: after is empty"),
        ("id: Runs!", "release.yaml:8: "),
    ],
)
def test_a_criterion_that_is_wrong_is_named_with_its_line(wrong: str, said: str):
    field = wrong.split(":")[0]
    right = {
        "section": "section: system.units",
        "check": "check: state",
        "after": "after: {enabled: enabled}",
        "id": "id: runs",
    }[field]
    with pytest.raises(InvalidInput) as refused:
        load_manifest(MANIFEST.replace(right, wrong, 1), sections=("system.units", "software.dpkg"))
    assert said in str(refused.value)


def test_two_criteria_of_one_name_are_refused():
    line = MANIFEST.splitlines()[7]
    with pytest.raises(InvalidInput, match=r"release.yaml:9: criterion 2 has the id of line 8"):
        load_manifest(MANIFEST.replace(line, f"{line}\n{line}"))
