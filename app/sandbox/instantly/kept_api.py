"""What a workspace keeps lists of: its own labels, and whom it may not write to.

The block list holds: `send` skips who is on it.
"""

from __future__ import annotations

from starlette.responses import Response

from app.sandbox.core import json_response
from app.sandbox.instantly.listing import page, page_size
from app.sandbox.instantly.records import Blocked, Label
from app.sandbox.instantly.store import Store
from app.sandbox.instantly.wire import Asked, Endpoint, checked, flag, known, whole


def label_endpoints(store: Store) -> list[Endpoint]:
    """Returns the endpoint that lists the workspace's own labels; its cursor is a time."""

    def every(asked: Asked) -> Response:
        query, after = asked.query, asked.query.get("starting_after")
        search, interest = query.get("search", "").lower(), query.get("interest_status")
        found = (
            label
            for label in store.labels.values()
            if (after is None or label.timestamp_created > after)
            and search in label.label.lower()
            and interest in (None, label.interest_status_label)
        )
        size = page_size(whole(query.get("limit")), store.switches, "querystring")
        return json_response(
            page(
                found, Label.render, lambda row: row.timestamp_created, size=size, after=after, switches=store.switches
            )
        )

    return [("GET", "/lead-labels", "lead-labels:read", every)]


def block_endpoints(store: Store) -> list[Endpoint]:
    """Returns the endpoints of the block list."""

    def create(asked: Asked) -> Response:
        body = checked(asked.body, {"bl_value": "string"}, store.switches, required=("bl_value",))
        return json_response(store.block(body["bl_value"]).render())

    def every(asked: Asked) -> Response:
        query, after = asked.query, asked.query.get("starting_after")
        found = (
            entry
            for entry in store.blocked.values()
            if (after is None or entry.id > after)
            and query.get("search", "").lower() in entry.bl_value.lower()
            and (entry.is_domain or not flag(query.get("domains_only")))
        )
        size = page_size(whole(query.get("limit")), store.switches, "querystring")
        return json_response(
            page(found, Blocked.render, lambda row: row.id, size=size, after=after, switches=store.switches)
        )

    def one(asked: Asked) -> Response:
        return json_response(known(store.blocked, asked.id).render())

    def delete(asked: Asked) -> Response:
        return json_response(store.blocked.pop(known(store.blocked, asked.id).id).render())

    return [
        ("POST", "/block-lists-entries", "block_list_entries:create", create),
        ("GET", "/block-lists-entries", "block_list_entries:read", every),
        ("GET", "/block-lists-entries/{id}", "block_list_entries:read", one),
        ("DELETE", "/block-lists-entries/{id}", "block_list_entries:delete", delete),
    ]
