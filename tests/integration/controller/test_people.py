"""People on both databases: how they join and log in, how often they may guess, and when they are no longer let in."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import inspect, text
from tests.support.concurrently import at_once
from tests.support.people import ADMINISTRATOR, LOG, PASSWORD, STEP, Clock, Joined, evidence, joined, lender_of, names

from verdelta_controller.access import passwords
from verdelta_controller.access.people import People
from verdelta_controller.access.people_tables import Attempts, PersonSecret, PersonSession
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.access.service import AccessService
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import Conflict, InvalidInput, NotAllowed, NotAuthenticated, NotFound
from verdelta_controller.foundation.signing import Vault


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
    return joined(people, clock, "alice", Role.RELEASE_MANAGER)


def count(database: Database, table: type) -> int:
    with database.reading() as session:
        return session.execute(text(f"SELECT count(*) FROM {table.__tablename__}")).scalar_one()  # noqa: S608 - our own


def fail(person: Joined, times: int) -> None:
    for _ in range(times):
        with pytest.raises(NotAuthenticated):
            person.people.logins.log_in(person.name, "wrong", person.code())


# -- accounts


def test_a_person_who_is_added_knows_no_password_and_is_not_let_in(people, database):
    people.accounts.create_person("alice", "Alice Adams", "root", roles=[Role.TESTER, Role.TESTER, Role.AUDITOR])
    (account,) = people.accounts.all()
    assert not account.joined and {grant.role for grant in account.grants} == {"tester", "auditor"}
    with pytest.raises(NotAuthenticated):
        people.logins.log_in("alice", "", "000000")
    with pytest.raises(Conflict, match="there is a person named alice"):
        people.accounts.create_person("alice", "Another", "root")
    (said,) = evidence(database, "person-added")
    assert (said["by"], said["standing"], said["roles"]) == ("root", "member", ["tester", "auditor"])


def test_a_person_and_a_token_have_different_names_so_that_evidence_says_who_it_was(people, alice, database):
    access = AccessService(database, LOG)
    with pytest.raises(Conflict, match="alice is a person"):
        access.create_token("alice", Role.AUDITOR, 1)
    access.create_token("ci", Role.AUDITOR, 1)
    access.revoke_token("ci")
    with pytest.raises(Conflict, match="there is, or was, a token named ci"):
        people.accounts.create_person("ci", "Ci", "root")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a\n", "ü", "x" * 64, "a\0", ".."])
def test_a_person_has_a_name_that_can_be_typed(people, name):
    with pytest.raises(InvalidInput, match="cannot name a person"):
        people.accounts.create_person(name, "Alice", "root")


@pytest.mark.parametrize("full_name", ["", "  ", "x" * 101, "a\nb", "a\0b", "a\u202eb", "\ud800"])
def test_a_full_name_is_one_printable_line(people, full_name):
    with pytest.raises(InvalidInput, match="full name"):
        people.accounts.create_person("alice", full_name, "root")


def test_an_invitation_is_spent_by_who_joins_and_its_code_is_spent_with_it(people, clock, alice, database):
    invitation = people.accounts.invite("alice", "root").secret
    name, offer = people.accounts.offer_second_step(invitation)
    assert name == "alice" and offer.uri.startswith("otpauth://totp/Verdelta:alice?secret=")
    assert people.accounts.offer_second_step(invitation) == (name, offer)
    alice.app = type(alice.app)(offer.secret)
    code = alice.code()
    for wrong in ("", "000 000", "12345", "1234567", "٠١٢٣٤٥", "\0", str((int(code) + 1) % 10**6).zfill(6)):
        with pytest.raises(InvalidInput, match="code is not the app's"):
            people.accounts.accept_invitation(invitation, PASSWORD, wrong)
    people.accounts.accept_invitation(invitation, PASSWORD, code)
    with pytest.raises(NotAllowed, match="was used, replaced, or has expired"):
        people.accounts.accept_invitation(invitation, PASSWORD, alice.code(1))
    with pytest.raises(NotAuthenticated):
        people.logins.log_in("alice", PASSWORD, code)
    assert people.logins.log_in("alice", PASSWORD, alice.code(1)).name == "alice"
    assert evidence(database, "person-joined")[0] == {"person_id": alice.person_id, "invited_by": "root"}


def test_an_invitation_ends_after_a_week_and_when_there_is_another(people, clock):
    people.accounts.create_person("bob", "Bob", "root")
    first = people.accounts.invite("bob", "root").secret
    second = people.accounts.invite("bob", "root").secret
    for secret in (first, "", "vdi_", "\ud800", "\0", "x" * 10_000):
        with pytest.raises(NotAllowed, match="invitation is not known"):
            people.accounts.offer_second_step(secret)
    people.accounts.offer_second_step(second)
    clock.passes(timedelta(days=7))
    with pytest.raises(NotAllowed, match="invitation is not known"):
        people.accounts.offer_second_step(second)


def test_nobody_joins_without_a_second_step(people):
    people.accounts.create_person("bob", "Bob", "root")
    invitation = people.accounts.invite("bob", "root").secret
    with pytest.raises(InvalidInput, match="no second step yet"):
        people.accounts.accept_invitation(invitation, PASSWORD, "123456")


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 201, "a" * 20, "abcabcabcabc\0", "\ud800" * 12, "abababababab"]
)
def test_a_password_that_is_none_is_refused_without_being_repeated(people, password):
    people.accounts.create_person("bob", "Bob", "root")
    invitation = people.accounts.invite("bob", "root").secret
    people.accounts.offer_second_step(invitation)
    with pytest.raises(InvalidInput) as refused:
        people.accounts.accept_invitation(invitation, password, "123456")
    assert not password or password not in str(refused.value)


def test_of_those_that_accept_an_invitation_at_once_one_joins(people, clock):
    people.accounts.create_person("bob", "Bob", "root")
    invitation = people.accounts.invite("bob", "root").secret
    offer = people.accounts.offer_second_step(invitation)[1]
    bob = Joined.__new__(Joined)
    bob.app, bob.clock = pyotp.TOTP(offer.secret), clock
    results = at_once([lambda: people.accounts.accept_invitation(invitation, PASSWORD, bob.code())] * 4)
    assert names(results) == ["NotAllowed"] * 3 + ["Person"]


def test_an_invitation_ends_what_the_person_had_and_is_evidence_without_its_secret(people, alice, database):
    session = alice.log_in()
    secret = people.accounts.invite("alice", "root").secret
    with pytest.raises(NotAuthenticated):
        people.logins.actor_of_session(session)
    with pytest.raises(NotAuthenticated):
        people.logins.log_in("alice", PASSWORD, alice.code(1))
    newest = evidence(database, "person-invited")[0]
    assert newest["reset"] is True and newest["by"] == "root"
    assert secret not in json.dumps(evidence(database))


# -- sessions


def test_a_session_shows_who_it_is_and_her_roles_of_this_moment(people, alice):
    secret = alice.log_in()
    assert secret.startswith("vds_") and len(secret) == len("vds_") + 64  # 256 bits
    assert people.logins.actor_of_session(secret) == Actor("alice", frozenset({Role.RELEASE_MANAGER}), alice.person_id)
    people.grants.grant("alice", Role.BUILD_MANAGER, "root")
    people.grants.withdraw("alice", Role.RELEASE_MANAGER, "root")
    assert people.logins.actor_of_session(secret).roles == {Role.BUILD_MANAGER}


def test_a_session_ends_after_half_a_day_and_when_she_logs_out(people, alice, clock, database):
    first = alice.log_in()
    clock.passes(STEP)
    second = alice.log_in()
    people.logins.log_out(first)
    people.logins.log_out(first)
    with pytest.raises(NotAuthenticated, match="session has ended"):
        people.logins.actor_of_session(first)
    assert people.logins.actor_of_session(second)
    clock.passes(timedelta(hours=12))
    with pytest.raises(NotAuthenticated, match="session has ended"):
        people.logins.actor_of_session(second)
    alice.log_in()
    assert count(database, PersonSession) == 1  # those that have expired are forgotten
    assert len(evidence(database, "logged-out")) == 1 and len(evidence(database, "logged-in")) == 3


@pytest.mark.parametrize("wrong", ["", "vds_", "vds_" + "0" * 64, "vdt_" + "0" * 64, "\0", "\ud800", "x" * 10_000])
def test_what_is_no_session_lets_nobody_in(people, alice, wrong):
    with pytest.raises(NotAuthenticated):
        people.logins.actor_of_session(wrong)


def test_password_and_code_are_both_needed_and_the_refusal_does_not_say_which_was_wrong(people, alice, clock):
    wrong = str((int(alice.code()) + 1) % 10**6).zfill(6)
    tries = [
        ("alice", "wrong", alice.code()),
        ("alice", PASSWORD, wrong),
        ("alice", PASSWORD, ""),
        ("nobody", PASSWORD, alice.code()),
    ]
    said = set()
    for one in tries:
        with pytest.raises(NotAuthenticated) as refused:
            people.logins.log_in(*one)
        said.add(str(refused.value))
    assert len(said) == 1
    assert alice.log_in()  # and a wrong password did not spend the code


@pytest.mark.parametrize("name", ["", "\0", "\ud800", "x" * 10_000, "' OR 1=1 --", "alice\n"])
def test_whatever_is_typed_is_refused_as_anything_else_is(people, alice, name):
    for password in ("", "\0", "\ud800", "x" * 100_000):
        with pytest.raises(NotAuthenticated, match="the name, the password or the code"):
            people.logins.log_in(name, password, password)


def test_a_name_that_nobody_has_costs_the_same_hash_and_the_same_count(people, alice, monkeypatch, database):
    compared = []
    verify = passwords._HASHING.verify
    monkeypatch.setattr(
        passwords, "_HASHING", type("Counted", (), {"verify": lambda self, *a: compared.append(a) or verify(*a)})()
    )
    for name in ("alice", "nobody", "\0", "x" * 10_000):
        with pytest.raises(NotAuthenticated):
            people.logins.log_in(name, "wrong", "000000")
    assert len(compared) == 4
    parameters = {stored.split("$")[1:4] and tuple(stored.split("$")[1:4]) for _, stored in compared}
    assert len(parameters) == 1
    assert count(database, Attempts) == 4


def test_the_hash_to_compare_with_for_nobody_has_the_parameters_of_today():
    assert passwords._HASHING.current_hasher.check_needs_rehash(passwords.NOBODY) is False
    assert passwords.is_right("", None) is False


def test_a_password_is_the_same_however_its_letters_are_composed(people, clock):
    people.accounts.create_person("bob", "Bob", "root")
    invitation = people.accounts.invite("bob", "root").secret
    app = pyotp.TOTP(people.accounts.offer_second_step(invitation)[1].secret)
    people.accounts.accept_invitation(invitation, "gr\u00fcner Tee um vier", app.at(clock.now() - STEP))
    assert people.logins.log_in("bob", "gru\u0308ner Tee um vier", app.at(clock.now()))


# -- the second step


def test_a_code_works_once(people, alice, clock):
    code = alice.code()
    people.logins.log_in("alice", PASSWORD, code)
    with pytest.raises(NotAuthenticated):
        people.logins.log_in("alice", PASSWORD, code)
    with pytest.raises(NotAllowed, match="used already"):
        people.confirm_second_step(alice.actor, code)
    clock.passes(STEP)
    people.confirm_second_step(alice.actor, alice.code())
    with pytest.raises(NotAllowed, match="used already"):
        people.confirm_second_step(alice.actor, alice.code())
    with pytest.raises(NotAllowed, match="used already"):  # one before the one that was taken, unused as it is
        people.confirm_second_step(alice.actor, alice.code(-1))


def test_of_two_that_log_in_with_one_code_at_once_one_is_let_in(people, alice, clock):
    for _ in range(3):
        clock.passes(STEP)
        results = at_once([alice.log_in] * 3)
        assert sorted(isinstance(one, str) for one in results) == [False, False, True], results
        assert {type(one) for one in results} == {str, NotAuthenticated}


def test_of_two_that_confirm_with_one_code_at_once_one_does(people, alice, clock):
    for _ in range(5):
        clock.passes(STEP)
        actor, code = alice.actor, alice.code()
        results = at_once([lambda actor=actor, code=code: people.confirm_second_step(actor, code)] * 3)
        assert names(results) == ["NoneType", "NotAllowed", "NotAllowed"], results


@pytest.mark.parametrize("code", ["", "\0", "000000 ", "x" * 1000, "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_what_is_no_code_confirms_nothing(people, alice, code):
    with pytest.raises(NotAllowed, match="code is not right"):
        people.confirm_second_step(alice.actor, code)


def test_a_code_is_taken_half_a_minute_early_or_late_and_no_more(people, alice, clock):
    for steps in (-2, 2):
        with pytest.raises(NotAllowed):
            people.confirm_second_step(alice.actor, alice.code(steps))
    people.confirm_second_step(alice.actor, alice.code(0))
    people.confirm_second_step(alice.actor, alice.code(1))


def test_a_token_confirms_nothing(people):
    with pytest.raises(NotAllowed, match="tokens never sign"):
        people.confirm_second_step(ADMINISTRATOR, "123456")
    with pytest.raises(NotAllowed, match="is not release-manager now"):
        lender_of(people, Actor("ci", frozenset({Role.RELEASE_MANAGER})), Role.RELEASE_MANAGER)


# -- guessing


def test_after_some_failures_the_account_waits_even_for_the_right_password_and_then_lets_in(people, alice, clock):
    fail(alice, 5)
    with pytest.raises(NotAllowed, match="too many attempts") as refused:
        alice.log_in()
    assert refused.value.mend == "Wait 30 seconds; what is tried before that is not looked at."
    clock.passes(timedelta(seconds=30))
    fail(alice, 1)
    clock.passes(timedelta(seconds=59))
    with pytest.raises(NotAllowed, match="too many attempts"):
        alice.log_in()
    clock.passes(timedelta(seconds=1))
    assert alice.log_in()
    fail(alice, 4)  # and it counts anew


def test_how_often_it_failed_before_is_said_with_the_login(people, alice, database):
    fail(alice, 3)
    alice.log_in()
    assert evidence(database, "logged-in")[0]["failed_before"] == 3


def test_a_name_that_nobody_has_waits_as_any_other_and_is_not_written_down(people, database):
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            people.logins.log_in("my secret typed in the wrong field", "x", "000000")
    with pytest.raises(NotAllowed, match="too many attempts"):
        people.logins.log_in("my secret typed in the wrong field", "x", "000000")
    assert "my secret" not in everything_stored(database)
    assert evidence(database) == []


def test_many_guesses_at_once_are_no_more_than_the_same_one_after_the_other(people, alice, monkeypatch):
    looked_at = []
    monkeypatch.setattr(passwords, "is_right", lambda *_: looked_at.append(1) and False)
    results = at_once([lambda: people.logins.log_in("alice", "guess", "000000")] * 20)
    assert len(looked_at) == 5
    assert names(results) == ["NotAllowed"] * 15 + ["NotAuthenticated"] * 5


def test_guessing_codes_is_waited_for_too_and_does_not_lock_the_login(people, alice):
    for _ in range(5):
        with pytest.raises(NotAllowed, match="code is not right"):
            people.confirm_second_step(alice.actor, "x")
    with pytest.raises(NotAllowed, match="too many attempts"):
        people.confirm_second_step(alice.actor, alice.code())
    assert alice.log_in()


def test_attempts_are_forgotten_after_a_day(people, alice, clock, database):
    fail(alice, 4)
    clock.passes(timedelta(days=1, seconds=1))
    fail(alice, 4)
    assert count(database, Attempts) == 1


# -- secrets


def everything_stored(database: Database) -> str:
    with database.engine.connect() as connection:
        rows = [
            row
            for table in inspect(connection).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"'))  # noqa: S608 - the database's own names
        ]
    return " ".join(
        bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v) for r in rows for v in r
    )


def test_no_secret_is_stored_logged_said_in_an_error_or_in_the_evidence(people, clock, database, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        alice = joined(people, clock, "alice", Role.TESTER)
        session = alice.log_in()
        invitation = people.accounts.invite("alice", "root")
        _, offer = people.accounts.offer_second_step(invitation.secret)
        said = [repr(invitation), repr(offer), str(offer.__class__), repr(people.accounts.all())]
        for refused in (
            lambda: people.logins.log_in("alice", PASSWORD, "123456"),
            lambda: people.logins.actor_of_session(session),
            lambda: people.accounts.accept_invitation(invitation.secret, PASSWORD, "123456"),
        ):
            with pytest.raises((NotAuthenticated, InvalidInput)) as error:
                refused()
            said.append(repr(error.value) + str(error.value))
        with database.reading() as reading:
            said.append(repr(reading.get(PersonSecret, alice.person_id)))
    finally:
        for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert "person_secret" in caplog.text  # the statements were logged
    stored = everything_stored(database)
    for secret in (PASSWORD, alice.app.secret, offer.secret, session, session[4:], invitation.secret):
        assert secret not in caplog.text
        assert secret not in stored
        assert secret not in " ".join(said)


def test_a_second_step_sealed_for_one_person_does_not_open_for_another(people, clock, alice, database):
    bob = joined(people, clock, "bob")
    with database.transaction() as session:
        stolen = session.get_one(PersonSecret, alice.person_id).second_step
        session.get_one(PersonSecret, bob.person_id).second_step = stolen
    with pytest.raises(Exception, match="cannot be opened"):
        people.confirm_second_step(bob.actor, alice.code())


# -- leaving


def test_who_leaves_is_let_in_no_more_holds_nothing_and_stays_known(people, alice, clock, database):
    bob = joined(people, clock, "bob")
    people.teams.create("web", "", ["alice", "bob"], "root")
    people.grants.lend(
        "alice", Role.RELEASE_MANAGER, alice.actor, clock.now(), clock.now() + timedelta(days=2), to="bob"
    )
    session = alice.log_in()
    people.accounts.leave("alice", "root")
    people.accounts.leave("alice", "root")  # again is safe
    for enter in (lambda: people.logins.actor_of_session(session), alice.log_in):
        with pytest.raises(NotAuthenticated):
            enter()
    assert alice.actor.roles == bob.actor.roles == frozenset()
    assert people.teams.named("web").members == ["bob"]
    (left,) = evidence(database, "person-left")
    assert len(left["grants"]) == 2
    assert people.accounts.named("alice").left_at is not None
    for late in (
        lambda: people.accounts.invite("alice", "root"),
        lambda: people.grants.grant("alice", Role.TESTER, "root"),
        lambda: people.teams.change("web", ["alice"], [], "root"),
    ):
        with pytest.raises(Conflict, match="alice left on"):
            late()
    with pytest.raises(NotFound, match="no person named eve"):
        people.accounts.leave("eve", "root")


def test_an_administrator_is_added_as_one(people, clock):
    people.accounts.create_person("root", "Root", "init", Standing.ADMINISTRATOR)
    root = Joined(people, "root", clock)
    assert people.logins.actor_of_session(root.log_in()).roles == {Role.ADMINISTRATOR}
