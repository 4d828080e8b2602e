"""Finding who looks like whom: how much is read for it, also where the planner knows nothing of the tables."""

from __future__ import annotations

from app.db import duplicates, workspaces
from app.db.session import Database, Tenant
from tests.conftest import Urls, execute
from tests.db.many_leads import make_leads

LEADS, ASKED = 2_500, 100


async def test_keys_are_looked_up_and_not_read_through_where_the_tables_count_as_empty(
    urls: Urls, db: Database
) -> None:
    """As in a preview that follows one that was rolled back and tidied up: it works on what only itself can see."""
    tenant = Tenant(await workspaces.create(db), "system")
    assert tenant.workspace_id is not None
    await make_leads(urls.owner, tenant.workspace_id, LEADS)
    async with db.transaction(tenant) as tx:
        await duplicates.block(tx, await duplicates.part(tx, None, LEADS), anew=False)
    empty = "UPDATE pg_class SET reltuples = 0 WHERE oid = 'lead_block'::regclass"
    await execute(urls.owner, "ANALYZE lead_block", empty)
    async with db.transaction(tenant) as tx:
        await tx.run("SET LOCAL plan_cache_mode = force_generic_plan")
        asked = await duplicates.part(tx, None, ASKED)
        found = await duplicates.near(tx, asked)
        read = await tx.value(
            "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index"
            " WHERE indrelid = 'lead_block'::regclass"
        )
        scanned = await tx.value("SELECT pg_stat_get_xact_numscans('lead_block'::regclass)")

    keys = {key for one in asked for key in one.keys}
    assert scanned == 0
    assert read <= len(keys) + len(found), (len(keys), len(found), read)
