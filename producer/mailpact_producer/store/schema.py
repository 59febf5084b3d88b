"""The CMS's tables. Times are microseconds since 1970 by the database's clock."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

VERSION_TABLE = "producer_version"
HEAD = "0001"

metadata = MetaData()

# SQLite makes a column its own counter only as INTEGER; MySQL needs the room of BIGINT.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("guid", String(36), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), nullable=False),
    Column("email_key", String(254), nullable=False, unique=True),
    Column("password_hash", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

pages = Table(
    "pages",
    metadata,
    Column("guid", String(36), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False, unique=True),
    Column("exchange", String(127), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("type", String(32), nullable=False),
    Column("content_type", String(64), nullable=False),
    Column("body", LargeBinary(2 * 1024 * 1024), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("available_at", BigInteger, nullable=False),
    Column("claim", String(36)),
    Column("claim_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("published_at", BigInteger),
    # Claims are ordered as this index is, or they would lock rows that they do not take.
    Index("outbox_due", "state", "available_at", "id"),
)

site_key = Table(
    "site_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(32), nullable=False),
)
