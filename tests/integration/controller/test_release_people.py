"""Nobody stands on two sides of a release: whatever path is tried, and whatever happens at the same moment."""

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.support.releases import Releases, some_releases

from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.errors import Conflict, GateClosed, NotAllowed, VerdeltaError
from verdelta_controller.releases.duties import OtherSide
from verdelta_controller.releases.sides import Purpose
from verdelta_controller.releases.signing_off import move_person


@pytest.fixture
def releases(tmp_path, database_url) -> Iterator[Releases]:
    with some_releases(tmp_path, database_url) as found:
        yield found


def with_roles(releases: Releases, name: str, *roles: Role) -> None:
    """Give a person further roles, as an administrator may at any time."""
    actor = releases.people[name]
    releases.people[name] = Actor(name, actor.roles | set(roles), actor.person_id)


def test_a_release_goes_its_whole_way_by_five_people(releases):
    releases.accepted()
    assert releases.service.release("labapp", "1.1").state == "accepted"
    releases.sign("bea", Purpose.BUSINESS)
    releases.sign("rita", Purpose.IMPLEMENTATION)
    done = releases.service.authorise("labapp", "1.1", releases.people["rita"])
    assert done.state == "authorised"
    assert [change["after"] for change in done.authorised_changes] == [{"version": "1.1"}]
    assert releases.service.authorised(done).changes[0].key == "labapp:all"


def test_who_builds_a_release_does_not_test_it_whatever_roles_she_is_given_later(releases):
    releases.build("bob")
    with_roles(releases, "bob", Role.TEST_MANAGER)
    with pytest.raises(OtherSide, match=r"bob already makes the release .*cannot be who tests it"):
        releases.begin_rehearsal("bob")
    assert releases.service.release("labapp", "1.1").state == "built"


def test_who_tests_a_release_does_not_build_it_authorise_it_or_sign_for_its_implementation(releases):
    releases.accepted()
    with_roles(releases, "tess", Role.RELEASE_MANAGER, Role.BUILD_MANAGER, Role.BUSINESS_APPROVER)
    with pytest.raises(OtherSide):
        releases.build("tess", build=2)
    for purpose in (Purpose.BUSINESS, Purpose.IMPLEMENTATION):
        with pytest.raises(OtherSide):
            releases.sign("tess", purpose)
    releases.sign("bea", Purpose.BUSINESS)
    releases.sign("rita", Purpose.IMPLEMENTATION)
    with pytest.raises(OtherSide):
        releases.service.authorise("labapp", "1.1", releases.people["tess"])


def test_somebody_else_may_hold_both_roles_in_two_releases(releases):
    with_roles(releases, "tess", Role.BUILD_MANAGER)
    with_roles(releases, "bob", Role.TEST_MANAGER)
    releases.build("bob", version="1.1")
    releases.build("tess", version="1.2")
    releases.begin_rehearsal("tess", "1.1")
    assert releases.begin_rehearsal("bob", "1.2") > 0


def test_a_duty_reserves_the_side_and_nobody_else_does_it(releases):
    releases.build("bob")
    tess, tom = releases.people["tess"], releases.people["tom"]
    releases.signing.appoint("labapp", "1.1", tess.person_id, "tess", Role.TEST_MANAGER, releases.people["rita"])
    with pytest.raises(OtherSide):
        releases.signing.appoint("labapp", "1.1", tess.person_id, "tess", Role.BUILD_MANAGER, releases.people["rita"])
    releases.end_rehearsal(releases.begin_rehearsal())
    releases.tell()
    releases.accept_change()
    with_roles(releases, "tom", Role.TEST_MANAGER)
    with pytest.raises(NotAllowed, match="tom was not appointed test-manager"):
        releases.sign("tom", Purpose.ACCEPTANCE)
    assert releases.sign("tess", Purpose.ACCEPTANCE).person_name == "tess"
    assert tom.person_id is not None


def test_a_lent_role_takes_the_lender_to_the_side_of_the_deputy(releases):
    releases.build("bob")
    releases.end_rehearsal(releases.begin_rehearsal("tom"))
    releases.tell()
    releases.accept_change("tess")
    with_roles(releases, "carl", Role.TEST_MANAGER)
    releases.credentials.lenders["carl"] = releases.people["bob"].person_id or ""
    with pytest.raises(OtherSide, match="who lent carl it already makes the release"):
        releases.sign("carl", Purpose.ACCEPTANCE)
    releases.credentials.lenders["carl"] = releases.people["tess"].person_id or ""
    assert releases.sign("carl", Purpose.ACCEPTANCE).for_person_id == releases.people["tess"].person_id


def test_two_accounts_of_one_person_do_not_come_together_over_two_sides(releases):
    releases.build("bob")
    releases.begin_rehearsal("tess")
    bob, tess = (releases.people[name].person_id or "" for name in ("bob", "tess"))
    with (
        pytest.raises(Conflict, match="different sides of a release"),
        releases.services.database.transaction() as session,
    ):
        move_person(session, bob, tess)
    accounts = releases.services.people.accounts
    with pytest.raises(Conflict, match="different sides"):
        accounts.merge_accounts("bob", "tess", "root")
    assert accounts.named("tess").left_at is None


def test_two_accounts_on_one_side_come_together_with_what_they_did(releases):
    releases.accepted()
    accounts = releases.services.people.accounts
    accounts.merge_accounts("tess", "tom", "root")
    _, sides = releases.signing.people("labapp", "1.1")
    tests = [side.person_id for side in sides if side.side == "test"]
    assert tests == [releases.people["tess"].person_id]


def test_an_administrator_stands_on_no_side(releases):
    accounts = releases.services.people.accounts
    root = accounts.create_person("root2", "Root", "root", Standing.ADMINISTRATOR)
    releases.build("bob")
    releases.people["root2"] = Actor("root2", frozenset((Role.TEST_MANAGER,)), root.id)
    with pytest.raises(VerdeltaError):
        releases.begin_rehearsal("root2")


def test_a_token_signs_nothing(releases):
    releases.accepted()
    releases.people["ci"] = Actor("ci", frozenset(Role))
    with pytest.raises(NotAllowed, match="tokens never sign"):
        releases.sign("ci", Purpose.BUSINESS)


STATEMENTS = {
    "a second side": "insert into release_side (release_id, person_id, standing, side, since, reason) "
    "values (1, '{bob}', 'member', 'test', '2026-01-01', '')",
    "another side in place of it": "update release_side set side = 'test' where person_id = '{bob}'",
    "a duty on the other side": "insert into release_duty (release_id, person_id, role, side, appointed_at, "
    "appointed_by) values (1, '{bob}', 'test-manager', 'test', '2026-01-01', '')",
    "a duty that does not fit its side": "insert into release_duty (release_id, person_id, role, side, appointed_at, "
    "appointed_by) values (1, '{bob}', 'test-manager', 'delivery', '2026-01-01', '')",
    "a signature on the other side": "insert into sign_off (release_id, person_id, person_name, side, purpose, "
    "subject, package, statement, signed_at, void_reason) values (1, '{bob}', 'bob', 'test', 'acceptance', '', '', '', "
    "'2026-01-01', '')",
    "a signature that does not fit its side": "insert into sign_off (release_id, person_id, person_name, side, "
    "purpose, subject, package, statement, signed_at, void_reason) values (1, '{bob}', 'bob', 'delivery', "
    "'acceptance', '', '', '', '2026-01-01', '')",
    "an administrator's side": "insert into release_side (release_id, person_id, standing, side, since, reason) "
    "values (1, '{root}', 'administrator', 'test', '2026-01-01', '')",
    "an administrator's side under a false standing": "insert into release_side (release_id, person_id, standing, "
    "side, since, reason) values (1, '{root}', 'member', 'test', '2026-01-01', '')",
    "leaving a side that was signed on": "delete from release_side where person_id = '{bob}'",
    "a waiver granted by who asked": "insert into gate_waiver (release_id, gate, reason, asked_by, asked_by_name, "
    "asked_at, granted_by, granted_by_name, expires_at) values (1, 'x', '', '{bob}', '', '2026-01-01', '{bob}', '', "
    "'2026-01-01')",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_the_database_itself_refuses(releases, statement: str):
    accounts = releases.services.people.accounts
    root = accounts.create_person("root2", "Root", "root", Standing.ADMINISTRATOR)
    releases.build("bob")
    bob = releases.people["bob"]
    releases.signing.appoint("labapp", "1.1", bob.person_id, "bob", Role.BUILD_MANAGER, releases.people["rita"])
    engine = releases.services.database.engine
    with pytest.raises((IntegrityError, Conflict)), engine.begin() as connection:
        connection.execute(text(statement.format(bob=bob.person_id, root=root.id)))


def at_once(*works: Callable[[], object]) -> list[BaseException | None]:
    """Do several things at the same moment, and return what each ended with."""
    ended: list[BaseException | None] = [None] * len(works)
    ready = threading.Barrier(len(works))

    def run(place: int) -> None:
        ready.wait()
        try:
            works[place]()
        except VerdeltaError as error:
            ended[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


@pytest.mark.parametrize("turn", range(10))
def test_of_both_roles_at_once_one_person_gets_one(releases, turn: int):
    releases.build("bob")
    with_roles(releases, "rita", Role.TEST_MANAGER)
    rita = releases.people["rita"]
    works = [
        lambda: releases.begin_rehearsal("rita"),
        lambda: releases.signing.appoint("labapp", "1.1", rita.person_id, "rita", Role.RELEASE_MANAGER, rita),
        lambda: releases.build("rita", build=2),
    ]
    ended = at_once(*works[turn % 3 :], *works[: turn % 3])
    _, sides = releases.signing.people("labapp", "1.1")
    assert len([side for side in sides if side.person_id == rita.person_id]) == 1
    assert any(error is None for error in ended) and any(error is not None for error in ended)


@pytest.mark.parametrize("turn", range(5))
def test_a_signature_and_a_new_build_at_once_never_leave_a_signature_of_the_old_package(releases, turn: int):
    releases.accepted()
    at_once(lambda: releases.sign("bea", Purpose.BUSINESS), lambda: releases.build("bob", build=2))
    release = releases.service.release("labapp", "1.1")
    assert release.state == "built"
    assert all(row.voided_at is not None for row in releases.signing.sign_offs("labapp", "1.1"))


def test_what_was_signed_is_void_once_it_is_built_anew(releases):
    first = releases.accepted()
    releases.sign("bea", Purpose.BUSINESS)
    shown = releases.signing.binding("labapp", "1.1", Purpose.IMPLEMENTATION)
    releases.build("bob", build=2)
    rows = releases.signing.sign_offs("labapp", "1.1")
    assert [(row.purpose, row.package == first.digest, bool(row.voided_at)) for row in rows] == [
        ("acceptance", True, True),
        ("business", True, True),
    ]
    with pytest.raises(GateClosed, match="is not what you were shown"):
        releases.signing.sign("labapp", "1.1", Purpose.IMPLEMENTATION, shown.subject, "000000", releases.people["rita"])


def test_who_has_not_seen_the_evidence_cannot_sign(releases):
    releases.build("bob")
    with pytest.raises(GateClosed, match="cannot be signed for acceptance yet"):
        releases.sign("tess", Purpose.ACCEPTANCE)
    releases.end_rehearsal(releases.begin_rehearsal(), passed=False)
    releases.tell()
    releases.accept_change()
    with pytest.raises(GateClosed, match="rehearsal: roll-out 1"):
        releases.sign("tess", Purpose.ACCEPTANCE)
    with pytest.raises(GateClosed, match="has to be accepted first"):
        releases.sign("bea", Purpose.BUSINESS)


def test_a_waiver_takes_two_people(releases):
    from datetime import timedelta

    from verdelta_controller.foundation.clock import now

    releases.build("bob")
    with_roles(releases, "rita", Role.CHANGE_MANAGER)
    until = now() + timedelta(days=7)
    asked = releases.records.ask_waiver("labapp", "1.1", "rehearsal", "as 1.0", until, releases.people["rita"])
    with pytest.raises(NotAllowed, match="second person"):
        releases.records.grant_waiver(asked.id, releases.people["rita"])
    granted = releases.records.grant_waiver(asked.id, releases.people["carl"])
    assert granted.granted_by_name == "carl"
    _, _, lines = releases.service.checklist("labapp", "1.1")
    assert {line.gate: line.status.value for line in lines}["rehearsal"] == "waived"
    with pytest.raises(Conflict, match="cannot be waived"):
        releases.records.ask_waiver("labapp", "1.1", "sign-off business", "busy", until, releases.people["rita"])
