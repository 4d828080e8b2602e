"""What refers to a record or a lead is found by it when it is removed, however much there is of other ones.

Of the two indexes that go, no statement used the one of attempts; the one of dismissed pairs is part of a new one. Code
of before works with it.
"""

from __future__ import annotations

from alembic import op

revision = "0021_tied_rows"
down_revision = "0020_deleted"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE INDEX write_attempt_workspace_id_link_id_idx ON write_attempt (workspace_id, link_id)")
    op.execute("DROP INDEX write_attempt_workspace_id_connection_id_at_idx")
    op.execute("CREATE INDEX review_item_link_idx ON review_item (workspace_id, link_id) WHERE link_id IS NOT NULL")
    op.execute("CREATE INDEX review_item_workspace_id_lead_id_field_idx ON review_item (workspace_id, lead_id, field)")
    op.execute("DROP INDEX review_item_dismissed_idx")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "CREATE INDEX review_item_dismissed_idx ON review_item (workspace_id, lead_id, field)"
        " WHERE kind = 'candidate' AND state = 'decided'"
    )
    op.execute("DROP INDEX review_item_workspace_id_lead_id_field_idx")
    op.execute("DROP INDEX review_item_link_idx")
    op.execute(
        "CREATE INDEX write_attempt_workspace_id_connection_id_at_idx"
        " ON write_attempt (workspace_id, connection_id, at)"
    )
    op.execute("DROP INDEX write_attempt_workspace_id_link_id_idx")
