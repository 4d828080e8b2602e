"""Blocking keys, by which duplicates are found without comparing every two leads, and what a merge of leads remembers.

Code from before this knows neither table and goes on working; leads it adds get their keys with the next scan.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_merges"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
TABLES = ("lead_block", "lead_merge")
MINE = "workspace_id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"


def upgrade() -> None:
    op.create_table(
        "lead_block",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "key", "lead_id", name=op.f("lead_block_pkey")),
        *_belongs("lead_block", "lead_id"),
    )
    op.create_index(op.f("lead_block_workspace_id_lead_id_idx"), "lead_block", ["workspace_id", "lead_id"])
    op.create_table(
        "lead_merge",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("survivor_id", sa.UUID(), nullable=False),
        sa.Column("loser_id", sa.UUID(), nullable=False),
        *(
            sa.Column(
                name, postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
            )
            for name in ("survivor_before", "loser_before", "survivor_after", "moved")
        ),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("lead_merge_pkey")),
        *_belongs("lead_merge", "survivor_id", "loser_id"),
    )
    op.create_index(op.f("lead_merge_workspace_id_survivor_id_idx"), "lead_merge", ["workspace_id", "survivor_id"])
    op.create_index(
        "lead_merge_loser_key",
        "lead_merge",
        ["workspace_id", "loser_id"],
        unique=True,
        postgresql_where=sa.text("undone_at IS NULL"),
    )
    op.create_index(
        "review_item_dismissed_idx",
        "review_item",
        ["workspace_id", "lead_id", "field"],
        postgresql_where=sa.text("kind = 'candidate' AND state = 'decided'"),
    )
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_read ON {table} FOR SELECT TO {ROLE} USING ({MINE})")
        op.execute(f"CREATE POLICY tenant_insert ON {table} FOR INSERT TO {ROLE} WITH CHECK ({MINE} AND {MAY_WRITE})")
        op.execute(f"CREATE POLICY tenant_update ON {table} FOR UPDATE TO {ROLE} USING ({MINE} AND {MAY_WRITE})")
        op.execute(f"CREATE POLICY tenant_delete ON {table} FOR DELETE TO {ROLE} USING ({MINE} AND {MAY_WRITE})")


def _belongs(table: str, *columns: str) -> list[sa.ForeignKeyConstraint]:
    """Returns the references to the workspace and to its leads."""
    found = [
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f(f"{table}_workspace_id_fkey"), ondelete="CASCADE"
        )
    ]
    for column in columns:
        name = op.f(f"{table}_workspace_id_{column}_fkey")
        found.append(
            sa.ForeignKeyConstraint(
                ["workspace_id", column], ["lead.workspace_id", "lead.id"], name=name, ondelete="CASCADE"
            )
        )
    return found


def downgrade() -> None:
    op.drop_index("review_item_dismissed_idx", table_name="review_item")
    for table in TABLES:
        op.drop_table(table)
