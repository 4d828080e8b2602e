"""Erasing a person: a ledger of keyed hashes that stays, and the one function that may take history away.

The function runs as the owner, because the service may only add to the history; it asks for the workspace and the role
of the transaction itself. Deleting a lead would take its history along through foreign keys, so the service may no
longer do that either. Code from before this deletes no lead and goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_erasure"
down_revision = "0003_search"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
WORKSPACE = "(SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_ERASE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin')"

# Links are removed before the lead, whose removal would only untie them; everything that refers to the lead goes with
# it. What names the person without referring to the lead is found by what it says: a suggestion is closed empty, an
# answer kept for repeating goes. A plan shows values of leads that had no id yet, so every plan keeps its sums alone.
ERASE = """
CREATE FUNCTION erase_leads(p_leads uuid[], p_words text[], p_hashes bytea[], p_now timestamptz) RETURNS void
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
    DELETE FROM link k WHERE k.workspace_id = mine AND k.id = ANY(tied);
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
SIGNATURE = "erase_leads(uuid[], text[], bytea[], timestamptz)"


def upgrade() -> None:
    op.create_table(
        "erasure_ledger",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "hash", name=op.f("erasure_ledger_pkey")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("erasure_ledger_workspace_id_fkey"), ondelete="CASCADE"
        ),
    )
    op.execute(f"GRANT SELECT ON erasure_ledger TO {ROLE}")
    op.execute("ALTER TABLE erasure_ledger ENABLE ROW LEVEL SECURITY")
    mine = f"workspace_id = {WORKSPACE}"
    op.execute(f"CREATE POLICY tenant_read ON erasure_ledger FOR SELECT TO {ROLE} USING ({mine})")
    op.execute(
        f"CREATE POLICY tenant_insert ON erasure_ledger FOR INSERT TO {ROLE} WITH CHECK ({mine} AND {MAY_ERASE})"
    )
    for command in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE POLICY tenant_{command.lower()} ON erasure_ledger FOR {command} TO {ROLE}"
            f" USING ({mine} AND {MAY_ERASE})"
        )
    op.execute(f"REVOKE DELETE ON lead FROM {ROLE}")
    op.execute(ERASE)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {ROLE}")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(f"GRANT DELETE ON lead TO {ROLE}")
    op.drop_table("erasure_ledger")
