"""The webhook of an account that no connection uses any more is found, so that it can be removed at the provider.

What is known of such an account belongs to no workspace by then; so two functions claim it, once in so many seconds,
and forget it. Code from before this leaves such webhooks registered, as it did.
"""

from __future__ import annotations

from alembic import op

revision = "0022_nobodys_hooks"
down_revision = "0021_tied_rows"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
SECURE = "SECURITY DEFINER SET search_path = public, pg_temp AS $$"
WORKSPACE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
NOBODYS = "NOT EXISTS (SELECT FROM connection c WHERE c.account_id = w.account_id AND c.deleted_at IS NULL)"

# Of each such account the connection that was deleted last, which still opens it.
CLAIM = f"""
CREATE FUNCTION claim_nobodys_hooks(p_now timestamptz, p_seconds double precision)
RETURNS TABLE (workspace_id uuid, connection_id uuid) LANGUAGE sql {SECURE}
    WITH due AS (
        SELECT w.account_id FROM account_watch w WHERE w.hook_since IS NOT NULL AND {NOBODYS}
            AND (w.hook_looked_at IS NULL OR w.hook_looked_at <= p_now - make_interval(secs => p_seconds))
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE account_watch w SET hook_looked_at = p_now FROM due WHERE w.account_id = due.account_id
            RETURNING w.account_id
    )
    SELECT DISTINCT ON (c.account_id) c.workspace_id, c.id FROM claimed JOIN connection c USING (account_id)
        ORDER BY c.account_id, c.deleted_at DESC
$$"""

FORGET = f"""
CREATE FUNCTION forget_nobodys_hook(p_account uuid) RETURNS void LANGUAGE sql {SECURE}
    UPDATE account_watch w SET hook = 'unknown', hook_error = NULL, hook_since = NULL, hook_seen_at = NULL,
        hook_looked_at = NULL
        WHERE w.account_id = p_account AND {NOBODYS} AND EXISTS (SELECT FROM connection c
            WHERE c.workspace_id = {WORKSPACE} AND c.account_id = p_account)
$$"""
FUNCTIONS = {
    "claim_nobodys_hooks(timestamptz, double precision)": CLAIM,
    "forget_nobodys_hook(uuid)": FORGET,
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for signature, statement in FUNCTIONS.items():
        op.execute(statement)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
