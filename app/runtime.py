"""The composition root: opens what the service runs on, and is the only place that names vendors."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import structlog

from app.db import accounts, connections, embedded, links, migrate, runs, secret_key
from app.db.buckets import SharedLimiter
from app.db.connections import Stored
from app.db.session import Database, Probe, Tenant, Tx
from app.domain import instantly as instantly_words
from app.domain import mapping, normalize
from app.domain.mapping import CRM_ID, MODIFIED, MappingTable
from app.providers.airtable.table import Airtable
from app.providers.base import Clock, Column, Limiter, Provider, Record, Refused
from app.providers.instantly.campaigns import InstantlyCampaigns
from app.providers.instantly.funnel import PACING
from app.providers.instantly.hooks import InstantlyHooks
from app.providers.instantly.leads import Instantly
from app.providers.instantly.mails import InstantlyMails
from app.providers.instantly.rows import InstantlyRows
from app.providers.outreach import RemoteCampaign
from app.providers.transport import Transport
from app.settings import Settings
from app.sync.job import Adapter, Suppressed
from app.vault import WEBHOOK_SECRET, Vault, VaultError, WrongSecretKey, local_key, new_webhook_secret, webhook_hash

DATABASE = "leadkeeper"
log = structlog.get_logger()
#: Seconds between two looks whether the embedded Postgres is there.
LOOK_EVERY = 1.0


class WallClock:
    """The time of this machine, for waiting and for reading HTTP dates; what is stored carries the database's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one wall clock of the service

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(slots=True, kw_only=True)
class Runtime:
    """What the entry points hand to the stages."""

    settings: Settings
    db: Database
    vault: Vault
    http: httpx.AsyncClient
    clock: Clock
    limiter: Limiter
    rng: random.Random = field(default_factory=random.Random)
    server: embedded.EmbeddedPostgres | None = None

    @contextlib.asynccontextmanager
    async def adapter(self, db: Database, tenant: Tenant, connection: Stored) -> AsyncIterator[Adapter]:
        """Opens a connection's provider for one turn, and counts its calls against the month."""
        calls = [0]

        def count(_what: str, _status: int) -> None:
            calls[0] += 1

        try:
            async with db.transaction(tenant) as tx:
                secret = await self._secret(tx, connection)
                readable = None if connection.pushes else await accounts.readable(tx, connection)
        except VaultError as exc:
            # no waiting helps: the connection stops, and says so
            raise Refused(str(exc)) from exc
        config = connection.config | {"campaign_ids": None if readable is None else sorted(readable)}
        provider = self.provider(connection.provider, config, secret, connection.table, count)
        try:
            yield self._adapt(connection, provider, secret)
        finally:
            await provider.close()
            if calls[0]:
                async with db.transaction(tenant) as tx:
                    await runs.add_calls(tx, connection.id, calls[0])

    async def _secret(self, tx: Tx, connection: Stored) -> dict[str, str]:
        """Returns what opens a connection's account; one from before there were webhooks gets a webhook secret."""
        sealed = await connections.secret(tx, connection.account_id)
        assert sealed is not None
        secret = self.vault.open(sealed)
        if connection.provider == "instantly" and WEBHOOK_SECRET not in secret:
            account = self.account(connection.provider, connection.config, secret)
            await connections.give_webhook_secret(tx, connection.account_id, account["sealed"], account["webhook_hash"])
            sealed = await connections.secret(tx, connection.account_id)
            assert sealed is not None
            secret = self.vault.open(sealed)
        return secret

    async def resealed(self, tx: Tx, connection: Stored, webhook_secret: str) -> tuple[bytes, bytes]:
        """Returns the secret of a connection's account with this webhook secret in it, and that one's hash."""
        sealed = await connections.secret(tx, connection.account_id)
        assert sealed is not None
        secret = self.vault.open(sealed) | {WEBHOOK_SECRET: webhook_secret}
        return self.vault.seal(secret), webhook_hash(webhook_secret.encode())

    def account(self, kind: str, config: Mapping[str, Any], secret: Mapping[str, str]) -> dict[str, Any]:
        """Returns what is kept of an account, by the names of `connect.Wanted`; its secret is complete then.

        Instantly signs nothing: a secret that it shows us with every delivery says whose it is. One is made up where
        none was chosen.
        """
        secret, chosen = dict(secret), WEBHOOK_SECRET in secret
        if kind == "instantly":
            secret.setdefault(WEBHOOK_SECRET, new_webhook_secret())
        fingerprint = self.vault.fingerprint(secret)
        return {
            "target": target_of(kind, config, fingerprint),
            "fingerprint": fingerprint,
            "sealed": self.vault.seal(secret),
            "webhook_hash": webhook_hash(secret[WEBHOOK_SECRET].encode()) if WEBHOOK_SECRET in secret else None,
            "webhook_chosen": chosen,
        }

    def provider(
        self,
        kind: str,
        config: dict[str, object],
        secret: dict[str, str],
        table: MappingTable,
        on_call: Callable[[str, int], None] | None = None,
    ) -> Provider:
        """Makes a provider's client."""
        if kind == "instantly":
            ids = config.get("campaign_ids")
            return Instantly(
                client=self.http,
                api_url=self.settings.instantly_api_url,
                api_key=secret["api_key"],
                campaign_ids=ids if isinstance(ids, list) else None,
                limiter=self.limiter,
                clock=self.clock,
                rng=self.rng,
                pacing_seconds=_pacing(config),
                on_call=on_call,
            )
        modified = table.pseudo.get(MODIFIED)
        return Airtable(
            client=self.http,
            api_url=self.settings.airtable_api_url,
            token=secret["token"],
            base_id=str(config["base_id"]),
            table_id=str(config["table_id"]),
            columns=table.columns(),
            checkboxes=frozenset(m.column for m in table.fields.values() if m.type == "checkbox"),
            modified_column=modified.column if modified else None,
            limiter=self.limiter,
            clock=self.clock,
            rng=self.rng,
            on_call=on_call,
        )

    def _adapt(self, connection: Stored, provider: Provider, secret: Mapping[str, str]) -> Adapter:
        if isinstance(provider, Instantly):
            pacing = _pacing(connection.config)
            return Adapter(
                provider=provider,
                observe=_observe_instantly,
                suppressed=_suppressed,
                fingerprint=self.vault.address,
                many_per_lead=True,
                rows=InstantlyRows(provider.funnel),
                campaigns=InstantlyCampaigns(provider, clock=self.clock, pacing_seconds=pacing),
                namespace=instantly_words.namespace,
                hooks=InstantlyHooks(
                    provider.funnel, public_url=self.settings.public_url, secret=secret.get(WEBHOOK_SECRET)
                ),
                mails=InstantlyMails(provider.funnel, api_key=secret["api_key"]),
            )
        table = connection.table
        return Adapter(
            provider=provider,
            observe=lambda record: _observe_airtable(table, record),
            fingerprint=self.vault.address,
        )


def _pacing(config: Mapping[str, object]) -> float:
    return float(str(config.get("pacing_seconds", PACING)))


def _observe_airtable(table: MappingTable, record: Record) -> links.Observation:
    crm = table.pseudo.get(CRM_ID)
    return links.Observation(
        key=record.key,
        remote_id=record.remote_id,
        observed=table.observed(record.cells),
        created_at=record.created_at,
        modified_at=record.modified_at,
        raw={"crm_id": record.cells[crm.column]} if crm and crm.column in record.cells else None,
    )


def _observe_instantly(record: Record) -> links.Observation:
    raw = record.raw or {}
    return links.Observation(
        key=record.key,
        remote_id=record.remote_id,
        observed=instantly_words.observe(raw),
        created_at=record.created_at,
        raw=raw,
        namespace=instantly_words.namespace(str(raw.get("campaign") or "")),
    )


def _suppressed(record: Record) -> Suppressed | None:
    raw = record.raw or {}
    reason = instantly_words.suppression(raw)
    email = raw.get("email")
    if reason is None or not isinstance(email, str):
        return None
    scope = "workspace" if reason == "bounced" else instantly_words.namespace(str(raw.get("campaign") or ""))
    return Suppressed(email=email, scope=scope, reason=reason)


@contextlib.asynccontextmanager
async def opened(
    settings: Settings,
    *,
    clock: Clock | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    probe: Probe | None = None,
    rng: random.Random | None = None,
    database: str = DATABASE,
    fresh: bool = False,
) -> AsyncIterator[Runtime]:
    """Opens the runtime: starts and migrates the embedded Postgres where there is no `DATABASE_URL`.

    `clock`, `transport`, `probe` and `rng` are a simulation's; with a clock the database's own time is not asked.
    """
    normalize.settle_in(settings.default_region)
    server = None
    app_url = settings.database_url
    secret = settings.secret_key.get_secret_value() if settings.secret_key else local_key(settings.data_dir)
    async with contextlib.AsyncExitStack() as stack:
        if app_url is None:
            server = await stack.enter_async_context(_kept(settings.data_dir / "pg"))
            owner_url, app_url = await migrate.create_embedded(server, database, fresh=fresh)
            await migrate.migrate(owner_url, app_url)
        db = await Database.open(app_url, size=settings.database_pool, clock=clock, probe=probe)
        stack.push_async_callback(db.close)
        vault = Vault(secret)
        if not await secret_key.is_it(db, vault.key_hash):
            raise WrongSecretKey
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport or Transport(), follow_redirects=False, trust_env=False)
        )
        wall = clock or WallClock()
        yield Runtime(
            settings=settings,
            db=db,
            vault=vault,
            http=http,
            clock=wall,
            limiter=SharedLimiter(db, wall),
            rng=rng or random.Random(),
            server=server,
        )


@contextlib.asynccontextmanager
async def _kept(folder: Path) -> AsyncIterator[embedded.EmbeddedPostgres]:
    """Runs the embedded Postgres, and starts it again where it was ended under us; its address stays the same."""
    running = [await asyncio.to_thread(embedded.start, folder)]
    ending = asyncio.Event()

    async def watch() -> None:
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), LOOK_EVERY)
            if ending.is_set() or running[-1].is_alive:
                continue
            log.warning("postgres.gone", pid=running[-1].pid)
            try:
                running.append(await asyncio.to_thread(embedded.start, folder))
            except embedded.EmbeddedPostgresError as exc:
                log.warning("postgres.not_started", error=str(exc))

    task = asyncio.create_task(watch())
    try:
        yield running[0]
    finally:
        # not cancelled: a server that a thread is starting just now would be nobody's to stop
        ending.set()
        await task
        for server in running:
            server.stop()


async def probe_account(runtime: Runtime, kind: str, config: dict[str, object], secret: dict[str, str]) -> list[Column]:
    """Asks the provider for the target's columns; raises a `ProviderError` that says what is missing."""
    provider = runtime.provider(kind, config, secret, mapping.MappingTable(version=1, fields={}, pseudo={}))
    try:
        return await provider.schema()
    finally:
        await provider.close()


async def campaigns_of(runtime: Runtime, kind: str, sealed: bytes) -> list[RemoteCampaign]:
    """Returns all campaigns of an account; of a provider that has none, an empty list."""
    if kind != "instantly":
        return []
    no_mapping = MappingTable(version=1, fields={}, pseudo={})
    provider = runtime.provider(kind, {"campaign_ids": None}, runtime.vault.open(sealed), no_mapping)
    assert isinstance(provider, Instantly)
    return await InstantlyCampaigns(provider, clock=runtime.clock).campaigns()


def target_of(kind: str, config: Mapping[str, Any], secret_fingerprint: str) -> str:
    """Names what a connection keeps in agreement, so that the same target is not connected twice."""
    if kind == "airtable":
        return f"airtable:{config['base_id']}/{config['table_id']}"
    return f"{kind}:{secret_fingerprint[:16]}"
