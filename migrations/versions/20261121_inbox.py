"""The inbox of webhooks: what was delivered, as it came, and the functions that store and route it before any tenant.

A delivery belongs to no workspace until it is routed, so its key is its id alone, and the app role stores and routes
through functions. Erasing a person empties the deliveries about them; their keys stay, or Instantly's delivery log
would bring them back. Code from before this writes no deliveries, and accounts it adds get their webhook secret with
their next turn.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_inbox"
down_revision = "0007_erased_events"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
MINE = "workspace_id = (SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"

# Which campaign: the first of three candidates that the account is known to have, else the first that is a UUID (a
# custom variable may have taken the place of either of the payload's keys).
CAMPAIGN = """coalesce(
    (SELECT c.v FROM unnest(ARRAY[t.path, t.first, t.second]) WITH ORDINALITY AS c(v, n) WHERE c.v IS NOT NULL
        AND (EXISTS (SELECT FROM campaign_assignment a WHERE a.account_id = t.account AND a.campaign_id = c.v)
            OR EXISTS (SELECT FROM connection k JOIN campaign m ON m.workspace_id = k.workspace_id
                AND m.connection_id = k.id AND m.remote_id = c.v WHERE k.account_id = t.account))
        ORDER BY c.n LIMIT 1),
    (SELECT c.v FROM unnest(ARRAY[t.path, t.first, t.second]) WITH ORDINALITY AS c(v, n)
        WHERE c.v ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' ORDER BY c.n LIMIT 1))"""
# Which workspace: the one the campaign is assigned to; of an account without assignments, the one that uses it.
WORKSPACE = """coalesce(
    (SELECT a.workspace_id FROM campaign_assignment a WHERE a.account_id = t.account AND a.campaign_id = t.campaign),
    (SELECT (array_agg(k.workspace_id))[1] FROM connection k WHERE k.account_id = t.account AND k.deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM campaign_assignment a WHERE a.account_id = t.account)
        HAVING count(DISTINCT k.workspace_id) = 1))"""

# Rows go in by their key, so that two groups with the same deliveries wait for each other in one order.
STORE = f"""
CREATE FUNCTION store_deliveries(p_now timestamptz, p_ids uuid[], p_secrets bytea[], p_accounts uuid[], p_via text[],
    p_paths text[], p_shown text[], p_firsts text[], p_seconds text[], p_event_types text[], p_email_hashes bytea[],
    p_digests bytea[], p_headers jsonb[], p_bodies bytea[])
RETURNS TABLE (place bigint, delivery uuid, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_accounts uuid[];
    v_campaigns text[];
    v_workspaces uuid[];
    v_keys bytea[];
BEGIN
    WITH given AS (
        SELECT g.n, g.path, g.first, g.second, g.digest, coalesce(g.account,
            (SELECT a.id FROM provider_account a WHERE a.webhook_hash = g.secret)) AS account
        FROM unnest(p_accounts, p_secrets, p_paths, p_firsts, p_seconds, p_digests)
            WITH ORDINALITY AS g(account, secret, path, first, second, digest, n)
    ), told AS (
        SELECT DISTINCT account, path, first, second FROM given WHERE account IS NOT NULL
    ), about AS (
        SELECT t.*, {CAMPAIGN} AS campaign FROM told t
    ), routed AS (
        SELECT t.*, {WORKSPACE} AS workspace FROM about t
    )
    SELECT array_agg(g.account ORDER BY g.n), array_agg(r.campaign ORDER BY g.n), array_agg(r.workspace ORDER BY g.n),
        array_agg(sha256(convert_to(g.account || '/' || coalesce(r.campaign, '') || '/', 'UTF8') || g.digest)
            ORDER BY g.n)
        INTO v_accounts, v_campaigns, v_workspaces, v_keys
        FROM given g LEFT JOIN routed r ON r.account = g.account AND r.path IS NOT DISTINCT FROM g.path
            AND r.first IS NOT DISTINCT FROM g.first AND r.second IS NOT DISTINCT FROM g.second;
    INSERT INTO webhook_delivery (id, account_id, workspace_id, path, received_at, via, headers, body, dedupe_key,
            campaign_id, event_type, email_hash, state)
        SELECT g.id, g.account, g.workspace, g.path, p_now, g.via, g.headers, g.body, g.key, g.campaign, g.event_type,
            g.email_hash, CASE WHEN g.workspace IS NULL THEN 'unrouted' ELSE 'received' END
        FROM unnest(p_ids, v_accounts, v_workspaces, p_shown, p_via, p_headers, p_bodies, v_keys, v_campaigns,
                p_event_types, p_email_hashes)
            AS g(id, account, workspace, path, via, headers, body, key, campaign, event_type, email_hash)
        WHERE g.account IS NOT NULL ORDER BY g.key
        ON CONFLICT (dedupe_key) DO NOTHING;
    RETURN QUERY SELECT g.n, d.id, d.id = g.id FROM unnest(p_ids, v_keys) WITH ORDINALITY AS g(id, key, n)
        LEFT JOIN webhook_delivery d ON d.dedupe_key = g.key ORDER BY g.n;
END $$"""

# What is to be applied, the oldest first, at most so many of each workspace: nobody waits behind somebody's flood.
DUE = """
CREATE FUNCTION due_deliveries(p_now timestamptz, p_limit integer) RETURNS TABLE (workspace_id uuid, ids uuid[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, due.ids FROM workspace w CROSS JOIN LATERAL (
        SELECT array_agg(x.id ORDER BY x.received_at, x.id) AS ids FROM (
            SELECT d.id, d.received_at FROM webhook_delivery d WHERE d.workspace_id = w.id AND d.state = 'received'
                AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= p_now)
            ORDER BY d.received_at, d.id LIMIT p_limit
        ) AS x
    ) AS due
    WHERE due.ids IS NOT NULL
$$"""

ROUTE = f"""
CREATE FUNCTION route_deliveries(p_account uuid, p_campaign text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH waiting AS (
        SELECT DISTINCT d.account_id AS account, d.campaign_id AS campaign FROM webhook_delivery d
        WHERE d.state = 'unrouted' AND (p_account IS NULL OR d.account_id = p_account)
            AND (p_campaign IS NULL OR d.campaign_id = p_campaign)
    ), routed AS (
        SELECT t.*, {WORKSPACE} AS workspace FROM waiting t
    ), moved AS (
        UPDATE webhook_delivery d SET workspace_id = r.workspace, state = 'received' FROM routed r
        WHERE d.state = 'unrouted' AND d.account_id = r.account AND d.campaign_id IS NOT DISTINCT FROM r.campaign
            AND r.workspace IS NOT NULL
        RETURNING 1
    )
    SELECT count(*) FROM moved
$$"""

UNROUTED = """
CREATE FUNCTION unrouted_deliveries() RETURNS TABLE (account_id uuid, campaign_id text, deliveries bigint,
    first_at timestamptz, last_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.account_id, d.campaign_id, count(*), min(d.received_at), max(d.received_at) FROM webhook_delivery d
    WHERE d.state = 'unrouted' AND current_setting('app.role', true) = 'operator' GROUP BY 1, 2 ORDER BY 4, 1, 2
$$"""

# A secret that was given by hand replaces the one there; one that was made up only fills the place.
GIVE = """
CREATE FUNCTION give_webhook_secret(p_account uuid, p_secret bytea, p_hash bytea, p_replaces boolean) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH given AS (
        UPDATE provider_account SET secret = p_secret, webhook_hash = p_hash
        WHERE id = p_account AND (webhook_hash IS NULL OR p_replaces AND webhook_hash <> p_hash) RETURNING 1
    )
    SELECT EXISTS (SELECT FROM given)
$$"""

# As it was, and with the deliveries: their bytes are searched as text that any byte has, so in lower-case ASCII.
EMPTY_DELIVERIES = """
    UPDATE webhook_delivery d SET body = NULL, headers = '{}', path = NULL, event_type = NULL, email_hash = NULL,
        lead_id = NULL, reason = 'erased', applied_at = coalesce(d.applied_at, p_now),
        state = CASE WHEN d.state = 'applied' THEN 'applied' ELSE 'ignored' END
        WHERE d.workspace_id = mine AND (d.lead_id = ANY(p_leads) OR d.email_hash = ANY(p_hashes)
            OR d.body IS NOT NULL AND EXISTS (SELECT FROM unnest(p_words) AS w
                WHERE position(encode(convert_to(w, 'UTF8'), 'escape')
                    IN lower(encode(d.body, 'escape') || d.headers::text || coalesce(d.path, ''))) > 0));"""
ERASE = """
CREATE OR REPLACE FUNCTION erase_leads(p_leads uuid[], p_words text[], p_hashes bytea[], p_now timestamptz)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    mine uuid := nullif(current_setting('app.workspace_id', true), '')::uuid;
    tied uuid[];
BEGIN
    IF mine IS NULL OR coalesce(current_setting('app.role', true), '') NOT IN ('operator', 'admin') THEN
        RAISE EXCEPTION 'erasing a lead takes a workspace and the role admin' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO erasure_ledger (workspace_id, hash, lead_id, at)
        SELECT mine, h, p_leads[1], p_now FROM unnest(p_hashes) AS h ON CONFLICT DO NOTHING;
    tied := ARRAY(SELECT k.id FROM link k WHERE k.workspace_id = mine AND (k.lead_id = ANY(p_leads)
        OR k.lead_id IS NULL AND EXISTS (SELECT FROM unnest(p_words) AS w
            WHERE position(w IN lower(concat_ws(' ', k.remote_key, k.observed, k.raw))) > 0)));
    DELETE FROM write_attempt a WHERE a.workspace_id = mine
        AND (a.lead_id = ANY(p_leads) OR a.link_id = ANY(tied));
    DELETE FROM link k WHERE k.workspace_id = mine AND k.id = ANY(tied);%s
    DELETE FROM lead l WHERE l.workspace_id = mine AND l.id = ANY(p_leads);
    -- a conflict of another lead speaks of that lead's own record, and its field waits for it
    UPDATE review_item r SET updated_at = p_now, version = r.version + 1,
        evidence = CASE r.kind WHEN 'plan' THEN r.evidence || '{"here": [], "there": []}' ELSE '{}' END,
        state = CASE WHEN r.kind <> 'plan' AND r.state = 'open' THEN 'closed' ELSE r.state END
        WHERE r.workspace_id = mine AND (r.kind = 'plan' OR r.kind <> 'conflict' AND EXISTS (
            SELECT FROM unnest(p_words) AS w
            WHERE position(w IN lower(concat_ws(' ', r.field, r.evidence, r.decision))) > 0));
    DELETE FROM idempotency_key i WHERE i.workspace_id = mine AND EXISTS (SELECT FROM unnest(p_words) AS w
        WHERE position(convert_to(w, 'UTF8') IN i.answer) > 0 OR position(w IN i.headers::text) > 0);
END $$"""

FUNCTIONS = (
    "store_deliveries(timestamptz, uuid[], bytea[], uuid[], text[], text[], text[], text[], text[], text[], bytea[],"
    " bytea[], jsonb[], bytea[])",
    "due_deliveries(timestamptz, integer)",
    "route_deliveries(uuid, text)",
    "unrouted_deliveries()",
    "give_webhook_secret(uuid, bytea, bytea, boolean)",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("provider_account", sa.Column("webhook_hash", sa.LargeBinary(), nullable=True))
    op.create_unique_constraint(op.f("provider_account_webhook_hash_key"), "provider_account", ["webhook_hash"])
    op.create_index(op.f("connection_account_id_idx"), "connection", ["account_id"])
    _create_table()
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_delivery TO {ROLE}")
    op.execute("ALTER TABLE webhook_delivery ENABLE ROW LEVEL SECURITY")
    on = f"ON webhook_delivery FOR %s TO {ROLE}"
    # others' mail and the provider's ids: a viewer does not even read them
    op.execute(f"CREATE POLICY tenant_read {on % 'SELECT'} USING ({MINE} AND {MAY})")
    op.execute(f"CREATE POLICY tenant_insert {on % 'INSERT'} WITH CHECK ({MINE} AND {MAY})")
    op.execute(f"CREATE POLICY tenant_update {on % 'UPDATE'} USING ({MINE} AND {MAY})")
    op.execute(f"CREATE POLICY tenant_delete {on % 'DELETE'} USING ({MINE} AND {MAY})")
    for statement in (STORE, DUE, ROUTE, UNROUTED, GIVE):
        op.execute(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {ROLE}")
    op.execute(ERASE % EMPTY_DELIVERIES)


def _create_table() -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=True),
        sa.Column("workspace_id", sa.UUID(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("via", sa.Text(), server_default="webhook", nullable=False),
        sa.Column(
            "headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("dedupe_key", sa.LargeBinary(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("email_hash", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), server_default="received", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lead_id", sa.UUID(), nullable=True),
        sa.CheckConstraint("via IN ('webhook', 'log', 'mail')", name=op.f("webhook_delivery_via_check")),
        sa.CheckConstraint(
            "state IN ('received', 'applied', 'ignored', 'parked', 'unrouted', 'failed')"
            " AND (state = 'unrouted') = (workspace_id IS NULL)",
            name=op.f("webhook_delivery_state_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_delivery_pkey")),
        sa.UniqueConstraint("dedupe_key", name=op.f("webhook_delivery_dedupe_key_key")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("webhook_delivery_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["lead.workspace_id", "lead.id"],
            name=op.f("webhook_delivery_workspace_id_lead_id_fkey"),
            ondelete="SET NULL (lead_id)",
        ),
    )
    op.create_index("webhook_delivery_list_idx", "webhook_delivery", ["workspace_id", "received_at", "id"])
    for name, columns, where in (
        ("due", ["workspace_id", "received_at", "id"], "state = 'received'"),
        ("parked", ["workspace_id", "email_hash"], "state = 'parked'"),
        ("unrouted", ["account_id", "campaign_id"], "state = 'unrouted'"),
        ("lead", ["workspace_id", "lead_id"], "lead_id IS NOT NULL"),
        ("kept", ["workspace_id", "received_at"], "body IS NOT NULL AND state IN ('applied', 'ignored')"),
    ):
        op.create_index(f"webhook_delivery_{name}_idx", "webhook_delivery", columns, postgresql_where=sa.text(where))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(ERASE % "")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("connection_account_id_idx"), table_name="connection")
    op.drop_constraint(op.f("provider_account_webhook_hash_key"), "provider_account")
    op.drop_column("provider_account", "webhook_hash")
