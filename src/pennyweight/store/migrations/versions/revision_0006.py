"""How many items a conversation was ever given: the place of a removed one is not given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was removed from an end before is not known any more."""
    given = sa.Column("num_given", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("conversations", given)
    op.execute(
        "UPDATE conversations SET num_given = coalesce((SELECT max(position) FROM conversation_items "
        "WHERE conversation_id = conversations.id), 0)"
    )
