"""Fields that only come in: what a campaign or an import shows, and what the lead makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain import mapping
from app.domain.lead import Advance, Connection, Link, Origin, Refuse, SetCounter, SetField
from app.domain.policy import Source
from app.domain.values import JSON
from tests.domain.builders import T0, T1, T2, airtable, instantly, lead, link, look, settle

OPENS = "email_open_count"
STEP = {"step_id": "2", "at": T1}


@pytest.fixture
def importing() -> Connection:
    return replace(instantly("F"), source=Source.IMPORT, mapping=mapping.incoming(Source.IMPORT))


@pytest.mark.parametrize(
    ("name", "here", "there", "reason"),
    [
        ("title", "CEO", "CFO", "only an empty field is filled"),
        ("email", "ada@acme.test", "eve@acme.test", "an identity is never replaced"),
        ("status", "won", "opened", "the ladder is only climbed"),
        ("last_contacted_at", T1, T0, "a newer one is known"),
        ("instantly_created_at", T0, T1, "an older one is known"),
        ("last_step_info", STEP, {"step_id": "1", "at": T0}, "an older value than the known one"),
    ],
)
def test_a_value_that_its_rule_does_not_take_is_refused_once_by_name(
    name: str, here: JSON, there: JSON, reason: str
) -> None:
    known, links, actions = settle(lead({name: here}), [link(instantly(), {name: there})])

    assert actions == [
        Refuse(link="I", field=name, value=there, kept=here, reason=reason),
        Advance(link="I", remote={name: there}),
    ]
    assert (known.values[name], links["I"].base_remote) == (here, {name: there})


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("title", "CEO"),
        ("needs_enrichment", False),
        ("email", "ada@acme.test"),
        ("status", "opened"),
        ("last_contacted_at", T0),
        ("last_step_info", STEP),
    ],
)
def test_a_value_that_its_rule_takes_says_where_it_comes_from(name: str, there: JSON) -> None:
    before = lead()
    known, _, actions = settle(before, [link(instantly(), {name: there})])

    assert actions[0] == SetField(
        field=name, value=there, old=before.values.get(name), link="I", origin=Origin(Source.INSTANTLY, "I", T1),
        rule=mapping.incoming(Source.INSTANTLY).fields[name].rule.value,
    )  # fmt: skip
    assert (known.values[name], known.origins[name].connection) == (there, "I")
    assert name not in known.untouched


@pytest.mark.parametrize(("here", "there"), [("CEO", "CEO"), ("CEO", None), ("CEO", ""), (None, None)])
def test_what_says_nothing_new_is_judged_without_a_word(here: JSON, there: JSON) -> None:
    _, _, actions = settle(lead({"title": here}), [link(instantly(), {"title": there})])

    assert actions == [Advance(link="I", remote={"title": there})]


def test_what_a_person_cleared_is_not_filled() -> None:
    known, _, actions = settle(
        lead({"title": None}, cleared=frozenset({"title"})), [link(instantly(), {"title": "CEO"})]
    )

    assert (known.values["title"], len(actions)) == (None, 2)


def test_what_is_old_news_is_not_looked_at_again() -> None:
    said = link(instantly(), {"title": "CFO", "phone": "+31612345678"}, {"title": "CFO"}, base_local={})
    known, _, actions = settle(lead(), [said])

    assert known.values.get("title") is None
    assert actions[-1] == Advance(link="I", remote={"phone": "+31612345678"})


@pytest.mark.parametrize(
    ("name", "identity"),
    [("email", ("email", "ada@acme.test")), ("linkedin_url", ("linkedin", "https://www.linkedin.com/in/ada"))],
)
def test_an_identity_of_another_lead_is_not_taken(importing: Connection, name: str, identity: Any) -> None:
    known, _, actions = settle(lead(), [link(importing, {name: identity[1]})], {identity: "other"})
    mine, _, _ = settle(lead(), [link(importing, {name: identity[1]})], {identity: "lead"})

    assert known.values.get(name) is None
    assert actions[0] == Refuse(link="F", field=name, value=identity[1], kept=None, reason="lead other has this value")
    assert mine.values[name] == identity[1]


def test_a_status_is_imported_once(importing: Connection) -> None:
    first, links, _ = settle(lead(), [link(importing, {"status": "opened"})])
    again, _, actions = settle(first, [look(links["F"], {"status": "won"}, T2)])

    assert (first.values["status"], again.values["status"]) == ("opened", "opened")
    assert [a.reason for a in actions if isinstance(a, Refuse)] == ["set once, and it was"]


def test_a_cell_that_cannot_be_read_is_refused_as_it_stands_there() -> None:
    known, links, actions = settle(lead(), [link(airtable("sms_sent_count"), {"sms_sent_count": "many"})])

    assert known.values.get("sms_sent_count") is None
    assert actions[0] == Refuse(
        link="A", field="sms_sent_count", value="many", kept=None, reason="'many' is not a whole number."
    )
    assert links["A"].base_remote == {"sms_sent_count": "many"}


# --- counters -----------------------------------------------------------------------------------------------------


def test_a_count_grows_within_an_epoch_and_starts_anew_in_the_next() -> None:
    first, links, actions = settle(lead(), [link(instantly(), {OPENS: 3}, epoch="1")])
    fewer, links, _ = settle(first, [look(links["I"], {OPENS: 2}, T2)])
    added, links, _ = settle(fewer, [look(links["I"], {OPENS: 2}, T2, epoch="2")])

    assert actions[0] == SetCounter(link="I", field=OPENS, epoch="1", count=3)
    assert [found.values[OPENS] for found in (first, fewer, added)] == [3, 3, 5]
    assert links["I"].counters == {OPENS: {"1": 3, "2": 2}}


@pytest.mark.parametrize("shown", [0, None])
def test_no_count_is_no_counter(shown: JSON) -> None:
    known, links, _ = settle(lead(), [link(instantly(), {OPENS: shown}, epoch="1")])

    assert (known.values[OPENS], links["I"].counters) == (0, {})


def test_a_sum_comes_from_the_link_that_was_seen_last_and_keeps_what_belongs_to_none() -> None:
    early = link(instantly("I", 1), {OPENS: 1}, key="I", observed_at=T2)
    late = link(instantly("J", 2), {OPENS: 2}, key="J", observed_at=T0)
    silent = link(instantly("K", 3), {"email_click_count": 4}, key="K")
    known, _, actions = settle(lead(own_counts={OPENS: 10}), [early, late, silent])

    assert (known.values[OPENS], known.values["email_click_count"], known.values["email_reply_count"]) == (13, 4, 0)
    assert known.origins[OPENS] == Origin(Source.INSTANTLY, "J", T2)
    assert [a.rule for a in actions if isinstance(a, SetField)] == ["counter", "counter"]


def test_counts_of_no_link_are_an_imports() -> None:
    table = link(airtable("sms_sent_count"), {"sms_sent_count": 1})
    known, _, _ = settle(lead(own_counts={OPENS: 2}), [table])

    assert (known.values[OPENS], known.origins[OPENS]) == (2, Origin(Source.IMPORT, None, ""))


# --- events -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "here_at", "shown", "expected", "expected_at", "refused"),
    [
        (None, None, {"value": True, "at": T0}, True, T0, False),
        (None, None, {"value": False, "at": None}, False, None, False),
        (True, T0, {"value": False, "at": T1}, False, T1, False),
        (True, T1, {"value": False, "at": T0}, True, T1, True),
        (True, T1, {"value": True, "at": T0}, True, T1, False),
        (True, T1, {"value": None, "at": T2}, True, T1, False),
        (True, T1, None, True, T1, False),
        (True, T1, "yes", True, T1, False),
    ],
)
def test_a_reply_is_judged_by_the_time_of_its_event(
    here: JSON, here_at: str | None, shown: JSON, expected: JSON, expected_at: str | None, refused: bool
) -> None:
    name = "is_positive_reply"
    known, links, actions = settle(lead({name: here}, positive_at=here_at), [link(instantly(), {name: shown})])

    assert (known.values[name], known.positive_at) == (expected, expected_at)
    assert links["I"].base_remote == {name: shown}
    assert [(a.value, a.kept, a.reason) for a in actions if isinstance(a, Refuse)] == (
        [(shown["value"], here, "a later event said otherwise")] if refused else []
    )


# --- metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "base", "here", "shown", "expected"),
    [
        ("", {}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ("", {"a": 1}, {"a": 5}, {"a": 1}, {"a": 5}),
        ("c", {}, {"a": 1}, {"b": 2}, {"a": 1, "c": {"b": 2}}),
        ("c", {"b": 1}, {"c": {"b": 5}}, {"b": 1, "d": 2}, {"c": {"b": 5, "d": 2}}),
        ("c", {"b": 1}, {"a": 1}, {}, {"a": 1}),
        ("", {}, {"a": 1}, "text", {"a": 1}),
        ("", {}, None, "text", "text"),
        ("", {}, "old", "text", "text"),
        ("", {}, "old", None, "old"),
    ],
)
def test_metadata_is_merged_below_the_campaign_it_came_from(
    namespace: str, base: JSON, here: JSON, shown: JSON, expected: JSON
) -> None:
    known, links, _ = settle(
        lead({"metadata": here}), [link(instantly(), {"metadata": shown}, {"metadata": base}, namespace=namespace)]
    )

    assert known.values["metadata"] == expected
    assert links["I"].base_remote["metadata"] == shown


def test_metadata_that_adds_nothing_is_no_change() -> None:
    said: Link = link(instantly(), {"metadata": {"a": 1}})
    _, _, actions = settle(lead({"metadata": {"a": 1}}), [said])

    assert actions == [Advance(link="I", remote={"metadata": {"a": 1}})]
