"""The webhooks of a workspace: where which events go, and whether they still do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.sandbox.instantly.deeds import Deed
from app.sandbox.instantly.ids import Ids
from app.sandbox.instantly.payloads import LABELS, subscriptions
from app.sandbox.instantly.records import Json, stamp
from app.sandbox.instantly.store import Store


@dataclass(slots=True, kw_only=True)
class Hook:
    """One registration."""

    id: str
    organization: str
    target_hook_url: str
    timestamp_created: str
    #: None: the whole workspace
    campaign: str | None = None
    name: str | None = None
    #: None where it waits for one custom label
    event_type: str | None = None
    custom_interest_value: int | None = None
    headers: dict[str, str] | None = None
    #: 1, or -1 where Instantly gave up on it
    status: int = 1
    timestamp_error: str | None = None
    #: failures in a row; not shown
    failures: int = 0

    def render(self, *, omit_nulls: bool = True) -> Json:
        """Returns the webhook as REST shows it."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "failures"}
        return {name: value for name, value in shown.items() if value is not None or not omit_nulls}


class Hooks:
    """All registrations, oldest first."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self.all: dict[str, Hook] = {}

    def add(self, target_hook_url: str, **given: Any) -> Hook:
        """Registers a webhook; `given` are the other settable fields."""
        at = self._store.now()
        hook = Hook(
            id=self._ids.new(at),
            organization=self._store.workspace_id,
            target_hook_url=target_hook_url,
            timestamp_created=stamp(at),
            **given,
        )
        self.all[hook.id] = hook
        return hook

    def disable(self, hook: Hook, at: datetime) -> None:
        """Gives up on a webhook: nothing is delivered until somebody resumes it."""
        hook.status, hook.timestamp_error = -1, stamp(at)

    def resume(self, hook: Hook) -> None:
        """Starts again; what happened meanwhile is not sent later."""
        hook.status, hook.timestamp_error, hook.failures = 1, None, 0

    def hearing(self, event: str, deed: Deed) -> Iterable[Hook]:
        """Yields the webhooks that are registered for an event, disabled ones too."""
        heard = subscriptions(event, deed, self._store)
        is_custom = deed.kind == "labelled" and deed.value is not None and deed.value not in LABELS
        for hook in self.all.values():
            if hook.campaign not in (None, deed.campaign):
                continue
            by_label = is_custom and hook.event_type is None and hook.custom_interest_value == deed.value
            if hook.event_type in heard or by_label:
                yield hook
