"""How an account's webhook fares, how far its mails and its delivery log were read, and on which day a delivery was.

These belong to an account, which several workspaces may share: one of them looks, all of them see. Code from before
this looks at none of it and goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_watch"
down_revision = "0013_speed"
branch_labels = None
depends_on = None

ROLE = "leadkeeper_app"
WORKSPACE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
MAY_WRITE = "(SELECT current_setting('app.role', true)) IN ('operator', 'admin', 'member', 'system')"
TABLES = ("account_watch", "hook_gap", "log_day")

NOTE_LOGGED = f"""
CREATE FUNCTION note_logged(p_account uuid, p_ids uuid[], p_day date) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE webhook_delivery d SET logged_on = p_day WHERE d.id = ANY(p_ids) AND d.account_id = p_account
        AND d.logged_on IS NULL AND EXISTS (SELECT FROM connection c WHERE c.workspace_id = {WORKSPACE}
            AND c.account_id = p_account AND c.deleted_at IS NULL)
$$"""
SIGNATURE = "note_logged(uuid, uuid[], date)"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("webhook_delivery", sa.Column("logged_on", sa.Date(), nullable=True))
    op.create_index(
        "webhook_delivery_logged_idx",
        "webhook_delivery",
        ["workspace_id", "logged_on"],
        postgresql_where=sa.text("logged_on IS NOT NULL"),
    )
    op.create_table(
        "account_watch",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("hook", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("hook_error", sa.Text(), nullable=True),
        sa.Column("hook_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hook_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hook_looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mails_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mails_position", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("mails_error", sa.Text(), nullable=True),
        sa.Column("mails_looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("log_looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("account_id", name=op.f("account_watch_pkey")),
        sa.CheckConstraint(
            "hook IN ('unknown', 'unset', 'active', 'disabled', 'refused')", name=op.f("account_watch_hook_check")
        ),
        _of_account("account_watch"),
    )
    op.create_table(
        "hook_gap",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("is_logged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "began_at", name=op.f("hook_gap_pkey")),
        _of_account("hook_gap"),
    )
    op.create_table(
        "log_day",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lost", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lost_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lost_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("log_day_pkey")),
        _of_account("log_day"),
    )
    for table in TABLES:
        _protect(table)
    op.execute(NOTE_LOGGED)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {ROLE}")


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id"], ["provider_account.id"], name=op.f(f"{table}_account_id_fkey"), ondelete="CASCADE"
    )


def _protect(table: str) -> None:
    """Lets the workspaces that use an account see and keep what is known of it."""
    mine = (
        f"EXISTS (SELECT FROM connection c WHERE c.workspace_id = (SELECT {WORKSPACE})"
        f" AND c.account_id = {table}.account_id AND c.deleted_at IS NULL)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY account_read ON {table} FOR SELECT TO {ROLE} USING ({mine})")
    op.execute(f"CREATE POLICY account_insert ON {table} FOR INSERT TO {ROLE} WITH CHECK ({mine} AND {MAY_WRITE})")
    for command in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE POLICY account_{command.lower()} ON {table} FOR {command} TO {ROLE} USING ({mine} AND {MAY_WRITE})"
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    for table in TABLES:
        op.drop_table(table)
    op.drop_index("webhook_delivery_logged_idx", table_name="webhook_delivery")
    op.drop_column("webhook_delivery", "logged_on")
