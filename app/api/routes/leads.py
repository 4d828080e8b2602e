"""Leads: create, list, read, replace, change, delete."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api import listing, paging
from app.api.deps import ADMINS, READ, WORK, Current, IfMatch, Running, Session, claims
from app.api.describe import refuses
from app.api.errors import Problem
from app.api.schemas.lead import DeletedLeads, Lead, LeadFields, LeadPage
from app.api.schemas.shape import QueryInstant
from app.api.strict import StrictRoute
from app.db import lead_list, lead_queries
from app.db.session import Tx
from app.sync import edit, erase, past
from app.sync.canonical import canonical
from app.sync.edit import Gone, Merged, NotFound

router = APIRouter(prefix="/api/leads", tags=["leads"], route_class=StrictRoute)
JSON_BODY = "application/json"
AsOf = Annotated[
    QueryInstant | None,
    Query(description="An instant that has passed, such as 2026-03-02T09:15:00Z: the lead as it was then."),
]
Sort = Annotated[str, Query(description=listing.SORT_NOTE, json_schema_extra={"enum": list(lead_list.ORDERS)})]
Fields = Annotated[str | None, Query(max_length=2000, description=listing.FIELDS_NOTE)]
Count = Annotated[lead_list.Counting | None, Query(description=listing.COUNT_NOTE)]


@router.post(
    "",
    operation_id="createLead",
    summary="Create a lead",
    status_code=201,
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(409),
)
async def create(tx: Session, caller: Current, body: LeadFields) -> Response:
    """Adds a lead. Another lead with the same e-mail address or LinkedIn page is a 409 that names it.

    It needs something that tells who it is: an e-mail address, a LinkedIn page, a phone number, a name or a company. No
    later edit takes the last of these away.
    """
    values = canonical(body.given())
    lead = await edit.create(tx, values, actor=caller.name, claims=claims(caller))
    return await shown(tx, UUID(lead.id), status=201, located=True)


@router.get(
    "",
    operation_id="listLeads",
    summary="List leads",
    response_model=LeadPage,
    dependencies=[READ],
    openapi_extra={"parameters": listing.PARAMETERS},
)
async def page(
    request: Request,
    tx: Session,
    limit: paging.Limit = 50,
    cursor: paging.BothWays = None,
    sort: Sort = "-updated_at",
    fields: Fields = None,
    count: Count = None,
    q: Annotated[str | None, Query(min_length=1, max_length=200, description=listing.SEARCH_NOTE)] = None,
) -> Response:
    """Lists leads that are not deleted. Filters are combined with *and*; several values of one are *or*."""
    return await _listed(request, tx, listing.read(request, sort, fields, q), limit, cursor, count)


@router.get(
    "/search",
    operation_id="searchLeads",
    summary="Search leads",
    response_model=LeadPage,
    dependencies=[READ],
    openapi_extra={"parameters": listing.PARAMETERS},
)
async def search(
    request: Request,
    tx: Session,
    q: Annotated[str, Query(min_length=1, max_length=200, description=listing.SEARCH_NOTE)],
    limit: paging.Limit = 50,
    cursor: paging.BothWays = None,
    sort: Sort = "-updated_at",
    fields: Fields = None,
    count: Count = None,
) -> Response:
    """Finds leads by words, those that changed last first, or in another order of the list; filters narrow it down.

    A word is found from its beginning, not from its middle.
    """
    return await _listed(request, tx, listing.read(request, sort, fields, q), limit, cursor, count)


async def _listed(
    request: Request, tx: Tx, wanted: listing.Wanted, limit: int, cursor: str | None, count: lead_list.Counting | None
) -> Response:
    there = paging.decode_either(wanted.name, cursor, wanted.key_kinds)
    start = None if there is None else lead_list.Start(*there)
    found = await lead_list.page(tx, wanted.query, limit=limit, start=start, counting=count)
    following, before = paging.encode(wanted.name, found.next), paging.encode_back(wanted.name, found.prev)
    body = listing.render(found.items, following, before, found.count)
    return Response(body, headers=paging.link(request, following, before), media_type=JSON_BODY)


@router.get(
    "/deleted",
    operation_id="listDeletedLeads",
    summary="List deleted leads",
    response_model=DeletedLeads,
    dependencies=[WORK],
)
async def deleted(request: Request, tx: Session, limit: paging.Limit = 50, cursor: paging.Cursor = None) -> Response:
    """Leads that can be restored, the one deleted last first. Merged ones come back by unmerging, erased ones never."""
    before: Any = paging.decode("deleted leads", cursor, paging.BY_TIME)
    rows = await lead_queries.deleted(tx, limit + 1, before)
    return paging.answered(request, "deleted leads", DeletedLeads, rows, limit, by=("deleted_at", "id"))


@router.get(
    "/{lead_id}",
    operation_id="getLead",
    summary="Read a lead",
    response_model=Lead,
    dependencies=[READ],
    responses=refuses(304, 308, 404),
)
async def read(request: Request, tx: Session, lead_id: UUID, as_of: AsOf = None) -> Response:
    """Answers with the lead and its version as ETag; with a matching If-None-Match only that it has not changed.

    With `as_of`, the lead as this address showed it then, without an ETag; the history reaches back to its creation. A
    lead that was deleted or merged since is shown as it was before.
    """
    if as_of is not None:
        return Response(orjson.dumps(await past.as_of(tx, lead_id, as_of)), media_type=JSON_BODY)
    return await shown(tx, lead_id, unless=request.headers.get("if-none-match"))


@router.put(
    "/{lead_id}",
    operation_id="replaceLead",
    summary="Replace a lead",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409, 412),
)
async def replace(tx: Session, caller: Current, version: IfMatch, lead_id: UUID, body: LeadFields) -> Response:
    """Sets every writable field; those left out become empty. Notes, status, campaigns, metadata, custom and who
    claims it stay.
    """
    values = canonical(body.given())
    await edit.change(tx, lead_id, values, actor=caller.name, version=version, replace=True, claims=claims(caller))
    return await shown(tx, lead_id)


@router.patch(
    "/{lead_id}",
    operation_id="changeLead",
    summary="Change fields of a lead",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409, 412),
)
async def change(tx: Session, caller: Current, version: IfMatch, lead_id: UUID, body: LeadFields) -> Response:
    """Merges the fields in (RFC 7396): null empties a field, and what is emptied here no sync fills again.

    Who claims it moves as by claiming and letting go: members only for themselves.
    """
    values = canonical(body.given())
    await edit.change(tx, lead_id, values, actor=caller.name, version=version, claims=claims(caller))
    return await shown(tx, lead_id)


@router.delete(
    "/{lead_id}",
    operation_id="deleteLead",
    summary="Delete a lead, or erase it",
    status_code=204,
    dependencies=[WORK],
    responses=refuses(404, 409, 412),
)
async def delete(
    tx: Session,
    caller: Current,
    runtime: Running,
    version: IfMatch,
    lead_id: UUID,
    purge: Annotated[bool, Query(description="Erase everything known about the lead; operators and admins.")] = False,
    remote: Annotated[bool, Query(description="With purge: delete its records at the providers, too.")] = False,
) -> Response:
    """Leaves a tombstone: the history stays, the identities are free again, remote records are left alone.

    A lead that was merged into another one is not deleted: a 409 names the survivor.

    With `purge` nothing stays (GDPR erasure): the lead, its history, activity, links and every answer that was kept of
    it are removed for good, also of a lead that was deleted before. Keyed hashes remain, by which a later sync
    recognises the person and asks instead of making the lead again.

    Records at the providers are left alone, unless `remote` asks for their end as well: they are deleted by the next
    run of each connection, and one that cannot be deleted is an item of `GET /api/reviews`.
    """
    if remote and not purge:
        raise Problem(422, "Records at the providers are only deleted with an erased lead: send purge=true as well.")
    if not purge:
        await edit.delete(tx, lead_id, actor=caller.name, version=version)
    elif caller.role not in ADMINS:
        raise Problem(403, f"Erasing a lead needs a key with the role {' or '.join(ADMINS)}; delete it without purge.")
    else:
        await erase.erase(
            tx, lead_id, fingerprint=runtime.vault.address, actor=caller.name, version=version, remote=remote
        )
    return Response(status_code=204)


@router.post(
    "/{lead_id}/restore",
    operation_id="restoreLead",
    summary="Restore a deleted lead",
    response_model=Lead,
    dependencies=[WORK],
    responses=refuses(308, 404, 409),
)
async def restore(tx: Session, caller: Current, lead_id: UUID) -> Response:
    """Brings a deleted lead back with its history. If another lead has its address by now, a 409 names that one.

    Its remote records count again, from a first contact; one that was deleted there is made again only where
    the connection creates records of such leads.
    """
    await edit.restore(tx, lead_id, actor=caller.name)
    return await shown(tx, lead_id)


async def shown(
    tx: Tx, lead_id: UUID, *, status: int = 200, located: bool = False, unless: str | None = None
) -> Response:
    """Answers with a lead as Postgres renders it; raises what a lead that is not there raises."""
    found = await lead_queries.as_json(tx, lead_id)
    if found is None:
        raise NotFound(lead_id)
    if found.merged_into is not None:
        raise Merged(lead_id, found.merged_into)
    if found.deleted:
        raise Gone(lead_id)
    headers: dict[str, Any] = {"ETag": f'"{found.version}"'}
    if unless is not None and headers["ETag"] in (part.strip().removeprefix("W/") for part in unless.split(",")):
        return Response(status_code=304, headers=headers)
    if located:
        headers["Location"] = f"/api/leads/{lead_id}"
    return Response(found.json.encode(), status, headers, JSON_BODY)


async def present(tx: Tx, lead_id: UUID) -> None:
    """Answers 404 or 308 where a lead is not there to be looked into."""
    await shown(tx, lead_id)
