"""A process that pulls one connection completely and ends, so that its memory can be watched from outside.

python -m app.lab.bench.puller DSN WORKSPACE CONNECTION AIRTABLE_URL DATA_DIR
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from app.db import connections
from app.db.connections import Lease
from app.db.session import Tenant
from app.lab.world import Unlimited
from app.runtime import opened
from app.settings import Settings
from app.sync import pull
from app.sync.job import Job


async def main(dsn: str, workspace: str, connection: str, airtable_url: str, data_dir: str) -> None:
    """Pulls everything, stores it, and reconciles nothing."""
    settings = Settings(database_url=dsn, data_dir=Path(data_dir), airtable_api_url=airtable_url)
    tenant, connection_id = Tenant(UUID(workspace)), UUID(connection)
    async with opened(settings) as runtime:
        runtime.limiter = Unlimited()
        async with runtime.db.transaction(tenant) as tx:
            stored = await connections.get(tx, connection_id)
            until = tx.now + timedelta(hours=1)
            await connections.change(tx, connection_id, lease_owner="bench", lease_until=until)
        assert stored is not None
        lease = Lease(runtime.db, tenant, connection_id, "bench", stored.lease_token, until)
        async with runtime.adapter(runtime.db, tenant, stored) as adapter:
            job = Job(db=runtime.db, tenant=tenant, connection=stored, adapter=adapter, lease=lease)
            await pull.pull(job, "full")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
