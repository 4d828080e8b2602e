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
    #: what it is, for whoever reads a lead
    note: str
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


def _group(group: str, reason: str, fields: dict[str, tuple[Kind, str]], **rules: Rule | Access | bool) -> list[Field]:
    return [
        Field(name=name, kind=kind, note=note, group=group, reason=reason, **rules)  # type: ignore[arg-type]
        for name, (kind, note) in fields.items()
    ]


_FILLED = {"airtable": Rule.AUTHORITY, "instantly": Rule.FILL, "imports": Rule.FILL}
_OWN = "a person moved it on purpose; tools only fill what is empty"

FIELDS: Final[dict[str, Field]] = {
    field.name: field
    for field in (
        *_group(
            "e-mail",
            "it identifies the lead: a tool never changes it, a collision is held",
            {"email": ("email", "The address that its mails go to")},
            airtable=Rule.AUTHORITY,
            instantly=Rule.IDENTITY,
            imports=Rule.IDENTITY,
        ),
        *_group(
            "name and company",
            _OWN,
            {
                "full_name": ("name", "The whole name; it and its parts are made from each other where a lead is new"),
                "first_name": ("name", "The given name"),
                "last_name": ("name", "The family name with what stands before it, such as `de Vries`"),
                "company_name": ("text", "The company"),
                "company_domain": ("domain", "The company's domain, without `www.`"),
                "personalization": ("text", "A sentence for this lead alone, which mails may begin with"),
            },
            **_FILLED,
        ),
        *_group(
            "profile",
            _OWN,
            {
                "title": ("text", "The job title"),
                "location": ("text", "City, region or country"),
                "industry": ("text", "The company's industry"),
                "company_size": ("text", "How many people work there, mostly a range such as `11-50`"),
                "company_website": ("url", "The company's website"),
                "verified": ("boolean", "Whether somebody checked that the address works"),
                "enriched": ("boolean", "Whether facts were looked up for it"),
                "needs_enrichment": ("boolean", "Whether facts are yet to be looked up for it"),
                "source": ("text", "Where the lead was found, such as a fair or a list"),
                "platform": ("text", "The platform it was found on"),
                "scraped_at": ("instant", "When it was found there"),
                "enriched_at": ("instant", "When facts were last looked up for it"),
                "phone": (
                    "phone",
                    "The number as E.164, `;ext=` before an extension; text that is no number stays as it is",
                ),
            },
            **_FILLED,
        ),
        *_group(
            "LinkedIn",
            "it identifies the lead and is typed by people; Instantly never touches it",
            {"linkedin_url": ("linkedin", "The LinkedIn page")},
            airtable=Rule.AUTHORITY,
            imports=Rule.FILL,
        ),
        *_group(
            "notes",
            "entries are only ever added; an edit keeps the old text in the history",
            {"notes": ("notes", "All notes, one below the other; adding one has an address of its own")},
            airtable=Rule.APPEND,
            imports=Rule.APPEND,
            clears=False,
        ),
        *_group(
            "deal",
            "what a salesperson plans is theirs; Airtable has a say only where a column is mapped",
            {
                "deal_value": ("number", "What the deal may bring, in the currency the team counts in"),
                "next_action": ("text", "What is to be done next"),
                "next_action_date": ("date", "The day it is to be done"),
            },
            airtable=Rule.AUTHORITY,
        ),
        *_group(
            "claim",
            "both fields move together; who works a lead is decided by people",
            {
                "claimed_by": ("email", "Who works the lead, an e-mail address; null: nobody"),
                "claimed_at": ("instant", "Since when"),
            },
            airtable=Rule.AUTHORITY,
        ),
        *_group(
            "status",
            "people move it any way; sync only climbs the ladder",
            {"status": ("status", "Its place in the funnel")},
            airtable=Rule.AUTHORITY,
            instantly=Rule.LADDER,
            event=Rule.LADDER,
            imports=Rule.SET_ONCE,
            clears=False,
        ),
        *_group(
            "positive reply",
            "the last event by its own time decides; at equal times the negative one",
            {
                "is_positive_reply": (
                    "boolean",
                    "Whether its answer was positive; null: it has not answered, or nobody judged",
                )
            },
            airtable=Rule.AUTHORITY,
            instantly=Rule.EVENT_TIME,
            event=Rule.EVENT_TIME,
            clears=False,
        ),
        *_group(
            "counters",
            "sums over campaigns that only grow; an event may come twice, so events never count",
            {
                "email_open_count": ("integer", "Opens of its mails"),
                "email_click_count": ("integer", "Clicks in its mails"),
                "email_reply_count": ("integer", "Its answers"),
            },
            user="read-only",
            instantly=Rule.COUNTER,
            clears=False,
        ),
        *_group(
            "last contact",
            "the newest known",
            {"last_contacted_at": ("instant", "When it was last written to")},
            user="read-only",
            airtable=Rule.NEWEST,
            instantly=Rule.NEWEST,
            event=Rule.NEWEST,
            imports=Rule.NEWEST,
        ),
        *_group(
            "first seen in Instantly",
            "the oldest known",
            {"instantly_created_at": ("instant", "When Instantly first had it")},
            user="read-only",
            instantly=Rule.OLDEST,
        ),
        *_group(
            "last step",
            "replaced by a later step, by the step's own time",
            {
                "last_step_info": (
                    "object",
                    "The last step of a campaign it was sent: when, which one, and which variant",
                )
            },
            user="read-only",
            instantly=Rule.REPLACE,
            event=Rule.REPLACE,
        ),
        *_group(
            "delivery",
            "replied over bounced over emailed over not yet emailed",
            {"delivery_status": ("delivery", "What became of its mails; null: it is in no mail campaign")},
            user="read-only",
            instantly=Rule.LADDER,
            event=Rule.LADDER,
        ),
        *_group(
            "sender account",
            "the mailbox that wrote last, kept for reply routing",
            {"sender_account": ("text", "Our mailbox that wrote to it last")},
            user="read-only",
            instantly=Rule.REPLACE,
            event=Rule.REPLACE,
        ),
        *_group(
            "portal campaigns",
            "kept in Airtable; both sides add and remove",
            {"campaigns": ("set", "Names of the campaigns it is in; mail campaigns at Instantly are among its links")},
            airtable=Rule.SET,
        ),
        *_group(
            "SMS",
            "another tool counts them in Airtable",
            {
                "sms_sent_count": ("integer", "SMS that were sent to it"),
                "processing_status": ("text", "How far the SMS tool is with it"),
            },
            user="read-only",
            airtable=Rule.REPLACE,
        ),
        *_group(
            "metadata",
            "merged key by key below the campaign it came from; no sync removes a key",
            {"metadata": ("object", "What providers tell of it beyond its fields, by campaign")},
            airtable=Rule.DEEP_MERGE,
            instantly=Rule.DEEP_MERGE,
            imports=Rule.DEEP_MERGE,
        ),
    )
}

CUSTOM: Final = Field(
    name="custom.*",
    kind="any",
    note="columns nobody foresaw, by key",
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
