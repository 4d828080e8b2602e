"""Many leads, made by SQL in seconds."""

from __future__ import annotations

from uuid import UUID

import asyncpg

#: Of every 1,000 leads all have an e-mail address, 200 are claimed, 50 have a next action; one word occurs in each,
#: one in 100 of them, and `needle…` in one lead each.
_MAKE = """
INSERT INTO lead (workspace_id, id, email, full_name, first_name, last_name, company_name, title, notes, status,
    claimed_by, next_action_date, email_open_count, source, created_at, updated_at)
SELECT $1, gen_random_uuid(), 'lead' || n || '@firm' || n % 5000 || '.example',
    first || ' ' || last, first, last,
    'Firm ' || n % 5000 || ' Works', 'Head of Operations', CASE WHEN n % 100 = 0 THEN 'rareword needle' || n END,
    (ARRAY['new','new','new','new','contacted','contacted','opened','clicked','replied','booked'])[1 + n % 10],
    CASE WHEN n % 5 = 0 THEN 'owner' || n % 7 || '@team.example' END,
    CASE WHEN n % 20 = 0 THEN date '2026-01-01' + (n % 365) END, n % 7, 'list' || n % 20, at, at
FROM generate_series($2::int, $3::int - 1) n, LATERAL (
    SELECT timestamptz '2026-01-01' + make_interval(secs => (n * 7919::bigint) % 1000003) AS at,
        (ARRAY['Noor','Lars','Ada','Femke','Joost','Sanne','Bram','Lotte','Daan','Eva'])[1 + n % 10] AS first,
        'Family' || n % 7919 AS last) t
"""


async def make_leads(owner_url: str, workspace_id: UUID, number: int) -> None:
    """Makes so many leads in a workspace, as the owner; leaves the tables analysed."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(_MAKE, workspace_id, 0, number)
        await connection.execute("VACUUM (ANALYZE) lead, lead_search")
    finally:
        await connection.close()


#: A campaign, and a row in it for one in so many leads.
_CAMPAIGN = """
WITH account AS (
    INSERT INTO provider_account (id, provider, fingerprint, secret)
    VALUES (gen_random_uuid(), 'instantly', $2, '') RETURNING id
), connection AS (
    INSERT INTO connection (workspace_id, id, account_id, provider, name, target)
    SELECT $1, gen_random_uuid(), id, 'instantly', 'Outreach', $2 FROM account RETURNING id
), campaign AS (
    INSERT INTO campaign (workspace_id, connection_id, id, remote_id, name, namespace)
    SELECT $1, id, gen_random_uuid(), $2, $2, $2 FROM connection
)
INSERT INTO link (workspace_id, id, connection_id, lead_id, remote_key, namespace)
SELECT $1, gen_random_uuid(), c.id, l.id, l.email, $2
FROM connection c, (SELECT *, row_number() OVER () AS n FROM lead WHERE workspace_id = $1) l WHERE l.n % $3 = 0
"""


async def add_campaign(owner_url: str, workspace_id: UUID, every: int) -> None:
    """Adds a campaign of one in so many leads, called by that number; as the owner."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(_CAMPAIGN, workspace_id, str(every), every)
        await connection.execute("VACUUM (ANALYZE) link, campaign")
    finally:
        await connection.close()
