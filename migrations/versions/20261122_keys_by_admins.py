"""Keys and people are changed by those who see to the workspace, also as far as the database is concerned.

A member's request can make no key, whatever goes wrong above. Code from before this goes on as it is: it asks for no
more.
"""

from __future__ import annotations

from alembic import op

revision = "0019_keys"
down_revision = "0018_erase_chain"
branch_labels = None
depends_on = None

TABLES = ("api_key", "app_user")
WORKSPACE = "(SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
ROLES = ("'operator', 'admin', 'member', 'system'", "'operator', 'admin', 'system'")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _let(ROLES[1])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _let(ROLES[0])


def _let(roles: str) -> None:
    mine = f"workspace_id = {WORKSPACE} AND (SELECT current_setting('app.role', true)) IN ({roles})"
    for table in TABLES:
        op.execute(f"ALTER POLICY tenant_insert ON {table} WITH CHECK ({mine})")
        for command in ("update", "delete"):
            op.execute(f"ALTER POLICY tenant_{command} ON {table} USING ({mine})")
