"""Erasing a person also takes what a third lead remembers of them, into which the other lead was merged meanwhile.

What such a merge remembers for its undoing goes as well, once it is undone; and an answer whose Idempotency-Key names
the person goes as one that names them in its text does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_erase_chain"
down_revision = "0017_unmerged_erase"
branch_labels = None
depends_on = None

SIGNATURE = "erase_leads(uuid[], text[], bytea[], timestamptz)"
ONE = """
        FROM lead_merge m WHERE m.workspace_id = mine AND m.loser_id = ANY(p_leads)
            AND m.survivor_id <> ALL(p_leads) AND m.undone_at IS NOT NULL
    LOOP"""
CHAIN = """
        FROM (WITH RECURSIVE held AS (
            SELECT d.survivor_id, d.at, d.undone_at FROM lead_merge d WHERE d.workspace_id = mine
                AND d.loser_id = ANY(p_leads) AND d.survivor_id <> ALL(p_leads) AND d.undone_at IS NOT NULL
            UNION SELECT d.survivor_id, d.at, d.undone_at FROM held JOIN lead_merge d ON d.workspace_id = mine
                AND d.loser_id = held.survivor_id AND d.at >= held.at AND d.undone_at <= held.undone_at
        ) SELECT * FROM held) AS m
    LOOP
        UPDATE lead_merge d SET survivor_before = '{}', survivor_after = '{}', loser_before = '{}', moved = '{}'
            WHERE d.workspace_id = mine AND once.survivor_id IN (d.survivor_id, d.loser_id)
            AND d.undone_at IS NOT NULL AND d.at BETWEEN once.at AND once.undone_at;"""
CHANGES = (
    (ONE, CHAIN),
    ("position(w IN i.headers::text) > 0", "position(w IN lower(i.headers::text || i.key)) > 0"),
)


def upgrade() -> None:
    _replace(CHANGES)


def downgrade() -> None:
    _replace(tuple((now, was) for was, now in CHANGES))


def _replace(pairs: tuple[tuple[str, str], ...]) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    query = sa.text("SELECT pg_get_functiondef(CAST(:signature AS regprocedure))").bindparams(signature=SIGNATURE)
    definition = str(op.get_bind().execute(query).scalar_one())
    for was, now in pairs:
        assert was in definition
        definition = definition.replace(was, now)
    op.get_bind().exec_driver_sql(definition)
