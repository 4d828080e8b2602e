"""Field definitions: which types there are, what their options default to, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TEXT = frozenset({"singleLineText", "multilineText", "richText", "email", "url", "phoneNumber"})
NUMBERS = frozenset({"number", "currency", "percent", "duration"})
SELECTS = frozenset({"singleSelect", "multipleSelects"})
OTHERS = frozenset(
    {
        *("rating", "checkbox", "date", "dateTime", "singleCollaborator", "multipleCollaborators"),
        *("multipleRecordLinks", "multipleAttachments", "barcode"),
    }
)
WRITABLE = TEXT | NUMBERS | SELECTS | OTHERS
COMPUTED = frozenset(
    {
        *("formula", "rollup", "multipleLookupValues", "count", "autoNumber", "createdTime", "createdBy"),
        *("lastModifiedTime", "lastModifiedBy", "button", "aiText", "externalSyncSource"),
    }
)
#: what an upsert may merge on, and what may or may not work
MERGEABLE = frozenset({"number", "singleLineText", "multilineText", "date"}) | SELECTS
CONTACT = frozenset({"email", "url", "phoneNumber"})

ISO_DATE = {"name": "iso", "format": "YYYY-MM-DD"}
ISO_DATE_TIME = {"dateFormat": ISO_DATE, "timeFormat": {"name": "24hour", "format": "HH:mm"}, "timeZone": "utc"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "number": {"precision": 0},
    "percent": {"precision": 0},
    "currency": {"precision": 2, "symbol": "$"},
    "duration": {"durationFormat": "h:mm"},
    "rating": {"icon": "star", "color": "yellowBright", "max": 5},
    "checkbox": {"icon": "check", "color": "greenBright"},
    "date": {"dateFormat": ISO_DATE},
    "dateTime": ISO_DATE_TIME,
    "multipleAttachments": {"isReversed": False},
    "multipleRecordLinks": {"isReversed": False, "prefersSingleRecordLink": False},
    "createdTime": {"result": {"type": "dateTime", "options": ISO_DATE_TIME}},
    "lastModifiedTime": {
        "isValid": True,
        "referencedFieldIds": None,
        "result": {"type": "dateTime", "options": ISO_DATE_TIME},
    },
    "formula": {"isValid": True, "formula": "", "referencedFieldIds": [], "result": None},
    "rollup": {"isValid": True, "recordLinkFieldId": None, "fieldIdInLinkedTable": None, "result": None},
    "count": {"isValid": True, "recordLinkFieldId": None},
    "multipleLookupValues": {"isValid": True, "recordLinkFieldId": None, "fieldIdInLinkedTable": None},
}
#: what a create-field request has to bring along
REQUIRED: dict[str, frozenset[str]] = {
    "number": frozenset({"precision"}),
    "percent": frozenset({"precision"}),
    "currency": frozenset({"precision", "symbol"}),
    "duration": frozenset({"durationFormat"}),
    "rating": frozenset({"icon", "color", "max"}),
    "checkbox": frozenset({"icon", "color"}),
    "date": frozenset({"dateFormat"}),
    "dateTime": frozenset({"dateFormat", "timeFormat", "timeZone"}),
    "singleSelect": frozenset({"choices"}),
    "multipleSelects": frozenset({"choices"}),
    "multipleRecordLinks": frozenset({"linkedTableId"}),
}


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field to be created; select choices may be plain names."""

    name: str
    type: str = "singleLineText"
    options: Mapping[str, Any] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table to be created; the first field becomes the primary one."""

    name: str
    fields: tuple[FieldSpec, ...] | list[FieldSpec]
    description: str | None = None


@dataclass(slots=True)
class Choice:
    """One option of a select field; cells hold its id, so a rename reaches all of them at once."""

    id: str
    name: str
    color: str = "blueLight2"


@dataclass(slots=True)
class Field:
    """One column; its id survives renames and type changes."""

    id: str
    name: str
    type: str
    options: dict[str, Any]
    description: str | None = None
    choices: dict[str, Choice] = field(default_factory=dict)

    @property
    def is_computed(self) -> bool:
        return self.type not in WRITABLE

    def choice_named(self, name: str) -> Choice | None:
        """Returns the option with exactly this name."""
        return next((choice for choice in self.choices.values() if choice.name == name), None)


def build(spec: FieldSpec, field_id: str, new_id: Callable[[str], str]) -> Field:
    """Returns the field of a spec, with the defaults of its type filled in."""
    options = {**DEFAULTS.get(spec.type, {}), **(spec.options or {})}
    choices = [_choice(raw, new_id) for raw in options.pop("choices", ())] if spec.type in SELECTS else []
    return Field(field_id, spec.name, spec.type, options, spec.description, {c.id: c for c in choices})


def _choice(raw: str | Mapping[str, Any], new_id: Callable[[str], str]) -> Choice:
    given = {"name": raw} if isinstance(raw, str) else raw
    return Choice(given.get("id") or new_id("sel"), given["name"], given.get("color", "blueLight2"))


def field_model(item: Field) -> dict[str, Any]:
    """Returns a field as the schema endpoints show it."""
    model: dict[str, Any] = {"id": item.id, "name": item.name, "type": item.type}
    if item.description is not None:
        model["description"] = item.description
    options = dict(item.options)
    if item.type in SELECTS:
        options["choices"] = [{"id": c.id, "name": c.name, "color": c.color} for c in item.choices.values()]
    if options:
        model["options"] = options
    return model


def referenced(item: Field) -> tuple[str, ...] | None:
    """Returns the ids a lastModifiedTime field watches; None: all of them."""
    ids: Iterable[str] | None = item.options.get("referencedFieldIds")
    return tuple(ids) if ids else None


def is_date_only(item: Field) -> bool:
    """Tells whether a createdTime or lastModifiedTime field shows the day only."""
    return bool((item.options.get("result") or {}).get("type") == "date")
