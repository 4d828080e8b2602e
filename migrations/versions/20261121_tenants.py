"""The app role, row-level security, and the few functions that run before a tenant is known.

The owner is exempt on purpose (no FORCE): forcing it makes a data migration touch no rows and `pg_dump` fail. The app
role owns nothing and may not bypass; a catalogue test proves both, and that every tenant table has its policies.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
TENANT_TABLES = (
    "app_user", "api_key", "lead", "lead_identity", "lead_alias", "suppression", "connection", "campaign", "link",
    "stream_cursor", "sweep_seen", "sync_run", "write_attempt", "lead_change", "activity", "review_item", "quota_use",
    "idempotency_key", "audit",
)  # fmt: skip
APPEND_ONLY = ("lead_change", "audit")

# The subselects are evaluated once per query instead of once per row.
WORKSPACE = "(SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
SETTING_ROLE = "(SELECT current_setting('app.role', true))"
MAY_WRITE = f"{SETTING_ROLE} IN ('operator', 'admin', 'member', 'system')"
MAY_QUEUE = f"{SETTING_ROLE} IN ('operator', 'admin', 'member', 'system', 'cron')"

FIND_KEY = """
CREATE FUNCTION find_key(p_hash bytea, p_now timestamptz)
RETURNS TABLE (workspace_id uuid, id uuid, role text, acts_for text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.workspace_id, k.id, k.role, k.acts_for, k.name FROM api_key k
    WHERE k.hash = p_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > p_now)
$$"""

# Work that is due: a queued run, a run whose worker is gone, the schedule, a change here that is a second old, or a
# push whose time has come. Each of them is an index probe per connection, however many leads there are.
CLAIM_DUE = """
CREATE FUNCTION claim_due(p_owner text, p_now timestamptz, p_seconds double precision, p_limit integer)
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
                           AND k.push_due AND (k.next_attempt_at IS NULL OR k.next_attempt_at <= p_now))
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

LIST_WORKSPACES = """
CREATE FUNCTION list_workspaces() RETURNS TABLE (id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$ SELECT w.id FROM workspace w ORDER BY 1 $$
"""

# An account is known by the keyed hash of its secret; a second workspace that brings the same secret shares it.
ENSURE_ACCOUNT = """
CREATE FUNCTION ensure_account(p_id uuid, p_provider text, p_fingerprint text, p_secret bytea, p_now timestamptz)
RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO provider_account (id, provider, fingerprint, secret, created_at)
    VALUES (p_id, p_provider, p_fingerprint, p_secret, p_now) ON CONFLICT (provider, fingerprint) DO NOTHING;
    SELECT a.id FROM provider_account a WHERE a.provider = p_provider AND a.fingerprint = p_fingerprint
$$"""

FUNCTIONS = (
    "find_key(bytea, timestamptz)",
    "claim_due(text, timestamptz, double precision, integer)",
    "list_workspaces()",
    "ensure_account(uuid, text, text, bytea, timestamptz)",
)


def upgrade() -> None:
    op.execute(
        f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {ROLE}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
    op.execute(f"REVOKE ALL ON alembic_version FROM {ROLE}")
    op.execute(f"GRANT SELECT ON alembic_version TO {ROLE}")
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {ROLE}")
    for table in TENANT_TABLES:
        may = MAY_QUEUE if table in ("sync_run", "idempotency_key") else MAY_WRITE
        _protect(table, f"workspace_id = {WORKSPACE}", may)
    _protect("workspace", f"id = {WORKSPACE}", f"{SETTING_ROLE} IN ('operator', 'system')")
    _protect("campaign_assignment", f"workspace_id = {WORKSPACE}", f"{SETTING_ROLE} IN ('operator', 'admin', 'system')")
    # an account is seen through the connections of the workspace that use it
    op.execute("ALTER TABLE provider_account ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_read ON provider_account FOR SELECT TO {ROLE} USING"
        f" (EXISTS (SELECT FROM connection c WHERE c.workspace_id = {WORKSPACE}"
        " AND c.account_id = provider_account.id))"
    )
    for statement in (FIND_KEY, CLAIM_DUE, LIST_WORKSPACES, ENSURE_ACCOUNT):
        op.execute(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {ROLE}")


def _protect(table: str, mine: str, may_write: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant_read ON {table} FOR SELECT TO {ROLE} USING ({mine})")
    op.execute(f"CREATE POLICY tenant_insert ON {table} FOR INSERT TO {ROLE} WITH CHECK ({mine} AND {may_write})")
    op.execute(f"CREATE POLICY tenant_update ON {table} FOR UPDATE TO {ROLE} USING ({mine} AND {may_write})")
    op.execute(f"CREATE POLICY tenant_delete ON {table} FOR DELETE TO {ROLE} USING ({mine} AND {may_write})")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for table in (*TENANT_TABLES, "workspace", "campaign_assignment"):
        for policy in ("read", "insert", "update", "delete"):
            op.execute(f"DROP POLICY tenant_{policy} ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY tenant_read ON provider_account")
    op.execute("ALTER TABLE provider_account DISABLE ROW LEVEL SECURITY")
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {ROLE}")
