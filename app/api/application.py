"""The app: its routes in reading order, its layers, and its documentation pages."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from app.api import describe, errors
from app.api.edge import Compressed, Edge
from app.api.gate import Gatekeeper
from app.api.live import Feeds
from app.api.metrics import Metrics
from app.api.reads import ShortWays
from app.api.routes import (
    accounts,
    admin_sync,
    audit,
    bulk,
    campaigns,
    completeness,
    connections,
    decisions,
    duplicates,
    events,
    exports,
    instantly,
    keys,
    leads,
    me,
    merging,
    plans,
    reviews,
    runs,
    settings,
    stats,
    stories,
    sync,
    system,
    waiting,
    webhooks,
    working,
    workspaces,
)
from app.api.taking import Door
from app.runtime import Runtime

VERSION = "0.1.0"
ROUTERS = (
    leads, exports, duplicates, merging, bulk, working, stories, events, sync, runs, waiting, plans, decisions, reviews,
    stats, campaigns, instantly, webhooks, completeness, admin_sync, connections, me, keys, settings, audit, workspaces,
    accounts, system,
)  # fmt: skip
#: Headers a browser's code may read.
EXPOSED = ("ETag", "Link", "Location", "Retry-After", "X-Request-ID", "Idempotency-Replayed", "Content-Disposition")


def build(**options: Any) -> FastAPI:
    """Returns the app without what it runs on: enough for its document."""
    app = FastAPIOffline(
        title=describe.TITLE,
        version=VERSION,
        description=describe.DESCRIPTION,
        swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
        redirect_slashes=False,
        # what is counted and logged here is counted and logged by `Edge`; asking whether to do it twice is not free
        telemetry={"tracing": False, "metrics": False, "logs": False},
        **options,
    )
    # the routes themselves instead of a router in a router, and before the pages of the documentation: they are tried
    # one by one for every request; nothing comes as often as deliveries
    app.router.routes[:0] = [*webhooks.inbox.routes, *(route for module in ROUTERS for route in module.router.routes)]
    errors.install(app)
    app.openapi = partial(describe.describe, app)  # type: ignore[method-assign]
    return app


def document() -> dict[str, Any]:
    """Returns the OpenAPI document: made without a database, the same for the same code."""
    return build().openapi()


def equip(app: FastAPI, *, max_body: int, cors_origins: str) -> None:
    """Adds the layers around the routes, which must be there before the first request."""
    app.state.metrics = Metrics()
    app.add_middleware(ShortWays, routes=app.routes)
    app.add_middleware(Compressed, minimum_size=1024, compresslevel=5)
    app.add_middleware(Edge, max_body=max_body, metrics=app.state.metrics)
    origins = [origin.strip() for origin in cors_origins.split(",") if origin.strip()]
    if origins:
        # outermost, so that a browser may read whatever is answered further in
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED
        )


def attach(app: FastAPI, runtime: Runtime) -> None:
    """Gives the app what it runs on."""
    app.state.runtime = runtime
    app.state.gatekeeper = Gatekeeper(runtime)
    app.state.exports = exports.Places(runtime.db)
    app.state.feeds = Feeds(runtime.db)
    app.state.door = Door(runtime)
