"""What the event stream reads: in which transaction a run or a review item last changed, and indexes in that order.

A trigger stamps the transaction, because many statements change a run, and one that forgot to would go unseen.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_events"
down_revision = "0006_merges"
branch_labels = None
depends_on = None

STAMPED = ("sync_run", "review_item")
READ = ("lead_change", "activity", *STAMPED)

STAMP = """
CREATE FUNCTION stamp_xid() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$"""


def upgrade() -> None:
    op.execute(STAMP)
    for table in STAMPED:
        op.add_column(table, sa.Column("xid", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        op.execute(
            f"CREATE TRIGGER {table}_xid BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_xid()"
        )
    for table in READ:
        op.create_index(op.f(f"{table}_workspace_id_xid_id_idx"), table, ["workspace_id", "xid", "id"])


def downgrade() -> None:
    for table in READ:
        op.drop_index(op.f(f"{table}_workspace_id_xid_id_idx"), table_name=table)
    for table in STAMPED:
        op.execute(f"DROP TRIGGER {table}_xid ON {table}")
        op.drop_column(table, "xid")
    op.execute("DROP FUNCTION stamp_xid()")
