"""The laws of the merge policy. Each is tried on hundreds of examples; the name of a test is the claim."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain import instantly, mapping, notes
from app.domain.cells import State
from app.domain.ladder import rank
from app.domain.lead import Action, Lead, Link, OpenConflict, Origin, Refuse, SetField
from app.domain.mapping import Mapped
from app.domain.merge import later
from app.domain.normalize import Unreadable
from app.domain.plan import apply, drafted, edit, plan
from app.domain.policy import COUNTERS, FIELDS, Rule, Source
from app.domain.policy import NAMES as POLICY_NAMES
from app.domain.values import JSON, MISSING, is_empty
from tests.domain.builders import T1, T2, T3, inflight, lead, look
from tests.domain.builders import instantly as campaign
from tests.domain.strategies import INCOMING, NAMES, World, campaigns, law, worlds

LATTICE = {Rule.COUNTER, Rule.NEWEST, Rule.OLDEST, Rule.LADDER, Rule.EVENT_TIME}
INCOMING_SOURCES = (Source.INSTANTLY, Source.EVENT, Source.IMPORT)


def _settled(world: World) -> tuple[Lead, dict[str, Link], list[Action]]:
    actions = plan(world.lead, world.links, world.owners)
    after, links = apply(world.lead, world.links, actions)
    return after, links, actions


def _at_peace(world: World) -> World:
    """The example once everything was read again, judged, written and answered."""
    for turn in range(3):
        seen = [look(known, {}, later(T3, turn * 60)) for known in world.links]
        after, links, _ = _settled(replace(world, links=seen))
        for known in [k for k in links.values() if k.connection.source is Source.AIRTABLE]:
            for name in [name for name, cell in known.cells.items() if cell.state is State.PENDING]:
                flown = inflight(after, links[known.id], name, until=later(T3, turn * 60))
                sent = flown.cells[name].sent
                assert sent is not None
                links[known.id] = look(flown, {name: sent.remote}, later(T3, turn * 60 + 30))
        world = replace(world, lead=after, links=list(links.values()))
    return world


def _decoded(mapped: Mapped, raw: JSON) -> JSON:
    try:
        return mapped.decode(raw)
    except Unreadable:
        return raw


def test_the_examples_are_worth_trying() -> None:
    """At least 30 % collide on a field, 10 % have no base, 10 % have two links."""
    found: Counter[str] = Counter()

    @law
    @given(worlds())
    def count(world: World) -> None:
        found.update(
            all=1,
            collide=bool(world.collisions),
            no_base=not world.has_base,
            two_links=len(world.links) > 1,
            two_tables=sum(k.connection.source is Source.AIRTABLE for k in world.links) > 1,
        )
        found.update(k.connection.strategy.value for k in world.links)
        found.update(cell.state.value for k in world.links for cell in k.cells.values())

    count()
    shares = {name: number / found["all"] for name, number in found.items()}
    assert shares["collide"] >= 0.3
    assert min(shares["no_base"], shares["two_links"], shares["two_tables"]) >= 0.1
    assert min(shares[name] for name in ("manual", "local_wins", "held", "inflight", "pending", "diverged")) >= 0.05


@law
@given(worlds())
def test_law_1_the_same_inputs_give_the_same_result_and_no_input_is_changed(world: World) -> None:
    before = world.copy()

    first = plan(world.lead, world.links, world.owners)

    assert first == plan(before.lead, before.links, before.owners)
    assert world == before
    assert apply(world.lead, world.links, first) == apply(before.lead, before.links, first)
    assert world == before


@law
@given(worlds())
def test_law_2_the_same_observation_twice_equals_once(world: World) -> None:
    after, links, _ = _settled(world)
    again = [look(known, {}, T2) for known in links.values()]

    late = [known for known in again if any(c.state is State.INFLIGHT or c.fresh for c in known.cells.values())]
    assume(not late)  # a later look at a write under way is more than the same observation
    twice, _, actions = _settled(replace(world, lead=after, links=again))

    assert twice.values == after.values
    assert not any(isinstance(action, OpenConflict | Refuse) for action in actions)


@law
@given(st.lists(campaigns("I"), min_size=2, max_size=3))
def test_law_3_observations_of_lattice_rules_commute(shown: list[Link]) -> None:
    links = [replace(known, id=str(n), key=str(n), namespace=str(n)) for n, known in enumerate(shown)]
    names = [name for name, row in FIELDS.items() if row.instantly in LATTICE]
    results = []
    for order in itertools.permutations(links):
        here = lead()
        done: list[Link] = []
        for known in order:
            here, kept, _ = _settled(World(lead=here, links=[*done, known]))
            done = list(kept.values())
        results.append({name: here.values.get(name) for name in names})

    assert all(result == results[0] for result in results)


@law
@given(worlds(), st.randoms(use_true_random=False))
def test_law_3_the_result_of_a_batch_depends_on_declared_order_only(world: World, random: Any) -> None:
    shuffled = list(world.links)
    random.shuffle(shuffled)

    once, twice = _settled(world)[0], _settled(replace(world, links=shuffled))[0]

    assert once.values == twice.values


@law
@given(worlds(), campaigns("J"))
def test_law_3_a_value_once_filled_stays(world: World, other: Link) -> None:
    filled, links, _ = _settled(world)

    after, _, actions = _settled(replace(world, lead=filled, links=[*links.values(), other]))

    # what a table had said before and was held may come in now, because the newcomer filled the field it was held for
    by_a_table = {a.field for a in actions if isinstance(a, SetField) and a.origin.source is Source.AIRTABLE}
    for name, row in FIELDS.items():
        given_value = name not in filled.untouched | filled.derived
        if row.instantly is Rule.FILL and not is_empty(filled.values.get(name)) and given_value:
            assert after.values.get(name) == filled.values.get(name) or name in by_a_table


@law
@given(worlds())
def test_law_4_after_apply_planning_again_plans_nothing(world: World) -> None:
    after, links, _ = _settled(world)

    assert plan(after, list(links.values()), world.owners) == []


@law
@given(worlds())
def test_the_draft_of_a_plan_is_what_applying_the_plan_makes(world: World) -> None:
    after, links, actions = _settled(world)
    draft = drafted(world.lead, world.links, world.owners)

    assert (draft.actions if draft else []) == actions
    assert draft is None or (draft.lead, draft.links) == (after, links)


@law
@given(worlds(), st.booleans())
def test_law_5_our_own_write_coming_back_changes_nothing(world: World, is_changed_back: bool) -> None:
    after, links, _ = _settled(world)
    for known in [k for k in links.values() if k.connection.source is Source.AIRTABLE]:
        pending = [name for name, cell in known.cells.items() if cell.state is State.PENDING]
        for name in pending:
            known = inflight(after, known, name)
        shown = {name: known.cells[name].sent.remote for name in pending}  # type: ignore[union-attr]
        here = after
        if is_changed_back:
            old = {name: known.base_local.get(name) for name in pending if name != "notes"}
            here = apply(after, [], edit(after, old, Origin(Source.USER, None, T2)))[0]
        echoed, kept, actions = _settled(replace(world, lead=here, links=[look(known, shown, T3)]))

        # news of another name field may rewrite the others
        ours = [name for name in pending if name not in POLICY_NAMES]
        assert not any(isinstance(a, SetField | OpenConflict | Refuse) and a.field in ours for a in actions)
        assert all(kept[known.id].cell(name).sent is None for name in pending)
        assert all(echoed.values.get(name) == here.values.get(name) for name in ours)


@law
@given(worlds())
def test_law_6_no_sync_removes_a_note_entry(world: World) -> None:
    before = [entry[0] for entry in world.lead.values["notes"] or []]

    after, _, _ = _settled(world)

    kept = [entry[0] for entry in after.values["notes"] or []]
    assert [key for key in kept if key in before] == before


@law
@given(worlds(), st.sampled_from(INCOMING_SOURCES), st.data())
def test_law_7_a_source_whose_rule_is_local_only_never_changes_a_field(
    world: World, source: Source, data: st.DataObject
) -> None:
    said = data.draw(campaigns("S", source))

    after, _, actions = _settled(replace(world, links=[said]))

    for name, row in FIELDS.items():
        if row.rule(source) is Rule.LOCAL_ONLY and name not in ("full_name", "first_name", "last_name"):
            assert after.values.get(name) == world.lead.values.get(name)
            assert not any(isinstance(action, SetField) and action.field == name for action in actions)


@law
@given(worlds(), st.sampled_from(INCOMING_SOURCES), st.data())
def test_law_8_instantly_and_imports_never_lower_the_ladder(world: World, source: Source, data: st.DataObject) -> None:
    said = data.draw(campaigns("S", source))

    after, _, _ = _settled(replace(world, links=[said]))

    assert rank(after.values["status"]) >= rank(world.lead.values["status"])


@law
@given(st.lists(campaigns("I"), min_size=1, max_size=6))
def test_law_9_counters_never_decrease_and_equal_the_sum(shown: list[Link]) -> None:
    """Two rows, read again and again, deleted and added again in between."""
    here = lead()
    links: dict[str, Link] = {}
    highest: dict[tuple[str, str, str], int] = {}
    for turn, seen in enumerate(shown):
        key = str(turn % 2)
        known = links.get(key, replace(seen, id=key, key=key, observed={}))
        if known.epoch != seen.epoch:
            known = replace(known, epoch=seen.epoch, observed={})
        known = look(known, seen.observed, later(T1, turn))
        before = {name: here.values[name] for name in COUNTERS}
        here, links, _ = _settled(World(lead=here, links=[*(k for k in links.values() if k.id != key), known]))
        for name in COUNTERS:
            if name in seen.observed:
                at = (name, key, seen.epoch)
                highest[at] = max(highest.get(at, 0), seen.observed[name])
            assert here.values[name] >= before[name]
            assert here.values[name] == sum(count for (n, _, _), count in highest.items() if n == name)


@law
@given(st.lists(campaigns("I"), min_size=1, max_size=4))
def test_law_10_no_sync_removes_a_metadata_key(shown: list[Link]) -> None:
    here = lead({"metadata": {"ours": 1, "0": {"x": 0, "w": 9}}})
    links: dict[str, Link] = {}
    for turn, seen in enumerate(shown):
        key = str(turn % 2)
        known = replace(seen, id=key, key=key, namespace=key)
        before = here.values["metadata"]
        here, links, _ = _settled(World(lead=here, links=[*(k for k in links.values() if k.id != key), known]))

        assert before.keys() <= here.values["metadata"].keys()
        assert all(v.keys() <= here.values["metadata"][k].keys() for k, v in before.items() if isinstance(v, Mapping))


@law
@given(worlds(), st.sampled_from(INCOMING_SOURCES), st.data())
def test_law_11_identity_and_set_once_never_change_a_value(world: World, source: Source, data: st.DataObject) -> None:
    said = data.draw(campaigns("S", source))

    after, _, _ = _settled(replace(world, links=[said]))

    for name, row in FIELDS.items():
        here = world.lead.values.get(name)
        if row.rule(source) in (Rule.IDENTITY, Rule.SET_ONCE) and not is_empty(here):
            assert name in world.lead.untouched or after.values.get(name) == here


@law
@given(worlds(), st.sets(st.sampled_from(NAMES)))
def test_law_12_missing_never_changes_anything(world: World, hidden: set[str]) -> None:
    links = [
        replace(known, observed={name: raw for name, raw in known.observed.items() if name not in hidden})
        for known in world.links
    ]

    _, kept, actions = _settled(replace(world, links=links))

    names = hidden - {"full_name", "first_name", "last_name"}  # these may be derived from one another
    assert not any(isinstance(action, SetField | OpenConflict | Refuse) and action.field in names for action in actions)
    for known in links:
        for name in hidden:
            assert kept[known.id].base_remote.get(name, MISSING) == known.base_remote.get(name, MISSING)


@law
@given(worlds())
def test_law_13_news_is_never_lost_silently(world: World) -> None:
    after, kept, actions = _settled(world)

    for known in world.links:
        for mapped in known.connection.mapping.fields.values():
            raw, name = known.observed.get(mapped.field, MISSING), mapped.field
            if raw is MISSING or raw == known.base_remote.get(name, MISSING) or mapped.is_one_way:
                continue
            cell, value = kept[known.id].cell(name), _decoded(mapped, raw)
            awaited = cell.state is State.INFLIGHT or kept[known.id].reread
            was_ours = any(ours and value == ours.local for ours in (known.cell(name).sent, known.cell(name).ghost))
            if is_empty(value) or awaited or value is MISSING or was_ours:
                continue
            if value == world.lead.values.get(name) or _is_kept(name, value, world.lead, after, actions):
                continue
            assert cell.state in (State.HELD, State.DIVERGED), (name, raw, cell)
            assert value in (cell.other if cell.state is State.HELD else [cell.other])


def _is_kept(name: str, value: JSON, before: Lead, after: Lead, actions: Sequence[Action]) -> bool:
    if name == "notes":
        known = [line for lead in (before, after) for line in (notes.render(lead.values["notes"]) or "").splitlines()]
        refused = [a.value for a in actions if isinstance(a, Refuse) and a.field == name]
        return value in refused or set(str(value).splitlines()) <= set(known)
    if name == "campaigns":
        return True  # what was added or removed is taken, whatever was there before
    shown = [after.values.get(name)]
    for action in actions:
        match action:
            case SetField(field=found, value=taken) | Refuse(field=found, value=taken) if found == name:
                shown.append(taken)
            case OpenConflict(field=found, conflict=conflict) if found == name:
                shown.append(conflict.remote)
    return value in shown or any(
        isinstance(v, dict) and isinstance(value, dict) and value.items() <= v.items() for v in shown
    )


@law
@given(worlds())
def test_law_14_an_emptied_listing_deletes_and_clears_nothing(world: World) -> None:
    """What did not come is not an observation: the links stand as they were last seen, or were never seen at all."""
    peace = _at_peace(world)
    unseen = [replace(known, observed={}, observed_at="") for known in peace.links]
    here, kept, _ = _settled(replace(peace, links=list(peace.links)))

    for links in (list(kept.values()), unseen):
        _, _, actions = _settled(replace(peace, lead=here, links=links))

        assert not any(isinstance(action, SetField) and action.link is not None for action in actions)


@law
@given(st.fixed_dictionaries({}, optional={"status": st.sampled_from((None, 1, 3, -1, -2, "x")), "email": st.text()}))
def test_law_15_suppression_never_resets_by_sync_or_import(raw: dict[str, JSON]) -> None:
    """It is no field of the lead, so no rule reaches it; what a record says can only add a reason."""
    assert instantly.suppression(raw) in (None, "unsubscribed", "bounced")
    assert not {name for name in FIELDS if "suppress" in name or "unsubscribe" in name or "bounce" in name}
    for source in INCOMING_SOURCES:
        assert set(mapping.incoming(source).fields) <= set(FIELDS)


@law
@given(worlds(), st.sampled_from(("emailed", "not_yet_emailed")))
def test_law_15_a_bounced_address_is_not_taken_for_a_good_one_again(world: World, later_on: str) -> None:
    world.lead.values["delivery_status"] = "bounced"
    said = replace(world.links[0], connection=campaign(), observed={"delivery_status": later_on})

    assert _settled(replace(world, links=[said]))[0].values["delivery_status"] == "bounced"


@law
@given(worlds(), st.sampled_from([name for name in NAMES if name not in ("notes", "full_name", "first_name")]))
def test_law_17_an_undo_once_applied_and_pushed_plans_nothing(world: World, name: str) -> None:
    before = dict(world.lead.values)
    peace = _at_peace(world)
    moved, links, _ = _settled(peace)
    undone = apply(moved, [], edit(moved, {name: before.get(name)}, Origin(Source.USER, None, T3)))[0]
    pushed = _at_peace(replace(peace, lead=undone, links=[look(k, {}, later(T3, 600)) for k in links.values()]))

    after, _, actions = _settled(pushed)

    assert after.values.get(name) == before.get(name)
    assert not any(isinstance(action, SetField | OpenConflict) for action in actions)
    untouched = [other for other in NAMES if other not in (name, "claimed_at")]
    assert [after.values.get(other) for other in untouched] == [moved.values.get(other) for other in untouched]


def test_every_incoming_field_takes_part() -> None:
    """The generators speak on every field that a tool may speak on."""
    spoken = {n for source in INCOMING_SOURCES for n in mapping.incoming(source).fields}

    assert set(INCOMING) <= set(FIELDS)
    assert {FIELDS[n].instantly for n in spoken} == {FIELDS[n].instantly for n in INCOMING if n in spoken}
