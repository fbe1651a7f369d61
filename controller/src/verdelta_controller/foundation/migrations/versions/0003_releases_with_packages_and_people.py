"""releases with packages, policies and people"""

import hashlib
import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from verdelta_controller.foundation.database import Json, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ONE_PERSON = {
    "policy": "one-person",
    "types": {kind: {"skips": ["in_test", "accepted"]} for kind in ("major", "minor", "emergency")},
}


def _bind_to_a_policy() -> None:
    """Bind the releases that are there to the policy under which they were made: one person's."""
    if op.get_bind().execute(sa.text("select count(*) from release")).scalar_one() == 0:
        return
    document = json.dumps(ONE_PERSON, sort_keys=True, separators=(",", ":"))
    policies = sa.table(
        "policy_version",
        *(sa.column(name) for name in ("number", "name", "digest", "source", "put_by")),
        sa.column("document", Json),
        sa.column("put_at", UtcDateTime()),
    )
    version = {
        "name": "one-person",
        "digest": hashlib.sha256(document.encode()).hexdigest(),
        "source": document,
        "document": ONE_PERSON,
        "put_at": datetime.now(UTC),
        "put_by": "an upgrade",
    }
    op.bulk_insert(policies, [version])


def _freeze_what_was_authorised() -> None:
    """Until now what a release may change was what its manifest declares."""
    packages = sa.table("release_package", sa.column("digest"), sa.column("manifest", Json))
    releases = sa.table(
        "release", sa.column("digest"), sa.column("authorised_change"), sa.column("authorised_changes", Json)
    )
    connection = op.get_bind()
    for digest, manifest in connection.execute(sa.select(packages.c.digest, packages.c.manifest)).all():
        mine = (releases.c.digest == digest) & releases.c.authorised_change.is_not(None)
        connection.execute(sa.update(releases).where(mine).values(authorised_changes=manifest["changes"]))


def upgrade() -> None:
    op.create_table(
        "policy_version",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("put_at", UtcDateTime(), nullable=False),
        sa.Column("put_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "criterion_result",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=True),
        sa.Column("criterion", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=True),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("criterion_result", schema=None) as batch_op:
        batch_op.create_index("ix_criterion_result_package", ["release_id", "package"], unique=False)

    op.create_table(
        "gate_record",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=True),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("gate_record", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gate_record_release_id"), ["release_id"], unique=False)

    op.create_table(
        "gate_waiver",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("gate", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_by_name", sa.String(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("granted_by", sa.String(), nullable=True),
        sa.Column("granted_by_name", sa.String(), nullable=False),
        sa.Column("granted_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("granted_by is null or granted_by <> asked_by", name="gate_waiver_two_people"),
        sa.ForeignKeyConstraint(
            ["asked_by"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["granted_by"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("gate_waiver", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gate_waiver_release_id"), ["release_id"], unique=False)

    op.create_table(
        "known_error",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("component", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("workaround", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("resolution", sa.String(), nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("found_by", sa.String(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("known_error", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_known_error_release_id"), ["release_id"], unique=False)

    op.create_table(
        "rehearsal",
        sa.Column("rollout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("begun_by", sa.String(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("rollout_id"),
    )
    with op.batch_alter_table("rehearsal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rehearsal_release_id"), ["release_id"], unique=False)

    op.create_table(
        "rehearsed_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("changes", Json, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=False),
        sa.Column("accepted_by", sa.String(), nullable=False),
        sa.Column("voided_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("rehearsed_change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rehearsed_change_release_id"), ["release_id"], unique=False)

    op.create_table(
        "release_package",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("manifest", Json, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("files", Json, nullable=False),
        sa.Column("builder_tests", Json, nullable=True),
        sa.Column("built_at", UtcDateTime(), nullable=False),
        sa.Column("built_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
    )
    with op.batch_alter_table("release_package", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_package_release_id"), ["release_id"], unique=False)

    op.create_table(
        "release_side",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint("side in ('delivery', 'test', 'business', 'change')", name="release_side_side"),
        sa.CheckConstraint("standing = 'member'", name="release_side_standing"),
        sa.ForeignKeyConstraint(
            ["person_id", "standing"],
            ["person.id", "person.standing"],
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("release_id", "person_id"),
        sa.UniqueConstraint("release_id", "person_id", "side"),
    )
    op.create_table(
        "release_duty",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("appointed_at", UtcDateTime(), nullable=False),
        sa.Column("appointed_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(side = 'delivery' and role in ('release-manager', 'build-manager')) or "
            "(side = 'test' and role in ('test-manager', 'tester')) or "
            "(side = 'business' and role in ('business-approver')) or "
            "(side = 'change' and role in ('change-manager'))",
            name="release_duty_side",
        ),
        sa.ForeignKeyConstraint(
            ["release_id", "person_id", "side"],
            ["release_side.release_id", "release_side.person_id", "release_side.side"],
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("release_id", "person_id", "role"),
    )
    op.create_table(
        "sign_off",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("person_name", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("statement", sa.String(), nullable=False),
        sa.Column("for_person_id", sa.String(), nullable=True),
        sa.Column("signed_at", UtcDateTime(), nullable=False),
        sa.Column("voided_at", UtcDateTime(), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(purpose = 'acceptance' and side = 'test') or "
            "(purpose = 'business' and side = 'business') or "
            "(purpose = 'implementation' and side = 'delivery') or "
            "(purpose = 'change' and side = 'change')",
            name="sign_off_side",
        ),
        sa.ForeignKeyConstraint(
            ["release_id", "person_id", "side"],
            ["release_side.release_id", "release_side.person_id", "release_side.side"],
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sign_off", schema=None) as batch_op:
        batch_op.create_index(
            "ix_sign_off_once",
            ["release_id", "person_id", "purpose", "subject"],
            unique=True,
            sqlite_where=sa.text("voided_at is null"),
            postgresql_where=sa.text("voided_at is null"),
        )
        batch_op.create_index(batch_op.f("ix_sign_off_release_id"), ["release_id"], unique=False)

    _bind_to_a_policy()
    op.execute(
        "insert into release_package (digest, release_id, manifest, source, files, built_at, built_by)"
        " select digest, id, manifest, source, files, built_at, built_by from release"
    )
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.add_column(sa.Column("policy_number", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("passed", Json, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("planned_for", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("drafted_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("drafted_by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("deployed_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("authorised_changes", Json, nullable=False, server_default="[]"))
    op.execute("update release set policy_number = 1, drafted_at = built_at, drafted_by = built_by")
    _freeze_what_was_authorised()
    with op.batch_alter_table("release", schema=None) as batch_op:
        for column in ("policy_number", "drafted_at", "drafted_by"):
            batch_op.alter_column(column, nullable=False)
        for column in ("passed", "authorised_changes"):
            batch_op.alter_column(column, server_default=None)
        batch_op.create_index("ix_release_state", ["state"], unique=False)
        batch_op.create_foreign_key("release_policy_number_fkey", "policy_version", ["policy_number"], ["number"])
        for column in ("files", "built_at", "source", "manifest", "built_by"):
            batch_op.drop_column(column)
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.add_column(sa.Column("package", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("purpose", sa.String(), nullable=False, server_default="deployment"))
    op.execute("update rollout set package = (select digest from release where release.id = rollout.release_id)")
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        for column in ("package", "purpose"):
            batch_op.alter_column(column, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.drop_column("purpose")
        batch_op.drop_column("package")

    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.add_column(sa.Column("built_by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("manifest", Json, nullable=True))
        batch_op.add_column(sa.Column("source", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("built_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("files", Json, nullable=True))
    for column in ("built_by", "manifest", "source", "built_at", "files"):
        op.execute(
            f"update release set {column} = "  # noqa: S608 - the names are those above
            f"(select {column} from release_package where release_package.digest = release.digest)"
        )
    for table in ("sign_off", "release_duty", "release_side"):
        op.execute(f"delete from {table}")  # noqa: S608 - the names are those above
    op.execute("delete from release where digest = ''")  # a draft, which the schema before did not know
    with op.batch_alter_table("release", schema=None) as batch_op:
        for column in ("built_by", "manifest", "source", "built_at", "files"):
            batch_op.alter_column(column, nullable=False)
        batch_op.drop_constraint("release_policy_number_fkey", type_="foreignkey")
        batch_op.drop_index("ix_release_state")
        for column in ("authorised_changes", "deployed_at", "drafted_by", "drafted_at", "planned_for", "passed"):
            batch_op.drop_column(column)
        batch_op.drop_column("policy_number")

    with op.batch_alter_table("sign_off", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sign_off_release_id"))
        batch_op.drop_index(
            "ix_sign_off_once", sqlite_where=sa.text("voided_at is null"), postgresql_where=sa.text("voided_at is null")
        )

    op.drop_table("sign_off")
    op.drop_table("release_duty")
    op.drop_table("release_side")
    with op.batch_alter_table("release_package", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_release_package_release_id"))

    op.drop_table("release_package")
    with op.batch_alter_table("rehearsed_change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rehearsed_change_release_id"))

    op.drop_table("rehearsed_change")
    with op.batch_alter_table("rehearsal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rehearsal_release_id"))

    op.drop_table("rehearsal")
    with op.batch_alter_table("known_error", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_known_error_release_id"))

    op.drop_table("known_error")
    with op.batch_alter_table("gate_waiver", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gate_waiver_release_id"))

    op.drop_table("gate_waiver")
    with op.batch_alter_table("gate_record", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gate_record_release_id"))

    op.drop_table("gate_record")
    with op.batch_alter_table("criterion_result", schema=None) as batch_op:
        batch_op.drop_index("ix_criterion_result_package")

    op.drop_table("criterion_result")
    op.drop_table("policy_version")
