"""people: secrets, sessions, roles, teams"""

import sqlalchemy as sa
from alembic import op

from verdelta_controller.foundation.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROLES = (
    "'administrator', 'release-manager', 'build-manager', 'test-manager', 'tester', 'business-approver', "
    "'change-manager', 'deployment-staff', 'technician', 'auditor'"
)


def upgrade() -> None:
    op.create_table(
        "login_attempts",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("waits_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("subject"),
    )
    with op.batch_alter_table("login_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_attempts_last_at"), ["last_at"], unique=False)

    op.create_table(
        "team",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "invitation",
        sa.Column("secret_digest", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("second_step", sa.LargeBinary(), nullable=True),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("secret_digest"),
        sa.UniqueConstraint("person_id"),
    )
    op.create_table(
        "merged_account",
        sa.Column("gone_id", sa.String(), nullable=False),
        sa.Column("kept_id", sa.String(), nullable=False),
        sa.Column("merged_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gone_id"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["kept_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("gone_id"),
    )
    op.create_table(
        "person_secret",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("second_step", sa.LargeBinary(), nullable=False),
        sa.Column("last_counter", sa.Integer(), nullable=False),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("person_id"),
    )
    op.create_table(
        "person_session",
        sa.Column("secret_digest", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("secret_digest"),
    )
    with op.batch_alter_table("person_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_session_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_person_session_person_id"), ["person_id"], unique=False)

    op.create_table(
        "role_grant",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("begins_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("granted_by", sa.String(), nullable=False),
        sa.Column("lent_by", sa.String(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.CheckConstraint("(standing = 'administrator') = (role = 'administrator')", name="role_grant_standing"),
        sa.CheckConstraint(
            "lent_by IS NULL OR (ends_at IS NOT NULL AND lent_by <> person_id AND standing = 'member')",
            name="role_grant_lent",
        ),
        sa.CheckConstraint(f"role IN ({ROLES})", name="role_grant_role"),
        sa.CheckConstraint("ends_at IS NULL OR ends_at > begins_at", name="role_grant_dates"),
        sa.ForeignKeyConstraint(
            ["lent_by"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id", "standing"],
            ["person.id", "person.standing"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("role_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_role_grant_lent_by"), ["lent_by"], unique=False)
        batch_op.create_index(batch_op.f("ix_role_grant_person_id"), ["person_id"], unique=False)
        batch_op.create_index(
            "role_grant_lent_once",
            ["person_id", "role", "lent_by"],
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL AND lent_by IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND lent_by IS NOT NULL"),
        )
        batch_op.create_index(
            "role_grant_own",
            ["person_id", "role"],
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL AND lent_by IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND lent_by IS NULL"),
        )

    op.create_table(
        "team_member",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["team_id"],
            ["team.id"],
        ),
        sa.PrimaryKeyConstraint("team_id", "person_id"),
    )
    with op.batch_alter_table("team_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_team_member_person_id"), ["person_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("team_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_team_member_person_id"))

    op.drop_table("team_member")
    with op.batch_alter_table("role_grant", schema=None) as batch_op:
        batch_op.drop_index(
            "role_grant_own",
            sqlite_where=sa.text("ended_at IS NULL AND lent_by IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND lent_by IS NULL"),
        )
        batch_op.drop_index(
            "role_grant_lent_once",
            sqlite_where=sa.text("ended_at IS NULL AND lent_by IS NOT NULL"),
            postgresql_where=sa.text("ended_at IS NULL AND lent_by IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_role_grant_person_id"))
        batch_op.drop_index(batch_op.f("ix_role_grant_lent_by"))

    op.drop_table("role_grant")
    with op.batch_alter_table("person_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_person_session_person_id"))
        batch_op.drop_index(batch_op.f("ix_person_session_expires_at"))

    op.drop_table("person_session")
    op.drop_table("person_secret")
    op.drop_table("merged_account")
    op.drop_table("invitation")
    op.drop_table("team")
    with op.batch_alter_table("login_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_attempts_last_at"))

    op.drop_table("login_attempts")
