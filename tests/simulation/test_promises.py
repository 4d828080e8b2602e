"""The promises that a careless change breaks first, each in one small scene; each planted defect turns one red."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.db import leads
from app.domain import notes
from app.domain.lead import Lead
from app.lab.scratch import Scratch
from app.lab.simulated import Crash, Simulated, simulated
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
        store = self.world.world.instantly.store
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
        async with self.world.world.runtime.db.transaction(self.world.world.tenant) as tx:
            await edit.change(tx, UUID(lead.id), values, actor="ann@team.test")

    async def lead(self, row: int) -> Lead:
        """A lead as it is now."""
        async with self.world.world.runtime.db.transaction(self.world.world.tenant) as tx:
            lead_id = await tx.value("SELECT id FROM lead WHERE email = $1", f"p{row}@firm.test")
            stored = await leads.get(tx, lead_id)
        assert stored is not None
        return stored.lead

    def fail(self, kind: Any) -> None:
        """Lets the next write to Airtable fail."""
        self.world.world.airtable.sandbox.faults.add(Fault(kind=kind, method=WRITES, count=1))

    def at(self, moment: str, happen: Any) -> None:
        """Lets something happen once, at a moment."""

        async def wait(name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
            if name.startswith(moment):
                self.world.moments.happen = _nothing
                happen()

        self.world.moments.happen = wait


async def _nothing(_name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
    pass


@asynccontextmanager
async def opened(place: Scratch) -> AsyncIterator[Scene]:
    async with simulated(await place.database("promise"), 3, limits=False) as world:
        scene = Scene(world)
        await scene.begin()
        yield scene


@pytest.fixture
async def scene(place: Scratch) -> AsyncIterator[Scene]:
    async with opened(place) as made:
        yield made


async def test_a_crash_while_a_page_is_stored_loses_no_edit(scene: Scene) -> None:
    shown = False

    async def wait(name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
        nonlocal shown
        shown = shown or name.startswith("answer POST /v0/")
        if shown and name == "committed":
            # the first transaction that ends after the page came in
            scene.world.moments.happen = _nothing
            raise Crash

    scene.there(0, title="Boss")
    scene.world.clock.advance(QUARTER)
    scene.world.moments.happen = wait
    with pytest.raises(Crash):
        await scene.sync(scene.airtable)
    await scene.world.die()
    await scene.quiet()

    assert (await scene.lead(0)).values["title"] == "Boss"


async def test_a_write_that_never_arrived_is_written_again(scene: Scene) -> None:
    await scene.here(0, title="Boss")
    scene.fail("drop_before")
    await scene.world.settle()
    await scene.quiet()

    assert scene.cell(0, "Title") == "Boss"


async def test_a_create_whose_answer_was_lost_is_not_repeated(scene: Scene) -> None:
    async with scene.world.world.runtime.db.transaction(scene.world.world.tenant) as tx:
        await edit.create(tx, {"email": "new@here.test", "full_name": "Made Here"}, actor="ann@team.test")
    scene.world.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="P", path="tbl[^/]+$", count=1))
    await scene.world.settle()
    await scene.quiet()

    emails = [scene.world.table.read(record).get("Email") for record in scene.world.table.records.values()]
    assert emails.count("new@here.test") == 1


async def test_a_write_touches_only_the_cells_that_changed(scene: Scene) -> None:
    await scene.here(0, title="Boss")
    scene.at("call PATCH", lambda: scene.there(0, company="Edited meanwhile"))
    await scene.world.settle()
    await scene.quiet()

    assert (scene.cell(0, "Title"), scene.cell(0, "Company")) == ("Boss", "Edited meanwhile")
    assert (await scene.lead(0)).values["company_name"] == "Edited meanwhile"


async def test_a_clock_that_went_back_hides_no_edit(scene: Scene) -> None:
    scene.world.skew.off_by = 60
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    scene.world.skew.off_by = -60
    scene.world.clock.advance(5)
    scene.there(0, title="Boss")
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    await scene.quiet()

    assert (await scene.lead(0)).values["title"] == "Boss"


async def test_a_campaign_never_lowers_a_status_that_a_person_set(scene: Scene) -> None:
    scene.there(0, status="Won")
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    store = scene.world.world.instantly.store
    store.open(next(lead.id for lead in store.leads.values() if lead.email == "p0@firm.test"))
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    await scene.quiet()

    assert ((await scene.lead(0)).values["status"], scene.cell(0, "Status")) == ("won", "Won")


async def test_notes_that_both_sides_add_are_all_kept(scene: Scene) -> None:
    lead = await scene.lead(0)
    async with scene.world.world.runtime.db.transaction(scene.world.world.tenant) as tx:
        await edit.add_note(tx, UUID(lead.id), "noted here", actor="ann@team.test")
    scene.there(0, notes="first note\nnoted there")
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    await scene.quiet()

    here = notes.render((await scene.lead(0)).values["notes"]) or ""
    assert all(text in here and text in scene.cell(0, "Notes") for text in ("first note", "noted here", "noted there"))


async def test_an_edit_of_another_cell_there_reverts_no_edit_here(scene: Scene) -> None:
    await scene.here(0, title="Boss")
    scene.world.clock.advance(5)
    scene.there(0, company="Edited later")
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    await scene.quiet()

    assert (scene.cell(0, "Title"), (await scene.lead(0)).values["title"]) == ("Boss", "Boss")
