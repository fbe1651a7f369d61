"""The database keeps its promises on SQLite and PostgreSQL alike: schema, moments, transactions, and its errors."""

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import BigInteger, Connection, LargeBinary, String, inspect, text
from sqlalchemy.exc import StatementError
from sqlmodel import select

from verdelta_controller import wiring
from verdelta_controller.access.tables import ApiToken
from verdelta_controller.foundation.database import Database, alembic_config
from verdelta_controller.foundation.errors import Conflict, InvalidInput, Unavailable
from verdelta_controller.releases.policy import Policy
from verdelta_controller.releases.tables import Package, PolicyVersion, Release
from verdelta_controller.rollouts.tables import Rollout

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
assert wiring.TABLES  # every feature's tables are known from here on


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


def a_token(name: str, moment: datetime = NOON) -> ApiToken:
    return ApiToken(id=name, name=name, secret_digest=name, role="auditor", created_at=moment, expires_at=moment)


def run_alembic(database: Database, step: str, *arguments: str) -> None:
    config = alembic_config()
    with database.migrating() as connection:
        config.attributes["connection"] = connection
        getattr(command, step)(config, *arguments)


def shape(connection: Connection) -> dict[str, set[str]]:
    """Return every table with its columns."""
    found = inspect(connection)
    return {name: {f"{c['name']} {c['type']}" for c in found.get_columns(name)} for name in found.get_table_names()}


# -- the schema


def test_the_migrations_make_exactly_the_tables_that_the_models_describe(database):
    run_alembic(database, "check")


def test_a_downgrade_and_an_upgrade_lead_back_to_the_same_schema(database):
    with database.engine.begin() as connection:
        before = shape(connection)
    run_alembic(database, "downgrade", "base")
    with database.engine.begin() as connection:
        assert set(shape(connection)) == {"alembic_version"}
    database.migrate()
    with database.engine.begin() as connection:
        assert shape(connection) == before


def test_the_numbers_of_messages_are_as_large_as_an_agent_can_count(database):
    with database.engine.begin() as connection:
        for table, column in (("agent_key", "last_sequence"), ("envelope", "sequence"), ("evidence_entry", "index")):
            types = {c["name"]: c["type"] for c in inspect(connection).get_columns(table)}
            kind = types[column]
            assert isinstance(kind, BigInteger) or connection.dialect.name == "sqlite", f"{table}.{column} is {kind}"


def test_the_evidence_keeps_its_tables_as_they_were_designed(database):
    with database.engine.begin() as connection:
        columns = {c["name"]: c["type"] for c in inspect(connection).get_columns("evidence_entry")}
        assert isinstance(columns["content"], LargeBinary) and isinstance(columns["subject"], String)
        assert [i["column_names"] for i in inspect(connection).get_indexes("evidence_entry")] == [["subject"]]
        if connection.dialect.name == "sqlite":
            (made,) = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'evidence_node'")).one()
            assert "WITHOUT ROWID" in made
            assert str(columns["index"]) == "INTEGER"  # with the primary key, the row's own number


def test_migrating_again_changes_nothing(database):
    with database.transaction() as session:
        session.add(a_token("kept"))
    database.migrate()
    with database.reading() as session:
        assert session.exec(select(ApiToken.name)).all() == ["kept"]


def test_of_several_controllers_that_begin_at_once_on_an_empty_database_all_find_it_migrated(database_url):
    databases = [Database(database_url) for _ in range(4)]
    failures: list[Exception] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test names it
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    run_alembic(databases[0], "check")
    for database in databases:
        database.close()


def test_a_schema_of_a_newer_version_is_refused_by_name_and_nothing_is_changed(database, tmp_path):
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    file = tmp_path / "test.sqlite"
    before = file.read_bytes() if file.exists() else b""

    with pytest.raises(InvalidInput, match=r"its schema 9999 is newer than this Verdelta") as refused:
        database.migrate()
    assert database.name in str(refused.value) and "Nothing was changed" in str(refused.value)
    database.close()
    if file.exists():
        assert str(file) in str(refused.value)
        assert file.read_bytes() == before


def test_a_migration_that_is_killed_leaves_the_old_schema(tmp_path):
    file = tmp_path / "new.sqlite"
    program = f"""
        import os
        from sqlalchemy import event
        from verdelta_controller.foundation.database import Database
        database = Database("sqlite:///{file}")

        @event.listens_for(database.engine, "after_cursor_execute")
        def kill(connection, cursor, statement, *rest):
            if "CREATE TABLE snapshot" in statement:
                os.kill(os.getpid(), 9)
        database.migrate()
        """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    database = Database(f"sqlite:///{file}")
    with database.engine.begin() as connection:
        assert shape(connection) == {}
    database.migrate()
    run_alembic(database, "check")
    database.close()


# -- moments


def test_a_moment_without_its_time_zone_is_refused(database):
    with pytest.raises(StatementError, match="a moment needs its time zone"), database.transaction() as session:
        session.add(a_token("naive", NOON.replace(tzinfo=None)))


def test_a_moment_comes_back_as_the_same_moment_in_utc(database):
    with database.transaction() as session:
        session.add(a_token("here", NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))))
    with database.reading() as session:
        found = session.exec(select(ApiToken.created_at)).one()
    assert found == NOON and found.tzinfo is UTC


# -- transactions

READ = {
    "sqlite": text("SELECT value FROM counter"),
    "postgresql": text("SELECT value FROM counter FOR UPDATE"),
}


def test_a_transaction_that_fails_leaves_nothing(database):
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.add(a_token("gone"))
        session.flush()
        raise ZeroDivisionError
    with database.reading() as session:
        assert session.exec(select(ApiToken)).all() == []


def test_writers_wait_for_each_other_instead_of_failing(database):
    """Each reads before it writes, which is what makes SQLite fail where a transaction does not say that it writes."""
    writers, each = 8, 10
    with database.transaction() as session:
        session.execute(text("CREATE TABLE counter (value INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))
    failures: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(each):
                with database.transaction() as session:
                    (value,) = session.execute(READ[database.engine.dialect.name]).one()
                    session.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test names it
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as session:
        assert session.execute(text("SELECT value FROM counter")).one() == (writers * each,)


def test_another_process_that_writes_is_waited_for(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'shared.sqlite'}")
    database.migrate()
    program = """
        import sys, time
        from sqlalchemy import text
        from verdelta_controller.foundation.database import Database
        database = Database(sys.argv[1])
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = version_num"))
            print("writing", flush=True)
            time.sleep(0.5)
        """
    command = [sys.executable, "-c", textwrap.dedent(program), f"sqlite:///{tmp_path / 'shared.sqlite'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"writing\n"
        with database.transaction() as session:
            session.add(a_token("second"))
        assert other.wait(10) == 0
    database.close()


# -- what the database refuses


def test_who_comes_second_with_a_name_is_told_of_a_conflict_and_not_of_the_database(database):
    with database.transaction() as session:
        session.add(a_token("taken"))
    with pytest.raises(Conflict) as refused, database.transaction() as session:
        session.add(a_token("taken"))
    assert "taken" not in str(refused.value) and "UNIQUE" not in str(refused.value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**40])
def test_a_number_that_no_database_holds_is_invalid_input(database, value):
    with pytest.raises(InvalidInput, match="cannot hold"), database.transaction() as session:
        session.execute(text("INSERT INTO evidence_head VALUES (1, :value, :bytes)"), {"value": value, "bytes": b""})


def test_text_with_a_nul_is_held_or_refused_but_never_a_failure(database):
    try:
        with database.transaction() as session:
            session.add(a_token("a\0b"))
    except InvalidInput as refused:
        assert "a\0b" not in str(refused)
    else:
        with database.reading() as session:
            assert session.exec(select(ApiToken.name)).all() == ["a\0b"]


def test_an_error_of_the_database_repeats_no_value(database):
    with pytest.raises(Exception) as failed, database.transaction() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "vdt_hunter2"})
    assert "vdt_hunter2" not in f"{failed.value!r} {failed.value} {failed.value.__cause__}"


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/nowhere/test.sqlite")
    with pytest.raises(Unavailable, match=rf"{tmp_path}/nowhere/test\.sqlite: unable to open"):
        database.migrate()


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    file = tmp_path / "letter.txt"
    file.write_text("Dear database, " * 1000)
    with pytest.raises(InvalidInput, match=rf"{file}: file is not a database"):
        Database(f"sqlite:///{file}").migrate()
    assert file.read_text() == "Dear database, " * 1000


def test_a_server_that_does_not_answer_is_named_without_its_password():
    database = Database("postgresql://deploy:hunter2@127.0.0.1:1/verdelta?connect_timeout=2")
    with pytest.raises(Unavailable, match=r"postgresql\+psycopg://deploy:\*\*\*@127\.0\.0\.1:1/verdelta") as failed:
        database.migrate()
    assert "hunter2" not in str(failed.value)


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://root:hunter2@db/verdelta", "sqlite+aiosqlite:///x", "://"])
def test_a_url_that_we_cannot_use_is_refused_with_examples_and_without_its_password(url):
    with pytest.raises(InvalidInput, match="sqlite:///") as refused:
        Database(url)
    assert "hunter2" not in str(refused.value)


def test_a_busy_pool_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = Database(f"sqlite:///{tmp_path / 'busy.sqlite'}")
    pool = database.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.01)
    held = [database.engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    with pytest.raises(Unavailable, match="at once"), database.reading() as session:
        session.execute(text("SELECT 1"))
    for connection in held:
        connection.close()
    database.close()


def test_releases_of_an_older_version_keep_what_they_were_and_what_they_may_change(database):
    run_alembic(database, "downgrade", "0002")
    change = [{"section": "software.dpkg", "key": "labapp:*", "after": {"version": "1.1"}}]
    manifest = json.dumps({"release": "labapp", "version": "1.1", "changes": change})
    columns = "id, name, version, type, service, state, digest, manifest, source, files, built_at, built_by"
    values = (
        f"1, 'labapp', '1.1', 'minor', 'lab', 'deployed', 'abc', '{manifest}', 'written', '{{}}', '2026-11-22', 'ci'"
    )
    with database.engine.begin() as connection:
        connection.execute(
            text(
                f"insert into release ({columns}, authorised_at, authorised_by, authorised_change)"  # noqa: S608
                f" values ({values.replace(':', chr(92) + ':')}, '2026-11-22', 'ann', 'frozen')"
            )
        )
        connection.execute(
            text(
                "insert into rollout (id, release_id, state, run, reason, cancelled, created_at, created_by)"
                " values (1, 1, 'finished', 1, '', false, '2026-11-22', 'ann')"
            )
        )
    database.migrate()
    with database.reading() as session:
        release, package, rollout = session.get(Release, 1), session.get(Package, "abc"), session.get(Rollout, 1)
        policy = session.get(PolicyVersion, release.policy_number)
    assert release.authorised_changes == change and release.state == "deployed" and release.drafted_by == "ci"
    assert package.manifest["release"] == "labapp" and package.source == "written" and package.release_id == 1
    assert (rollout.package, rollout.purpose) == ("abc", "deployment")
    assert Policy.model_validate(policy.document).policy == "one-person"

    run_alembic(database, "downgrade", "0002")
    with database.engine.begin() as connection:
        assert connection.execute(text("select source, built_by from release")).one() == ("written", "ci")
    database.migrate()
