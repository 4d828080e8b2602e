"""A workspace's administrator may change what the workspace has chosen, not only the operator of the service."""

from __future__ import annotations

from alembic import op

revision = "0008_settings"
down_revision = "0008_inbox"
branch_labels = None
depends_on = None

MINE = "id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
ROLE = "(SELECT current_setting('app.role', true))"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"ALTER POLICY tenant_update ON workspace USING ({MINE} AND {ROLE} IN ('operator', 'admin', 'system'))")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"ALTER POLICY tenant_update ON workspace USING ({MINE} AND {ROLE} IN ('operator', 'system'))")
