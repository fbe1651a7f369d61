"""The database: SQLite by default, PostgreSQL where several controllers share one.

A transaction that writes says so: on SQLite it takes the write lock when it begins (BEGIN IMMEDIATE), so that two
writers wait for each other instead of failing half-way with "database is locked".
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session

from .errors import Conflict, InvalidInput, Unavailable, VerdeltaError

Json = JSON().with_variant(JSONB(), "postgresql")

MIGRATING = 0x7665726465  # number of the lock that whoever migrates holds on PostgreSQL


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: stored without a time zone, in UTC; given and taken with one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a time zone: nobody knows which one was meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the moment its time zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Database:
    """Sessions for whoever reads and whoever writes.

    What the database refuses comes out as an error of our own: Conflict where another one was first, InvalidInput for
    a value that it cannot hold, Unavailable when it does not answer.  No value is repeated in it: it may be a secret.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.engine = _engine(self.url)
        self._writing = self.engine.execution_options(verdelta_write=True)
        # SQLite lets one write at a time, and who waits for it looks again every now and then; here they take turns.
        self._turn: AbstractContextManager[object] = RLock() if self._is_sqlite else nullcontext()

    @property
    def name(self) -> str:
        """Return what to call this database in a message: its file, or its address without the password."""
        return _name(self.url)

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session whose work is committed at the end, or not at all.  Raises Conflict, Unavailable."""
        with self._turn, self._session(self._writing) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one state of the database and changes nothing.  Raises Unavailable."""
        with self._session(self.engine) as session:
            yield session

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        try:
            with Session(engine, expire_on_commit=False) as session:
                yield session
        except PoolExhausted as error:
            raise Unavailable("too much is asked of the database at once", mend="Ask again.") from error

    def migrate(self) -> None:
        """Bring the schema up to date, wholly or not at all; of several controllers that begin at once, one does it.

        Raises InvalidInput when a newer version of Verdelta made this database, or when it is something else;
        Unavailable when it cannot be opened.
        """
        config = alembic_config()
        try:
            with self.migrating() as connection:
                if not self._is_sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(MIGRATING)))
                self._check_known(connection, config)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DatabaseError as error:
            raise InvalidInput(f"database {self.name}: {error.orig}", mend="Give another one.") from error

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Yield a connection whose work is committed at the end, or not at all, for changes of the schema.

        SQLite changes a table by making it anew, and to drop the old one would break what refers to it.  So references
        are not enforced while that goes on (https://sqlite.org/lang_altertable.html, "Making Other Kinds Of Table
        Schema Changes"), and checked as a whole at the end.
        """
        if not self._is_sqlite:
            with self._writing.begin() as connection:
                yield connection
            return
        with self._writing.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if broken is not None:
                        raise VerdeltaError(
                            f"database {self.name}: a row of {broken[0]} refers to one that is not there"
                        )
            finally:
                driver.execute("PRAGMA foreign_keys=ON")

    def _check_known(self, connection: Connection, config: Config) -> None:
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise InvalidInput(
                f"database {self.name}: its schema {current} is newer than this Verdelta",
                mend="Start the version that made it, or a newer one. Nothing was changed.",
            )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def alembic_config() -> Config:
    """Return where the migrations lie, for whoever runs or writes them; they get a connection in its attributes."""
    config = Config()
    config.set_main_option("script_location", "verdelta_controller.foundation:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _checked(url: str) -> URL:
    """Return the URL of a database that we can use.  Raises InvalidInput, without the password in it."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("database: not the URL of one", mend=_EXAMPLES) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise InvalidInput(f"database: {parsed.drivername} is not supported", mend=_EXAMPLES)
    return parsed


def _name(url: URL) -> str:
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string()


_EXAMPLES = "Write it as sqlite:////path/of/a/file or postgresql+psycopg://user:password@host/name"


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 30})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        try:
            engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise InvalidInput(
                "database: PostgreSQL's driver is not installed", mend="pip install verdelta-controller[postgres]"
            ) from error
    event.listen(engine, "handle_error", lambda context: _in_our_words(context, _name(url)))
    return engine


def _in_our_words(context: ExceptionContext, name: str) -> VerdeltaError | None:
    """Return our own error for what whoever asks has to be told; anything else is a defect and stays as it is."""
    error, original = context.sqlalchemy_exception, context.original_exception
    if isinstance(error, IntegrityError):
        return Conflict(
            "this contradicts what is there already, perhaps since a moment ago", mend="Look, and ask again."
        )
    if isinstance(error, DataError) or isinstance(original, OverflowError):
        return InvalidInput("a value is of a kind or size that the database cannot hold")
    if isinstance(error, OperationalError) and not _is_of_statement(original):
        return Unavailable(f"database {name}: {str(original).partition(chr(10))[0]}")
    return None


def _is_of_statement(error: BaseException) -> bool:
    """Return whether SQLite means the statement itself: to it that, too, is an operational error."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return isinstance(error, sqlite3.Error) and code & 0xFF == sqlite3.SQLITE_ERROR


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own: _begin_sqlite does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("verdelta_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
