"""Records of erased people that are yet to be deleted at a provider: their ids alone, and only until then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_remote_erasure"
down_revision = "0012_reviews"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
MINE = "workspace_id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "remote_erasure",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("connection_id", sa.UUID(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "connection_id", "remote_id", name=op.f("remote_erasure_pkey")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("remote_erasure_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "connection_id"],
            ["connection.workspace_id", "connection.id"],
            name=op.f("remote_erasure_workspace_id_connection_id_fkey"),
            ondelete="CASCADE",
        ),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON remote_erasure TO {ROLE}")
    op.execute("ALTER TABLE remote_erasure ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant_read ON remote_erasure FOR SELECT TO {ROLE} USING ({MINE})")
    op.execute(
        f"CREATE POLICY tenant_insert ON remote_erasure FOR INSERT TO {ROLE} WITH CHECK ({MINE} AND {MAY_WRITE})"
    )
    for command in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE POLICY tenant_{command.lower()} ON remote_erasure FOR {command} TO {ROLE}"
            f" USING ({MINE} AND {MAY_WRITE})"
        )


def downgrade() -> None:
    op.drop_table("remote_erasure")
