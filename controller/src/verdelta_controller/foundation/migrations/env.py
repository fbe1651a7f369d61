"""Alembic's entry: run the migrations on the connection that the controller hands over.

Whoever compares tables with models (`scripts/new-migration`, a test) imports `verdelta_controller.wiring` first, which
knows every feature's tables.
"""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlmodel import AutoString, SQLModel

from verdelta_controller.foundation.database import Json, UtcDateTime


def _ours(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Leave out the tables of the durable engine, which keeps them itself."""
    return kind != "table" or name in SQLModel.metadata.tables


def _render(kind: str, thing: Any, context: Any) -> str | Literal[False]:
    """Write our own column types by their names, which script.py.mako imports, and SQLModel's text as what it is."""
    if kind != "type":
        return False
    if isinstance(thing, UtcDateTime):
        return "UtcDateTime()"
    if isinstance(thing, AutoString):
        return "sa.String()"
    return "Json" if thing is Json else False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        include_object=_ours,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
