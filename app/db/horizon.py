"""The horizon: below it every transaction has ended, so what is read there is complete and stays so."""

from __future__ import annotations

from app.db.session import Tx

# A snapshot's own xmin would wait for every database of the server. The snapshot is taken first: what had an id by then
# and is not listed afterwards has ended, and the next statement sees it. `backend_xid` has the lower 32 bits.
# (PostgreSQL 18, 28.2.3)
_HORIZON = """
SELECT s.next - coalesce(max(a.behind) FILTER (WHERE a.behind < 2147483648), 0)
FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) s LEFT JOIN LATERAL (
    SELECT (s.next - backend_xid::text::bigint) & 4294967295 AS behind FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xid IS NOT NULL) a ON true
GROUP BY s.next
"""


async def horizon(tx: Tx) -> int:
    """Returns the oldest transaction of this database that is still running, or the next one there will be.

    To be asked once in a transaction: the server goes on showing it the activity it saw first.
    """
    return int(await tx.value(_HORIZON))
