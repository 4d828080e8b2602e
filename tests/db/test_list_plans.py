"""The plans of every list of leads, at a size where a wrong one would hurt: as the app role, with a tenant set.

`pytest tests/db/test_list_plans.py --leads 200000` makes as many as the promise speaks of; fewer show the same plans
sooner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.db import exports, lead_list, lead_queries, workspaces
from app.db.lead_list import ORDERS, Query, Start, Statement
from app.db.session import Database, Tenant, Tx
from tests.conftest import Urls
from tests.db.many_leads import add_campaign, make_leads

PAGE = 51
KEYS: dict[str, Any] = {
    "updated_at": datetime(2026, 1, 8, tzinfo=UTC), "id": UUID(int=2**127), "email": "m",
    "next_action_date": date(2026, 6, 1),
}  # fmt: skip
#: What a list is narrowed to while it keeps its order's index.
NARROWED: dict[str, dict[str, Any]] = {
    "": {},
    "status": {"status": ["replied"]},
    "several statuses": {"status": ["booked", "new", "replied"]},
    "mine": {"claimed_by": ["owner3@team.example"]},
}
LISTS = [(order, narrowed) for order in ORDERS for narrowed in NARROWED if not narrowed or "updated_at" in order]


@pytest.fixture(scope="session")
def number(request: pytest.FixtureRequest) -> int:
    """How many leads there are."""
    return int(request.config.getoption("--leads"))


@pytest.fixture(scope="module")
async def many(clone: Callable[[], Coroutine[Any, Any, Urls]], number: int) -> AsyncIterator[tuple[Database, Tenant]]:
    """A database of many leads in two workspaces."""
    urls = await clone()
    db = await Database.open(urls.app)
    mine, other = await workspaces.create(db), await workspaces.create(db)
    for workspace_id in (other, mine):
        await make_leads(urls.owner, workspace_id, number // 2)
    for every in (100, 3):
        await add_campaign(urls.owner, mine, every)
    yield db, Tenant(mine, "viewer")
    await db.close()


@pytest.mark.parametrize("start", ["at its end", "after a lead", "before a lead"])
@pytest.mark.parametrize(("order", "narrowed"), LISTS)
async def test_a_list_walks_an_index_and_sorts_nothing(
    many: tuple[Database, Tenant], order: str, narrowed: str, start: str
) -> None:
    db, tenant = many
    keys = tuple(KEYS[name] for name in ORDERS[order].key)
    begin = None if start == "at its end" else Start(keys, back=start == "before a lead")
    async with db.transaction(tenant) as tx:
        statement = Statement(tx.workspace_id, Query(order=order, filters=NARROWED[narrowed]))
        plan = await explained(tx, statement.page(PAGE, begin))

    nodes = list(walked(plan))
    assert {node["Relation Name"] for node in nodes if "Relation Name" in node} == {"lead"}
    assert not [node["Node Type"] for node in nodes if node["Node Type"] in ("Seq Scan", "Sort", "Incremental Sort")]
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) <= (3 * PAGE if narrowed else 0)
    assert max(node["Actual Rows"] for node in nodes) <= PAGE


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("words", "is_rare"), [("needle100", True), ("noor family7", True), ("works", False)])
async def test_a_search_reads_no_table_through_and_sorts_a_page(
    many: tuple[Database, Tenant], number: int, order: str, words: str, is_rare: bool
) -> None:
    db, tenant = many
    async with db.transaction(tenant) as tx:
        query = Query(order=order, search=words)
        before = await scans(tx)
        found = await tx.value("SELECT search_leads($1, $2)", words, min(lead_list.FOUND_AT_MOST, number // 40))
        after = await scans(tx)
        plan = await explained(tx, Statement(tx.workspace_id, query, found).page(PAGE))

    nodes = list(walked(plan))
    asked = after.pop("lead_search_words_idx") - before.pop("lead_search_words_idx")
    assert after == before
    assert asked == is_rare, "what is nearly everywhere is not asked of the index"
    assert (found is not None) is is_rare
    assert not [node for node in nodes if node["Node Type"] in ("Seq Scan", "Incremental Sort")]
    # a sort that keeps a page, however much passes it
    for node in nodes:
        if node["Node Type"] == "Sort":
            assert node["Actual Rows"] <= PAGE
            assert node["Sort Space Used"] < 100


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("every", [100, 3])
async def test_the_leads_of_a_campaign_are_found_first_where_they_are_few(
    many: tuple[Database, Tenant], number: int, order: str, every: int
) -> None:
    db, tenant = many
    async with db.transaction(tenant) as tx:
        campaign_id = await tx.value("SELECT id FROM campaign WHERE name = $1", str(every))
        query = Query(order=order, filters={"campaign_id": [campaign_id]})
        found = await lead_list.members(tx, [campaign_id], most=number // 40)
        plan = await explained(tx, Statement(tx.workspace_id, query, found).page(PAGE))
        walk = Statement(tx.workspace_id, query).page(PAGE)
        same = await tx.all(*walk) == await tx.all(*Statement(tx.workspace_id, query, found).page(PAGE))

    nodes = list(walked(plan))
    assert same
    assert (found is not None) is (every == 100)
    # there are two campaigns
    big = [node for node in nodes if node.get("Relation Name") != "campaign"]
    assert not [node for node in big if node["Node Type"] in ("Seq Scan", "Incremental Sort")]
    for node in nodes:
        if node["Node Type"] == "Sort":
            assert found is not None, "along the order, nothing is sorted"
            assert node["Actual Rows"] <= PAGE
            assert node["Sort Space Used"] < 100


async def test_deleted_leads_are_listed_along_an_index_of_their_own(many: tuple[Database, Tenant]) -> None:
    db, tenant = many
    used = "SELECT pg_stat_get_xact_numscans('lead_deleted_at_idx'::regclass)"
    async with db.transaction(tenant) as tx:
        await lead_queries.deleted(tx, PAGE)
        first = await tx.value(used)
        await lead_queries.deleted(tx, PAGE, (datetime(2026, 1, 8, tzinfo=UTC), UUID(int=0)))

        assert (first, await tx.value(used)) == (1, 2)


async def test_an_export_finds_words_that_nearly_every_lead_has(many: tuple[Database, Tenant], number: int) -> None:
    db, tenant = many
    written = bytearray()

    async def write(piece: bytes) -> None:
        written.extend(piece)

    async with db.transaction(tenant) as tx:
        assert await lead_list.find(tx, "works") is None
        expected = await tx.value(*Statement(tx.workspace_id, Query(order="id", search="works")).count("exact"))
        await exports.leads(tx, write, format="csv", fields=["id"], search="works")

    assert written.count(b"\n") == expected + 1 > number / 4


async def explained(tx: Tx, statement: tuple[Any, ...]) -> Any:
    """Runs a statement as one that was prepared long ago, and returns its plan."""
    sql, *args = statement
    await tx.run("SET LOCAL plan_cache_mode = force_generic_plan")
    found = await tx.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args)
    found = orjson.loads(found) if isinstance(found, str | bytes) else found
    return found[0]["Plan"]


def walked(node: Any) -> Iterator[Any]:
    yield node
    for child in node.get("Plans", ()):
        yield from walked(child)


async def scans(tx: Tx) -> dict[str, int]:
    """Returns how often this transaction read each table through, and each index of the search."""
    rows = await tx.all(
        "SELECT relname AS name, pg_stat_get_xact_numscans(oid) AS n FROM pg_class"
        " WHERE relname = ANY('{lead, lead_search, lead_search_pkey, lead_search_words_idx}')"
    )
    return {row["name"]: row["n"] for row in rows}
