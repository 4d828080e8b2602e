"""The oddities of Instantly, seen through HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.clock import VirtualClock
from app.sandbox.core import Fault
from app.sandbox.instantly import InstantlySandbox
from tests.sandbox.instantly.conftest import START


async def list_leads(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await api.post("/api/v2/leads/list", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def every_id(api: httpx.AsyncClient, **body: Any) -> list[str]:
    ids: list[str] = []
    page = await list_leads(api, **body)
    while page["items"]:
        ids += [item["id"] for item in page["items"]]
        page = await list_leads(api, **body, starting_after=page["next_starting_after"])
    return ids


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer nope"}])
async def test_an_unknown_key_is_a_401_in_the_canonical_shape(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await api.get("/api/v2/workspaces/current", headers=headers)

    assert answer.status_code == 401
    assert {"statusCode", "error", "message"} == set(answer.json())


async def test_a_key_without_the_scope_is_a_403(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    world.store.add_key("narrow", scopes=["campaigns:read"])
    narrow = {"Authorization": "Bearer narrow"}

    assert (await api.get("/api/v2/campaigns", headers=narrow)).status_code == 200
    assert (await api.post("/api/v2/leads/list", json={}, headers=narrow)).status_code == 403


async def test_nulls_are_left_out_and_required_fields_stay(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    lead = world.store.add_lead(campaign, email="ada@acme.test", first_name="Ada", payload={"Tier": "A"})

    shown = (await api.get(f"/api/v2/leads/{lead.id}")).json()

    assert shown == {
        "id": lead.id,
        "timestamp_created": "2026-11-02T09:00:00.000Z",
        "timestamp_updated": "2026-11-02T09:00:00.000Z",
        "organization": world.store.workspace_id,
        "company_domain": "acme.test",
        "status": 1,
        "email_open_count": 0,
        "email_reply_count": 0,
        "email_click_count": 0,
        "status_summary": {},
        "campaign": campaign,
        "email": "ada@acme.test",
        "first_name": "Ada",
        "upload_method": "manual",
        "payload": {"email": "ada@acme.test", "firstName": "Ada", "Tier": "A"},
    }
    world.switches.omit_nulls = False
    assert (await api.get(f"/api/v2/leads/{lead.id}")).json()["last_name"] is None


async def test_the_last_page_and_the_empty_page_carry_a_cursor(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    for n in range(12):
        world.store.add_lead(campaign, email=f"p{n}@acme.test")

    first = await list_leads(api, campaign=campaign)
    last = await list_leads(api, campaign=campaign, starting_after=first["next_starting_after"])
    empty = await list_leads(api, campaign=campaign, starting_after=last["next_starting_after"])

    assert [len(page["items"]) for page in (first, last, empty)] == [10, 2, 0]
    assert empty["next_starting_after"] == last["next_starting_after"] == last["items"][-1]["id"]
    assert await list_leads(api, limit=101) == {"items": []}
    world.switches.oversized_limit = "refuse"
    assert (await api.post("/api/v2/leads/list", json={"limit": 101})).status_code == 400


async def test_old_and_new_ids_are_listed_in_one_order_and_new_leads_land_at_the_end(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    made = [world.store.add_lead(campaign, email=f"p{n}@acme.test", old_id=n % 3 == 0).id for n in range(300)]
    clock.advance(1)
    newest = world.store.add_lead(campaign, email="new@acme.test").id

    listed = await every_id(api, campaign=campaign, limit=100)

    assert listed == sorted([*made, newest])
    assert {"4", "7"} == {lead_id[14] for lead_id in listed}
    assert newest == max(lead_id for lead_id in listed if lead_id[14] == "7")


async def test_distinct_contacts_pages_by_address(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    one, two = world.store.add_campaign("one").id, world.store.add_campaign("two").id
    for email in ("Cy@acme.test", "bo@acme.test", "ada@acme.test"):
        world.store.add_lead(one, email=email)
        world.store.add_lead(two, email=email)

    first = await list_leads(api, distinct_contacts=True, limit=2)
    rest = await list_leads(api, distinct_contacts=True, limit=2, starting_after=first["next_starting_after"])

    assert first["next_starting_after"] == "bo@acme.test"
    assert [i["email"] for i in first["items"] + rest["items"]] == ["ada@acme.test", "bo@acme.test", "Cy@acme.test"]
    assert len(await every_id(api, in_campaign=True)) == 6


async def test_a_wrong_filter_key_returns_the_whole_workspace(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    one, two = world.store.add_campaign("one").id, world.store.add_campaign("two").id
    world.store.add_lead(one, email="a@acme.test")
    world.store.add_lead(two, email="b@acme.test")

    assert len((await list_leads(api, campaign=one))["items"]) == 1
    assert len((await list_leads(api, campaign_id=one, lt_interest_status=1))["items"]) == 2
    orphan = (await api.post("/api/v2/leads", json={"campaign_id": one, "email": "c@acme.test"})).json()
    assert "campaign" not in orphan


@pytest.mark.parametrize(
    ("body", "emails"),
    [
        ({"filter": "FILTER_VAL_REPLIED"}, ["rep@acme.test"]),
        ({"filter": "FILTER_VAL_OPENED_NO_REPLY"}, ["open@acme.test"]),
        ({"filter": "FILTER_LEAD_INTERESTED"}, ["rep@acme.test"]),
        ({"contacts": ["OPEN@acme.test", "gone@acme.test"]}, ["open@acme.test"]),
        ({"search": "Grace H"}, ["open@acme.test"]),
        ({"in_campaign": False}, ["loose@acme.test"]),
    ],
)
async def test_filters_narrow_the_list(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, body: dict[str, Any], emails: list[str]
) -> None:
    opened = world.store.add_lead(campaign, email="open@acme.test", first_name="Grace", last_name="Hopper")
    replied = world.store.add_lead(campaign, email="rep@acme.test")
    world.store.add_lead(None, email="loose@acme.test")
    world.store.open(opened.id)
    world.store.reply(replied.id, positive=True)

    assert emails == [item["email"] for item in (await list_leads(api, **body))["items"]]
    assert (await api.post("/api/v2/leads/list", json={"filter": "REPLIED"})).status_code == 400


async def test_ids_and_excluded_ids_select_rows(api: httpx.AsyncClient, world: InstantlySandbox, campaign: str) -> None:
    ids = [world.store.add_lead(campaign, email=f"p{n}@acme.test").id for n in range(4)]

    assert ids[1:3] == await every_id(api, ids=[ids[2], ids[1], "unknown"])
    assert ids[2:] == await every_id(api, excluded_ids=ids[:2])


async def test_creating_an_address_the_campaign_has_returns_the_existing_lead(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    other = world.store.add_campaign("other").id
    first = (await api.post("/api/v2/leads", json={"campaign": campaign, "email": "Ada@acme.test"})).json()
    clock.advance(60)

    again = await api.post("/api/v2/leads", json={"campaign": campaign, "email": "ada@ACME.test", "first_name": "X"})
    elsewhere = (await api.post("/api/v2/leads", json={"campaign": other, "email": "ada@acme.test"})).json()
    skipped = {"campaign": other, "email": "ADA@acme.test", "skip_if_in_workspace": True}

    assert (200, first) == (again.status_code, again.json())
    assert elsewhere["id"] != first["id"]
    assert (await api.post("/api/v2/leads", json=skipped)).json() == elsewhere
    found = (await api.get("/api/v2/campaigns/search-by-contact", params={"search": "ADA@acme.test"})).json()
    assert {campaign, other} == {item["id"] for item in found["items"]}


async def test_a_full_plan_refuses_creation(api: httpx.AsyncClient, world: InstantlySandbox, campaign: str) -> None:
    world.switches.lead_limit = 0

    answer = await api.post("/api/v2/leads", json={"campaign": campaign, "email": "a@acme.test"})

    assert (answer.status_code, answer.json()["message"]) == (402, "Lead limit reached. Remaining uploads: 0")


async def test_a_patch_changes_fields_clears_with_null_and_replaces_custom_variables(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    lead = world.store.add_lead(campaign, email="a@acme.test", phone="06 1", payload={"Tier": "A", "functie": "CEO"})
    url = f"/api/v2/leads/{lead.id}"
    change = {"first_name": "Ada", "phone": None, "custom_variables": {"Tier": "B"}, "status": -1, "email": "x@y.test"}

    shown = (await api.patch(url, json=change)).json()

    assert (shown["first_name"], shown["status"], shown["email"]) == ("Ada", 1, "a@acme.test")
    assert shown["payload"] == {"email": "a@acme.test", "firstName": "Ada", "Tier": "B"}
    assert (await api.patch(url, json={"first_name": 5})).json()["message"] == "body/first_name must be string,null"
    world.switches.patch_replaces_custom = False
    assert (await api.patch(url, json={"custom_variables": {"x": 1}})).json()["payload"]["Tier"] == "B"
    world.switches.refuse_unknown_keys = True
    assert (await api.patch(url, json={"status": 3})).status_code == 400


async def test_deleting_and_adding_again_makes_a_new_id(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    lead = world.store.add_lead(campaign, email="a@acme.test")

    gone = await api.delete(f"/api/v2/leads/{lead.id}")
    again = await api.delete(f"/api/v2/leads/{lead.id}")

    assert (200, lead.id, 404) == (gone.status_code, gone.json()["id"], again.status_code)
    assert lead.id != world.store.add_lead(campaign, email="a@acme.test").id
    assert [(lead.id,), ()] == [call.wrote for call in world.sandbox.calls]


async def test_json_without_a_body_is_refused(api: httpx.AsyncClient, world: InstantlySandbox, campaign: str) -> None:
    lead = world.store.add_lead(campaign, email="a@acme.test")
    url, as_json = f"/api/v2/leads/{lead.id}", {"Content-Type": "application/json"}

    assert (await api.delete(url, headers=as_json)).status_code == 400
    assert (await api.post("/api/v2/leads/list")).json()["message"] == "body must be object"
    assert (await api.post("/api/v2/leads/list", content=b"{", headers=as_json)).status_code == 400
    assert (await api.delete(url, headers=as_json)).status_code == 400
    assert (await api.delete(url)).status_code == 200


async def test_the_edge_refuses_urllib_where_switched_on(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    world.switches.refuse_urllib = True

    answer = await api.get("/api/v2/campaigns", headers={"User-Agent": "Python-urllib/3.11"})

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")


async def test_an_interest_update_is_accepted_now_and_visible_later(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    lead = world.store.add_lead(campaign, email="Ada@acme.test")
    url = "/api/v2/leads/update-interest-status"

    answer = await api.post(url, json={"lead_email": "ada@acme.test", "interest_value": 2, "campaign_id": campaign})
    at_once = (await api.get(f"/api/v2/leads/{lead.id}")).json()
    clock.advance(5)
    later = (await api.get(f"/api/v2/leads/{lead.id}")).json()

    assert answer.status_code == 202
    assert (at_once.get("lt_interest_status"), later["lt_interest_status"]) == (None, 2)
    assert later["timestamp_updated"] == at_once["timestamp_updated"]
    wrong = await api.post(url, json={"lead_email": "nobody@acme.test", "interest_value": None})
    assert (wrong.status_code, wrong.json()) == (400, {"error": "Invalid lead email"})


async def test_a_move_is_a_job_and_keeps_the_id(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    other = world.store.add_campaign("other").id
    lead, taken = world.store.add_lead(campaign, email="a@a.test"), world.store.add_lead(campaign, email="b@a.test")
    world.store.add_lead(other, email="B@a.test")

    job = (await api.post("/api/v2/leads/move", json={"campaign": campaign, "to_campaign_id": other})).json()
    seen = [job["status"]]
    for _ in range(2):
        clock.advance(5)
        seen.append((await api.get(f"/api/v2/background-jobs/{job['id']}")).json()["status"])

    assert seen == ["pending", "in-progress", "success"]
    assert (other, campaign) == (world.store.leads[lead.id].campaign, world.store.leads[taken.id].campaign)
    same = {"campaign": campaign, "to_campaign_id": campaign}
    assert (await api.post("/api/v2/leads/move", json=same)).status_code == 400


async def test_the_sliding_windows_answer_429(
    api: httpx.AsyncClient, world: InstantlySandbox, clock: VirtualClock
) -> None:
    for _ in range(20):
        assert (await api.get("/api/v2/emails")).status_code == 200
    refused = await api.get("/api/v2/emails")

    assert (refused.status_code, refused.json()["message"]) == (429, "Rate limit exceeded")
    assert "retry-after" not in refused.headers
    world.switches.retry_after = True
    clock.advance(30)
    assert (await api.get("/api/v2/emails")).headers["retry-after"] == "30"
    assert [(await api.get("/api/v2/campaigns")).status_code for _ in range(101)] == [200] * 100 + [429]
    world.switches.rate_limits = False
    assert (await api.get("/api/v2/emails")).status_code == 200


async def test_engagement_leaves_timestamp_updated_alone(
    world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    store = world.store
    lead = store.add_lead(campaign, email="a@acme.test")
    clock.advance(3600)
    for act in (store.send, store.open, store.click, store.reply):
        act(lead.id)

    shown = lead.render()

    assert shown["timestamp_updated"] == shown["timestamp_created"]
    assert tuple(shown[f"email_{kind}_count"] for kind in ("open", "click", "reply")) == (1, 1, 1)
    assert (shown["email_opened_step"], shown["email_replied_step"], shown["status"]) == (0, 0, 3)
    assert "2026-11-02T10:00:00.000Z" == shown["timestamp_last_contact"] == shown["timestamp_last_touch"]
    assert "lt_interest_status" not in shown


async def test_mails_show_mailbox_step_and_label_but_no_lead_id(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    lead = world.store.add_lead(campaign, email="a@acme.test", first_name="Ada")
    world.store.send(lead.id, step=1)
    clock.advance(60)
    world.store.reply(lead.id, positive=False)
    clock.advance(60)
    world.store.bounce(lead.id)

    async def mails(**params: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await api.get("/api/v2/emails", params=params)).json()["items"]
        return items

    newest_first, received = await mails(), await mails(email_type="received", sort_order="asc", lead="A@acme.test")
    reply = received[0]

    assert [mail["from_address_email"] for mail in newest_first] == [
        "mailer-daemon@acme.test",
        "a@acme.test",
        "max@sender.test",
    ]
    assert ("0_1_0", "max@sender.test", -1, campaign) == (
        reply["step"],
        reply["eaccount"],
        reply["i_status"],
        reply["campaign_id"],
    )
    assert {"lead_id", "is_auto_reply"}.isdisjoint(reply)
    assert len({mail["thread_id"] for mail in newest_first}) == 1
    assert newest_first[:1] == await mails(min_timestamp_created="2026-11-02T09:02:00.000Z")
    assert newest_first[:1] == await mails(
        min_timestamp_created="2026-11-02T10:02:00+01:00", company_domain="ACME.test"
    )
    assert newest_first[1:] == await mails(max_timestamp_created="2026-11-02T09:01:30Z")
    assert newest_first[2:] == await mails(is_unread="false") == await mails(email_type="sent")
    assert await mails(scheduled_only="true") == []
    for wrong in ({"email_type": "ue_type"}, {"sort_order": "up"}, {"min_timestamp_created": "soon"}):
        assert (await api.get("/api/v2/emails", params=wrong)).status_code == 400
    assert newest_first[1:2] == await mails(limit="1", starting_after=newest_first[0]["id"])
    assert (await api.get(f"/api/v2/emails/{reply['id']}")).json() == reply


async def test_who_is_on_the_block_list_is_skipped(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    url, store = "/api/v2/block-lists-entries", world.store
    made = [(await api.post(url, json={"bl_value": value})).json() for value in ("acme.test", "Cy@x.test")]
    leads = [store.add_lead(campaign, email=email).id for email in ("Ada@ACME.test", "cy@X.test", "bob@x.test")]
    for lead in leads:
        store.send(lead)

    assert [store.leads[lead].status for lead in leads] == [-3, -3, 1]
    assert [entry["is_domain"] for entry in made] == [True, False]
    assert made[0] == (await api.post(url, json={"bl_value": "ACME.test"})).json()
    assert made == (await api.get(url)).json()["items"]
    assert made[:1] == (await api.get(url, params={"domains_only": "true", "search": "acme"})).json()["items"]
    assert made[0] == (await api.delete(f"{url}/{made[0]['id']}")).json()
    assert (await api.get(f"{url}/{made[0]['id']}")).status_code == 404


async def test_uncertain_facts_of_leads_can_be_the_other_way_round(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str, clock: VirtualClock
) -> None:
    switches, store = world.switches, world.store
    switches.ordered_ids, switches.every_engagement_touches, switches.contacted_from_mailbox = False, True, True
    lead = store.add_lead(campaign, email="ada@acme.test")
    store.send(lead.id)
    clock.advance(60)
    store.open(lead.id)

    assert lead.id[14] == "4"
    assert (lead.last_contacted_from, lead.timestamp_last_touch) == ("max@sender.test", lead.timestamp_last_open)
    switches.refuse_httpx = True
    assert (await api.get("/api/v2/campaigns", headers={"User-Agent": "python-httpx/0.28"})).status_code == 403


async def test_analytics_are_empty_before_the_first_send(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    lead = world.store.add_lead(campaign, email="a@acme.test")
    url = "/api/v2/campaigns/analytics"
    assert (await api.get(url)).json() == []

    world.store.send(lead.id)
    world.store.open(lead.id)
    world.store.unsubscribe(lead.id)
    row = (await api.get(url, params={"ids": [campaign]})).json()[0]

    assert tuple(
        row[key] for key in ("leads_count", "emails_sent_count", "open_count", "unsubscribed_count", "reply_count")
    ) == (1, 1, 1, 1, 0)
    wrong = await api.get(url, params={"start_date": "2026-02-02", "end_date": "2026-02-01"})
    assert (400, {"message"}) == (wrong.status_code, set(wrong.json()))


async def test_campaigns_are_listed_with_their_oddities(api: httpx.AsyncClient, world: InstantlySandbox) -> None:
    odd = world.store.add_campaign("draft", status=0, schedule={}, email_list=None)
    world.store.add_campaign("live")

    drafts = (await api.get("/api/v2/campaigns", params={"status": "0"})).json()["items"]

    assert [(odd.id, {})] == [(item["id"], item["campaign_schedule"]) for item in drafts]
    assert "email_list" not in drafts[0]
    assert (await api.get(f"/api/v2/campaigns/{odd.id}")).json() == drafts[0]
    assert (await api.get("/api/v2/campaigns/unknown")).json()["message"] == "Resource not found"


async def test_a_prospect_can_act_through_the_control_endpoint(
    api: httpx.AsyncClient, world: InstantlySandbox, campaign: str
) -> None:
    other = world.store.add_campaign("other").id
    lead = world.store.add_lead(campaign, email="Ada@acme.test")
    ada = {"lead": "ada@acme.test", "campaign": campaign}
    acts: list[dict[str, Any]] = [
        {"do": "send", "step": 1},
        {"do": "open"},
        {"do": "click"},
        {"do": "reply", "positive": True, "text": "Ja graag"},
        {"do": "interest", "value": 2},
        {"do": "edit", "fields": {"first_name": "Ada"}},
        {"do": "unsubscribe"},
        {"do": "bounce"},
        {"do": "move", "to": other},
    ]

    answers = [await api.post("/_sandbox/act", json=ada | act) for act in acts]

    assert [200] * len(acts) == [answer.status_code for answer in answers]
    shown = answers[-1].json()["leads"][0]
    assert (lead.id, other, 2, -1) == (shown["id"], shown["campaign"], shown["lt_interest_status"], shown["status"])
    assert (await api.post("/_sandbox/act", json={"lead": lead.id, "do": "dance"})).status_code == 422
    assert (await api.post("/_sandbox/act", json={"lead": lead.id, "do": "delete"})).status_code == 200
    assert (await api.post("/_sandbox/act", json=ada | {"do": "open"})).status_code == 404
    assert world.sandbox.calls == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [("rate_limit", 429), ("quota", 402), ("status", 503), ("html", 502), ("iterator", 400), ("status_after", 503)],
)
async def test_faults_are_worded_like_instantly(
    api: httpx.AsyncClient, world: InstantlySandbox, kind: Any, status: int
) -> None:
    world.sandbox.faults.add(Fault(kind=kind, path="/campaigns", count=1, retry_after=2.0))

    assert status == (await api.get("/api/v2/campaigns")).status_code
    assert (await api.get("/api/v2/campaigns")).status_code == 200


async def test_the_same_calls_give_the_same_ids() -> None:
    def ids() -> list[str]:
        world = InstantlySandbox(clock=VirtualClock(START), seed=5)
        campaign = world.store.add_campaign("x")
        leads = [world.store.add_lead(campaign.id, email=f"{n}@a.test", old_id=n == 1).id for n in range(3)]
        return [campaign.id, *leads, world.store.workspace_id]

    assert ids() == ids()


async def test_a_page_of_a_large_workspace_is_found_without_a_scan(world: InstantlySandbox, campaign: str) -> None:
    world.switches.rate_limits = False
    for n in range(20_000):
        world.store.add_lead(campaign, email=f"p{n}@acme.test")
    looked_up = 0
    leads = world.store.leads

    class Counting(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            nonlocal looked_up
            looked_up += 1
            return super().__getitem__(key)

    world.store.leads = Counting(leads)
    transport = httpx.ASGITransport(app=world.app)
    headers = {"Authorization": "Bearer key-test"}
    async with httpx.AsyncClient(transport=transport, base_url="http://instantly.test", headers=headers) as client:
        page = await list_leads(client, campaign=campaign, limit=100, starting_after=sorted(leads)[15_000])

    assert (len(page["items"]), looked_up) == (100, 100)
