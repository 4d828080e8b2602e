"""Instantly's API v2 as a local ASGI server; it answers for one workspace, with Instantly's own oddities.

Left out, and answered with 404: bulk add and bulk delete, merge, lead lists, making labels, subsequences.
`queries`, `smart_view_id` and `esg_code` of lead filters have no effect.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.sandbox.core import Clock, Fault, Funnel, Handler, MovableClock, Sandbox, control_routes, json_response
from app.sandbox.instantly.acting import act_route, correct_route, day_route, hooks_route
from app.sandbox.instantly.analytics import Analytics
from app.sandbox.instantly.analytics_api import analytics_endpoints
from app.sandbox.instantly.deliveries import Deliveries, Sender
from app.sandbox.instantly.hooks_api import hook_endpoints, log_endpoints
from app.sandbox.instantly.kept_api import block_endpoints, label_endpoints
from app.sandbox.instantly.limits import Limits
from app.sandbox.instantly.listing import page, page_size, select_leads, select_mails
from app.sandbox.instantly.records import Campaign, Json, Lead, stamp
from app.sandbox.instantly.store import Refused, Store
from app.sandbox.instantly.switches import Switches
from app.sandbox.instantly.wire import (
    CREATE_LEAD,
    INTEREST,
    LIST_LEADS,
    MOVE_LEADS,
    NOT_FOUND,
    PATCH_LEAD,
    Answer,
    Asked,
    Endpoint,
    Refusal,
    checked,
    known,
    read,
    whole,
)


class InstantlySandbox:
    """A local Instantly workspace: `app` serves it, `store` is what it holds, `sandbox` its clock, faults and log.

    `deliveries` posts its webhooks through `sender`, when somebody awaits `deliver_due()` or inside `delivering(…)`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 1,
        switches: Switches | None = None,
        sender: Sender | None = None,
    ) -> None:
        self.switches = switches or Switches()
        self.sandbox = Sandbox(clock=clock or MovableClock(), seed=seed, switches=self.switches)
        self.store = Store(self.sandbox)
        self.analytics = Analytics(self.store)
        self.deliveries = Deliveries(self.sandbox, self.store, sender)
        further = [
            *analytics_endpoints(self.store, self.analytics),
            *hook_endpoints(self.store, self.deliveries),
            *log_endpoints(self.store, self.deliveries),
            *label_endpoints(self.store),
            *block_endpoints(self.store),
        ]
        api = _Api(self.store, further, Limits(self.sandbox.clock)).routes()
        #: (method, path) of everything Instantly's clients can call
        self.endpoints = [(next(iter((route.methods or set()) - {"HEAD"})), route.path) for route in api]
        routes = [
            *api,
            act_route(self.store),
            correct_route(self.analytics),
            hooks_route(self.deliveries),
            day_route(self.store),
        ]
        for path, handler in control_routes(self.sandbox).items():
            routes.append(Route(path, handler, methods=["GET", "POST", "PATCH", "DELETE"]))
        inner = Starlette(routes=routes, exception_handlers={Refusal: _refused, HTTPException: _no_route})
        self.app: ASGIApp = Funnel(inner, sandbox=self.sandbox, refuse=refuse_fault)


class _Api:
    def __init__(self, store: Store, further: list[Endpoint], limits: Limits) -> None:
        self._store = store
        self._further = further
        self._limits = limits

    def routes(self) -> list[Route]:
        table: list[Endpoint] = [
            ("GET", "/workspaces/current", "workspaces:read", self._workspace),
            ("GET", "/campaigns", "campaigns:read", self._list_campaigns),
            *self._further,
            ("GET", "/campaigns/search-by-contact", "campaigns:read", self._memberships),
            ("GET", "/campaigns/{id}", "campaigns:read", self._get_campaign),
            ("POST", "/leads/list", "leads:read", self._list_leads),
            ("POST", "/leads/update-interest-status", "leads:update", self._update_interest),
            ("POST", "/leads/move", "leads:update", self._move),
            ("POST", "/leads", "leads:create", self._create_lead),
            ("GET", "/leads/{id}", "leads:read", self._get_lead),
            ("PATCH", "/leads/{id}", "leads:update", self._patch_lead),
            ("DELETE", "/leads/{id}", "leads:delete", self._delete_lead),
            ("GET", "/emails", "emails:read", self._list_mails),
            ("GET", "/emails/{id}", "emails:read", self._get_mail),
            ("GET", "/background-jobs/{id}", "background-jobs:read", self._get_job),
        ]
        return [
            Route("/api/v2" + path, self._guarded(scope, answer), methods=[method])
            for method, path, scope, answer in table
        ]

    def _guarded(self, scope: str, answer: Answer) -> Handler:
        async def handle(request: Request) -> Response:
            self._store.settle()
            if self._is_unwelcome(request.headers.get("user-agent", "")):
                return Response("<html><title>403 Forbidden</title></html>", 403, media_type="text/html")
            self._authorize(request, scope)
            self._admit(request)
            answered = answer(await read(request, self._store.switches))
            return answered if isinstance(answered, Response) else await answered

        return handle

    def _is_unwelcome(self, agent: str) -> bool:
        switches = self._store.switches
        return (switches.refuse_urllib and "Python-urllib" in agent) or (
            switches.refuse_httpx and "python-httpx" in agent
        )

    def _authorize(self, request: Request, scope: str) -> None:
        header = request.headers.get("authorization")
        if header is None:
            raise Refusal(401, "Missing Authorization header")
        scheme, _, key = header.partition(" ")
        scopes = self._store.keys.get(key) if scheme.lower() == "bearer" else None
        if scopes is None:
            raise Refusal(401, "Invalid API key")
        resource, _, action = scope.partition(":")
        if scopes.isdisjoint({scope, f"{resource}:all", f"all:{action}", "all:all"}):
            raise Refusal(403, f"Missing scope {scope}")

    def _admit(self, request: Request) -> None:
        switches = self._store.switches
        if not switches.rate_limits:
            return
        wait = self._limits.admit(request.url.path, count_refused=switches.refused_calls_count)
        if wait is not None:
            raise Refusal(429, "Rate limit exceeded", retry_after=wait if switches.retry_after else None)

    # -- workspace and campaigns

    def _workspace(self, _asked: Asked) -> Response:
        created = stamp(self._store.created)
        return json_response(
            {
                "id": self._store.workspace_id,
                "name": "Sandbox workspace",
                "owner": self._store.owner_id,
                "plan_id": "pid_hg_v1",
                "timestamp_created": created,
                "timestamp_updated": created,
            }
        )

    def _list_campaigns(self, asked: Asked) -> Response:
        query, store = asked.query, self._store
        after, search = query.get("starting_after"), query.get("search", "").lower()
        found = (
            campaign
            for campaign_id, campaign in sorted(store.campaigns.items())
            if (after is None or campaign_id > after)
            and search in campaign.name.lower()
            and query.get("status", str(campaign.status)) == str(campaign.status)
            and query.get("exclude_status") != str(campaign.status)
        )
        size = page_size(whole(query.get("limit")), store.switches, "querystring")
        return json_response(
            page(found, Campaign.render, lambda c: c.id, size=size, after=after, switches=store.switches)
        )

    def _get_campaign(self, asked: Asked) -> Response:
        return json_response(known(self._store.campaigns, asked.id).render())

    def _memberships(self, asked: Asked) -> Response:
        rows = self._store.shelf.by_email.get(asked.query.get("search", "").lower(), ())
        ids = {self._store.leads[lead_id].campaign for lead_id in rows}
        return json_response({"items": [self._store.campaigns[i].render() for i in sorted(filter(None, ids))]})

    # -- leads

    def _list_leads(self, asked: Asked) -> Response:
        switches = self._store.switches
        kinds = LIST_LEADS | ({"interest_status": "number"} if switches.interest_status_filter else {})
        body = checked(asked.body, kinds, switches)
        after, size = body.get("starting_after"), page_size(body.get("limit"), switches, "body")
        found = select_leads(self._store, body, after)
        by_address = bool(body.get("distinct_contacts"))
        return json_response(
            page(
                found,
                self._render,
                lambda lead: str(lead.email).lower() if by_address else lead.id,
                size=size,
                after=after,
                switches=switches,
            )
        )

    def _get_lead(self, asked: Asked) -> Response:
        return json_response(self._render(known(self._store.leads, asked.id)))

    def _create_lead(self, asked: Asked) -> Response:
        store, body = self._store, checked(asked.body, CREATE_LEAD, self._store.switches)
        campaign_id, email = body.pop("campaign", None), body.pop("email", None)
        if campaign_id is not None and campaign_id not in store.campaigns:
            raise Refusal(404, NOT_FOUND)
        if campaign_id is not None and not email:
            raise Refusal(400, "body must have required property 'email'")
        existing = store.find(campaign_id, email) if email else None
        if body.get("skip_if_in_workspace") or body.get("skip_if_in_campaign"):
            anywhere = store.shelf.by_email.get((email or "").lower(), ())
            existing = existing or next((store.leads[lead_id] for lead_id in anywhere), None)
        if existing is not None:
            return json_response(self._render(existing))
        fields = {key: value for key, value in body.items() if key in PATCH_LEAD and key != "custom_variables"}
        custom = body.get("custom_variables")
        try:
            lead = store.add_lead(campaign_id, email=email, payload=custom, upload_method="api", **fields)
        except Refused as exc:
            raise Refusal(store.switches.lead_limit_status, str(exc)) from exc
        asked.wrote.append(lead.id)
        return json_response(self._render(lead))

    def _patch_lead(self, asked: Asked) -> Response:
        lead = known(self._store.leads, asked.id)
        changes = checked(asked.body, PATCH_LEAD, self._store.switches)
        self._store.edit(lead.id, **changes)
        asked.wrote.append(lead.id)
        return json_response(self._render(lead))

    def _delete_lead(self, asked: Asked) -> Response:
        lead = self._store.delete(known(self._store.leads, asked.id).id)
        asked.wrote.append(lead.id)
        return json_response(self._render(lead))

    def _update_interest(self, asked: Asked) -> Response:
        body = checked(asked.body, INTEREST, self._store.switches, required=("lead_email", "interest_value"))
        ids = self._store.shelf.by_email.get(body["lead_email"].lower(), ())
        rows = [self._store.leads[lead_id] for lead_id in ids]
        if campaign_id := body.get("campaign_id"):
            rows = [lead for lead in rows if lead.campaign == campaign_id]
        if not rows:
            raise Refusal(400, "Invalid lead email", body={"error": "Invalid lead email"})
        self._store.set_interest_later(rows, body["interest_value"])
        asked.wrote.extend(lead.id for lead in rows)
        return json_response({"message": "Lead interest status update background job submitted"}, 202)

    def _move(self, asked: Asked) -> Response:
        store, body = self._store, checked(asked.body, MOVE_LEADS, self._store.switches)
        target, source = body.get("to_campaign_id"), body.get("campaign")
        if target not in store.campaigns:
            raise Refusal(404, NOT_FOUND)
        if target == source:
            raise Refusal(400, "Source and destination must be different")
        if "ids" in body and source is None and "list_id" not in body:
            raise Refusal(400, "ids need campaign or list_id")
        next(select_leads(store, body), None)  # refuses a bad filter now, not when the job runs
        return json_response(store.start_job(source, lambda: self._carry_over(body, target)).render(store.now()))

    def _carry_over(self, body: Json, target: str) -> None:
        store = self._store
        rows = [lead for lead in select_leads(store, body) if lead.campaign != target]
        for lead in rows[: int(body["limit"]) if "limit" in body else None]:
            if lead.email is not None and store.find(target, lead.email) is not None:
                continue
            try:
                moved = store.copy(lead, target) if body.get("copy_leads") else store.move(lead.id, target)
            except Refused:  # the plan is full
                return
            if body.get("reset_interest_status"):
                store.set_interest(moved.id, None)

    def _get_job(self, asked: Asked) -> Response:
        return json_response(known(self._store.jobs, asked.id).render(self._store.now()))

    # -- mails

    def _list_mails(self, asked: Asked) -> Response:
        query, switches = asked.query, self._store.switches
        size, after = page_size(whole(query.get("limit")), switches, "querystring"), query.get("starting_after")
        return json_response(
            page(
                select_mails(self._store, query),
                lambda mail: mail.render(bare=switches.bare_emails),
                lambda mail: mail.id,
                size=size,
                after=after,
                switches=switches,
            )
        )

    def _get_mail(self, asked: Asked) -> Response:
        return json_response(known(self._store.mails, asked.id).render(bare=self._store.switches.bare_emails))

    def _render(self, lead: Lead) -> Json:
        return lead.render(omit_nulls=self._store.switches.omit_nulls)


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)
    return exc.response()


async def _no_route(request: Request, exc: Exception) -> Response:
    return Refusal(404, f"Route {request.method}:{request.url.path} not found").response()


def refuse_fault(fault: Fault) -> Response:
    """Words a fault the way Instantly (or the edge before it) would."""
    match fault.kind:
        case "html":
            return Response("<html><title>502 Bad Gateway</title></html>", 502, media_type="text/html")
        case "rate_limit":
            retry_after = None if fault.retry_after is None else int(fault.retry_after)
            return Refusal(429, "Rate limit exceeded", retry_after=retry_after).response()
        case "quota":
            return Refusal(402, "Workspace does not have an active paid plan").response()
        case "iterator":
            return Refusal(400, "Invalid starting_after").response()
    return Refusal(fault.status, "Something went wrong").response()
