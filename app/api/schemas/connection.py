"""The shapes of connections: what is asked for, what is shown, never a secret."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from app.api.schemas.shape import WHOLE, At, Body, Flag, Name, NextCursor, Shown, example
from app.domain.cells import Strategy

_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00Z"


def _plain(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable() and text.strip()):
        raise ValueError("It has letters, digits and signs only: copy it again.")
    return SecretStr(text.strip())


_PLAIN: Final[dict[str, Any]] = {"pattern": "^ *[!-~][ -~]*$"}
Secret = Annotated[SecretStr, Field(min_length=1, max_length=500, json_schema_extra=_PLAIN), AfterValidator(_plain)]
WebhookSecret = Annotated[
    SecretStr, Field(min_length=16, max_length=500, json_schema_extra=_PLAIN), AfterValidator(_plain)
]
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class AirtableConfig(Body):
    """Which table."""

    base_id: Identifier = Field(description="app…")
    table_id: Identifier = Field(description="tbl…")


class AirtableSecret(Body):
    """What opens it."""

    token: Secret = Field(description="pat…; write-only.")


Pacing = Annotated[float, Field(ge=0, le=60, strict=True, description="Seconds of rest between two campaigns.")]


class InstantlyConfig(Body):
    """Which campaigns, and how fast they are read."""

    campaign_ids: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, max_length=1000, description="By default all of them."
    )
    pacing_seconds: Pacing = 0.5


class InstantlySecret(Body):
    """What opens it."""

    api_key: Secret = Field(description="Write-only.")
    webhook_secret: WebhookSecret | None = Field(
        None,
        description=(
            "What Instantly's webhooks show here, by which a delivery is known to be this account's; at least 16"
            " characters, write-only. Left out, one is made. One that is sent replaces the account's."
        ),
    )


class MappedColumn(Body):
    """One lead field and the remote column that carries it."""

    field: str = Field(max_length=200, description="A lead field, or custom.<key>.")
    remote: str = Field(max_length=200, description="A column's id or name; it is kept by id.")
    direction: Literal["pull", "push", "both"] | None = None
    rule: str | None = None
    values: dict[str, str] | None = Field(None, description="Remote option to lead value.")


Mapping = Literal["auto"] | list[MappedColumn]
Create = Literal["none", "all", "default"] | dict[str, Any]
Minutes = Annotated[int, Field(ge=1, le=1440), WHOLE]
Priority = Annotated[int, Field(ge=0, le=10_000), WHOLE]


class _NewConnection(Body):
    name: Name | None = Field(None, description="By default the provider's name.")
    mapping: Mapping = Field("auto", description="`auto` proposes from column names; the answer shows what it chose.")
    conflict_strategy: Strategy = Strategy.REMOTE_WINS
    create: Create = Field("default", description="Which leads are created there: none, all, or a filter.")
    priority: Priority = Field(100, description="The smaller one outranks the greater.")
    schedule_minutes: Minutes | None = None
    auto_approve: Flag = Field(False, description="Apply the first plan without asking.")


class NewAirtable(_NewConnection):
    """An Airtable table to keep in agreement."""

    model_config = example(
        provider="airtable",
        name="Sales",
        config={"base_id": "appAAAAAAAAAAAAAA", "table_id": "tblAAAAAAAAAAAAAA"},
        secret={"token": "patAAAAAAAAAAAAAA.0123456789abcdef"},
        mapping="auto",
        conflict_strategy="remote_wins",
        create={"status": ["replied", "booked"]},
    )
    provider: Literal["airtable"]
    config: AirtableConfig
    secret: AirtableSecret


class NewInstantly(_NewConnection):
    """An Instantly workspace to read from."""

    model_config = example(
        provider="instantly",
        config={"campaign_ids": None, "pacing_seconds": 0.5},
        secret={"api_key": "0123456789abcdef"},
    )
    provider: Literal["instantly"]
    config: InstantlyConfig = InstantlyConfig()
    secret: InstantlySecret


NewConnection = Annotated[NewAirtable | NewInstantly, Field(discriminator="provider")]


def _kept() -> SecretStr:
    return SecretStr("the one it has stays")


class ChangedConfig(Body):
    """How fast campaigns are read."""

    pacing_seconds: Pacing


class ChangedSecret(Body):
    """What opens the account from now on, or what its webhooks show here."""

    token: Secret = Field(default_factory=_kept, description="Of Airtable, tried before it is kept: pat…; write-only.")
    webhook_secret: WebhookSecret = Field(
        default_factory=_kept,
        description="Of Instantly, which is told of it: at least 16 characters, write-only.",
    )


class ConnectionSettings(Body):
    """Settings to change; what is left out stays."""

    model_config = example(schedule_minutes=30, conflict_strategy="manual")
    name: Name = "x"
    mapping: Mapping = "auto"
    conflict_strategy: Strategy = Strategy.REMOTE_WINS
    create: Create = "default"
    priority: Priority = 100
    schedule_minutes: Minutes = 15
    auto_approve: Flag = False
    config: ChangedConfig = Field(
        default_factory=lambda: ChangedConfig(pacing_seconds=0.5), description="Of Instantly."
    )
    secret: ChangedSecret = Field(default_factory=ChangedSecret, description="A new one; the former is forgotten.")


class Gap(Shown):
    """When nothing was delivered."""

    since: At = Field(alias="from")
    to: At | None = Field(description="null: it is not over.")
    why: str


class Webhook(Shown):
    """The webhook of a connection's account, which is registered and watched by itself."""

    state: Literal["unknown", "unset", "active", "disabled", "refused"] = Field(
        description="`unset`: PUBLIC_URL is not set; `refused`: the key or the plan does not allow webhooks."
    )
    message: str | None = Field(description="What is wrong with it, and what helps.")
    since: At | None = Field(description="Registered since.")
    checked_at: At | None
    gap: Gap | None = Field(description="The last time nothing was delivered, within a week; all of it was read again.")
    mails: str | None = Field(description="Why replies cannot be read from the mailboxes as well.")


class Connection(Shown):
    """A configured account of a provider; secrets are never shown."""

    model_config = example(
        id=_ID, provider="airtable", name="Sales",
        config={"base_id": "appAAAAAAAAAAAAAA", "table_id": "tblAAAAAAAAAAAAAA"},
        mapping=[{"field": "title", "remote": "fldAAAAAAAAAAAAAA", "column": "Title", "type": "singleLineText",
                  "direction": "both", "rule": "authority"}],
        mapping_version=1, conflict_strategy="remote_wins", create={"created_by": ["user", "import"]}, priority=100,
        schedule_minutes=15, auto_approve=False, pushes=True, state="new", reason=None, next_run_at=None,
        created_at=_AT, webhook=None,
    )  # fmt: skip
    id: UUID
    provider: str
    name: str
    config: dict[str, Any]
    mapping: list[dict[str, Any]] = Field(description="Which column carries which field, which way, by which rule.")
    mapping_version: int
    conflict_strategy: str
    create: dict[str, Any] = Field(validation_alias="create_policy", description="Which leads are created there.")
    priority: int
    schedule_minutes: int
    auto_approve: bool
    pushes: bool
    state: Literal["new", "active", "paused", "stopped"]
    reason: str | None
    next_run_at: At | None
    created_at: At
    webhook: Webhook | None = Field(None, description="Of Instantly.")


class Connections(Shown):
    """The workspace's connections, the oldest first."""

    model_config = example(items=[Connection.model_config["json_schema_extra"]["example"]], next_cursor=None)  # type: ignore[index]
    items: list[Connection]
    next_cursor: NextCursor


class Tested(Shown):
    """Whether a connection works, in one sentence."""

    model_config = example(ok=True, message="Sales works: 24 columns, 19 of them mapped, 17 written to.")
    ok: bool
    message: str


class RemoteColumn(Shown):
    """A column as the provider describes it."""

    id: str
    name: str
    type: str
    writable: bool
    options: list[str]


class RemoteColumns(Shown):
    """The columns of a connection's target."""

    model_config = example(
        columns=[
            {"id": "fldAAAAAAAAAAAAAA", "name": "Title", "type": "singleLineText", "writable": True, "options": []}
        ]
    )
    columns: list[RemoteColumn]
