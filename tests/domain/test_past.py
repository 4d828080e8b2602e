"""Time travel: changes taken back one by one give every state there was, whatever the changes were."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.past import rewind

TEXT = st.none() | st.sampled_from(["a", "b", "c"])
EDITS = st.lists(
    st.dictionaries(st.sampled_from(["title", "phone", "custom.x", "custom.y", "deleted"]), TEXT, min_size=1),
    max_size=8,
)


@given(EDITS)
def test_every_state_can_be_gone_back_to(edits: list[dict[str, Any]]) -> None:
    lead: dict[str, Any] = {"title": None, "phone": None, "deleted": None, "custom": {}}
    states, changes, known = [lead], [], [set[str]()]
    for edit in edits:
        change, after = {}, {**lead, "custom": dict(lead["custom"])}
        for name, value in edit.items():
            place, key = (after["custom"], name[7:]) if name.startswith("custom.") else (after, name)
            change[name] = {"old": place.get(key), "new": value}
            place[key] = value
        lead = after
        states.append(lead)
        changes.append(change)
        known.append(known[-1] | {name for name in edit if name.startswith("custom.")})

    for number, state in enumerate(states):
        undone = list(reversed(changes[number:]))
        assert rewind(lead, undone, known[number]) == state


def test_notes_and_metadata_go_back_in_the_form_they_are_shown_in() -> None:
    shown = {"notes": "one\ntwo", "metadata": {"a": 1}, "custom": {}}
    entries = [["k1", "one", "2026-03-02T09:15:00.000Z", "user"]]
    changes: list[dict[str, Any]] = [{"notes": {"old": entries}}, {"notes": {"old": None}, "metadata": {"old": None}}]

    assert rewind(shown, changes[:1])["notes"] == "one"
    assert rewind(shown, changes) == {"notes": None, "metadata": {}, "custom": {}}
    assert shown == {"notes": "one\ntwo", "metadata": {"a": 1}, "custom": {}}


def test_a_custom_key_that_was_set_for_the_first_time_was_not_there_before() -> None:
    shown = {"title": "CEO", "custom": {"new": "b", "known": "b"}}
    first = {"custom.new": {"old": None}, "custom.known": {"old": None}}
    last = {"custom.new": {"old": "a"}, "title": {"old": "CTO"}}

    assert rewind(shown, [last]) == {"title": "CTO", "custom": {"new": "a", "known": "b"}}
    assert rewind(shown, [last, first], {"custom.known"}) == {"title": "CTO", "custom": {"known": None}}
