"""Add accounts of readers: confirmation, sessions, mailed links, and the delays of logins.

Readers who registered before are unconfirmed, and they are never deleted automatically, because nobody asked them to
confirm.
"""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the missing parts: on MySQL an interrupted start may have added some of them."""
    _add_columns()
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "links",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("email", sa.String(254)),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "login_delays",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("free_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    for table, name, columns in (
        ("users", "ix_users_delete", ["delete_at"]),
        ("sessions", "ix_sessions_user", ["user_id"]),
        ("sessions", "ix_sessions_seen", ["seen_at"]),
        ("links", "ix_links_user", ["user_id", "purpose"]),
        ("links", "ix_links_expiry", ["expires_at"]),
        ("login_delays", "ix_login_delays_free", ["free_at"]),
    ):
        if not any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table)):
            op.create_index(name, table, columns)


def _add_columns() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("users")}
    for column in (
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("delete_at", sa.BigInteger),
        sa.Column("is_admin", sa.SmallInteger, nullable=False, server_default="0"),
    ):
        if column.name not in present:
            op.add_column("users", column)
