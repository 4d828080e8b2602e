"""Erasing a person looks through every delivery once, however many words they are known by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_inbox_erase"
down_revision = "0014_remote_erasure"
branch_labels = None
depends_on = None

SIGNATURE = "erase_leads(uuid[], text[], bytea[], timestamptz)"
PER_WORD = """EXISTS (SELECT FROM unnest(p_words) AS w
                WHERE position(encode(convert_to(w, 'UTF8'), 'escape')
                    IN lower(encode(d.body, 'escape') || d.headers::text || coalesce(d.path, ''))) > 0)"""
# OFFSET 0 keeps the text from being made anew for each word.
PER_DELIVERY = """EXISTS (
                SELECT FROM (SELECT lower(encode(d.body, 'escape') || d.headers::text || coalesce(d.path, '')) AS said
                    OFFSET 0) AS s, unnest(p_words) AS w
                WHERE position(encode(convert_to(w, 'UTF8'), 'escape') IN s.said) > 0)"""


def upgrade() -> None:
    _look(PER_WORD, PER_DELIVERY)


def downgrade() -> None:
    _look(PER_DELIVERY, PER_WORD)


def _look(was: str, now: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    query = sa.text("SELECT pg_get_functiondef(CAST(:signature AS regprocedure))").bindparams(signature=SIGNATURE)
    definition = str(op.get_bind().execute(query).scalar_one())
    assert was in definition
    op.get_bind().exec_driver_sql(definition.replace(was, now))
