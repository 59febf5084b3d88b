"""Add the digest of the template that a mail was made from. Consumers of revision 2.0 can still use the tables."""

import sqlalchemy as sa
from alembic import op

revision = "2.1"
down_revision = "2.0"


def upgrade() -> None:
    """Add the column, unless an interrupted start has added it already."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("inbox")}
    if "template_digest" not in present:
        op.add_column("inbox", sa.Column("template_digest", sa.String(64)))
