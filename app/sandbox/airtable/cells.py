"""What a write turns into: every cell of a request is checked and normalised before anything is stored.

A request that fails leaves no trace, options created by `typecast` included: all or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from app.sandbox.airtable.errors import ApiError, missing_row, unknown_field
from app.sandbox.airtable.schema import NUMBERS, TEXT, Choice, Field
from app.sandbox.airtable.times import iso

if TYPE_CHECKING:
    from app.sandbox.airtable.table import Table

BULLET = re.compile(r"^(\s*)[*+] ", re.MULTILINE)


class Writer:
    """Checks the cells of one request; `commit` makes its new select options real."""

    def __init__(self, table: Table, *, typecast: bool = False, may_add_choices: bool = True) -> None:
        self.table = table
        self.typecast = typecast
        self.may_add_choices = may_add_choices
        self.pending: list[tuple[Field, Choice]] = []

    def fields(self, names: Mapping[str, Any]) -> list[Field]:
        """Returns the fields a request names, by name or id."""
        found = [self.table.field(name) for name in names]
        for name, item in zip(names, found, strict=True):
            if item is None:
                raise unknown_field(name)
        return [item for item in found if item is not None]

    def cells(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the stored value per field id; None clears the cell."""
        items = self.fields(named)
        return {item.id: self.cell(item, value) for item, value in zip(items, named.values(), strict=True)}

    def cell(self, item: Field, value: Any) -> Any:
        """Returns the stored form of one value."""
        if item.is_computed:
            message = f'Field "{item.name}" cannot accept a value because the field is computed'
            raise ApiError(422, "INVALID_VALUE_FOR_COLUMN", message)
        if item.type == "richText" and value in (None, ""):
            return "\n" if self.table.store.switches.rich_text_null_is_newline else None
        if value is None or value in ("", []):
            return None
        stored = self._normal(item, value)
        return None if stored in ("", []) else stored

    def commit(self) -> None:
        """Adds the options that `typecast` asked for."""
        for item, choice in self.pending:
            self.table.add_choice(item, choice)
        self.pending.clear()

    def _normal(self, item: Field, value: Any) -> Any:
        if item.type in TEXT:
            return self._text(item, value)
        if item.type in NUMBERS or item.type == "rating":
            return self._number(item, value)
        match item.type:
            case "checkbox":
                return self._checkbox(item, value)
            case "date":
                return self._date(item, value)
            case "dateTime":
                return self._date_time(item, value)
            case "singleSelect":
                return self._choice(item, value)
            case "multipleSelects":
                names = [value] if self.typecast and isinstance(value, str) else self._list(item, value)
                return list(dict.fromkeys(self._choice(item, name) for name in names))
            case "singleCollaborator":
                return self._person(item, value)
            case "multipleCollaborators":
                return [self._person(item, one) for one in self._list(item, value)]
            case "multipleRecordLinks":
                return [self._link(item, one) for one in self._list(item, value)]
            case "multipleAttachments":
                return [self._attachment(item, one) for one in self._list(item, value)]
        if isinstance(value, dict) and isinstance(value.get("text"), str):  # barcode
            return {key: value[key] for key in ("text", "type") if value.get(key)}
        raise refused(item)

    def _text(self, item: Field, value: Any) -> str:
        if self.typecast and isinstance(value, int | float):
            value = "true" if value is True else str(value)
        if not isinstance(value, str):
            raise refused(item)
        return rich(value) if item.type == "richText" else value

    def _number(self, item: Field, value: Any) -> float:
        if self.typecast and isinstance(value, str):
            try:
                value = float(value.replace(",", ""))
            except ValueError:
                raise refused(item) from None
            value = int(value) if isfinite(value) and value == int(value) else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise refused(item)
        if item.type == "rating" and (value != int(value) or not 1 <= value <= item.options["max"]):
            raise refused(item)
        return value

    def _checkbox(self, item: Field, value: Any) -> bool | None:
        if self.typecast and not isinstance(value, bool):
            value = str(value).lower() in ("true", "1", "yes", "checked")
        if not isinstance(value, bool):
            raise refused(item)
        return value or None

    def _date(self, item: Field, value: Any) -> str:
        if not isinstance(value, str):
            raise refused(item)
        try:
            return (date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value)).isoformat()[:10]
        except ValueError:
            raise refused(item) from None

    def _date_time(self, item: Field, value: Any) -> str:
        # An ISO string or, as recorded, milliseconds since 1970; without a zone it means the field's own.
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return iso(value / 1000)
            moment = datetime.fromisoformat(value)
        except (ValueError, TypeError, OverflowError, OSError):
            raise refused(item) from None
        if moment.tzinfo is None:
            zone = item.options.get("timeZone", "utc")
            moment = moment.replace(tzinfo=UTC if zone in ("utc", "client") else ZoneInfo(zone))
        return iso(moment.timestamp())

    def _choice(self, item: Field, value: Any) -> str:
        if self.typecast and isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            raise refused(item)
        known = item.choice_named(value) or next((c for f, c in self.pending if f is item and c.name == value), None)
        if known:
            return known.id
        if not (self.typecast and self.may_add_choices):
            message = f'Insufficient permissions to create new select option ""{value}""'
            raise ApiError(422, "INVALID_MULTIPLE_CHOICE_OPTIONS", message)
        choice = Choice(self.table.store.new_id("sel"), value)
        self.pending.append((item, choice))
        return choice.id

    def _person(self, item: Field, value: Any) -> str:
        wanted = {"id": value} if isinstance(value, str) else value
        if isinstance(wanted, dict):
            for person in self.table.base.collaborators.values():
                if wanted.get("id") == person.id or ("id" not in wanted and wanted.get("email") == person.email):
                    return person.id
        raise refused(item)

    def _link(self, item: Field, value: Any) -> str:
        if not isinstance(value, str):
            raise refused(item)
        if value not in self.table.base.tables[item.options["linkedTableId"]].records:
            raise missing_row(value)
        return value

    def _attachment(self, item: Field, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not ({"url", "id"} & value.keys()):
            raise ApiError(422, "INVALID_ATTACHMENT_OBJECT", f'Invalid attachment object for field "{item.name}"')
        if "url" not in value:
            return {"id": str(value["id"])}
        url = str(value["url"])
        name = value.get("filename") or url.rstrip("/").rsplit("/", 1)[-1]
        return {"id": self.table.store.new_id("att"), "url": url, "filename": str(name)}

    def _list(self, item: Field, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise refused(item)
        return value


def refused(item: Field) -> ApiError:
    return ApiError(422, "INVALID_VALUE_FOR_COLUMN", f'Field "{item.name}" cannot accept the provided value')


def rich(text: str) -> str:
    """Returns rich text as Airtable gives it back: dashes for bullets, a newline at the end."""
    text = BULLET.sub(r"\1- ", text)
    return text if text.endswith("\n") else text + "\n"
