"""The embedded default: a real PostgreSQL 18 from a wheel, started and stopped by Leadkeeper itself.

The wheel's own `get_server` is not used: as root it makes every parent folder world-readable.  Here no folder is
widened that was not made here.  PostgreSQL refuses to run as root, so root lends it to an unprivileged account; where
that account may not go, the cluster moves to /var/lib/leadkeeper and a file LOCATION in the wanted folder says so.

One server serves every process on the same folder: the first one starts it, the others attach, and the last one stops
it, on `stop` or at exit.  A process that is killed outright leaves its server running for the next one.
Access is by a unix socket in a folder of mode 700 and never by TCP, which is why it needs no password.
"""

from __future__ import annotations

import atexit
import subprocess
from dataclasses import replace
from pathlib import Path

from app.db.embedded import places
from app.db.embedded.account import EmbeddedPostgresError, account_of, is_cluster
from app.db.embedded.server import OWNER, EmbeddedPostgres, attach, initialise, launch, take

__all__ = ["OWNER", "EmbeddedPostgres", "EmbeddedPostgresError", "start"]


def start(data: Path, *, fast_unsafe: bool = False) -> EmbeddedPostgres:
    """Starts the server of a data folder, making its cluster first if there is none, or joins the one running.

    Args:
        data: where the cluster should be; a missing parent is made with mode 700.
        fast_unsafe: trades crash safety for speed, for tests; a server already running keeps its own settings.
    """
    wanted = data.resolve()
    try:
        places.make_parents(wanted.parent)
        with places.locked(wanted.parent):
            found = _start(wanted, fast_unsafe=fast_unsafe)
            server = replace(found, place=wanted.parent, used=[take(found.data)])
    except (OSError, subprocess.SubprocessError) as exc:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL cannot use {wanted} ({exc}): run Leadkeeper as the user who owns that folder, "
            "name another one, or set DATABASE_URL."
        ) from exc
    atexit.register(server.stop)
    return server


def _start(wanted: Path, *, fast_unsafe: bool) -> EmbeddedPostgres:
    cluster = places.existing(wanted) or places.choose(wanted, account_of(wanted))
    account = account_of(cluster)
    binaries = places.binaries(account)
    if not is_cluster(cluster):
        initialise(binaries, cluster, account, fast_unsafe=fast_unsafe)
    if not (cluster.is_relative_to(wanted) or (wanted / "LOCATION").exists()):
        places.leave_note(wanted, cluster)
    if (running := attach(binaries, cluster)) is not None:
        return running
    return launch(binaries, cluster, account, fast_unsafe=fast_unsafe)
