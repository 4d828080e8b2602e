"""What Instantly does beside listing leads, against its known oddities: rows, webhooks, the delivery log, mails."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
import respx

from app.providers.base import Guard, RateLimited, Record, Refused, Rejected, Resource, Uncertain
from app.providers.http import Funnel
from app.providers.instantly.funnel import instantly_funnel
from app.providers.instantly.hooks import InstantlyHooks
from app.providers.instantly.mails import InstantlyMails
from app.providers.instantly.rows import InstantlyRows
from app.providers.outreach import Hook

from .conftest import FakeClock, FakeLimiter

KEY = "CANARYb64key=="
API = "https://api.instantly.ai/api/v2"
SECRET = "canary-of-the-hook"
TARGET = "https://leads.example.test/api/webhooks/instantly/all"
SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def funnel(client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random) -> Funnel:
    return instantly_funnel(client=client, api_key=KEY, limiter=limiter, clock=clock, rng=rng)


@pytest.fixture
def hooks(funnel: Funnel) -> InstantlyHooks:
    return InstantlyHooks(funnel, public_url="https://leads.example.test/", secret=SECRET)


@pytest.fixture
def mails(funnel: Funnel) -> InstantlyMails:
    return InstantlyMails(funnel, api_key=KEY)


def items(*found: Any, after: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": list(found)} | ({"next_starting_after": after} if after else {}))


class TestRows:
    async def test_a_row_is_deleted_without_a_body_and_without_a_content_type(
        self, funnel: Funnel, web: respx.MockRouter, guard: Guard
    ) -> None:
        route = web.delete(f"{API}/leads/l1").mock(return_value=httpx.Response(200, json={"id": "l1"}))

        await InstantlyRows(funnel).remove("l1", guard)

        request = route.calls[0].request
        assert (request.content, "content-type" in request.headers) == (b"", False)

    async def test_a_row_that_is_gone_is_removed_and_anything_else_is_said(
        self, funnel: Funnel, web: respx.MockRouter, guard: Guard
    ) -> None:
        web.delete(f"{API}/leads/l1").mock(
            side_effect=[
                httpx.Response(404, json={"statusCode": 404, "error": "Not Found", "message": "Resource not found"}),
                httpx.Response(403, json={"error": "Forbidden", "message": "Missing scope"}),
                httpx.Response(400, json={"error": "Bad Request", "message": "no"}),
                httpx.Response(502, text="<html>"),
            ]
        )
        rows = InstantlyRows(funnel)

        await rows.remove("l1", guard)
        with pytest.raises(Refused, match="leads:delete"):
            await rows.remove("l1", guard)
        with pytest.raises(Rejected):
            await rows.remove("l1", guard)
        with pytest.raises(Uncertain):
            await rows.remove("l1", guard)

    @pytest.mark.parametrize(("interest", "code"), [("won", 4), ("out_of_office", 0), ("no_show", -4), (None, None)])
    async def test_an_interest_is_asked_for_by_its_code_and_shows_in_the_row(
        self, funnel: Funnel, web: respx.MockRouter, guard: Guard, interest: str | None, code: int | None
    ) -> None:
        route = web.post(f"{API}/leads/update-interest-status").mock(
            return_value=httpx.Response(202, json={"message": "submitted"})
        )
        rows = InstantlyRows(funnel)

        await rows.label("Ann@berg.test", "c1", interest, guard)

        sent = {"lead_email": "Ann@berg.test", "campaign_id": "c1", "interest_value": code}
        assert json.loads(route.calls[0].request.content) == sent
        raw = {} if code is None else {"lt_interest_status": code}
        assert rows.shows(Record(key="k", remote_id="l1", cells={}, raw=raw), interest)
        assert not rows.shows(Record(key="k", remote_id="l1", cells={}, raw={"lt_interest_status": 9}), interest)


class TestHooks:
    def hook(self, hook_id: str, **more: Any) -> dict[str, Any]:
        return {
            "id": hook_id,
            "target_hook_url": TARGET,
            "event_type": "all_events",
            "timestamp_created": "2026-01-01T00:00:00.000Z",
            "headers": {"X-Webhook-Secret": SECRET},
        } | more

    async def test_ours_are_told_from_everybody_elses(self, hooks: InstantlyHooks, web: respx.MockRouter) -> None:
        others = [
            self.hook("o1", target_hook_url="https://elsewhere.test/x"),
            self.hook("o2", event_type="reply_received"),
            self.hook("o3", campaign="c1"),
            {"id": "o4"},
            "junk",
        ]
        failed = self.hook("h2", status=-1, timestamp_error="2026-03-01T10:00:00.000Z", headers=None)
        newer = self.hook("h1", status=1, timestamp_created="2026-02-01T00:00:00.000Z", campaign=None)
        web.get(f"{API}/webhooks", params={"starting_after": "x"}).mock(return_value=items(newer, after="x"))
        web.get(f"{API}/webhooks").mock(return_value=items(*others, failed, after="x"))

        assert await hooks.hooks() == [
            Hook(id="h2", is_active=False, failed_at=datetime(2026, 3, 1, 10, tzinfo=UTC), is_right=False),
            Hook(id="h1", is_active=True, failed_at=None, is_right=True),
        ]

    async def test_a_hook_is_made_mended_resumed_and_removed(
        self, hooks: InstantlyHooks, web: respx.MockRouter, guard: Guard
    ) -> None:
        made = web.post(f"{API}/webhooks").mock(return_value=httpx.Response(200, json={"id": "h1"}))
        mended = web.patch(f"{API}/webhooks/h1").mock(return_value=httpx.Response(200, json={"id": "h1"}))
        resumed = web.post(f"{API}/webhooks/h1/resume").mock(return_value=httpx.Response(200, json={"id": "h1"}))
        removed = web.delete(f"{API}/webhooks/h1").mock(return_value=httpx.Response(404, json={"message": "gone"}))

        await hooks.create(guard)
        await hooks.mend("h1", guard)
        await hooks.resume("h1", guard)
        await hooks.delete("h1", guard)

        headers = {"X-Webhook-Secret": SECRET}
        wanted = {"target_hook_url": TARGET, "event_type": "all_events", "name": "Leadkeeper", "headers": headers}
        assert json.loads(made.calls[0].request.content) == wanted
        assert json.loads(mended.calls[0].request.content) == {"headers": headers}
        assert [route.calls[0].request.content for route in (resumed, removed)] == [b"", b""]

    async def test_the_secret_is_in_no_message(
        self, hooks: InstantlyHooks, web: respx.MockRouter, guard: Guard
    ) -> None:
        web.post(f"{API}/webhooks").mock(return_value=httpx.Response(400, json={"message": f"bad {SECRET}"}))

        with pytest.raises(Rejected) as raised:
            await hooks.create(guard)

        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize(("url", "secret"), [(None, SECRET), ("https://x.test", None)])
    def test_without_an_address_or_a_secret_there_is_no_target(
        self, funnel: Funnel, url: str | None, secret: str | None
    ) -> None:
        assert InstantlyHooks(funnel, public_url=url, secret=secret).target is None

    async def test_the_log_keeps_attempts_to_reach_us_whatever_they_lack(
        self, hooks: InstantlyHooks, web: respx.MockRouter
    ) -> None:
        ours = {"webhook_url": f"{TARGET}?secret=x", "timestamp_created": "2026-03-01T10:00:00.000Z"}
        rows = [
            ours | {"success": True, "payload": {"event_type": "email_sent"}, "lead_email": "a@x.test"},
            ours | {"success": False, "payload": '{"event_type": "email_opened"}'},
            {"webhook_url": "https://leads.example.test/api/webhooks/instantly/c1", "payload": None},
            ours | {"timestamp_created_date": "2026-02-27", "payload": {"a": 1}},
            {"webhook_url": "https://elsewhere.test/hook", "payload": {"a": 1}},
            {"payload": {"a": 1}},
            7,
        ]
        route = web.get(f"{API}/webhook-events").mock(return_value=items(*rows, after="e9"))

        page = await hooks.delivered(date(2026, 3, 1), None)

        asked = dict(route.calls[0].request.url.params)
        assert asked == {"from": "2026-03-01", "to": "2026-03-01", "limit": "100"}
        assert [(one.path, one.is_success, one.payload) for one in page.attempts] == [
            ("all", True, {"event_type": "email_sent"}),
            ("all", False, {"event_type": "email_opened"}),
            ("c1", False, None),
        ]
        assert page.next == "e9"
        assert (await hooks.delivered(date(2026, 3, 1), "e9")).next is None

    async def test_the_totals_of_days_are_read_in_one_call(self, hooks: InstantlyHooks, web: respx.MockRouter) -> None:
        rows = [
            {"date": "2026-03-01", "total_events": 7, "successful_events": 5, "failed_events": 2},
            {"date": "2026-03-02T00:00:00.000Z", "total_events": 1},
            {"date": None},
        ]
        web.get(f"{API}/webhook-events/summary-by-date").mock(return_value=items(*rows))

        found = await hooks.totals(date(2026, 3, 1), date(2026, 3, 2))

        assert found == {date(2026, 3, 1): (7, 2), date(2026, 3, 2): (1, 0)}


class TestMails:
    def mail(self, mail_id: str, **more: Any) -> dict[str, Any]:
        return {
            "id": mail_id,
            "timestamp_created": "2026-03-01T12:30:00.000Z",
            "ue_type": 2,
            "eaccount": "max@sender.test",
            "from_address_email": "ann@berg.test",
            "lead": "Ann@berg.test",
            "campaign_id": "c1",
            "organization_id": "w1",
            "step": "0_1_0",
            "subject": "Re: question",
            "body": {"text": "Yes!", "html": "<p>Yes!</p>"},
        } | more

    async def test_a_reply_is_told_as_its_webhook_would_tell_it(
        self, mails: InstantlyMails, web: respx.MockRouter
    ) -> None:
        route = web.get(f"{API}/emails").mock(return_value=items(self.mail("m1"), after="m1"))

        page = await mails.received(SINCE, None)

        assert dict(route.calls[0].request.url.params) == {
            "email_type": "received",
            "sort_order": "asc",
            "min_timestamp_created": "2026-03-01T12:00:00.000Z",
            "limit": "100",
        }
        assert page.replies == [
            {
                "event_type": "reply_received", "timestamp": "2026-03-01T12:30:00.000Z", "workspace": "w1",
                "campaign_id": "c1", "campaign": "c1", "lead_email": "Ann@berg.test",
                "email_account": "max@sender.test", "email_id": "m1", "reply_subject": "Re: question",
                "reply_text": "Yes!", "reply_html": "<p>Yes!</p>", "step": 2, "variant": 1,
            }
        ]  # fmt: skip
        assert page.next is None

    @pytest.mark.parametrize(
        ("more", "event_type"),
        [
            ({"is_auto_reply": 1}, "auto_reply_received"),
            ({"is_auto_reply": 0, "subject": "Out of office"}, "reply_received"),
            ({"i_status": 0}, "auto_reply_received"),
            ({"i_status": 1}, "reply_received"),
            ({"subject": "Automatic reply: question"}, "auto_reply_received"),
            ({"subject": "Automatisch antwoord: vraag"}, "auto_reply_received"),
            ({"subject": "Re: Auto-reply"}, "auto_reply_received"),
            ({"subject": "Autos for your fleet"}, "reply_received"),
            ({"subject": None, "body": None, "step": "step-1"}, "reply_received"),
            ({"from_address_email": "MAILER-DAEMON@mx.test"}, None),
            ({"from_address_email": "postmaster@mx.test"}, None),
            ({"lead": None, "campaign_id": None}, None),
        ],
    )
    async def test_automatic_replies_bounces_and_private_mail_are_told_apart(
        self, mails: InstantlyMails, web: respx.MockRouter, more: dict[str, Any], event_type: str | None
    ) -> None:
        web.get(f"{API}/emails").mock(return_value=items(self.mail("m1", **more)))

        found = (await mails.received(SINCE, None)).replies

        assert [reply["event_type"] for reply in found] == ([] if event_type is None else [event_type])

    async def test_what_was_not_asked_for_is_left_out(self, mails: InstantlyMails, web: respx.MockRouter) -> None:
        found = [
            self.mail("sent", ue_type=1),
            self.mail("own", from_address_email="max@sender.test"),
            self.mail("old", timestamp_created="2026-02-01T00:00:00.000Z"),
            "junk",
        ]
        web.get(f"{API}/emails").mock(return_value=items(*found, after="old"))

        assert (await mails.received(SINCE, None)).replies == []

    @pytest.mark.parametrize(("count", "is_last"), [(49, True), (50, False), (100, False)])
    async def test_the_empty_page_behind_a_short_one_is_not_asked_for(
        self, mails: InstantlyMails, web: respx.MockRouter, count: int, is_last: bool
    ) -> None:
        web.get(f"{API}/emails").mock(return_value=items(*(self.mail(f"m{n}") for n in range(count)), after="m"))

        assert ((await mails.received(SINCE, None)).next is None) is is_last
        assert (await mails.received(SINCE, "m")).next is None

    async def test_every_call_keeps_its_distance_and_a_429_pauses_the_mails_alone(
        self, mails: InstantlyMails, web: respx.MockRouter, limiter: FakeLimiter
    ) -> None:
        web.get(f"{API}/emails").mock(return_value=httpx.Response(429, json={"message": "Rate limit exceeded"}))

        with pytest.raises(RateLimited):
            await mails.received(SINCE, None)

        (key, _), *_ = limiter.pauses
        acquired = {Resource(name, rate) for what, name, rate in limiter.events if what == "acquire"}
        assert key.endswith(":emails")
        assert {resource.rate for resource in acquired} == {1 / 3.5, 30.0}
        assert {name for name, _ in limiter.pauses} == {key}
