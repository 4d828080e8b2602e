"""What a person has acknowledged is found quickly, because nobody is asked about it again."""

from __future__ import annotations

from alembic import op

revision = "0012_reviews"
down_revision = "0013_inbox_store"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "CREATE INDEX review_item_acknowledged_idx ON review_item (workspace_id, kind, field)"
        " WHERE decision ? 'acknowledged'"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX review_item_acknowledged_idx")
