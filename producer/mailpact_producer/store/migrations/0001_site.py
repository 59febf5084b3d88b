"""Make the site's tables, the key that it signs with, and the page that welcomes new readers."""

import secrets

import sqlalchemy as sa
from alembic import op

from mailpact.database import clock
from mailpact.database.mysql import TABLE

revision = "0001"
down_revision = None

WELCOME_PAGE = "6f1d2c1e-0d3b-4f7a-9a55-5b8f5d0c7e01"
TITLE = "Welcome"
BODY = """\
This is a small site about nothing in particular. It exists to show one thing properly: what happens between pressing \
a button on a web page and finding a mail in your inbox.

When you register, your account and the message that welcomes you are stored together, or not at all. The page answers \
at once. A moment later the message is on its way through a queue, is held against a published contract, and becomes a \
mail. If something on that way is out of order, the message waits, and arrives when it is mended.

So try it: register, and look at your mail.\
"""


def upgrade() -> None:
    """Make the tables and their first rows, unless an interrupted start has made them already."""
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "users",
        sa.Column("id", row_id, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "outbox",
        sa.Column("id", row_id, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(36), nullable=False, unique=True),
        sa.Column("contract", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(65536)),
        sa.Column("made_at_seconds", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("available_at", sa.BigInteger, nullable=False),
        sa.Column("claim", sa.String(36)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(300)),
        sa.Column("published_at", sa.BigInteger),
        if_not_exists=True,
        **TABLE,
    )
    if not any(index["name"] == "ix_outbox_due" for index in sa.inspect(op.get_bind()).get_indexes("outbox")):
        op.create_index("ix_outbox_due", "outbox", ["state", "available_at", "id"])
    _make_site_key()
    _make_pages()


def _make_site_key() -> None:
    table = op.create_table(
        "site_key",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("secret", sa.LargeBinary(32), nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    _add_first(table, id=1, secret=secrets.token_bytes(32))


def _make_pages() -> None:
    table = op.create_table(
        "pages",
        sa.Column("guid", sa.String(36), primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    _add_first(table, guid=WELCOME_PAGE, title=TITLE, body=BODY, published_at=clock.now())


def _add_first(table: sa.Table, **row: object) -> None:
    if op.get_bind().execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0:
        op.execute(table.insert().values(**row))
