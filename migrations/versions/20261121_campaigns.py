"""Campaigns remember what they counted when they were last read; their days and their totals; links by campaign.

Code from before this lists every campaign and goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009_campaigns"
down_revision = "0010_accounts"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
TABLES = ("campaign_day", "campaign_overview")
MINE = "workspace_id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"
DAY_COUNTS = (
    "sent", "contacted", "new_leads_contacted", "opened", "clicks", "replies", "replies_automatic", "opportunities",
    "unique_opened", "unique_clicks", "unique_replies", "unique_replies_automatic", "unique_opportunities",
)  # fmt: skip
SECURE = "SECURITY DEFINER SET search_path = public, pg_temp AS $$"

# What a workspace reads anew it reads to the end, whatever was counted of it before.
READ_ANEW = f"""
CREATE OR REPLACE FUNCTION read_anew(p_account uuid, p_workspaces uuid[], p_now timestamptz) RETURNS void
LANGUAGE sql {SECURE}
    UPDATE connection SET lease_owner = NULL, next_run_at = CASE WHEN state = 'active' THEN p_now ELSE next_run_at END
        WHERE account_id = p_account AND workspace_id = ANY(p_workspaces) AND deleted_at IS NULL;
    UPDATE stream_cursor s SET position = NULL FROM connection c
        WHERE c.account_id = p_account AND c.workspace_id = ANY(p_workspaces) AND c.deleted_at IS NULL
        AND s.workspace_id = c.workspace_id AND s.connection_id = c.id AND s.position IS NOT NULL;
    {{campaigns}}
$$"""
SCAN_ANEW = """UPDATE campaign m SET scanned_at = NULL FROM connection c
        WHERE c.account_id = p_account AND c.workspace_id = ANY(p_workspaces) AND c.deleted_at IS NULL
        AND m.workspace_id = c.workspace_id AND m.connection_id = c.id AND m.scanned_at IS NOT NULL;"""

# A campaign is taken in with its first lead; that it was listed says nothing.
SHARE = f"""
CREATE OR REPLACE FUNCTION share_account(p_account uuid, p_now timestamptz) RETURNS void LANGUAGE plpgsql {SECURE}
BEGIN
    UPDATE provider_account SET shared_at = p_now WHERE id = p_account AND shared_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM read_anew(p_account, ARRAY(SELECT c.workspace_id FROM connection c WHERE c.account_id = p_account), p_now);
    INSERT INTO campaign_assignment (account_id, campaign_id, workspace_id)
        SELECT DISTINCT ON (taken.campaign) p_account, taken.campaign, c.workspace_id
        FROM connection c CROSS JOIN LATERAL (
            SELECT split_part(k.remote_key, '/', 1) AS campaign FROM link k
                WHERE k.workspace_id = c.workspace_id AND k.connection_id = c.id AND k.gone_at IS NULL
            {{campaigns}}
        ) taken
        WHERE c.account_id = p_account AND c.deleted_at IS NULL
        ORDER BY taken.campaign, c.created_at, c.id
        ON CONFLICT DO NOTHING;
END $$"""
LISTED = "UNION SELECT m.remote_id FROM campaign m WHERE m.workspace_id = c.workspace_id AND m.connection_id = c.id"


def upgrade() -> None:
    op.add_column("campaign", sa.Column("namespace", sa.Text(), server_default="", nullable=False))
    for name in ("counts", "scanned_counts", "analysed_counts"):
        op.add_column("campaign", sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for name in ("gone_at", "scanned_at", "analysed_at"):
        op.add_column("campaign", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("campaign_workspace_id_name_id_idx"), "campaign", ["workspace_id", "name", "id"])
    op.create_index(
        "link_namespace_idx",
        "link",
        ["workspace_id", "connection_id", "namespace"],
        postgresql_where=sa.text("namespace <> ''"),
    )
    op.create_table(
        "campaign_day",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("campaign_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in DAY_COUNTS),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", "day", name=op.f("campaign_day_pkey")),
        *_belongs("campaign_day"),
    )
    op.create_table(
        "campaign_overview",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("campaign_id", sa.UUID(), nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", name=op.f("campaign_overview_pkey")),
        *_belongs("campaign_overview"),
    )
    op.execute(READ_ANEW.format(campaigns=SCAN_ANEW))
    op.execute(SHARE.format(campaigns=""))
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_read ON {table} FOR SELECT TO {ROLE} USING ({MINE})")
        op.execute(f"CREATE POLICY tenant_insert ON {table} FOR INSERT TO {ROLE} WITH CHECK ({MINE} AND {MAY_WRITE})")
        op.execute(f"CREATE POLICY tenant_update ON {table} FOR UPDATE TO {ROLE} USING ({MINE} AND {MAY_WRITE})")
        op.execute(f"CREATE POLICY tenant_delete ON {table} FOR DELETE TO {ROLE} USING ({MINE} AND {MAY_WRITE})")


def _belongs(table: str) -> list[sa.ForeignKeyConstraint]:
    """Returns the references to the workspace and to the campaign."""
    return [
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f(f"{table}_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"],
            ["campaign.workspace_id", "campaign.id"],
            name=op.f(f"{table}_workspace_id_campaign_id_fkey"),
            ondelete="CASCADE",
        ),
    ]


def downgrade() -> None:
    op.execute(READ_ANEW.format(campaigns=""))
    op.execute(SHARE.format(campaigns=LISTED))
    for table in TABLES:
        op.drop_table(table)
    op.drop_index("link_namespace_idx", table_name="link", postgresql_where=sa.text("namespace <> ''"))
    op.drop_index(op.f("campaign_workspace_id_name_id_idx"), table_name="campaign")
    for name in (
        "namespace", "counts", "scanned_counts", "analysed_counts", "gone_at", "scanned_at", "analysed_at",
    ):  # fmt: skip
        op.drop_column("campaign", name)
