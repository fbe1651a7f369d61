"""Roles on both databases: granted, lent and ended, and what the database itself refuses."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from tests.support.concurrently import at_once
from tests.support.people import ADMINISTRATOR, LOG, Clock, Joined, evidence, joined, lender_of, names

from verdelta_controller.access.grants import Held, held
from verdelta_controller.access.people import People
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import Conflict, InvalidInput, NotAllowed, NotAuthenticated, NotFound
from verdelta_controller.foundation.signing import Vault

DAY = timedelta(days=1)
MANAGER = Role.RELEASE_MANAGER


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def people(database: Database) -> People:
    return People(database, LOG, Vault(b"v" * 32))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def alice(people: People, clock: Clock) -> Joined:
    return joined(people, clock, "alice", MANAGER)


def member(people: People, name: str, *roles: Role) -> str:
    return people.accounts.create_person(name, name.title(), "root", Standing.MEMBER, roles).id


def lend(alice: Joined, to: str = "", team: str = "", days: float = 7, begins: float = 0, **other: Any) -> Any:
    at = alice.clock.now()
    given = {"name": "alice", "role": MANAGER, "actor": alice.actor, "to": to, "team": team, **other}
    return alice.people.grants.lend(begins_at=at + begins * DAY, ends_at=at + days * DAY, **given)


def standing(alice: Joined, person_id: str, role: Role = MANAGER, days: float = 0) -> Held | None:
    return alice.people.grants.standing_of(person_id, role, alice.clock.now() + days * DAY)


# -- one's own


def test_a_role_is_held_from_its_grant_to_its_withdrawal(people, alice, clock, database):
    before = clock.now()
    clock.passes(DAY)
    people.grants.grant("alice", Role.TESTER, "root")
    assert alice.actor.roles == {MANAGER, Role.TESTER}
    assert people.grants.standing_of(alice.person_id, Role.TESTER, before) is None
    granted = clock.now()
    clock.passes(DAY)
    people.grants.withdraw("alice", Role.TESTER, "root")
    assert alice.actor.roles == {MANAGER}
    assert people.grants.standing_of(alice.person_id, Role.TESTER, granted) == Held(Role.TESTER)  # it was so then
    assert evidence(database, "role-granted")[0]["role"] == evidence(database, "role-withdrawn")[0]["role"] == "tester"
    with pytest.raises(NotFound, match="alice does not hold tester"):
        people.grants.withdraw("alice", Role.TESTER, "root")


def test_a_role_with_dates_begins_and_ends_by_itself_and_can_be_given_again(people, alice, clock):
    people.grants.grant("alice", Role.TESTER, "root", clock.now() + DAY, clock.now() + 2 * DAY)
    assert Role.TESTER not in alice.actor.roles
    with pytest.raises(Conflict, match="alice is tester already"):
        people.grants.grant("alice", Role.TESTER, "root")
    clock.passes(DAY)
    assert Role.TESTER in alice.actor.roles
    clock.passes(DAY)
    assert Role.TESTER not in alice.actor.roles
    people.grants.grant("alice", Role.TESTER, "root")
    assert Role.TESTER in alice.actor.roles


def test_of_those_that_grant_a_role_at_once_one_does(people, alice):
    for role in (Role.TESTER, Role.AUDITOR, Role.TECHNICIAN):
        results = at_once([lambda role=role: people.grants.grant("alice", role, "root")] * 4)
        assert names(results) == ["Conflict"] * 3 + ["RoleGrant"]
        assert len([one for one in people.accounts.account("alice").grants if one.role == role]) == 1


def test_administrators_hold_no_other_role_and_members_never_that_one(people, alice):
    people.accounts.create_person("root", "Root", "init", Standing.ADMINISTRATOR)
    for role in set(Role) - {Role.ADMINISTRATOR}:
        with pytest.raises(InvalidInput, match="an administrator cannot be"):
            people.grants.grant("root", role, "init")
    with pytest.raises(InvalidInput, match="a member cannot be administrator"):
        people.grants.grant("alice", Role.ADMINISTRATOR, "init")
    for standing_, role in ((Standing.MEMBER, Role.ADMINISTRATOR), (Standing.ADMINISTRATOR, Role.TESTER)):
        with pytest.raises(InvalidInput, match="cannot be"):
            people.accounts.create_person("eve", "Eve", "init", standing_, [role])
    with pytest.raises(Conflict, match="stays so as long as she is here"):
        people.grants.withdraw("root", Role.ADMINISTRATOR, "init")


# -- by SQL, past everything above


def insert(database: Database, person_id: str, standing: str, role: str, **other: Any) -> None:
    row = {
        "id": "x" + role,
        "person_id": person_id,
        "standing": standing,
        "role": role,
        "begins_at": "2026-11-01 00:00:00",
        "ends_at": None,
        "granted_by": "sql",
        "lent_by": None,
        **other,
    }
    columns = ", ".join(row)
    statement = f"INSERT INTO role_grant ({columns}) VALUES ({', '.join(f':{name}' for name in row)})"  # noqa: S608 - ours
    with database.transaction() as session:
        session.execute(text(statement), row)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
def test_the_database_refuses_a_members_role_to_an_administrator(people, database, role):
    root = people.accounts.create_person("root", "Root", "init", Standing.ADMINISTRATOR).id
    for standing_ in ("administrator", "member"):
        with pytest.raises(Conflict):
            insert(database, root, standing_, role.value)
    assert [grant.role for grant in people.accounts.account("root").grants] == ["administrator"]


def test_the_database_refuses_what_is_no_grant(people, database, alice):
    bob = member(people, "bob")
    month = "2026-12-01 00:00:00"
    for wrong in (
        {"person_id": alice.person_id, "standing": "member", "role": "administrator"},
        {"person_id": alice.person_id, "standing": "administrator", "role": "administrator"},
        {"person_id": alice.person_id, "standing": "member", "role": "king"},
        {"person_id": alice.person_id, "standing": "member", "role": MANAGER.value},  # a second one of her own
        {"person_id": "nobody", "standing": "member", "role": "tester"},
        {"person_id": bob, "standing": "member", "role": "tester", "ends_at": "2026-10-01 00:00:00"},
        {"person_id": bob, "standing": "member", "role": MANAGER.value, "lent_by": alice.person_id},  # without an end
        {"person_id": bob, "standing": "member", "role": "tester", "lent_by": bob, "ends_at": month},
        {"person_id": bob, "standing": "member", "role": "tester", "lent_by": "nobody", "ends_at": month},
    ):
        with pytest.raises(Conflict):
            insert(database, **wrong)
    insert(database, bob, "member", "tester", ends_at=month)  # and takes what is one


def test_the_database_refuses_to_make_an_administrator_of_who_holds_a_members_role(people, database, alice):
    with pytest.raises(Conflict), database.transaction() as session:
        session.execute(text("UPDATE person SET standing = 'administrator' WHERE name = 'alice'"))
    assert people.accounts.named("alice").standing == "member"


# -- lent


def test_a_role_is_lent_to_a_deputy_for_a_time_and_it_is_said_whose_it_is(people, alice, clock, database):
    bob = member(people, "bob")
    lend(alice, to="bob", begins=1, days=3)
    assert [standing(alice, bob, days=at) for at in (0, 1, 2.9, 3)] == [
        None,
        Held(MANAGER, alice.person_id),
        Held(MANAGER, alice.person_id),
        None,
    ]
    assert standing(alice, alice.person_id, days=2) == Held(MANAGER)  # the lender keeps it
    clock.passes(2 * DAY)
    actor = Actor("bob", frozenset({MANAGER}), bob)
    assert lender_of(people, actor, MANAGER) == alice.person_id
    assert lender_of(people, alice.actor, MANAGER) is None
    with database.transaction() as session:
        assert held(session, bob, MANAGER, clock.now()) == Held(MANAGER, alice.person_id)
    clock.passes(DAY)
    with pytest.raises(NotAllowed, match="bob is not release-manager now"):
        lender_of(people, actor, MANAGER)
    (said,) = evidence(database, "role-lent")
    assert (said["lender"], said["lent_by"], said["by"]) == ("alice", alice.person_id, "alice")


def test_a_role_of_ones_own_goes_before_one_that_is_lent(people, alice):
    bob = member(people, "bob", MANAGER)
    lend(alice, to="bob")
    assert standing(alice, bob) == Held(MANAGER)
    people.grants.withdraw("bob", MANAGER, "root")
    assert standing(alice, bob) == Held(MANAGER, alice.person_id)


def test_what_is_lent_is_not_lent_on(people, alice, clock, database):
    bob, carol = joined(people, clock, "bob"), member(people, "carol")
    lend(alice, to="bob")
    with pytest.raises(NotAllowed, match="what is lent cannot be lent on"):
        lend(alice, to="carol", name="bob", actor=bob.actor)
    end = (clock.now() + DAY).replace(tzinfo=None).isoformat(" ")
    insert(database, carol, "member", MANAGER.value, lent_by=bob.person_id, ends_at=end)  # past all that asks
    assert standing(alice, carol) is None


def test_a_role_is_not_lent_to_oneself_nor_twice_to_one_person(people, alice):
    member(people, "bob")
    with pytest.raises(InvalidInput, match="alice cannot lend a role to herself"):
        lend(alice, to="alice")
    lend(alice, to="bob")
    with pytest.raises(Conflict, match="lent by alice"):
        lend(alice, to="bob")


def test_nobody_lends_what_is_anothers_but_whoever_manages_access(people, alice, clock):
    bob = joined(people, clock, "bob", Role.TESTER)
    for actor in (bob.actor, Actor("alice", frozenset({MANAGER}))):  # a token of her name is not her
        with pytest.raises(NotAllowed, match="may not lend or take back what is alice's"):
            lend(alice, to="bob", actor=actor)
        with pytest.raises(NotAllowed, match="may not lend"):
            people.grants.take_back("alice", MANAGER, actor)
    assert len(lend(alice, to="bob", actor=ADMINISTRATOR)) == 1
    with pytest.raises(NotAllowed, match="is not alice's own role"):
        lend(alice, to="bob", role=Role.TESTER)


def test_a_role_is_lent_no_longer_than_it_is_held(people, alice, clock):
    member(people, "bob")
    people.grants.grant("alice", Role.AUDITOR, "root", ends_at=clock.now() + 3 * DAY)
    with pytest.raises(InvalidInput, match="not longer"):
        lend(alice, to="bob", role=Role.AUDITOR, days=4)
    assert lend(alice, to="bob", role=Role.AUDITOR, days=3)


def test_an_administrators_role_is_not_lent(people, clock, alice):
    people.accounts.create_person("root", "Root", "init", Standing.ADMINISTRATOR)
    people.accounts.create_person("deputy", "Deputy", "init", Standing.ADMINISTRATOR)
    with pytest.raises(InvalidInput, match="cannot be administrator"):
        lend(alice, name="root", role=Role.ADMINISTRATOR, actor=ADMINISTRATOR, to="deputy")


def test_a_role_is_lent_to_each_who_is_in_a_team_now(people, alice):
    bob, carol, dave = (member(people, name) for name in ("bob", "carol", "dave"))
    people.teams.create("deputies", "stand in", ["alice", "bob", "carol"], "root")
    assert len(lend(alice, team="deputies")) == 2
    people.teams.change("deputies", ["dave"], ["bob"], "root")
    held_ = [standing(alice, one) is not None for one in (bob, carol, dave)]
    assert held_ == [True, True, False]
    people.teams.create("alone", "", ["alice"], "root")
    for wrong, said in (({"team": "alone"}, "nobody but alice"), ({}, "person or to a team")):
        with pytest.raises(InvalidInput, match=said):
            lend(alice, **wrong)
    with pytest.raises(NotFound, match="no team named none"):
        lend(alice, team="none")


def test_a_role_goes_back_when_it_is_taken_back_or_the_lender_loses_it_or_leaves(people, alice, clock, database):
    bob, carol = member(people, "bob"), member(people, "carol")
    lend(alice, to="bob")
    lend(alice, to="carol")
    assert people.grants.take_back("alice", MANAGER, alice.actor, to="bob") == 1
    assert (standing(alice, bob), standing(alice, carol)) == (None, Held(MANAGER, alice.person_id))
    with pytest.raises(NotFound, match="does not lend release-manager to bob"):
        people.grants.take_back("alice", MANAGER, alice.actor, to="bob")
    lend(alice, to="bob")
    assert people.grants.take_back("alice", MANAGER, ADMINISTRATOR) == 2
    lend(alice, to="bob")
    people.grants.withdraw("alice", MANAGER, "root")
    people.grants.grant("alice", MANAGER, "root")
    assert standing(alice, bob) is None  # it does not come back with the role
    assert len(evidence(database, "role-withdrawn")[0]["grants"]) == 2


def test_of_a_loan_and_a_withdrawal_at_once_nothing_stays_lent(people, alice):
    for number in range(5):
        deputy = member(people, f"deputy{number}")
        actor = alice.actor
        at_once(
            [
                lambda n=number, a=actor: lend(alice, to=f"deputy{n}", actor=a),
                lambda: people.grants.withdraw("alice", MANAGER, "root"),
            ]
        )
        assert standing(alice, deputy) is None
        people.grants.grant("alice", MANAGER, "root")
        assert standing(alice, deputy) is None


def test_two_who_stand_in_for_each_other_can_say_so_at_once(people, alice, clock):
    bob = joined(people, clock, "bob", Role.TEST_MANAGER)
    for _ in range(5):
        results = at_once(
            [
                lambda actor=alice.actor: lend(alice, to="bob", actor=actor),
                lambda actor=bob.actor: lend(alice, to="alice", name="bob", role=Role.TEST_MANAGER, actor=actor),
            ]
        )
        assert names(results) == ["list", "list"], results
        people.grants.take_back("alice", MANAGER, ADMINISTRATOR)
        people.grants.take_back("bob", Role.TEST_MANAGER, ADMINISTRATOR)


# -- two accounts of one human


def moved(session: Session, keep: str, gone: str) -> None:
    session.execute(text("UPDATE person SET full_name = :said WHERE id = :keep"), {"said": f"had {gone}", "keep": keep})


def refuse(session: Session, keep: str, gone: str) -> None:
    raise Conflict("both took part in labapp 1.1, on two sides")


@pytest.fixture
def twin(people: People, clock: Clock) -> Joined:
    return joined(people, clock, "alice2", Role.TEST_MANAGER)


def test_merged_accounts_are_one_and_what_the_other_did_is_moved_in_the_same_transaction(people, alice, twin, database):
    session = twin.log_in()
    people.accounts.on_merge(moved)
    people.accounts.merge_accounts("alice", "alice2", "root")
    assert people.accounts.named("alice").full_name == f"had {twin.person_id}"
    assert people.accounts.named("alice2").left_at is not None
    assert (alice.actor.roles, twin.actor.roles) == ({MANAGER}, frozenset())  # no role comes by a merge
    with pytest.raises(NotAuthenticated):
        people.logins.actor_of_session(session)
    (said,) = evidence(database, "accounts-merged")
    assert (said["kept"], said["gone"], said["by"]) == (alice.person_id, twin.person_id, "root")
    with pytest.raises(Conflict, match="alice2 left on"):
        people.accounts.merge_accounts("alice", "alice2", "root")


def test_a_merge_that_one_feature_refuses_is_not_done_at_all(people, alice, twin, database):
    session = twin.log_in()
    people.accounts.on_merge(moved)
    people.accounts.on_merge(refuse)
    with pytest.raises(Conflict, match="on two sides"):
        people.accounts.merge_accounts("alice", "alice2", "root")
    assert people.accounts.named("alice").full_name == "Alice"
    assert people.accounts.named("alice2").left_at is None
    assert people.logins.actor_of_session(session).roles == {Role.TEST_MANAGER}
    assert evidence(database, "accounts-merged") == []


def test_what_cannot_be_merged_is_refused(people, alice):
    people.accounts.create_person("root", "Root", "init", Standing.ADMINISTRATOR)
    for pair in (("alice", "root"), ("root", "alice")):
        with pytest.raises(Conflict, match="administrator"):
            people.accounts.merge_accounts(*pair, "init")
    with pytest.raises(InvalidInput, match="with itself"):
        people.accounts.merge_accounts("alice", "alice", "init")
    with pytest.raises(NotFound):
        people.accounts.merge_accounts("alice", "nobody", "init")


def test_of_two_merges_of_the_same_two_at_once_one_is_done(people, alice, twin):
    merges: list[Callable[[], object]] = [
        lambda: people.accounts.merge_accounts("alice", "alice2", "root"),
        lambda: people.accounts.merge_accounts("alice2", "alice", "root"),
    ]
    assert names(at_once(merges)) == ["Conflict", "NoneType"]


# -- teams


def test_a_team_is_changed_and_what_is_so_already_is_no_change(people, alice, database):
    member(people, "bob")
    assert people.teams.create("web", "the web's environments", ["alice", "alice"], "root").members == ["alice"]
    assert people.teams.change("web", ["alice", "bob"], [], "root").members == ["alice", "bob"]
    people.teams.change("web", ["bob"], [], "root")
    assert people.teams.change("web", [], ["alice"], "root").members == ["bob"]
    assert people.teams.all() == [people.teams.named("web")]
    assert len(evidence(database, "team-changed")) == 2
    with pytest.raises(Conflict, match="there is a team named web"):
        people.teams.create("web", "", [], "root")
    with pytest.raises(InvalidInput, match="added and removed"):
        people.teams.change("web", ["bob"], ["bob"], "root")
    for wrong in ("", "a b", "x" * 64, "\0"):
        with pytest.raises(InvalidInput):
            people.teams.create(wrong, "", [], "root")
    with pytest.raises(NotFound, match="no person named eve"):
        people.teams.create("mail", "", ["eve"], "root")
    with pytest.raises(NotFound, match="no team named mail"):  # nothing of it was done
        people.teams.named("mail")


def test_of_those_that_put_one_person_into_a_team_at_once_all_see_her_in_it(people, alice):
    people.teams.create("web", "", [], "root")
    results = at_once([lambda: people.teams.change("web", ["alice"], [], "root")] * 4)
    assert {tuple(one.members) for one in results} == {("alice",)}
