"""What people ask to be changed at a mail-campaign provider: stored before it is sent, and due work like any other.

Code from before this neither asks for such changes nor makes them, and goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_hooks"
down_revision = "0008_settings"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
MINE = "workspace_id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"

REQUESTS = """
                OR EXISTS (SELECT FROM outreach_request q WHERE q.workspace_id = c.workspace_id
                           AND q.connection_id = c.id AND q.state IN ('queued', 'sent')
                           AND (q.next_attempt_at IS NULL OR q.next_attempt_at <= p_now))"""


def claim_due(more: str = "") -> str:
    """Returns the function that takes connections with due work, of which there may be more kinds."""
    return f"""
CREATE OR REPLACE FUNCTION claim_due(p_owner text, p_now timestamptz, p_seconds double precision, p_limit integer)
RETURNS TABLE (workspace_id uuid, connection_id uuid, token bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT c.workspace_id, c.id FROM connection c
        WHERE c.deleted_at IS NULL AND (c.lease_until IS NULL OR c.lease_until <= p_now) AND (
            EXISTS (SELECT FROM sync_run r WHERE r.workspace_id = c.workspace_id AND r.connection_id = c.id
                    AND r.state IN ('queued', 'running'))
            OR c.state = 'active' AND (
                c.next_run_at <= p_now
                OR c.pushes AND EXISTS (SELECT FROM lead l WHERE l.workspace_id = c.workspace_id
                    AND l.changed_xid >= c.lead_xid AND l.updated_at <= p_now - interval '1 second')
                OR EXISTS (SELECT FROM link k WHERE k.workspace_id = c.workspace_id AND k.connection_id = c.id
                           AND k.push_due AND (k.next_attempt_at IS NULL OR k.next_attempt_at <= p_now)){more}
            )
        )
        ORDER BY c.next_run_at NULLS FIRST, c.id
        LIMIT p_limit
        FOR NO KEY UPDATE OF c SKIP LOCKED
    )
    UPDATE connection c
    SET lease_owner = p_owner, lease_until = p_now + make_interval(secs => p_seconds), lease_token = c.lease_token + 1
    FROM due WHERE c.workspace_id = due.workspace_id AND c.id = due.id
    RETURNING c.workspace_id, c.id, c.lease_token
$$"""


def upgrade() -> None:
    op.create_table(
        "outreach_request",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("connection_id", sa.UUID(), nullable=False),
        sa.Column("link_id", sa.UUID(), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("interest", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("outreach_request_pkey")),
        sa.CheckConstraint("kind IN ('remove', 'interest')", name=op.f("outreach_request_kind_check")),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'confirmed', 'failed')", name=op.f("outreach_request_state_check")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("outreach_request_workspace_id_fkey"), ondelete="CASCADE"
        ),
        *(
            sa.ForeignKeyConstraint(
                ["workspace_id", f"{table}_id"],
                [f"{table}.workspace_id", f"{table}.id"],
                name=op.f(f"outreach_request_workspace_id_{table}_id_fkey"),
                ondelete="CASCADE",
            )
            for table in ("connection", "link", "lead")
        ),
    )
    op.create_index(
        "outreach_request_open_idx",
        "outreach_request",
        ["workspace_id", "connection_id"],
        postgresql_where=sa.text("state IN ('queued', 'sent')"),
    )
    op.create_index(op.f("outreach_request_workspace_id_link_id_idx"), "outreach_request", ["workspace_id", "link_id"])
    op.create_index(op.f("outreach_request_workspace_id_lead_id_idx"), "outreach_request", ["workspace_id", "lead_id"])
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON outreach_request TO {ROLE}")
    op.execute("ALTER TABLE outreach_request ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant_read ON outreach_request FOR SELECT TO {ROLE} USING ({MINE})")
    op.execute(
        f"CREATE POLICY tenant_insert ON outreach_request FOR INSERT TO {ROLE} WITH CHECK ({MINE} AND {MAY_WRITE})"
    )
    for command in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE POLICY tenant_{command.lower()} ON outreach_request FOR {command} TO {ROLE}"
            f" USING ({MINE} AND {MAY_WRITE})"
        )
    op.execute(claim_due(REQUESTS))


def downgrade() -> None:
    op.execute(claim_due())
    op.drop_table("outreach_request")
