"""Our requests to Instantly, and the sandbox's answers, held against the document Instantly publishes.

The document is not part of this repository (2.3 MB, not ours): it is looked for beside the project, or where
INSTANTLY_OPENAPI says. What does not agree with it on purpose stands in `DEVIATIONS`; the numbers there name sections
of the Instantly fact sheet. Public material shows the live service to differ from its own document in these places.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import app.providers
from app.lab.transport import InProcess
from app.providers.base import Guard
from app.providers.instantly.campaigns import InstantlyCampaigns
from app.providers.instantly.hooks import InstantlyHooks
from app.providers.instantly.leads import Instantly
from app.providers.instantly.mails import InstantlyMails
from app.providers.instantly.rows import InstantlyRows
from app.sandbox.instantly import InstantlySandbox
from app.sandbox.instantly.day import live_a_day
from tests.project.conftest import ROOT

from .conftest import FakeClock, FakeLimiter
from .openapi import Document, Exchange, Recording

KEY = "CANARYb64key=="
PUBLISHED: Final = Path(
    os.environ.get("INSTANTLY_OPENAPI")  # noqa: TID251 - where a test finds its input is no setting
    or ROOT.parent / "shared" / "data" / "instantly-openapi.json"
)
#: what a finding looks like -> why it is as it should be
DEVIATIONS: Final[dict[str, str]] = {
    r"response 403 GET /api/v2/campaigns: status not documented": "§1.2 a missing scope is a 403, hardly documented",
    r"response 415 POST /api/v2/leads/list: status not documented": "§1.1 JSON both ways; the parser refuses the rest",
    r"response 400 PATCH /api/v2/leads/{id}: status not documented": "§1.2 a wrong type is a 400 in ajv's words",
    r"response 200 GET .*/campaigns: items/\*/campaign_schedule: \"schedules\" is a required.*": "§3.2 live shape: {}",
    r"response 200 GET .*/campaigns: items/\*/campaign_schedule/schedules: \[\] has less.*": "§3.2 live shape",
    r"response 200 GET .*/campaigns: items/\*/campaign_schedule/start_date: \"\" is not a .*": "§3.2 live shape",
    r"response 200 GET .*/campaigns/analytics: \*: \"leads_count\" is a required property": (
        "§3.3 exclude_total_leads_count leaves it out of the answer"
    ),
    r"response 200 \w+ .*/leads/(list|{id}): (items/\*/)?lt_interest_status: -100 is not one of .*": (
        "§2.3 a custom label has a number of its own"
    ),
}


class Watched:
    """A client that keeps the names of what was asked of it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(f"{type(self._client).__name__}.{name}")
        return getattr(self._client, name)


class Spoken:
    """A workspace in which something of everything has happened, and all that was said to it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.world = InstantlySandbox(clock=clock, seed=1)
        self.transport = Recording(InProcess({"api.instantly.ai": self.world.app}))
        self.asked: set[str] = set()
        store = self.world.store
        store.add_key(KEY)
        store.add_label("Spam complaint", "negative")
        self.campaigns = [store.add_campaign(name).id for name in ("One", "Two")]
        store.add_campaign("Odd", status=0, schedule={"start_date": "", "schedules": []}, email_list=None, old_id=True)
        store.add_campaign("Bare", schedule={})
        for number in range(40):
            facts: dict[str, Any] = {"first_name": "Ada", "phone": "06", "payload": {"Tier": "A"}} if number % 2 else {}
            store.add_lead(self.campaigns[number % 2], email=f"p{number}@acme.test", old_id=number % 3 == 0, **facts)
        store.add_lead(None, email=None, first_name="Nobody")
        self.world.deliveries.sender = self._receive
        self.hook = self.world.deliveries.hooks.add("https://crm.test/in", event_type="all_events", headers={"a": "b"})
        live_a_day(store, seed=1, events=400, start=clock.now() - timedelta(days=2))

    @property
    def exchanges(self) -> list[Exchange]:
        return self.transport.exchanges

    def http(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.AsyncClient(transport=self.transport, base_url="https://api.instantly.ai/api/v2", headers=headers)

    async def _receive(self, url: str, headers: Any, body: bytes, timeout: float) -> int:
        return 200 if len(body) % 5 else 503


@pytest.fixture
def spoken(clock: FakeClock) -> Spoken:
    return Spoken(clock)


async def use_our_clients(spoken: Spoken, limiter: FakeLimiter, rng: random.Random, guard: Guard) -> None:
    """Asks everything of our clients that they can be asked."""
    store, day = spoken.world.store, spoken.clock.now().date()
    await spoken.world.deliveries.deliver_due()
    async with httpx.AsyncClient(transport=spoken.transport) as client:
        instantly = Instantly(
            client=client, api_key=KEY, campaign_ids=None, limiter=limiter, clock=spoken.clock, rng=rng
        )
        records, campaigns, hooks, rows, mails = (
            Watched(instantly),
            Watched(InstantlyCampaigns(instantly, clock=spoken.clock)),
            Watched(InstantlyHooks(instantly.funnel, public_url="https://crm.test", secret="s3")),
            Watched(InstantlyRows(instantly.funnel)),
            Watched(InstantlyMails(instantly.funnel, api_key=KEY)),
        )
        await records.schema()
        cursor = records.start("full")
        while cursor is not None:
            page = await records.page(cursor)
            cursor = page.next
        await records.campaigns()
        ids = [lead.id for lead in store.leads.values()]
        await records.read(ids)
        await records.find("email", ["P1@acme.test"])
        await campaigns.campaigns()
        await campaigns.counts()
        for period in ((), (day - timedelta(days=7), day)):
            await campaigns.overview(spoken.campaigns[0], *period)
        assert await campaigns.days(spoken.campaigns[0], day - timedelta(days=7), day)
        await campaigns.rest()
        await hooks.create(guard)
        (made,) = await hooks.hooks()
        await hooks.mend(made.id, guard)
        await hooks.resume(made.id, guard)
        await hooks.totals(day - timedelta(days=7), day)
        page = await hooks.delivered(day, None)
        await hooks.delivered(day, page.next)
        await hooks.delete(made.id, guard)
        await mails.received(spoken.clock.now() - timedelta(days=7), None)
        lead = next(lead for lead in store.leads.values() if lead.email and lead.campaign)
        for interest in ("interested", None):
            await rows.label(lead.email, lead.campaign, interest, guard)
        await rows.remove(lead.id, guard)
        await records.delete([lead.id], guard)
        await records.close()
        spoken.asked = records.asked | campaigns.asked | hooks.asked | rows.asked | mails.asked


async def use_the_sandbox(spoken: Spoken) -> None:
    """Calls every endpoint of the sandbox, as it may be called and as it may not."""
    store, hook, one, two = spoken.world.store, spoken.hook, *spoken.campaigns
    await spoken.world.deliveries.deliver_due()
    lead, mail = next(iter(store.leads)), next(iter(store.mails))
    row = next(iter(spoken.world.deliveries.log.rows))
    blocked = store.block("acme.example")
    unknown = "00000000-0000-4000-8000-000000000000"
    async with spoken.http() as http:
        for path in (
            *("workspaces/current", "campaigns", f"campaigns/{one}", "campaigns?status=1&limit=1&search=o"),
            "campaigns/search-by-contact?search=p1@acme.test",
            *(f"campaigns/analytics{rest}" for rest in ("", f"?id={one}&exclude_total_leads_count=true", "/steps")),
            *("campaigns/analytics/overview?expand_crm_events=true&campaign_status=1", "campaigns/analytics/daily"),
            f"campaigns/analytics/steps?campaign_id={one}&include_opportunities_count=true",
            "campaigns/analytics/daily?start_date=2026-02-01&end_date=2026-03-01T12:00:00Z",
            *(f"leads/{lead}", "emails?limit=100", f"emails/{mail}", "lead-labels?interest_status=negative"),
            *("webhooks", "webhooks/event-types", f"webhooks/{hook.id}", f"webhook-events/{row}"),
            *("webhook-events?limit=100", "webhook-events?success=false&from=2026-03-01&to=2026-03-02"),
            *("block-lists-entries", f"block-lists-entries/{blocked.id}", "block-lists-entries?domains_only=true"),
            *("webhook-events/summary", "webhook-events/summary-by-date?from=2026-01-01"),
        ):
            assert (await http.get(path)).status_code == 200, path
        for path in (
            *(f"leads/{unknown}", f"campaigns/{unknown}", f"emails/{unknown}", f"webhooks/{unknown}"),
            f"webhook-events/{unknown}",
        ):
            assert (await http.get(path)).status_code == 404, path
        backwards = "?start_date=2026-02-02&end_date=2026-02-01"
        for name in ("", "/overview", "/daily", "/steps"):
            assert (await http.get(f"campaigns/analytics{name}{backwards}")).status_code == 400
        created = (await http.post("leads", json={"campaign": one, "email": "new@acme.test"})).json()
        moved = await http.post("leads/move", json={"campaign": one, "ids": [created["id"]], "to_campaign_id": two})
        made = (await http.post("webhooks", json={"target_hook_url": "https://x.test", "campaign": one})).json()
        interest = {"lead_email": "p3@acme.test", "interest_value": 2}
        spoken.hook.status, spoken.hook.timestamp_error = -1, "2026-03-01T12:00:00.000Z"
        calls: list[tuple[int, str, str, Any]] = [
            *((200, "POST", "leads/list", body) for body in ({"limit": 100}, {}, {"distinct_contacts": True})),
            (400, "POST", "leads/list", {"filter": "REPLIED"}),
            (200, "PATCH", f"leads/{created['id']}", {"first_name": "A", "custom_variables": {"x": 1}}),
            (400, "PATCH", f"leads/{created['id']}", {"first_name": 1}),
            (202, "POST", "leads/update-interest-status", interest),
            (400, "POST", "leads/update-interest-status", interest | {"lead_email": "nobody@x.test"}),
            (200, "GET", f"background-jobs/{moved.json()['id']}", None),
            (404, "GET", f"background-jobs/{'0' * 24}", None),
            (200, "PATCH", f"webhooks/{made['id']}", {"name": "x", "event_type": "reply_received"}),
            (200, "POST", "block-lists-entries", {"bl_value": "x@y.test"}),
            (400, "POST", "block-lists-entries", {}),
            (200, "DELETE", f"block-lists-entries/{blocked.id}", None),
            (404, "DELETE", f"block-lists-entries/{blocked.id}", None),
            (400, "POST", "webhooks", {}),
            (400, "POST", "webhooks", {"target_hook_url": "x"}),
            (200, "POST", f"webhooks/{made['id']}/test", None),
            (200, "GET", "webhooks", None),
            (200, "POST", f"webhooks/{hook.id}/resume", None),
            (200, "DELETE", f"webhooks/{made['id']}", None),
            (404, "DELETE", f"webhooks/{made['id']}", None),
            (200, "DELETE", f"leads/{created['id']}", None),
            (404, "DELETE", f"leads/{created['id']}", None),
        ]
        for status, method, path, body in calls:
            answer = (
                await http.request(method, path, json=body) if body is not None else await http.request(method, path)
            )
            assert answer.status_code == status, (method, path, answer.text)
        spoken.clock.time += timedelta(minutes=5)
        assert (await http.get(f"background-jobs/{moved.json()['id']}")).json()["status"] == "success"
        for _ in range(21):
            answer = await http.get("emails")
        assert answer.status_code == 429
        spoken.world.switches.webhooks_in_plan = False
        assert (await http.post("webhooks", json={"target_hook_url": "https://x.test"})).status_code == 402
        assert (await http.get("campaigns", headers={"Authorization": "Bearer wrong"})).status_code == 401
        store.add_key("narrow", scopes=["emails:read"])
        assert (await http.get("campaigns", headers={"Authorization": "Bearer narrow"})).status_code == 403
        assert (await http.post("leads/list", content=b"x", headers={"Content-Type": "text/csv"})).status_code == 415
        spoken.world.switches.omit_nulls = False
        spoken.world.switches.empty_status_summary = False
        spoken.world.switches.bare_emails = False
        store.send(lead)
        for path in (f"leads/{lead}", "webhooks", "webhook-events", f"emails/{mail}"):
            assert (await http.get(path)).status_code == 200, path


async def test_everything_our_clients_can_be_asked_is_held_against_the_document(
    spoken: Spoken, limiter: FakeLimiter, rng: random.Random, guard: Guard
) -> None:
    """A method that is not in `use_our_clients` would go unchecked."""
    await use_our_clients(spoken, limiter, rng, guard)

    names = [module.name for module in pkgutil.walk_packages(app.providers.__path__, "app.providers.")]
    modules = [importlib.import_module(name) for name in names if ".instantly" in name]
    methods = {
        f"{kind.__name__}.{name}"
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
        for name, method in vars(kind).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert methods - spoken.asked == {"Instantly.update", "Instantly.create"}  # they always refuse


async def test_every_endpoint_of_the_sandbox_is_held_against_the_document(spoken: Spoken) -> None:
    await use_the_sandbox(spoken)

    good = {(e.request.method, e.request.url.path) for e in spoken.exchanges if e.response.is_success}
    missed = [
        (method, path)
        for method, path in spoken.world.endpoints
        if not any(m == method and re.fullmatch(re.sub(r"{id}", "[^/]+", path), p) for m, p in good)
    ]
    assert missed == []


@pytest.fixture(scope="module")
def document() -> Document:
    if not PUBLISHED.exists():
        pytest.skip(f"not run: the OpenAPI document of Instantly is not at {PUBLISHED}")
    return Document(PUBLISHED)


async def test_requests_and_answers_are_as_instantly_publishes_them(
    document: Document, spoken: Spoken, limiter: FakeLimiter, rng: random.Random, guard: Guard
) -> None:
    await use_our_clients(spoken, limiter, rng, guard)
    asked = list(spoken.exchanges)
    await use_the_sandbox(spoken)

    findings = {one for exchange in asked for one in document.findings_of_request(exchange.request)}
    findings |= {one for exchange in spoken.exchanges for one in document.findings_of_response(exchange)}

    unexplained = sorted(one for one in findings if not any(re.fullmatch(deviation, one) for deviation in DEVIATIONS))
    unused = [deviation for deviation in DEVIATIONS if not any(re.fullmatch(deviation, one) for one in findings)]
    assert unexplained == [], "\n".join(unexplained)
    assert unused == []


async def test_a_wrong_request_and_a_wrong_answer_are_noticed(document: Document) -> None:
    """The comparison itself: each line is something it must not let pass."""
    base = "https://api.instantly.ai/api/v2"
    lead = httpx.Request("DELETE", f"{base}/leads/00000000-0000-4000-8000-000000000000")

    def of(method: str, path: str, **more: Any) -> list[str]:
        return list(document.findings_of_request(httpx.Request(method, base + path, **more)))

    assert of("POST", "/leads/list", json={"campaign_id": "x"})
    assert of("POST", "/leads/list", json={"limit": 101})
    assert of("GET", "/emails", params={"thread_id": "x"})
    assert of("GET", "/emails", params={"email_type": "any"})
    assert of("GET", "/leads/none")
    assert of("GET", "/leads/bulk/none")
    assert of("POST", "/webhooks")
    assert of("DELETE", lead.url.path.removeprefix("/api/v2"), headers={"Content-Type": "application/json"})
    assert not list(document.findings_of_request(lead))
    for response in (httpx.Response(200, json={"id": 1}), httpx.Response(418), httpx.Response(200, text="<html>")):
        assert list(document.findings_of_response(Exchange(lead, response)))


def test_every_deviation_names_its_section() -> None:
    assert [why for why in DEVIATIONS.values() if not re.match(r"§\d(\.\d)? ", why)] == []
