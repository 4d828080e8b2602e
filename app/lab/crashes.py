"""Crashes, enumerated: one small story, told again and again until a worker has died at each of its moments.

The story runs every stage: a first connect with its plan and approval, a delta with edits on both sides, a create, a
push, a second row of one person, a sweep with a delete. Told without a crash it ends in a known state; told with
crashes it must end in the same state, with nothing lost and nothing doubled. The n-th telling crashes at the n-th
moment of every chapter: a chapter ends when nothing is left to do, so each begins where it would have begun anyway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from app.db import connections, leads, links
from app.db.session import Tx
from app.domain import notes
from app.lab import agreement
from app.lab.sandboxes import PEOPLE
from app.lab.simulated import Crash, Simulated, simulated
from app.sync import edit, hooks, write_back
from app.sync.canonical import canonical
from app.sync.job import STREAM

#: What depends on when something happened, or on ids, and so differs from one telling to the next.
VARYING = ("Last Sync", "Claimed At", "CRM ID", "Last Modified")
COMPARED = (
    "email", "full_name", "company_name", "title", "location", "industry", "phone", "status", "needs_enrichment",
    "claimed_by", "campaigns", "email_open_count", "email_reply_count",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Telling:
    """One telling of the story."""

    #: the moments of each chapter in their order, by name
    chapters: list[list[str]] = field(default_factory=list)
    #: what both sides hold at the end
    state: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    #: (chapter, moment) of every crash
    crashes: list[tuple[int, int]] = field(default_factory=list)

    def differs_from(self, plain: Telling) -> list[str]:
        """Says what is otherwise than in the telling without a crash."""
        return self.problems + [
            f"{side}: {'only now' if part in self.state[side] else 'no longer'}: {part}"
            for side in plain.state
            for part in sorted(set(plain.state[side]) ^ set(self.state[side]))
        ]


async def tell(database_url: str, *, crash_at: int | None = None) -> Telling:
    """Tells the story on a migrated, empty database, with a crash at this moment (from 0) of every chapter."""
    async with simulated(database_url, 7, limits=False) as world:
        runtime = world.runtime
        runtime.settings = runtime.settings.model_copy(update={"public_url": "https://leads.test"})
        story = _Story(world, crash_at)
        await story.tell()
        await story.judge()
        return story.telling


class _Story:
    def __init__(self, world: Simulated, crash_at: int | None) -> None:
        self.world = world
        self.telling = Telling()
        self._crash_at = crash_at
        self._works = self._dead = False
        self.airtable = self.instantly = UUID(int=0)
        world.page_size = 3
        world.moments.happen = self._moment

    async def _moment(self, name: str, _request: httpx.Request | None, _answer: httpx.Response | None) -> None:
        if self._dead:
            raise Crash
        if not self._works:
            return
        self.world.clock.advance(0.01)
        chapter = self.telling.chapters[-1]
        chapter.append(name)
        if len(chapter) - 1 == self._crash_at:
            self._dead = True
            self.telling.crashes.append((len(self.telling.chapters) - 1, len(chapter) - 1))
            raise Crash

    async def chapter(self, *asked: UUID, kind: str = "delta", rounds: int = 1) -> None:
        """Works everything that is due, also what is due a minute later; whoever dies is followed by another."""
        for connection_id in asked:
            await self.world.queue(connection_id, kind)
        self.telling.chapters.append([])
        while True:
            self._works = True
            try:
                await self.world.settle()
                for _ in range(1, rounds):
                    self.world.clock.advance(60)
                    await self.world.settle()
            except Crash:
                self._dead = self._works = False
                await self._check_cursor()
                await self.world.die()
            else:
                return
            finally:
                self._works = False

    async def tell(self) -> None:
        world, table, store = self.world, self.world.table, self.world.instantly.store
        ann = next(p.id for p in world.base.collaborators.values() if p.email == PEOPLE[0])
        rows = []
        for number in range(5):
            cells = {
                "Full Name": f"Given{number} Family{number}", "Email": f"p{number}@firm.test", "Status": "New",
                "Company": "Firm", "Phone": f"06 1000000{number}", "Notes": f"first note {number}",
            }  # fmt: skip
            rows.append(table.create(cells).id)
            world.clock.advance(10)
        campaign = store.add_campaign("Founders")
        for email in ("p0@firm.test", "p1@firm.test", "q@prospect.test"):
            store.add_lead(campaign.id, email=email, first_name="Pro", last_name="Spect", company_name="Elsewhere")
        world.clock.advance(3600)

        # whoever dies costs time: no schedule may come in between, or the chapters would be others
        daily = {"schedule_minutes": 24 * 60}
        self.airtable = await world.connect_airtable(**daily)
        await self.chapter()
        await world.approve(self.airtable)
        await self.chapter()
        self.instantly = instantly = await world.connect_instantly(**daily)
        await self.chapter()
        await world.approve(instantly)
        await self.chapter()

        # edits there: cells, a note, a claim, a new row, a second row of one person; one field is edited on both sides
        world.clock.advance(700)
        table.edit(rows[0], {"Title": "Boss", "Notes": "first note 0\nappended there"})
        table.edit(rows[1], {"Status": "Booked", "Claimed By": ann})
        table.edit(rows[2], {"Title": "Chief"})
        await self._here("p2@firm.test", {"title": "Head", "location": "Utrecht", "company_name": None})
        table.create({"Full Name": "Sixth There", "Email": "there@firm.test", "Status": "New"})
        table.create({"Full Name": "Given4 Family4", "Email": "P4@firm.test", "Status": "New"})
        world.clock.advance(150)
        await self.chapter(self.airtable)

        # edits here, and a lead that is to be created there
        await self._here("p0@firm.test", {"industry": "Bikes", "campaigns": ["Alpha"]}, note="noted here")
        await self._create("here@firm.test")
        await self.chapter()

        # a prospect answers
        lead = next(lead for lead in store.leads.values() if lead.email == "p1@firm.test")
        store.open(lead.id)
        store.reply(lead.id, positive=True)
        await self.chapter(instantly)

        # somebody says what that lead is interested in, and takes another one out of its campaign
        await self._ask("p0@firm.test", "interest", "meeting_booked")
        world.clock.advance(1)
        await self._ask("q@prospect.test", "remove")
        await self.chapter(rounds=3)
        # what was written until now is behind the next listing's overlap, whoever wrote it
        world.clock.advance(300)

        # a row is deleted there
        table.delete(rows[3])
        await self.chapter(self.airtable, kind="full")

        world.clock.advance(7 * 3600)
        await self.chapter(self.airtable)
        await self.chapter(instantly)

    async def _here(self, email: str, values: dict[str, Any], note: str | None = None) -> None:
        async with self.world.transaction() as tx:
            lead_id = await _lead(tx, email)
            await edit.change(tx, lead_id, canonical(values), actor="ann@team.test")
            if note is not None:
                await edit.add_note(tx, lead_id, note, actor="ann@team.test")

    async def _create(self, email: str) -> None:
        async with self.world.transaction() as tx:
            await edit.create(tx, canonical({"email": email, "full_name": "Made Here"}), actor="ann@team.test")

    async def _ask(self, email: str, kind: Any, interest: str | None = None) -> None:
        async with self.world.transaction() as tx:
            lead_id = await _lead(tx, email)
            await write_back.ask(tx, lead_id, kind, campaign_id=None, interest=interest, actor="ann@team.test")

    async def _check_cursor(self) -> None:
        """No record that the stream has passed may be without what it showed."""
        async with self.world.transaction() as tx:
            stored = await connections.get(tx, self.airtable)
            assert stored is not None
            state = await connections.stream(tx, self.airtable, STREAM)
            ids = [row["id"] for row in await links.of_connection(tx, self.airtable)]
            known = {s.link.key: s for s in await links.by_ids(tx, ids, {self.airtable: stored.view})}
        if state.watermark is None or state.position is not None:
            return
        column = {f.name: f.id for f in self.world.table.fields.values()}
        title = stored.table.fields["title"].column
        for record in self.world.table.records.values():
            if record.edited_by != self.world.airtable.store.owner.id or record.edited >= state.watermark.timestamp():
                continue
            shown = known[record.id].link.observed if record.id in known else {}
            if record.id not in known or shown.get("title") != record.values.get(title, None):
                self.telling.problems.append(f"the cursor has passed {record.id}, and {column['Title']} was not stored")

    async def judge(self) -> None:
        """Compares both sides, and describes the state they are in."""
        world, telling = self.world, self.telling
        # whoever died with the right to look at the webhook is followed by another look
        world.clock.advance(hooks.EVERY)
        await world.queue(self.instantly)
        await world.settle()
        found_hooks = world.instantly.deliveries.hooks.all.values()
        telling.state["hooks"] = [str((hook.target_hook_url, hook.event_type)) for hook in found_hooks]
        found = await agreement.measure(world.runtime.db, world.tenant, self.airtable, world.airtable)
        if not found.holds:
            telling.problems.append(f"no agreement: {found}")
        rows = [world.table.read(record) for record in world.table.records.values()]
        crm = Counter(row.get("CRM ID") for row in rows if row.get("CRM ID"))
        telling.problems += [f"{n} rows carry lead {lead_id}" for lead_id, n in crm.items() if n > 1]
        telling.state["there"] = sorted(
            str(sorted((name, str(value)) for name, value in row.items() if name not in VARYING)) for row in rows
        )
        async with world.transaction() as tx:
            ids = [row["id"] for row in await tx.all("SELECT id FROM lead WHERE workspace_id = $1", tx.workspace_id)]
            here = [s.lead for s in (await leads.lock(tx, ids)).values()]
            busy = await tx.value(
                "SELECT count(*) FROM link WHERE push_due OR dirty OR cells::text ~ '(inflight|pending|diverged)'"
            )
            runs = await tx.value("SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')")
            asked = await tx.all("SELECT kind, state, error FROM outreach_request ORDER BY kind")
            parked = await tx.value("SELECT count(*) FROM link WHERE error IS NOT NULL")
        if busy or runs or parked:
            telling.problems.append(f"{busy} links with work left, {runs} runs open, {parked} links with an error")
        telling.state["asked"] = [str(dict(row)) for row in asked]
        telling.state["rows"] = sorted(
            str((row.email, row.lt_interest_status)) for row in self.world.instantly.store.leads.values()
        )
        telling.state["here"] = sorted(
            str([lead.values.get(name) for name in COMPARED] + [notes.render(lead.values.get("notes")), lead.deleted])
            for lead in here
        )


async def _lead(tx: Tx, email: str) -> UUID:
    found = await tx.value("SELECT id FROM lead WHERE email = $1 AND deleted_at IS NULL", email)
    assert isinstance(found, UUID)
    return found
