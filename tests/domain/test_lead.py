"""What a lead and a link remember, and that a copy shares nothing that moves."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from app.domain.cells import Cell, Flapping, Sent, State, Strategy
from app.domain.lead import Connection, Lead, Link, Origin
from app.domain.policy import Source
from app.domain.values import MISSING, is_empty
from tests.domain.builders import T0, T1, T2, airtable, lead, link

SENT = Sent(remote="There", local="Here", until=T1)


@pytest.mark.parametrize(
    "cell",
    [
        Cell(),
        Cell(remote="There", local="Here"),
        Cell(remote=None, local=None),
        Cell(remote="There"),
        Cell(remote="There", local="Here", state=State.PENDING),
        Cell(remote="There", local="Here", state=State.INFLIGHT, sent=SENT),
        Cell(remote="There", local="Here", ghost=SENT),
        Cell(remote="There", local="Here", fresh=T0),
        Cell(remote="There", local="Here", reason="a reason"),
        Cell(remote="There", local="Here", other="Elsewhere"),
        Cell(remote="There", local="Here", flapping=Flapping(replaced="Old", since=T0)),
    ],
)
def test_what_is_put_is_remembered_and_a_plain_field_takes_no_cell(cell: Cell) -> None:
    known = link(airtable("title"), {}, {"title": "Before"})
    known.cells["title"] = Cell(reason="before")

    known.put("title", cell)

    assert known.cell("title") == cell
    assert ("title" in known.base_remote, "title" in known.base_local) == (
        cell.remote is not MISSING, cell.local is not MISSING
    )  # fmt: skip
    rest = replace(cell, remote=MISSING, local=MISSING)
    assert known.cells == ({} if rest == Cell() else {"title": rest})


def test_a_field_nobody_has_put_is_a_field_without_a_base() -> None:
    assert link(airtable("title"), {}).cell("title") == Cell()


def test_a_new_mapping_forgets_what_it_does_not_carry() -> None:
    every = {"title": "a", "phone": "b", "sms_sent_count": 1}
    known = link(airtable("title", "sms_sent_count", version=2), {}, every)
    known.cells = {"title": Cell(reason="kept"), "phone": Cell(reason="gone"), "sms_sent_count": Cell(reason="gone")}

    known.rebase(2)

    assert known.mapping_version == 2
    assert known.base_remote == {"title": "a", "sms_sent_count": 1}
    assert known.base_local == {"title": "a"}
    assert known.cells == {"title": Cell(reason="kept")}


def test_a_copy_of_a_lead_is_equal_and_moves_alone() -> None:
    known = lead({"title": "CEO"}, own_counts={"email_open_count": 1}, version=3, sync_version=2, positive_at=T0)
    before = copy.deepcopy(known)
    twin = known.copy()

    assert twin == known

    twin.values["title"] = "CFO"
    twin.origins["title"] = Origin(Source.USER, None, T2)
    twin.own_counts["email_open_count"] = 5

    assert known == before


def test_a_copy_of_a_link_is_equal_and_moves_alone() -> None:
    known = link(airtable("title"), {"title": "CEO"}, {"title": "CEO"}, counters={"email_open_count": {"1": 1}})
    known.cells["title"] = Cell(reason="held")
    before = copy.deepcopy(known)
    twin = known.copy()

    assert twin == known

    twin.put("title", Cell(remote="CFO", local="CFO"))
    twin.counters["email_open_count"]["1"] = 5

    assert known == before


def test_links_speak_by_rank_then_by_age_then_by_key() -> None:
    def made(rank: int, created_at: str, key: str) -> Link:
        return link(airtable("title", rank=rank), {}, key=key, created_at=created_at)

    told = [made(2, T0, "a"), made(1, T1, "a"), made(1, T0, "c"), made(1, T0, "b")]

    assert [known.order for known in sorted(told, key=lambda known: known.order)] == [
        ((1, "", "A"), T0, "b"), ((1, "", "A"), T0, "c"), ((1, "", "A"), T1, "a"), ((2, "", "A"), T0, "a")
    ]  # fmt: skip


def test_a_new_lead_holds_defaults_that_nobody_gave() -> None:
    assert Lead(id="x").untouched == {"status", "needs_enrichment", "verified", "enriched"}
    assert Lead(id="x").version == Lead(id="x").sync_version == 0
    assert Lead(id="x").deleted is False


def test_a_new_link_has_seen_nothing_and_a_connection_without_a_rank_comes_last() -> None:
    known = Link(id="x", connection=airtable("title"), key="rec")
    without = Connection(id="A", source=Source.AIRTABLE, mapping=known.connection.mapping)

    assert (known.writing, known.created_at, known.epoch, known.namespace) == (True, "", "", "")
    assert (known.observed, known.observed_at, known.modified_at, known.reread) == ({}, "", None, False)
    assert (known.observed_version, known.mapping_version, known.reconciled) == (1, 1, -1)
    assert (without.rank, without.strategy) == ((100, "", ""), Strategy.REMOTE_WINS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, True), ("", True), ([], True), ({}, True), (False, False), (0, False), (" ", False), ([None], False)],
)
def test_false_and_zero_say_something(value: object, expected: bool) -> None:
    assert is_empty(value) is expected
