"""Canonical: what somebody says of a lead's fields, checked, and in the form in which it is stored and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.domain import normalize, policy
from app.domain.ladder import STATUS_LADDER
from app.domain.mapping import DECODERS
from app.domain.normalize import Unreadable
from app.domain.values import JSON, is_empty
from app.errors import LeadkeeperError
from app.sync import size

#: Characters; what one text field and one note may hold, and what a request may send of all notes.
TEXT_LIMIT, NOTE_LIMIT, NOTES_LIMIT = 10_000, 20_000, size.MOST["notes"]
#: Characters a key of `custom` may have.
KEY_LIMIT = 200
#: What a request sends for a field of these kinds, and how that is called; text for all others.
_SENT: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "boolean": (bool, "true or false"),
    "integer": (int, "a number"),
    "number": ((int, float), "a number"),
    "set": (list, "a list of texts"),
}
#: What is sent for a field of these kinds, for whoever sent something else.
_SAMPLES: Final = {"date": "2026-03-02", "instant": "2026-03-02T09:15:00Z", "email": "noor@voorbeeld.nl"}
#: Kinds of fields that frontends show as links; what tools bring there is kept as it is.
LINKS: Final = frozenset({"url", "linkedin"})
#: What is shown of every lead beside its fields.
KEPT: Final = frozenset({"id", "version", "created_by", "created_at", "updated_at"})
#: Amounts stay below this, as they are stored with 18 digits of which 4 are decimals.
AMOUNT_LIMIT = 10**14


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why one field of a request cannot be taken."""

    #: empty: the request as a whole
    field: str
    message: str
    #: the keys of the request below which the field is
    within: tuple[str, ...] = ()


class InvalidFields(LeadkeeperError):
    """Some fields cannot be taken as they are."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        self.problems = problems
        super().__init__(" ".join(f"{p.field}: {p.message}" for p in problems))


def canonical(changes: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns a request's fields in canonical form, `custom` and `metadata` as objects.

    Raises:
        InvalidFields: with every problem, by field.
    """
    values: dict[str, JSON] = {}
    problems: list[FieldProblem] = []
    for name, raw in changes.items():
        try:
            values[name] = _canonical(name, raw)
        except Unreadable as exc:
            sample = _SAMPLES.get(policy.field(name).kind)
            problems.append(FieldProblem(name, f"{exc.plain} Send one such as {sample}." if sample else exc.plain))
        except ValueError as exc:
            problems.append(FieldProblem(name, str(exc)))
    if problems:
        raise InvalidFields(problems)
    return values


def _canonical(name: str, raw: JSON) -> JSON:
    if name in KEPT:
        raise ValueError("This field is read-only: Leadkeeper keeps it.")
    if name not in policy.FIELDS and name != "custom":
        raise ValueError("There is no such field.")
    if name != "custom" and name not in policy.WRITABLE:
        raise ValueError("This field is read-only: it is kept by the sync.")
    if name in ("custom", "metadata"):
        if raw is not None and not isinstance(raw, Mapping):
            raise ValueError("It is an object of keys and values.")
        if name == "custom" and any(normalize.text(key) is None or len(key) > KEY_LIMIT for key in raw or ()):
            raise ValueError(f"Each of its keys has 1 to {KEY_LIMIT} characters.")
        return raw
    if raw is None:
        if name == "status":
            raise ValueError(f"A lead always has a status: one of {', '.join(STATUS_LADDER)}.")
        return None
    if name == "status" and raw not in STATUS_LADDER:
        raise ValueError(f"There is no such status: it is one of {', '.join(STATUS_LADDER)}.")
    kind = policy.field(name).kind
    _check_sent(kind, raw)
    limit = NOTES_LIMIT if name == "notes" else TEXT_LIMIT
    if isinstance(raw, str) and len(raw) > limit:
        raise ValueError(f"It has {len(raw):,} characters; {limit:,} is the most.")
    if kind in LINKS and not normalize.opens(raw):
        raise ValueError("It is an address that begins with https:// or http://, or with no scheme at all.")
    value = DECODERS[kind](raw)
    if isinstance(value, int | float) and abs(value) >= AMOUNT_LIMIT:
        raise ValueError(f"It is a number below {AMOUNT_LIMIT:,}.")
    return None if is_empty(value) else value


def _check_sent(kind: str, raw: JSON) -> None:
    """Refuses what is not of the field's JSON type: a provider's cells are read leniently, requests are not."""
    wanted, called = _SENT.get(kind, (str, "text"))
    texts = all(isinstance(item, str) for item in raw) if isinstance(raw, list) else True
    if not isinstance(raw, wanted) or (isinstance(raw, bool) and wanted is not bool) or not texts:
        raise ValueError(f"It is {called}.")
