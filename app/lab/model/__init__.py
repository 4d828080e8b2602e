"""Model: the policy core alone, driven through everything that can happen between two systems.

A store in memory stands in for Postgres and the stages: leads, links, one worker per connection that goes through the
protocol of `sync/` step by step (page, reconcile, re-read, store in flight, send, record the answer). Between any two
steps people edit here and there, workers crash, answers get lost, writes land late, pages come late or twice, mappings
change. Then everybody is quiet, and what must hold is checked. One seed decides everything.

What Airtable cannot prevent is part of the model: a write lands on whatever the cell holds by then.
"""

from __future__ import annotations

import hashlib

from app.domain import notes
from app.domain.cells import State, Strategy
from app.domain.identity import strong
from app.domain.lead import Lead
from app.domain.mapping import Mapped
from app.domain.policy import COUNTERS
from app.domain.values import MISSING
from app.lab.model.people import People
from app.lab.model.stages import Outcome, Side, Tied, decoded

#: Steps between two quiet periods; a longer run is many of these.
EPISODE = 250
#: Turns after which a quiet world must have come to rest.
PATIENCE = 40
#: Reasons for which two sides may differ for good: a person has to settle these.
ACCEPTED = ("the mapping changed", "the other side undid")


def run(seed: int, steps: int = EPISODE) -> Outcome:
    """Plays `steps` steps, in episodes that each end in a quiet period, and tells what did not hold.

    The trace of one episode is complete; of many, each episode is one line, and those that failed are complete.
    """
    if steps <= EPISODE:
        return World(seed).play(steps)
    whole = Outcome(seed=seed, steps=steps)
    for number in range(-(-steps // EPISODE)):
        part = World(seed * 1_000_003 + number).play(min(EPISODE, steps - number * EPISODE))
        digest = hashlib.sha256("\n".join(part.trace).encode()).hexdigest()[:16]
        whole.trace += [f"seed {part.seed}: {digest}", *(part.trace if part.problems else ())]
        whole.problems += [f"seed {part.seed}: {problem}" for problem in part.problems]
        whole.happened += part.happened
    return whole


class World(People):
    """Lets things happen, and knows what must hold afterwards."""

    def play(self, steps: int) -> Outcome:
        """Lets things happen, then waits until everybody is quiet, and checks."""
        self.outcome.steps = steps
        for _ in range(steps):
            self.seconds += self.rng.choice((0.005, 0.02, 0.1, 0.4))
            self._step()
        self._come_to_rest()
        self._check()
        return self.outcome

    def _step(self) -> None:
        chance = self.rng.random()
        side = self.rng.choice(self.sides)
        if chance < 0.10:
            self._edit_here(self.rng.choice(sorted(self.leads)))
        elif chance < 0.22:
            self._edit_there(side)
        elif chance < 0.25:
            self._crash(side)
        elif chance < 0.28 and self.late:
            self._store(self.late.pop(self.rng.randrange(len(self.late))))
        elif chance < 0.33:
            self._land_late(side)
        elif chance < 0.35:
            self.seconds += self.rng.choice((3, 30, 30, 1200))
            self.note("time passes")
        elif chance < 0.37:
            self._resolve(side)
        elif chance < 0.375 and side.is_table:
            self._change_mapping(side)
        else:
            self._work(side)

    def _work(self, side: Side) -> None:
        side.worker = side.worker or self._turn(side)
        step = next(side.worker, None)
        if step is None:
            side.worker = None
        else:
            self.note(step, side.connection.id)

    def _come_to_rest(self) -> None:
        self.quiet = True
        self.note("quiet")
        for side in self.sides:
            self._crash(side)
            while side.in_the_air:
                self._land_late(side)
        for _ in range(PATIENCE):
            writes, versions = self.outcome.happened["write"], self._versions()
            self.seconds += 30
            for side in self.sides:
                for _step in self._turn(side):
                    self.seconds += 0.01
            if (writes, versions) == (self.outcome.happened["write"], self._versions()) and not self._is_busy():
                return
        self.fail("it never comes to rest")

    def _versions(self) -> list[int]:
        return [lead.sync_version for lead in self.leads.values()]

    def _is_busy(self) -> bool:
        cells = [c for s in self.sides for t in s.records.values() for n, c in t.link.cells.items() if n != "status"]
        return any(cell.state in (State.PENDING, State.INFLIGHT) for cell in cells)

    def _check(self) -> None:
        for side in self.sides:
            for tied in side.records.values():
                for mapped in side.two_way():
                    self._check_agreement(tied, mapped)
        owners = [identity for lead in self.leads.values() for identity in strong(lead.values)]
        if len(set(owners)) < len(owners):
            self.fail(f"two leads share an identity: {owners}")
        for lead in self.leads.values():
            self._check_counters(lead)
            self._check_notes(lead)

    def _check_agreement(self, tied: Tied, mapped: Mapped) -> None:
        name, raw, here = mapped.field, tied.cells[mapped.column], self.leads[tied.lead].values.get(mapped.field)
        cell = tied.link.cell(name)
        is_manual = tied.link.connection.strategy is Strategy.MANUAL or cell.reason == "collision"
        if (cell.state is State.HELD and is_manual) or (cell.reason or "").startswith(ACCEPTED):
            return
        there = decoded(mapped, raw)
        if there is MISSING:  # nobody has mapped the option
            return
        if cell.state is not State.AGREED:
            self.fail(f"{tied.link.key} {name} is {cell.state}: {cell.reason}; there {raw!r}, here {here!r}")
        elif not (notes.same(here, there) if name == "notes" else here == there):
            self.fail(f"{tied.link.key} {name} differs: there {raw!r}, here {here!r}, {cell}")

    def _check_counters(self, lead: Lead) -> None:
        for name in COUNTERS:
            links = [s.records[lead.id] for s in self.sides if not s.is_table]
            if lead.values[name] != sum(tied.cells[name] for tied in links):
                self.fail(f"{lead.id} {name} is {lead.values[name]}")

    def _check_notes(self, lead: Lead) -> None:
        """Every line that a lead's notes ever had is there, or was changed inside its entry."""
        shown: list[str] = []
        for value in self.kept.get((lead.id, "notes"), []):
            if isinstance(value, list):
                keys = [entry[0] for entry in value]
                if gone := [key for key in shown if key not in keys]:
                    self.fail(f"{lead.id} has lost the notes {gone}")
                shown = keys
