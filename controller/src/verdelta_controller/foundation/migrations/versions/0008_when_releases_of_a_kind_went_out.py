"""when releases of a kind went out"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_release_deployed", "release", ["service", "type", "deployed_at"])


def downgrade() -> None:
    op.drop_index("ix_release_deployed", table_name="release")
