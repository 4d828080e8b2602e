"""Airtable's Web API as a local server, for tests, the demo and anyone trying out a mapping.

    sandbox = AirtableSandbox(clock=MovableClock(), seed=1)
    base = sandbox.store.add_base("Sales", [TableSpec("Leads", [FieldSpec("Email", "email")])])
    sandbox.store.add_token("patTEST.x")
    uvicorn.run(sandbox.app, date_header=False)

It sends its own Date header, which follows its clock: a server in front of it must not add another one.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.airtable.control import control_handlers
from app.sandbox.airtable.errors import worded
from app.sandbox.airtable.limits import Limits
from app.sandbox.airtable.listing import Lister
from app.sandbox.airtable.schema import Choice, Field, FieldSpec, TableSpec
from app.sandbox.airtable.server import EXPIRES, Server
from app.sandbox.airtable.store import Base, Person, Store, Token
from app.sandbox.airtable.switches import Switches
from app.sandbox.airtable.table import Record, Table
from app.sandbox.core import Clock, Fault, Funnel, Sandbox, control_routes

__all__ = [
    "AirtableSandbox",
    "Base",
    "Choice",
    "Field",
    "FieldSpec",
    "Person",
    "Record",
    "Store",
    "Switches",
    "Table",
    "TableSpec",
    "Token",
]


class AirtableSandbox:
    """One Airtable account with its server; two with the same seed and the same calls have the same ids."""

    def __init__(self, *, clock: Clock, seed: int = 1, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.sandbox = Sandbox(clock=clock, seed=seed, switches=self.switches)
        self.store = Store(clock=clock, rng=self.sandbox.rng, switches=self.switches)
        self.limits = Limits(clock, self.switches)
        controls = {**control_routes(self.sandbox), **control_handlers(self.store)}
        self._server = Server(self.store, self.limits, Lister(self.store, seed + 2), controls)
        self.app: ASGIApp = Funnel(self._server, sandbox=self.sandbox, refuse=self._refuse)

    def _refuse(self, fault: Fault) -> Response:
        return _IteratorExpiry(self._server) if fault.kind == "iterator" else worded(fault)


class _IteratorExpiry(Response):
    """Lets a list call through and ends its iterator.

    A call with an offset finds its iterator gone; a first page hands out an offset that is already dead. So one
    fault always ends one list, whichever page it hits.
    """

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[EXPIRES] = True
        await self.server(scope, receive, send)
