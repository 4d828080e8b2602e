"""Webhooks: whatever is delivered is kept before it is acknowledged, once, and can be looked at and applied again."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.api.edge import DELIVERY_BYTES
from app.api.mailroom import Mailroom
from app.db import accounts, connections, deliveries, runs
from app.db.deliveries import Delivery, Outcome, State, Stored
from app.db.ids import new_id
from app.db.session import DatabaseUnavailable
from app.main import create_app
from app.runtime import Runtime
from app.sandbox.instantly import InstantlySandbox
from app.sync.tidy import tidy
from app.vault import new_webhook_secret, webhook_hash
from tests.api.conftest import Clients, browser

#: A campaign the account does not have.
OTHER = "0199cbed-0bed-7e1f-a3c9-608aca600b4f"
REPLY = {"event_type": "reply_received", "lead_email": "ada@acme.test", "timestamp": "2026-03-02T09:15:00.000Z"}


@dataclass
class Sender:
    """An account that delivers."""

    client: httpx.AsyncClient
    account_id: UUID
    campaign: str
    #: our own id of the campaign
    campaign_id: UUID
    secret: str

    async def deliver(self, json: Any = None, *, campaign: str | None = None, **sent: Any) -> httpx.Response:
        headers = {"X-Webhook-Secret": self.secret, **sent.pop("headers", {})}
        if json is not None:
            sent["json"] = json
        return await self.client.post(f"/api/webhooks/instantly/{campaign or self.campaign}", headers=headers, **sent)


async def connected(clients: Clients) -> Sender:
    """Connects an account to a workspace."""
    secret, account_id, connection_id, campaign_id = new_webhook_secret(), new_id(), new_id(), new_id()
    campaign = str(new_id())
    async with clients.runtime.db.transaction(clients.tenant) as tx:
        account_id = await connections.account(tx, "instantly", secret, b"sealed", account_id)
        await connections.give_webhook_secret(tx, account_id, b"sealed", webhook_hash(secret.encode()))
        await connections.add(
            tx,
            {"id": connection_id, "account_id": account_id, "provider": "instantly", "name": "I", "target": secret},
        )
        await tx.run(
            "INSERT INTO campaign (workspace_id, id, connection_id, remote_id, name) VALUES ($1, $2, $3, $4, 'Spring')",
            tx.workspace_id, campaign_id, connection_id, campaign,
        )  # fmt: skip
    client = await clients.stack.enter_async_context(browser(clients.app))
    return Sender(client, account_id, campaign, campaign_id, secret)


@pytest.fixture
async def sender(team: Clients) -> Sender:
    """An account of the workspace `team`."""
    return await connected(team)


async def kept(clients: Clients) -> list[Any]:
    """Returns the workspace's deliveries, the oldest first."""
    async with clients.runtime.db.transaction(clients.tenant) as tx:
        return await tx.all("SELECT * FROM webhook_delivery WHERE workspace_id = $1 ORDER BY id", clients.workspace_id)


JUNK: dict[str, dict[str, Any]] = {
    "an unknown event": {"json": {"event_type": "Spam complaint", "lead_email": "a@b.test"}},
    "colliding keys": {"json": REPLY | {"campaign_id": 7, "email": ["x"], "timestamp": None}},
    "a list": {"json": [REPLY]},
    "broken JSON": {"content": b'{"event_type": '},
    "nothing": {"content": b""},
    "another content type": {"content": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    "a form with files": {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    "NUL bytes": {"content": b'\x00{"event_type": "\\u0000"}\x00'},
    "an escaped NUL": {"content": rb'{"event_type": "a\u0000b", "lead_email": "\u0000@b.test"}'},
    "lone surrogates": {"content": rb'{"event_type": "\ud83d", "reply_text": "\udc00", "lead_email": "\ud83d@b.c"}'},
    "deep nesting": {"content": b'{"event_type": ' + b"[" * 500_000},
    "no UTF-8": {"content": b"\xff\xfe\x80"},
    "NaN": {"content": b'{"event_type": NaN, "n": Infinity}'},
    "a number beyond measure": {"content": b'{"n": ' + b"9" * 10_000 + b"}"},
    "packed": {"content": gzip.compress(b'{"event_type": "email_sent"}'), "headers": {"Content-Encoding": "gzip"}},
    "said to be packed": {"content": b'{"event_type": "email_sent"}', "headers": {"Content-Encoding": "gzip"}},
    "the largest there may be": {"content": b" " * DELIVERY_BYTES},
    "odd headers": {"json": REPLY, "headers": {"User-Agent": b"\x7f \xff", "X-Request-Id": "'"}},
}


@pytest.mark.parametrize("name", JUNK)
async def test_whatever_comes_is_kept_as_it_came_and_acknowledged(team: Clients, sender: Sender, name: str) -> None:
    answer = await sender.deliver(**JUNK[name])
    again = await sender.deliver(**JUNK[name])

    assert answer.status_code == 202, answer.text
    (row,) = await kept(team)
    assert row["body"] == answer.request.content
    assert answer.json() == {"delivery": str(row["id"]), "duplicate": False}
    assert again.json() == {"delivery": str(row["id"]), "duplicate": True}
    async with team.runtime.db.transaction(team.tenant) as tx:
        assert [one.id for one in await deliveries.load(tx, [row["id"]])] == [row["id"]]


@pytest.mark.parametrize("campaign", ["unknown", "%00%ff", OTHER, "x" * 3000, "{campaign_id}"])
async def test_an_unknown_campaign_is_kept(team: Clients, sender: Sender, campaign: str) -> None:
    assert (await sender.deliver(REPLY, campaign=campaign)).status_code == 202

    assert [row["state"] for row in await kept(team)] == ["received"]


async def test_no_secret_is_kept_with_a_delivery(team: Clients, sender: Sender) -> None:
    ways: list[dict[str, Any]] = [
        {"headers": {"X-Webhook-Secret": sender.secret}},
        {"headers": {"Authorization": f"Bearer {sender.secret}"}},
        {"params": {"secret": sender.secret}},
    ]
    for number, way in enumerate(ways):
        path = f"/api/webhooks/instantly/{sender.campaign}"
        assert (await sender.client.post(path, json={"n": number}, **way)).status_code == 202

    rows = await kept(team)
    assert len(rows) == 3
    assert sender.secret not in str(rows)


async def test_a_wrong_secret_is_refused_and_keeps_no_right_one_out(team: Clients, runtime: Runtime) -> None:
    app = create_app(runtime=runtime)
    team.app = app
    right = await connected(team)
    wrongs: list[dict[str, Any]] = [
        {}, {"X-Webhook-Secret": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-Webhook-Secret": "\xff"},
        {"Authorization": f"Bearer {await team.key('admin')}"}, {"X-Webhook-Secret": "' OR 1=1"},
    ]  # fmt: skip
    path = f"/api/webhooks/instantly/{right.campaign}"
    for headers in wrongs:
        answer = await right.client.post(path, json=REPLY, headers={n: v.encode("latin-1") for n, v in headers.items()})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert (await right.deliver(REPLY)).status_code == 202
    for _ in range(30):
        answer = await right.client.post(path, json=REPLY, headers={"X-Webhook-Secret": "wrong"})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert (await right.deliver(REPLY)).json()["duplicate"] is True
    assert len(await kept(team)) == 1
    # nor one that was never shown here: every customer's deliveries come from the provider's few addresses
    assert (await (await connected(team)).deliver(REPLY)).status_code == 202


async def test_nothing_of_a_delivery_with_a_wrong_secret_is_read(sender: Sender) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    headers = {"X-Webhook-Secret": "wrong", "Content-Length": "2"}
    answer = await sender.client.post(f"/api/webhooks/instantly/{sender.campaign}", content=body(), headers=headers)

    assert (answer.status_code, read) == (401, [])


async def test_a_secret_says_whose_a_delivery_is(team: Clients, others: Clients, sender: Sender) -> None:
    theirs = await connected(others)

    assert (await sender.deliver(REPLY, campaign=theirs.campaign)).json()["duplicate"] is False
    assert (await theirs.deliver(REPLY)).json()["duplicate"] is False

    assert [row["account_id"] for row in await kept(team)] == [sender.account_id]
    assert [row["account_id"] for row in await kept(others)] == [theirs.account_id]


async def test_what_is_too_large_is_refused_by_its_size(team: Clients, sender: Sender) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (DELIVERY_BYTES // 2)

    for sent in ({"content": b" " * (DELIVERY_BYTES + 1)}, {"content": chunks()}):
        answer = await sender.deliver(**sent)
        assert (answer.status_code, f"{DELIVERY_BYTES:,} bytes" in answer.text) == (413, True)
    assert await kept(team) == []


async def test_a_sender_that_goes_away_half_way_leaves_nothing(team: Clients, sender: Sender) -> None:
    messages = [{"type": "http.request", "body": b'{"n":', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path = f"/api/webhooks/instantly/{sender.campaign}"
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "client": None, "scheme": "http",
        "headers": [(b"x-webhook-secret", sender.secret.encode()), (b"content-length", b"99")],
    }  # fmt: skip
    await team.app(scope, receive, send)

    assert sent == []
    assert await kept(team) == []


async def test_many_at_once_share_few_commits_and_each_is_kept(team: Clients, sender: Sender) -> None:
    commits = 0
    room: Mailroom = team.app.state.door.mailroom

    def count() -> None:
        nonlocal commits
        commits += 1

    room.on_kept = count
    answers = await asyncio.gather(*(sender.deliver({"n": n % 48}) for n in range(64)))
    room.on_kept = lambda: None

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["delivery"] for answer in answers}) == 48
    assert sum(answer.json()["duplicate"] for answer in answers) == 16
    assert {str(row["id"]) for row in await kept(team)} == {answer.json()["delivery"] for answer in answers}
    assert commits < 16


class Slow:
    """A store that commits when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.fails: Exception | None = None
        self.poison = b""

    async def __call__(self, rows: Sequence[Delivery]) -> list[Stored | None]:
        self.groups.append([row.body for row in rows])
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if self.poison and any(row.body == self.poison for row in rows):
            raise ValueError("poison")
        return [Stored(new_id(), True) for _ in rows]


def letter(body: bytes) -> Delivery:
    return deliveries.delivery(body, fingerprint=str.encode, secret_hash=b"s", path="x")


async def waits(room: Mailroom, *bodies: bytes) -> list[asyncio.Task[Stored | None]]:
    tasks = [asyncio.create_task(room.put(letter(body))) for body in bodies]
    await asyncio.sleep(0)
    return tasks


async def test_one_that_is_cancelled_neither_loses_nor_breaks_the_others() -> None:
    store = Slow()
    room = Mailroom(store)
    first = await waits(room, b"1")
    await asyncio.sleep(0)
    others = await waits(room, b"2", b"3", b"4")
    first[0].cancel()
    others[1].cancel()
    await asyncio.sleep(0)
    store.gate.set()

    found = await asyncio.gather(*first, *others, return_exceptions=True)

    assert [isinstance(one, Stored) for one in found] == [False, True, False, True]
    # what was under way is finished; what nobody waits for any more is not begun
    assert store.groups == [[b"1"], [b"2", b"4"]]
    assert isinstance((await asyncio.gather(*await waits(room, b"5")))[0], Stored)


async def test_a_commit_that_fails_is_claimed_to_nobody_and_the_next_one_is_tried() -> None:
    store = Slow()
    store.gate.set()
    store.fails = DatabaseUnavailable()
    room = Mailroom(store)

    with pytest.raises(DatabaseUnavailable):
        await room.put(letter(b"1"))
    store.fails = None

    assert isinstance(await room.put(letter(b"1")), Stored)


async def test_one_that_cannot_be_kept_is_refused_alone() -> None:
    store = Slow()
    store.poison = b"2"
    room = Mailroom(store)
    tasks = [*await waits(room, b"0"), *await waits(room, b"1", b"2", b"3")]
    store.gate.set()

    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(one, Stored) for one in found] == [True, True, False, True]


async def test_nobody_waits_longer_than_a_sender_does() -> None:
    room = Mailroom(Slow(), patience=0.02)

    found = await asyncio.gather(*await waits(room, b"1", b"2"), return_exceptions=True)

    assert [type(one) for one in found] == [DatabaseUnavailable] * 2


async def test_a_database_that_hangs_is_left_behind() -> None:
    store = Slow()
    room = Mailroom(store, patience=0.02)
    with pytest.raises(DatabaseUnavailable):
        await room.put(letter(b"1"))
    await asyncio.sleep(0.05)
    store.gate.set()

    assert isinstance(await room.put(letter(b"2")), Stored)
    assert store.groups == [[b"1"], [b"2"]]


async def test_what_would_wait_too_long_is_told_to_come_back() -> None:
    room = Mailroom(Slow(), patience=0.05)
    big = letter(b" " * 33_000_000)
    tasks = [asyncio.create_task(room.put(big)) for _ in range(4)]
    await asyncio.sleep(0.01)

    with pytest.raises(DatabaseUnavailable):
        await room.put(letter(b"1"))
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_deliveries_are_listed_and_filtered(team: Clients, sender: Sender, admin: httpx.AsyncClient) -> None:
    for number in range(5):
        await sender.deliver({"event_type": "email_sent", "n": number})
    await sender.deliver(REPLY, campaign=str(new_id()))
    path = "/api/webhooks/deliveries"

    pages = [await admin.get(path, params={"limit": 4})]
    pages.append(await admin.get(path, params={"limit": 4, "cursor": pages[0].json()["next_cursor"]}))
    listed = [item for page in pages for item in page.json()["items"]]
    oldest = listed[-1]["received_at"]

    async def count(**given: Any) -> int:
        return len((await admin.get(path, params=given)).json()["items"])

    assert [item["event_type"] for item in listed] == ["reply_received", *["email_sent"] * 5]
    assert listed[1]["campaign"] == {"id": str(sender.campaign_id), "name": "Spring"}
    assert listed[0]["campaign"] is None
    assert sender.campaign not in pages[0].text
    assert await count(event_type="reply_received") == 1
    assert await count(campaign=sender.campaign_id) == 5
    assert await count(state="received") == 6
    assert await count(state="applied") == 0
    assert (await count(to=oldest), await count(**{"from": oldest})) == (0, 6)
    assert (
        await admin.get(path, params={"cursor": pages[0].json()["next_cursor"], "state": "failed"})
    ).status_code == 422


async def test_a_delivery_is_read_as_it_came(team: Clients, sender: Sender, admin: httpx.AsyncClient) -> None:
    seen = {}
    for name in ("colliding keys", "broken JSON", "lone surrogates", "packed", "no UTF-8"):
        made = (await sender.deliver(**JUNK[name])).json()["delivery"]
        answer = await admin.get(f"/api/webhooks/deliveries/{made}")
        assert answer.status_code == 200, answer.text
        seen[name] = (answer.json()["content"], answer.json()["text"])

    assert seen["colliding keys"] == (JUNK["colliding keys"]["json"], None)
    assert seen["broken JSON"] == (None, '{"event_type": ')
    assert seen["lone surrogates"][1].startswith(r'{"event_type": "\ud83d"')
    assert seen["packed"] == ({"event_type": "email_sent"}, None)
    assert seen["no UTF-8"] == (None, "\ufffd\ufffd\ufffd")


async def test_deliveries_are_applied_again_by_id_and_by_filter(
    team: Clients, sender: Sender, admin: httpx.AsyncClient
) -> None:
    ids = [UUID((await sender.deliver({"n": n, "event_type": "e"})).json()["delivery"]) for n in range(3)]
    path = "/api/webhooks/deliveries"
    async with team.runtime.db.transaction(team.tenant) as tx:
        states: tuple[State, ...] = ("applied", "failed", "parked")
        await deliveries.settle(tx, [Outcome(one, state) for one, state in zip(ids, states, strict=True)])

    one = await admin.post(f"{path}/{ids[0]}/replay")
    some = [await admin.post(f"{path}/replay", params={"event_type": "e"}) for _ in range(2)]
    found = [row["state"] for row in await kept(team)]
    async with team.runtime.db.transaction(team.tenant) as tx:
        await tx.run("UPDATE webhook_delivery SET body = NULL WHERE id = $1", ids[0])

    assert (one.status_code, one.json()["state"]) == (202, "received")
    assert [answer.json() for answer in some] == [{"replayed": 2}, {"replayed": 0}]
    assert found == ["received"] * 3
    assert (await admin.post(f"{path}/{ids[0]}/replay")).status_code == 409
    assert (await admin.post(f"{path}/replay")).status_code == 422


async def test_operators_see_what_no_workspace_has(team: Clients, others: Clients, sender: Sender) -> None:
    async with others.runtime.db.transaction(others.tenant) as tx:
        await accounts.join(tx, sender.account_id)
        await connections.add(
            tx,
            {"id": new_id(), "account_id": sender.account_id, "provider": "instantly", "name": "I", "target": "t"},
        )
    await sender.deliver(REPLY, campaign=OTHER)
    operator = await team.of("operator")

    items = (await operator.get("/api/admin/webhooks/unrouted")).json()["items"]

    assert [item["deliveries"] for item in items if item["account_id"] == str(sender.account_id)] == [1]
    assert await kept(team) == []


async def test_old_bodies_are_forgotten_with_everything_else_that_expires(team: Clients, sender: Sender) -> None:
    old = UUID((await sender.deliver({"n": 1})).json()["delivery"])
    waits = UUID((await sender.deliver({"n": 2})).json()["delivery"])
    async with team.runtime.db.transaction(team.tenant) as tx:
        await deliveries.settle(tx, [Outcome(old, "ignored")])
        await tx.run("UPDATE webhook_delivery SET received_at = $1", tx.now - timedelta(days=91))

    await tidy(team.runtime.db)

    assert {row["id"]: row["body"] for row in await kept(team)} == {old: None, waits: b'{"n":2}'}


CHOSEN = "a secret of sixteen or more"


async def connect(clients: Clients, key: str, **secret: str) -> httpx.Response:
    client = await clients.of("admin", "ada@team.test")
    return await client.post(
        "/api/admin/connections", json={"provider": "instantly", "secret": {"api_key": key, **secret}}
    )


async def knock(clients: Clients, secret: str) -> int:
    """Delivers something new with a secret; returns the answer's status."""
    client = await clients.stack.enter_async_context(browser(clients.app))
    answer = await client.post(
        f"/api/webhooks/instantly/{OTHER}", json={"n": str(new_id())}, headers={"X-Webhook-Secret": secret}
    )
    return answer.status_code


async def secret_of(clients: Clients) -> str:
    """Returns the webhook secret of the workspace's account, as its provider is told it."""
    async with clients.runtime.db.transaction(clients.tenant) as tx:
        sealed = await tx.value("SELECT secret FROM provider_account")
    return clients.runtime.vault.open(sealed)["webhook_secret"]


async def test_an_account_has_a_webhook_secret_chosen_or_made_up(
    team: Clients, others: Clients, instantly: InstantlySandbox
) -> None:
    mine, theirs = f"key-{team.workspace_id}", f"key-{others.workspace_id}"
    for key in (mine, theirs):
        instantly.store.add_key(key)

    assert (await connect(team, mine)).status_code == 201
    made_up = await secret_of(team)
    refused = [
        await connect(others, theirs, webhook_secret="short"),
        await connect(others, theirs, webhook_secret=made_up),
    ]
    assert (await connect(others, theirs, webhook_secret=f"{CHOSEN} {theirs}")).status_code == 201
    body = {"secret": {"webhook_secret": f"{CHOSEN} {theirs}"}}
    refused.append(await (await team.of("admin", "ada@team.test")).patch(await only_connection(team), json=body))

    assert [answer.status_code for answer in refused] == [422, 409, 409]
    assert ["webhook secret" in answer.json()["detail"] for answer in refused[1:]] == [True, True]
    assert [await knock(team, secret) for secret in (made_up, f"{CHOSEN} {theirs}", "another")] == [202, 202, 401]


async def test_a_second_workspace_shares_the_secret_unless_it_chooses_another(
    team: Clients, others: Clients, instantly: InstantlySandbox
) -> None:
    key, chosen = f"key-{team.workspace_id}", f"{CHOSEN} {team.workspace_id}"
    instantly.store.add_key(key)
    await connect(team, key)
    first = await secret_of(team)

    assert (await connect(others, key)).status_code == 201
    assert await secret_of(others) == first
    await (await others.of("admin", "ada@team.test")).delete(await only_connection(others))
    assert (await connect(others, key, webhook_secret=chosen)).status_code == 201

    assert (await secret_of(team), await knock(team, chosen), await knock(team, first)) == (chosen, 202, 401)


async def test_pacing_and_the_webhook_secret_are_changed_alone(
    team: Clients, others: Clients, instantly: InstantlySandbox
) -> None:
    key, chosen = f"key-{team.workspace_id}", f"{CHOSEN} changed {team.workspace_id}"
    instantly.store.add_key(key)
    await connect(team, key)
    former, path, admin = await secret_of(team), await only_connection(team), await team.of("admin", "ada@team.test")

    slower = await admin.patch(path, json={"config": {"pacing_seconds": 2}})
    renewed = await admin.patch(path, json={"secret": {"webhook_secret": chosen}})
    short = await admin.patch(path, json={"secret": {"webhook_secret": "short"}})
    assert (slower.status_code, slower.json()["config"]) == (200, {"campaign_ids": None, "pacing_seconds": 2})
    assert (renewed.status_code, renewed.json()["config"], short.status_code) == (200, slower.json()["config"], 422)
    assert chosen not in renewed.text
    assert [await knock(team, secret) for secret in (chosen, former)] == [202, 401]

    # a neighbour who shares the account cannot cut the others off
    await connect(others, key)
    theirs, body = await only_connection(others), {"secret": {"webhook_secret": f"{CHOSEN} of others"}}
    refused = await (await others.of("admin", "ada@team.test")).patch(theirs, json=body)
    assert (refused.status_code, await knock(team, chosen)) == (403, 202)
    assert "operator" in refused.json()["detail"]
    assert (await (await others.of("operator")).patch(theirs, json=body)).status_code == 200
    assert await knock(team, chosen) == 401


async def only_connection(clients: Clients) -> str:
    client = await clients.of("admin", "ada@team.test")
    (found,) = (await client.get("/api/admin/connections")).json()["items"]
    return f"/api/admin/connections/{found['id']}"


async def test_an_account_from_before_gets_its_secret_with_its_next_turn(
    team: Clients, instantly: InstantlySandbox, settle: Callable[[], Any]
) -> None:
    key = f"key-{team.workspace_id}"
    instantly.store.add_key(key)
    async with team.runtime.db.transaction(team.tenant) as tx:
        sealed = team.runtime.vault.seal({"api_key": key})
        account = await connections.account(
            tx, "instantly", team.runtime.vault.fingerprint({"api_key": key}), sealed, new_id()
        )
        await connections.add(
            tx,
            {"id": new_id(), "account_id": account, "provider": "instantly", "name": "I", "target": "t",
             "config": {"campaign_ids": None, "pacing_seconds": 0}, "create_policy": {"never": True}},
        )  # fmt: skip
        await runs.queue(tx, await tx.value("SELECT id FROM connection"), "delta", "test")
    await settle()

    assert await knock(team, await secret_of(team)) == 202
