"""The inbox's tables. Times are microseconds since 1970 by the database's clock; hashes are hexadecimal."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, String, Table

from mailpact.database.mysql import TABLE

VERSION_TABLE = "consumer_version"
HEAD = "0001"

metadata = MetaData()

inbox = Table(
    "inbox",
    metadata,
    Column("message_id", String(36), primary_key=True),
    Column("recipient_sha256", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("owner", String(36), nullable=False),
    Column("token", String(36), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("uncertain", Integer, nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("smtp_code", SmallInteger),
    **TABLE,
)

owners = Table(
    "inbox_owners",
    metadata,
    Column("owner", String(36), primary_key=True),
    Column("renewed_at", BigInteger, nullable=False),
    **TABLE,
)
