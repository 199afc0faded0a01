"""Every table, once. Alembic compares the migrations with this in a test.

Instants are whole microseconds since 1970 (`kernel.clock`); booleans, texts and JSON texts are
what both databases have in common.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite numbers rows by itself only where the key's type is INTEGER, to the letter.
_Serial = BigInteger().with_variant(Integer, "sqlite")

#: The change feed: one row. Whoever changes what nodes hold in memory adds one to `head` in the
#: same transaction and marks the rows with the number. The row's lock is held to the commit, so
#: numbers become visible in order and no follower can pass one by. A restore changes `epoch`.
#: Rows that are prepared before anybody may see them are marked with `reserved`, far beyond `head`.
feed = Table(
    "feed",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("epoch", String(36), nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("reserved", BigInteger),
)

projects = Table(
    "projects",
    metadata,
    Column("key", String(36), primary_key=True),
    Column("region", String(64), nullable=False),
    Column("production", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

clients = Table(
    "clients",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("project_key", ForeignKey("projects.key"), nullable=False, index=True),
    Column("scope", Text, nullable=False),  # separated by blanks, as OAuth spells it
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("client_id", ForeignKey("clients.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),  # set by a rotation on the secret that it replaces
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("client_id", ForeignKey("clients.id"), nullable=False, index=True),
    Column("scope", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

#: What nodes must forget: tokens by digest, clients by id. Swept when no token can be that old.
revocations = Table(
    "revocations",
    metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("kind", String(8), nullable=False),  # token | client
    Column("subject", String(64), nullable=False),
    Column("revoked_at", BigInteger, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),  # slice:subject:verb
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),  # a JSON object, never with a secret in it
)

connectors = Table(
    "connectors",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key", String(256), unique=True),
    Column("version", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),  # beyond the feed's head: not there yet
    Column("source", String(8), nullable=False),  # import | staged
    Column("owner", String(128)),  # region:projectKey
    Column("private_projects", Text, nullable=False),  # a sorted JSON array of region:projectKey
    # Whether it is found by search and can be deployed anew; `unlist` ends that.
    Column("listed", Boolean, nullable=False, server_default=true()),
    Column("created_at", BigInteger, nullable=False),
    Column("last_modified_at", BigInteger, nullable=False),
    Index("ix_connectors_seq", "seq"),
)

#: Every version of every Connector, never changed once written. One beyond the Connector's own
#: number is prepared by an import, and not there yet.
connector_versions = Table(
    "connector_versions",
    metadata,
    Column("connector_id", ForeignKey("connectors.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),  # a ConnectorContent, as JSON
    # What the checks saw and Deployments run; none where an import says what it is.
    Column("commit", String(64)),
    Column("published_at", BigInteger, nullable=False),
)

#: Connectors in the making. `document` is all of it; the columns are what is asked for.
connectors_staged = Table(
    "connectors_staged",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key", String(256), unique=True),
    Column("project", String(128), nullable=False, index=True),  # region:projectKey
    Column("version", Integer, nullable=False),
    Column("status", String(24), nullable=False, index=True),
    Column("document", Text, nullable=False),  # a staging.model.Staged, as JSON
    Column("created_at", BigInteger, nullable=False),
    Column("last_modified_at", BigInteger, nullable=False),
)

#: What is deployed. `document` is all of it; the columns are what is asked for.
deployments = Table(
    "deployments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("key", String(256)),
    Column("project", String(128), nullable=False),  # region:projectKey
    Column("version", Integer, nullable=False),
    Column("status", String(24), nullable=False),
    Column("document", Text, nullable=False),  # a deployments.model.Deployment, as JSON
    Column("created_at", BigInteger, nullable=False),
    Column("last_modified_at", BigInteger, nullable=False),
    UniqueConstraint("project", "key"),
)

#: What was deployed when, with all that it ran with.
releases = Table(
    "releases",
    metadata,
    Column("deployment_id", ForeignKey("deployments.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),  # a deployments.model.Release, as JSON
)

#: Durable work: one row for each piece. A result counts only with the attempt that is current.
work = Table(
    "work",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("project", String(128), nullable=False, index=True),  # region:projectKey
    Column("state", String(10), nullable=False),  # queued | running | done | failed | cancelled
    Column("step", String(32)),  # the last one that has ended
    Column("payload", Text, nullable=False),  # a JSON object: what is to be done
    Column("progress", Text, nullable=False),  # a JSON object: what the steps found
    Column("attempt", Integer, nullable=False),  # one more with each claim
    Column("failures", Integer, nullable=False),  # in a row
    Column("run_at", BigInteger, nullable=False),  # when it is due
    Column("lease_owner", String(64)),
    Column("beats", BigInteger, nullable=False),  # counts on while whoever holds the lease lives
    Column("cancel_requested", Boolean, nullable=False),
    Column("last_error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger, index=True),
    Index("ix_work_state_run_at", "state", "run_at"),
)

#: Who reviews Connectors and runs the installation by HTTP.
operators = Table(
    "operators",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

#: What applications print, and the requests that they answer. Ids are given in the order of the
#: commits, and never twice: who follows goes on after the last one. Not in backups.
log_entries = Table(
    "log_entries",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("deployment_id", String(36), nullable=False),
    Column("application", String(256), nullable=False),
    Column("type", String(16), nullable=False),  # a contract.logs.DeploymentLogType
    Column("severity", Integer, nullable=False),  # its rank, 0 (DEFAULT) to 8 (EMERGENCY)
    Column("at", BigInteger, nullable=False),
    Column("details", Text, nullable=False),  # of APPLICATION_TEXT the message, else JSON
    Column("bytes", Integer, nullable=False),  # what it counts for
    Index("ix_log_entries_deployment_id_at_id", "deployment_id", "at", "id"),
    Index("ix_log_entries_deployment_id_id", "deployment_id", "id"),
    sqlite_autoincrement=True,
)

#: How much of the log is whose, changed in the transaction of the entries. Not in backups.
log_volumes = Table(
    "log_volumes",
    metadata,
    Column("deployment_id", String(36), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)

#: The topic of each event application, and how what is sent to it is delivered.
topics = Table(
    "topics",
    metadata,
    Column("application_id", String(36), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("deployment_id", String(36), nullable=False, index=True),
    Column("project", String(128), nullable=False),  # region:projectKey
    Column("application", String(256), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("retry_policy", Text),  # a specification.shape.RetryPolicy, as JSON; none: the default
    Column("delivers", Boolean, nullable=False),  # whether a release serves
    Column("key_digest", String(64)),
    Column("created_at", BigInteger, nullable=False),
)

#: Messages to event applications, from their acceptance to some time after their end.
messages = Table(
    "messages",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("application_id", String(36), nullable=False),
    Column("deployment_id", String(36), nullable=False),
    Column("state", String(12), nullable=False),  # waiting | acknowledged | dead
    Column("due_at", BigInteger),  # when it is delivered next; of a waiting one only
    Column("content", Text, nullable=False),  # a messages.model.Content, as JSON
    Column("correlation_id", String(256), nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("attempts", Text, nullable=False),  # the latest ones, a JSON array
    Column("settled_at", BigInteger),  # when it was acknowledged, or died
    # When a waiting one dies, and a dead one is removed.
    Column("expires_at", BigInteger, index=True),
    Index("ix_messages_application_id_due_at_id", "application_id", "due_at", "id"),
    Index("ix_messages_deployment_id_state_id", "deployment_id", "state", "id"),
    sqlite_autoincrement=True,
)

#: The schedule of each job application that serves.
jobs = Table(
    "jobs",
    metadata,
    Column("application_id", String(36), primary_key=True),
    Column("deployment_id", String(36), nullable=False, index=True),
    Column("project", String(128), nullable=False),  # region:projectKey
    Column("application", String(256), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("shard", Integer, nullable=False),  # see database.shards
    Column("since", BigInteger, nullable=False),  # when the schedule began to hold
    Column("next_at", BigInteger, index=True),  # none: it does not fire by itself any more
    Column("reckoned_at", BigInteger, nullable=False),  # when next_at was found
    Column("run_id", BigInteger, index=True),  # the run that waits or is under way
)

#: Runs of job applications, those that wait or are under way too.
job_runs = Table(
    "job_runs",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("application_id", String(36), nullable=False),
    Column("deployment_id", String(36), nullable=False, index=True),
    Column("cause", String(8), nullable=False),  # schedule | request | start
    Column("due_at", BigInteger, nullable=False),  # the first instant that it stands for
    Column("missed", Integer, nullable=False),  # how many later ones it stands for besides
    Column("state", String(10), nullable=False),  # queued | running | succeeded | failed
    Column("correlation_id", String(256), nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("status", Integer),  # the HTTP status; none where there was no answer
    Column("output", Text, nullable=False),  # the answer's first bytes, or what was amiss
    Index("ix_job_runs_application_id_id", "application_id", "id"),
    sqlite_autoincrement=True,
)

#: The keys that have sealed secrets, by fingerprint; the keys themselves are not in the database.
secret_keys = Table(
    "secret_keys",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("first_used_at", BigInteger, nullable=False),
)

#: What opens private repositories: for one Project, for URLs that start with a prefix.
git_credentials = Table(
    "git_credentials",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(128), nullable=False, index=True),  # region:projectKey
    Column("prefix", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("kind", String(8), nullable=False),  # token | ssh
    Column("sealed", Text, nullable=False),  # encrypted with a key that is not in the database
    Column("created_at", BigInteger, nullable=False),
)

#: Where a Project is told what happens.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(128), nullable=False, index=True),  # region:projectKey
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # a JSON array of contract.webhooks.WebhookEvent
    Column("sealed", Text, nullable=False),  # what it signs with, encrypted
    Column("created_at", BigInteger, nullable=False),
)

#: What webhooks tell. Whoever has written what has happened need not wait for who deletes a
#: webhook, so nothing refers to it here.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("webhook_id", String(36), nullable=False),
    Column("project", String(128), nullable=False),  # region:projectKey
    Column("type", String(32), nullable=False),  # a contract.webhooks.WebhookEvent
    Column("payload", Text, nullable=False),  # the body, to the byte: it is what is signed
    Column("state", String(10), nullable=False),  # waiting | delivered | failed
    Column("attempts", Text, nullable=False),  # the latest ones, a JSON array
    # When it is sent next, or when another node may take it; of a waiting one only.
    Column("next_at", BigInteger, index=True),
    Column("claimed", Boolean, nullable=False),  # whether a node is at it
    Column("created_at", BigInteger, nullable=False, index=True),
    Index("ix_webhook_deliveries_webhook_id_created_at_id", "webhook_id", "created_at", "id"),
)
