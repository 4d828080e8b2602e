"""Counts of leads that are kept while leads are written, so that statistics cost the same with ten leads and a million.

Every statement on leads appends what it added and took away, one row per status, source, owner and week it touched:
writers never wait for one another's counts. What was appended is folded into one row per value now and then. Nobody
but these functions writes the table. A lead's blocking keys are tied to the lead, and no longer to the workspace, which
the lead is tied to: that check was a fifth of their price.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_speed"
down_revision = "0009_campaigns"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
WORKSPACE = "(SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"

#: What the counts of a lead depend on.
WATCHED = "deleted_at, is_positive_reply, status, source, claimed_by, created_at"


def counted(leads: str, sign: str = "") -> str:
    """Returns the query for what some leads add to the counts, or take from them. A week begins on Monday, in UTC."""
    return (
        f"SELECT l.workspace_id, c.by, c.value, {sign}count(*) AS leads FROM {leads} l, LATERAL (VALUES"
        " ('all', NULL), ('positive', NULL), ('status', l.status), ('source', l.source), ('owner', l.claimed_by),"
        " ('week', to_char(date_trunc('week', l.created_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD'))) AS c(by, value)"
        " WHERE l.deleted_at IS NULL AND (c.by <> 'positive' OR l.is_positive_reply)"
        " GROUP BY l.workspace_id, c.by, c.value"
    )


PUT = (
    "INSERT INTO lead_count (workspace_id, id, by, value, leads)"
    " SELECT c.workspace_id, gen_random_uuid(), c.by, c.value"
)
TRIGGER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp"
ADDED = f"""
CREATE FUNCTION lead_count_added() RETURNS trigger {TRIGGER} AS $$
BEGIN
    {PUT}, c.leads FROM ({counted("added")}) c;
    RETURN NULL;
END $$"""
# Most updates change nothing that is counted.
CHANGED = f"""
CREATE FUNCTION lead_count_changed() RETURNS trigger {TRIGGER} AS $$
BEGIN
    IF EXISTS (SELECT {WATCHED} FROM before EXCEPT ALL SELECT {WATCHED} FROM after) THEN
        {PUT}, sum(c.leads) FROM ({counted("before", "-")} UNION ALL {counted("after")}) c
        GROUP BY c.workspace_id, c.by, c.value HAVING sum(c.leads) <> 0;
    END IF;
    RETURN NULL;
END $$"""
# A lead goes for good when it is erased. What its counts say goes with it, unless other leads say it too; and where
# the whole workspace goes, nothing is left to be counted.
REMOVED = f"""
CREATE FUNCTION lead_count_removed() RETURNS trigger {TRIGGER} AS $$
BEGIN
    {PUT}, c.leads FROM ({counted("removed", "-")}) c JOIN workspace w ON w.id = c.workspace_id;
    PERFORM fold_counts(r.workspace_id) FROM (SELECT DISTINCT workspace_id FROM removed) r;
    RETURN NULL;
END $$"""
# Rows that somebody else is folding are left to them.
FOLD = f"""
CREATE FUNCTION fold_counts(p_workspace uuid) RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH appended AS MATERIALIZED (SELECT id FROM lead_count WHERE workspace_id = p_workspace FOR UPDATE SKIP LOCKED),
    taken AS (DELETE FROM lead_count l USING appended a WHERE l.workspace_id = p_workspace AND l.id = a.id
        RETURNING l.workspace_id, l.by, l.value, l.leads)
    {PUT}, sum(c.leads) FROM taken c GROUP BY c.workspace_id, c.by, c.value HAVING sum(c.leads) <> 0
$$"""
FOLD_MINE = """
CREATE FUNCTION fold_lead_counts() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT fold_counts(nullif(current_setting('app.workspace_id', true), '')::uuid)
$$"""
TRIGGERS = (
    "CREATE TRIGGER lead_count_added AFTER INSERT ON lead REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION lead_count_added()",
    "CREATE TRIGGER lead_count_changed AFTER UPDATE ON lead REFERENCING OLD TABLE AS before NEW TABLE AS after"
    " FOR EACH STATEMENT EXECUTE FUNCTION lead_count_changed()",
    "CREATE TRIGGER lead_count_removed AFTER DELETE ON lead REFERENCING OLD TABLE AS removed"
    " FOR EACH STATEMENT EXECUTE FUNCTION lead_count_removed()",
)
FUNCTIONS = (
    "lead_count_added()",
    "lead_count_changed()",
    "lead_count_removed()",
    "fold_lead_counts()",
    "fold_counts(uuid)",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("lead_block_workspace_id_fkey", "lead_block", type_="foreignkey")
    op.create_table(
        "lead_count",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("leads", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("lead_count_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("lead_count_pkey")),
    )
    for statement in (FOLD, FOLD_MINE, ADDED, CHANGED, REMOVED):
        op.execute(sa.text(statement.replace(":", r"\:")))
    # the triggers first: they keep writers out until what is there is counted
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(sa.text(f"{PUT}, c.leads FROM ({counted('lead')}) c".replace(":", r"\:")))
    _protect()


def _protect() -> None:
    op.execute("ALTER TABLE lead_count ENABLE ROW LEVEL SECURITY")
    mine = f"workspace_id = {WORKSPACE}"
    op.execute(f"CREATE POLICY tenant_read ON lead_count FOR SELECT TO {ROLE} USING ({mine})")
    op.execute(f"CREATE POLICY tenant_insert ON lead_count FOR INSERT TO {ROLE} WITH CHECK ({mine} AND {MAY_WRITE})")
    op.execute(f"CREATE POLICY tenant_update ON lead_count FOR UPDATE TO {ROLE} USING ({mine} AND {MAY_WRITE})")
    op.execute(f"CREATE POLICY tenant_delete ON lead_count FOR DELETE TO {ROLE} USING ({mine} AND {MAY_WRITE})")
    op.execute(f"GRANT SELECT ON lead_count TO {ROLE}")
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION fold_lead_counts() TO {ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("removed", "changed", "added"):
        op.execute(f"DROP TRIGGER lead_count_{name} ON lead")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("lead_count")
    op.create_foreign_key(
        "lead_block_workspace_id_fkey", "lead_block", "workspace", ["workspace_id"], ["id"], ondelete="CASCADE"
    )
