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
feed = Table(
    "feed",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("epoch", String(36), nullable=False),
    Column("head", BigInteger, nullable=False),
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
    Column("seq", BigInteger, nullable=False),
    Column("source", String(8), nullable=False),  # import | staged
    Column("owner", String(128)),  # region:projectKey
    Column("private_projects", Text, nullable=False),  # a sorted JSON array of region:projectKey
    Column("created_at", BigInteger, nullable=False),
    Column("last_modified_at", BigInteger, nullable=False),
    Index("ix_connectors_seq", "seq"),
)

#: Every version of every Connector, never changed once written.
connector_versions = Table(
    "connector_versions",
    metadata,
    Column("connector_id", ForeignKey("connectors.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),  # a ConnectorContent, as JSON
    Column("published_at", BigInteger, nullable=False),
)
