"""The shapes of a workspace's administration: keys, people, workspaces."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from app.api.schemas.shape import At, Body, Instant, Name, NextCursor, Shown, Whole, example
from app.domain.normalize import Unreadable
from app.domain.normalize import email as canonical_email

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"


def _email(text: str) -> str:
    try:
        found = canonical_email(text)
    except Unreadable as exc:
        raise ValueError(exc.plain) from None
    if found is None:
        raise ValueError("It is an e-mail address, such as noor@voorbeeld.nl.")
    return found


Email = Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"}), AfterValidator(_email)]


Role = Literal["operator", "admin", "member", "viewer", "cron"]


class NewKey(Body):
    """An API key to be made."""

    model_config = example(name="portal", role="member", acts_for="noor@voorbeeld.nl", expires_at=None)
    name: Name
    role: Role
    acts_for: Email | None = Field(None, description="The person it acts for; claims are made in this name.")
    expires_at: Instant | None = None


_KEY: Final[dict[str, Any]] = {
    "id": _ID, "name": "portal", "prefix": "lk_Ab3dEf9", "role": "member", "acts_for": "noor@voorbeeld.nl",
    "created_at": _AT, "expires_at": None, "revoked_at": None, "last_used_at": _AT,
}  # fmt: skip


class Key(Shown):
    """An API key, without anything secret."""

    model_config = example(**_KEY)
    id: UUID
    name: str
    prefix: str = Field(description="What it begins with.")
    role: Role
    acts_for: str | None
    created_at: At
    expires_at: At | None
    revoked_at: At | None
    last_used_at: At | None = Field(description="To the minute or so.")


class MadeKey(Key):
    """A new API key; `key` is shown this once."""

    model_config = example(**_KEY, key="lk_…")
    key: str | None = Field(description="Shown once; a repeated request with its Idempotency-Key shows null.")


class Keys(Shown):
    """The workspace's keys, the newest first."""

    model_config = example(items=[_KEY], next_cursor=None)
    items: list[Key]
    next_cursor: NextCursor


class NewUser(Body):
    """A person of the workspace."""

    model_config = example(email="noor@voorbeeld.nl", role="member")
    email: Email
    role: Literal["admin", "member", "viewer"]


class User(Shown):
    """A person of the workspace."""

    model_config = example(id=_ID, email="noor@voorbeeld.nl", role="member", created_at=_AT)
    id: UUID
    email: str
    role: str
    created_at: At


class Users(Shown):
    """The people of the workspace."""

    model_config = example(items=[User.model_config["json_schema_extra"]["example"]], next_cursor=None)  # type: ignore[index]
    items: list[User]
    next_cursor: NextCursor


class NewWorkspace(Body):
    """A workspace to be made."""

    model_config = example(name="Voorbeeld")
    name: Name


class Workspace(Shown):
    """A workspace."""

    model_config = example(id=_ID, name="Voorbeeld", created_at=_AT)
    id: UUID
    name: str
    created_at: At


class Workspaces(Shown):
    """Workspaces, the oldest first."""

    model_config = example(items=[Workspace.model_config["json_schema_extra"]["example"]], next_cursor=None)  # type: ignore[index]
    items: list[Workspace]
    next_cursor: NextCursor


class Me(Shown):
    """Who the API takes the sender of a request for."""

    model_config = example(
        name="noor@voorbeeld.nl",
        role="member",
        acts_for="noor@voorbeeld.nl",
        key_id=_ID,
        workspace=Workspace.model_config["json_schema_extra"]["example"],  # type: ignore[index]
    )
    name: str = Field(description="How histories call them: the person the key acts for, else the key's name.")
    role: Role
    acts_for: str | None = Field(description="The person the key acts for, and claims leads for.")
    key_id: UUID
    workspace: Workspace = Field(description="The one that `X-Workspace` names, or else the key's.")


class AuditEntry(Shown):
    """One thing that was done to the workspace."""

    model_config = example(
        id=_ID, at=_AT, actor="noor@voorbeeld.nl", action="key.created", detail={"id": _ID, "role": "member"}
    )
    id: UUID
    at: At
    actor: str = Field(description="The person a key acts for, else the key's name, or `command line`.")
    action: str = Field(description="Such as `key.created`; what an operator asked from elsewhere, such as `GET /…`.")
    detail: dict[str, Any]


class Audit(Shown):
    """What was done to the workspace, the newest first."""

    model_config = example(items=[AuditEntry.model_config["json_schema_extra"]["example"]], next_cursor=None)  # type: ignore[index]
    items: list[AuditEntry]
    next_cursor: NextCursor


Reach = Literal["campaign", "workspace"]
Unknown = Literal["create", "wait"]
_REACH: Final = "Where an unsubscribe forbids further mail: in its campaign, or in the whole workspace."
_UNKNOWN: Final = "What an answer from an address no lead has becomes: a lead, or an item that waits for a person."
_DAYS: Final = "Days for which deliveries of webhooks are kept with all they said."


class Choice(Body):
    """Settings to be changed."""

    model_config = example(unsubscribe="workspace")
    unsubscribe: Reach = Field("campaign", description=_REACH)
    unknown_replies: Unknown = Field("create", description=_UNKNOWN)
    delivery_days: Whole = Field(90, ge=1, le=3650, description=_DAYS)


class Choices(Shown):
    """Every setting of a workspace."""

    model_config = example(unsubscribe="campaign", unknown_replies="create", delivery_days=90)
    unsubscribe: Reach = Field("campaign", description=_REACH)
    unknown_replies: Unknown = Field("create", description=_UNKNOWN)
    delivery_days: int = Field(90, description=_DAYS)
