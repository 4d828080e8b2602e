"""Planning, applying and editing, beside the cases and stories of the merge policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain import notes
from app.domain.cells import Cell, Conflict, Flapping, Sent, State
from app.domain.lead import Action, CloseConflict, Link, OpenConflict, Origin, Refuse, Reread, SetCell, SetField
from app.domain.plan import apply, drafted, edit, plan
from app.domain.policy import Source
from app.domain.values import JSON
from tests.domain.builders import T0, T1, T3, airtable, lead, link, settle

PERSON = Origin(Source.USER, None, T1)
TABLE = Origin(Source.AIRTABLE, "A", T1)
WINS, ONLY_WRITTEN = "the connection's strategy is remote_wins", "this column is only written, never read"


def taken(name: str, value: JSON, old: JSON, **rest: Any) -> SetField:
    rule = "deep_merge" if name.startswith("custom") else "authority"
    return SetField(field=name, value=value, old=old, rule=rule, origin=TABLE, link="A", **rest)


def moved(name: str, remote: JSON, local: JSON, **rest: Any) -> SetCell:
    return SetCell(link="A", field=name, cell=Cell(remote=remote, local=local, **rest))


@pytest.mark.parametrize(
    ("name", "base", "here", "there", "mapped", "expected"),
    [
        pytest.param("title", "CFO", "CFO", "CFO", {}, [], id="nothing new"),
        pytest.param(
            "title", "CFO", "CFO", "CEO ", {},
            [taken("title", "CEO", "CFO"), moved("title", "CEO ", "CEO")], id="news there",
        ),
        pytest.param(
            "title", "CFO", "Mine", "CFO", {},
            [moved("title", "CFO", "CFO", state=State.PENDING)], id="news here",
        ),
        pytest.param(
            "title", "CFO", "Mine", "CEO", {},
            [
                taken("title", "CEO", "Mine", losers=({"value": "Mine", "why": WINS},)), moved("title", "CEO", "CEO"),
                OpenConflict(link="A", field="title", conflict=Conflict(
                    base="CFO", local="Mine", remote="CEO", winner="remote", why=WINS
                )),
            ], id="news on both sides",
        ),
        pytest.param(
            "title", "CFO", "CFO", "", {},
            [taken("title", None, "CFO", clears=True), moved("title", "", None)], id="emptied there",
        ),
        pytest.param(
            "title", "CFO", "CFO", "CEO ", {"direction": "push"},
            [
                moved("title", "CEO ", "CFO", state=State.DIVERGED, reason=ONLY_WRITTEN, other="CEO"),
                Refuse(link="A", field="title", value="CEO", kept="CFO", reason=ONLY_WRITTEN),
            ], id="only written: refused as it would be read",
        ),
        pytest.param(
            "email", "a@acme.test", "a@acme.test", "a@@", {},
            [
                moved("email", "a@@", "a@acme.test", state=State.PENDING,
                      flapping=Flapping(replaced="a@@", since=T1, times=1)),
                Refuse(link="A", field="email", value="a@@", kept="a@acme.test",
                       reason="'a@@' is not an e-mail address."),
            ], id="unreadable: refused as it stands there",
        ),
        pytest.param(
            "is_positive_reply", None, None, True, {},
            [taken("is_positive_reply", True, None, event_at=T1), moved("is_positive_reply", True, True)],
            id="a reply is dated by the look at it",
        ),
        pytest.param(
            "custom.box", {"a": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 2}, {},
            [
                taken("custom.box", {"a": 1, "b": 2, "c": 1}, {"a": 1, "c": 1}),
                moved("custom.box", {"a": 1, "b": 2}, {"a": 1, "b": 2}, state=State.PENDING),
            ], id="objects are united key by key",
        ),
        pytest.param(
            "custom.box", {"a": 1}, {"a": 1}, "text", {},
            [taken("custom.box", "text", {"a": 1}), moved("custom.box", "text", "text")],
            id="an object and a text are not",
        ),
    ],
)  # fmt: skip
def test_all_that_one_field_of_one_record_leads_to(
    name: str, base: JSON, here: JSON, there: JSON, mapped: dict[str, Any], expected: list[Action]
) -> None:
    assert plan(lead({name: here}), [link(airtable(name, **mapped), {name: there}, {name: base})]) == expected


def test_a_record_that_was_never_looked_at_says_nothing() -> None:
    unseen = link(airtable("title"), {"title": "CEO"}, {"title": "CFO"}, observed_at="")

    assert plan(lead({"title": "CFO"}), [unseen]) == []
    assert plan(lead({"title": "Mine"}), [unseen]) == [moved("title", "CFO", "CFO", state=State.PENDING)]


def test_a_record_that_must_be_read_again_is_asked_for_once() -> None:
    early = link(airtable("title", "location"), {"title": "CEO", "location": "Delft"})
    for name in ("title", "location"):
        early.put(name, Cell(remote="before", local="before", fresh=T3))

    assert plan(lead({"title": "before", "location": "before"}), [early]) == [Reread(link="A")]


def test_an_action_that_nobody_knows_is_refused_and_not_skipped() -> None:
    with pytest.raises(AssertionError):
        apply(lead(), [], ["clear everything"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("change", "cleared"),
    [
        ({"value": None, "clears": True}, {"title", "phone"}),
        ({"value": None, "clears": False}, {"phone"}),
        ({"value": "CEO", "clears": False}, {"phone"}),
    ],
    ids=["emptied on purpose", "emptied by the way", "given a value"],
)
def test_a_field_is_marked_as_cleared_only_by_who_means_it(change: dict[str, Any], cleared: set[str]) -> None:
    before = lead({"title": "CFO"}, cleared=frozenset({"phone"}))
    set_title = SetField(field="title", old="CFO", rule="user", origin=PERSON, **change)

    assert apply(before, [], [set_title])[0].cleared == cleared


def test_a_cleared_field_that_is_emptied_again_stays_cleared_and_one_that_gets_a_value_does_not() -> None:
    before = lead({"title": None}, cleared=frozenset({"title"}))
    emptied = SetField(field="title", value=None, old=None, rule="user", origin=PERSON)
    filled = SetField(field="title", value="CEO", old=None, rule="user", origin=PERSON)

    assert apply(before, [], [emptied])[0].cleared == {"title"}
    assert apply(before, [], [emptied, filled])[0].cleared == set()


def test_only_the_reply_itself_moves_the_time_of_the_reply() -> None:
    before = lead({"is_positive_reply": True}, positive_at=T0)
    other = SetField(field="title", value="CEO", old=None, rule="user", origin=PERSON, event_at=T1)
    reply = SetField(field="is_positive_reply", value=False, old=True, rule="user", origin=PERSON, event_at=T1)

    assert apply(before, [], [other])[0].positive_at == T0
    assert apply(before, [], [reply])[0].positive_at == T1


def test_an_edit_is_a_persons_and_says_what_was_there() -> None:
    (action,) = edit(lead({"title": "CFO"}), {"title": "CEO"}, PERSON)

    assert action == SetField(field="title", value="CEO", old="CFO", rule="user", origin=PERSON)


def test_an_edit_that_empties_a_field_means_it_where_the_field_may_be_empty() -> None:
    edited = edit(lead({"title": "CFO", "notes": []}), {"title": None, "notes": None}, PERSON)

    assert [(a.field, a.clears) for a in edited if isinstance(a, SetField)] == [("title", True), ("notes", False)]


def test_a_person_who_confirms_a_derived_half_makes_it_their_own() -> None:
    known, _ = apply(lead(), [], edit(lead(), {"full_name": "Ada Lovelace"}, PERSON))
    confirmed = edit(known, {"first_name": "Ada"}, PERSON)

    assert known.derived == {"first_name", "last_name"}
    assert [(a.field, a.value, a.derived) for a in confirmed if isinstance(a, SetField)] == [
        ("first_name", "Ada", False)
    ]
    assert apply(known, [], confirmed)[0].derived == {"last_name"}


@pytest.mark.parametrize(
    ("rest", "is_at_rest"),
    [
        ({}, True),
        ({"counters": {"email_open_count": {"1": 3}}}, True),
        ({"counters": {"email_open_count": {"2": 3}}}, False),
        ({"reconciled": 4}, False),
        ({"cells": {"title": Cell(fresh=T0)}}, False),
        ({"observed": {"title": "CEO"}}, False),
        ({"observed": {}}, False),
        ({"mapping_version": 2}, False),
    ],
)
def test_a_lead_whose_links_have_nothing_to_say_or_to_learn_is_left_alone(
    rest: dict[str, Any], is_at_rest: bool
) -> None:
    def made(key: str, **changes: Any) -> Link:
        known = link(airtable("title", name=key), {"title": "CFO"}, {"title": "CFO"}, epoch="1", reconciled=5)
        return replace(known, **changes)

    here = lead({"title": "CFO"}, sync_version=5)

    assert (drafted(here, [made("A", **rest)]) is None) is is_at_rest
    assert (drafted(here, [made("A"), made("B", **rest)]) is None) is is_at_rest
    assert drafted(here, [made("A"), made("B", writing=False, **rest)]) is None


def test_notes_at_rest_keep_no_other_field_from_being_told() -> None:
    entries = [notes.entry("called", at=T0, by="ann")]
    known = link(airtable("title", "notes"), {"title": "CEO", "notes": "called"}, {"title": "CFO", "notes": "called"})
    known.base_local["notes"] = notes.freeze(entries)

    found = plan(lead({"title": "CFO", "notes": entries}), [known])

    assert found == [taken("title", "CEO", "CFO"), moved("title", "CEO", "CEO")]


def test_what_another_table_says_may_end_a_conflict() -> None:
    first = link(airtable("title", strategy="manual"), {"title": "CEO"}, {"title": "CFO"})
    here, links, _ = settle(lead({"title": "Mine"}), [first])
    second = link(airtable("title", name="B", rank=2), {"title": "CEO"}, {"title": "Mine"})

    after, ended, actions = settle(here, [links["A"], second])

    assert links["A"].cell("title").state is State.HELD
    assert ended["A"].cell("title").state is State.AGREED
    assert after.values["title"] == "CEO"
    assert CloseConflict(link="A", field="title") in actions


def test_a_value_of_unknown_age_is_older_than_any_other() -> None:
    here = lead({"title": "Mine"}, origins={})
    known = link(airtable("title", strategy="last_modified_wins"), {"title": "CEO"}, {"title": "CFO"})

    assert settle(here, [known])[0].values["title"] == "CEO"


@pytest.mark.parametrize(("claimed_at", "times"), [(None, []), (T0, [None])])
def test_a_claim_dropped_there_drops_a_time_that_there_is(claimed_at: JSON, times: list[JSON]) -> None:
    known = link(airtable("claimed_by"), {"claimed_by": None}, {"claimed_by": "ann@acme.test"})
    actions = plan(lead({"claimed_by": "ann@acme.test", "claimed_at": claimed_at}), [known])

    assert [a.value for a in actions if isinstance(a, SetField) and a.field == "claimed_at"] == times


def test_a_cell_that_means_something_else_under_a_new_mapping_is_looked_at_though_nothing_moved() -> None:
    now = airtable("status", version=2, options={"Called": "replied"})
    known = link(
        now, {"status": "Called"}, {"status": "Called"}, base_local={"status": "contacted"}, observed_version=2
    )

    _, links, _ = settle(lead({"status": "contacted"}), [known])

    assert links["A"].mapping_version == 2
    assert links["A"].cell("status").reason == "the mapping changed"


@pytest.mark.parametrize(("until", "version"), [(T3, 1), (T0, 2)], ids=["still in the air", "given up"])
def test_a_new_mapping_waits_for_what_is_in_flight(until: str, version: int) -> None:
    known = link(airtable("title", "phone", version=2), {"title": "CFO"}, {"title": "CFO"}, observed_version=2)
    sent = Sent(remote="CEO", local="CEO", until=until)
    known.put("title", Cell(remote="CFO", local="CFO", state=State.INFLIGHT, sent=sent))

    _, links, _ = settle(lead({"title": "CEO"}), [known])

    assert links["A"].mapping_version == version


def test_notes_in_flight_are_looked_at_though_all_is_as_it_was() -> None:
    entries = [notes.entry("called", at=T0, by="ann")]
    known = link(
        airtable("notes"), {"notes": "called"}, {"notes": "called"}, base_local={"notes": notes.freeze(entries)}
    )
    sent = Sent(remote="called\nagain", local=[], until=T0)
    known.put("notes", replace(known.cell("notes"), state=State.INFLIGHT, sent=sent))

    _, links, _ = settle(lead({"notes": entries}), [known])

    assert links["A"].cell("notes").state is State.AGREED


def test_the_first_note_here_is_news_for_a_table() -> None:
    known = link(airtable("notes"), {"notes": None}, {"notes": None}, base_local={"notes": []})

    found = plan(lead({"notes": [notes.entry("called", at=T1, by="ann")]}), [known])

    assert found == [moved("notes", None, [], state=State.PENDING)]


def test_what_is_in_flight_to_a_column_that_is_mapped_no_more_is_forgotten() -> None:
    known = link(airtable("phone", version=2), {"phone": None}, {"phone": None, "title": "CFO"}, observed_version=2)
    sent = Sent(remote="CEO", local="CEO", until=T3)
    known.put("title", Cell(remote="CFO", local="CFO", state=State.INFLIGHT, sent=sent))

    _, links, _ = settle(lead({"title": "CEO"}), [known])

    assert (links["A"].mapping_version, links["A"].cells, links["A"].base_remote) == (2, {}, {"phone": None})
