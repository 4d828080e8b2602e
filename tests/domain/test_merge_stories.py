"""The named cases of the merge policy that take more than one observation, link or field: stories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain import notes
from app.domain.cells import Flapping, State
from app.domain.identity import Identity
from app.domain.lead import CloseConflict, Link, OpenConflict, Origin, Refuse, Reread, SetField
from app.domain.merge import FLAPS, later, resolved
from app.domain.plan import apply, edit, plan
from app.domain.policy import Source
from app.domain.values import JSON
from tests.domain.builders import T0, T1, T2, T3, airtable, inflight, instantly, lead, link, look, push, settle


def test_an_answer_that_rewrites_the_value_is_not_pushed_again() -> None:
    here, there = lead({"company_name": "acme inc"}), link(airtable("company_name"), {"company_name": None})
    here, links, _ = settle(here, [there])
    answered = push(here, links["A"], "company_name", answer="ACME, Inc.")

    after, links, actions = settle(here, [answered])

    assert (after.values["company_name"], links["A"].cell("company_name").state) == ("acme inc", State.AGREED)
    assert not any(isinstance(action, SetField) for action in actions)


def test_a_page_asked_for_before_our_write_was_answered_changes_nothing_and_is_read_again() -> None:
    here, there = lead({"company_name": "Here"}), link(airtable("company_name"), {"company_name": None})
    here, links, _ = settle(here, [there])
    here, links, _ = settle(here, [push(here, links["A"], "company_name", at=T3)])
    stale = look(links["A"], {"company_name": None}, later(T3, -0.5))

    after, links, actions = settle(here, [stale])

    assert after.values["company_name"] == "Here"
    assert [type(action) for action in actions] == [Reread]

    after, links, _ = settle(after, [look(links["A"], {"company_name": "Here"}, later(T3, 1))])

    assert (links["A"].cell("company_name").state, links["A"].cell("company_name").fresh) == (State.AGREED, None)


def test_an_echo_after_a_lost_answer_and_a_change_back_writes_the_old_value_again() -> None:
    here, there = lead({"company_name": "Old"}), link(airtable("company_name"), {"company_name": "Old"})
    here, links, _ = settle(here, [there])
    here = _edited(here, company_name="New", at=T1)
    here, links, _ = settle(here, list(links.values()))
    flown = inflight(here, links["A"], "company_name")
    here = _edited(here, company_name="Old", at=T1)

    here, links, actions = settle(here, [look(flown, {"company_name": "New"}, T2)])

    assert links["A"].cell("company_name").state is State.PENDING
    assert not any(isinstance(action, SetField | OpenConflict) for action in actions)

    written = push(here, links["A"], "company_name", at=T3)

    assert written.observed["company_name"] == "Old"
    assert settle(here, [written])[1]["A"].cell("company_name").state is State.AGREED


def test_a_write_that_lands_after_it_was_given_up_is_no_news() -> None:
    here, there = lead({"company_name": "Old"}), link(airtable("company_name"), {"company_name": "Old"})
    here, links, _ = settle(here, [there])
    here = _edited(here, company_name="New", at=T1)
    here, links, _ = settle(here, list(links.values()))
    flown = inflight(here, links["A"], "company_name")
    here, links, _ = settle(here, [look(flown, {}, T2)])
    here = _edited(here, company_name="Newer", at=T2)
    here, links, _ = settle(here, list(links.values()))

    landed, links, actions = settle(here, [look(links["A"], {"company_name": "New"}, later(T2, 60))])

    assert (landed.values["company_name"], links["A"].cell("company_name").state) == ("Newer", State.PENDING)
    assert not any(isinstance(action, SetField | OpenConflict | Refuse) for action in actions)

    written = push(landed, links["A"], "company_name", at=T3)

    assert written.cell("company_name").ghost is None


def test_of_two_writes_that_were_given_up_each_is_recognised_when_it_lands() -> None:
    here, there = lead({"company_name": "Old"}), link(airtable("company_name"), {"company_name": "Old"})
    here, links, _ = settle(here, [there])
    for value, at in (("First", T1), ("Second", T2), ("Third", T3)):
        here = _edited(here, company_name=value, at=at)
        here, links, _ = settle(here, list(links.values()))
        flown = inflight(here, links["A"], "company_name", until=at)
        here, links, _ = settle(here, [look(flown, {}, later(T3, 1))])

    for landed in ("First", "Second", "Third"):
        here, links, actions = settle(here, [look(links["A"], {"company_name": landed}, later(T3, 60))])

        assert here.values["company_name"] == "Third"
        assert not any(isinstance(action, SetField | OpenConflict | Refuse) for action in actions)


def test_a_value_read_back_that_was_there_before_may_still_land() -> None:
    """A clear is sent to a cell that is empty anyway, its answer is lost, and it lands on what somebody types then."""
    here, there = lead(), link(airtable("company_name"), {"company_name": None})
    here, links, _ = settle(here, [there])
    here = _edited(here, company_name="Here", at=T1)
    here, links, _ = settle(here, list(links.values()))
    here = _edited(here, company_name=None, at=T1)
    flown = inflight(here, links["A"], "company_name", until=T2)
    here, links, _ = settle(here, [look(flown, {"company_name": None}, T2)])

    assert links["A"].cell("company_name").state is State.AGREED

    here, links, _ = settle(here, [look(links["A"], {"company_name": "There"}, later(T2, 10))])
    here, links, _ = settle(here, [look(links["A"], {"company_name": None}, later(T2, 20))])

    assert (here.values["company_name"], links["A"].cell("company_name").state) == ("There", State.PENDING)


def test_a_write_that_is_read_back_does_not_end_an_earlier_one() -> None:
    """Somebody typed there what we were sending: our own write may not have left, and the one before it still lands."""
    here, there = lead({"company_name": "Old"}), link(airtable("company_name"), {"company_name": "Old"})
    here, links, _ = settle(here, [there])
    here = _edited(here, company_name="First", at=T1)
    here, links, _ = settle(here, list(links.values()))
    here, links, _ = settle(here, [look(inflight(here, links["A"], "company_name"), {}, T2)])
    here = _edited(here, company_name="Second", at=T2)
    here, links, _ = settle(here, list(links.values()))
    flown = inflight(here, links["A"], "company_name", until=T3)
    here, links, _ = settle(here, [look(flown, {"company_name": "Second"}, later(T2, 10))])

    here, links, _ = settle(here, [look(links["A"], {"company_name": "First"}, later(T2, 20))])

    assert (here.values["company_name"], links["A"].cell("company_name").state) == ("Second", State.PENDING)


@pytest.mark.parametrize("keeps_remote", [True, False])
def test_what_moved_after_a_person_saw_the_item_is_judged_after_the_decision(keeps_remote: bool) -> None:
    here = lead({"company_name": "Here"})
    there = link(airtable("company_name", strategy="manual"), {"company_name": " Shown "}, {"company_name": "Acme"})
    here, links, _ = settle(here, [there])
    moved = look(links["A"], {"company_name": "Moved"}, T2)
    decided = moved.copy()
    decided.put("company_name", resolved(moved.cell("company_name"), keeps_remote=keeps_remote))
    here = _edited(here, company_name="Shown" if keeps_remote else "Here", at=T2)

    after, links, _ = settle(here, [decided])

    assert after.values["company_name"] == ("Moved" if keeps_remote else "Here")
    assert links["A"].cell("company_name").state is (State.AGREED if keeps_remote else State.HELD)


@pytest.mark.parametrize("keeps_remote", [True, False])
def test_a_decided_item_ends_where_nothing_moved_since(keeps_remote: bool) -> None:
    here = lead({"company_name": "Here"})
    there = link(airtable("company_name", strategy="manual"), {"company_name": " Shown "}, {"company_name": "Acme"})
    here, links, _ = settle(here, [there])
    decided = links["A"].copy()
    decided.put("company_name", resolved(decided.cell("company_name"), keeps_remote=keeps_remote))
    here = _edited(here, company_name="Shown" if keeps_remote else "Here", at=T2)

    after, links, _ = settle(here, [decided])

    assert after.values["company_name"] == ("Shown" if keeps_remote else "Here")
    assert links["A"].cell("company_name").state is (State.AGREED if keeps_remote else State.PENDING)


def test_a_second_row_of_a_lead_has_no_say() -> None:
    there = airtable("company_name")
    first = link(there, {"company_name": "First"}, key="1", created_at=T0)
    second = link(there, {"company_name": "Second"}, key="2", created_at=T1, writing=False)

    after, links, _ = settle(lead(), [first, second])

    assert after.values["company_name"] == "First"
    assert (links["2"].base_remote, links["2"].cells) == ({}, {})


def test_news_of_one_table_reaches_the_other() -> None:
    here = lead({"company_name": "Acme"})
    one = link(airtable("company_name", name="A"), {"company_name": "There"}, {"company_name": "Acme"})
    two = link(airtable("company_name", name="B", rank=2), {"company_name": "Acme"}, {"company_name": "Acme"})

    after, links, _ = settle(here, [one, two])

    assert links["A"].cell("company_name").state is State.AGREED
    assert links["B"].cell("company_name").state is State.PENDING
    assert push(after, links["B"], "company_name").observed == {"company_name": "There"}


@pytest.mark.parametrize("first", ["A", "B"])
def test_of_two_tables_the_higher_rank_wins_whichever_speaks_first(first: str) -> None:
    old = {"company_name": "Acme"}
    links = {
        "A": link(airtable("company_name", name="A", rank=1), old, old, observed_at=T0),
        "B": link(airtable("company_name", name="B", rank=2), old, old, observed_at=T0),
    }
    here = lead(old)
    conflicts = []
    for name in (first, "B" if first == "A" else "A"):
        links[name] = look(links[name], {"company_name": f"from {name}"}, T1)
        here, links, actions = settle(here, list(links.values()))
        conflicts += [action.conflict for action in actions if isinstance(action, OpenConflict)]

    assert here.values["company_name"] == "from A"
    assert links["B"].cell("company_name").state is State.PENDING
    assert [conflict.winner for conflict in conflicts] == (["local"] if first == "A" else ["remote"])
    assert "from B" in (conflicts[0].local, conflicts[0].remote)


def test_a_value_of_a_table_without_a_record_of_this_lead_is_up_to_the_strategy() -> None:
    gone = Origin(Source.AIRTABLE, "gone", T0)
    here = lead({"company_name": "Here"}, origins={"company_name": gone})
    there = link(airtable("company_name"), {"company_name": "There"}, {"company_name": "Acme"})

    after, _, _ = settle(here, [there])

    assert after.values["company_name"] == "There"


def test_a_held_field_does_not_hold_the_rest_of_the_record() -> None:
    old = {"company_name": "Acme", "title": "CEO", "location": "Utrecht"}
    here = lead({**old, "company_name": "Here", "location": "Delft"})
    there = link(airtable(*old, strategy="manual"), {**old, "company_name": "There", "title": "CFO"}, old)

    after, links, _ = settle(here, [there])

    assert after.values["title"] == "CFO"
    assert {n: links["A"].cell(n).state for n in old} == {
        "company_name": State.HELD,
        "title": State.AGREED,
        "location": State.PENDING,
    }


def test_many_fields_in_conflict_are_judged_one_by_one() -> None:
    names = ("company_name", "title", "location")
    old = dict.fromkeys(names, "old")
    here, there = lead(dict.fromkeys(names, "here")), link(airtable(*names), dict.fromkeys(names, "there"), old)

    after, _, actions = settle(here, [there])

    assert [after.values[name] for name in names] == ["there"] * 3
    conflicts = [action for action in actions if isinstance(action, OpenConflict)]
    assert [(a.field, a.conflict.base, a.conflict.local, a.conflict.remote) for a in conflicts] == [
        (name, "old", "here", "there") for name in names
    ]


def test_the_losing_value_of_a_conflict_is_kept_with_the_change() -> None:
    here = lead({"company_name": "Here"})
    there = link(airtable("company_name"), {"company_name": "There"}, {"company_name": "Acme"})

    _, _, actions = settle(here, [there])

    change = next(action for action in actions if isinstance(action, SetField))
    assert change.losers == ({"value": "Here", "why": "the connection's strategy is remote_wins"},)


def test_an_email_of_another_lead_is_held_and_released() -> None:
    here = lead({"email": "a@acme.test"})
    there = link(airtable("email"), {"email": "b@acme.test"}, {"email": "a@acme.test"})
    owners = {Identity("email", "b@acme.test"): "other"}

    held, links, actions = settle(here, [there], owners)

    assert (held.values["email"], links["A"].cell("email").state) == ("a@acme.test", State.HELD)
    assert links["A"].cell("email").reason == "collision"
    assert [a.conflict.why for a in actions if isinstance(a, OpenConflict)] == ["another lead (other) has this value"]

    released, links, actions = settle(held, list(links.values()), {})

    assert (released.values["email"], links["A"].cell("email").state) == ("b@acme.test", State.AGREED)
    assert any(isinstance(action, CloseConflict) for action in actions)


def test_a_conflict_whose_remote_value_meanwhile_belongs_to_another_lead_stays_held() -> None:
    """Once the strategy is remote_wins, the value would be taken, but it is somebody else's now."""
    here = lead({"email": "b@acme.test"})
    there = link(airtable("email", strategy="manual"), {"email": "c@acme.test"}, {"email": "a@acme.test"})
    here, links, _ = settle(here, [there])
    changed = replace(links["A"], connection=airtable("email"))

    after, links, _ = settle(here, [changed], {Identity("email", "c@acme.test"): "other"})

    assert (after.values["email"], links["A"].cell("email").reason) == ("b@acme.test", "collision")


def test_an_identity_of_its_own_is_no_collision() -> None:
    here = lead({"email": "a@acme.test"})
    there = link(airtable("email"), {"email": "B@acme.test"}, {"email": "a@acme.test"})

    after, _, _ = settle(here, [there], {Identity("email", "b@acme.test"): "lead"})

    assert after.values["email"] == "b@acme.test"


def test_a_table_that_undoes_our_write_again_and_again_is_left_alone() -> None:
    """Two automations fight through the lead: one table is set back each time the other table's value arrives."""
    old = {"company_name": "Stubborn"}
    a = link(airtable("company_name", name="A"), old, old, observed_at=T0)
    b = link(airtable("company_name", name="B", rank=2), old, old, observed_at=T0)
    here, links = lead(old), {"A": a, "B": b}
    states = []
    for turn in range(FLAPS + 1):
        at = later(T1, turn * 60)
        links["B"] = look(links["B"], {"company_name": f"from B {turn}"}, at)
        here, links, _ = settle(here, list(links.values()))
        links["A"] = _pushed_for_another(here, links["A"], at=later(at, 10))
        links["A"] = look(links["A"], old, later(at, 20))
        here, links, actions = settle(here, list(links.values()))
        states.append(links["A"].cell("company_name").state)
        if states[-1] is State.DIVERGED:
            break
        links["B"] = push(here, links["B"], "company_name", at=later(at, 30))

    assert states == [State.AGREED] * (FLAPS - 1) + [State.DIVERGED]
    assert here.values["company_name"] == f"from B {FLAPS - 1}"
    assert links["A"].cell("company_name").other == "Stubborn"
    assert [action.value for action in actions if isinstance(action, Refuse)] == ["Stubborn"]

    edited = _edited(here, company_name="By a person", at=T3)

    assert settle(edited, list(links.values()))[1]["A"].cell("company_name").state is State.PENDING


def _pushed_for_another(here: Any, there: Link, *, at: str) -> Link:
    """The write of another table's value knows what it replaces."""
    flown = inflight(here, there, "company_name", until=at)
    known = flown.cell("company_name")
    assert known.sent is not None
    flown.put("company_name", replace(known, sent=replace(known.sent, replaced=there.observed["company_name"])))
    landed = look(flown, {"company_name": here.values["company_name"]}, at)
    return settle(here, [landed])[1]["A"]


def test_a_person_who_reverses_an_edit_does_not_flap() -> None:
    flapping = Flapping(replaced="Acme", since=T0, times=FLAPS - 1)
    here = lead({"company_name": "Here"})
    there = link(
        airtable("company_name"), {"company_name": "Acme"}, {"company_name": "Here"}, observed_at=later(T0, 60)
    )
    there.put("company_name", replace(there.cell("company_name"), flapping=flapping))

    after, _, _ = settle(here, [there])

    assert after.values["company_name"] == "Acme"


# --- names, the claim


def test_two_campaigns_with_different_first_names_the_older_record_fills() -> None:
    one = link(instantly(), {"first_name": "Anna", "last_name": "Berg"}, key="1", created_at=T1)
    two = link(instantly(), {"first_name": "Annie", "last_name": "Berg"}, key="2", created_at=T0)

    after, links, actions = settle(lead(), [one, two])

    assert after.values["first_name"] == "Annie"
    assert after.values["full_name"] == "Annie Berg"
    assert [(a.link, a.value) for a in actions if isinstance(a, Refuse)] == [("1", "Anna")]

    kept, _, _ = settle(after, [look(links["1"], {"first_name": "Ann"}, T2), links["2"]])

    assert kept.values["first_name"] == "Annie"


def test_a_full_name_there_derives_the_halves_which_are_pushed() -> None:
    names = ("full_name", "first_name", "last_name")
    there = link(airtable(*names), {"full_name": "Anna van der Berg", "first_name": None, "last_name": None})

    after, links, _ = settle(lead(), [there])

    assert (after.values["first_name"], after.values["last_name"]) == ("Anna", "van der Berg")
    assert after.derived == {"first_name", "last_name"}
    assert {name: links["A"].cell(name).state for name in names} == {
        "full_name": State.AGREED,
        "first_name": State.PENDING,
        "last_name": State.PENDING,
    }


def test_a_derived_half_yields_to_a_given_one() -> None:
    here, links, _ = settle(lead(), [link(airtable("full_name"), {"full_name": "Anna Berg"})])
    other = link(airtable("first_name", name="B", rank=2), {"first_name": "Annabel"})

    after, _, _ = settle(here, [*links.values(), other])

    assert (after.values["first_name"], after.values["full_name"]) == ("Annabel", "Annabel Berg")


def test_a_tool_that_fills_a_half_does_not_rewrite_a_full_name_somebody_gave() -> None:
    here = lead({"full_name": "Dr. A. Berg"})

    after, _, _ = settle(here, [link(instantly(), {"first_name": "Anna"})])

    assert (after.values["first_name"], after.values["full_name"]) == ("Anna", "Dr. A. Berg")


def test_an_edit_of_a_half_rewrites_the_whole() -> None:
    here = lead({"full_name": "Anna Berg", "first_name": "Anna", "last_name": "Berg"})

    after = _edited(here, first_name="Annabel", at=T1)

    assert after.values["full_name"] == "Annabel Berg"


def test_a_claim_that_changed_there_gets_a_new_time() -> None:
    names = ("claimed_by", "claimed_at")
    old = {"claimed_by": "ann@acme.test", "claimed_at": T0}
    there = link(airtable(*names), {"claimed_by": {"email": "bob@acme.test"}, "claimed_at": T0}, old)

    after, links, _ = settle(lead(old), [there])

    assert (after.values["claimed_by"], after.values["claimed_at"]) == ("bob@acme.test", T1)
    assert links["A"].cell("claimed_at").state is State.PENDING


def test_a_claim_dropped_there_drops_its_time() -> None:
    old = {"claimed_by": "ann@acme.test", "claimed_at": T0}
    there = link(airtable("claimed_by"), {"claimed_by": None}, old)

    after, _, _ = settle(lead(old), [there])

    assert (after.values["claimed_by"], after.values["claimed_at"]) == (None, None)


def test_a_claim_and_its_time_move_together() -> None:
    names = ("claimed_by", "claimed_at")
    old = {"claimed_by": "ann@acme.test", "claimed_at": T0}
    there = link(airtable(*names), {"claimed_by": "bob@acme.test", "claimed_at": T2}, old)

    after, _, _ = settle(lead(old), [there])

    assert (after.values["claimed_by"], after.values["claimed_at"]) == ("bob@acme.test", T2)


# --- notes


def _with_notes(*texts: str) -> tuple[Any, Link]:
    """A lead and a cell that agree on these notes."""
    entries = [notes.entry(text, at=T0, by="a person") for text in texts]
    there = link(airtable("notes"), {"notes": notes.render(entries)}, observed_at=T0)
    here, links, _ = settle(lead({"notes": entries}), [there])
    return here, links["A"]


def _texts(here: Any) -> list[str]:
    return [entry[1] for entry in here.values["notes"]]


@pytest.mark.parametrize(
    ("shown", "expected", "state"),
    [
        ("one\ntwo\nthree", ["one", "two", "three"], "agreed"),
        ("zero\none\ntwo", ["zero", "one", "two"], "agreed"),
        ("one and a half\ntwo", ["one and a half", "two"], "agreed"),
        ("two", ["one", "two"], "pending"),
        (None, ["one", "two"], "pending"),
        ("one  \r\ntwo\n", ["one", "two"], "agreed"),
    ],
    ids=["appended", "put in front", "edited inside", "removed one", "removed all", "white space only"],
)
def test_notes_changed_there(shown: str | None, expected: list[str], state: str) -> None:
    here, there = _with_notes("one", "two")

    after, links, _ = settle(here, [look(there, {"notes": shown}, T1)])

    assert (_texts(after), links["A"].cell("notes").state.value) == (expected, state)


def test_notes_appended_on_both_sides_are_all_kept() -> None:
    here, there = _with_notes("one")
    here = _edited(here, notes=[*here.values["notes"], notes.entry("ours", at=T1, by="a person")], at=T1)

    after, links, actions = settle(here, [look(there, {"notes": "one\ntheirs"}, T1)])

    assert _texts(after) == ["one", "theirs", "ours"]
    assert links["A"].cell("notes").state is State.PENDING
    assert not any(isinstance(action, OpenConflict) for action in actions)

    assert settle(after, [push(after, links["A"], "notes")])[1]["A"].cell("notes").state is State.AGREED


def test_notes_that_met_for_the_first_time_are_united() -> None:
    here = lead({"notes": [notes.entry("ours", at=T0, by="a person")]})

    after, links, _ = settle(here, [link(airtable("notes"), {"notes": "theirs"})])

    assert sorted(_texts(after)) == ["ours", "theirs"]
    assert links["A"].cell("notes").state is State.PENDING


def test_notes_of_a_column_that_is_only_read_come_in_and_stay_told_apart() -> None:
    here = lead({"notes": [notes.entry("ours", at=T0, by="a person")]})
    there = link(airtable("notes", direction="pull"), {"notes": "theirs"})

    after, links, _ = settle(here, [there])

    assert links["A"].cell("notes").state is State.DIVERGED

    after, links, _ = settle(after, [look(links["A"], {"notes": "theirs\nmore"}, T2)])

    assert sorted(_texts(after)) == ["more", "ours", "theirs"]


def test_a_cell_of_another_mapping_is_united_with_the_notes_and_rewrites_none() -> None:
    here, there = _with_notes("one", "two")
    moved = replace(
        there.copy(),
        connection=airtable("notes", version=2),
        observed={"notes": "another column"},
        observed_version=2,
        observed_at=T1,
    )

    after, _, _ = settle(here, [moved])

    assert sorted(_texts(after)) == ["another column", "one", "two"]


# --- clears, marks, edits


def test_a_clear_by_an_authority_is_honoured_by_tools() -> None:
    old = {"company_name": "Acme"}
    there = link(airtable("company_name"), {"company_name": None}, old)

    cleared, links, _ = settle(lead(old), [there])
    after, _, actions = settle(cleared, [*links.values(), link(instantly(), {"company_name": "Acme"})])

    assert after.values["company_name"] is None
    assert [action.value for action in actions if isinstance(action, Refuse)] == ["Acme"]

    typed, _, _ = settle(after, [look(links["A"], {"company_name": "Again"}, T2)])

    assert (typed.values["company_name"], typed.cleared) == ("Again", frozenset())


def test_a_person_who_confirms_a_default_makes_it_a_value() -> None:
    after = _edited(lead(), status="new", at=T1)

    assert "status" not in after.untouched


def test_an_edit_that_changes_nothing_does_nothing() -> None:
    assert edit(lead({"title": "CEO"}), {"title": "CEO"}, Origin(Source.USER, None, T1)) == []


def test_a_positive_reply_set_by_a_person_is_dated() -> None:
    here = _edited(lead(), is_positive_reply=False, at=T2)

    after, links, _ = settle(here, [link(instantly(), {"is_positive_reply": {"value": True, "at": T1}})])

    assert after.values["is_positive_reply"] is False

    later_on = look(links["I"], {"is_positive_reply": {"value": True, "at": T3}}, T3)

    assert settle(after, [later_on])[0].values["is_positive_reply"] is True


def test_an_undo_once_pushed_plans_nothing_and_keeps_what_changed_since() -> None:
    old = {"company_name": "Acme", "title": "CEO"}
    here, links, _ = settle(lead(old), [link(airtable(*old), {"company_name": "There", "title": "CEO"}, old)])
    here = _edited(here, title="CFO", at=T2)

    here = _edited(here, company_name="Acme", at=T2)
    here, links, _ = settle(here, list(links.values()))
    pushed = push(here, push(here, links["A"], "company_name"), "title")

    after, _, _ = settle(here, [pushed])

    assert (after.values["company_name"], after.values["title"]) == ("Acme", "CFO")


def test_a_field_that_is_mapped_no_more_is_forgotten() -> None:
    old = {"company_name": "Acme", "title": "CEO"}
    there = link(airtable(*old, strategy="manual"), {**old, "title": "There"}, old)
    held, links, _ = settle(lead({**old, "title": "Here"}), [there])
    unmapped = replace(links["A"], connection=airtable("company_name", version=2), observed_version=2)

    _, links, actions = settle(held, [unmapped])

    assert (links["A"].base_remote, links["A"].cells) == ({"company_name": "Acme"}, {})
    assert any(isinstance(action, CloseConflict) for action in actions)


def _edited(here: Any, *, at: str, **changes: JSON) -> Any:
    after, _ = apply(here, [], edit(here, changes, Origin(Source.USER, None, at)))
    return after


def test_nothing_is_planned_for_a_lead_at_rest() -> None:
    old = {"company_name": "Acme"}
    here, links, _ = settle(lead(old), [link(airtable("company_name"), old)])
    links["A"].reconciled = here.sync_version

    assert plan(here, list(links.values())) == []
