"""Full-text search over leads, without an extension, and the indexes of the lists' orders.

A lead's words are a row of their own, written by triggers only when a searched text changes: as a column of `lead`
every opened mail and every new status would go through the GIN index too. Each word carries a tag of its workspace,
so that a search costs what its own workspace holds, and a rare word here is not a frequent one there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003_search"
down_revision = "0007_events"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
WORKSPACE = "(SELECT nullif(current_setting('app.workspace_id', true), '')::uuid)"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"

#: What parts words, once they are lower case: all of ASCII but letters and digits, and Unicode's punctuation.
BETWEEN = r"[\u0001-/:-@\u005b-\u0060{-\u007f\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+"
TEXTS = ("full_name", "first_name", "last_name", "company_name", "email", "title", "notes")

# Lower case, without accents, words apart: Ærø's "Café-Bar" is aero s cafe bar. Both what is stored and what is looked
# for are folded here. The lengths keep a row below what a tsvector holds (1 MB), whatever is in the notes.
FOLD = f"""
CREATE FUNCTION search_fold(p_text text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(CASE WHEN octet_length(p_text) = char_length(p_text) THEN lower(left(p_text, 100000))
        ELSE left(replace(replace(replace(translate(lower(regexp_replace(normalize(left(p_text, 100000), NFKD),
            '[\\u0300-\\u036f]', '', 'g')), 'øłđðħıŧ', 'olddhit'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 100000)
        END, '{BETWEEN}', ' ', 'g')
$$"""

WORDS = """
CREATE FUNCTION search_words(p_workspace uuid, p_text text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(coalesce(array_agg(right(p_workspace::text, 8) || left(w.word, 60)), '{}'))
    FROM unnest(string_to_array(search_fold(p_text), ' ')) AS w(word) WHERE w.word <> ''
$$"""

# Every word must occur; the last one may be the beginning of a word. Folding leaves neither quotes nor backslashes.
QUERY = """
CREATE FUNCTION search_query(p_workspace uuid, p_text text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (string_agg(format('''%s%s''', right(p_workspace::text, 8), left(w.word, 60)), ' & ' ORDER BY w.place)
        || ':*')::tsquery
    FROM unnest(string_to_array(search_fold(p_text), ' ')) WITH ORDINALITY AS w(word, place) WHERE w.word <> ''
$$"""

# `@@` is not leakproof, so the app role's own query would test every lead of the workspace. The workspace is the
# transaction's, never a parameter. It is compared in a way the key's index cannot serve, and no table is read through:
# what is left to the planner is the words' index, however frequent it takes them for. That index gives all leads of a
# word or none, so words which by the statistics are nearly everywhere are not asked of it at all: the answer is null,
# as for more than p_most leads.
SEARCH = """
CREATE FUNCTION search_leads(p_words text, p_most integer) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    mine uuid := nullif(current_setting('app.workspace_id', true), '')::uuid;
    wanted tsquery := search_query(mine, p_words);
    expected json;
    found uuid[];
BEGIN
    IF wanted IS NULL THEN
        RETURN '{}';
    END IF;
    -- the last word as a whole one: of beginnings the statistics know nothing
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM lead_search WHERE words @@ %L::tsquery',
        replace(wanted::text, ':*', '')) INTO expected;
    IF (expected -> 0 -> 'Plan' ->> 'Plan Rows')::float > 8 * p_most THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(h.lead_id) INTO found FROM (
        SELECT s.lead_id FROM lead_search s
        WHERE s.words @@ wanted AND s.workspace_id IS NOT DISTINCT FROM mine LIMIT p_most + 1
    ) h;
    RETURN CASE WHEN cardinality(found) > p_most THEN NULL ELSE coalesce(found, '{}') END;
END $$"""

ALL_TEXT = (
    "concat_ws(' ', {0}.full_name, {0}.first_name, {0}.last_name, {0}.company_name, {0}.email, {0}.title, {0}.notes)"
)
ADDED = f"""
CREATE FUNCTION lead_search_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO lead_search (workspace_id, lead_id, words)
    SELECT l.workspace_id, l.id, search_words(l.workspace_id, {ALL_TEXT.format("l")}) FROM added l;
    RETURN NULL;
END $$"""
CHANGED = f"""
CREATE FUNCTION lead_search_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE lead_search SET words = search_words(new.workspace_id, {ALL_TEXT.format("new")})
    WHERE workspace_id = new.workspace_id AND lead_id = new.id;
    RETURN NULL;
END $$"""
OLD, NEW = (", ".join(f"{row}.{name}" for name in TEXTS) for row in ("old", "new"))
TRIGGERS = (
    "CREATE TRIGGER lead_search_added AFTER INSERT ON lead REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION lead_search_added()",
    f"CREATE TRIGGER lead_search_changed AFTER UPDATE OF {', '.join(TEXTS)} ON lead"
    f" FOR EACH ROW WHEN (({OLD}) IS DISTINCT FROM ({NEW})) EXECUTE FUNCTION lead_search_changed()",
)
FUNCTIONS = (
    "search_leads(text, integer)",
    "lead_search_added()",
    "lead_search_changed()",
    "search_query(uuid, text)",
    "search_words(uuid, text)",
    "search_fold(text)",
)


def upgrade() -> None:
    op.create_table(
        "lead_search",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("lead_id", sa.UUID(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["lead.workspace_id", "lead.id"],
            name=op.f("lead_search_workspace_id_lead_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name=op.f("lead_search_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "lead_id", name=op.f("lead_search_pkey")),
    )
    for statement in (FOLD, WORDS, QUERY, SEARCH, ADDED, CHANGED):
        op.execute(sa.text(statement.replace(":", r"\:")))
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(
        "INSERT INTO lead_search (workspace_id, lead_id, words)"
        f" SELECT l.workspace_id, l.id, search_words(l.workspace_id, {ALL_TEXT.format('l')}) FROM lead l"
    )
    # a search reads what is pending one by one: little of it may be
    op.create_index(
        "lead_search_words_idx",
        "lead_search",
        ["words"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "512"},
    )
    _protect()
    op.drop_index("lead_workspace_id_email_idx", table_name="lead")
    op.create_index("lead_workspace_id_email_id_idx", "lead", ["workspace_id", "email", "id"])
    op.create_index(
        "lead_claimed_by_idx",
        "lead",
        ["workspace_id", "claimed_by", "updated_at", "id"],
        postgresql_where=sa.text("claimed_by IS NOT NULL"),
    )
    op.create_index(
        "lead_next_action_date_idx",
        "lead",
        ["workspace_id", "next_action_date", "id"],
        postgresql_where=sa.text("next_action_date IS NOT NULL"),
    )


def _protect() -> None:
    op.execute("ALTER TABLE lead_search ENABLE ROW LEVEL SECURITY")
    mine = f"workspace_id = {WORKSPACE}"
    op.execute(f"CREATE POLICY tenant_read ON lead_search FOR SELECT TO {ROLE} USING ({mine})")
    op.execute(f"CREATE POLICY tenant_insert ON lead_search FOR INSERT TO {ROLE} WITH CHECK ({mine} AND {MAY_WRITE})")
    op.execute(f"CREATE POLICY tenant_update ON lead_search FOR UPDATE TO {ROLE} USING ({mine} AND {MAY_WRITE})")
    op.execute(f"CREATE POLICY tenant_delete ON lead_search FOR DELETE TO {ROLE} USING ({mine} AND {MAY_WRITE})")
    # only the triggers write it, as their owner
    op.execute(f"GRANT SELECT ON lead_search TO {ROLE}")
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    for function in ("search_leads(text, integer)", "search_query(uuid, text)", "search_fold(text)"):
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {ROLE}")


def downgrade() -> None:
    op.drop_index("lead_next_action_date_idx", table_name="lead")
    op.drop_index("lead_claimed_by_idx", table_name="lead")
    op.drop_index("lead_workspace_id_email_id_idx", table_name="lead")
    op.create_index("lead_workspace_id_email_idx", "lead", ["workspace_id", "email"])
    op.execute("DROP TRIGGER lead_search_changed ON lead")
    op.execute("DROP TRIGGER lead_search_added ON lead")
    op.drop_table("lead_search")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
