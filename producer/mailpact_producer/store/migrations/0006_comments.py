"""Make the tables of comments and of reports about comments, and add the column for blocked readers."""

import sqlalchemy as sa
from alembic import op

from mailpact.database.mysql import TABLE

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the missing parts: on MySQL an interrupted start may have added some of them."""
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "comments",
        sa.Column("id", row_id, primary_key=True, autoincrement=True),
        sa.Column("page_guid", sa.String(36), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("edited_at", sa.BigInteger),
        sa.Column("once", sa.String(64), nullable=False, unique=True),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "reports",
        sa.Column("comment_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    inspector = sa.inspect(op.get_bind())
    if "is_blocked" not in {column["name"] for column in inspector.get_columns("users")}:
        op.add_column("users", sa.Column("is_blocked", sa.SmallInteger, nullable=False, server_default="0"))
    for table, name, columns in (
        ("comments", "ix_comments_page", ["page_guid", "id"]),
        ("comments", "ix_comments_user", ["user_id"]),
        ("comments", "ix_comments_state", ["state", "id"]),
        ("reports", "ix_reports_user", ["user_id"]),
        ("users", "ix_users_blocked", ["is_blocked"]),
    ):
        if not any(index["name"] == name for index in inspector.get_indexes(table)):
            op.create_index(name, table, columns)
