"""Whether a webhook secret is anybody's is asked before the delivery is read, so that strangers keep nobody waiting."""

from __future__ import annotations

from alembic import op

revision = "0015_secret"
down_revision = "0014_inbox_erase"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
SIGNATURE = "is_webhook_secret(bytea)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "CREATE FUNCTION is_webhook_secret(p_hash bytea) RETURNS boolean"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$"
        " SELECT EXISTS (SELECT FROM provider_account a WHERE a.webhook_hash = p_hash) $$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {SIGNATURE}")
