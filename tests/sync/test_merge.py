"""Two leads that are one person: merged everywhere, and two again as if nothing had been."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from app.sync import edit, merge
from app.sync.edit import Merged
from tests.sync.conftest import Bench

ANNA, HOME = "anna@berg.test", "a.berg@home.test"

#: What belongs to both leads, without versions and times of change.
_STATE = """
SELECT jsonb_build_object(
    'leads', (SELECT jsonb_agg(to_jsonb(l) - '{version,sync_version,updated_at,changed_xid}'::text[] ORDER BY id)
              FROM lead l),
    'links', (SELECT jsonb_agg(to_jsonb(k) - '{reconciled_version,dirty,observed_at,modified_at}'::text[] ORDER BY id)
              FROM link k),
    'identities', (SELECT jsonb_agg(to_jsonb(i) ORDER BY kind, value) FROM lead_identity i),
    'aliases', (SELECT jsonb_agg(to_jsonb(a) ORDER BY lead_id, email) FROM lead_alias a),
    'activities', (SELECT jsonb_agg(jsonb_build_array(lead_id, kind, detail, dedupe_key) ORDER BY id)
                   FROM activity WHERE kind NOT IN ('merged', 'unmerged')))::text
"""


async def _state(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await bench.value(_STATE))
    for link in found["links"]:
        # when a write was confirmed is a time as well
        cells = {name: {k: v for k, v in cell.items() if k != "fresh"} for name, cell in link["cells"].items()}
        link["cells"] = {name: cell for name, cell in cells.items() if cell != {"state": "agreed"}}
    return found


async def _cells(bench: Bench, *records: str) -> list[dict[str, Any]]:
    kept = [bench.table.read(bench.table.records[record]) for record in records]
    return [{k: v for k, v in cells.items() if k not in ("Last Sync", "Last Modified")} for cells in kept]


async def _two(bench: Bench) -> tuple[UUID, UUID, str, str, UUID, UUID]:
    """Two leads of one person, each with a row in Airtable and a place in a campaign of its own."""
    first = bench.row(full_name="Anna Berg", email=ANNA, company="Berg BV", notes="Met at the fair")
    bench.clock.advance(60)
    second = bench.row(full_name="A. Berg", email=HOME, title="CTO", phone="0612345678", notes="Called twice")
    there = bench.world.instantly.store
    for opens, (campaign, email) in enumerate(zip(bench.campaigns, (ANNA, HOME), strict=True), start=1):
        lead = there.add_lead(campaign.id, email=email)
        there.send(lead.id)
        for _ in range(opens):
            there.open(lead.id)
    airtable, instantly = await bench.airtable(), await bench.instantly()
    for email, status in ((ANNA, "contacted"), (HOME, "replied")):
        await bench.patch(email, status=status, custom={f"of {email}": 1})
    for _ in range(2):
        await bench.sync(airtable, instantly)
    one, other = await bench.lead(ANNA), await bench.lead(HOME)
    return UUID(one.id), UUID(other.id), first, second, airtable, instantly


async def _merge(bench: Bench, one: UUID, other: UUID, *, dry_run: bool = False, **choices: Any) -> merge.Preview:
    async with bench.world.transaction() as tx:
        return await merge.merge(tx, one, other, choices=choices, actor="ann@team.test", dry_run=dry_run)


async def _unmerge(bench: Bench, one: UUID, other: UUID | None = None) -> None:
    async with bench.world.transaction() as tx:
        await merge.unmerge(tx, one, other, actor="ann@team.test")


async def test_a_merge_moves_everything_along_and_writes_what_was_shown(bench: Bench) -> None:
    one, other, first, second, airtable, instantly = await _two(bench)
    before = await _state(bench)
    there = (await _cells(bench, second))[0]
    preview = await _merge(bench, one, other, dry_run=True)
    assert await _state(bench) == before

    await _merge(bench, one, other)
    await bench.sync(airtable, instantly)

    lead = await bench.lead(ANNA)
    assert lead.id == str(one)
    values = lead.values
    assert (values["full_name"], values["title"], values["phone"]) == ("Anna Berg", "CTO", "+31612345678")
    assert (values["status"], values["email_open_count"]) == ("replied", 3)
    assert [entry[1] for entry in values["notes"]] == ["Met at the fair", "Called twice"]
    assert values[f"custom.of {ANNA}"] == values[f"custom.of {HOME}"] == 1
    assert await bench.value("SELECT array_agg(DISTINCT lead_id) FROM link") == [one]
    assert await bench.value("SELECT array_agg(value ORDER BY value) FROM lead_identity") == [HOME, ANNA]
    assert await bench.value("SELECT array_agg(email) FROM lead_alias WHERE lead_id = $1", one) == [HOME]
    assert await bench.value("SELECT count(*) FROM activity WHERE lead_id = $1", other) == 0
    # the loser's row is shown and left alone; the survivor's row shows what was announced
    assert (await _cells(bench, second))[0] == there
    assert [(s.link.key, s in preview.stops) for s in preview.moves if s.connection_id == airtable] == [(second, True)]
    written = {name: new for s, name, _, new in preview.writes if s.link.key == first}
    assert written.keys() == {"title", "phone", "notes", "status"}
    assert bench.cell(first, "Title") == "CTO"
    assert bench.cell(first, "Notes") == "Met at the fair\nCalled twice"
    assert [item["link_id"] for item in await bench.items("candidate") if item["field"] == "second record"]
    await bench.agree(airtable)

    with pytest.raises(Merged, match=str(one)):
        async with bench.world.transaction() as tx:
            await edit.change(tx, other, {"title": "CEO"}, actor="ann@team.test")


async def test_merge_and_unmerge_leave_both_as_they_were(bench: Bench) -> None:
    one, other, first, second, airtable, instantly = await _two(bench)
    before, cells = await _state(bench), await _cells(bench, first, second)

    await _merge(bench, one, other, company_name="survivor", title="other")
    await bench.sync(airtable, instantly)
    await bench.patch(ANNA, next_action="call back")
    await bench.sync(airtable, instantly)
    await _unmerge(bench, one)
    for _ in range(2):
        await bench.sync(airtable, instantly)

    after = await _state(bench)
    edited = next(lead for lead in after["leads"] if lead["id"] == str(one))
    assert edited["next_action"] == "call back"
    edited["next_action"] = None
    edited["origins"].pop("next_action")
    assert await _cells(bench, first, second) == cells
    for part in before:
        assert after[part] == before[part], part
    await bench.agree(airtable)


async def test_what_came_from_a_link_since_goes_back_with_it_and_the_rest_stays(bench: Bench) -> None:
    one, other, first, second, airtable, instantly = await _two(bench)
    await _merge(bench, one, other)
    await bench.sync(airtable, instantly)
    there = bench.world.instantly.store
    (theirs,) = [lead for lead in there.leads.values() if lead.email == HOME]
    there.open(theirs.id)
    bench.edit_there(second, title="CEO")
    bench.edit_there(first, title="Founder")
    await bench.sync(airtable, instantly)
    # a further open of somebody who has opened moves no counter of a campaign
    await bench.sync(instantly, kind="full")
    assert (await bench.lead(ANNA)).values["email_open_count"] == 4
    assert (await bench.lead(ANNA)).values["title"] == "Founder"

    await _unmerge(bench, one, other)
    for _ in range(2):
        await bench.sync(airtable, instantly)

    mine, back = (await bench.lead(ANNA)).values, (await bench.lead(HOME)).values
    assert (mine["email_open_count"], back["email_open_count"]) == (1, 3)
    assert (mine["title"], back["title"]) == ("Founder", "CEO")
    await bench.agree(airtable)


async def test_a_merge_is_undone_once_and_the_pair_is_not_suggested_again(bench: Bench) -> None:
    one, other, *_ = await _two(bench)
    await _merge(bench, one, other)
    await _unmerge(bench, one)

    with pytest.raises(merge.NotMerged, match="nothing to undo"):
        await _unmerge(bench, one, other)
    assert not [item for item in await bench.items("candidate") if item["field"] == str(max(one, other))]


async def test_a_row_that_names_a_merged_lead_belongs_to_the_survivor(bench: Bench) -> None:
    one, other, *_, airtable, _ = await _two(bench)
    await _merge(bench, one, other)
    copied = bench.row(full_name="Anna B.", crm_id=str(other))
    await bench.sync(airtable)

    assert (await bench.link(airtable, copied)).lead_id == one


async def test_a_place_in_a_campaign_that_is_gone_moves_along_and_leaves_no_work(bench: Bench) -> None:
    one, other, *_, airtable, instantly = await _two(bench)
    there = bench.world.instantly.store
    (theirs,) = [lead for lead in there.leads.values() if lead.email == HOME]
    there.delete(theirs.id)
    await bench.sync(instantly, kind="full")
    await _merge(bench, one, other)
    await bench.sync(airtable, instantly)

    assert await bench.value("SELECT count(*) FROM link WHERE lead_id = $1 AND gone_at IS NOT NULL", one) == 1
    assert await bench.value("SELECT count(*) FROM link WHERE dirty OR push_due") == 0


async def test_of_merges_and_edits_at_once_each_is_done_or_told_where_the_lead_is(bench: Bench) -> None:
    one, other, *_ = await _two(bench)

    async def write(number: int) -> None:
        async with bench.world.transaction() as tx:
            await edit.add_note(tx, other, f"note {number}", actor="ann@team.test")

    done = await asyncio.gather(
        *(write(n) for n in range(5)),
        _merge(bench, one, other),
        *(write(n) for n in range(5, 10)),
        _merge(bench, other, one),
        return_exceptions=True,
    )

    refused = [outcome for outcome in done if isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, Merged) for outcome in refused), refused
    survivor = await bench.value("SELECT id FROM lead WHERE deleted_at IS NULL")
    assert await bench.value("SELECT array_agg(merged_into) FROM lead WHERE deleted_at IS NOT NULL") == [survivor]
    entries = await bench.value("SELECT note_entries FROM lead WHERE id = $1", survivor)
    kept = [entry for entry in entries if entry[1].startswith("note")]
    assert len(kept) == 10 - sum(
        isinstance(outcome, BaseException) for n, outcome in enumerate(done) if n not in (5, 11)
    )


async def test_merges_are_undone_in_any_order(bench: Bench) -> None:
    one, other, *_, airtable, instantly = await _two(bench)
    await bench.patch(HOME, campaigns=["Beta"])
    bench.row(full_name="Ann Berg", email="third@x.test", title="Owner", phone="0201234567", campaigns=["Alpha"])
    await bench.sync(airtable)
    third = UUID((await bench.lead("third@x.test")).id)
    before = await _state(bench)
    await _merge(bench, one, other)
    await _merge(bench, one, third)

    await _unmerge(bench, one, other)
    assert (await bench.lead(ANNA)).values["campaigns"] == ["Alpha"]
    await _unmerge(bench, one, third)
    await bench.sync(airtable, instantly)

    after = await _state(bench)
    for part in ("leads", "identities", "aliases", "activities"):
        assert after[part] == before[part], part
