"""Erasing a person also takes what another lead remembers of them, with which they were one for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_unmerged_erase"
down_revision = "0016_block_by_lead"
branch_labels = None
depends_on = None

SIGNATURE = "erase_leads(uuid[], text[], bytea[], timestamptz)"
THEN = "    DELETE FROM lead l WHERE l.workspace_id = mine"
# From the merge to its undoing, fields that either of them moved may hold what came from them. What the other lead held
# before and holds since is its own, so that the past can still be read around that time.
FORGET = """
    FOR once IN SELECT m.survivor_id, m.at, m.undone_at, ARRAY(SELECT DISTINCT jsonb_object_keys(h.changes)
            FROM lead_change h WHERE h.workspace_id = mine AND h.lead_id = m.survivor_id
            AND h.at IN (m.at, m.undone_at)) AS fields
        FROM lead_merge m WHERE m.workspace_id = mine AND m.loser_id = ANY(p_leads)
            AND m.survivor_id <> ALL(p_leads) AND m.undone_at IS NOT NULL
    LOOP
        UPDATE lead_change c SET refused = '[]', changes = (
            SELECT coalesce(jsonb_object_agg(e.key, CASE WHEN e.key = ANY(once.fields)
                THEN (e.value - 'losers') || '{"rule": "erased"}'::jsonb || CASE c.at
                    WHEN once.at THEN '{"new": null}'::jsonb WHEN once.undone_at THEN '{"old": null}'
                    ELSE '{"old": null, "new": null}' END
                ELSE e.value END), '{}')
            FROM jsonb_each(c.changes) AS e WHERE e.key <> 'merged_from' OR c.at NOT IN (once.at, once.undone_at))
            WHERE c.workspace_id = mine AND c.lead_id = once.survivor_id AND c.at BETWEEN once.at AND once.undone_at;
        UPDATE activity a SET detail = '{}' WHERE a.workspace_id = mine AND a.lead_id = once.survivor_id
            AND (a.detail ->> 'other' = ANY(p_leads::text[])
                OR a.kind = 'note.revised' AND a.created_at BETWEEN once.at AND once.undone_at);
        UPDATE review_item r SET evidence = '{}', updated_at = p_now, version = r.version + 1
            WHERE r.workspace_id = mine AND r.lead_id = once.survivor_id AND r.kind = 'conflict' AND r.state <> 'open'
            AND r.created_at BETWEEN once.at AND once.undone_at;
        DELETE FROM write_attempt a WHERE a.workspace_id = mine AND a.lead_id = once.survivor_id
            AND a.at BETWEEN once.at AND once.undone_at;
    END LOOP;
"""
DECLARED = "    tied uuid[];\n"


def upgrade() -> None:
    _replace((DECLARED, f"{DECLARED}    once record;\n"), (THEN, FORGET.lstrip("\n") + THEN))


def downgrade() -> None:
    _replace((FORGET.lstrip("\n") + THEN, THEN), (f"{DECLARED}    once record;\n", DECLARED))


def _replace(*pairs: tuple[str, str]) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    query = sa.text("SELECT pg_get_functiondef(CAST(:signature AS regprocedure))").bindparams(signature=SIGNATURE)
    definition = str(op.get_bind().execute(query).scalar_one())
    for was, now in pairs:
        assert was in definition
        definition = definition.replace(was, now)
    op.get_bind().exec_driver_sql(definition)
