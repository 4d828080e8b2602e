"""A small scene for one promise at a time: three rows and a campaign, connected and in step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.db import leads
from app.domain.lead import Lead
from app.lab.scratch import Scratch
from app.lab.simulated import Simulated, nothing, simulated
from app.sandbox.core import Fault
from app.sync import edit

QUARTER = 900
WRITES = "PATCH"


class Scene:
    """Three rows and a campaign, connected and in step."""

    def __init__(self, world: Simulated) -> None:
        self.world = world
        self.airtable = self.instantly = UUID(int=0)
        self.rows: list[str] = []

    async def begin(self) -> None:
        store = self.world.instantly.store
        campaign = store.add_campaign("Founders")
        for number in range(3):
            cells = {"Full Name": f"Given{number} Family", "Email": f"p{number}@firm.test", "Status": "New"}
            self.rows.append(self.world.table.create(cells | {"Title": "Clerk", "Notes": "first note"}).id)
            store.add_lead(campaign.id, email=f"p{number}@firm.test", first_name=f"Given{number}")
            self.world.clock.advance(60)
        self.airtable = await self.world.connect_airtable(auto_approve=True)
        self.instantly = await self.world.connect_instantly(auto_approve=True)
        await self.world.settle()
        self.world.clock.advance(QUARTER)
        await self.sync()

    async def sync(self, *connections: UUID) -> None:
        """Runs a delta, and whatever waits for a while after it."""
        for connection_id in connections or (self.airtable, self.instantly):
            await self.world.queue(connection_id)
        await self.world.settle()

    async def quiet(self) -> None:
        """Lets everything that waits have its time."""
        for _ in range(3):
            self.world.clock.advance(QUARTER)
            await self.sync()

    def there(self, row: int, **cells: Any) -> None:
        """A person edits cells in Airtable."""
        self.world.table.edit(self.rows[row], {name.replace("_", " ").title(): v for name, v in cells.items()})

    def cell(self, row: int, name: str) -> Any:
        """What a cell shows in Airtable."""
        return self.world.table.read(self.world.table.records[self.rows[row]]).get(name)

    async def here(self, row: int, **values: Any) -> None:
        """A person edits a lead."""
        lead = await self.lead(row)
        async with self.world.transaction() as tx:
            await edit.change(tx, UUID(lead.id), values, actor="ann@team.test")

    async def lead(self, row: int) -> Lead:
        """A lead as it is now."""
        async with self.world.transaction() as tx:
            lead_id = await tx.value("SELECT id FROM lead WHERE email = $1", f"p{row}@firm.test")
            stored = await leads.get(tx, lead_id)
        assert stored is not None
        return stored.lead

    def fail(self, kind: Any) -> None:
        """Lets the next write to Airtable fail."""
        self.world.airtable.sandbox.faults.add(Fault(kind=kind, method=WRITES, count=1))

    def at(self, moment: str, happen: Any) -> None:
        """Lets something happen once, at a moment."""

        async def wait(name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
            if name.startswith(moment):
                self.world.moments.happen = nothing
                happen()

        self.world.moments.happen = wait


@pytest.fixture
async def scene(place: Scratch) -> AsyncIterator[Scene]:
    """A scene on a database of its own."""
    async with simulated(await place.database("promise"), 3, limits=False) as world:
        scene = Scene(world)
        await scene.begin()
        yield scene
