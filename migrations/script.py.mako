"""${message}

What changes, and whether the old code still works beside it: say it here. Expand first, contract in a later release;
build indexes on large tables CONCURRENTLY in an autocommit block.
"""

from __future__ import annotations

from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
