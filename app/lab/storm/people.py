"""What people and prospects do during a storm: edits on both sides, answers to campaigns, rows that come and go."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from app.db.session import Tx
from app.errors import LeadkeeperError
from app.lab.sandboxes import CAMPAIGNS, PEOPLE, STATUSES
from app.lab.simulated import Simulated
from app.lab.storm.oracle import ONLY_HERE, ONLY_THERE, Oracle, Outcome
from app.sandbox.instantly.store import Refused
from app.sync import edit
from app.sync.canonical import canonical

#: How many rows both sides edit far more often than the others.
HOT = 8
BOTH = {"Title": "title", "Company": "company_name", "Full Name": "full_name", "Phone": "phone"}
LADDER = ("contacted", "opened", "clicked", "replied", "booked", "lost", "won", "not_interested", "new")


class People:
    """Everybody who edits; what they did is told to the oracle."""

    def __init__(self, world: Simulated, outcome: Outcome, rng: random.Random) -> None:
        self.world = world
        self.outcome = outcome
        self.rng = rng
        self.oracle = Oracle()
        self.number = 0

    async def edit(self, *, may_write: bool) -> None:
        """Somebody does something somewhere."""
        deeds: list[tuple[int, str, Callable[[], Awaitable[None]]]] = [
            (24, "cell there", self._cell_there),
            (6, "note there", self._note_there),
            (2, "row there", self._row_there),
            (1, "row gone there", self._delete_there),
            (8, "prospect", self._prospect),
        ]
        if may_write:
            deeds += [
                (24, "field here", self._field_here),
                (6, "note here", self._note_here),
                (6, "duel", self._duel),
                (3, "claim here", self._claim_here),
                (3, "lead here", self._lead_here),
                (1, "lead gone here", self._delete_here),
            ]
        _, name, deed = self.rng.choices(deeds, [weight for weight, _, _ in deeds])[0]
        self.outcome.edits[name] += 1
        await deed()

    def _word(self) -> str:
        self.number += 1
        return f"v{self.number}"

    def person_there(self) -> str:
        """Picks somebody who works there."""
        people = sorted(self.world.base.collaborators.values(), key=lambda p: str(p.email))
        return str(self.rng.choice(people).id)

    def _row(self) -> Any:
        """Picks a row; every second time one of a few, so that both sides often edit the same."""
        rows = list(self.world.table.records.values())
        return self.rng.choice(rows[:HOT] if self.rng.random() < 0.5 else rows)

    async def _cell_there(self) -> None:
        row, rng, word = self._row(), self.rng, self._word()
        column = rng.choice(
            [*ONLY_THERE, *ONLY_THERE, *BOTH, "Status", "Campaigns", "Claimed By", "Needs Enrichment", "Email"]
        )
        value: Any = word
        match column:
            case "Status":
                value = rng.choice(STATUSES)
            case "Campaigns":
                value = sorted(rng.sample(CAMPAIGNS, rng.randrange(4))) or None
            case "Claimed By":
                value = None if rng.random() < 0.3 else self.person_there()
            case "Needs Enrichment":
                value = rng.random() < 0.5
            case "Full Name":
                value = rng.choice((f"Given{word} Family{word}", f"Given{word} van der Family", None))
            case "Phone":
                value = rng.choice((f"06 {20000000 + self.number}", f"+31 6 {20000000 + self.number}", None))
            case "Email":
                other = self.world.table.read(self._row()).get("Email")
                value = other if other and rng.random() < 0.2 else f"{word}@moved.test"
            case _ if rng.random() < 0.15:
                value = None
        self.world.table.edit(row.id, {column: value})
        if column in ONLY_THERE:
            self.oracle.there[row.id, column] = value
        self.oracle.touched(row.id, self.world.table.fields, column)
        self.outcome.note(f"there {row.id} {column} {value}")

    async def _note_there(self) -> None:
        row, word = self._row(), self._word()
        before = self.world.table.read(row).get("Notes")
        text = f"note {word} there"
        self.world.table.edit(row.id, {"Notes": f"{before}\n{text}" if before else text})
        self.oracle.notes_there.append((row.id, text))
        self.oracle.touched(row.id, self.world.table.fields, "Notes")
        self.outcome.note(f"there {row.id} {text}")

    async def _row_there(self) -> None:
        word, rng = self._word(), self.rng
        cells = {"Full Name": f"Given{word} Family{word}", "Email": f"{word}@there.test", "Status": "New"}
        if rng.random() < 0.3:
            cells["Email"] = self.world.table.read(self._row()).get("Email") or cells["Email"]
        row = self.world.table.create(cells)
        self.outcome.note(f"there new {row.id} {cells['Email']}")

    async def _delete_there(self) -> None:
        row = self._row()
        self.world.table.delete(row.id)
        self.outcome.note(f"there gone {row.id}")

    async def _prospect(self) -> None:
        rng, store = self.rng, self.world.instantly.store
        store.settle()
        lead = rng.choice(list(store.leads.values()))
        what = rng.choice(
            ("send", "open", "open", "click", "reply", "interest", "add", "delete", "move", "bounce", "unsubscribe")
        )
        match what:
            case "send":
                store.send(lead.id)
            case "open":
                store.open(lead.id)
            case "click":
                store.click(lead.id)
            case "reply":
                store.reply(lead.id, positive=rng.choice((True, False, None)))
            case "interest":
                store.set_interest(lead.id, rng.choice((1, 2, 3, 4, -1, -2, -3, 0, None)))
            case "add":
                campaign = rng.choice(list(store.campaigns))
                store.add_lead(campaign, email=f"{self._word()}@prospect.test", first_name="Pro", last_name="Spect")
            case "delete" if rng.random() < 0.3:
                store.delete(lead.id)
            case "move":
                try:
                    store.move(lead.id, rng.choice(list(store.campaigns)))
                except Refused:
                    what = "move refused"
            case "bounce" if rng.random() < 0.3:
                store.bounce(lead.id)
            case "unsubscribe" if rng.random() < 0.3:
                store.unsubscribe(lead.id)
        self.outcome.note(f"prospect {lead.email} {what}")

    async def _here(self, work: Callable[[Tx], Awaitable[Any]]) -> bool:
        """Does something as the API does; returns False where the API would refuse."""
        try:
            async with self.world.transaction() as tx:
                await work(tx)
        except (LeadkeeperError, ValueError) as exc:
            self.outcome.note(f"here refused: {exc}")
            return False
        return True

    async def _lead(self) -> UUID | None:
        async with self.world.transaction() as tx:
            rows = await tx.all(
                "SELECT id FROM lead WHERE workspace_id = $1 AND deleted_at IS NULL AND ($2::text[] IS NULL OR id IN"
                " (SELECT lead_id FROM link WHERE workspace_id = $1 AND remote_key = ANY($2))) ORDER BY id",
                tx.workspace_id,
                list(self.world.table.records)[:HOT] if self.rng.random() < 0.5 else None,
            )
        return self.rng.choice(rows)["id"] if rows else None

    async def _field_here(self) -> None:
        lead_id, rng, word = await self._lead(), self.rng, self._word()
        if lead_id is None:
            return
        name = rng.choice(
            [*ONLY_HERE, *ONLY_HERE, *BOTH.values(), "status", "campaigns", "needs_enrichment", "email", "custom"]
        )
        value: Any = word
        match name:
            case "status":
                value = rng.choice(LADDER)
            case "campaigns":
                value = sorted(rng.sample(CAMPAIGNS, rng.randrange(4))) or None
            case "needs_enrichment":
                value = rng.random() < 0.5
            case "full_name":
                value = rng.choice((f"Given{word} Family{word}", None))
            case "phone":
                value = rng.choice((f"+316{30000000 + self.number}", None))
            case "email":
                value = f"{word}@moved-here.test"
            case "custom":
                value = {"colour": word}
            case _ if rng.random() < 0.15:
                value = None

        async def work(tx: Tx) -> None:
            await edit.change(tx, lead_id, canonical({name: value}), actor="ann@team.test")

        if await self._here(work) and name in ONLY_HERE:
            self.oracle.here[lead_id, name] = value
        self.outcome.note(f"here {lead_id} {name} {value}")

    async def _duel(self) -> None:
        """Two people edit the same field at the same time, one on each side."""
        row, column, word = self._row(), self.rng.choice(list(BOTH)), self._word()
        async with self.world.transaction() as tx:
            lead_id = await tx.value(
                "SELECT l.id FROM link k JOIN lead l ON l.workspace_id = k.workspace_id AND l.id = k.lead_id WHERE"
                " k.workspace_id = $1 AND k.remote_key = $2 AND l.deleted_at IS NULL",
                tx.workspace_id,
                row.id,
            )
        if lead_id is None or column == "Phone":
            return

        async def work(tx: Tx) -> None:
            await edit.change(tx, lead_id, {BOTH[column]: f"here {word}"}, actor="ann@team.test")

        await self._here(work)
        self.world.table.edit(row.id, {column: f"there {word}"})
        self.oracle.touched(row.id, self.world.table.fields, column)
        self.outcome.note(f"duel {lead_id} {row.id} {column} {word}")

    async def _note_here(self) -> None:
        lead_id, text = await self._lead(), f"note {self._word()} here"
        if lead_id is None:
            return

        async def work(tx: Tx) -> None:
            await edit.add_note(tx, lead_id, text, actor="ben@team.test")

        if await self._here(work):
            self.oracle.notes_here.append((lead_id, text))
        self.outcome.note(f"here {lead_id} {text}")

    async def _claim_here(self) -> None:
        lead_id, who = await self._lead(), self.rng.choice(PEOPLE)
        if lead_id is None:
            return
        lets_go = self.rng.random() < 0.3

        async def work(tx: Tx) -> None:
            if lets_go:
                await edit.unclaim(tx, lead_id, actor=who, by=None)
            else:
                await edit.claim(tx, lead_id, by=who, actor=who)

        await self._here(work)
        self.outcome.note(f"here {lead_id} {'unclaim' if lets_go else 'claim'} {who}")

    async def _lead_here(self) -> None:
        word = self._word()
        email = f"{word}@here.test"

        async def work(tx: Tx) -> None:
            await edit.create(tx, canonical({"email": email, "full_name": f"New {word}"}), actor="ann@team.test")

        await self._here(work)
        self.outcome.note(f"here new {email}")

    async def _delete_here(self) -> None:
        lead_id = await self._lead()
        if lead_id is None:
            return

        async def work(tx: Tx) -> None:
            await edit.delete(tx, lead_id, actor="ann@team.test")

        await self._here(work)
        self.outcome.note(f"here gone {lead_id}")
