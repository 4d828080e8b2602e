"""One account for many workspaces: once it is shared, each campaign belongs to the workspace it is assigned to.

Who may read a campaign is decided under a lock on the account's row: whoever stores what a campaign showed holds it
shared, whoever moves a campaign holds it alone. So there is no moment in which two workspaces read the same campaign.
Every function takes the account first, then connections, then what hangs on them; a connection that is taken from its
worker decides again what it may read, from the beginning of a listing. Code from before this goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_accounts"
down_revision = "0009_parked"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
WORKSPACE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'system')"
OPERATORS_ONLY = """
    IF current_setting('app.role', true) IS DISTINCT FROM 'operator' THEN
        RAISE EXCEPTION 'this takes the role operator' USING ERRCODE = 'insufficient_privilege';
    END IF;"""
SECURE = "SECURITY DEFINER SET search_path = public, pg_temp AS $$"

# Its turn ends, as when a setting changes; what it had begun to list is begun anew.
READ_ANEW = f"""
CREATE FUNCTION read_anew(p_account uuid, p_workspaces uuid[], p_now timestamptz) RETURNS void LANGUAGE sql {SECURE}
    UPDATE connection SET lease_owner = NULL, next_run_at = CASE WHEN state = 'active' THEN p_now ELSE next_run_at END
        WHERE account_id = p_account AND workspace_id = ANY(p_workspaces) AND deleted_at IS NULL;
    UPDATE stream_cursor s SET position = NULL FROM connection c
        WHERE c.account_id = p_account AND c.workspace_id = ANY(p_workspaces) AND c.deleted_at IS NULL
        AND s.workspace_id = c.workspace_id AND s.connection_id = c.id AND s.position IS NOT NULL
$$"""

# From now on what is not assigned waits; what a workspace has taken in so far stays with it.
SHARE = f"""
CREATE FUNCTION share_account(p_account uuid, p_now timestamptz) RETURNS void LANGUAGE plpgsql {SECURE}
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
            UNION SELECT m.remote_id FROM campaign m WHERE m.workspace_id = c.workspace_id AND m.connection_id = c.id
        ) taken
        WHERE c.account_id = p_account AND c.deleted_at IS NULL
        ORDER BY taken.campaign, c.created_at, c.id
        ON CONFLICT DO NOTHING;
END $$"""

JOIN = f"""
CREATE FUNCTION join_account(p_account uuid, p_now timestamptz) RETURNS void LANGUAGE plpgsql {SECURE}
BEGIN
    PERFORM FROM provider_account a WHERE a.id = p_account FOR UPDATE;
    IF EXISTS (SELECT FROM connection c WHERE c.account_id = p_account AND c.deleted_at IS NULL
               AND c.workspace_id IS DISTINCT FROM {WORKSPACE}) THEN
        PERFORM share_account(p_account, p_now);
    END IF;
END $$"""

READABLE = f"""
CREATE FUNCTION readable_campaigns(p_account uuid) RETURNS text[] LANGUAGE plpgsql {SECURE}
DECLARE
    shared timestamptz;
BEGIN
    SELECT a.shared_at INTO shared FROM provider_account a WHERE a.id = p_account FOR KEY SHARE;
    IF shared IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT s.campaign_id FROM campaign_assignment s
        WHERE s.account_id = p_account AND s.workspace_id = {WORKSPACE} ORDER BY 1);
END $$"""

# Where something that came for a campaign belongs; null: nowhere yet.
OWNER = f"""
CREATE FUNCTION campaign_owner(p_account uuid, p_campaign text) RETURNS uuid LANGUAGE sql STABLE {SECURE}
    SELECT CASE WHEN a.shared_at IS NOT NULL THEN
        (SELECT s.workspace_id FROM campaign_assignment s WHERE s.account_id = a.id AND s.campaign_id = p_campaign)
    ELSE
        (SELECT c.workspace_id FROM connection c WHERE c.account_id = a.id AND c.deleted_at IS NULL
            ORDER BY c.created_at, c.id LIMIT 1)
    END FROM provider_account a WHERE a.id = p_account
$$"""

# Links of a campaign that is taken away stay as they were seen last; connections come first, so that no worker is under
# way with them.
ASSIGN = f"""
CREATE FUNCTION assign_campaign(
    p_account uuid, p_campaign text, p_workspace uuid, p_actor text, p_ids uuid[], p_now timestamptz,
    OUT former uuid, OUT ended bigint)
LANGUAGE plpgsql {SECURE}
BEGIN{OPERATORS_ONLY}
    PERFORM FROM provider_account a WHERE a.id = p_account FOR UPDATE;
    IF p_workspace IS NOT NULL THEN
        PERFORM share_account(p_account, p_now);
    END IF;
    ended := 0;
    SELECT s.workspace_id INTO former FROM campaign_assignment s
        WHERE s.account_id = p_account AND s.campaign_id = p_campaign;
    IF former IS NOT DISTINCT FROM p_workspace THEN
        RETURN;
    END IF;
    PERFORM read_anew(p_account, ARRAY[former, p_workspace], p_now);
    IF p_workspace IS NULL THEN
        DELETE FROM campaign_assignment s WHERE s.account_id = p_account AND s.campaign_id = p_campaign;
    ELSE
        INSERT INTO campaign_assignment (account_id, campaign_id, workspace_id)
            VALUES (p_account, p_campaign, p_workspace)
            ON CONFLICT (account_id, campaign_id) DO UPDATE SET workspace_id = excluded.workspace_id;
    END IF;
    UPDATE link k SET gone_at = p_now, dirty = false, push_due = false FROM connection c
        WHERE c.account_id = p_account AND c.workspace_id = former AND k.workspace_id = c.workspace_id
        AND k.connection_id = c.id AND k.gone_at IS NULL AND split_part(k.remote_key, '/', 1) = p_campaign;
    GET DIAGNOSTICS ended = ROW_COUNT;
    UPDATE outreach_request q SET state = 'failed', next_attempt_at = NULL, finished_at = p_now,
        error = 'The campaign is no longer this workspace''s.'
        FROM link k JOIN connection c ON c.workspace_id = k.workspace_id AND c.id = k.connection_id
        WHERE q.workspace_id = former AND q.state IN ('queued', 'sent') AND k.workspace_id = q.workspace_id
        AND k.id = q.link_id AND c.account_id = p_account AND split_part(k.remote_key, '/', 1) = p_campaign;
    -- what was not yet looked at goes where the campaign goes
    UPDATE webhook_delivery d SET workspace_id = p_workspace, attempts = 0, next_attempt_at = NULL,
        state = CASE WHEN p_workspace IS NULL THEN 'unrouted' ELSE 'received' END
        WHERE d.workspace_id = former AND d.account_id = p_account AND d.campaign_id = p_campaign
        AND d.state = 'received';
    INSERT INTO audit (workspace_id, id, actor, action, detail, at)
        SELECT told.workspace_id, told.id, p_actor, told.action,
            jsonb_build_object('account_id', p_account, 'campaign_id', p_campaign), p_now
        FROM (VALUES (p_workspace, p_ids[1], 'campaign.assigned'), (former, p_ids[2], 'campaign.taken'))
            AS told(workspace_id, id, action)
        WHERE told.workspace_id IS NOT NULL;
END $$"""

# Whoever applies deliveries keeps their campaigns from being moved meanwhile; those of a campaign that is no longer
# this workspace's go to whose it is.
HOLD = f"""
CREATE FUNCTION hold_deliveries(p_ids uuid[]) RETURNS uuid[] LANGUAGE plpgsql {SECURE}
DECLARE
    mine uuid := {WORKSPACE};
BEGIN
    PERFORM FROM provider_account a WHERE a.id IN (SELECT d.account_id FROM webhook_delivery d WHERE d.id = ANY(p_ids))
        ORDER BY a.id FOR KEY SHARE;
    UPDATE webhook_delivery d SET workspace_id = o.owner, attempts = 0, next_attempt_at = NULL, reason = NULL,
        state = CASE WHEN o.owner IS NULL THEN 'unrouted' ELSE 'received' END
        FROM (SELECT w.id, campaign_owner(w.account_id, w.campaign_id) AS owner FROM webhook_delivery w
            WHERE w.id = ANY(p_ids) AND w.account_id IS NOT NULL) o
        WHERE d.id = o.id AND d.workspace_id = mine AND d.state IN ('received', 'parked')
        AND o.owner IS DISTINCT FROM mine;
    RETURN ARRAY(SELECT d.id FROM webhook_delivery d WHERE d.id = ANY(p_ids) AND d.workspace_id = mine);
END $$"""

LIST_ACCOUNTS = f"""
CREATE FUNCTION list_accounts()
RETURNS TABLE (id uuid, provider text, created_at timestamptz, shared_at timestamptz, workspaces jsonb)
LANGUAGE plpgsql STABLE {SECURE}
BEGIN{OPERATORS_ONLY}
    RETURN QUERY SELECT a.id, a.provider, a.created_at, a.shared_at, coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', w.id, 'name', w.name) ORDER BY w.id) FROM workspace w
        WHERE EXISTS (SELECT FROM connection c
            WHERE c.workspace_id = w.id AND c.account_id = a.id AND c.deleted_at IS NULL)), '[]')
    FROM provider_account a ORDER BY a.id;
END $$"""

ACCOUNT_SECRET = f"""
CREATE FUNCTION account_secret(p_account uuid) RETURNS bytea LANGUAGE plpgsql STABLE {SECURE}
BEGIN{OPERATORS_ONLY}
    RETURN (SELECT a.secret FROM provider_account a WHERE a.id = p_account);
END $$"""

LIST_ASSIGNMENTS = f"""
CREATE FUNCTION list_assignments(p_account uuid) RETURNS TABLE (campaign_id text, workspace_id uuid, name text)
LANGUAGE plpgsql STABLE {SECURE}
BEGIN{OPERATORS_ONLY}
    RETURN QUERY SELECT s.campaign_id, s.workspace_id, w.name FROM campaign_assignment s
        JOIN workspace w ON w.id = s.workspace_id WHERE s.account_id = p_account ORDER BY s.campaign_id;
END $$"""

# Deliveries are routed by the same rule: what two functions said of it is said by one now.
ROUTING = (
    "store_deliveries(timestamptz, uuid[], bytea[], uuid[], text[], text[], text[], text[], text[], text[], bytea[],"
    " bytea[], jsonb[], bytea[])",
    "route_deliveries(uuid, text)",
)
OWN_RULE = """coalesce(
    (SELECT a.workspace_id FROM campaign_assignment a WHERE a.account_id = t.account AND a.campaign_id = t.campaign),
    (SELECT (array_agg(k.workspace_id))[1] FROM connection k WHERE k.account_id = t.account AND k.deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM campaign_assignment a WHERE a.account_id = t.account)
        HAVING count(DISTINCT k.workspace_id) = 1))"""
ONE_RULE = "campaign_owner(t.account, t.campaign)"

#: in the order in which they are made
INTERNAL = {"read_anew(uuid, uuid[], timestamptz)": READ_ANEW, "share_account(uuid, timestamptz)": SHARE}
FUNCTIONS = {
    "join_account(uuid, timestamptz)": JOIN,
    "readable_campaigns(uuid)": READABLE,
    "campaign_owner(uuid, text)": OWNER,
    "assign_campaign(uuid, text, uuid, text, uuid[], timestamptz)": ASSIGN,
    "hold_deliveries(uuid[])": HOLD,
    "list_accounts()": LIST_ACCOUNTS,
    "account_secret(uuid)": ACCOUNT_SECRET,
    "list_assignments(uuid)": LIST_ASSIGNMENTS,
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("provider_account", sa.Column("shared_at", sa.DateTime(timezone=True), nullable=True))
    for signature, statement in (INTERNAL | FUNCTIONS).items():
        op.execute(statement)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for signature in FUNCTIONS:
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {ROLE}")
    _route_by(OWN_RULE, ONE_RULE)
    # operators assign, through the one function that keeps to the rule
    for policy in ("insert", "update", "delete"):
        op.execute(f"DROP POLICY tenant_{policy} ON campaign_assignment")
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON campaign_assignment FROM {ROLE}")
    # accounts that are shared already, or have assignments
    op.execute(
        "SELECT share_account(a.id, now()) FROM provider_account a WHERE a.provider = 'instantly' AND ("
        "EXISTS (SELECT FROM campaign_assignment s WHERE s.account_id = a.id) OR (SELECT count(DISTINCT c.workspace_id)"
        " FROM connection c WHERE c.account_id = a.id AND c.deleted_at IS NULL) > 1)"
    )


def _route_by(was: str, now: str) -> None:
    for signature in ROUTING:
        query = sa.text("SELECT pg_get_functiondef(CAST(:signature AS regprocedure))").bindparams(signature=signature)
        definition = str(op.get_bind().execute(query).scalar_one())
        assert was in definition, signature
        op.get_bind().exec_driver_sql(definition.replace(was, now))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    mine = f"workspace_id = (SELECT {WORKSPACE})"
    op.execute(f"GRANT INSERT, UPDATE, DELETE ON campaign_assignment TO {ROLE}")
    for command, rule in (("INSERT", "WITH CHECK"), ("UPDATE", "USING"), ("DELETE", "USING")):
        op.execute(
            f"CREATE POLICY tenant_{command.lower()} ON campaign_assignment FOR {command} TO {ROLE}"
            f" {rule} ({mine} AND {MAY_WRITE})"
        )
    _route_by(ONE_RULE, OWN_RULE)
    for signature in (*FUNCTIONS, *reversed(INTERNAL)):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_column("provider_account", "shared_at")
