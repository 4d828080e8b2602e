"""What routes are handed: who calls, the runtime, and a transaction of the caller's workspace.

The role is checked before anything else happens, so before a row is locked: under row-level security a viewer's lock
finds no rows. The transaction's dependency has scope "function", so it commits before the answer is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request

from app.api import once, query
from app.api.errors import Problem
from app.api.gate import Caller, Gatekeeper
from app.db.session import Role, Tx
from app.runtime import Runtime

#: Who may: read leads, campaigns and their numbers (a client); work leads, and see and start the syncs behind them,
#: where the providers' own ids show; see to a workspace; see to all of them.
READERS: Final[tuple[Role, ...]] = ("operator", "admin", "member", "viewer")
WORKERS: Final[tuple[Role, ...]] = ("operator", "admin", "member")
ADMINS: Final[tuple[Role, ...]] = ("operator", "admin")
OPERATORS: Final[tuple[Role, ...]] = ("operator",)


class Allow:
    """Lets only some roles in; the OpenAPI document lists them per route."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    async def __call__(self, request: Request) -> None:
        """Identifies the caller, checks the role, and that the query names what the route knows."""
        gate: Gatekeeper = request.app.state.gatekeeper
        caller = await gate.identify(request)
        request.state.caller = caller
        self.check(caller)
        query.read(request.scope["query_string"], request.scope["route"].takes)

    def check(self, caller: Caller) -> None:
        """Answers 403 to other roles."""
        if caller.role not in self.roles:
            needed = " or ".join(self.roles)
            raise Problem(403, f"This needs a key with the role {needed}; yours has the role {caller.role}.")


READ = Depends(Allow(*READERS))
WORK = Depends(Allow(*WORKERS))
ADMIN = Depends(Allow(*ADMINS))
OPERATE = Depends(Allow(*OPERATORS))
#: Asking for due work and reading runs, which a cron may do as well.
RUN = Depends(Allow(*WORKERS, "cron"))


async def runtime_of(request: Request) -> Runtime:
    """Returns the runtime; like the next two a coroutine, since FastAPI calls a plain function in a thread."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def caller_of(request: Request) -> Caller:
    """Returns who calls, as `Allow` has found."""
    caller: Caller = request.state.caller
    return caller


async def session_of(request: Request) -> AsyncIterator[Tx]:
    """Opens a transaction of the caller; a POST has its effect in it once."""
    runtime: Runtime = request.app.state.runtime
    async with runtime.db.transaction(request.state.caller.tenant) as tx:
        await once.begin(request, tx)
        yield tx


Running = Annotated[Runtime, Depends(runtime_of)]
Current = Annotated[Caller, Depends(caller_of)]
Session = Annotated[Tx, Depends(session_of, scope="function")]


def expected_version(request: Request) -> int | None:
    """Returns the version in If-Match; None where any will do."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    number = given.strip().removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise Problem(412, 'If-Match holds no version of this lead: send its ETag, such as "3".')
    return int(number)


IfMatch = Annotated[int | None, Depends(expected_version)]


def claims(caller: Caller) -> str | None:
    """Returns whose claims a caller may make and end: their own; None for administrators, who may anybody's."""
    return None if caller.role in ADMINS else caller.acts_for or caller.name


def known(found: Any, what: str, item_id: UUID) -> Any:
    """Returns what was found, or answers 404."""
    if found is None:
        raise Problem(404, f"There is no {what} {item_id} in this workspace.")
    return found
