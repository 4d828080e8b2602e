"""Deleted leads can be listed, the last one first; only a deletion and its end pay for the index.

Code of before works with it.
"""

from __future__ import annotations

from alembic import op

revision = "0020_deleted"
down_revision = "0019_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "CREATE INDEX lead_deleted_at_idx ON lead (workspace_id, deleted_at, id)"
        " WHERE deleted_at IS NOT NULL AND merged_into IS NULL"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX lead_deleted_at_idx")
