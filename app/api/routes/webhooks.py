"""Webhooks: deliveries are taken in, looked at, and applied again."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, BackgroundTasks, Query, Request
from starlette.responses import Response

from app.api import paging, taking
from app.api.deps import ADMIN, OPERATE, Current, Session, known
from app.api.describe import refuses
from app.api.errors import MEDIA_TYPE, Problem
from app.api.schemas.shape import QueryInstant, answer
from app.api.schemas.webhook import (
    PAYLOAD,
    Deliveries,
    Delivery,
    DeliveryState,
    Receipt,
    Replayed,
    UnroutedList,
    WholeDelivery,
)
from app.api.strict import StrictRoute
from app.db import audits, deliveries
from app.db.deliveries import Chosen
from app.domain.delivery import readable

_REFUSED = refuses(401, 413, 429, 503)
for _status, _sentence in (
    (401, taking.REFUSAL),
    (413, "The body is larger than 2,000,000 bytes: send less at once."),
    (429, "Too many deliveries with a wrong secret came from here: try again in 2 s."),
):
    _REFUSED[_status]["content"][MEDIA_TYPE]["example"]["detail"] = _sentence

inbox = taking.router()
router = APIRouter(prefix="/api", tags=["webhooks"], route_class=StrictRoute)


@inbox.post(
    "/instantly/{campaign_id}",
    operation_id="receiveInstantly",
    summary="Take a delivery in",
    status_code=202,
    response_model=Receipt,
    responses=_REFUSED,
    openapi_extra={
        "security": [{"webhook": []}, {"webhookBearer": []}, {"webhookQuery": []}],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": {"description": "One event, flat; whatever is sent instead is kept, too."},
                    "example": PAYLOAD,
                }
            },
        },
    },
)
async def receive(campaign_id: str) -> Receipt:
    """Where Instantly's webhooks go: everything that comes with a webhook secret is kept as it came, then applied.

    The answer is sent after the commit. An unknown campaign, an unknown event and a body that is no JSON are kept and
    wait for a person; the same content again is the same delivery. Refused are a wrong secret, and a body of more than
    2,000,000 bytes: Instantly's own delivery log still has that one.

    The secret is the `webhook_secret` of the Instantly connection: set it as a header of the webhook (Instantly signs
    nothing). In the address it works too, but addresses end up in logs. API keys open nothing here.
    """
    raise NotImplementedError  # the route is answered by `taking`


State = Annotated[DeliveryState | None, Query(description="Only those in this state.")]
EventType = Annotated[str | None, Query(max_length=200, description="Only events of this type.")]
Campaign = Annotated[UUID | None, Query(description="Only those about this campaign.")]
Since = Annotated[QueryInstant | None, Query(alias="from", description="Only those received at or after this.")]
Until = Annotated[QueryInstant | None, Query(alias="to", description="Only those received before this.")]


@router.get(
    "/webhooks/deliveries",
    operation_id="listDeliveries",
    summary="List deliveries",
    response_model=Deliveries,
    dependencies=[ADMIN],
)
async def page(
    request: Request,
    tx: Session,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
    state: State = None,
    event_type: EventType = None,
    campaign: Campaign = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """What was delivered and what became of it, the newest first."""
    chosen = Chosen(state=state, event_type=event_type, campaign=campaign, since=since, until=until)
    name = f"deliveries {chosen}"
    before: Any = paging.decode(name, cursor, paging.BY_TIME)
    rows = await deliveries.page(tx, chosen, limit + 1, before)
    return paging.answered(request, name, Deliveries, rows, limit, by=("received_at", "id"))


@router.get(
    "/webhooks/deliveries/{delivery_id}",
    operation_id="getDelivery",
    summary="Read a delivery",
    response_model=WholeDelivery,
    dependencies=[ADMIN],
    responses=refuses(404),
)
async def read(tx: Session, delivery_id: UUID) -> Response:
    """What it said, as it came. The body is gone once the workspace's `delivery_days` have passed."""
    row = known(await deliveries.get(tx, delivery_id), "delivery", delivery_id)
    return answer(WholeDelivery.model_validate(dict(row) | _body(row["body"], row["headers"])))


@router.post(
    "/webhooks/deliveries/replay",
    operation_id="replayDeliveries",
    summary="Apply deliveries again",
    status_code=202,
    response_model=Replayed,
    dependencies=[ADMIN],
)
async def replay_all(
    tx: Session,
    request: Request,
    background: BackgroundTasks,
    caller: Current,
    state: State = None,
    event_type: EventType = None,
    campaign: Campaign = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """Applies the deliveries of a filter again; one that is applied twice changes nothing. Name at least one filter."""
    chosen = Chosen(state=state, event_type=event_type, campaign=campaign, since=since, until=until)
    if chosen == Chosen():
        raise Problem(422, "Name at least one filter: state, event_type, campaign, from or to.")
    count = await deliveries.replay(tx, chosen)
    await audits.note(tx, caller.name, "deliveries.replayed", {"count": count})
    background.add_task(request.app.state.door.apply)
    return answer(Replayed(replayed=count), 202)


@router.post(
    "/webhooks/deliveries/{delivery_id}/replay",
    operation_id="replayDelivery",
    summary="Apply a delivery again",
    status_code=202,
    response_model=Delivery,
    dependencies=[ADMIN],
    responses=refuses(404, 409),
)
async def replay(
    tx: Session, request: Request, background: BackgroundTasks, caller: Current, delivery_id: UUID
) -> Response:
    """Applies it again; one that is applied twice changes nothing. 409 once its body is gone."""
    row = known(await deliveries.get(tx, delivery_id), "delivery", delivery_id)
    if row["body"] is None:
        raise Problem(409, "The body of this delivery is gone: there is nothing left to apply.")
    await deliveries.replay(tx, Chosen(id=delivery_id))
    await audits.note(tx, caller.name, "delivery.replayed", {"id": str(delivery_id)})
    background.add_task(request.app.state.door.apply)
    return answer(Delivery.of(await deliveries.get(tx, delivery_id)), 202)


@router.get(
    "/admin/webhooks/unrouted",
    operation_id="listUnrouted",
    summary="See deliveries without a workspace",
    response_model=UnroutedList,
    dependencies=[OPERATE],
)
async def unrouted(tx: Session) -> Response:
    """Deliveries of campaigns that no workspace has: they wait until the campaign is assigned to one."""
    return answer(UnroutedList.model_validate({"items": [dict(row) for row in await deliveries.unrouted(tx)]}))


def _body(body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
    if body is None:
        return {"content": None, "text": None}
    plain = readable(body, headers.get("content-encoding", ""))
    try:
        content = orjson.loads(plain)
    except orjson.JSONDecodeError:
        content = None
    if isinstance(content, dict):
        return {"content": content, "text": None}
    return {"content": None, "text": plain.decode(errors="replace")}
