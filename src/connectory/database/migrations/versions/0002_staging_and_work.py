"""ConnectorStaged, durable work, operators, credentials of repositories."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "connectors", sa.Column("listed", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.add_column("connector_versions", sa.Column("commit", sa.String(64), nullable=True))
    op.create_table(
        "connectors_staged",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("key", sa.String(256), nullable=True),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_connectors_staged"),
        sa.UniqueConstraint("key", name="uq_connectors_staged_key"),
    )
    op.create_index("ix_connectors_staged_project", "connectors_staged", ["project"])
    op.create_index("ix_connectors_staged_status", "connectors_staged", ["status"])
    op.create_table(
        "work",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("step", sa.String(32), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_work"),
    )
    op.create_index("ix_work_subject", "work", ["subject"])
    op.create_index("ix_work_project", "work", ["project"])
    op.create_index("ix_work_finished_at", "work", ["finished_at"])
    op.create_index("ix_work_state_run_at", "work", ["state", "run_at"])
    op.create_table(
        "operators",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_operators"),
        sa.UniqueConstraint("digest", name="uq_operators_digest"),
    )
    op.create_table(
        "git_credentials",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_git_credentials"),
    )
    op.create_index("ix_git_credentials_project", "git_credentials", ["project"])
