"""environments and their bookings: the four usual ones, and those that hosts name already"""

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from verdelta_controller.foundation.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STAGES = ("build", "test", "staging", "live")


def upgrade() -> None:
    op.create_table(
        "environment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "environment_booking",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment_id", sa.String(), nullable=False),
        sa.Column("booked_for", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("begins_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("booked_at", UtcDateTime(), nullable=False),
        sa.Column("booked_by", sa.String(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environment.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("environment_booking", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_environment_booking_ends_at"), ["ends_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_environment_booking_environment_id"), ["environment_id"], unique=False)
    _fill()


def downgrade() -> None:
    with op.batch_alter_table("environment_booking", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_environment_booking_environment_id"))
        batch_op.drop_index(batch_op.f("ix_environment_booking_ends_at"))

    op.drop_table("environment_booking")
    op.drop_table("environment")


def _fill() -> None:
    """Make an environment for each stage, named as it is, and one of stage live for any other that a host names."""
    named = sa.text("SELECT DISTINCT environment FROM host WHERE environment <> '' ORDER BY environment")
    others = [name for (name,) in op.get_bind().execute(named) if name not in STAGES]
    stages = [(name, name) for name in STAGES] + [(name, "live") for name in others]
    table = sa.table(
        "environment",
        *(sa.column(name) for name in ("id", "name", "stage", "position", "team", "description")),
        sa.column("created_at", UtcDateTime()),
    )
    op.bulk_insert(
        table,
        [
            {
                "id": secrets.token_hex(16),
                "name": name,
                "stage": stage,
                "position": place,
                "team": "",
                "description": "",
                "created_at": datetime.now(UTC),
            }
            for place, (name, stage) in enumerate(stages, 1)
        ],
    )
