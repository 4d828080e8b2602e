"""Write-backs to Instantly: a removal and an interest are stored, sent once, looked for, and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from app.db import accounts, requests
from app.db.session import Tenant
from app.lab.sandboxes import KEY
from app.lab.world import make
from app.sandbox.core import Fault, FaultKind
from app.sync import edit, write_back
from tests.sync.conftest import Bench

ANN = "ann@berg.test"


@pytest.fixture
async def lead(bench: Bench) -> UUID:
    """A lead in two campaigns at Instantly."""
    for campaign in bench.campaigns:
        row = bench.world.instantly.store.add_lead(campaign.id, email="Ann@Berg.test", first_name="Ann")
        bench.world.instantly.store.open(row.id)
    await bench.instantly()
    return UUID((await bench.lead(ANN)).id)


@pytest.fixture
def ask(bench: Bench, lead: UUID) -> Callable[..., Any]:
    """Asks for a change, in all campaigns or in the one with this place among them."""

    async def work(kind: Any, interest: str | None = None, campaign: int | None = None) -> list[UUID]:
        async with bench.world.transaction() as tx:
            chosen = None
            if campaign is not None:
                chosen = await tx.value(
                    "SELECT id FROM campaign WHERE remote_id = $1", bench.campaigns[campaign].id
                ) or await tx.value(
                    "INSERT INTO campaign (workspace_id, id, connection_id, remote_id, name)"
                    " SELECT workspace_id, gen_random_uuid(), id, $1, 'Founders' FROM connection RETURNING id",
                    bench.campaigns[campaign].id,
                )
            return await write_back.ask(tx, lead, kind, campaign_id=chosen, interest=interest, actor="ann@team.test")

    return work


def rows(bench: Bench) -> list[Any]:
    """Returns what Instantly has of the lead, in the order of its campaigns."""
    found = [bench.world.instantly.store.find(campaign.id, ANN) for campaign in bench.campaigns]
    return [row for row in found if row is not None]


def wrote(bench: Bench) -> list[tuple[str, int]]:
    """Returns the writes that reached Instantly."""
    return [
        (call.method, call.status)
        for call in bench.world.instantly.sandbox.calls
        if (call.method == "DELETE" or call.path.endswith("/update-interest-status")) and call.fault != "drop_before"
    ]


async def told(bench: Bench, lead: UUID) -> list[tuple[str, str | None]]:
    """Returns what became of every request, as the lead's links show it."""
    async with bench.world.transaction() as tx:
        ids = [row["id"] for row in await tx.all("SELECT id FROM outreach_request ORDER BY id")]
        return [(str(row["state"]), row["error"]) for row in await requests.shown(tx, ids)]  # type: ignore[misc]


async def kinds(bench: Bench, lead: UUID) -> list[str]:
    async with bench.world.transaction() as tx:
        found = await tx.all(
            "SELECT kind FROM activity WHERE lead_id = $1 AND kind ~ '^(remove|interest)[.]' ORDER BY id", lead
        )
        return [row["kind"] for row in found]


async def later(bench: Bench, seconds: float) -> None:
    """Lets time pass at Instantly and for what waits here."""
    bench.clock.advance(seconds)
    async with bench.world.transaction() as tx:
        await tx.run(
            "UPDATE outreach_request SET next_attempt_at = next_attempt_at - make_interval(secs => $1)", seconds
        )
    await bench.settle()


async def test_a_removal_deletes_the_row_there_once_and_keeps_the_lead_here(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    await ask("remove", campaign=0)
    await bench.settle()

    assert [row.campaign for row in rows(bench)] == [bench.campaigns[1].id]
    assert wrote(bench) == [("DELETE", 200)]
    assert await told(bench, lead) == [("confirmed", None)]
    assert await kinds(bench, lead) == ["remove.requested", "remove.done"]
    assert await bench.value("SELECT count(*) FROM link WHERE gone_at IS NOT NULL") == 1
    await bench.sync(await bench.value("SELECT id FROM connection"), kind="full")
    lead_here = await bench.lead(ANN)
    assert (lead_here.values["first_name"], lead_here.values["email_open_count"]) == ("Ann", 2)


async def test_a_row_that_is_gone_already_is_a_removal_that_is_done(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    bench.world.instantly.store.delete(rows(bench)[0].id)
    await ask("remove", campaign=0)
    await bench.settle()

    assert wrote(bench) == [("DELETE", 404)]
    assert await told(bench, lead) == [("confirmed", None)]


async def test_an_interest_is_confirmed_once_its_row_shows_it_and_the_status_follows(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    await ask("interest", "meeting_booked", campaign=1)
    await bench.settle()
    assert await told(bench, lead) == [("sent", None)]
    assert (await bench.lead(ANN)).values["status"] == "opened"

    await later(bench, 6)

    assert [row.lt_interest_status for row in rows(bench)] == [None, 2]
    assert await told(bench, lead) == [("confirmed", None)]
    assert await kinds(bench, lead) == ["interest.requested", "interest.done"]
    assert wrote(bench) == [("POST", 202)]
    assert (await bench.lead(ANN)).values["status"] == "booked"


async def test_without_a_campaign_every_row_gets_the_interest_and_null_takes_it_back(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    await ask("interest", "interested")
    await bench.settle()
    await later(bench, 6)
    assert [row.lt_interest_status for row in rows(bench)] == [1, 1]

    await ask("interest", None)
    await bench.settle()
    await later(bench, 6)

    assert [row.lt_interest_status for row in rows(bench)] == [None, None]
    assert [state for state, _ in await told(bench, lead)] == ["confirmed"] * 4
    # a label that was taken back lowers nothing here
    assert (await bench.lead(ANN)).values["status"] == "replied"


async def test_the_same_wish_twice_is_one_and_another_interest_takes_its_place(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    assert await ask("interest", "lost", campaign=0) == await ask("interest", "lost", campaign=0)
    await ask("interest", "won", campaign=0)
    await bench.settle()
    await later(bench, 6)

    assert await told(bench, lead) == [("failed", "Another interest was asked for since."), ("confirmed", None)]
    assert wrote(bench) == [("POST", 202)]
    assert rows(bench)[0].lt_interest_status == 4


@pytest.mark.parametrize("happened", [True, False], ids=["it had happened", "it had not"])
@pytest.mark.parametrize("kind", ["remove", "interest"])
async def test_after_a_lost_answer_the_row_is_read_before_anything_is_sent_again(
    bench: Bench, lead: UUID, ask: Callable[..., Any], kind: str, happened: bool
) -> None:
    dropped: FaultKind = "drop_after" if happened else "drop_before"
    bench.world.instantly.sandbox.faults.add(Fault(kind=dropped, path="/leads/(update|[0-9a-f-]{36})", count=1))
    await ask(kind, "interested" if kind == "interest" else None, campaign=0)
    await bench.settle()
    assert [state for state, _ in await told(bench, lead)] == ["sent"]
    for _ in range(6):
        await later(bench, 60)

    assert await told(bench, lead) == [("confirmed", None)]
    assert len(wrote(bench)) == 1
    assert (rows(bench)[0].lt_interest_status == 1) if kind == "interest" else len(rows(bench)) == 1


async def test_what_the_key_may_not_do_fails_and_reading_goes_on(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    bench.world.instantly.store.add_key(KEY, scopes=["leads:read", "campaigns:read", "workspaces:read"])
    await ask("remove", campaign=0)
    await ask("interest", "won", campaign=1)
    await bench.settle()

    (removal, error), (interest, other) = await told(bench, lead)
    assert (removal, interest) == ("failed", "failed")
    assert "leads:delete" in str(error)
    assert "leads:update" in str(other)
    assert await kinds(bench, lead) == ["remove.requested", "interest.requested", "remove.failed", "interest.failed"]
    assert await bench.value("SELECT state FROM connection") == "active"


async def test_what_instantly_puts_off_waits_its_time_and_is_sent_then(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    fault = Fault(kind="rate_limit", method="DELETE", retry_after=100, count=1)
    bench.world.instantly.sandbox.faults.add(fault)
    await ask("remove", campaign=0)
    await bench.settle()
    assert [state for state, _ in await told(bench, lead)] == ["queued"]
    assert "asks for fewer calls" in await bench.value("SELECT reason FROM connection")
    assert await bench.value("SELECT attempts FROM outreach_request") == 0
    await later(bench, 50)
    assert len(wrote(bench)) == 1
    await later(bench, 60)

    assert wrote(bench) == [("DELETE", 429), ("DELETE", 200)]
    assert await told(bench, lead) == [("confirmed", None)]


async def test_a_lead_in_no_campaign_or_another_one_is_refused(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    await ask("remove")
    await bench.settle()

    assert rows(bench) == []
    with pytest.raises(write_back.InNoCampaign):
        await ask("interest", "won")
    with pytest.raises(write_back.NoSuchCampaign):
        await ask("interest", "won", campaign=0)
    async with bench.world.transaction() as tx:
        await edit.delete(tx, lead, actor="ann@team.test")
    with pytest.raises(edit.Gone):
        await ask("remove")


async def test_a_row_that_became_another_workspaces_before_the_call_is_left_alone(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    world = bench.world
    other = await make(world.runtime, world.airtable, world.instantly)
    await other.connect("instantly", {"campaign_ids": None, "pacing_seconds": 0}, {"api_key": KEY}, auto_approve=True)
    await other.settle()
    await ask("remove", campaign=0)
    await ask("interest", "won", campaign=0)
    account = await bench.value("SELECT DISTINCT account_id FROM connection")
    async with world.runtime.db.transaction(Tenant(world.tenant.workspace_id, "operator")) as tx:
        await accounts.assign(tx, account, bench.campaigns[0].id, other.tenant.workspace_id, actor="operator")
    await bench.settle()

    assert [row.campaign for row in rows(bench)] == [campaign.id for campaign in bench.campaigns]
    assert wrote(bench) == []
    assert await told(bench, lead) == [("failed", "The campaign is no longer this workspace's.")] * 2


async def test_a_row_that_was_gone_before_the_call_is_not_asked_for(
    bench: Bench, lead: UUID, ask: Callable[..., Any]
) -> None:
    await ask("interest", "won", campaign=0)
    async with bench.world.transaction() as tx:
        await tx.run("UPDATE link SET gone_at = now() WHERE remote_id = $1", rows(bench)[0].id)
    await bench.settle()

    assert wrote(bench) == []
    assert await told(bench, lead) == [("failed", write_back.GONE)]
