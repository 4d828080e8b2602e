"""A database knows the secret key that its hashes and secrets were made with, by a hash of it.

Under another key nobody would know any more who has unsubscribed or was erased, and nothing would say so. The first
service that starts after this leaves its key's hash. Code from before this does not ask.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023_secret_key"
down_revision = "0022_nobodys_hooks"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
SIGNATURE = "is_secret_key(bytea)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "secret_key_check",
        sa.Column("id", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("secret_key_check_pkey")),
        sa.CheckConstraint("id", name=op.f("secret_key_check_id_check")),
    )
    # without a policy nobody but the owner sees it
    op.execute("ALTER TABLE secret_key_check ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE FUNCTION {SIGNATURE.replace('(', '(p_hash ')} RETURNS boolean"
        " LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$"
        " INSERT INTO secret_key_check (hash) VALUES (p_hash) ON CONFLICT DO NOTHING;"
        " SELECT c.hash = p_hash FROM secret_key_check c $$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {ROLE}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.drop_table("secret_key_check")
