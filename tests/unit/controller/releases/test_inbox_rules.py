"""What waits for whom: whose turn it is in a release, and whose it can never be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.releases import MANIFEST

from verdelta_agent.model import SECTION_NAMES
from verdelta_controller.access.rules import Role
from verdelta_controller.releases.gates import Accepted, Facts, Recorded, Rehearsed, Signed
from verdelta_controller.releases.inbox_rules import Kind, Standing, Task, entries, tasks
from verdelta_controller.releases.manifest import ReleaseType, load_manifest
from verdelta_controller.releases.policy import load_policy, shipped_policy
from verdelta_controller.releases.rules import ReleaseState
from verdelta_controller.releases.sides import SIDES, Purpose, Side

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BUILT = NOW - timedelta(days=3)
POLICY = shipped_policy("standard")[1]
PACKAGE = load_manifest(MANIFEST.format(version="1.1", build=1, type="minor"), "release.yaml", SECTION_NAMES)
REHEARSED = Rehearsed(7, True, "1 host: 1 verified", "tess", NOW - timedelta(days=2))
CHANGE = Accepted("c" * 64, "tess", NOW - timedelta(days=1))
THROUGH_TEST = frozenset((ReleaseState.BUILT, ReleaseState.IN_TEST, ReleaseState.ACCEPTED))


def signed(purpose: Purpose, by: str, days: int = 1) -> Signed:
    return Signed(purpose, by, NOW - timedelta(days=days))


def waiting(state: str, kind: str = "minor", policy: Any = POLICY, **known: Any) -> list[tuple[str, str, str]]:
    """Return (kind, role, gate or step) of all that a release waits for."""
    return [(task.kind.value, task.role.value, task.what.split(":")[0]) for task in of(state, kind, policy, **known)]


def of(state: str, kind: str = "minor", policy: Any = POLICY, **known: Any) -> list[Task]:
    facts = Facts("labapp 1.1", ReleaseType(kind), ReleaseState(state), **{"manifest": PACKAGE, **known})
    return tasks(policy, facts, BUILT, NOW)


def test_a_draft_waits_for_its_builder_alone():
    assert waiting("draft", manifest=None) == [("build", "build-manager", "it is to be built")]


def test_a_rejected_release_waits_for_its_builder_alone():
    assert [(task.kind, task.action) for task in of("rejected")] == [(Kind.BUILD, "verdelta release build")]


def test_what_is_built_waits_to_be_rehearsed_and_for_nobody_s_signature_yet():
    assert waiting("built") == [("gate", "test-manager", "rehearsal")]


def test_what_the_package_lacks_comes_before_its_test():
    lacking = PACKAGE.model_copy(update={"acceptance": []})
    assert waiting("built", manifest=lacking) == [("gate", "build-manager", "criteria")]


def test_a_rehearsal_that_is_under_way_waits_for_nobody():
    assert waiting("in_test", rehearsal=Rehearsed(7, None, "", "tess", NOW)) == []


def test_a_rehearsal_that_ended_waits_for_its_review_and_criteria_without_a_result_for_testers():
    run = Rehearsed(7, False, "1 of 2 criteria passed", "tess", NOW - timedelta(hours=5), ("looks-right",))
    found = of("in_test", rehearsal=run)
    assert [(task.kind.value, task.role.value) for task in found] == [
        ("criteria", "tester"),
        ("criteria", "test-manager"),
        ("review", "test-manager"),
    ]
    assert found[0].what == "without a result: looks-right"
    assert found[0].since == run.at


def test_a_rehearsal_that_failed_waits_to_be_repeated():
    run = Rehearsed(7, False, "1 host: 1 at variance", "tess", NOW)
    assert ("gate", "test-manager", "rehearsal") in waiting("in_test", rehearsal=run)


def test_a_signature_waits_once_all_that_it_rests_on_is_there_and_since_then():
    (task,) = of("in_test", rehearsal=REHEARSED, rehearsed_change=CHANGE)
    assert (task.role, task.purpose, task.since) == (Role.TEST_MANAGER, "acceptance", CHANGE.at)
    assert task.action == "verdelta release sign labapp 1.1 acceptance"


def test_what_is_accepted_waits_for_all_who_sign_before_it_is_authorised_at_once():
    found = waiting("accepted", rehearsal=REHEARSED, rehearsed_change=CHANGE, passed_states=THROUGH_TEST)
    assert found == [
        ("gate", "business-approver", "sign-off business"),
        ("gate", "release-manager", "sign-off implementation"),
    ]


ALL_SIGNED = (signed(Purpose.BUSINESS, "bea"), signed(Purpose.IMPLEMENTATION, "rita", 0))


def test_what_all_have_signed_waits_to_be_authorised_since_the_last_signature():
    known = {"rehearsal": REHEARSED, "rehearsed_change": CHANGE, "passed_states": THROUGH_TEST}
    (task,) = of("accepted", sign_offs=ALL_SIGNED, **known)
    assert (task.kind, task.role, task.since) == (Kind.AUTHORISE, Role.RELEASE_MANAGER, NOW)


def test_an_authorised_release_waits_for_deployment_and_in_a_freeze_for_nobody():
    frozen = load_policy(
        "policy: p\nfreezes: [{name: end of the year, begins: 2026-11-20, ends: 2026-12-01}]\n"
        "types:\n  minor: {before: {deploying: [{gate: no-freeze}]}}\n"
    )
    known = {"passed_states": THROUGH_TEST | {ReleaseState.AUTHORISED}}
    assert waiting("authorised", **known) == [("deploy", "deployment-staff", "it can be deployed")]
    assert waiting("authorised", policy=frozen, **known) == []


def test_what_is_on_its_way_to_hosts_waits_for_no_gate_and_what_is_deployed_to_be_closed():
    assert waiting("deploying", passed_states=THROUGH_TEST) == []
    assert waiting("deployed", passed_states=THROUGH_TEST) == [
        ("close", "release-manager", "it is deployed, and can be closed")
    ]


def test_what_an_emergency_left_out_is_owed_until_it_is_closed():
    known = {"passed_states": frozenset((ReleaseState.BUILT, ReleaseState.AUTHORISED))}
    found = waiting("deployed", "emergency", **known)
    assert found == [
        ("owed", "test-manager", "rehearsal"),
        ("owed", "test-manager", "sign-off acceptance"),
        ("gate", "business-approver", "sign-off business"),
    ]


@pytest.mark.parametrize("state", ["closed", "cancelled"])
def test_nothing_of_a_release_that_has_ended_waits_for_anybody(state: str):
    assert of(state) == []


def test_a_record_that_failed_waits_for_whose_task_it_is():
    policy = load_policy(
        "policy: p\ntypes:\n  minor: {before: {authorised: [{gate: record, of: scan, by: build-manager}]}, "
        "skips: [in_test, accepted]}\n"
    )
    failed = Recorded("scan", False, "bob", NOW - timedelta(hours=1))
    (task,) = of("built", policy=policy, records=[failed])
    assert (task.role, task.since) == (Role.BUILD_MANAGER, failed.at)


# -- whose it can be

SIGN = Task(Kind.GATE, Role.TEST_MANAGER, "sign-off acceptance: not signed", NOW, "sign", "acceptance")


def stands(*roles: Role, lent_by: str | None = None, **more: Any) -> Standing:
    return Standing(dict.fromkeys(roles, lent_by), "tess", **{"sides": {}, "appointed": {}, **more})


def test_it_is_hers_who_holds_the_role():
    assert stands(Role.TEST_MANAGER).may_take(SIGN)
    assert not stands(Role.RELEASE_MANAGER).may_take(SIGN)


def test_it_is_not_hers_where_others_were_appointed():
    appointed = {Role.TEST_MANAGER: ["theo"]}
    assert not stands(Role.TEST_MANAGER, appointed=appointed).may_take(SIGN)
    assert stands(Role.TEST_MANAGER, appointed={Role.TEST_MANAGER: ["theo", "tess"]}).may_take(SIGN)
    assert stands(Role.TEST_MANAGER, lent_by="theo", appointed=appointed).may_take(SIGN)


def test_it_is_not_hers_where_she_or_who_lent_it_to_her_stands_on_another_side():
    assert not stands(Role.TEST_MANAGER, sides={"tess": Side.DELIVERY}).may_take(SIGN)
    assert not stands(Role.TEST_MANAGER, lent_by="theo", sides={"theo": Side.BUSINESS}).may_take(SIGN)
    assert stands(Role.TEST_MANAGER, lent_by="theo", sides={"theo": Side.TEST, "tess": Side.TEST}).may_take(SIGN)


def test_it_is_not_hers_a_second_time_where_several_have_to_sign():
    assert not stands(Role.TEST_MANAGER, signed={"acceptance"}).may_take(SIGN)


def test_what_waits_for_her_in_two_roles_is_there_once():
    both = [Task(Kind.CRITERIA, role, "without a result: a", NOW, "run") for role in (Role.TESTER, Role.TEST_MANAGER)]
    (entry,) = entries(both, stands(Role.TESTER, Role.TEST_MANAGER), "labapp 1.1")
    assert (entry.role, entry.release, entry.lent) == (Role.TESTER, "labapp 1.1", False)


@given(
    st.sampled_from([state.value for state in ReleaseState]),
    st.sampled_from(["major", "minor", "emergency"]),
    st.sets(st.sampled_from(sorted(THROUGH_TEST))),
    st.sampled_from([None, REHEARSED]),
    st.sampled_from([None, CHANGE]),
    st.sets(st.sampled_from(ALL_SIGNED)),
    st.sampled_from(list(Side)),
)
def test_nobody_is_asked_for_what_another_side_has_to_do(state, kind, passed, run, change, sign_offs, side):
    everything = Standing(dict.fromkeys(Role), "tess", {"tess": side}, {})
    known = {"passed_states": frozenset(passed), "rehearsal": run, "rehearsed_change": change}
    found = entries(of(state, kind, sign_offs=list(sign_offs), **known), everything, "labapp 1.1")
    assert all(SIDES.get(entry.role, side) is side for entry in found if entry.role)
    assert all(BUILT <= entry.since <= NOW for entry in found)
