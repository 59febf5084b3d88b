"""Add readable addresses, drafts and versions to pages; by its version a page shows that two people edited it."""

import sqlalchemy as sa
from alembic import op

from mailpact_producer.page_text import slug_of

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the missing parts: on MySQL an interrupted start may have added some of them."""
    inspector = sa.inspect(op.get_bind())
    present = {column["name"] for column in inspector.get_columns("pages")}
    for column in (
        sa.Column("slug", sa.String(100)),
        sa.Column("is_published", sa.SmallInteger, nullable=False, server_default="1"),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("updated_at", sa.BigInteger),
    ):
        if column.name not in present:
            op.add_column("pages", column)
    _name_pages()
    for name, columns, is_unique in (
        ("ix_pages_slug", ["slug"], True),
        ("ix_pages_listed", ["published_at", "guid"], False),
    ):
        if not any(index["name"] == name for index in inspector.get_indexes("pages")):
            op.create_index(name, "pages", columns, unique=is_unique)


def _name_pages() -> None:
    pages = sa.table(
        "pages", *(sa.column(name) for name in ("guid", "title", "slug", "published_at", "updated_at"))
    )
    connection = op.get_bind()
    rows = connection.execute(
        sa.select(pages.c.guid, pages.c.title, pages.c.slug).order_by(pages.c.published_at)
    ).all()
    taken = {row.slug for row in rows}
    for guid, title, slug in rows:
        if slug is None:
            name = slug_of(title)
            new = next(
                each
                for each in (name, *(f"{name}-{n}" for n in range(2, len(rows) + 2)))
                if each not in taken
            )
            taken.add(new)
            connection.execute(
                pages.update().where(pages.c.guid == guid).values(slug=new, updated_at=pages.c.published_at)
            )
