"""The named cases of the merge policy: a table of one field on one connection, then the stories that need more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from app.domain.cells import Flapping, Sent, State
from app.domain.lead import Action, CloseConflict, Link, OpenConflict, Refuse
from app.domain.merge import FLAPS
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
         remote="a@@", cell={"flapping": {"replaced": "a@@", "since": "2026-03-02T08:30:00.000Z", "times": FLAPS}},
         value="a@acme.test", state="diverged", refused=True, reason="'a@@' is not an e-mail address."),
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
    Case(name="in flight, and the value sent was there before: not confirmed by it", base="Sent", local="Sent",
         remote="Sent", cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3)}, value="Sent",
         state="inflight", reread=True),
    Case(name="in flight, and the same value of an earlier lost write landed: not confirmed by it", local="Sent",
         remote="Sent", cell={"state": "inflight", "sent": Sent(remote="Sent", local="Sent", until=T3),
                              "ghost": Sent(remote="Sent", local="Sent", until=T3)},
         value="Sent", state="inflight", reread=True),
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
               "ghost": Sent(remote="First", local="First", until="2026-03-01T08:00:00.000Z")}, value="First",
         conflict="remote"),
    Case(name="a ghost lands: our own, the lead is written again", local="Later", remote="Ghost",
         cell={"state": "pending", "ghost": Sent(remote="Ghost", local="Ghost", until=T3)}, value="Later",
         state="pending"),
    Case(name="the elder of two ghosts lands", local="Later", remote="First",
         cell={"state": "pending", "ghost": Sent(remote="Second", local="Second", until=T3, also=[["First", "First"]])},
         value="Later", state="pending"),
    Case(name="a ghost lands after the lead was changed back", remote="Ghost",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until=T3)}, state="pending"),
    Case(name="a ghost landed in time and nobody looked until later", remote="Ghost",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until=T0)}, state="pending"),
    Case(name="a ghost is forgotten when a later look shows something else", remote="There",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until=T0)}, value="There"),
    Case(name="a ghost is forgotten after a day", remote="Ghost",
         cell={"ghost": Sent(remote="Ghost", local="Ghost", until="2026-03-01T08:00:00.000Z")}, value="Ghost"),
    Case(name="a stale page after our push is dropped and read again", base="Sent", local="Sent", remote="Acme",
         cell={"fresh": T2}, value="Sent", reread=True),
    Case(name="a stale page after our push, and the lead changed since", base="Sent", local="Later", remote="Acme",
         cell={"fresh": T2}, value="Later", state="pending", reread=True),
    # --- held
    Case(name="held, nothing moved", **DRIFT, strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Here", state="held"),
    Case(name="held, moved on there", base="Acme", local="Here", remote="Later", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Here", state="held",
         conflict="open"),
    Case(name="held, moved on here", base="Acme", local="Later", remote="There", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Later", state="held",
         conflict="open"),
    Case(name="held, changed back there: what is here takes its way", local="Here", remote="Acme", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Here",
         state="pending"),
    Case(name="held, changed back here: what is there takes its way", local="Acme", remote="There", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="There"),
    Case(name="held, and our own earlier write landed over what was there: what is here takes its way", local="Here",
         remote="Ghost", cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"],
                               "ghost": Sent(remote="Ghost", local="Ghost", until=T3)},
         strategy="manual", value="Here", state="pending"),
    Case(name="held after a person kept the lead's value at first contact, and changed back there", field="status",
         base="Contacted", base_local=MISSING, local="won", remote="Contacted", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["replied", "won", "Replied"]}, value="won",
         state="pending"),
    Case(name="held, and both back at a base that was no agreement, because the lead's value was on its way",
         base="There", base_local="Acme", local="Acme", remote="There", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["Later", "Here", "Later"]},
         value="Acme", state="held", conflict="open"),
    Case(name="held, both came to agree", local="Same", remote="Same", strategy="manual",
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Same"),
    Case(name="held, and the strategy is another one now", **DRIFT,
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="There",
         conflict="remote"),
    Case(name="held, and unreadable there now", field="email", base="a@acme.test", local="b@acme.test", remote="a@@",
         cell={"state": "held", "reason": "conflict", "other": ["c@acme.test", "b@acme.test", "c@acme.test"]},
         strategy="manual", value="b@acme.test", state="pending", refused=True),
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
         cell={"state": "held", "reason": "conflict", "other": ["There", "Here", "There"]}, value="Here", state="held"),
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
    # --- fields that only come in
    Case(name="one-way: replaced", field="sms_sent_count", base=1, local=1, remote=2, value=2),
    Case(name="one-way: emptied", field="processing_status", base="done", local="done", remote=None, value=None),
    Case(name="one-way: unreadable", field="sms_sent_count", base=1, local=1, remote="many", value=1, refused=True),
    Case(name="one-way: an older instant", field="last_contacted_at", base=None, local=T1, remote=T0, value=T1,
         refused=True),
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
