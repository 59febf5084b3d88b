"""The site's tables. Times are microseconds since 1970 by the database's clock."""

from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from mailpact.database.migrate import migrate
from mailpact.database.mysql import TABLE
from mailpact.database.transactions import Database

VERSION_TABLE: Final = "producer_version"
HEAD: Final = "0009"
MIGRATIONS: Final = Path(__file__).parent / "migrations"

metadata = MetaData()

# SQLite counts up only what it calls INTEGER, which there has 64 bits.
_RowId = BigInteger().with_variant(Integer, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), nullable=False),
    Column("email_key", String(254), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("delete_at", BigInteger),  # when an unconfirmed reader is deleted; NULL means never
    Column("is_admin", SmallInteger, nullable=False, server_default="0"),
    Column("is_blocked", SmallInteger, nullable=False, server_default="0"),  # may not write comments
    Index("ix_users_delete", "delete_at"),
    Index("ix_users_blocked", "is_blocked"),
    **TABLE,
)

pages = Table(
    "pages",
    metadata,
    Column("guid", String(36), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("body", Text, nullable=False),  # Markdown
    Column("published_at", BigInteger, nullable=False),  # of a draft: when the draft was made
    Column("slug", String(100)),  # the readable part of the address; every page has one
    Column("is_published", SmallInteger, nullable=False, server_default="1"),
    Column("version", Integer, nullable=False, server_default="1"),  # changes with each change of the page
    Column("updated_at", BigInteger),
    Index("ix_pages_slug", "slug", unique=True),
    Index("ix_pages_listed", "published_at", "guid"),
    **TABLE,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False, unique=True),
    Column("contract", String(64), nullable=False),
    Column("body", LargeBinary(65536)),  # NULL after the message was published
    Column("made_at_seconds", BigInteger, nullable=False),  # the message's own timestamp, seconds since 1970
    Column("state", String(16), nullable=False),
    Column(
        "available_at", BigInteger, nullable=False
    ),  # pending: when to claim it; claimed: when the lease ends
    Column("claim", String(36)),  # which claim holds it: the fence against whoever held it before
    Column("attempts", Integer, nullable=False),  # publishes that were not confirmed
    Column("reason", String(300)),  # why the row was put back last, or is dead
    Column("published_at", BigInteger),
    Column("traceparent", String(55)),  # the trace context of the request that caused the message
    Index("ix_outbox_due", "state", "available_at", "id"),
    **TABLE,
)

mails = Table(
    "mails",
    metadata,
    Column("message_id", String(36), primary_key=True),
    Column("user_id", BigInteger, nullable=False),  # the account that the mail is about
    Column("template", String(64), nullable=False),
    Column("email", String(254), nullable=False),  # the address that the mail was sent to
    Column("made_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),  # when the event occurred; 0 before the first event
    Column("smtp_code", SmallInteger),
    Column("reply", String(500)),
    Column("error", String(64)),
    Index("ix_mails_user", "user_id", "made_at"),
    Index("ix_mails_made", "made_at"),
    **TABLE,
)

canary = Table(
    "canary",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("message_id", String(36), nullable=False),  # of the latest canary
    Column("started_at", BigInteger, nullable=False),
    Column("told", String(16), nullable=False),  # the state according to status events
    Column("ended_at", BigInteger),  # NULL while it is under way
    Column("arrived_at", BigInteger),  # when a canary arrived last
    Column(
        "waiting_since", BigInteger
    ),  # start of the first canary that has not arrived since; NULL if the latest has arrived
    **TABLE,
)

site_key = Table(
    "site_key",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary(32), nullable=False),
    **TABLE,
)

limits = Table(
    "limits",
    metadata,
    Column("name", String(64), primary_key=True),  # an HMAC, which does not reveal the mailbox or the network
    Column("times", Text, nullable=False),  # of each request in the last hour
    Column("used_at", BigInteger, nullable=False),
    Index("ix_limits_used", "used_at"),
    **TABLE,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # the SHA-256 of the secret in the browser's cookie
    Column("user_id", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("ix_sessions_user", "user_id"),
    Index("ix_sessions_seen", "seen_at"),
    **TABLE,
)

links = Table(
    "links",
    metadata,
    Column("id", String(64), primary_key=True),  # the SHA-256 of the secret in the mail
    Column("purpose", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("email", String(254)),  # the new address, for a change of address
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index("ix_links_user", "user_id", "purpose"),
    Index("ix_links_expiry", "expires_at"),
    **TABLE,
)

comments = Table(
    "comments",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("page_guid", String(36), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("edited_at", BigInteger),
    Column("once", String(64), nullable=False, unique=True),  # of the form: posted twice is stored once
    Index("ix_comments_page", "page_guid", "id"),
    Index("ix_comments_user", "user_id"),
    Index("ix_comments_state", "state", "id"),
    **TABLE,
)

reports = Table(
    "reports",
    metadata,
    Column("comment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_reports_user", "user_id"),
    **TABLE,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("act", String(32), nullable=False),
    Column("account", BigInteger),  # the actor; the account may be deleted by now
    Column("object", String(80), nullable=False),
    Column("network", String(50), nullable=False),
    Index("ix_audit_log_act", "act", "id"),
    **TABLE,
)

login_delays = Table(
    "login_delays",
    metadata,
    Column("name", String(64), primary_key=True),  # an HMAC of an account and a network, or of a network
    Column("failures", Integer, nullable=False),
    Column("free_at", BigInteger, nullable=False),  # when the next attempt may be checked
    Index("ix_login_delays_free", "free_at"),
    **TABLE,
)


async def prepare(database: Database) -> None:
    """Make or upgrade the tables. Raises SchemaUnknown, DatabaseUnavailable."""
    await migrate(database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)
