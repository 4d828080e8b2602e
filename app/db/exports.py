"""Exports: Postgres renders the rows of one statement and the service passes them on, so memory stays flat.

`COPY (query) TO STDOUT` runs under row-level security like any query (only COPY of a whole table into one is refused),
sees one moment of the database, and waits while nobody reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

from app.db import lead_list, lead_queries
from app.db.session import Tx
from app.domain import policy

Format = Literal["csv", "ndjson"]
Write = Callable[[bytes], Awaitable[None]]
#: Seconds an export may take: an old transaction keeps vacuum from cleaning up.
LONGEST: Final = 1800.0
FIELDS: Final = tuple(lead_queries.COLUMNS)

#: A cell that begins with one of these runs as a formula in some spreadsheet: tab, line ends, + - = @ and their
#: full-width forms (OWASP, "CSV Injection").
_STARTS: Final = ", ".join(str(ord(c)) for c in "\t\n\r+-=@＋－＝＠")
_AS_TEXT: Final = frozenset({"text", "name", "email", "phone", "linkedin", "url", "domain", "status", "notes"})


async def leads(
    tx: Tx,
    write: Write,
    *,
    format: Format,
    fields: Sequence[str] = FIELDS,
    filters: Mapping[str, Any] | None = None,
    search: str | None = None,
) -> None:
    """Writes the leads that are not deleted and pass, in no particular order, with these of `FIELDS`.

    In CSV a text that a spreadsheet would run begins with an apostrophe; lists and objects are JSON; empty is nothing.
    """
    args: list[Any] = [tx.workspace_id]
    where = lead_list.conditions(filters or {}, args)
    if search is not None:
        where += f" AND {lead_list.searched(search, await lead_list.find(tx, search), args)}"
    if format == "csv":
        sql = f"SELECT {', '.join(f'{_cell(name)} AS {name}' for name in fields)} FROM lead l WHERE {where}"
        options: dict[str, Any] = {"format": "csv", "header": True}
    else:
        shown = ", ".join(map(lead_queries.column, fields))
        sql = f"SELECT row_to_json(shown) FROM lead l, LATERAL (SELECT {shown}) AS shown WHERE {where}"
        # JSON holds no control character, so nothing of it is ever quoted or escaped a second time
        options = {"format": "csv", "quote": "\x01", "delimiter": "\x02"}
    await tx.copy(sql, *args, to=write, seconds=LONGEST, **options)


def _cell(name: str) -> str:
    kind = policy.FIELDS[name].kind if name in policy.FIELDS else ""
    column = f"l.{name}"
    if kind in _AS_TEXT:
        return f"CASE WHEN ascii({column}) IN ({_STARTS}) THEN '''' || {column} ELSE {column} END"
    if kind == "boolean":
        return f"{column}::text"
    if kind == "set":
        return f"to_json({column})::text"
    return lead_queries.column(name).removesuffix(f" AS {name}")
