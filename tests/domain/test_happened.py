"""What events make of a lead."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import events, happened, policy
from app.domain.events import KINDS, Event
from app.domain.happened import take
from app.domain.lead import Lead, Origin, Refuse, SetField
from app.domain.plan import apply
from app.domain.policy import Source
from tests.domain.builders import BEFORE, T0, T1, T2, T3, lead

RECEIVED = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def event(kind: str, at: str | None = T1, **said: Any) -> Event:
    payload = {"event_type": kind, "timestamp": at, "lead_email": "ada@acme.test", **said}
    found = events.read(payload, campaign=None, received=RECEIVED)
    assert isinstance(found, Event)
    return found


def after(here: Lead, *came: Event, decided: str | None = None) -> Lead:
    return take(here, came, connection="I", decided=decided).lead


def test_a_day_of_a_lead_that_answers() -> None:
    told = after(
        lead(),
        event("email_sent", T0, step=1, variant=2, email_account="max@sender.test"),
        event("email_opened", T1, step=1, variant=2),
        event("reply_received", T2, email_account="max@sender.test"),
        event("lead_interested", T3),
    )

    shown = {name: told.values.get(name) for name in ("status", "delivery_status", "is_positive_reply")}
    assert shown == {"status": "replied", "delivery_status": "replied", "is_positive_reply": True}
    assert told.positive_at == T3
    assert told.values["last_contacted_at"] == T0
    assert told.values["last_step_info"] == {"at": T0, "from": "campaign", "step": 1, "variant": 2}
    assert told.values["sender_account"] == "max@sender.test"
    assert told.origins["sender_account"] == Origin(Source.EVENT, "I", T2)


def test_an_event_never_counts() -> None:
    told = after(lead(), event("email_opened"), event("link_clicked"), event("reply_received"))

    assert [told.values[name] for name in policy.COUNTERS] == [0, 0, 0]


@pytest.mark.parametrize("at", [T0, None])
def test_what_happened_before_a_person_set_the_status_does_not_climb_it(at: str | None) -> None:
    here = lead({"status": "contacted"})

    draft = take(here, [event("reply_received", at)], connection=None, decided=T1)

    assert draft.lead.values["status"] == "contacted"
    assert [action.field for action in draft.actions if isinstance(action, Refuse)] == ["status"]
    assert after(here, event("reply_received", T2), decided=T1).values["status"] == "replied"


def test_a_lower_rung_is_nothing_to_be_refused() -> None:
    draft = take(lead({"status": "won"}), [event("email_opened", T0)], connection=None, decided=T1)

    assert [action for action in draft.actions if isinstance(action, Refuse)] == []


def test_a_correction_of_a_reply_holds_against_what_came_before_it() -> None:
    here = lead({"is_positive_reply": True}, positive_at=T2)

    draft = take(here, [event("lead_not_interested", T1)], connection=None)
    assert draft.lead.values["is_positive_reply"] is True
    assert (
        Refuse(field="is_positive_reply", value=False, kept=True, reason="a later event said otherwise")
        in draft.actions
    )
    assert after(here, event("lead_wrong_person", T2)).values["is_positive_reply"] is False
    assert take(here, [event("lead_interested", T1)], connection=None).lead.positive_at == T2


def test_an_undated_judgement_counts_only_while_nothing_dated_has() -> None:
    first = after(lead(), event("lead_interested", None))
    assert (first.values["is_positive_reply"], first.positive_at) == (True, None)

    assert after(first, event("lead_not_interested", BEFORE)).values["is_positive_reply"] is False
    assert take(first, [event("lead_interested", None)], connection=None).actions == []


def test_an_undated_mail_moves_no_time() -> None:
    told = after(lead(), event("email_sent", None, step=3))

    assert told.values.get("last_contacted_at") is None
    assert told.values.get("last_step_info") is None
    assert told.values["status"] == "contacted"


def test_a_step_that_names_its_id_stays_at_the_same_time() -> None:
    known = {"step_id": "s", "from": "campaign", "at": T1}
    here = lead({"last_step_info": known})

    assert after(here, event("email_sent", T1, step=2)).values["last_step_info"] == known
    assert after(here, event("email_sent", T2, step=2)).values["last_step_info"]["step"] == 2


def test_the_newest_mailbox_is_kept_for_the_answer() -> None:
    told = after(lead(), event("email_sent", T2, email_account="max@a.test"))

    assert after(told, event("email_opened", T1, email_account="eva@a.test")).values["sender_account"] == "max@a.test"
    assert after(told, event("email_sent", T3, email_account="eva@a.test")).values["sender_account"] == "eva@a.test"
    assert after(told, event("email_sent", None, email_account="eva@a.test")).values["sender_account"] == "max@a.test"


def test_the_inputs_stay_as_they_are_and_the_actions_say_it_all() -> None:
    here = lead()
    came = [event("email_sent", T0, step=1, email_account="max@a.test"), event("lead_closed", T1)]

    draft = take(here, came, connection="I")

    assert here == lead()
    assert apply(here, [], draft.actions)[0] == draft.lead
    assert {action.rule for action in draft.actions if isinstance(action, SetField)} == {
        "ladder", "newest", "replace", "event_time",
    }  # fmt: skip


MOMENTS = st.sampled_from([None, BEFORE, T0, T1, T2, T3])
EVENTS = st.builds(
    lambda kind, at, step, account: event(kind, at, step=step, email_account=account),
    st.sampled_from([*KINDS, "Spam complaint"]),
    MOMENTS,
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, "max@a.test", "eva@a.test"]),
)


@given(st.lists(EVENTS, max_size=6), st.randoms(), MOMENTS)
def test_events_in_any_order_twice_and_one_by_one_end_in_the_same_lead(
    came: list[Event], rng: Any, decided: str | None
) -> None:
    here = lead({"status": "contacted"}) if decided else lead()
    shuffled = [*came, *rng.sample(came, len(came) // 2)]
    rng.shuffle(shuffled)

    at_once, one_by_one = after(here, *came, decided=decided), here
    for single in shuffled:
        one_by_one = after(one_by_one, single, decided=decided)

    assert one_by_one.values == at_once.values
    assert one_by_one.positive_at == at_once.positive_at
    assert take(at_once, came, connection="I", decided=decided).lead == at_once
    assert happened.take(at_once, [], connection="I").actions == []


@given(st.lists(EVENTS, max_size=6))
def test_events_never_lower_a_ladder_and_touch_only_what_is_theirs(came: list[Event]) -> None:
    here = lead({"status": "opened", "notes": [["1", "hello", T0, "ann"]], "delivery_status": "emailed"})
    told = after(here, *came)

    assert policy.field("status").event is policy.Rule.LADDER
    moved = {name for name in told.values if told.values[name] != here.values.get(name)}
    assert all(policy.field(name).event is not policy.Rule.LOCAL_ONLY for name in moved)
    assert told.values["status"] in ("opened", "clicked", "replied", "booked", "lost", "won")
