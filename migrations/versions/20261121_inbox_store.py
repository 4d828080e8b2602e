"""Storing deliveries costs the same however many there are: what is new is known from the insert, not from the table.

A plan made while the table was small read all of it. Going down leaves this function: it does what the one before did.
"""

from __future__ import annotations

from alembic import op

revision = "0013_inbox_store"
down_revision = "0011_watch"
branch_labels = None
depends_on = None

# Rows go in by their key, so that two groups with the same deliveries wait for each other in one order. Most of a
# group is about one campaign of one account, which is looked up once.
STORE = """
CREATE OR REPLACE FUNCTION store_deliveries(p_now timestamptz, p_ids uuid[], p_secrets bytea[], p_accounts uuid[],
    p_via text[], p_paths text[], p_shown text[], p_firsts text[], p_seconds text[], p_event_types text[],
    p_email_hashes bytea[], p_digests bytea[], p_headers jsonb[], p_bodies bytea[])
RETURNS TABLE (place bigint, delivery uuid, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    g record;
    t record;
    v_secret bytea;
    v_known uuid;
    v_accounts uuid[];
    v_campaigns text[];
    v_workspaces uuid[];
    v_keys bytea[];
    v_new uuid[];
BEGIN
    SELECT NULL::uuid AS account, NULL::text AS path, NULL::text AS first, NULL::text AS second, NULL::text AS campaign,
        NULL::uuid AS workspace INTO t;
    FOR g IN SELECT * FROM unnest(p_accounts, p_secrets, p_paths, p_firsts, p_seconds, p_digests)
            AS u(account, secret, path, first, second, digest) LOOP
        IF g.account IS NULL THEN
            IF g.secret IS DISTINCT FROM v_secret THEN
                v_secret := g.secret;
                v_known := (SELECT a.id FROM provider_account a WHERE a.webhook_hash = g.secret);
            END IF;
            g.account := v_known;
        END IF;
        IF g.account IS NULL THEN
            v_accounts := v_accounts || NULL::uuid;
            v_campaigns := v_campaigns || NULL::text;
            v_workspaces := v_workspaces || NULL::uuid;
            v_keys := v_keys || NULL::bytea;
            CONTINUE;
        END IF;
        IF (g.account, g.path, g.first, g.second) IS DISTINCT FROM (t.account, t.path, t.first, t.second) THEN
            t.account := g.account;
            t.path := g.path;
            t.first := g.first;
            t.second := g.second;
            t.campaign := coalesce(
                (SELECT c.v FROM unnest(ARRAY[t.path, t.first, t.second]) WITH ORDINALITY AS c(v, n)
                    WHERE c.v IS NOT NULL AND (EXISTS (SELECT FROM campaign_assignment a
                            WHERE a.account_id = t.account AND a.campaign_id = c.v)
                        OR EXISTS (SELECT FROM connection k JOIN campaign m ON m.workspace_id = k.workspace_id
                            AND m.connection_id = k.id AND m.remote_id = c.v WHERE k.account_id = t.account))
                    ORDER BY c.n LIMIT 1),
                (SELECT c.v FROM unnest(ARRAY[t.path, t.first, t.second]) WITH ORDINALITY AS c(v, n)
                    WHERE c.v ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
                    ORDER BY c.n LIMIT 1));
            t.workspace := campaign_owner(t.account, t.campaign);
        END IF;
        v_accounts := v_accounts || t.account;
        v_campaigns := v_campaigns || t.campaign;
        v_workspaces := v_workspaces || t.workspace;
        v_keys := v_keys || sha256(convert_to(t.account || '/' || coalesce(t.campaign, '') || '/', 'UTF8') || g.digest);
    END LOOP;
    WITH added AS (
        INSERT INTO webhook_delivery (id, account_id, workspace_id, path, received_at, via, headers, body, dedupe_key,
                campaign_id, event_type, email_hash, state)
            SELECT u.id, u.account, u.workspace, u.path, p_now, u.via, u.headers, u.body, u.key, u.campaign,
                u.event_type, u.email_hash, CASE WHEN u.workspace IS NULL THEN 'unrouted' ELSE 'received' END
            FROM unnest(p_ids, v_accounts, v_workspaces, p_shown, p_via, p_headers, p_bodies, v_keys, v_campaigns,
                    p_event_types, p_email_hashes)
                AS u(id, account, workspace, path, via, headers, body, key, campaign, event_type, email_hash)
            WHERE u.account IS NOT NULL ORDER BY u.key
            ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
    )
    SELECT array_agg(added.id) INTO v_new FROM added;
    RETURN QUERY SELECT u.n, CASE WHEN u.id = ANY(v_new) THEN u.id ELSE
            (SELECT d.id FROM webhook_delivery d WHERE d.dedupe_key = u.key) END, coalesce(u.id = ANY(v_new), false)
        FROM unnest(p_ids, v_keys) WITH ORDINALITY AS u(id, key, n);
END $$"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(STORE)


def downgrade() -> None:
    """Nothing: the signature and what it does are the same."""
