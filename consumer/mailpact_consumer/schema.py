"""The inbox's tables. Times are microseconds since 1970 by the database's clock; hashes are hexadecimal."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, String, Table, Text

from mailpact.database.mysql import TABLE

VERSION_TABLE = "consumer_version"
HEAD = "2.1"
"""Revision MAJOR.MINOR: a newer minor revision only adds, so that this release can use the tables as well."""

REPLY_CHARACTERS = 500
PUBLISHER_ID_CHARACTERS = 255  # an AMQP short string

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
    # The tries that got no answer after the whole mail was sent.
    Column("unanswered", Integer, nullable=False, server_default="0"),
    # When the time for trying began: first_seen, or the last replay.
    Column("tried_since", BigInteger, nullable=False, server_default="0"),
    Column("next_try_at", BigInteger),
    Column("last_reply", String(REPLY_CHARACTERS)),
    # The publisher's own message id, where the key was derived from it.
    Column("publisher_id", String(PUBLISHER_ID_CHARACTERS)),
    # Status events that are not confirmed yet: JSON objects, each followed by a line end.
    Column("due", Text),
    Column("due_since", BigInteger),
    # How many status events the row has had; tells whether `due` is still what was published.
    Column("events", Integer, nullable=False, server_default="0"),
    # The digest of the template that the last claimed try was made from; None without a template.
    Column("template_digest", String(64)),
    Index("inbox_by_recipient", "recipient_sha256"),
    Index("inbox_by_due_since", "due_since"),
    Index("inbox_by_next_try_at", "next_try_at"),
    Index("inbox_by_ended_at", "ended_at", "first_seen"),
    **TABLE,
)

owners = Table(
    "inbox_owners",
    metadata,
    Column("owner", String(36), primary_key=True),
    Column("renewed_at", BigInteger, nullable=False),
    # Host and process, for people.
    Column("name", String(255), nullable=False, server_default=""),
    **TABLE,
)

bridges = Table(
    "inbox_bridges",
    metadata,
    # The name of the legacy queue.
    Column("queue", String(255), primary_key=True),
    # The process that moves its messages now; nobody when empty.
    Column("owner", String(36), nullable=False),
    # How many messages at its head may be older than the binding of our queue; None: not known yet.
    Column("to_forward", BigInteger),
    **TABLE,
)
