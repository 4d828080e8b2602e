"""The shapes of what waits for a person: every kind of item, with what can be done about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from app.api.schemas.shape import NextCursor, Shown, example
from app.api.schemas.sync import ITEM, ReviewItem
from app.sync.decide import is_notice

_ACTION: Final[dict[str, Any]] = {
    "name": "keep_local", "method": "POST", "path": f"/api/sync/conflicts/{ITEM['id']}/resolve",
    "body": {"version": 1, "keep": "local"},
}  # fmt: skip
REVIEW: Final = ITEM | {"actions": [_ACTION]}


class ReviewAction(Shown):
    """A request that decides an item, ready to be sent."""

    model_config = example(**_ACTION)
    name: str
    method: str
    path: str
    body: dict[str, Any] | None


class Review(ReviewItem):
    """Something a person decides, or should know."""

    model_config = example(**REVIEW)
    actions: list[ReviewAction] = Field(description="What can be done about it; some of it by administrators only.")

    @classmethod
    def of(cls, row: Any) -> Any:
        """Returns the answer that a row of the database makes."""
        is_open = row["state"] == "open" or (row["state"], row["kind"]) == ("auto", "conflict")
        return cls.model_validate(dict(row) | {"actions": list(_actions(row)) if is_open else []})


class Reviews(Shown):
    """Items, the newest first."""

    model_config = example(items=[REVIEW], waiting={"conflict": 1}, next_cursor=None)
    items: list[Review]
    waiting: dict[str, int] | None = Field(description="How many are open, by kind; on the first page only.")
    next_cursor: NextCursor


def _actions(row: Any) -> Iterator[dict[str, Any]]:
    item, seen = row["id"], {"version": row["version"]}
    match row["kind"]:
        case "conflict":
            for side in ("local", "remote"):
                yield _post(f"keep_{side}", f"/api/sync/conflicts/{item}/resolve", seen | {"keep": side})
        case "quarantine":
            for verdict in ("approve", "reject"):
                yield _post(verdict, f"/api/sync/quarantine/{item}/{verdict}", seen)
        case "plan":
            digest = {"digest": row["evidence"].get("digest")}
            yield _post("apply", f"/api/sync/plans/{row['connection_id']}/apply", digest)
        case "candidate" if not is_notice(row):
            yield _post("merge", f"/api/leads/{row['lead_id']}/merge", {"other": row["field"], "dry_run": True})
            yield _post("dismiss", f"/api/leads/duplicates/{item}/dismiss")
        case "deleted":
            yield _post("restore", f"/api/leads/{row['lead_id']}/restore")
        case "delivery" if "delivery" in row["evidence"]:
            yield _post("replay", f"/api/webhooks/deliveries/{row['evidence']['delivery']}/replay")
    if is_notice(row):
        yield _post("close", f"/api/reviews/{item}/close", seen)


def _post(name: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "method": "POST", "path": path, "body": body}
