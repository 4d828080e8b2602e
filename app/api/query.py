"""What a query may name: parameters of its route, each once. A typing mistake must not look like an answer."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import QueryParams

from app.api.errors import Problem

#: Characters of an unknown name that are said again.
_SAID = 100


def read(query: bytes, known: Collection[str]) -> QueryParams:
    """Returns the parameters of a query; answers 422 to one that is unknown or comes twice, and says which."""
    given = QueryParams(query)
    names = [name for name, _ in given.multi_items()]
    for name in names:
        if name not in known:
            raise unknown("parameter", name[:_SAID], known)
        if names.count(name) > 1:
            detail = "It comes more than once: send it once, several values of a filter comma-separated."
            raise Problem(422, f"The parameter {name} cannot be used twice.", [{"parameter": name, "detail": detail}])
    return given


def unknown(what: str, parameter: str, allowed: Collection[str]) -> Problem:
    """Returns the refusal of a name that is not among those there are."""
    remedy = f"use one of {', '.join(allowed)}" if allowed else "send none, this address takes none"
    return Problem(
        422,
        f"There is no such {what}: {remedy}.",
        [{"parameter": parameter, "detail": f"{remedy[0].upper()}{remedy[1:]}."}],
        extra={"allowed": list(allowed)},
    )
