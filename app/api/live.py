"""Live events: one reader per workspace in this process, however many listen, and what each listener is sent.

A listener reads what it missed from the database and then goes along with the reader. Its last event's id is all that
resuming needs, so any instance can go on where another one stopped. A listener that falls behind what the reader keeps
is asked to resume: nobody's slowness is stored here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable
from itertools import islice
from uuid import UUID

import structlog

from app.api.errors import Problem
from app.api.gate import Caller
from app.api.streamed import Streamed, Write
from app.db import events, keys
from app.db.events import Event, Position
from app.db.runs import FINISHED
from app.db.session import Database, DatabaseUnavailable, Tenant

log = structlog.get_logger()
#: Seconds between two looks for news, and between two signs of life on a quiet stream.
LOOK_EVERY, HEARTBEAT = 1.0, 15.0
#: Seconds a listener may take to accept a piece.
PATIENCE = 30.0
#: Events read at once, and kept for those who listen.
PAGE, KEPT = 500, 4096
#: Streams a key may have open at a time, and a process.
PER_KEY, ALTOGETHER = 20, 256
#: Looks at the database at a time, whatever the number of workspaces: requests need its connections, too.
AT_A_TIME = 2

#: Looks at a run: its state, and what is shown of it as JSON.
Look = Callable[[], Awaitable[tuple[str, str]]]

_ID = re.compile("([0-9a-f]{1,15})[.]([0-9a-f]{32})")
ALIVE = b": still here\n\n"
ENDED = b": this key has expired or was revoked\n\n"
BEHIND = b": too far behind: connect again with the last id to go on\n\n"
LEAVING = b": this server is leaving: connect again with the last id to go on\n\n"
AWAY = b": the database does not answer: connect again with the last id to go on\n\n"


class Feed:
    """What the listeners of one workspace share."""

    def __init__(self, db: Database, workspace_id: UUID, turns: asyncio.Semaphore, *, look_every: float, kept: int):
        self._db = db
        # what is read here is shown to every role that may listen, so it is read as the least of them
        self._tenant = Tenant(workspace_id, "viewer")
        self._turns = turns
        self._look_every = look_every
        self._kept: deque[Event] = deque(maxlen=kept)
        self._looking = asyncio.Lock()
        self._moved = asyncio.Event()
        self._ended: set[bytes] = set()
        #: streams by the hash of their key
        self.keys: Counter[bytes] = Counter()
        #: everything up to here was read, or is older than this feed
        self.position: Position | None = None
        #: events read since the feed began
        self.count = 0
        self.closed = False
        # in a context of its own: it goes on after the request that began it
        self._reader = asyncio.create_task(self._read_on(), context=contextvars.Context())

    async def look(self) -> None:
        """Reads what is new, and which of the keys are still good."""
        async with self._looking:
            while await self._look() == PAGE:
                pass

    async def _look(self) -> int:
        async with self._turns, self._db.transaction(self._tenant) as tx:
            ended = set(self.keys) - await keys.still_good(tx, self.keys)
            end = await events.end(tx)
            start = end if self.position is None else self.position
            found = await events.read(tx, start, end, PAGE) if start < end else []
        self.position = found[-1].position if len(found) == PAGE else end
        self._kept.extend(found)
        self.count += len(found)
        self._ended |= ended
        if found or ended:
            self._wake()
        return len(found)

    async def missed(self, after: Position, upto: Position) -> list[Event]:
        """Returns a page of what happened between two positions."""
        async with self._turns, self._db.transaction(self._tenant) as tx:
            return await events.read(tx, after, upto, PAGE)

    def since(self, number: int) -> list[Event] | None:
        """Returns the events after the first `number` of this feed; None where some of them are no longer kept."""
        first = self.count - len(self._kept)
        return None if number < first else list(islice(self._kept, number - first, None))

    def farewell(self, key_hash: bytes) -> bytes | None:
        """Returns why a listener has to go, or None."""
        if key_hash in self._ended:
            return ENDED
        return LEAVING if self.closed else None

    async def news(self, seconds: float) -> bool:
        """Waits for something to happen; returns whether it did. Nothing is missed since the caller last looked."""
        moved = self._moved
        try:
            await asyncio.wait_for(moved.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Ends every stream."""
        self.closed = True
        self._reader.cancel()
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _read_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._look_every)
                try:
                    await self.look()
                except DatabaseUnavailable:
                    log.warning("events.not_read")
        except Exception:
            log.exception("events.reader_failed")
        finally:
            # whatever ended it: listeners that nobody reads for are better off elsewhere
            self.closed = True
            self._wake()


class Feeds:
    """The feeds of one app."""

    def __init__(
        self, db: Database, *, look_every: float = LOOK_EVERY, kept: int = KEPT, patience: float = PATIENCE
    ) -> None:
        self._db = db
        self.patience = patience
        self._look_every = look_every
        self._kept = kept
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._feeds: dict[UUID, Feed] = {}
        self._open: Counter[bytes] = Counter()
        self._closed = False

    @contextlib.asynccontextmanager
    async def listen(self, caller: Caller) -> AsyncIterator[Feed]:
        """Lets a caller listen to their workspace; answers 429 or 503 where there are too many streams."""
        if self._open[caller.key_hash] >= PER_KEY:
            raise _busy(429, f"This key has {PER_KEY} streams open: close one of them first.")
        if self._closed or self._open.total() >= ALTOGETHER:
            raise _busy(503, "This server takes no more streams: try again in a few seconds.")
        feed = self._feeds.get(caller.workspace_id)
        if feed is None or feed.closed:
            feed = self._feeds[caller.workspace_id] = Feed(
                self._db, caller.workspace_id, self._turns, look_every=self._look_every, kept=self._kept
            )
        for streams in (self._open, feed.keys):
            streams[caller.key_hash] += 1
        try:
            await feed.look()
            yield feed
        finally:
            for streams in (self._open, feed.keys):
                streams[caller.key_hash] -= 1
                if not streams[caller.key_hash]:
                    del streams[caller.key_hash]
            if not feed.keys:
                feed.close()
                if self._feeds.get(caller.workspace_id) is feed:
                    del self._feeds[caller.workspace_id]

    def close(self) -> None:
        """Ends every stream: clients go on elsewhere, or here once it is back."""
        self._closed = True
        for feed in list(self._feeds.values()):
            feed.close()


class EventStream(Streamed):
    """Tells a caller about their workspace; what has to be refused is refused before the first byte."""

    media_type = "text/event-stream"

    def __init__(self, feeds: Feeds, caller: Caller, tell: Callable[[Feed], AsyncGenerator[bytes]]) -> None:
        async def make(write: Write) -> None:
            async with feeds.listen(caller) as feed:
                await write(b"")  # the answer starts, whether there is anything to tell or not
                try:
                    async with contextlib.aclosing(tell(feed)) as pieces:
                        async for piece in pieces:
                            await write(piece)
                except DatabaseUnavailable:
                    await write(AWAY)

        # proxies are told not to collect pieces before they pass them on
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(make, headers, self.media_type, feeds.patience)


async def told(
    feed: Feed, key_hash: bytes, after: Position | None, kinds: Collection[str], seconds: float | None
) -> AsyncGenerator[bytes]:
    """Yields what is sent to one listener of a workspace, in pieces that end with an event."""
    ends = _deadline(seconds)
    assert feed.position is not None
    lost = after is not None and after > feed.position
    cursor = feed.position if after is None or lost else after
    if lost:
        # ids of this database never lie ahead of it, so it is not the one that gave this id, or it was restored
        yield _sse("reset", "{}", cursor)
    while True:
        number, upto = feed.count, feed.position
        while cursor < upto:
            if reason := feed.farewell(key_hash):
                yield reason
                return
            page = await feed.missed(cursor, upto)
            cursor = page[-1].position if len(page) == PAGE else upto
            if chunk := _rendered(page, kinds):
                yield chunk
        if feed.since(number) is not None:
            break
    yield _sse("ready", "{}", cursor)
    while True:
        if reason := feed.farewell(key_hash):
            yield reason
            return
        fresh = feed.since(number)
        if fresh is None:
            yield BEHIND
            return
        number += len(fresh)
        if chunk := _rendered(fresh, kinds):
            yield chunk
        elif (left := ends()) <= 0:
            return
        elif not await feed.news(min(left, HEARTBEAT)) and ends() > 0:
            yield ALIVE


async def told_of(
    feed: Feed, key_hash: bytes, run_id: UUID, look: Look, seconds: float | None
) -> AsyncGenerator[bytes]:
    """Yields a run as it is now and whenever it or a part of it has changed, until it has ended."""
    ends = _deadline(seconds)
    number, shown = feed.count, ""
    while True:
        state, data = await look()
        if data != shown:
            yield f"id: {state}\nevent: run\ndata: {data}\n\n".encode()
        shown = data
        if state in FINISHED:
            return
        while not _concerned(feed.since(number), run_id):
            number = feed.count
            if reason := feed.farewell(key_hash):
                yield reason
                return
            if (left := ends()) <= 0:
                return
            if not await feed.news(min(left, HEARTBEAT)) and ends() > 0:
                yield ALIVE
        number = feed.count


def _concerned(fresh: list[Event] | None, run_id: UUID) -> bool:
    return fresh is None or any(event.kind == "run" and run_id in (event.about, event.parent) for event in fresh)


def written(position: Position) -> str:
    """Returns a position as an event's id."""
    return f"{position[0]:x}.{position[1].hex}"


def position_of(text: str) -> Position:
    """Returns the position an event's id stands for; answers 422 for anything else."""
    if (found := _ID.fullmatch(text)) is None:
        raise Problem(422, "This is no id of an event: send the last one you received, or none to start from now.")
    return int(found[1], 16), UUID(hex=found[2])


def _rendered(found: Iterable[Event], kinds: Collection[str]) -> bytes:
    return b"".join(_sse(event.kind, event.data, event.position) for event in found if event.kind in kinds)


def _sse(name: str, data: str, position: Position) -> bytes:
    return f"id: {written(position)}\nevent: {name}\ndata: {data}\n\n".encode()


def _deadline(seconds: float | None) -> Callable[[], float]:
    """Returns what tells how many seconds are left."""
    if seconds is None:
        return lambda: float("inf")
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    return lambda: end - clock()


def _busy(status: int, detail: str) -> Problem:
    return Problem(status, detail, headers={"Retry-After": "5"})
