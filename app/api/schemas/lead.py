"""The shape of a lead, made from the policy table: a field added there appears here by itself."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from app.api.schemas.shape import At, Body, Name, NextCursor, Shown, example
from app.domain import policy
from app.domain.ladder import DELIVERY_LADDER, STATUS_LADDER
from app.domain.normalize import OPENS, SAYS_SOMETHING
from app.sync.canonical import AMOUNT_LIMIT, KEY_LIMIT, LINKS, NOTE_LIMIT

_TEXT: Final = {"type": "string", "maxLength": 10_000}
_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "email": {"type": "string", "format": "email"},
    "instant": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number", "exclusiveMinimum": -AMOUNT_LIMIT, "exclusiveMaximum": AMOUNT_LIMIT},
    "status": {"type": "string", "enum": list(STATUS_LADDER)},
    "delivery": {"type": "string", "enum": list(DELIVERY_LADDER)},
    "set": {"type": "array", "items": {"type": "string"}},
    "object": {"type": "object", "additionalProperties": True},
    "notes": {"type": "string", "maxLength": 1_000_000},
}
_EXAMPLES: Final[dict[str, Any]] = {
    "email": "noor.devries@voorbeeld.nl",
    "full_name": "Noor de Vries",
    "first_name": "Noor",
    "last_name": "de Vries",
    "company_name": "Voorbeeld B.V.",
    "company_domain": "voorbeeld.nl",
    "title": "Hoofd inkoop",
    "location": "Utrecht",
    "company_website": "https://voorbeeld.nl",
    "verified": True,
    "enriched": False,
    "needs_enrichment": True,
    "source": "beurs",
    "phone": "+31301234567",
    "linkedin_url": "https://www.linkedin.com/in/noordevries",
    "deal_value": 12500,
    "next_action": "offerte sturen",
    "next_action_date": "2026-03-14",
    "status": "replied",
    "is_positive_reply": True,
    "email_open_count": 3,
    "email_click_count": 1,
    "email_reply_count": 1,
    "campaigns": ["Voorjaar"],
    "metadata": {},
    "notes": "Belde terug, wil een offerte.",
}
_ID: Final = "01980a3c-5f6e-7c3a-9d55-0c8f4f2f6a10"
_AT: Final = "2026-03-02T09:15:00.000Z"


def _field(row: policy.Field, *, writing: bool) -> tuple[Any, Any]:
    schema = dict(_SCHEMAS.get(row.kind, _TEXT))
    if writing and row.kind in LINKS:
        schema["pattern"] = OPENS
    never_empty = (row.name in policy.COUNTERS and not writing) or row.name == "status"
    shape = schema if never_empty else {"anyOf": [schema, {"type": "null"}]}
    extra = {} if row.user == "read-write" else {"readOnly": True}
    default = None if writing else ...
    return Annotated[Any, WithJsonSchema(shape | extra)], Field(default, description=_told(row))


def _told(row: policy.Field) -> str:
    """Says what a field is, and who may change it."""
    return f"{row.note}. {row.reason[0].upper()}{row.reason[1:]}."


def _object(note: str, *, writing: bool, **names: Any) -> tuple[Any, Any]:
    schema = {"anyOf": [_SCHEMAS["object"] | names, {"type": "null"}]} if writing else _SCHEMAS["object"]
    return Annotated[Any, WithJsonSchema(schema)], Field(None if writing else ..., description=note)


_CUSTOM: Final = "Columns nobody foresaw, by key; each key is a field of its own."
_MERGED: Final = "Merged in (RFC 7396); a key that is set to null is emptied, and is shown as null from then on."

Lead: type[BaseModel] = create_model(
    "Lead",
    __base__=Shown,
    __doc__="A lead: the golden record.",
    id=(UUID, ...),
    version=(int, Field(description="Moves with every change; it is the ETag.")),
    **{
        name: _object(_told(row), writing=False) if name == "metadata" else _field(row, writing=False)
        for name, row in policy.FIELDS.items()
    },
    custom=_object(_CUSTOM, writing=False),
    created_by=(
        str,
        Field(
            description="Where it came from first; `user` is a person.", json_schema_extra={"enum": [*policy.Source]}
        ),
    ),
    created_at=(At, Field(description="When it was added here.")),
    updated_at=(At, Field(description="When it last changed, whoever changed it.")),
)  # type: ignore[call-overload]
EXAMPLE: Final[dict[str, Any]] = {
    "id": _ID,
    "version": 7,
    **{name: _EXAMPLES.get(name) for name in policy.FIELDS},
    "custom": {"beurs_stand": "B12"},
    "created_by": "user",
    "created_at": _AT,
    "updated_at": _AT,
}
Lead.model_config["json_schema_extra"] = {"example": EXAMPLE}
Lead.model_rebuild(force=True)


def _parts(schema: dict[str, Any]) -> None:
    schema |= {"required": ["id"], "example": EXAMPLE}


class LeadRow(Lead):
    """A lead in a list: everything, or the id and what `fields` asked for."""

    model_config = ConfigDict(json_schema_extra=_parts)


class LeadBody(BaseModel):
    """Fields of a lead as somebody sends them; each is checked by name, so nothing is dropped silently."""

    model_config = ConfigDict(extra="allow")

    def given(self) -> dict[str, Any]:
        """Returns exactly what was sent."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


LeadFields: type[LeadBody] = create_model(
    "LeadFields",
    __base__=LeadBody,
    __doc__="Fields of a lead; unknown and read-only ones are refused by name.",
    **{
        name: _field(row, writing=True)
        for name, row in policy.FIELDS.items()
        if name in policy.WRITABLE and name != "metadata"
    },
    metadata=_object(f"{policy.FIELDS['metadata'].note}. Merged in (RFC 7396).", writing=True),
    custom=_object(
        f"{_CUSTOM} {_MERGED}", writing=True, propertyNames={"maxLength": KEY_LIMIT, "pattern": SAYS_SOMETHING}
    ),
)  # type: ignore[call-overload]
LeadFields.model_config["json_schema_extra"] = {
    "additionalProperties": False,
    "example": {"email": _EXAMPLES["email"], "full_name": _EXAMPLES["full_name"], "company_name": "Voorbeeld B.V."},
}
LeadFields.model_rebuild(force=True)


class LeadPage(Shown):
    """A page of leads."""

    model_config = example(items=[EXAMPLE], next_cursor=None, prev_cursor=None, count=None)
    items: list[LeadRow]
    next_cursor: NextCursor
    prev_cursor: str | None = Field(description="Send it as `cursor` for the page before; null on the first one.")
    count: int | None = Field(
        description="How many there are in all, with `count=exact`; with `count=capped` 1,000 means that many or more."
    )


class DeletedLead(Shown):
    """A lead that was deleted, as far as it takes to recognise it."""

    id: UUID
    full_name: str | None
    email: str | None
    company_name: str | None
    deleted_at: At


class DeletedLeads(Shown):
    """Deleted leads, the last one first."""

    model_config = example(
        items=[
            {name: _EXAMPLES[name] for name in ("full_name", "email", "company_name")} | {"id": _ID, "deleted_at": _AT}
        ],
        next_cursor=None,
    )
    items: list[DeletedLead]
    next_cursor: NextCursor


class Claim(Body):
    """Who claims."""

    # tried out as it stands, it claims for whoever the key acts for
    model_config = example()
    claimed_by: str | None = Field(
        None,
        description="An e-mail address; by default the person the key acts for. Naming another needs an admin key.",
        json_schema_extra={"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]},
    )


class Note(Body):
    """A note."""

    model_config = example(text="Belde terug, wil een offerte.")
    text: str = Field(
        description="Up to 20,000 characters.",
        max_length=1_000_000,
        json_schema_extra={"maxLength": NOTE_LIMIT, "minLength": 1, "pattern": SAYS_SOMETHING},
    )


class Membership(Body):
    """A campaign to be in."""

    model_config = example(name="Voorjaar")
    name: Name
