"""The event stream tells of erasures: their audit entries carry their transaction, and have an index in that order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_erased_events"
down_revision = "0005_erasure"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("xid", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute("CREATE TRIGGER audit_xid BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION stamp_xid()")
    op.create_index(
        "audit_erased_idx",
        "audit",
        ["workspace_id", "xid", "id"],
        postgresql_where=sa.text("action = 'lead.erased'"),
    )


def downgrade() -> None:
    op.drop_index("audit_erased_idx", table_name="audit", postgresql_where=sa.text("action = 'lead.erased'"))
    op.execute("DROP TRIGGER audit_xid ON audit")
    op.drop_column("audit", "xid")
