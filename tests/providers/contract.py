"""What every provider keeps to, run against its sandbox: the stages rely on nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from app.providers.base import Cursor, Provider, Record, Refused, Unavailable
from app.sandbox.core import Fault, Sandbox

from .conftest import FakeLimiter

WRONG_TOKEN = "patWRONG.fedcba9876543210"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A provider and the sandbox behind it."""

    #: opens the provider, with the right token unless another is given
    connect: Callable[..., Provider]
    sandbox: Sandbox
    #: adds a record with this e-mail address over there, and returns its id
    add: Callable[[str], str]
    #: deletes a record over there
    remove: Callable[[str], Any]
    email_column: str

    @property
    def provider(self) -> Provider:
        return self.connect()

    async def listed(self, cursor: Cursor) -> list[Record]:
        """Reads a stream to its end, with every position stored as JSON in between."""
        records: list[Record] = []
        position: Cursor | None = cursor
        while position is not None:
            page = await self.provider.page(json.loads(json.dumps(position)))
            records += page.records
            position = page.next
        return records


class ProviderContract:
    """Subclassed once per provider; the module of the subclass has a fixture `world`."""

    @pytest.mark.parametrize("mode", ["full", "sweep", "delta"])
    async def test_a_listing_shows_every_record_once(self, world: World, mode: Any) -> None:
        added = {world.add(f"{n}@x.test") for n in range(250)}

        records = await world.listed(world.provider.start(mode, "2026-01-01T00:00:00.000Z"))

        assert sorted(r.remote_id for r in records) == sorted(added)
        assert len({r.key for r in records}) == len(added)
        assert all(r.created_at == "2026-03-01T12:00:00.000Z" for r in records)

    async def test_an_empty_target_is_an_empty_listing(self, world: World) -> None:
        assert await world.listed(world.provider.start("full")) == []

    async def test_reading_shows_what_is_there_and_leaves_out_what_is_gone(self, world: World) -> None:
        kept, gone = world.add("ada@x.test"), world.add("bob@x.test")
        world.remove(gone)

        records = await world.provider.read([kept, gone])

        assert [r.remote_id for r in records] == [kept]
        assert len(world.sandbox.calls) == 1

    async def test_deleting_does_not_mind_what_is_gone_already(self, world: World) -> None:
        kept, gone, old = [world.add(f"{name}@x.test") for name in ("ada", "bob", "cleo")]
        world.remove(old)

        async def guard() -> None:
            pass

        for first in range(0, 2, world.provider.write_batch):
            await world.provider.delete([gone, old][first : first + world.provider.write_batch], guard)

        assert [r.remote_id for r in await world.provider.read([kept, gone, old])] == [kept]

    async def test_finding_does_not_mind_the_case_nor_odd_text(self, world: World) -> None:
        odd = 'o\\"brien@x.test'
        ada, brien = world.add("Ada@X.test"), world.add(odd)
        world.add("bob@x.test")

        records = await world.provider.find(world.email_column, ["ada@x.TEST", odd.upper(), "nobody@x.test"])

        assert {r.remote_id for r in records} == {ada, brien}

    @pytest.mark.parametrize("kind", ["drop_before", "drop_after", "truncate", "html", "status", "status_after"])
    async def test_a_read_survives_three_faults_and_not_four(self, world: World, kind: Any) -> None:
        world.add("ada@x.test")
        world.sandbox.faults.add(Fault(kind=kind, count=3))
        page = await world.provider.page(world.provider.start("full"))
        world.sandbox.faults.add(Fault(kind=kind, count=4))
        with pytest.raises(Unavailable):
            await world.provider.page(world.provider.start("full"))

        assert len(page.records) == 1
        assert len(world.sandbox.calls) == 8

    async def test_a_429_is_waited_out(self, world: World, limiter: FakeLimiter) -> None:
        world.add("ada@x.test")
        world.sandbox.faults.add(Fault(kind="rate_limit", count=1, retry_after=42))

        page = await world.provider.page(world.provider.start("full"))

        assert len(page.records) == 1
        assert [seconds for _, seconds in limiter.pauses] == [42.0]

    async def test_a_wrong_token_is_refused_with_a_remedy_and_never_shown(self, world: World) -> None:
        with pytest.raises(Refused, match="store it in the account") as raised:
            await world.connect(WRONG_TOKEN).schema()

        assert "fedcba" not in str(raised.value)

    async def test_every_call_says_who_makes_it(self, world: World) -> None:
        await world.provider.schema()
        await world.provider.close()

        assert {call.agent.split("/")[0] for call in world.sandbox.calls} == {"leadkeeper"}
