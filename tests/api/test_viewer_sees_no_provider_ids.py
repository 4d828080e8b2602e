"""A client's key: every route it may read, with real records of both providers behind it.

No answer holds an id of a provider's, anything of another client on the same account, or a number that counts it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from app.db import accounts, connections, deliveries, keys
from app.db.ids import new_id
from app.db.session import Role, Tenant
from app.domain.ladder import DELIVERY_LADDER
from app.lab.sandboxes import KEY, TOKEN
from app.lab.world import World, make
from app.main import create_app
from app.sync import inbox
from app.vault import new_key
from tests.api.conftest import browser
from tests.api.test_access import KEYED, call
from tests.api.test_tenants import EVERYTHING
from tests.sync import conftest as worlds
from tests.sync.conftest import Bench

bench = worlds.bench
ALL = {"campaign_ids": None, "pacing_seconds": 0}
#: In everything the other client has.
OTHER = "kanarie4711"
SINCE = "/api/events?wait=0&after=" + EVERYTHING


@dataclass
class Service:
    """Two clients on one account, and the keys of the first one's people."""

    bench: Bench
    first: World
    second: World
    clients: dict[str, httpx.AsyncClient]
    #: what each client has there, by address
    own: dict[str, set[str]]


@pytest.fixture
async def service(bench: Bench) -> AsyncIterator[Service]:
    store, first = bench.world.instantly.store, bench.world
    second = await make(first.runtime, first.airtable, first.instantly)
    other = store.add_campaign(f"{OTHER} campaign")
    own = {"first": _seeded(bench, 0, "first.test", 7) | _seeded(bench, 1, "first.test", 4, start=5), "second": set()}
    own["second"] = _seeded(bench, 2, f"{OTHER}.test", 9) | {"p0@first.test"}
    store.add_lead(other.id, email="p0@first.test", payload={"Note": OTHER})
    for number, name in enumerate(("Noor", "Ada", "Eva")):
        bench.row(email=f"p{number}@first.test", full_name=f"{name} Jansen", phone="n/a", title="Inkoper")
    own["first"] |= {"row@first.test"}
    bench.edit_there(bench.row(email="row@first.test", full_name="Row"), claimed_by={"email": "ann@team.test"})
    for world, mine in ((first, (0, 1)), (second, (2,))):
        for number in mine:
            await _assign(bench, bench.campaigns[number].id, world)
    await bench.airtable()
    for world in (first, second):
        await world.connect("instantly", ALL, {"api_key": KEY}, auto_approve=True, name="Outreach")
    await first.settle()
    await _answers(bench, first, bench.campaigns[0].id, "p1@first.test")
    await _answers(bench, second, other.id, f"p1@{OTHER}.test")
    await bench.patch("p2@first.test", title="Hoofd inkoop", notes="Called.")
    for world in (first, second):
        async with world.transaction() as tx:
            await tx.run("UPDATE connection SET next_run_at = $2 WHERE workspace_id = $1", tx.workspace_id, tx.now)
    await bench.settle()
    app = create_app(runtime=first.runtime)
    async with contextlib.AsyncExitStack() as stack:
        clients = {
            role: await stack.enter_async_context(browser(app, {"X-API-Key": await _key(first, role)}))
            for role in ("viewer", "member")
        }
        clients["second"] = await stack.enter_async_context(browser(app, {"X-API-Key": await _key(second, "viewer")}))
        yield Service(bench, first, second, clients, own)


def _seeded(bench: Bench, number: int, domain: str, count: int, start: int = 0) -> set[str]:
    """People in a campaign, to whom something happens."""
    store, campaign = bench.world.instantly.store, bench.campaigns[number].id
    deeds = (store.open, store.click, store.reply, store.bounce, store.unsubscribe)
    emails = [f"p{n}@{domain}" for n in range(start, start + count)]
    for n, email in enumerate(emails):
        lead = store.add_lead(campaign, email=email, company_name=f"{domain} B.V.", payload={"functie": "Inkoper"})
        store.send(lead.id)
        for deed in deeds[: n % 6]:
            deed(lead.id)
    store.set_interest(store.find(campaign, emails[2]).id, 1)  # type: ignore[union-attr]
    return set(emails)


async def _assign(bench: Bench, campaign: str, world: World) -> None:
    """Assigns before anybody connects: the account is made first."""
    made = bench.world.runtime.account("instantly", ALL, {"api_key": KEY})
    operator = Tenant(bench.world.tenant.workspace_id, "operator")
    async with bench.world.runtime.db.transaction(operator) as tx:
        account_id = await connections.account(tx, "instantly", made["fingerprint"], made["sealed"], new_id())
        await accounts.assign(tx, account_id, campaign, world.tenant.workspace_id, actor="olga")


async def _answers(bench: Bench, world: World, campaign: str, email: str) -> None:
    """A prospect answers, and the webhook says so with every id Instantly puts into it."""
    db = bench.world.runtime.db
    said = {
        "event_type": "reply_received", "timestamp": "2026-03-02T09:15:00.000Z", "campaign": campaign,
        "campaign_id": campaign, "workspace": bench.world.instantly.store.workspace_id, "lead_email": email,
        "email_id": "0199cbed-0bed-7e1f-a3c9-608aca600b4f", "email_account": "max@sender.test", "step": 1,
        "unibox_url": f"https://app.instantly.ai/?selected_wks={bench.world.instantly.store.workspace_id}",
        "reply_text_snippet": f"Yes, says {email}",
    }  # fmt: skip
    async with db.transaction(world.tenant) as tx:
        account_id = await tx.value("SELECT account_id FROM connection WHERE provider = 'instantly'")
    row = deliveries.delivery(
        orjson.dumps(said), fingerprint=bench.world.runtime.vault.address, account_id=account_id, path=campaign
    )
    (kept,) = await deliveries.store(db, [row])
    assert kept is not None
    await inbox.apply(db, world.tenant, [kept.id], fingerprint=bench.world.runtime.vault.address)


async def _key(world: World, role: Role) -> str:
    key, prefix, hashed = new_key()
    async with world.transaction() as tx:
        await keys.create(tx, name=role, role=role, prefix=prefix, key_hash=hashed)
    return key


async def forbidden(service: Service) -> dict[str, str]:
    """Every id of the providers' that this service has met, and the ids of their account here."""
    instantly, base, table = service.bench.world.instantly.store, service.bench.base, service.bench.table
    found = {instantly.workspace_id: "workspace", instantly.owner_id: "owner", KEY: "key", TOKEN: "token"}
    found |= dict.fromkeys(instantly.campaigns, "campaign")
    found |= {step: "step" for campaign in instantly.campaigns.values() for step in campaign.steps}
    found |= dict.fromkeys(instantly.leads, "lead row") | dict.fromkeys(instantly.mails, "mail")
    found |= {"0199cbed-0bed-7e1f-a3c9-608aca600b4f": "mail", base.id: "base", table.id: "table"}
    found |= dict.fromkeys(table.records, "record") | {column.id: "column" for column in table.fields.values()}
    found |= {person.id: "collaborator" for person in base.collaborators.values()}
    async with service.first.runtime.db.transaction(Tenant(service.first.tenant.workspace_id, "operator")) as tx:
        found |= {str(account["id"]): "account" for account in await accounts.every(tx)}
    return found


async def ids(service: Service) -> dict[str, list[str]]:
    """What the paths of a client's routes are filled with: everything of their own."""
    async with service.first.runtime.db.transaction(service.first.tenant) as tx:
        rows = await tx.all("SELECT id FROM lead WHERE deleted_at IS NULL")
        campaigns = await tx.all("SELECT id FROM campaign")
    return {"lead_id": [str(row["id"]) for row in rows], "campaign_id": [str(row["id"]) for row in campaigns]}


async def everything(service: Service, role: str) -> dict[str, bytes]:
    """What every GET a role may use answers, by its address."""
    own, answers = await ids(service), {}
    for method, path, operation in KEYED:
        if method != "get" or role not in operation["x-roles"]:
            continue
        filled = [path]
        for name in re.findall(r"\{(\w+)\}", path):
            assert role != "viewer" or name in own, (
                f"A client's route takes {name!r}: say in `ids` what of theirs it is."
            )
            filled = [one.replace(f"{{{name}}}", value) for one in filled for value in own.get(name, ())]
        for one in filled:
            query: dict[str, Any] = {"after": EVERYTHING} if operation["operationId"] == "followEvents" else {}
            query |= {p["name"]: "p" for p in operation.get("parameters", ()) if p["in"] == "query" and p["required"]}
            answer = await call(service.clients[role], method, one, operation, **query)
            answers[one] = answer.content
    return answers


async def test_no_answer_to_a_client_holds_an_id_of_a_provider_or_anything_of_another_client(
    service: Service,
) -> None:
    client, names = service.clients["viewer"], await forbidden(service)
    answers = await everything(service, "viewer")
    for form in ("csv", "ndjson"):
        answers[form] = (await client.get(f"/api/leads/export?format={form}")).content
    lead = (await ids(service))["lead_id"][0]
    answers["then"] = (await client.get(f"/api/leads/{lead}", params={"as_of": _now(answers)})).content

    leaks = [(path, what) for path, body in answers.items() for one, what in names.items() if one.encode() in body]
    assert leaks == []
    assert [path for path, body in answers.items() if OTHER.encode() in body] == []
    # what was looked at is there: leads with their stories, answers, steps and refused values
    together = b"".join(answers.values())
    for word in (b"p1@first.test", b"mail.replied", b"Yes, says", b"step_id", b"instantly:", b"Hoofd inkoop", b"rule"):
        assert word in together, word
    assert len(answers) > 40
    assert not any(path.startswith("/api/sync/") for path in answers)

    # who works the syncs sees the records behind the leads, and no more of the account than that
    seen = await everything(service, "member")
    shown = {what for body in seen.values() for one, what in names.items() if one.encode() in body}
    assert "record" in shown
    assert shown.isdisjoint({"token", "key", "account", "workspace"})
    assert any(path.startswith("/api/sync/") for path in seen)


def _now(answers: dict[str, bytes]) -> str:
    stats = orjson.loads(answers["/api/stats/leads"])
    return str(stats["as_of"])


async def test_every_number_a_client_sees_counts_their_own(service: Service) -> None:
    for name, key in (("first", "viewer"), ("second", "second")):
        client, own = service.clients[key], service.own[name]
        listed = (await client.get("/api/leads?count=exact&limit=200&fields=email,status,is_positive_reply")).json()
        stats = (await client.get("/api/stats/leads")).json()
        export = await client.get("/api/leads/export?format=csv&fields=email")
        told = (await client.get(SINCE)).text
        statuses = [lead["status"] for lead in listed["items"]]

        assert {lead["email"] for lead in listed["items"]} == own
        assert listed["count"] == len(own)
        assert stats["total"] == len(own)
        assert {row["status"]: row["leads"] for row in stats["by_status"] if row["leads"]} == {
            status: statuses.count(status) for status in set(statuses)
        }
        assert stats["positive_replies"] == sum(lead["is_positive_reply"] is True for lead in listed["items"])
        assert (
            sum(row["leads"] for row in stats["by_owner"]) == sum(row["leads"] for row in stats["by_week"]) == len(own)
        )
        assert sum(row["leads"] for row in stats["by_source"]) == len(own)
        assert {row[0] for row in csv.reader(io.StringIO(export.text))} - {"email"} == own
        events = [orjson.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
        assert len({event["lead_id"] for event in events if "lead_id" in event}) == len(own)
        assert _counted(await _leads(client), "email_open_count") == _there(service, name, "email_open_count")
        assert _counted(await _leads(client), "email_reply_count") == _there(service, name, "email_reply_count")
    await campaigns_count_their_own(service)


async def campaigns_count_their_own(service: Service) -> None:
    there = service.bench.world.instantly.store
    for key, mine in (("viewer", (0, 1)), ("second", (2,))):
        client, campaigns = service.clients[key], [service.bench.campaigns[number] for number in mine]
        listed = (await client.get("/api/campaigns?limit=200")).json()["items"]
        statuses = {lead["email"]: lead["delivery_status"] for lead in await _leads(client)}

        assert {c["name"] for c in listed} == {c.name for c in campaigns}
        for shown in listed:
            (campaign,) = [c for c in campaigns if c.name == shown["name"]]
            members = {row.email for row in there.leads.values() if row.campaign == campaign.id and row.email}
            sent = sum(mail.ue_type == 1 and mail.campaign_id == campaign.id for mail in there.mails.values())
            replies = sum(row.email_reply_count for row in there.leads.values() if row.campaign == campaign.id)
            counted = (await client.get(f"/api/campaigns/{shown['id']}/analytics")).json()

            assert shown["leads"] == {
                "total": len(members),
                **{name: sum(statuses[email] == name for email in members) for name in DELIVERY_LADDER},
            }
            assert counted["overview"]["sent"] == counted["sums"]["sent"] == sent > 0
            assert counted["overview"]["replies"] == counted["sums"]["replies"] == replies > 0


async def _leads(client: httpx.AsyncClient) -> Sequence[dict[str, Any]]:
    found: Sequence[dict[str, Any]] = (await client.get("/api/leads?limit=200")).json()["items"]
    return found


def _counted(leads: Sequence[dict[str, Any]], counter: str) -> dict[str, int]:
    return {lead["email"]: lead[counter] for lead in leads if lead[counter]}


def _there(service: Service, name: str, counter: str) -> dict[str, int]:
    """What Instantly counts in a client's campaigns, added up by hand."""
    mine = {"first": (0, 1), "second": (2,)}[name]
    campaigns = {service.bench.campaigns[number].id for number in mine}
    found: dict[str, int] = {}
    for row in service.bench.world.instantly.store.leads.values():
        if row.campaign in campaigns and getattr(row, counter) and row.email:
            found[row.email] = found.get(row.email, 0) + getattr(row, counter)
    return found
