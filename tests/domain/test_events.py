"""What a webhook payload says happened."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import events, normalize
from app.domain.events import BASE_KEYS, KINDS, Event, Unread
from app.domain.ladder import DELIVERY_LADDER, STATUS_LADDER

RECEIVED = dt.datetime(2026, 9, 9, 16, 5, tzinfo=dt.UTC)
CAMPAIGN = "4ea90000-0000-4000-8000-000000000002"
MAIL = "0199cbed-0bed-7e1f-a3c9-608aca600b4f"
#: The reply of the fact sheet, 5.4.
REPLY: dict[str, Any] = {
    "timestamp": "2026-09-09T16:04:40.963Z",
    "event_type": "reply_received",
    "workspace": "8f3e0000-0000-4000-8000-000000000001",
    "campaign_id": CAMPAIGN,
    "unibox_url": None,
    "campaign_name": "Q3 founders",
    "email_account": "Max@sender.test",
    "reply_text_snippet": "Yes please, thanks! \n\n",
    "is_first": True,
    "lead_email": "Ada@acme.test",
    "email": "ada@acme.test",
    "phone": "",
    "campaign": CAMPAIGN,
    "lastName": "Lovelace",
    "firstName": "Ada",
    "companyName": "Acme",
    "Tier": "A",
    "step": 1,
    "variant": 2,
    "email_id": MAIL,
    "reply_subject": "Re: question",
    "reply_text": "Yes please, thanks!\n\nOn Mon … wrote:\n> …",
}


def read(**changes: Any) -> Event | Unread:
    said = {key: item for key, item in (REPLY | changes).items() if item != "absent"}
    return events.read(said, campaign=CAMPAIGN, received=RECEIVED)


def event(**changes: Any) -> Event:
    found = read(**changes)
    assert isinstance(found, Event)
    return found


def test_a_reply_is_read_with_its_own_time_and_the_mailbox_it_came_to() -> None:
    reply = event()

    assert reply.kind == KINDS["reply_received"]
    assert reply.at == reply.moment == "2026-09-09T16:04:40.963Z"
    assert reply.emails == ("ada@acme.test",)
    assert reply.account == "max@sender.test"
    assert (reply.step, reply.variant) == (1, 2)
    assert reply.detail == {
        "step": 1,
        "variant": 2,
        "account": "max@sender.test",
        "is_first": True,
        "subject": "Re: question",
        "text": "Yes please, thanks!",
    }


def test_an_empty_snippet_gives_way_to_the_whole_text() -> None:
    assert event(reply_text_snippet="\n\n\n").detail["text"].startswith("Yes please, thanks!\n\nOn Mon")


def test_a_click_is_read_under_both_of_its_names() -> None:
    clicked = event(event_type="link_clicked")

    assert clicked.kind == event(event_type="email_link_clicked").kind
    assert clicked.key == event(event_type="Email_Link_Clicked").key


def test_a_custom_label_keeps_its_text() -> None:
    label = event(event_type="Spam complaint")

    assert label.kind.activity == "label"
    assert label.detail["interest"] == label.type == "Spam complaint"


def test_every_documented_type_stands_on_the_ladders() -> None:
    assert {kind.status for kind in KINDS.values()} <= {None, *STATUS_LADDER}
    assert {kind.delivery for kind in KINDS.values()} <= {None, *DELIVERY_LADDER}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_type": None}, "it names no event type"),
        ({"event_type": "  "}, "it names no event type"),
        ({"lead_email": "absent", "email": None}, "it names no lead: neither lead_email nor email is an address"),
        ({"lead_email": 7, "email": "nobody"}, "it names no lead: neither lead_email nor email is an address"),
    ],
)
def test_what_says_nothing_about_a_lead_is_told_why(changes: dict[str, Any], reason: str) -> None:
    found = read(**changes)

    assert isinstance(found, Unread)
    assert (found.reason, found.is_understood) == (reason, False)


def test_a_completed_campaign_is_about_no_lead_and_that_is_well() -> None:
    found = read(event_type="campaign_completed", lead_email="absent", email="absent")

    assert found == Unread(reason="it is about no lead", type="campaign_completed", is_understood=True)


@pytest.mark.parametrize("time", [None, "soon", 7.5, [], "2027-09-09T16:04:40.963Z"])
def test_a_time_that_cannot_be_believed_is_none(time: Any) -> None:
    undated = event(timestamp=time)

    assert undated.at is None
    assert undated.moment == "2026-09-09T16:05:00.000Z"
    assert undated.order[0] == ""


def test_a_variable_that_overwrites_a_base_key_is_noticed_and_not_believed() -> None:
    said = REPLY | {"campaign_id": "spring", "step": "one", "variant": "B", "email": "other@acme.test"}

    assert events.collisions(said) == ["campaign_id", "campaign", "email", "step", "variant"]
    odd = events.read(said, campaign=CAMPAIGN, received=RECEIVED)
    assert isinstance(odd, Event)
    assert (odd.step, odd.variant) == (None, None)
    assert odd.emails == ("ada@acme.test", "other@acme.test")
    assert events.collisions(REPLY) == []
    assert events.collisions({"event_type": "account_error"}) == []


def test_the_same_reply_is_told_by_its_mail_however_it_arrives() -> None:
    polled = event(is_first="absent", step=None, Tier="absent", timestamp="2026-09-09T16:04:40.000Z")

    assert polled.key == event().key
    assert event().key.startswith(events.BY_MAIL)
    assert event(email_id="not an id").key != event().key


def test_two_events_differ_by_what_happened_to_whom_when_and_at_which_step() -> None:
    opened = {"event_type": "email_opened"}
    keys = {
        event(**opened, **more).key
        for more in (
            {},
            {"timestamp": "2026-09-09T16:04:41.963Z"},
            {"lead_email": "bob@acme.test", "email": "bob@acme.test"},
            {"step": 2},
            {"variant": 1},
            {"timestamp": None},
            {"timestamp": None, "Tier": "B"},
        )
    }

    assert len(keys) == 7
    assert event(**opened, Tier="B").key == event(**opened).key


def test_a_payload_introduces_a_lead_nobody_knows() -> None:
    said = REPLY | {"jobTitle": "CTO", "website": "https://acme.test", "phone": "+31612345678"}

    assert events.person(said, "ada@acme.test", "instantly:1") == {
        "email": "ada@acme.test",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "company_name": "Acme",
        "company_website": "https://acme.test",
        "phone": "+31612345678",
        "title": "CTO",
        "metadata": {"instantly:1": {"Tier": "A"}},
    }
    assert events.person({"event_type": "x"}, "ada@acme.test", "n") == {"email": "ada@acme.test"}


@given(
    st.dictionaries(
        st.sampled_from(sorted(BASE_KEYS)) | st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=12,
    )
)
def test_no_payload_breaks_the_reading(said: dict[str, Any]) -> None:
    found = normalize.storable(said)

    events.collisions(found)
    events.person(found, "ada@acme.test", "n")
    once = events.read(found, campaign=None, received=RECEIVED)
    assert once == events.read(dict(reversed(found.items())), campaign=None, received=RECEIVED)
