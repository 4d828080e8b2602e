"""The secret key that a database belongs to, known by a hash of it; the first one that asks is it."""

from __future__ import annotations

from app.db.session import Database


async def is_it(db: Database, key_hash: bytes) -> bool:
    """Tells whether what is stored was made under this key."""
    ((found,),) = await db.alone("SELECT is_secret_key($1)", key_hash)
    return bool(found)
