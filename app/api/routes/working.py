"""Working a lead: claims, notes, campaigns and interest."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.deps import ADMINS, WORK, Current, IfMatch, Session, claims
from app.api.describe import refuses
from app.api.errors import Problem, at
from app.api.gate import Caller
from app.api.routes.leads import shown
from app.api.schemas.lead import Claim, Lead, Membership, Note
from app.api.schemas.outreach import NewInterest, OutreachRequests
from app.api.schemas.shape import answer
from app.api.strict import StrictRoute
from app.db import lead_queries, requests
from app.db.session import Tx
from app.sync import edit, write_back
from app.sync.canonical import canonical

router = APIRouter(prefix="/api/leads/{lead_id}", tags=["working a lead"], route_class=StrictRoute)


@router.post(
    "/claim",
    operation_id="claimLead",
    summary="Claim a lead",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def claim(tx: Session, caller: Current, lead_id: UUID, body: Claim | None = None) -> Response:
    """Takes the lead to work on. Exactly one caller gets it; everybody else is a 409 that names who holds it."""
    by = _claimant(caller, body.claimed_by if body else None)

    await edit.claim(tx, lead_id, by=by, actor=caller.name)
    return await shown(tx, lead_id)


@router.post(
    "/unclaim",
    operation_id="unclaimLead",
    summary="Let a lead go",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def unclaim(tx: Session, caller: Current, lead_id: UUID) -> Response:
    """Lets the lead go. Members let go of their own claims; administrators of anybody's."""
    await edit.unclaim(tx, lead_id, actor=caller.name, by=claims(caller))
    return await shown(tx, lead_id)


@router.post(
    "/notes",
    operation_id="addNote",
    summary="Add a note",
    status_code=201,
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404),
)
async def add_note(tx: Session, caller: Current, lead_id: UUID, body: Note) -> Response:
    """Adds a note to the lead and to its activity log; it reaches every connection that carries notes."""
    await edit.add_note(tx, lead_id, body.text, actor=caller.name)
    return await shown(tx, lead_id, status=201)


@router.post(
    "/campaigns",
    operation_id="addToCampaign",
    summary="Add to a campaign",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 412),
)
async def add_to_campaign(tx: Session, caller: Current, version: IfMatch, lead_id: UUID, body: Membership) -> Response:
    """Adds the lead to a campaign by name, and Airtable learns it; a lead that is in it stays as it is."""
    await edit.join_campaign(tx, lead_id, body.name, actor=caller.name, version=version)
    return await shown(tx, lead_id)


@router.delete(
    # a campaign's name may hold a slash
    "/campaigns/{name:path}",
    operation_id="removeFromCampaign",
    summary="Remove from a campaign",
    response_model=Lead,
    dependencies=[WORK],
    responses={202: {"model": OutreachRequests}, **refuses(308, 404, 412)},
)
async def remove_from_campaign(
    tx: Session,
    caller: Current,
    version: IfMatch,
    lead_id: UUID,
    name: Annotated[str, Path(max_length=200, description="The campaign's name; of one at Instantly its id here.")],
) -> Response:
    """Takes the lead out of a campaign.

    By name it is a campaign kept in Airtable, which learns it; a lead that is not in it stays as it is.
    By the id that our list of campaigns shows it is a campaign at Instantly. **The lead's row there is deleted**, with
    everything Instantly has counted for it; what is known of it here stays. That takes seconds: the answer is 202 with
    the request, and the lead's links and activity show what became of it.
    """
    if (campaign_id := await _at_instantly(tx, lead_id, name)) is not None:
        ids = await write_back.ask(
            tx, lead_id, "remove", campaign_id=campaign_id, actor=caller.acts_for or caller.name, version=version
        )
        return await _asked(tx, lead_id, ids)
    await edit.leave_campaign(tx, lead_id, name, actor=caller.name, version=version)
    return await shown(tx, lead_id)


@router.post(
    "/interest",
    operation_id="setInterest",
    summary="Say what it is interested in",
    status_code=202,
    response_model=OutreachRequests,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def set_interest(tx: Session, caller: Current, lead_id: UUID, body: NewInterest) -> Response:
    """Sets the lead's interest at Instantly, in one of its campaigns or in all of them; any interest stops the
    sequence there.

    Instantly takes it at once and shows it later: until its row shows it the request is `sent`, and then the lead's
    status follows as after any reading. A status that is edited here is never written there by itself.
    """
    ids = await write_back.ask(
        tx, lead_id, "interest", campaign_id=body.campaign_id, interest=body.interest,
        actor=caller.acts_for or caller.name,
    )  # fmt: skip
    return await _asked(tx, lead_id, ids)


async def _at_instantly(tx: Tx, lead_id: UUID, name: str) -> UUID | None:
    """Returns the id that a path names; one that is the name of a campaign the lead is in is that name."""
    try:
        campaign_id = UUID(name)
    except ValueError:
        return None
    return None if await lead_queries.is_in_campaign(tx, lead_id, name) else campaign_id


async def _asked(tx: Tx, lead_id: UUID, ids: list[UUID]) -> Response:
    content = OutreachRequests.model_validate({"items": await requests.shown(tx, ids)})
    return answer(content, 202, {"Location": f"/api/leads/{lead_id}/links"})


def _claimant(caller: Caller, named: str | None) -> str:
    """Returns whose claim this is: members claim for themselves."""
    if named is None:
        if caller.acts_for is None:
            errors = [at("This key acts for nobody: name the person's e-mail address.", "claimed_by")]
            raise Problem(422, "Nobody is named who claims this lead.", errors)
        return caller.acts_for
    by = str(canonical({"claimed_by": named})["claimed_by"])
    if caller.role not in ADMINS and by != caller.acts_for:
        raise edit.NotOneself
    return by
