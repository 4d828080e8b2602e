"""The named cases of the merge policy: a table of one field on one connection, then the stories that need more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from app.domain.lead import Action, CloseConflict, Link, OpenConflict, Refuse
from app.domain.merge import FLAPS, Flapping, Sent, State
from app.domain.values import JSON, MISSING
from tests.domain.builders import (
    BEFORE,
    OPTIONS,
    T0,
    T1,
    T2,
    T3,
    airtable,
    cell,
    lead,
    link,
    settle,
)

NONE: Any = object()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One field of one lead and one Airtable record. `base` NONE is first contact; `conflict` is who won, or "open"."""

    name: str
    field: str = "company_name"
    base: JSON = "Acme"
    #: where both sides' base differ in spelling
    base_local: JSON = NONE
    local: JSON = "Acme"
    remote: JSON = "Acme"
    strategy: str = "remote_wins"
    mapping: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: what is remembered beside the base
    cell: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lead: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    modified_at: str | None = None
    version: int = 1
    # expected
    value: JSON = "Acme"
    state: str = "agreed"
    conflict: str | None = None
    refused: bool = False
    reread: bool = False
    reason: str | None = None

    def __str__(self) -> str:
        return self.name


DRIFT: dict[str, Any] = {"base": "Acme", "local": "Here", "remote": "There"}
FIRST: dict[str, Any] = {"base": NONE, "local": "Here", "remote": "There"}
V2 = {"version": 2}

CASES = (
    # --- nothing new, news on one side, the same news on both
    Case(name="nothing changed"),
    Case(name="changed here", local="Here", value="Here", state="pending"),
    Case(name="changed there", remote="There", value="There"),
    Case(name="changed on both sides to the same", local="Same", remote="Same", value="Same"),
    Case(name="cleared here", local=None, value=None, state="pending"),
    Case(name="cleared there", remote=None, value=None),
    Case(name="cleared on both sides", local=None, remote=None, value=None),
    Case(name="new here", base=None, local="Here", remote=None, value="Here", state="pending"),
    Case(name="new there", base=None, local=None, remote="There", value="There"),
    Case(name="cleared here, changed there", local=None, remote="There", value="There", conflict="remote"),
    Case(name="changed here, cleared there", local="Here", remote=None, value=None, conflict="remote"),
    # --- both sides changed, differently: the four strategies
    Case(name="both, remote wins", **DRIFT, value="There", conflict="remote"),
    Case(name="both, local wins", **DRIFT, strategy="local_wins", value="Here", state="pending", conflict="local"),
    Case(name="both, a person decides", **DRIFT, strategy="manual", value="Here", state="held", conflict="open"),
    Case(
        name="both, the remote was modified last",
        **DRIFT, strategy="last_modified_wins", modified_at=T1, value="There", conflict="remote",
    ),
    Case(
        name="both, the lead was modified last",
        **DRIFT, strategy="last_modified_wins", modified_at=BEFORE, value="Here", state="pending", conflict="local",
    ),
    Case(
        name="both, modified in the same second: the remote wins",
        **DRIFT, strategy="last_modified_wins", modified_at=T0, value="There", conflict="remote",
    ),
    Case(
        name="both, without a modification time the time of the read counts",
        **DRIFT, strategy="last_modified_wins", value="There", conflict="remote",
    ),
    # --- first contact
    Case(name="first contact, equal", base=NONE),
    Case(name="first contact, equal in another spelling", field="phone", base=NONE, local="+31612345678",
         remote="06 12 34 56 78", value="+31612345678"),
    Case(name="first contact, both empty", base=NONE, local=None, remote=None, value=None),
    Case(name="first contact, empty here", base=NONE, local=None, remote="There", value="There"),
    Case(name="first contact, empty there: an empty never clears", base=NONE, local="Here", remote=None, value="Here",
         state="pending"),
    Case(name="first contact, different, remote wins", **FIRST, value="There", conflict="remote"),
    Case(name="first contact, different, local wins", **FIRST, strategy="local_wins", value="Here", state="pending",
         conflict="local"),
    Case(name="first contact, different, a person decides", **FIRST, strategy="manual", value="Here", state="held",
         conflict="open"),
    Case(name="first contact, cleared here: stays empty and is cleared there", base=NONE, local=None, remote="There",
         lead={"cleared": frozenset({"company_name"})}, value=None, state="pending", refused=True),
    Case(name="first contact, an untouched default yields", field="needs_enrichment", base=NONE, local=True,
         remote=False, lead={"untouched": frozenset({"needs_enrichment"})}, value=False),
    Case(name="first contact, a default that a person set is a value", field="needs_enrichment", base=NONE, local=True,
         remote=False, strategy="local_wins", value=True, state="pending", conflict="local"),
    Case(name="first contact, an untouched status yields", field="status", base=NONE, local="new", remote="Won",
         lead={"untouched": frozenset({"status"})}, value="won"),
    Case(name="first contact, an unreadable value there is written over", field="email", base=NONE,
         local="a@acme.test", remote="a@@", value="a@acme.test", state="pending", refused=True),
    Case(name="first contact, an unreadable value there and nothing here", field="email", base=NONE, local=None,
         remote="a@@", value=None, state="diverged", refused=True, reason="'a@@' is not an e-mail address."),
    # --- spelling: news compares raw values, agreement canonical ones
    Case(name="the same phone number in another spelling", field="phone", base="0612345678",
         base_local="+31612345678", local="+31612345678", remote="06-12345678", value="+31612345678"),
    Case(name="the answer of our own write was rewritten there", field="company_name", base="Acme Inc.",
         base_local="acme inc", local="acme inc", remote="Acme Inc.", value="acme inc"),
    Case(name="rewritten there, then changed here", field="company_name", base="Acme Inc.", base_local="acme inc",
         local="acme", remote="Acme Inc.", value="acme", state="pending"),
    # --- refused
    Case(name="unreadable: refused and written back", field="email", base="a@acme.test", local="a@acme.test",
         remote="a@@", value="a@acme.test", state="pending", refused=True),
    Case(name="unreadable, nothing here to write back", field="email", base=None, local=None, remote="a@@", value=None,
         state="diverged", refused=True, reason="'a@@' is not an e-mail address."),
    Case(name="unreadable there, changed here", field="email", base="a@acme.test", local="b@acme.test", remote="a@@",
         value="b@acme.test", state="pending", refused=True),
    Case(name="unreadable again and again: no ping-pong", field="email", base="a@acme.test", local="a@acme.test",
         remote="a@@", cell={"flapping": {"replaced": "a@@", "since": "2026-03-02T08:30:00.000Z", "times": FLAPS}}, value="a@acme.test",
         state="diverged", refused=True, reason="'a@@' is not an e-mail address."),
    Case(name="unreadable once more, long after", field="email", base="a@acme.test", local="a@acme.test", remote="a@@",
         cell={"flapping": {"replaced": "a@@", "since": "2026-03-01T08:00:00.000Z", "times": FLAPS}},
         value="a@acme.test", state="pending", refused=True),
    Case(name="a status is never empty: written back", field="status", base="Won", base_local="won", local="won",
         remote=None, value="won", state="pending", refused=True),
    Case(name="a refused value mended there is ordinary news", field="email", base="a@@", base_local="a@acme.test",
         local="a@acme.test", remote="b@acme.test", cell={"state": "pending"}, strategy="local_wins",
         value="b@acme.test"),
    # --- pending, in flight, ghosts
    Case(name="pending and meanwhile equal", base="Acme", local="Same", remote="Same", cell={"state": "pending"},
         value="Same"),
    Case(name="pending, the lead returned to its old value: still pending", base="There", base_local="Acme",
         cell={"state": "pending"}, remote="There", state="pending"),
    Case(name="in flight: our own echo confirms", local="Sent", remote="Sent",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Sent"),
    Case(name="in flight: the echo in another spelling", field="phone", base=None, local="+31612345678",
         remote="06 12345678", cell={"state": "inflight", "sent": Sent(remote="+31612345678", local="+31612345678",
         until=T3)}, value="+31612345678"),
    Case(name="in flight, confirmed, and the lead changed meanwhile", local="Later", remote="Sent",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Later",
         state="pending"),
    Case(name="in flight, confirmed, and the lead changed back meanwhile", local="Acme", remote="Sent",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Acme",
         state="pending"),
    Case(name="in flight and still in the air: wait", local="Sent",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Sent",
         state="inflight", reread=True),
    Case(name="in flight, lost: derived anew", local="Sent",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T0)}, value="Sent",
         state="pending"),
    Case(name="in flight, lost, and the lead returned to what is there", local="Acme",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T0)}),
    Case(name="in flight, lost, and changed there", local="Sent", remote="There",
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T0)}, value="There",
         conflict="remote"),
    Case(name="in flight, lost, and nothing to see there", field="status", base="New", base_local="new", local="won",
         remote="Unheard of", cell={"state": "inflight", "sent": Sent(remote="Won", local="won", until=T0)},
         value="won", state="pending"),
    Case(name="in flight, lost, and the earlier lost one landed", local="Second", remote="First",
         cell={"state": "inflight", "sent": Sent(remote="Second", local="Second", until=T0),
               "ghost": Sent(remote="First", local="First", until=T3)}, value="Second", state="pending"),
    Case(name="in flight, lost, and the earlier lost one is forgotten", local="Second", remote="First",
         cell={"state": "inflight", "sent": Sent(remote="Second", local="Second", until=T0),
               "ghost": Sent(remote="First", local="First", until=T0)}, value="First", conflict="remote"),
    Case(name="a ghost lands: our own, the lead is written again", local="Later", remote="Ghost",
         cell={"state": "pending", "ghost": Sent(remote="Ghost", local="Ghost", until=T3)}, value="Later",
         state="pending"),
    Case(name="a ghost lands after the lead was changed back", remote="Ghost",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until=T3)}, state="pending"),
    Case(name="a ghost is forgotten after a while", remote="Ghost",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until=T0)}, value="Ghost"),
    Case(name="a stale page after our push is dropped and read again", base="Sent", local="Sent", remote="Acme",
         cell={"fresh": T2}, value="Sent", reread=True),
    Case(name="a stale page after our push, and the lead changed since", base="Sent", local="Later", remote="Acme",
         cell={"fresh": T2}, value="Later", state="pending", reread=True),
    # --- held
    Case(name="held, nothing moved", **DRIFT, strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Here", state="held"),
    Case(name="held, moved on there", base="Acme", local="Here", remote="Later", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Here", state="held",
         conflict="open"),
    Case(name="held, moved on here", base="Acme", local="Later", remote="There", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Later", state="held",
         conflict="open"),
    Case(name="held, changed back there: what is here takes its way", local="Here", remote="Acme", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Here", state="pending"),
    Case(name="held, changed back here: what is there takes its way", local="Acme", remote="There", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="There"),
    Case(name="held, both came to agree", local="Same", remote="Same", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Same"),
    Case(name="held, and the strategy is another one now", **DRIFT,
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="There", conflict="remote"),
    Case(name="held, and unreadable there now", field="email", base="a@acme.test", local="b@acme.test", remote="a@@",
         strategy="manual", cell={"state": "held", "reason": "conflict", "other": ["c@acme.test", "b@acme.test"]},
         value="b@acme.test", state="pending", refused=True),
    # --- missing is not empty
    Case(name="not shown, changed here", local="Here", remote=MISSING, value="Here", state="pending"),
    Case(name="not shown, nothing changed", remote=MISSING),
    Case(name="an option nobody mapped means nothing", field="status", base="New", base_local="new", local="new",
         remote="Unheard of", value="new"),
    Case(name="an option nobody mapped, changed here", field="status", base="New", base_local="new", local="won",
         remote="Unheard of", value="won", state="pending"),
    Case(name="an option mapped since is ordinary news", field="status", base="New", base_local="new", local="new",
         remote="Unheard of", mapping={"options": OPTIONS | {"Unheard of": "won"}}, value="won"),
    Case(name="two options of one status agree", field="status", base="Contacted", base_local="contacted",
         local="contacted", remote="Called", value="contacted"),
    # --- the mapping changed
    Case(name="mapping changed, the sides agree", field="status", base="New", base_local="new", local="new",
         remote="Fresh", mapping={"options": {"Fresh": "new"}, **V2}, version=2, value="new"),
    Case(name="mapping changed, the sides differ", remote="There", mapping=V2, version=2, value="Acme",
         state="diverged", reason="the mapping changed"),
    Case(name="mapping changed, the lead's news waits", local="Here", remote="Acme", mapping=V2, version=2,
         cell={"state": "pending"}, value="Here", state="pending"),
    Case(name="mapping changed, the lead's news waits, the column shows something else", local="Here", remote="There",
         mapping=V2, version=2, cell={"state": "pending"}, value="Here", state="pending", conflict="local"),
    Case(name="mapping changed, the lead changed in the same moment", local="Here", remote="Acme", mapping=V2,
         version=2, value="Here", state="pending"),
    Case(name="mapping changed while held", **DRIFT, strategy="manual", mapping=V2, version=2,
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here"]}, value="Here", state="held"),
    Case(name="mapping changed, not read under it yet", remote="There", mapping=V2, value="Acme"),
    Case(name="mapping changed, not read under it yet, changed here", local="Here", remote="There", mapping=V2,
         value="Here", state="pending"),
    Case(name="mapping changed, a write in flight is confirmed first", local="Sent", remote="Sent", mapping=V2,
         version=2, cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Sent"),
    Case(name="mapping changed, a write in flight is awaited", local="Sent", mapping=V2, version=2,
         cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Sent",
         state="inflight", reread=True),
    Case(name="mapping changed: sets are united", field="campaigns", base=["a"], local=["a"], remote=["b"],
         mapping=V2, version=2, value=["a", "b"], state="pending"),
    # --- directions
    Case(name="push-only, empty there", base=NONE, local="Here", remote=None, mapping={"direction": "push"},
         value="Here", state="pending"),
    Case(name="push-only, something there already", **FIRST, mapping={"direction": "push"}, value="Here",
         state="diverged", refused=True, reason="this column is only written, never read"),
    Case(name="push-only, changed there", remote="There", mapping={"direction": "push"}, state="diverged",
         refused=True, reason="this column is only written, never read"),
    Case(name="push-only, changed here", local="Here", mapping={"direction": "push"}, value="Here", state="pending"),
    Case(name="pull-only, changed there", remote="There", mapping={"direction": "pull"}, value="There"),
    Case(name="pull-only, changed here", local="Here", mapping={"direction": "pull"}, value="Here", state="diverged",
         reason="this column is only read"),
    Case(name="pull-only, both changed", **DRIFT, mapping={"direction": "pull"}, value="There", conflict="remote"),
    Case(name="pull-only, both changed, local wins", **DRIFT, mapping={"direction": "pull"}, strategy="local_wins",
         value="Here", state="diverged", conflict="local", reason="this column is only read"),
    Case(name="pull-only, first contact, empty there", base=NONE, local="Here", remote=None,
         mapping={"direction": "pull"}, value="Here", state="diverged", reason="this column is only read"),
    Case(name="pull-only, unreadable there", field="email", base="a@acme.test", local="a@acme.test", remote="a@@",
         mapping={"direction": "pull"}, value="a@acme.test", state="diverged", refused=True,
         reason="'a@@' is not an e-mail address."),
    Case(name="pull-only, not shown, changed here", local="Here", remote=MISSING, mapping={"direction": "pull"},
         value="Here", state="diverged", reason="this column is only read"),
    Case(name="diverged, then changed here", base="There", base_local="Acme", local="Here", remote="There",
         cell={"state": "diverged", "reason": "the mapping changed", "other": "There"}, value="Here", state="pending"),
    Case(name="diverged, then changed there", base="There", base_local="Acme", remote="Later",
         cell={"state": "diverged", "reason": "the mapping changed", "other": "There"}, value="Later"),
    # --- the ladder, chosen for the status column
    Case(name="ladder: higher there", field="status", base="New", base_local="new", local="new", remote="Won",
         mapping={"rule": "ladder"}, value="won"),
    Case(name="ladder: lower there is refused", field="status", base="Won", base_local="won", local="won",
         remote="New", mapping={"rule": "ladder"}, value="won", state="diverged", refused=True,
         reason="the status only climbs"),
    Case(name="ladder: lower there, changed here", field="status", base="Opened", base_local="opened", local="won",
         remote="New", mapping={"rule": "ladder"}, value="won", state="pending", refused=True),
    Case(name="ladder: first contact, higher there", field="status", base=NONE, local="opened", remote="Won",
         mapping={"rule": "ladder"}, value="won"),
    Case(name="ladder: first contact, lower there", field="status", base=NONE, local="won", remote="New",
         mapping={"rule": "ladder"}, value="won", state="diverged", refused=True, reason="the status only climbs"),
    # --- sets
    Case(name="set: added there", field="campaigns", base=["a"], local=["a"], remote=["a", "b"], value=["a", "b"]),
    Case(name="set: removed there", field="campaigns", base=["a", "b"], local=["a", "b"], remote=["a"], value=["a"]),
    Case(name="set: added on both sides", field="campaigns", base=["a"], local=["a", "b"], remote=["a", "c"],
         value=["a", "b", "c"], state="pending"),
    Case(name="set: added here, removed there", field="campaigns", base=["a"], local=["a", "b"], remote=None,
         value=["b"], state="pending"),
    Case(name="set: first contact unites", field="campaigns", base=NONE, local=["a"], remote=["b"],
         value=["a", "b"], state="pending"),
    Case(name="set: first contact, cleared here", field="campaigns", base=NONE, local=None, remote=["b"],
         lead={"cleared": frozenset({"campaigns"})}, value=None, state="pending", refused=True),
    # --- custom columns
    Case(name="custom: changed there", field="custom.tier", remote="gold", value="gold"),
    Case(name="custom: objects are merged key by key", field="custom.box", base={"x": 1, "y": 1, "z": 1},
         local={"x": 2, "y": 1, "z": 1}, remote={"x": 1, "y": 2}, value={"x": 2, "y": 2, "z": 1}, state="pending"),
    Case(name="custom: an object there only", field="custom.box", base=None, local=None, remote={"x": 1},
         value={"x": 1}),
)  # fmt: skip


def _given(case: Case) -> tuple[Any, Link]:
    names = {case.field: case.local}
    here = lead(names if "untouched" not in case.lead else {}, **case.lead)
    here.values |= names
    there = airtable(case.field, strategy=case.strategy, **case.mapping)
    base = {} if case.base is NONE else {case.field: case.base}
    local = base if case.base_local is NONE else {case.field: case.base_local}
    shown = {} if case.remote is MISSING else {case.field: case.remote}
    known = link(there, shown, base, base_local=local, modified_at=case.modified_at, observed_version=case.version)
    if case.cell:
        rest = dict(case.cell)
        if "flapping" in rest:
            rest["flapping"] = Flapping(**rest["flapping"])
        known.put(
            case.field,
            cell(**{"remote": base.get(case.field, MISSING), "local": local.get(case.field, MISSING), **rest}),
        )
    return here, known


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    here, known = _given(case)

    after, links, actions = settle(here, [known])

    found = links["A"].cell(case.field)
    assert (case.value, case.state) == (after.values.get(case.field), found.state.value)
    assert case.conflict == _conflict(actions)
    assert case.refused == any(isinstance(action, Refuse) for action in actions)
    assert case.reread == links["A"].reread
    assert case.reason in (None, found.reason)
    is_closed = known.cell(case.field).state is State.HELD and found.state is not State.HELD
    assert is_closed == any(isinstance(action, CloseConflict) for action in actions)


def _conflict(actions: list[Action]) -> str | None:
    found = [action.conflict.winner or "open" for action in actions if isinstance(action, OpenConflict)]
    return found[0] if found else None


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


# --- stories: more than one observation, more than one link, more than one field


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
    stale = look(links["A"], {"company_name": None}, T2)

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
