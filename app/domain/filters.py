"""Conditions on lead fields: the create filter of a connection.

A filter is JSON: `{"email_reply_count[gt]": 0, "status": ["replied", "booked"], "claimed_by[is]": null}`; every
condition must hold. `created_by` is the source the lead came from.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

from app.domain import policy
from app.domain.values import JSON, is_empty
from app.errors import LeadkeeperError

#: Leads that came from a person or an import.
DEFAULT_CREATE: Final[dict[str, JSON]] = {"created_by": ["user", "import"]}
_COMPARE: Final[dict[str, Callable[[JSON, JSON], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class FilterError(LeadkeeperError):
    """A filter names something that does not exist."""


def check(create: JSON) -> dict[str, JSON]:
    """Returns a create policy as it is stored: `{"never": true}` for none, `{}` for all, or its conditions."""
    if create is None or create == "default":
        return dict(DEFAULT_CREATE)
    if create == "none":
        return {"never": True}
    if create == "all":
        return {}
    if not isinstance(create, Mapping):
        raise FilterError(f"The create policy {create!r} is none, all, or a filter such as {{'status': 'replied'}}.")
    if create == {"never": True}:
        return dict(create)
    for condition in create:
        name, op = _split(condition)
        if op not in ("eq", "is", *_COMPARE):
            raise FilterError(f"There is no operator [{op}]: use [gt], [gte], [lt], [lte] or [is].")
        if name != "created_by":
            try:
                policy.field(name)
            except KeyError:
                raise FilterError(f"There is no lead field {name!r} to filter by.") from None
    return dict(create)


def wants(create: Mapping[str, JSON], values: Mapping[str, JSON], created_by: str) -> bool:
    """Tells whether a create policy, checked before, wants a record for this lead."""
    if create.get("never"):
        return False
    return all(_holds(condition, wanted, values, created_by) for condition, wanted in create.items())


def _holds(condition: str, wanted: JSON, values: Mapping[str, JSON], created_by: str) -> bool:
    name, op = _split(condition)
    value = created_by if name == "created_by" else values.get(name)
    if op == "is":
        return is_empty(value) is (wanted is None)
    if op == "eq":
        return value in wanted if isinstance(wanted, list) else bool(value == wanted)
    try:
        return value is not None and _COMPARE[op](value, wanted)
    except TypeError:  # a text is neither more nor less than a number
        return False


def _split(condition: str) -> tuple[str, str]:
    name, bracket, rest = condition.partition("[")
    return name, rest.rstrip("]") if bracket else "eq"
