"""Messages to event applications, and runs of job applications."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_messages()
    _create_jobs()


def _create_messages() -> None:
    op.create_table(
        "topics",
        sa.Column("application_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("application", sa.String(256), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("retry_policy", sa.Text(), nullable=True),
        sa.Column("delivers", sa.Boolean(), nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", name="pk_topics"),
        sa.UniqueConstraint("name", name="uq_topics_name"),
    )
    op.create_index("ix_topics_deployment_id", "topics", ["deployment_id"])
    op.create_table(
        "messages",
        sa.Column("id", _serial(), autoincrement=True, nullable=False),
        sa.Column("application_id", sa.String(36), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.String(256), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_messages_application_id_due_at_id", "messages", ["application_id", "due_at", "id"]
    )
    op.create_index("ix_messages_expires_at", "messages", ["expires_at"])
    op.create_index(
        "ix_messages_deployment_id_state_id", "messages", ["deployment_id", "state", "id"]
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("application_id", sa.String(36), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("application", sa.String(256), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("reckoned_at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("application_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_deployment_id", "jobs", ["deployment_id"])
    op.create_index("ix_jobs_next_at", "jobs", ["next_at"])
    op.create_index("ix_jobs_run_id", "jobs", ["run_id"])
    op.create_table(
        "job_runs",
        sa.Column("id", _serial(), autoincrement=True, nullable=False),
        sa.Column("application_id", sa.String(36), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=False),
        sa.Column("cause", sa.String(8), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("correlation_id", sa.String(256), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("output", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_runs_application_id_id", "job_runs", ["application_id", "id"])
    op.create_index("ix_job_runs_deployment_id", "job_runs", ["deployment_id"])


def _serial() -> "sa.types.TypeEngine[int]":
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
