"""One field of one link, three ways: the state machine behind every field that goes both ways.

A source speaks only when it says something new. The base remembers what each side held when they last agreed: `remote`
as the provider showed it (raw), `local` as the lead had it. News is a difference from the base; an observation equal to
the base is old news whatever the lead says now, and one equal to a value we sent is our own echo. From this follow,
without comparing clocks: no sync loops, no refilling of what a person cleared, no fight over a corrected value.

Nothing here knows the database, the provider or the time. Rejected: timestamps instead of a base (they cannot tell an
edit from an echo), and one winner per record (it erases the other side's unrelated edit).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.cells import Cell, Conflict, Flapping, Here, How, Seen, Sent, State, Strategy, Verdict
from app.domain.ladder import rank
from app.domain.policy import Rule
from app.domain.values import JSON, MISSING, Missing, instant, is_empty

#: How long a write that was given up may still land, and for how long after that a first look may find it, in seconds.
GHOST_SECONDS, GHOST_UNSEEN = 15 * 60, 24 * 60 * 60
#: A remote that undoes our confirmed write this often, within this many seconds, without a person in between, flaps.
FLAPS, FLAP_SECONDS = 3, 60 * 60


def judge(cell: Cell, seen: Seen | None, here: Here, how: How) -> Verdict:
    """Decides one two-way field: the provider shows `seen` (None: nothing), the lead holds `here`."""
    verdict = _judge(cell, seen, here, how)
    if how.pull_only and verdict.cell.state is State.PENDING:
        return _never_pushed(cell, verdict, seen, here, how)
    return verdict


def confirmed(cell: Cell, answered: JSON, at: str) -> Cell:
    """Records that a write was answered: the base is what the provider answered and what we sent."""
    assert cell.sent is not None
    sent = cell.sent
    flapping = cell.flapping
    if sent.replaced is not MISSING:
        known = flapping is not None and flapping.replaced == sent.replaced
        flapping = flapping if known else Flapping(replaced=sent.replaced, since=at)
    return Cell(remote=answered, local=sent.local, fresh=at, flapping=flapping)


def resolved(cell: Cell, *, keeps_remote: bool) -> Cell:
    """Ends a hold as a person decided, by what the item shows; what the record shows by now is judged after that."""
    there, _here, raw = cell.other
    thawed = replace(cell, remote=raw, reason=None, other=None)
    if keeps_remote:
        return replace(thawed, state=State.AGREED, local=there)
    return replace(thawed, state=State.PENDING)


def _judge(cell: Cell, seen: Seen | None, here: Here, how: How) -> Verdict:
    if seen is None:
        return Verdict(cell=_mark_local_news(cell, here, how))
    if seen.value is MISSING:
        return Verdict(cell=_mark_local_news(_give_up(cell, seen), here, how))
    if cell.fresh is not None and seen.at < cell.fresh and seen.raw != cell.remote:
        # asked for before our own write was answered, so it cannot know better
        return Verdict(cell=_mark_local_news(cell, here, how), reread=True)
    cell = _hear_echo(cell, seen, how)
    if cell.state is State.INFLIGHT:
        return Verdict(cell=cell, reread=True)
    if seen.refused is None and how.same(here.value, seen.value):
        return Verdict(cell=_settled(cell, seen, how.freeze(here.value)))
    if how.rebase and cell.remote is not MISSING and cell.state is not State.HELD:
        return _rebased(cell, seen, here, how)
    return _hear_news(cell, seen, here, how)


# --- what we sent ourselves ---------------------------------------------------------------------------------------


def _hear_echo(cell: Cell, seen: Seen, how: How) -> Cell:
    """Recognises a value we wrote ourselves: one in flight, or one whose write was given up but landed after all."""
    ghost, is_moved = cell.ghost, seen.raw != cell.remote
    is_known = ghost is not None and seen.at < later(ghost.until, GHOST_UNSEEN)
    landed = _ours(ghost, seen, how) if is_moved and is_known else []
    if cell.sent is not None and is_moved and not landed and _ours(cell.sent, seen, how):
        # only an answer tells that the writes before it are over
        cell = replace(confirmed(cell, seen.raw, seen.at), ghost=ghost)
    elif cell.sent is not None:
        # what was there before, or an earlier write explains, does not show that this one has landed
        cell = _give_up(cell, seen)
        if cell.state is State.INFLIGHT:
            return cell
    if landed:
        cell = _settled(cell, seen, landed[0])
    # a look that late shows all that will ever land
    return replace(cell, ghost=None) if cell.ghost is not None and seen.at >= cell.ghost.until else cell


def _ours(sent: Sent | None, seen: Seen, how: How) -> list[JSON]:
    """Returns what the lead held when we sent what is seen; nothing where we never sent it."""
    known = [] if sent is None else sent.values
    is_readable = seen.refused is None
    return [local for remote, local in known if seen.raw == remote or (is_readable and how.same(local, seen.value))]


def _give_up(cell: Cell, seen: Seen) -> Cell:
    """Ends a write that did not happen, or not yet: its value is derived anew, and known in case it still lands."""
    sent, ghost = cell.sent, cell.ghost
    if sent is None or seen.at < sent.until:
        return cell
    earlier = [] if ghost is None or seen.at >= ghost.until else ghost.values
    also = [value for value in earlier if value not in sent.values]
    ghost = replace(sent, until=later(seen.at, GHOST_SECONDS), also=also)
    return replace(cell, state=State.PENDING, sent=None, ghost=ghost)


# --- who says something new ---------------------------------------------------------------------------------------


def _mark_local_news(cell: Cell, here: Here, how: How) -> Cell:
    """Turns a lead value that differs from the base into work; a field that waits for something else keeps waiting."""
    if cell.state not in (State.AGREED, State.DIVERGED) or cell.local is MISSING:
        return cell
    if how.freeze(here.value) == cell.local:
        return cell
    return replace(cell, state=State.PENDING, reason=None, other=None)


def _is_local_news(cell: Cell, here: Here, how: How) -> bool:
    return cell.local is MISSING or bool(how.freeze(here.value) != cell.local)


def _hear_news(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """The sides differ: finds out which of them says something new, and what the rule makes of it."""
    if cell.state is State.HELD:
        # derived anew from the frozen base: with news on one side only, that side's news takes its way
        is_local_news = _is_local_news(cell, here, how)
        if seen.raw == cell.remote and not is_local_news:
            # back at a base that was no agreement: the lead's value was still to be written when this was held
            verdict = _held(cell, seen, here, "conflict", "both sides are back where they differed before")
        else:
            state = State.PENDING if is_local_news else State.AGREED
            verdict = _hear_news(replace(cell, state=state, reason=None, other=None), seen, here, how)
        return Verdict(cell=cell) if verdict.cell == cell else verdict
    if cell.remote is not MISSING and seen.raw == cell.remote:
        return Verdict(cell=_mark_local_news(cell, here, how))
    if seen.refused is not None:
        return _refused(cell, seen, here, how, seen.refused)
    if how.push_only:
        return _push_only(cell, seen, here, how)
    if seen.owner is not None:
        return _held(cell, seen, here, "collision", f"another lead ({seen.owner}) has this value")
    if cell.remote is MISSING:
        return _first_contact(cell, seen, here, how)
    if how.unite is not None:
        return _united(cell, seen, here, how)
    if how.rule is Rule.LADDER:
        return _ladder(cell, seen, here, how)
    if is_empty(seen.value) and not how.clears:
        return _refused(cell, seen, here, how, "this field is never empty")
    if _is_local_news(cell, here, how):
        return _conflict(cell, seen, here, how)
    return _accepted(cell, seen, here, how)


def _first_contact(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """No base yet: an empty side takes the other's value, an empty never clears, two values meet the rule."""
    if here.cleared and not is_empty(seen.value):
        return Verdict(cell=_pending(cell, seen, how.freeze(seen.value)), refused="a person cleared this field here")
    if how.unite is not None:
        return _united(cell, seen, here, how)
    if is_empty(seen.value):
        return Verdict(cell=_pending(cell, seen, seen.value))
    if is_empty(here.value) or here.yields:
        return _accepted(cell, seen, here, how)
    if how.rule is Rule.LADDER:
        return _ladder(cell, seen, here, how)
    return _conflict(cell, seen, here, how)


# --- what becomes of it -------------------------------------------------------------------------------------------


def _settled(cell: Cell, seen: Seen, local: JSON | Missing) -> Cell:
    """Both sides' base as they are now; what is known of our own writes is kept."""
    fresh = cell.fresh if cell.fresh is not None and seen.at < cell.fresh else None
    return Cell(remote=seen.raw, local=local, ghost=cell.ghost, fresh=fresh, flapping=cell.flapping)


def _pending(cell: Cell, seen: Seen, local: JSON | Missing) -> Cell:
    return replace(_settled(cell, seen, local), state=State.PENDING)


def _diverged(cell: Cell, seen: Seen, local: JSON | Missing, reason: str) -> Cell:
    other = seen.raw if seen.refused else seen.value
    return replace(_settled(cell, seen, local), state=State.DIVERGED, reason=reason, other=other)


def _accepted(cell: Cell, seen: Seen, here: Here, how: How, conflict: Conflict | None = None) -> Verdict:
    flapping = _flap(cell, seen, here)
    if flapping is not None and flapping.times >= FLAPS:
        reason = f"the other side undid our write {flapping.times} times; settle it there, or edit the field here"
        flapped = _diverged(cell, seen, how.freeze(here.value), reason)
        return Verdict(cell=replace(flapped, flapping=None), refused=reason)
    agreed = _settled(cell, seen, how.freeze(seen.value))
    agreed = agreed if flapping is cell.flapping else replace(agreed, flapping=flapping)
    return Verdict(cell=agreed, value=seen.value, conflict=conflict)


def _flap(cell: Cell, seen: Seen, here: Here) -> Flapping | None:
    """Counts a remote change that restores exactly what our last write replaced, with no person's edit in between."""
    flapping = cell.flapping
    if flapping is None or seen.at >= later(flapping.since, FLAP_SECONDS):
        return None
    if seen.raw != flapping.replaced or here.origin is None:
        return None
    return replace(flapping, times=flapping.times + 1)


def _refused(cell: Cell, seen: Seen, here: Here, how: How, reason: str) -> Verdict:
    """News that the rule does not accept: judged once, kept visible. Unsent news of the lead goes on its way.

    The lead's value is written back where both sides are authorities, unless the same refused value keeps coming back.
    """
    if cell.remote is not MISSING and _is_local_news(cell, here, how):
        return Verdict(cell=_pending(cell, seen, cell.local), refused=reason)
    says_something = not is_empty(here.value) and not (here.yields and cell.remote is MISSING)
    if how.rule is Rule.AUTHORITY and not how.push_only and says_something:
        known = cell.flapping
        if known is None or known.replaced != seen.raw or seen.at >= later(known.since, FLAP_SECONDS):
            known = Flapping(replaced=seen.raw, since=seen.at)
        if known.times < FLAPS:
            back = replace(_pending(cell, seen, cell.local), flapping=replace(known, times=known.times + 1))
            return Verdict(cell=back, refused=reason)
    local = how.freeze(here.value) if how.unite is None else MISSING
    return Verdict(cell=replace(_diverged(cell, seen, local, reason), flapping=None), refused=reason)


def _push_only(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    if cell.remote is MISSING and is_empty(seen.value):
        return Verdict(cell=_pending(cell, seen, seen.value))
    return _refused(cell, seen, here, how, "this column is only written, never read")


def _never_pushed(cell: Cell, verdict: Verdict, seen: Seen | None, here: Here, how: How) -> Verdict:
    """What would be news for the provider is a difference that stays: the column is only read."""
    news = verdict.cell
    # entries and members are told apart by what the other side holds, so that stays their base
    local = how.freeze(here.value) if how.unite is None else news.local
    other = cell.other if seen is None or seen.value is MISSING else seen.raw if seen.refused else seen.value
    known = cell.reason if cell.state is State.DIVERGED else None
    reason = verdict.refused or known or "this column is only read"
    return replace(verdict, cell=replace(news, state=State.DIVERGED, local=local, reason=reason, other=other))


def _rebased(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """The mapping has changed and the sides differ under the new one: nobody's news, unless the lead's waits."""
    if how.unite is not None:
        return _first_contact(replace(cell, local=MISSING), seen, here, how)
    if cell.state is not State.PENDING and not _is_local_news(cell, here, how):
        return Verdict(cell=_diverged(cell, seen, how.freeze(here.value), "the mapping changed"))
    kept = None
    if seen.raw != cell.remote:
        why = "the mapping changed while the lead's value was on its way"
        remote = seen.raw if seen.refused else seen.value
        kept = Conflict(base=cell.local, local=here.value, remote=remote, winner="local", why=why)
    return Verdict(cell=_pending(cell, seen, cell.local), conflict=kept)


def _ladder(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """Only climbs; a lower rank there is judged once and left."""
    if rank(seen.value) > rank(here.value):
        return _accepted(cell, seen, here, how)
    return _refused(cell, seen, here, how, "the status only climbs")


def _united(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """Both sides' additions and removals are taken; what the other side lacks afterwards is pushed."""
    assert how.unite is not None
    united, there = how.unite(cell.local, here.value, seen.value, seen.at)
    value = MISSING if united == here.value else united
    if how.same(united, seen.value):
        return Verdict(cell=_settled(cell, seen, how.freeze(united)), value=value)
    return Verdict(cell=_pending(cell, seen, there), value=value)


def _conflict(cell: Cell, seen: Seen, here: Here, how: How) -> Verdict:
    """Both sides brought news: a stronger connection, or the strategy, decides; the three values are always kept."""
    winner, why = _winner(seen, here, how)
    conflict = Conflict(base=cell.local, local=here.value, remote=seen.value, winner=winner, why=why)
    if winner == "remote":
        return _accepted(cell, seen, here, how, conflict)
    if winner == "local":
        return Verdict(cell=_pending(cell, seen, cell.local), conflict=conflict)
    return _held(cell, seen, here, "conflict", why)


def _held(cell: Cell, seen: Seen, here: Here, reason: str, why: str) -> Verdict:
    """Freezes the base until a person decides, or the sides move so that nothing is left to decide."""
    conflict = Conflict(base=cell.local, local=here.value, remote=seen.value, winner=None, why=why)
    held = replace(cell, state=State.HELD, reason=reason, other=[seen.value, here.value, seen.raw])
    return Verdict(cell=held, conflict=conflict)


def _winner(seen: Seen, here: Here, how: How) -> tuple[str | None, str]:
    if here.origin is not None and here.origin != how.connection:
        if here.outranked:
            return "remote", "this connection outranks the one the lead's value came from"
        return "local", "the lead's value came from a connection that outranks this one"
    match how.strategy:
        case Strategy.REMOTE_WINS:
            return "remote", "the connection's strategy is remote_wins"
        case Strategy.LOCAL_WINS:
            return "local", "the connection's strategy is local_wins"
        case Strategy.LAST_MODIFIED_WINS:
            # a tie goes to the remote: its times have whole seconds only
            if (seen.modified_at or seen.at) >= here.at:
                return "remote", "the record there was modified last"
            return "local", "the lead was modified last"
    return None, "the connection's strategy is manual"


def later(at: str, seconds: float) -> str:
    """Returns the instant `seconds` after another one."""
    return instant(datetime.fromisoformat(at) + timedelta(seconds=seconds))
