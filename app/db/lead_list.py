"""Lists of leads: the orders and filters they know, and the one statement that reads a page.

A list walks an index by its keys, never an offset, so page 10,000 costs what page 1 costs. Orders and filters are
declared here: what a request may ask for has an index or a bounded cost, and none of it is text from the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from app.db.lead_queries import columns
from app.db.session import Tx
from app.domain import policy
from app.domain.ladder import DELIVERY_LADDER, STATUS_LADDER

Kind = Literal["words", "texts", "ids", "instant", "date", "integer", "number", "boolean", "null"]
Counting = Literal["exact", "capped"]


@dataclass(frozen=True, slots=True)
class Order:
    """One declared order of the list: its key columns all run the same way.

    A column that may be empty orders those leads that have it; a list in that order shows no others.
    """

    key: tuple[str, ...]
    descending: bool
    note: str
    needs: str | None = None


def _both_ways(name: str, key: tuple[str, ...], note: str, needs: str | None = None) -> dict[str, Order]:
    return {name: Order(key, False, note, needs), f"-{name}": Order(key, True, note, needs)}


# Every index on `lead` costs every write, because a new `updated_at` makes a new entry in each of them. Therefore:
# - updated_at: what a list opens with, and how a client reads what is new.
# - id: the primary key. Ids carry their time, so this is the order of creation without an index on created_at.
# - email: look-ups by address need that index anyway; the id at its end makes it an order.
# - next_action_date: the day's work. Partial: only leads with a next action pay for it.
# Filters that have an index of their own in the order of `updated_at`, see `_BRANCHED`:
# - status: what every board and every funnel asks for.
# - claimed_by: "my leads", a portal's start page. Partial: only claimed leads pay for it.
# Names, companies and counters are found and filtered but are no orders: an index for each would slow every sync.
ORDERS: Final[dict[str, Order]] = {
    **_both_ways("updated_at", ("updated_at", "id"), "by the last change"),
    **_both_ways("id", ("id",), "by creation"),
    **_both_ways("email", ("email", "id"), "leads that have an e-mail address, by it", "email"),
    **_both_ways(
        "next_action_date",
        ("next_action_date", "id"),
        "leads that have a next action's date, by it",
        "next_action_date",
    ),
}
#: The filters whose index continues in an order's keys, the choosiest first.
_BRANCHED: Final = {"updated_at": ("claimed_by", "status")}
#: Values of such a filter that are walked side by side; more of them are looked for along the order.
_BRANCHES: Final = 10

#: What `count=capped` counts to.
CAP: Final = 1_000
#: Leads that a search finds, or a campaign has, before they are looked for along the order instead: with half a million
#: leads, both ways cost the same about here.
FOUND_AT_MOST: Final = 4_000


@dataclass(frozen=True, slots=True)
class Filter:
    """One declared filter on a field: a condition with `{}` for its parameter."""

    field: str
    kind: Kind
    sql: str
    note: str
    #: the words there are
    among: tuple[str, ...] = ()


_COMPARED: Final = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_SAMPLES: Final = {"instant": "an instant", "date": "a date", "integer": "a whole number", "number": "a number"}


#: How a value is sent that holds a comma.
_QUOTED: Final = "; one that holds a comma in double quotes"


def _any_of(name: str) -> dict[str, Filter]:
    note = f"One or more values of {name}, comma-separated{_QUOTED}."
    return {name: Filter(name, "texts", f"l.{name} = ANY({{}})", note)}


def _among(name: str, among: Iterable[str]) -> dict[str, Filter]:
    words = tuple(among)
    note = f"One or more of {', '.join(words)}, comma-separated."
    return {name: Filter(name, "words", f"l.{name} = ANY({{}})", note, words)}


def _compared(name: str, kind: Kind) -> dict[str, Filter]:
    found = {
        f"{name}[{word}]": Filter(name, kind, f"l.{name} {sign} {{}}", f"{_SAMPLES[kind]}; {name} {sign} it.")
        for word, sign in _COMPARED.items()
    }
    if kind != "instant":
        found[name] = Filter(name, kind, f"l.{name} = {{}}", f"{_SAMPLES[kind]}; {name} is it.")
    return found


def _is_set(name: str) -> dict[str, Filter]:
    note = f"`null` for leads without {name}, or `set` for those with it."
    return {f"{name}[is]": Filter(name, "null", f"(l.{name} IS NULL) = {{}}", note)}


def _true(name: str) -> dict[str, Filter]:
    return {name: Filter(name, "boolean", f"l.{name} = {{}}", "`true` or `false`.")}


#: The links of a campaign's rows at the provider.
_ROWS: Final = """
    FROM campaign c JOIN link k ON k.workspace_id = c.workspace_id AND k.connection_id = c.connection_id
        AND k.namespace = c.namespace AND k.namespace <> '' AND k.gone_at IS NULL
"""

FILTERS: Final[dict[str, Filter]] = {
    **_among("status", STATUS_LADDER),
    **_any_of("email"),
    **_is_set("email"),
    **_any_of("claimed_by"),
    **_is_set("claimed_by"),
    **_any_of("company_domain"),
    **_is_set("company_domain"),
    **_any_of("source"),
    **_is_set("source"),
    **_any_of("platform"),
    **_is_set("platform"),
    **_among("delivery_status", DELIVERY_LADDER),
    **_is_set("delivery_status"),
    **_among("created_by", policy.Source),
    "campaigns": Filter(
        "campaigns", "texts", "l.campaigns && {}", f"In one or more of these, comma-separated{_QUOTED}."
    ),
    "campaign_id": Filter(
        "campaign_id",
        "ids",
        # a scalar: the planner would turn a join around, and read the whole campaign for a page
        f"(SELECT true {_ROWS} WHERE c.workspace_id = l.workspace_id AND c.id = ANY({{}})"
        " AND k.lead_id = l.id LIMIT 1)",
        "One or more ids of campaigns as `GET /api/campaigns` lists them, comma-separated.",
    ),
    **_is_set("campaigns"),
    **_compared("updated_at", "instant"),
    **_compared("created_at", "instant"),
    **_compared("claimed_at", "instant"),
    **_compared("last_contacted_at", "instant"),
    **_is_set("last_contacted_at"),
    **_compared("next_action_date", "date"),
    **_is_set("next_action_date"),
    **{name: f for counter in policy.COUNTERS for name, f in _compared(counter, "integer").items()},
    **_compared("deal_value", "number"),
    **_is_set("phone"),
    **_is_set("linkedin_url"),
    **_true("verified"),
    **_true("enriched"),
    **_true("needs_enrichment"),
    **_true("is_positive_reply"),
    **_is_set("is_positive_reply"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A list: its order, what it is narrowed to, and what it shows."""

    order: str
    filters: Mapping[str, Any] = field(default_factory=dict)
    #: words that must all occur, the last one as the beginning of a word
    search: str | None = None
    #: what shows of each lead; None: everything
    fields: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a page begins: behind the lead with these keys, or before it."""

    keys: tuple[Any, ...]
    back: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Leads as JSON texts, the keys its neighbours begin behind and before, and the total if it was asked for."""

    items: list[str]
    next: tuple[Any, ...] | None
    prev: tuple[Any, ...] | None
    count: int | None


async def page(
    tx: Tx, query: Query, *, limit: int, start: Start | None = None, counting: Counting | None = None
) -> Page:
    """Returns a page of the leads that are not deleted."""
    found = await _few(tx, query)
    statement = Statement(tx.workspace_id, query, found)
    count = int(await tx.value(*statement.count(counting))) if counting is not None else None
    rows = await tx.all(*statement.page(limit + 1, start))
    more = len(rows) > limit
    rows = rows[:limit]
    back = start is not None and start.back
    if back:
        rows.reverse()
    key = ORDERS[query.order].key
    ends = [tuple(row[name] for name in key) for row in (rows[-1:] + rows[:1])]
    last, first = ends or (None, None)
    return Page(
        items=[row["json"] for row in rows],
        next=last if more or back else None,
        prev=first if (more if back else start is not None) else None,
        count=count,
    )


async def find(tx: Tx, words: str) -> list[UUID] | None:
    """Returns the leads in which these words occur, or None where they are too many to be listed."""
    found: list[UUID] | None = await tx.value("SELECT search_leads($1, $2)", words, FOUND_AT_MOST)
    return found


async def _few(tx: Tx, query: Query) -> list[UUID] | None:
    """Returns the leads a search finds, or else those its campaigns have, or None where they are too many or all."""
    if query.search is not None:
        return await find(tx, query.search)
    if "campaign_id" in query.filters:
        return await members(tx, query.filters["campaign_id"])
    return None


async def members(tx: Tx, campaigns: Sequence[UUID], most: int = FOUND_AT_MOST) -> list[UUID] | None:
    """Returns the leads with a row in one of these campaigns, or None where they are too many to be listed."""
    rows = await tx.all(_MEMBERS, tx.workspace_id, campaigns, most + 1)
    return [row["lead_id"] for row in rows] if len(rows) <= most else None


# a lead may come twice: to remove it, the whole campaign would be read
_MEMBERS: Final = (
    f"SELECT k.lead_id {_ROWS} WHERE c.workspace_id = $1 AND c.id = ANY($2) AND k.lead_id IS NOT NULL LIMIT $3"
)


def conditions(filters: Mapping[str, Any], args: list[Any]) -> str:
    """Returns what holds of the leads that pass the filters; `args` starts with the workspace, and grows."""
    parts = ["l.workspace_id = $1", "l.deleted_at IS NULL"]
    for name, value in filters.items():
        args.append(value)
        parts.append(FILTERS[name].sql.format(f"${len(args)}"))
    return " AND ".join(parts)


def searched(words: str, found: Sequence[UUID] | None, args: list[Any]) -> str:
    """Returns what holds of the leads in which words occur, of which `find` has found these; `args` grows."""
    if found is not None:
        return listed(found, args)
    args.append(words)
    # a scalar, because the planner takes such words for rare and would turn a join around
    query = f"(SELECT search_query($1, ${len(args)}))"
    return f"(SELECT s.words @@ {query} FROM lead_search s WHERE s.workspace_id = l.workspace_id AND s.lead_id = l.id)"


def listed(found: Sequence[UUID], args: list[Any]) -> str:
    """Returns what holds of these leads; `args` grows."""
    args.append(found)
    return f"l.id = ANY(${len(args)})"


class Statement:
    """The SQL of one list, with its arguments: declared parts, put together."""

    def __init__(self, workspace_id: UUID, query: Query, found: Sequence[UUID] | None = None) -> None:
        self._query = query
        self._order = ORDERS[query.order]
        self._found = found
        self._args: list[Any] = [workspace_id]
        self._branches: list[str] = []
        self._where = self._conditions()

    def count(self, counting: Counting) -> tuple[Any, ...]:
        """Returns the statement that counts all leads of the list, or as many as there are up to `CAP`."""
        most = f" LIMIT {CAP}" if counting == "capped" else ""
        either = f" AND ({' OR '.join(self._branches)})" if self._branches else ""
        return f"SELECT count(*) FROM (SELECT FROM lead l WHERE {self._where}{either}{most}) c", *self._args

    def page(self, limit: int, start: Start | None = None) -> tuple[Any, ...]:
        """Returns the statement that reads so many leads in the list's order, or against it."""
        args, where = list(self._args), self._where
        descending = self._order.descending
        if start is not None:
            args.extend(start.keys)
            places = ", ".join(f"${i}" for i in range(len(self._args) + 1, len(args) + 1))
            descending ^= start.back
            # as a row: the same said with OR walks the whole index
            where += f" AND ({self._keys('l')}) {'<' if descending else '>'} ({places})"
        args.append(limit)
        way = "DESC" if descending else "ASC"
        end = f"ORDER BY {self._keys('l', way)} LIMIT ${len(args)}"
        leads = self._leads(where, end)
        shown = f"LATERAL (SELECT {columns(self._query.fields)}) AS shown"
        return f"SELECT row_to_json(shown)::text AS json, {self._keys('l')} FROM {leads}, {shown} {end}", *args

    def _leads(self, where: str, end: str) -> str:
        if self._found is not None:
            # found first: the planner would rather walk the order until enough of them came by
            first = f"WITH hit AS MATERIALIZED (SELECT {self._keys('l')} FROM lead l WHERE {where})"
            there = "h.id = l.id AND l.workspace_id = $1"
            return f"({first} SELECT l.* FROM (SELECT * FROM hit l {end}) h JOIN lead l ON {there}) l"
        branches = [f"(SELECT l.* FROM lead l WHERE {where} AND {one} {end})" for one in self._branches]
        return f"({' UNION ALL '.join(branches)}) l" if branches else f"(SELECT l.* FROM lead l WHERE {where} {end}) l"

    def _keys(self, of: str, way: str = "") -> str:
        return ", ".join(f"{of}.{name} {way}".rstrip() for name in self._order.key)

    def _conditions(self) -> str:
        branched = self._branched()
        # what was found in campaigns needs no second look
        settled = "campaign_id" if self._found is not None and self._query.search is None else branched
        kept = {name: value for name, value in self._query.filters.items() if name != settled}
        parts = [conditions(kept, self._args)]
        if branched:
            self._branches = [f"l.{branched} = {self._put(one)}" for one in self._query.filters[branched]]
        if self._order.needs:
            parts.append(f"l.{self._order.needs} IS NOT NULL")
        if self._query.search is not None:
            parts.append(searched(self._query.search, self._found, self._args))
        elif self._found is not None:
            parts.append(listed(self._found, self._args))
        return " AND ".join(parts)

    def _branched(self) -> str | None:
        """Returns the filter whose values are walked side by side, each along its own index, and merged."""
        if self._found is not None:
            return None
        for name in _BRANCHED.get(self._order.key[0], ()):
            if 0 < len(self._query.filters.get(name, ())) <= _BRANCHES:
                return name
        return None

    def _put(self, value: Any) -> str:
        self._args.append(value)
        return f"${len(self._args)}"
