"""Working a lead: claim it, let it go, add notes, put it into campaigns and take it out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.deps import ADMINS, WORK, Current, IfMatch, Once, Session
from app.api.describe import refuses
from app.api.errors import Problem, at
from app.api.gate import Caller
from app.api.routes.leads import shown
from app.api.schemas.lead import Claim, Lead, Membership, Note
from app.api.strict import StrictRoute
from app.sync import edit

router = APIRouter(prefix="/api/leads/{lead_id}", tags=["working a lead"], route_class=StrictRoute)


@router.post(
    "/claim",
    operation_id="claimLead",
    summary="Claim a lead",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def claim(tx: Session, caller: Current, once: Once, lead_id: UUID, body: Claim | None = None) -> Response:
    """Takes the lead to work on. Exactly one caller gets it; everybody else is a 409 that names who holds it."""
    by = _claimant(caller, body.claimed_by if body else None)

    async def work() -> Response:
        await edit.claim(tx, lead_id, by=by, actor=caller.name)
        return await shown(tx, lead_id)

    return await once.once(tx, work)


@router.post(
    "/unclaim",
    operation_id="unclaimLead",
    summary="Let a lead go",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def unclaim(tx: Session, caller: Current, once: Once, lead_id: UUID) -> Response:
    """Lets the lead go. Members let go of their own claims; administrators of anybody's."""
    by = None if caller.role in ADMINS else caller.acts_for or caller.name

    async def work() -> Response:
        await edit.unclaim(tx, lead_id, actor=caller.name, by=by)
        return await shown(tx, lead_id)

    return await once.once(tx, work)


@router.post(
    "/notes",
    operation_id="addNote",
    summary="Add a note",
    status_code=201,
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404),
)
async def add_note(tx: Session, caller: Current, once: Once, lead_id: UUID, body: Note) -> Response:
    """Adds a note to the lead and to its activity log; it reaches every connection that carries notes."""

    async def work() -> Response:
        await edit.add_note(tx, lead_id, body.text, actor=caller.name)
        return await shown(tx, lead_id, status=201)

    return await once.once(tx, work)


@router.post(
    "/campaigns",
    operation_id="addToCampaign",
    summary="Add to a campaign",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 412),
)
async def add_to_campaign(
    tx: Session, caller: Current, once: Once, version: IfMatch, lead_id: UUID, body: Membership
) -> Response:
    """Adds the lead to a campaign by name, and Airtable learns it; a lead that is in it stays as it is."""

    async def work() -> Response:
        await edit.join_campaign(tx, lead_id, body.name, actor=caller.name, version=version)
        return await shown(tx, lead_id)

    return await once.once(tx, work)


@router.delete(
    # a campaign's name may hold a slash
    "/campaigns/{name:path}",
    operation_id="removeFromCampaign",
    summary="Remove from a campaign",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 412),
)
async def remove_from_campaign(
    tx: Session,
    caller: Current,
    version: IfMatch,
    lead_id: UUID,
    name: Annotated[str, Path(max_length=200, description="The campaign's name.")],
) -> Response:
    """Takes the lead out of a campaign, and Airtable learns it; a lead that is not in it stays as it is."""
    await edit.leave_campaign(tx, lead_id, name, actor=caller.name, version=version)
    return await shown(tx, lead_id)


def _claimant(caller: Caller, named: str | None) -> str:
    """Returns whose claim this is: members claim for themselves."""
    if named is None:
        if caller.acts_for is None:
            errors = [at("claimed_by", "This key acts for nobody: name the person's e-mail address.")]
            raise Problem(422, "Nobody is named who claims this lead.", errors)
        return caller.acts_for
    by = str(edit.canonical({"claimed_by": named})["claimed_by"])
    if caller.role not in ADMINS and by != caller.acts_for:
        raise Problem(403, "Claiming for somebody else needs a key with the role operator or admin.")
    return by
