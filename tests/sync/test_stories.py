"""The main job as a person meets it: edits on either side, conflicts, claims, clears, and what sync never does."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.sync import decide, edit
from tests.sync.conftest import Bench


async def test_rows_become_leads_and_a_second_sync_moves_nothing(bench: Bench) -> None:
    bench.row(full_name="Anna van der Berg", email="Anna@Berg.test", phone="06 12 34 56 78")
    airtable = await bench.airtable()

    lead = await bench.lead("anna@berg.test")
    assert lead.values["phone"] == "+31612345678"
    assert (lead.values["first_name"], lead.values["last_name"]) == ("Anna", "van der Berg")
    version = lead.version
    await bench.sync(airtable)
    await bench.sync(airtable)

    assert (await bench.lead("anna@berg.test")).version == version
    assert not any(call.wrote for call in bench.world.airtable.sandbox.calls)


async def test_an_edit_there_arrives_here(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test")
    airtable = await bench.airtable()
    bench.edit_there(record, title="CTO")
    await bench.sync(airtable)

    assert (await bench.lead("anna@berg.test")).values["title"] == "CTO"


async def test_a_patch_and_a_claim_here_arrive_there(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test")
    airtable = await bench.airtable()
    await bench.patch("anna@berg.test", title="CTO")
    lead = await bench.lead("anna@berg.test")
    async with bench.world.transaction() as tx:
        await edit.claim(tx, UUID(lead.id), by="ann@team.test", actor="ann@team.test")
    await bench.settle()

    assert bench.cell(record, "Title") == "CTO"
    assert bench.cell(record, "Claimed By")["email"] == "ann@team.test"
    assert bench.cell(record, "Claimed At") is not None
    assert bench.cell(record, "Sync Status") == "Synced"
    await bench.agree(airtable)


async def test_campaigns_joined_and_left_here_arrive_there(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", campaigns=["Alpha"])
    airtable = await bench.airtable()
    lead_id = UUID((await bench.lead("anna@berg.test")).id)
    async with bench.world.transaction() as tx:
        await edit.join_campaign(tx, lead_id, "Gamma", actor="ann@team.test")
    await bench.settle()
    joined = bench.cell(record, "Campaigns")
    async with bench.world.transaction() as tx:
        await edit.leave_campaign(tx, lead_id, "Alpha", actor="ann@team.test")
    await bench.settle()

    assert sorted(joined) == ["Alpha", "Gamma"]
    assert bench.cell(record, "Campaigns") == ["Gamma"]
    await bench.agree(airtable)


async def test_a_restored_lead_and_its_record_agree_again(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", title="CTO")
    airtable = await bench.airtable()
    lead = await bench.lead("anna@berg.test")
    async with bench.world.transaction() as tx:
        await edit.delete(tx, UUID(lead.id), actor="ann@team.test")
    await bench.settle()
    bench.edit_there(record, title="CEO")
    await bench.sync(airtable)
    asked = await bench.items("deleted")

    async with bench.world.transaction() as tx:
        await edit.restore(tx, UUID(lead.id), actor="ann@team.test")
    await bench.settle()
    await bench.patch("anna@berg.test", phone="+31612345678")
    await bench.settle()

    assert len(asked) == 1
    assert await bench.items("deleted") == []
    assert (await bench.lead("anna@berg.test")).values["title"] == "CEO"
    assert bench.cell(record, "Phone") == "+31612345678"
    await bench.agree(airtable)


async def test_an_edit_on_both_sides_goes_to_airtable_and_can_be_decided_the_other_way(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", title="Engineer")
    airtable = await bench.airtable()
    bench.edit_there(record, title="CTO")
    await bench.patch("anna@berg.test", title="CEO")
    await bench.sync(airtable)

    assert (await bench.lead("anna@berg.test")).values["title"] == "CTO"
    [conflict] = await bench.items("conflict", "auto")
    evidence = conflict["evidence"]
    assert (evidence["base"], evidence["local"], evidence["remote"]) == ("Engineer", "CEO", "CTO")

    async with bench.world.transaction() as tx:
        await decide.resolve(tx, conflict["id"], keep="local", version=conflict["version"], actor="ann@team.test")
    await bench.settle()

    assert bench.cell(record, "Title") == "CEO"
    await bench.agree(airtable)


async def test_manual_conflicts_wait_and_the_rest_of_the_record_goes_on(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", title="Engineer")
    airtable = await bench.airtable(conflict_strategy="manual")
    bench.edit_there(record, title="CTO", company="Berg BV")
    await bench.patch("anna@berg.test", title="CEO")
    await bench.sync(airtable)

    lead = await bench.lead("anna@berg.test")
    assert (lead.values["title"], lead.values["company_name"]) == ("CEO", "Berg BV")
    assert bench.cell(record, "Title") == "CTO"
    [item] = await bench.items("conflict")
    async with bench.world.transaction() as tx:
        await decide.resolve(tx, item["id"], keep="remote", version=item["version"], actor="ann@team.test")
    await bench.settle()

    assert (await bench.lead("anna@berg.test")).values["title"] == "CTO"
    assert await bench.items("conflict") == []
    await bench.agree(airtable)


async def test_a_name_cleared_here_is_refilled_by_no_sync_and_no_new_campaign(bench: Bench) -> None:
    first, second = bench.campaigns
    bench.world.instantly.store.add_lead(first.id, email="anna@berg.test", first_name="Anna", last_name="Berg")
    instantly = await bench.instantly()
    await bench.patch("anna@berg.test", full_name=None, first_name=None, last_name=None)
    bench.world.instantly.store.add_lead(second.id, email="anna@berg.test", first_name="Anna", last_name="Berg")
    await bench.sync(instantly, kind="full")

    values = (await bench.lead("anna@berg.test")).values
    assert (values["full_name"], values["first_name"], values["last_name"]) == (None, None, None)


async def test_a_status_lowered_here_stays_until_the_status_derived_there_changes(bench: Bench) -> None:
    there = bench.world.instantly.store
    lead = there.add_lead(bench.campaigns[0].id, email="anna@berg.test", first_name="Anna")
    there.send(lead.id)
    there.open(lead.id)
    instantly = await bench.instantly()
    assert (await bench.lead("anna@berg.test")).values["status"] == "opened"

    await bench.patch("anna@berg.test", status="new")
    there.open(lead.id)
    await bench.sync(instantly)
    assert (await bench.lead("anna@berg.test")).values["status"] == "new"

    there.reply(lead.id)
    await bench.sync(instantly)
    assert (await bench.lead("anna@berg.test")).values["status"] == "replied"


async def test_when_the_answer_of_a_patch_is_lost_a_change_back_wins(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", title="Engineer")
    airtable = await bench.airtable()
    await bench.patch("anna@berg.test", title="CTO")
    from app.sandbox.core import Fault

    bench.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="PATCH", count=1))
    await bench.settle()
    await bench.patch("anna@berg.test", title="Engineer")
    await bench.sync(airtable)

    assert bench.cell(record, "Title") == "Engineer"
    assert (await bench.lead("anna@berg.test")).values["title"] == "Engineer"
    await bench.agree(airtable)


async def test_instantly_changes_no_field_that_is_local(bench: Bench) -> None:
    there = bench.world.instantly.store
    lead = there.add_lead(bench.campaigns[0].id, email="anna@berg.test", first_name="Anna")
    instantly = await bench.instantly()
    local = {"deal_value": 12500.5, "next_action": "call", "next_action_date": "2026-12-01"}
    await bench.patch("anna@berg.test", **local, linkedin_url="https://linkedin.com/in/anna-b")
    async with bench.world.transaction() as tx:
        found = await bench.lead("anna@berg.test")
        await edit.add_note(tx, UUID(found.id), "Called her", actor="ann@team.test")
    there.send(lead.id)
    there.reply(lead.id)
    there.edit(lead.id, first_name="Annie", custom_variables={"deal_value": "1", "notes": "x"})
    await bench.sync(instantly, kind="full")
    await bench.sync(instantly, kind="refresh")

    values = (await bench.lead("anna@berg.test")).values
    assert {name: values[name] for name in local} == local
    assert [entry[1] for entry in values["notes"]] == ["Called her"]
    assert values["first_name"] == "Anna"


async def test_a_refresh_takes_nothing_from_the_next_delta(bench: Bench) -> None:
    there = bench.world.instantly.store
    lead = there.add_lead(bench.campaigns[0].id, email="anna@berg.test", first_name="Anna")
    instantly = await bench.instantly()
    bench.clock.advance(3600)
    there.edit(lead.id, custom_variables={"job title": "Baker"})
    there.send(lead.id)
    bench.clock.advance(3600)

    await bench.sync(instantly, kind="refresh")
    refreshed = (await bench.lead("anna@berg.test")).values
    await bench.sync(instantly)

    assert (refreshed["status"], refreshed.get("title")) == ("contacted", None)
    assert (await bench.lead("anna@berg.test")).values["title"] == "Baker"


async def test_counters_of_a_person_in_three_campaigns_are_the_sum_and_an_import_doubles_nothing(bench: Bench) -> None:
    there = bench.world.instantly.store
    third = there.add_campaign("Third")
    for times, campaign in enumerate((*bench.campaigns[:2], third), start=1):
        lead = there.add_lead(campaign.id, email="anna@berg.test")
        there.send(lead.id)
        for _ in range(times):
            there.open(lead.id)
    instantly = await bench.instantly()
    await bench.sync(instantly, kind="full")

    assert (await bench.lead("anna@berg.test")).values["email_open_count"] == 1 + 2 + 3
    assert await bench.value("SELECT count(*) FROM lead") == 1


async def test_only_leads_the_filter_wants_are_created_there_and_only_once(bench: Bench) -> None:
    there = bench.world.instantly.store
    for name in ("anna", "bob"):
        lead = there.add_lead(bench.campaigns[0].id, email=f"{name}@x.test", first_name=name.title(), last_name="Doe")
        there.send(lead.id)
        if name == "anna":
            there.reply(lead.id)
    airtable = await bench.airtable(create={"email_reply_count[gt]": 0})
    instantly = await bench.instantly()
    await bench.sync(airtable, instantly)
    await bench.sync(airtable, instantly)

    rows = [bench.table.read(record) for record in bench.table.records.values()]
    assert [(row["Full Name"], row["Email"], row["Status"]) for row in rows] == [("Anna Doe", "anna@x.test", "Replied")]
    assert rows[0]["CRM ID"] == (await bench.lead("anna@x.test")).id
    await bench.agree(airtable)


async def test_a_create_whose_answer_is_lost_makes_one_row(bench: Bench) -> None:
    from app.sandbox.core import Fault

    airtable = await bench.airtable(create="all")
    async with bench.world.transaction() as tx:
        await edit.create(tx, {"email": "anna@berg.test", "full_name": "Anna Berg"}, actor="ann@team.test")
    bench.world.airtable.sandbox.faults.add(Fault(kind="drop_after", method="PATCH", count=1))
    await bench.settle()
    await bench.sync(airtable)

    assert len(bench.table.records) == 1
    await bench.agree(airtable)


async def test_two_rows_of_one_person_make_one_lead_and_the_older_row_speaks(bench: Bench) -> None:
    first = bench.row(full_name="Anna Berg", email="anna@berg.test", title="CTO")
    bench.clock.advance(5)
    second = bench.row(full_name="Anna B.", email="ANNA@berg.test", title="CEO")
    airtable = await bench.airtable()

    assert await bench.value("SELECT count(*) FROM lead") == 1
    assert (await bench.lead("anna@berg.test")).values["title"] == "CTO"
    assert not (await bench.link(airtable, second)).link.writing
    [item] = await bench.items("candidate")
    assert item["evidence"]["record"] == second

    bench.table.delete(first)
    await bench.sync(airtable, kind="full")
    lead = await bench.lead("anna@berg.test")
    assert (await bench.link(airtable, second)).link.writing
    assert lead.values["title"] == "CEO"
    assert await bench.items("candidate") == []
    await bench.agree(airtable)


async def test_notes_flow_both_ways_and_a_removal_there_removes_nothing(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test", notes="First call")
    airtable = await bench.airtable()
    lead_id = UUID((await bench.lead("anna@berg.test")).id)
    async with bench.world.transaction() as tx:
        await edit.add_note(tx, lead_id, "Sent the quote", actor="ann@team.test")
    await bench.settle()
    assert bench.cell(record, "Notes") == "First call\nSent the quote"

    bench.edit_there(record, notes="Sent the quote (v2)\nSigned")
    await bench.sync(airtable)
    entries = [entry[1] for entry in (await bench.lead("anna@berg.test")).values["notes"]]
    assert entries == ["First call", "Sent the quote (v2)", "Signed"]
    await bench.agree(airtable)


async def test_a_row_deleted_there_is_a_tombstone_and_a_mass_delete_waits(bench: Bench) -> None:
    rows = [bench.row(full_name=f"P {n}", email=f"p{n}@x.test") for n in range(30)]
    airtable = await bench.airtable()
    bench.table.delete(rows[0])
    await bench.sync(airtable, kind="full")
    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 29

    for record in rows[1:20]:
        bench.table.delete(record)
    await bench.sync(airtable, kind="full")
    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 29
    [item] = await bench.items("quarantine")
    assert item["evidence"]["missing"] == 19


async def test_a_lead_deleted_here_leaves_its_row_and_does_not_rise(bench: Bench) -> None:
    record = bench.row(full_name="Anna Berg", email="anna@berg.test")
    airtable = await bench.airtable()
    lead = await bench.lead("anna@berg.test")
    async with bench.world.transaction() as tx:
        await edit.delete(tx, UUID(lead.id), actor="ann@team.test")
    bench.edit_there(record, title="CTO")
    await bench.sync(airtable)

    assert record in bench.table.records
    assert await bench.value("SELECT count(*) FROM lead WHERE deleted_at IS NULL") == 0
    assert len(await bench.items("deleted")) == 1


async def test_a_conflict_of_a_deleted_lead_is_asked_about_again_once_it_is_restored_and_the_sides_differ(
    bench: Bench,
) -> None:
    records = [bench.row(email=f"{who}@x.test", title="CTO") for who in ("anna", "bob")]
    airtable = await bench.airtable(conflict_strategy="manual")
    leads = [UUID((await bench.lead(f"{who}@x.test")).id) for who in ("anna", "bob")]
    for record in records:
        bench.edit_there(record, title="CEO")
    for who in ("anna", "bob"):
        await bench.patch(f"{who}@x.test", title="COO")
    await bench.sync(airtable)
    assert {item["lead_id"] for item in await bench.items("conflict")} == {*leads}

    for lead_id in leads:
        async with bench.world.transaction() as tx:
            await edit.delete(tx, lead_id, actor="ann@team.test")
    assert await bench.items("conflict") == []
    # meanwhile one of the rows comes to show what its lead holds
    bench.edit_there(records[1], title="COO")
    await bench.sync(airtable)
    for lead_id in leads:
        async with bench.world.transaction() as tx:
            await edit.restore(tx, lead_id, actor="ann@team.test")
    await bench.sync(airtable)

    assert [item["lead_id"] for item in await bench.items("conflict")] == leads[:1]


async def test_an_idle_delta_costs_one_call_and_touches_no_row(bench: Bench) -> None:
    for n in range(20):
        bench.row(full_name=f"P {n}", email=f"p{n}@x.test")
    bench.clock.advance(600)
    airtable = await bench.airtable()
    bench.clock.advance(600)
    await bench.sync(airtable)
    bench.clock.advance(600)
    seen = (
        "SELECT string_agg(x, ',') FROM (SELECT 'l' || xmin::text || id AS x FROM lead UNION ALL"
        " SELECT 'k' || xmin::text || id FROM link UNION ALL SELECT 'i' || xmin::text || value FROM lead_identity"
        " UNION ALL SELECT 'h' || xmin::text || id FROM lead_change ORDER BY 1) s"
    )
    before, calls = await bench.value(seen), bench.calls()
    await bench.sync(airtable)

    assert bench.calls() - calls == 1
    assert await bench.value(seen) == before


@pytest.mark.parametrize("count", [3])
async def test_a_local_edit_costs_one_read_and_one_write(bench: Bench, count: int) -> None:
    for n in range(count):
        bench.row(full_name=f"P {n}", email=f"p{n}@x.test")
    await bench.airtable()
    calls = bench.calls()
    for n in range(count):
        await bench.patch(f"p{n}@x.test", title="CTO")
    await bench.settle()

    assert bench.calls() - calls == 2


async def test_a_lead_moved_to_another_campaign_is_counted_once(bench: Bench) -> None:
    there = bench.world.instantly.store
    lead = there.add_lead(bench.campaigns[0].id, email="anna@berg.test")
    there.send(lead.id)
    there.open(lead.id)
    instantly = await bench.instantly()
    there.move(lead.id, bench.campaigns[1].id)
    there.open(lead.id)
    await bench.sync(instantly)

    assert (await bench.lead("anna@berg.test")).values["email_open_count"] == 2
    assert await bench.value("SELECT count(*) FROM link") == 1


async def test_a_lead_deleted_and_added_again_starts_a_new_epoch(bench: Bench) -> None:
    there = bench.world.instantly.store
    for _ in range(2):
        lead = there.add_lead(bench.campaigns[0].id, email="anna@berg.test")
        there.send(lead.id)
        there.open(lead.id)
        if _ == 0:
            instantly = await bench.instantly()
            there.delete(lead.id)
    await bench.sync(instantly)

    assert (await bench.lead("anna@berg.test")).values["email_open_count"] == 2
