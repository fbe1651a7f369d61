"""Tokens, page sessions and one-time links, on both databases: who holds one gets in, nobody else, and not for ever."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, text
from tests.support.concurrently import at_once

from verdelta_controller.access import service
from verdelta_controller.access.rules import Actor, Role
from verdelta_controller.access.service import AccessService
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from verdelta_controller.foundation.evidence import EvidenceLog
from verdelta_controller.foundation.signing import SigningKey

LOG = EvidenceLog(SigningKey(b"k" * 32), "verdelta.example/log")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def access(database: Database) -> AccessService:
    return AccessService(database, LOG)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass."""
    moment = [datetime.now(UTC)]
    monkeypatch.setattr(service, "now", lambda: moment[0])

    def pass_by(time: timedelta) -> None:
        moment[0] += time

    return pass_by


def everything_stored(database: Database) -> str:
    """Return every value of every table as text."""
    with database.engine.connect() as connection:
        rows = [
            row
            for table in inspect(connection).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"'))  # noqa: S608 - the database's own names
        ]
    return " ".join(
        bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v) for r in rows for v in r
    )


def evidence(database: Database, kind: str) -> list[Any]:
    with database.reading() as session:
        return [json.loads(entry.content) for entry in LOG.entries(session, kind=kind)]


# -- tokens


def test_a_token_lets_in_who_holds_it_in_its_role(access):
    made = access.create_token("ci", Role.DEPLOYMENT_STAFF, 90)
    assert access.actor_of_token(made.secret) == Actor("ci", frozenset({Role.DEPLOYMENT_STAFF}))
    assert len(made.secret) == len("vdt_") + 64  # 256 bits


@pytest.mark.parametrize("wrong", ["", "vdt_", "vdt_" + "0" * 64, "ci", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"])
def test_what_is_no_token_lets_nobody_in(access, wrong):
    access.create_token("ci", Role.AUDITOR, 1)
    for enter in (access.actor_of_token, access.actor_of_session, access.create_link, access.open_session):
        with pytest.raises(NotAuthenticated):
            enter(wrong)


def test_a_token_ends_when_its_time_is_over(access, later):
    made = access.create_token("ci", Role.AUDITOR, 1)
    later(timedelta(days=1) - timedelta(seconds=1))
    assert access.actor_of_token(made.secret)
    later(timedelta(seconds=1))
    with pytest.raises(NotAuthenticated, match="the token ci expired on"):
        access.actor_of_token(made.secret)


def test_a_revoked_token_lets_nobody_in_any_more(access, database):
    made = access.create_token("ci", Role.AUDITOR, 1)
    access.revoke_token("ci", by="alice")
    with pytest.raises(NotAuthenticated, match="not known"):
        access.actor_of_token(made.secret)
    (token,) = access.tokens()
    access.revoke_token("ci", by="bob")  # again: nothing happens
    assert access.tokens()[0].revoked_at == token.revoked_at
    assert evidence(database, "token-revoked") == [{"by": "alice"}]
    with pytest.raises(NotFound, match="no token named cd"):
        access.revoke_token("cd")


@pytest.mark.parametrize("name", ["", "-ci", "a b", "a/b", "a\nb", "ü", "x" * 64, "a\0", "../..", "a;b"])
def test_a_token_has_a_name_that_can_be_typed(access, name):
    with pytest.raises(InvalidInput, match="cannot name a token"):
        access.create_token(name, Role.AUDITOR, 1)


@pytest.mark.parametrize("days", [-1, 0, 367, 10**9])
def test_a_token_lives_between_a_day_and_a_year(access, days):
    with pytest.raises(InvalidInput, match="1 to 366 days"):
        access.create_token("ci", Role.AUDITOR, days)


def test_a_name_belongs_to_one_living_token_and_is_free_again_when_that_has_ended(access, later):
    first = access.create_token("ci", Role.ADMINISTRATOR, 1)
    with pytest.raises(Conflict, match="there is a token named ci"):
        access.create_token("ci", Role.AUDITOR, 1)
    session = access.open_session(first.secret)
    access.revoke_token("ci")
    second = access.create_token("ci", Role.AUDITOR, 1)
    for secret, enter in ((first.secret, access.actor_of_token), (session, access.actor_of_session)):
        with pytest.raises(NotAuthenticated):
            enter(secret)
    later(timedelta(days=2))
    third = access.create_token("ci", Role.AUDITOR, 1)
    assert access.actor_of_token(third.secret) and third.secret != second.secret


def test_of_two_that_take_a_name_at_once_one_gets_it(access):
    results = at_once([lambda: access.create_token("ci", Role.AUDITOR, 1)] * 4)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["NewToken"]
    assert len(access.tokens()) == 1


def test_who_was_given_a_token_and_by_whom_is_evidence(access, database):
    made = access.create_token("ci", Role.DEPLOYMENT_STAFF, 90, by="alice")
    assert evidence(database, "token-created") == [
        {"by": "alice", "role": "deployment-staff", "expires_at": made.expires_at.isoformat()}
    ]


# -- secrets


def test_of_a_secret_only_its_digest_is_stored(access, database):
    made = access.create_token("ci", Role.AUDITOR, 1)
    link = access.create_link(made.secret)
    session = access.open_session(link)
    stored = everything_stored(database)
    assert "ci" in stored and "auditor" in stored
    for secret in (made.secret, made.secret.removeprefix("vdt_"), link, session):
        assert secret not in stored


def test_a_secret_is_in_no_log_no_error_and_no_description(access, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        made = access.create_token("ci", Role.AUDITOR, 1)
        link = access.create_link(made.secret)
        session = access.open_session(link)
        said = [repr(made), str(made), repr(access.tokens())]
        for enter in (access.open_session, access.actor_of_token, access.actor_of_session, access.create_link):
            with pytest.raises(NotAuthenticated) as refused:
                enter(link)
            said += [repr(refused.value), str(refused.value)]
    finally:
        for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert "api_token" in caplog.text  # the statements were logged
    for secret in (made.secret, link, session):
        assert secret not in caplog.text
        assert secret not in " ".join(said)


# -- sessions and links


def test_a_token_opens_a_session_for_half_a_day(access, later):
    session = access.open_session(access.create_token("ci", Role.AUDITOR, 90).secret)
    later(timedelta(hours=12) - timedelta(seconds=1))
    assert access.actor_of_session(session) == Actor("ci", frozenset({Role.AUDITOR}))
    later(timedelta(seconds=1))
    with pytest.raises(NotAuthenticated, match="session has ended"):
        access.actor_of_session(session)


def test_a_closed_session_is_closed(access):
    token = access.create_token("ci", Role.AUDITOR, 1).secret
    one, other = access.open_session(token), access.open_session(token)
    access.close_session(one)
    access.close_session("never opened")
    with pytest.raises(NotAuthenticated):
        access.actor_of_session(one)
    assert access.actor_of_session(other)


def test_a_link_opens_one_session_once_within_a_quarter_of_an_hour(access, later):
    token = access.create_token("ci", Role.AUDITOR, 90).secret
    link, forgotten = access.create_link(token), access.create_link(token)
    later(timedelta(minutes=14))
    assert access.actor_of_session(access.open_session(link)) == Actor("ci", frozenset({Role.AUDITOR}))
    with pytest.raises(NotAuthenticated, match="used already"):
        access.open_session(link)
    later(timedelta(minutes=1))
    with pytest.raises(NotAuthenticated, match="not known, or has expired"):
        access.open_session(forgotten)


def test_of_those_that_open_a_link_at_once_one_is_let_in(access):
    token = access.create_token("ci", Role.AUDITOR, 1).secret
    for _ in range(10):
        link = access.create_link(token)
        opened = [r for r in at_once([lambda link=link: access.open_session(link)] * 4) if isinstance(r, str)]
        assert len(opened) == 1
        assert access.actor_of_session(opened[0])


def test_a_link_is_no_session_and_no_token_and_a_session_is_no_link(access):
    token = access.create_token("ci", Role.AUDITOR, 1).secret
    link, session = access.create_link(token), access.open_session(token)
    with pytest.raises(NotAuthenticated):
        access.actor_of_session(link)
    with pytest.raises(NotAuthenticated):
        access.actor_of_token(link)
    with pytest.raises(NotAuthenticated):
        access.open_session(session)
    with pytest.raises(NotAuthenticated):
        access.create_link(session)
    with pytest.raises(NotAuthenticated):
        access.actor_of_session(token)


def test_sessions_and_links_end_with_their_token(access, later):
    for end in (lambda: access.revoke_token("ci"), lambda: later(timedelta(minutes=5))):
        token = access.create_token("ci", Role.AUDITOR, 1).secret
        later(timedelta(days=1) - timedelta(minutes=5))
        session, link = access.open_session(token), access.create_link(token)
        assert access.actor_of_session(session)
        end()
        for enter, secret in ((access.actor_of_session, session), (access.open_session, link)):
            with pytest.raises(NotAuthenticated):
                enter(secret)
        later(timedelta(days=1))


def test_sessions_that_have_expired_are_forgotten(access, database, later):
    token = access.create_token("ci", Role.AUDITOR, 90).secret
    for _ in range(5):
        access.open_session(token)
    later(timedelta(days=1))
    access.open_session(token)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM page_session")).one() == (1,)
