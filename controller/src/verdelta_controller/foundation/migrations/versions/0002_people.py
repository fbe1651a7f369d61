"""people"""

import sqlalchemy as sa
from alembic import op

from verdelta_controller.foundation.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("left_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("standing in ('administrator', 'member')", name="person_standing"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "standing"),
        sa.UniqueConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("person")
