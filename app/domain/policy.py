"""The policy as data: one row per lead field, saying which rule a value from each source meets, and why.

Changing who owns a field is a change of one line here. A lead's columns and the README's table are made from these
rows. The rules are explained in `merge.py` (fields that go both ways) and `rules.py` (fields
that only come in).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal


class Rule(StrEnum):
    """How a field's value is chosen when a source says something new."""

    IDENTITY = "identity"
    SET_ONCE = "set_once"
    FILL = "fill_if_empty"
    NEWEST = "newest"
    OLDEST = "oldest"
    REPLACE = "replace"
    COUNTER = "counter"
    DEEP_MERGE = "deep_merge"
    SET = "set"
    LADDER = "ladder"
    EVENT_TIME = "event_time"
    APPEND = "append"
    AUTHORITY = "authority"
    LOCAL_ONLY = "local_only"


class Source(StrEnum):
    """Where a value comes from."""

    USER = "user"
    AIRTABLE = "airtable"
    INSTANTLY = "instantly"
    EVENT = "instantly_event"
    IMPORT = "import"


Kind = Literal[
    "text", "name", "email", "phone", "linkedin", "url", "domain", "instant", "date", "boolean", "integer", "number",
    "status", "delivery", "set", "object", "notes", "any",
]  # fmt: skip
Access = Literal["read-write", "read-only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The policy of one lead field."""

    name: str
    #: the canonical form of its values
    kind: Kind
    group: str
    #: what a person may do through REST
    user: Access = "read-write"
    airtable: Rule = Rule.LOCAL_ONLY
    instantly: Rule = Rule.LOCAL_ONLY
    event: Rule = Rule.LOCAL_ONLY
    imports: Rule = Rule.LOCAL_ONLY
    #: whether a person or an authority may leave it empty on purpose (and sync then keeps it empty)
    clears: bool = True
    reason: str

    def rule(self, source: Source) -> Rule:
        """Returns the rule a value from `source` meets."""
        match source:
            case Source.AIRTABLE:
                return self.airtable
            case Source.INSTANTLY:
                return self.instantly
            case Source.EVENT:
                return self.event
            case Source.IMPORT:
                return self.imports
        return Rule.AUTHORITY  # a person


def _group(group: str, reason: str, kinds: dict[str, Kind], **rules: Rule | Access | bool) -> list[Field]:
    return [Field(name=name, kind=kind, group=group, reason=reason, **rules) for name, kind in kinds.items()]  # type: ignore[arg-type]


_FILLED = {"airtable": Rule.AUTHORITY, "instantly": Rule.FILL, "imports": Rule.FILL}
_OWN = "a person moved it on purpose; tools only fill what is empty"

FIELDS: Final[dict[str, Field]] = {
    field.name: field
    for field in (
        *_group(
            "e-mail",
            "it identifies the lead: a tool never changes it, a collision is held",
            {"email": "email"},
            airtable=Rule.AUTHORITY,
            instantly=Rule.IDENTITY,
            imports=Rule.IDENTITY,
        ),
        *_group(
            "name and company",
            _OWN,
            {
                "full_name": "name",
                "first_name": "name",
                "last_name": "name",
                "company_name": "text",
                "company_domain": "domain",
                "personalization": "text",
            },
            **_FILLED,
        ),
        *_group(
            "profile",
            _OWN,
            {
                "title": "text",
                "location": "text",
                "industry": "text",
                "company_size": "text",
                "company_website": "url",
                "verified": "boolean",
                "enriched": "boolean",
                "needs_enrichment": "boolean",
                "source": "text",
                "platform": "text",
                "scraped_at": "instant",
                "enriched_at": "instant",
                "phone": "phone",
            },
            **_FILLED,
        ),
        *_group(
            "LinkedIn",
            "it identifies the lead and is typed by people; Instantly never touches it",
            {"linkedin_url": "linkedin"},
            airtable=Rule.AUTHORITY,
            imports=Rule.FILL,
        ),
        *_group(
            "notes",
            "entries are only ever added; an edit keeps the old text in the history",
            {"notes": "notes"},
            airtable=Rule.APPEND,
            imports=Rule.APPEND,
            clears=False,
        ),
        *_group(
            "deal",
            "what a salesperson plans is theirs; Airtable has a say only where a column is mapped",
            {"deal_value": "number", "next_action": "text", "next_action_date": "date"},
            airtable=Rule.AUTHORITY,
        ),
        *_group(
            "claim",
            "both fields move together; who works a lead is decided by people",
            {"claimed_by": "email", "claimed_at": "instant"},
            airtable=Rule.AUTHORITY,
        ),
        *_group(
            "status",
            "people move it any way; sync only climbs the ladder",
            {"status": "status"},
            airtable=Rule.AUTHORITY,
            instantly=Rule.LADDER,
            event=Rule.LADDER,
            imports=Rule.SET_ONCE,
            clears=False,
        ),
        *_group(
            "positive reply",
            "the last event by its own time decides; at equal times the negative one",
            {"is_positive_reply": "boolean"},
            airtable=Rule.AUTHORITY,
            instantly=Rule.EVENT_TIME,
            event=Rule.EVENT_TIME,
            clears=False,
        ),
        *_group(
            "counters",
            "sums over campaigns that only grow; an event may come twice, so events never count",
            {"email_open_count": "integer", "email_click_count": "integer", "email_reply_count": "integer"},
            user="read-only",
            instantly=Rule.COUNTER,
            clears=False,
        ),
        *_group(
            "last contact",
            "the newest known",
            {"last_contacted_at": "instant"},
            user="read-only",
            airtable=Rule.NEWEST,
            instantly=Rule.NEWEST,
            event=Rule.NEWEST,
            imports=Rule.NEWEST,
        ),
        *_group(
            "first seen in Instantly",
            "the oldest known",
            {"instantly_created_at": "instant"},
            user="read-only",
            instantly=Rule.OLDEST,
        ),
        *_group(
            "last step",
            "replaced by a later step, by the step's own time",
            {"last_step_info": "object"},
            user="read-only",
            instantly=Rule.REPLACE,
            event=Rule.REPLACE,
        ),
        *_group(
            "delivery",
            "replied over bounced over emailed over not yet emailed",
            {"delivery_status": "delivery"},
            user="read-only",
            instantly=Rule.LADDER,
            event=Rule.LADDER,
        ),
        *_group(
            "sender account",
            "the mailbox that wrote last, kept for reply routing",
            {"sender_account": "text"},
            user="read-only",
            instantly=Rule.REPLACE,
            event=Rule.REPLACE,
        ),
        *_group(
            "portal campaigns",
            "kept in Airtable; both sides add and remove",
            {"campaigns": "set"},
            airtable=Rule.SET,
        ),
        *_group(
            "SMS",
            "another tool counts them in Airtable",
            {"sms_sent_count": "integer", "processing_status": "text"},
            user="read-only",
            airtable=Rule.REPLACE,
        ),
        *_group(
            "metadata",
            "merged key by key below the campaign it came from; no sync removes a key",
            {"metadata": "object"},
            airtable=Rule.DEEP_MERGE,
            instantly=Rule.DEEP_MERGE,
            imports=Rule.DEEP_MERGE,
        ),
    )
}

CUSTOM: Final = Field(
    name="custom.*",
    kind="any",
    group="custom",
    airtable=Rule.DEEP_MERGE,
    instantly=Rule.DEEP_MERGE,
    imports=Rule.DEEP_MERGE,
    reason="columns nobody foresaw; merged key by key, no sync removes a key",
)

#: What a lead holds before anybody said anything.
DEFAULTS: Final[dict[str, object]] = {
    "status": "new",
    "needs_enrichment": True,
    "verified": False,
    "enriched": False,
    "email_open_count": 0,
    "email_click_count": 0,
    "email_reply_count": 0,
}
NAMES: Final = ("full_name", "first_name", "last_name")
COUNTERS: Final = tuple(f.name for f in FIELDS.values() if f.instantly is Rule.COUNTER)
WRITABLE: Final = frozenset(f.name for f in FIELDS.values() if f.user == "read-write")


@lru_cache(maxsize=4096)
def field(name: str) -> Field:
    """Returns the policy row of a lead field or of a `custom.<key>`; raises KeyError for anything else."""
    if name in FIELDS:
        return FIELDS[name]
    prefix, dot, key = name.partition(".")
    if prefix == "custom" and dot and key:
        return CUSTOM
    raise KeyError(name)
