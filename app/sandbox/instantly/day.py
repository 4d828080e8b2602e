"""A seeded day in the life of a workspace: what mailers, prospects and the AI do, one after the other.

The same store, seed and count give the same day. What is returned is the clean story: every event once, in the order
of its time, as a webhook for all events would have been told it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from app.sandbox.instantly.deeds import Deed
from app.sandbox.instantly.payloads import LABELS, event_type, payload, told_at
from app.sandbox.instantly.records import Json, Lead
from app.sandbox.instantly.store import Store

#: the time of an event, and its payload
Told = tuple[datetime, Json]

_SHARES = {
    "send": 40,
    "open": 30,
    "click": 8,
    "reply": 9,
    "reply_automatically": 3,
    "label": 5,
    "bounce": 3,
    "unsubscribe": 2,
}
_TEXTS = ("Ja graag, donderdag past.\n\n", "Please take me off your list.", "Who is this?\n", "Stuur maar op. ☕\n\n\n")


def live_a_day(
    store: Store, *, seed: int, events: int, start: datetime | None = None, seconds: float = 86_400.0
) -> list[Json]:
    """Lives a day of at least so many events (one more where a deed makes two); returns their payloads by time.

    Args:
        start: when the day begins; now where it is not given.
        seconds: how long it lasts.
    """
    told = [one for some in living(store, seed=seed, events=events, start=start, seconds=seconds) for one in some]
    return [told_then for _, told_then in sorted(told, key=lambda one: one[0])]


def living(
    store: Store, *, seed: int, events: int, start: datetime | None = None, seconds: float = 86_400.0
) -> Iterator[list[Told]]:
    """Does one deed of the day at each step, and yields the events it made; who owns the clock moves it along."""
    day = _Day(store, seed, start or store.now(), timedelta(seconds=seconds / max(events, 1)))
    made = 0
    while made < events:
        told = day.step()
        made += len(told)
        yield told


class _Day:
    def __init__(self, store: Store, seed: int, start: datetime, slot: timedelta) -> None:
        self._store = store
        self._rng = random.Random(seed)
        self._start, self._slot = start, slot
        self._number = 0
        self._fresh = [lead.id for lead in store.leads.values() if lead.campaign is not None and lead.email]
        self._rng.shuffle(self._fresh)
        self._mailed = [i for i in self._fresh if store.leads[i].timestamp_last_contact is not None]
        self._fresh = [i for i in self._fresh if store.leads[i].timestamp_last_contact is None]
        if not self._fresh and not self._mailed:
            raise ValueError("A day needs leads with an address in a campaign.")
        #: labels the AI will give: (number of the deed, lead, interest)
        self._thinking: list[tuple[int, str, int]] = []
        # "out of office" is what automatic replies are labelled with
        self._interests = [code for code in LABELS if code != 0]
        self._interests += [label.interest_status for label in store.labels.values()]

    def step(self) -> list[Told]:
        """Does the next deed; returns what a webhook is told of it."""
        told: list[Told] = []

        def listen(deed: Deed) -> None:
            event = event_type(deed, self._store)
            if event is not None:
                told.append((told_at(deed, self._store), payload(event, deed, self._store)))

        self._store.watchers.append(listen)
        try:
            self._do(self._start + self._slot * (self._number + self._rng.random() * 0.9))
        finally:
            self._store.watchers.remove(listen)
        self._number += 1
        return told

    def _do(self, at: datetime) -> None:
        store, rng = self._store, self._rng
        if self._thinking and self._thinking[0][0] <= self._number:
            _, lead_id, interest = self._thinking.pop(0)
            if lead_id in store.leads:
                store.set_interest(lead_id, interest, at=at)
                return
        what = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        lead = self._somebody(lambda lead: lead.status in (1, 3))
        if what == "send" or lead is None:
            self._send(at)
            return
        deeds: dict[str, Callable[[], Any]] = {
            "open": lambda: store.open(lead.id, at=at),
            "click": lambda: store.click(lead.id, at=at),
            "reply": lambda: self._reply(lead, at),
            "reply_automatically": lambda: store.reply(lead.id, auto=True, at=at),
            "label": lambda: store.set_interest(lead.id, rng.choice(self._interests), at=at),
            "bounce": lambda: store.bounce(lead.id, at=at),
            "unsubscribe": lambda: store.unsubscribe(lead.id, at=at),
        }
        deeds[what]()

    def _send(self, at: datetime) -> None:
        """Sends a first mail, or the next one of the sequence; where nobody is left to write to, somebody opens."""
        store = self._store
        if self._fresh and (not self._mailed or self._rng.random() < 0.7):
            lead_id = self._fresh.pop()
            if lead_id in store.leads and store.leads[lead_id].status == 1:
                self._mailed.append(lead_id)
                store.send(lead_id, variant=self._rng.randint(0, 1), at=at)
                return
        lead = self._somebody(lambda lead: lead.status == 1)
        if lead is not None:
            steps = len(store.campaigns[lead.campaign or ""].steps)
            step = min(lead.sent_step + 1, steps - 1)
            store.send(lead.id, step=step, variant=self._rng.randint(0, 1), at=at)
        elif (reader := self._somebody(lambda _: True)) is not None:
            store.open(reader.id, at=at)
        else:
            raise ValueError("Everybody this day was about has been deleted.")

    def _reply(self, lead: Lead, at: datetime) -> None:
        rng = self._rng
        self._store.reply(lead.id, text=rng.choice(_TEXTS), at=at)
        if rng.random() < 0.7:
            self._thinking.append((self._number + rng.randint(1, 40), lead.id, rng.choice(self._interests)))
            self._thinking.sort()

    def _somebody(self, fits: Callable[[Lead], bool]) -> Lead | None:
        """Returns somebody who was mailed; after a few tries it is nobody."""
        for _ in range(12 if self._mailed else 0):
            lead = self._store.leads.get(self._rng.choice(self._mailed))
            if lead is not None and lead.campaign is not None and fits(lead):
                return lead
        return None
