"""Store the trace context of the request that a message belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column if it is missing: on MySQL an interrupted start may have added the column."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("outbox")}
    if "traceparent" not in present:
        op.add_column("outbox", sa.Column("traceparent", sa.String(55)))
