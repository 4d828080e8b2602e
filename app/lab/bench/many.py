"""A million leads in two workspaces, made by SQL once for all figures that read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.db.session import Database
from app.lab.bench.figure import Bench
from app.lab.bench.rig import Urls, workspace
from app.lab.scratch import connected

#: The share of the workspace that is read; the rest belongs to another one.
SHARE: Final = 0.6
_KEPT: Final = "many leads"
_FIRST: Final = "Noor Lars Ada Femke Joost Sanne Bram Lotte Daan Eva Milan Tess Sem Julia Finn Zoë Mees Anna Luuk Sara"
_LAST: Final = "Berg Vries Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Dijk Kok"
_TRADE: Final = "Works Logistics Foods Studio Partners Metals Systems Travel Energy Design"
_STATUS: Final = "new new new new new contacted contacted contacted opened opened clicked replied booked lost"
_FILL: Final = """
INSERT INTO lead (workspace_id, id, email, full_name, first_name, last_name, company_name, company_domain, title,
    location, source, phone, notes, status, claimed_by, next_action_date, email_open_count, created_at, updated_at)
SELECT $1, gen_random_uuid(), lower(last) || n || '@firm' || firm || '.example', first || ' ' || last, first, last,
    'Firm' || firm || ' ' || (string_to_array($5, ' '))[1 + n % 10], 'firm' || firm || '.example', 'Head of Operations',
    'Utrecht, Netherlands', 'list' || n % 20, '+3130' || 1000000 + n,
    CASE WHEN n % 10 = 0 THEN 'Met at the fair of ' || 2000 + n % 977 || '. Asked to call back in spring.' END,
    (string_to_array($6, ' '))[1 + n % 14], CASE WHEN n % 10 = 0 THEN 'owner' || n % 23 || '@team.example' END,
    CASE WHEN n % 20 = 0 THEN date '2026-01-01' + n % 365 END, n % 7, at, at
FROM generate_series(1, $2::int) n, LATERAL (
    SELECT timestamptz '2026-01-01' + make_interval(secs => (n * 7919::bigint) % 10000019) AS at, n % 50021 AS firm,
        (string_to_array($3, ' '))[1 + n % 20] AS first,
        (string_to_array($4, ' '))[1 + n / 20 % 16] || (n * 31::bigint) % 9973 AS last) t
"""
_WORDS: Final = """
INSERT INTO lead_search SELECT workspace_id, id, search_words(workspace_id,
    concat_ws(' ', full_name, first_name, last_name, company_name, email, title, notes)) FROM lead
"""


@dataclass(frozen=True, slots=True)
class Many:
    """Where the leads are, and a key that reads one workspace's."""

    urls: Urls
    workspace_id: UUID
    key: str
    #: in both workspaces, and in the one that is read
    number: int
    mine: int


async def many(bench: Bench) -> Many:
    """Returns the leads, made when they are first asked for."""
    if _KEPT not in bench.rig.kept:
        number = bench.size(1_000_000, 50_000)
        bench.say(f"loading {number:,} leads")
        bench.rig.kept[_KEPT] = await _make(await bench.rig.database(durable=True), number)
    found: Many = bench.rig.kept[_KEPT]
    return found


async def _make(urls: Urls, number: int) -> Many:
    mine = int(number * SHARE)
    db = await Database.open(urls.app, size=1)
    try:
        read, key = await workspace(db)
        other, _ = await workspace(db)
    finally:
        await db.close()
    async with connected(urls.owner) as owner:
        # no triggers and no index on the words while they come: the same rows, several times sooner
        await owner.execute("SET session_replication_role = replica")
        index = await owner.fetchval("SELECT pg_get_indexdef('lead_search_words_idx'::regclass)")
        await owner.execute("DROP INDEX lead_search_words_idx")
        for workspace_id, share in ((other, number - mine), (read, mine)):
            await owner.execute(_FILL, workspace_id, share, _FIRST, _LAST, _TRADE, _STATUS, timeout=300)
        await owner.execute(_WORDS, timeout=300)
        await owner.execute(index, timeout=300)
        await owner.execute("VACUUM (ANALYZE) lead, lead_search", timeout=300)
        await owner.execute("CHECKPOINT")
    return Many(urls, read, key, number, mine)
