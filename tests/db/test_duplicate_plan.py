"""Finding who looks like whom: how much is read for it, also where the planner knows nothing of the tables."""

from __future__ import annotations

from app.db import duplicates, workspaces
from app.db.session import Database, Tenant
from tests.conftest import Urls, execute
from tests.db.many_leads import make_leads

LEADS, ASKED = 2_500, 100
#: Keys of a lead, each shared by two.
KEYS = 12
_BLOCKS = f"""
INSERT INTO lead_block (workspace_id, key, lead_id) SELECT workspace_id, n / 2 * {KEYS} + k, id
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM lead) l, generate_series(1, {KEYS}) k ORDER BY random()
"""


async def test_keys_are_looked_up_and_not_read_through_where_the_tables_count_as_empty(
    urls: Urls, db: Database
) -> None:
    """As in a preview that follows one that was rolled back and tidied up: it works on what only itself can see."""
    tenant = Tenant(await workspaces.create(db), "system")
    assert tenant.workspace_id is not None
    await make_leads(urls.owner, tenant.workspace_id, LEADS)
    empty = "UPDATE pg_class SET reltuples = 0 WHERE oid = 'lead_block'::regclass"
    await execute(urls.owner, _BLOCKS, "ANALYZE lead_block", empty)
    async with db.transaction(tenant) as tx:
        ids = [row["id"] for row in await tx.all("SELECT id FROM lead ORDER BY id LIMIT $1", ASKED)]
        found = await duplicates.near(tx, ids)
        read = await tx.value(
            "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index"
            " WHERE indrelid = 'lead_block'::regclass"
        )

    assert len(found) == 1
    assert read <= 2 * KEYS * LEADS, read
