"""The schema as SQLAlchemy sees it: what migrations are checked against. Queries are SQL, in this package's modules.

Tenant tables start their primary key with `workspace_id` and are tied together by composite foreign keys, because
foreign keys do not ask row-level security.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR, UUID

from app.domain import policy
from app.domain.counts import DAY_COUNTS

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
#: What holds the values of a field, by their kind; every other one is text.
_TYPES: dict[policy.Kind, Any] = {
    "boolean": Boolean(),
    "integer": Integer(),
    "number": Numeric(18, 4),
    "instant": DateTime(timezone=True),
    "date": Date(),
    "set": ARRAY(Text),
    "object": JSONB(),
}


def _id(name: str = "id", *, null: bool = False) -> Column[Any]:
    return Column(name, UUID(as_uuid=True), nullable=null)


def _text(name: str, *, null: bool = True, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=null, server_default=default)


def _at(name: str, *, now: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=not now, server_default=text("now()") if now else None)


def _flag(name: str, default: bool) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _big(name: str, default: int = 0) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default=text(str(default)))


def _json(name: str, default: str | None = "{}") -> Column[Any]:
    return Column(
        name, JSONB, nullable=default is None, server_default=text(f"'{default}'::jsonb") if default else None
    )


def _value(field: policy.Field) -> Column[Any]:
    """The column of a lead's field; one that is never empty begins with what a lead holds before anybody speaks."""
    default = policy.DEFAULTS.get(field.name)
    begins = default if default is None or isinstance(default, str) else text(str(default).lower())
    is_needed = default is not None and not field.clears
    return Column(field.name, _TYPES.get(field.kind, Text()), nullable=not is_needed, server_default=begins)


def _to(table: str, column: str, *, set_null: bool = False) -> ForeignKeyConstraint:
    """A reference within one workspace. Clearing it keeps the workspace."""
    return ForeignKeyConstraint(
        ["workspace_id", column],
        [f"{table}.workspace_id", f"{table}.id"],
        ondelete=f"SET NULL ({column})" if set_null else "CASCADE",
    )


def _tenant(name: str, *parts: Any, key: tuple[str, ...] = ("id",), of_lead: bool = False) -> Table:
    """A table of one workspace's rows; where they are parts of a lead (`of_lead`), the lead ties them to it."""
    workspace = [] if of_lead else [ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE")]
    return Table(
        name, metadata, _id("workspace_id"), *parts, PrimaryKeyConstraint("workspace_id", *key), *workspace
    )  # fmt: skip


Table(
    "workspace", metadata, _id(), _text("name", null=False), _at("created_at", now=True),
    _json("settings"), PrimaryKeyConstraint("id"), UniqueConstraint("name"),
)  # fmt: skip

#: Operator level: one account at a provider may serve many workspaces.
Table(
    "provider_account",
    metadata,
    _id(),
    _text("provider", null=False),
    Column("secret", LargeBinary, nullable=False),
    #: keyed hash of what opens it: the same account is recognised without decrypting anything
    _text("fingerprint", null=False),
    _at("created_at", now=True),
    #: sha256 of the webhook secret: it says whose delivery comes in
    Column("webhook_hash", LargeBinary),
    #: from then on each campaign belongs to the workspace it is assigned to
    _at("shared_at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("provider", "fingerprint"),
    UniqueConstraint("webhook_hash"),
)

#: by what the service's secret key is recognised; one row
Table(
    "secret_key_check", metadata, Column("id", Boolean, nullable=False, server_default="true"),
    Column("hash", LargeBinary, nullable=False), PrimaryKeyConstraint("id"), CheckConstraint("id", name="id"),
)  # fmt: skip

Table(
    "rate_bucket", metadata, _text("resource", null=False), _at("next_at", now=True), PrimaryKeyConstraint("resource")
)

_tenant(
    "app_user", _id(), _text("email", null=False), _text("role", null=False), _at("created_at", now=True),
    UniqueConstraint("workspace_id", "email"),
)  # fmt: skip

_tenant(
    "api_key",
    _id(),
    _text("name", null=False),
    _text("prefix", null=False),
    Column("hash", LargeBinary, nullable=False),
    _text("role", null=False),
    #: the person this key acts for, an e-mail address
    _text("acts_for"),
    _at("created_at", now=True),
    _at("expires_at"),
    _at("revoked_at"),
    _at("last_used_at"),
    UniqueConstraint("hash"),
    CheckConstraint("role IN ('operator', 'admin', 'member', 'viewer', 'cron')", name="role"),
)

_tenant(
    "lead",
    _id(),
    *(_value(field) for field in policy.FIELDS.values() if field.name != "metadata"),
    _json("metadata"),
    #: [key, text, at, by] of every note; `notes` is their text
    _json("note_entries", "[]"),
    #: when the event behind is_positive_reply happened
    _at("positive_at"),
    _json("custom"),
    #: {"cleared": [...], "untouched": [...], "derived": [...]}
    _json("marks"),
    #: field -> [source, connection, at]
    _json("origins"),
    _json("own_counts"),
    #: the source that created it
    _text("created_by", null=False, default="user"),
    _big("version", 1),
    _big("sync_version", 1),
    #: the transaction that last changed it: what readers of changes go by, because it follows commits
    _big("changed_xid"),
    _at("created_at", now=True),
    _at("updated_at", now=True),
    _at("deleted_at"),
    _id("merged_into", null=True),
    Index(None, "workspace_id", "updated_at", "id"),
    Index(None, "workspace_id", "changed_xid", "id"),
    Index(None, "workspace_id", "email", "id"),
    Index(None, "workspace_id", "status", "updated_at", "id"),
    Index(
        "lead_claimed_by_idx", "workspace_id", "claimed_by", "updated_at", "id",
        postgresql_where=text("claimed_by IS NOT NULL"),
    ),
    Index(
        "lead_next_action_date_idx", "workspace_id", "next_action_date", "id",
        postgresql_where=text("next_action_date IS NOT NULL"),
    ),
    Index(
        "lead_deleted_at_idx", "workspace_id", "deleted_at", "id",
        postgresql_where=text("deleted_at IS NOT NULL AND merged_into IS NULL"),
    ),
)  # fmt: skip

#: The words of each lead, folded, each with a tag of its workspace; triggers write them.
_tenant(
    "lead_search", _id("lead_id"), Column("words", TSVECTOR, nullable=False), _to("lead", "lead_id"),
    Index("lead_search_words_idx", "words", postgresql_using="gin"), key=("lead_id",),
)  # fmt: skip

_tenant(
    "lead_identity", _text("kind", null=False), _text("value", null=False), _id("lead_id"),
    _to("lead", "lead_id"), Index(None, "workspace_id", "lead_id"), key=("kind", "value"),
)  # fmt: skip

_tenant(
    "lead_alias", _id("lead_id"), _text("email", null=False), _at("created_at", now=True),
    _to("lead", "lead_id"), Index(None, "workspace_id", "email"), key=("lead_id", "email"),
)  # fmt: skip

#: Hashes of what leads share that may be duplicates; only leads that share one are compared.
_tenant(
    "lead_block", Column("key", BigInteger, nullable=False), _id("lead_id"), _to("lead", "lead_id"),
    # without the workspace: nothing but a lead is ever looked up in it
    Index(None, "lead_id"), key=("key", "lead_id"), of_lead=True,
)  # fmt: skip

#: How many leads there are by status, source, owner and week: what every statement added or took away, to be summed.
_tenant(
    "lead_count", _id(), _text("by", null=False), _text("value"), Column("leads", BigInteger, nullable=False)
)  # fmt: skip

#: Which leads became one, and everything it takes to make them two again.
_tenant(
    "lead_merge",
    _id(),
    _id("survivor_id"),
    _id("loser_id"),
    #: both leads as they were, and the survivor as the merge left it
    _json("survivor_before"),
    _json("loser_before"),
    _json("survivor_after"),
    #: ids and keys of what moved: links, notes, identities, aliases, activities
    _json("moved"),
    _text("actor"),
    _at("at", now=True),
    _at("undone_at"),
    _to("lead", "survivor_id"),
    _to("lead", "loser_id"),
    Index(None, "workspace_id", "survivor_id"),
    Index("lead_merge_loser_key", "workspace_id", "loser_id", unique=True, postgresql_where=text("undone_at IS NULL")),
)

_tenant(
    "suppression",
    #: keyed hash of the address: it outlives the lead
    Column("email_hash", LargeBinary, nullable=False),
    #: "workspace", or the campaign's own id
    _text("scope", null=False),
    _text("reason", null=False),
    _at("at", now=True),
    key=("email_hash", "scope", "reason"),
)

#: Who was erased, as keyed hashes of what they were known by; added to by `erase_leads` alone.
_tenant(
    "erasure_ledger", Column("hash", LargeBinary, nullable=False), _id("lead_id"), _at("at", now=True), key=("hash",)
)

_tenant(
    "connection",
    _id(),
    _id("account_id"),
    _text("provider", null=False),
    _text("name", null=False),
    #: what is kept in agreement (base and table, workspace …); the same target twice is refused
    _text("target", null=False),
    _json("config"),
    _json("mapping", "[]"),
    Column("mapping_version", Integer, nullable=False, server_default=text("1")),
    _text("conflict_strategy", null=False, default="remote_wins"),
    Column("priority", Integer, nullable=False, server_default=text("100")),
    _json("create_policy"),
    Column("schedule_minutes", Integer, nullable=False, server_default=text("15")),
    _flag("auto_approve", False),
    #: whether changes here are written there
    _flag("pushes", False),
    _json("thresholds"),
    #: new (first plan not approved), active, paused, stopped
    _text("state", null=False, default="new"),
    _text("reason"),
    _at("next_run_at"),
    #: changes of leads below this transaction have been looked at
    _big("lead_xid"),
    _text("lease_owner"),
    _at("lease_until"),
    _big("lease_token"),
    _at("created_at", now=True),
    _at("deleted_at"),
    ForeignKeyConstraint(["account_id"], ["provider_account.id"]),
    CheckConstraint("state IN ('new', 'active', 'paused', 'stopped')", name="state"),
    Index(None, "account_id"),
    Index("connection_target_key", "workspace_id", "target", unique=True, postgresql_where=text("deleted_at IS NULL")),
)

_tenant(
    "campaign",
    _id(),
    _id("connection_id"),
    _text("remote_id", null=False),
    _text("name", null=False),
    Column("status", Integer),
    #: as its links carry it
    _text("namespace", null=False, default=""),
    #: the provider listed it then, and when it did not any more
    _at("seen_at", now=True),
    _at("gone_at"),
    #: the provider's counters as they were told last; null: it told none
    _json("counts", None),
    #: what `counts` was, and when, at the begin of the last scan that was complete
    _json("scanned_counts", None),
    _at("scanned_at"),
    #: the same for its statistics
    _json("analysed_counts", None),
    _at("analysed_at"),
    _to("connection", "connection_id"),
    UniqueConstraint("workspace_id", "connection_id", "remote_id"),
    Index(None, "workspace_id", "name", "id"),
)

#: What a campaign did on a day (UTC), as the provider counts it; unique counts count a lead once that day.
_tenant(
    "campaign_day",
    _id("campaign_id"),
    Column("day", Date, nullable=False),
    *(_big(name) for name in DAY_COUNTS),
    _at("updated_at", now=True),
    _to("campaign", "campaign_id"),
    key=("campaign_id", "day"),
)

#: What a campaign did in all its time, as the provider counts it; unique counts count a lead once.
_tenant(
    "campaign_overview", _id("campaign_id"), _json("counts"), _at("updated_at", now=True),
    _to("campaign", "campaign_id"), key=("campaign_id",),
)  # fmt: skip

#: Operator level: which workspace a campaign of a shared account belongs to.
Table(
    "campaign_assignment",
    metadata,
    _id("account_id"),
    _text("campaign_id", null=False),
    _id("workspace_id"),
    PrimaryKeyConstraint("account_id", "campaign_id"),
    ForeignKeyConstraint(["account_id"], ["provider_account.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
)

_tenant(
    "link",
    _id(),
    _id("connection_id"),
    _id("lead_id", null=True),
    _text("remote_key", null=False),
    _text("remote_id"),
    _flag("writing", True),
    _at("remote_created_at"),
    _text("namespace", null=False, default=""),
    #: raw values by lead field, as the newest observation showed them
    _json("observed"),
    _at("observed_at"),
    _at("modified_at"),
    _json("raw", None),
    Column("observed_version", Integer, nullable=False, server_default=text("1")),
    Column("mapping_version", Integer, nullable=False, server_default=text("1")),
    _json("base_remote"),
    _json("base_local"),
    _json("cells"),
    _json("counters"),
    _big("reconciled_version", -1),
    #: an observation, a decision or a mapping waits to be reconciled
    _flag("dirty", True),
    #: something is pending, in flight, or to be read again
    _flag("push_due", False),
    _flag("reread", False),
    _count("attempts"),
    _at("next_attempt_at"),
    _text("error"),
    #: the lead was deleted here; the record is left alone
    _at("ended_at"),
    #: the record is no longer there
    _at("gone_at"),
    _at("created_at", now=True),
    _to("connection", "connection_id"),
    _to("lead", "lead_id", set_null=True),
    UniqueConstraint("workspace_id", "connection_id", "remote_key"),
    Index(None, "workspace_id", "lead_id"),
    Index(None, "workspace_id", "connection_id", "remote_id"),
    # oldest remote record first: that is the order in which records of one person are judged
    Index(
        "link_dirty_idx",
        "workspace_id",
        "connection_id",
        "remote_created_at",
        "remote_key",
        postgresql_where=text("dirty"),
    ),
    Index("link_namespace_idx", "workspace_id", "connection_id", "namespace", postgresql_where=text("namespace <> ''")),
    Index("link_push_due_idx", "workspace_id", "connection_id", "id", postgresql_where=text("push_due")),
)

_tenant(
    "stream_cursor",
    _id("connection_id"),
    _text("stream", null=False),
    #: where the listing stands; null: at rest
    _json("position", None),
    #: changes at or after this instant (the provider's time) are still to be asked for
    _at("watermark"),
    #: when the listing under way began, and which sweep its ids belong to
    _json("progress"),
    _at("updated_at", now=True),
    _to("connection", "connection_id"),
    key=("connection_id", "stream"),
)

_tenant(
    # the record's id there: a key may hold an address
    "sweep_seen", _id("connection_id"), _text("remote_key", null=False),
    _to("connection", "connection_id"), key=("connection_id", "remote_key"),
)  # fmt: skip

_tenant(
    "sync_run",
    _id(),
    _id("connection_id", null=True),
    _id("parent_id", null=True),
    _text("kind", null=False),
    _text("trigger", null=False),
    _text("state", null=False, default="queued"),
    _text("stage"),
    _json("options"),
    _json("counters"),
    _json("progress"),
    _text("error"),
    _text("requested_by"),
    _at("created_at", now=True),
    _at("started_at"),
    _at("finished_at"),
    #: the transaction that changed it last; a trigger stamps it
    _big("xid"),
    _to("connection", "connection_id"),
    _to("sync_run", "parent_id"),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index(None, "workspace_id", "created_at", "id"),
    Index(None, "workspace_id", "xid", "id"),
    Index(
        "sync_run_open_idx", "workspace_id", "connection_id", postgresql_where=text("state IN ('queued', 'running')")
    ),
)

_tenant(
    "write_attempt",
    _id(),
    _id("connection_id"),
    _id("link_id", null=True),
    _id("lead_id", null=True),
    _id("run_id", null=True),
    _text("action", null=False),
    _json("cells"),
    #: sent, confirmed, uncertain, refused
    _text("outcome", null=False),
    _text("error"),
    _at("at", now=True),
    _to("connection", "connection_id"),
    _to("link", "link_id", set_null=True),
    Index(None, "workspace_id", "link_id"),
    Index(None, "workspace_id", "lead_id"),
)

#: What people ask to be changed in a lead's row at a mail-campaign provider.
_tenant(
    "outreach_request",
    _id(),
    _id("connection_id"),
    _id("link_id"),
    _id("lead_id"),
    #: remove, interest
    _text("kind", null=False),
    #: the interest wanted; null: none
    _text("interest"),
    #: queued, sent (or perhaps sent: the row is looked at), confirmed, failed
    _text("state", null=False, default="queued"),
    _count("attempts"),
    #: how often the row was looked at since it was sent
    _count("looks"),
    _at("next_attempt_at"),
    _text("error"),
    _text("requested_by", null=False),
    _at("created_at", now=True),
    _at("sent_at"),
    _at("finished_at"),
    _to("connection", "connection_id"),
    _to("link", "link_id"),
    _to("lead", "lead_id"),
    CheckConstraint("kind IN ('remove', 'interest')", name="kind"),
    CheckConstraint("state IN ('queued', 'sent', 'confirmed', 'failed')", name="state"),
    Index(None, "workspace_id", "link_id"),
    Index(None, "workspace_id", "lead_id"),
    Index(
        "outreach_request_open_idx", "workspace_id", "connection_id",
        postgresql_where=text("state IN ('queued', 'sent')"),
    ),
)  # fmt: skip

_tenant(
    "lead_change",
    _id(),
    _id("lead_id"),
    _big("version"),
    _text("source", null=False),
    _text("actor"),
    _id("run_id", null=True),
    _id("connection_id", null=True),
    #: field -> {old, new, rule, link, losers}
    _json("changes"),
    #: [{field, value, kept, reason, link}]
    _json("refused", "[]"),
    _at("at", now=True),
    _big("xid"),
    _to("lead", "lead_id"),
    Index(None, "workspace_id", "lead_id", "version"),
    Index(None, "workspace_id", "xid", "id"),
)

_tenant(
    "activity",
    _id(),
    _id("lead_id"),
    _text("kind", null=False),
    #: the event's own time
    _at("at", now=True),
    _text("actor"),
    _json("detail"),
    _text("dedupe_key", null=False),
    _at("created_at", now=True),
    _big("xid"),
    _to("lead", "lead_id"),
    UniqueConstraint("workspace_id", "lead_id", "dedupe_key"),
    Index(None, "workspace_id", "xid", "id"),
)

_tenant(
    "review_item",
    _id(),
    #: one of `reviews.KINDS`
    _text("kind", null=False),
    #: open, auto (decided by a strategy, can be re-decided), decided, closed
    _text("state", null=False, default="open"),
    _id("connection_id", null=True),
    _id("link_id", null=True),
    _id("lead_id", null=True),
    _text("field", null=False, default=""),
    _json("evidence"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _json("decision", None),
    _text("decided_by"),
    _at("created_at", now=True),
    _at("updated_at", now=True),
    _at("decided_at"),
    #: the transaction that changed it last; a trigger stamps it
    _big("xid"),
    _to("connection", "connection_id"),
    _to("link", "link_id"),
    _to("lead", "lead_id"),
    Index(None, "workspace_id", "xid", "id"),
    Index(
        "review_item_open_key", "workspace_id", "kind", "connection_id", "link_id", "lead_id", "field",
        unique=True, postgresql_where=text("state = 'open'"), postgresql_nulls_not_distinct=True,
    ),
    Index("review_item_queue_idx", "workspace_id", "state", "created_at", "id"),
    Index(None, "workspace_id", "lead_id", "field"),
    Index("review_item_link_idx", "workspace_id", "link_id", postgresql_where=text("link_id IS NOT NULL")),
    Index(
        "review_item_acknowledged_idx", "workspace_id", "kind", "field",
        postgresql_where=text("decision ? 'acknowledged'"),
    ),
)  # fmt: skip

#: Records of erased people that are yet to be deleted at a provider: their ids alone, and only until then.
_tenant(
    "remote_erasure", _id("connection_id"), _text("remote_id", null=False), _at("next_attempt_at"),
    _at("created_at", now=True), _to("connection", "connection_id"), key=("connection_id", "remote_id"),
)  # fmt: skip

_tenant(
    "quota_use", _id("connection_id"), Column("month", Date, nullable=False), _big("calls"),
    _to("connection", "connection_id"), key=("connection_id", "month"),
)  # fmt: skip

_tenant(
    "idempotency_key", _text("key", null=False), Column("body_hash", LargeBinary, nullable=False),
    Column("status", Integer), Column("answer", LargeBinary), _json("headers"), _at("created_at", now=True),
    key=("key",),
)  # fmt: skip

_tenant(
    "audit", _id(), _text("actor", null=False), _text("action", null=False), _json("detail"), _at("at", now=True),
    #: its transaction; a trigger stamps it
    _big("xid"),
    Index(None, "workspace_id", "at"),
    Index("audit_erased_idx", "workspace_id", "xid", "id", postgresql_where=text("action = 'lead.erased'")),
)  # fmt: skip

#: The inbox. A delivery has no workspace before it is routed, so its key is its id alone.
Table(
    "webhook_delivery",
    metadata,
    _id(),
    _id("account_id", null=True),
    _id("workspace_id", null=True),
    #: the campaign in the address it came to, as it was written
    _text("path"),
    _at("received_at", now=True),
    #: webhook, log (the provider's delivery log), mail (a poll of its e-mails)
    _text("via", null=False, default="webhook"),
    #: some of its headers, none of which is a secret
    _json("headers"),
    #: as it came; null: forgotten after its time, or erased
    Column("body", LargeBinary),
    #: sha256 of the account, the campaign and what it says
    Column("dedupe_key", LargeBinary, nullable=False),
    #: the provider's id of the campaign
    _text("campaign_id"),
    _text("event_type"),
    #: keyed hash of the address it is about
    Column("email_hash", LargeBinary),
    #: received (to be applied), applied, ignored (nothing to do), parked (waits for its lead or a person), unrouted (no
    #: workspace yet), failed
    _text("state", null=False, default="received"),
    _text("reason"),
    _count("attempts"),
    _at("next_attempt_at"),
    _at("applied_at"),
    _id("lead_id", null=True),
    #: the day (UTC) on which the provider's own log has it
    Column("logged_on", Date),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("dedupe_key"),
    ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE"),
    _to("lead", "lead_id", set_null=True),
    CheckConstraint("via IN ('webhook', 'log', 'mail')", name="via"),
    CheckConstraint(
        "state IN ('received', 'applied', 'ignored', 'parked', 'unrouted', 'failed')"
        " AND (state = 'unrouted') = (workspace_id IS NULL)",
        name="state",
    ),
    Index("webhook_delivery_list_idx", "workspace_id", "received_at", "id"),
    Index(
        "webhook_delivery_due_idx", "workspace_id", "received_at", "id", postgresql_where=text("state = 'received'")
    ),
    Index("webhook_delivery_parked_idx", "workspace_id", "email_hash", postgresql_where=text("state = 'parked'")),
    Index(
        "webhook_delivery_again_idx", "workspace_id", "next_attempt_at",
        postgresql_where=text("state = 'parked' AND next_attempt_at IS NOT NULL"),
    ),
    Index("webhook_delivery_unrouted_idx", "account_id", "campaign_id", postgresql_where=text("state = 'unrouted'")),
    Index("webhook_delivery_lead_idx", "workspace_id", "lead_id", postgresql_where=text("lead_id IS NOT NULL")),
    Index(
        "webhook_delivery_kept_idx", "workspace_id", "received_at",
        postgresql_where=text("body IS NOT NULL AND state IN ('applied', 'ignored')"),
    ),
    Index(
        "webhook_delivery_logged_idx", "workspace_id", "logged_on", postgresql_where=text("logged_on IS NOT NULL")
    ),
)  # fmt: skip


def _account(name: str, *parts: Any, key: tuple[str, ...] = ()) -> Table:
    """A table of what concerns an account; the workspaces that use it see it."""
    return Table(
        name,
        metadata,
        _id("account_id"),
        *parts,
        PrimaryKeyConstraint("account_id", *key),
        ForeignKeyConstraint(["account_id"], ["provider_account.id"], ondelete="CASCADE"),
    )


#: How an account's webhook fares, and how far its mails and its delivery log were read.
_account(
    "account_watch",
    #: unknown, unset (nobody said where deliveries can go), active, disabled (by the provider), refused (by the key's
    #: scopes or the plan)
    _text("hook", null=False, default="unknown"),
    _text("hook_error"),
    #: registered since, and seen to be active last
    _at("hook_since"),
    _at("hook_seen_at"),
    _at("hook_looked_at"),
    #: mails that arrived from then on are still to be asked for; where the listing stands (null: at rest)
    _at("mails_since"),
    _json("mails_position", None),
    _text("mails_error"),
    _at("mails_looked_at"),
    _at("log_looked_at"),
    CheckConstraint("hook IN ('unknown', 'unset', 'active', 'disabled', 'refused')", name="hook"),
)

#: When nothing was delivered to an account's webhook.
_account(
    "hook_gap",
    Column("began_at", DateTime(timezone=True), nullable=False),
    _at("ended_at"),
    _text("why", null=False),
    #: the provider's log was seen to go on meanwhile, so nothing of it is unknown
    _flag("is_logged", False),
    key=("began_at",),
)

#: What the provider's log of a day (UTC) was found to hold.
_account(
    "log_day",
    Column("day", Date, nullable=False),
    #: attempts of all webhooks of the account, and those that failed: whether there is anything new
    _count("total"),
    _count("failed"),
    #: deliveries that failed and that the log no longer has the content of
    _count("lost"),
    _at("lost_from"),
    _at("lost_to"),
    _text("error"),
    _at("checked_at", now=True),
    key=("day",),
)

#: Rows of these tables belong to no single workspace; the app role meets them through grants alone.
OPERATOR_TABLES = frozenset({
    "workspace", "provider_account", "rate_bucket", "campaign_assignment", "alembic_version", "account_watch",
    "hook_gap", "log_day", "secret_key_check",
})  # fmt: skip
#: Rows here are written once.
APPEND_ONLY = frozenset({"lead_change", "audit", "erasure_ledger"})
