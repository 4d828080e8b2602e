"""Which leads changed since a connection last looked: none is passed over, whatever the order of commits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import asyncpg

from app.db import leads, workspaces
from app.db.ids import new_id
from app.db.session import Database, Tenant, Tx
from app.domain.lead import Lead
from tests.conftest import Urls

CONNECTION = UUID(int=1)


async def _add(tx: Tx) -> UUID:
    lead_id = new_id()
    await leads.insert(tx, [(Lead(id=str(lead_id)), "user")])
    return lead_id


async def _changed(db: Database, tenant: Tenant, since: int) -> tuple[set[UUID], int]:
    async with db.transaction(tenant) as tx:
        found, xid, finished = await leads.changed_since(tx, CONNECTION, since, None, 10, creates=True)
    assert finished
    return set(found), xid


async def test_a_change_that_commits_late_is_not_passed_over(db: Database) -> None:
    tenant = Tenant(await workspaces.create(db))
    async with db.transaction(tenant) as slow:
        late = await _add(slow)
        async with db.transaction(tenant) as tx:
            early = await _add(tx)
        while_it_runs, xid = await _changed(db, tenant, 0)
    found, after = await _changed(db, tenant, xid)

    assert while_it_runs == set()
    assert found == {late, early}
    assert (await _changed(db, tenant, after))[0] == set()


async def test_a_transaction_of_another_database_holds_nothing_back(
    db: Database, clone: Callable[[], Coroutine[Any, Any, Urls]]
) -> None:
    tenant = Tenant(await workspaces.create(db))
    elsewhere = await asyncpg.connect((await clone()).app)
    try:
        async with elsewhere.transaction():
            await elsewhere.execute("SELECT pg_current_xact_id()")
            async with db.transaction(tenant) as tx:
                added = await _add(tx)
            found, _ = await _changed(db, tenant, 0)
    finally:
        await elsewhere.close()

    assert found == {added}
