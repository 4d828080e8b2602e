"""A delivery that waits for its lead is looked at again when its time comes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_parked"
down_revision = "0011_hooks"
branch_labels = None
depends_on = None

DUE = """
CREATE OR REPLACE FUNCTION due_deliveries(p_now timestamptz, p_limit integer)
RETURNS TABLE (workspace_id uuid, ids uuid[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, due.ids FROM workspace w CROSS JOIN LATERAL (
        SELECT array_agg(x.id ORDER BY x.received_at, x.id) AS ids FROM (
            %s
        ) AS x
    ) AS due
    WHERE due.ids IS NOT NULL
$$"""
RECEIVED = """SELECT d.id, d.received_at FROM webhook_delivery d WHERE d.workspace_id = w.id AND d.state = 'received'
                AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= p_now)
            ORDER BY d.received_at, d.id LIMIT p_limit"""
PARKED = f"""({RECEIVED})
            UNION ALL
            (SELECT d.id, d.received_at FROM webhook_delivery d WHERE d.workspace_id = w.id AND d.state = 'parked'
                AND d.next_attempt_at <= p_now ORDER BY d.next_attempt_at LIMIT p_limit)"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "webhook_delivery_again_idx",
        "webhook_delivery",
        ["workspace_id", "next_attempt_at"],
        postgresql_where=sa.text("state = 'parked' AND next_attempt_at IS NOT NULL"),
    )
    op.execute(DUE % PARKED)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(DUE % RECEIVED)
    op.drop_index("webhook_delivery_again_idx", table_name="webhook_delivery")
