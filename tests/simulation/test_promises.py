"""The promises that a careless change breaks first, each in one small scene; each planted defect turns one red."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from app.domain import notes
from app.lab.simulated import Crash, nothing
from app.sandbox.core import Fault
from app.sync import edit
from tests.simulation.scene import QUARTER, Scene


async def test_a_crash_while_a_page_is_stored_loses_no_edit(scene: Scene) -> None:
    shown = False

    async def wait(name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
        nonlocal shown
        shown = shown or name.startswith("answer POST /v0/")
        if shown and name == "committed":
            # the first transaction that ends after the page came in
            scene.world.moments.happen = nothing
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
    async with scene.world.transaction() as tx:
        await edit.create(tx, {"email": "new@here.test", "full_name": "Made Here"}, actor="ann@team.test")
    scene.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="P", path="tbl[^/]+$", count=1))
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
    store = scene.world.instantly.store
    store.open(next(lead.id for lead in store.leads.values() if lead.email == "p0@firm.test"))
    scene.world.clock.advance(QUARTER)
    await scene.sync()
    await scene.quiet()

    assert ((await scene.lead(0)).values["status"], scene.cell(0, "Status")) == ("won", "Won")


async def test_notes_that_both_sides_add_are_all_kept(scene: Scene) -> None:
    lead = await scene.lead(0)
    async with scene.world.transaction() as tx:
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
