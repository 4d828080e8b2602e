"""What an Instantly lead object says about a lead, in canonical values. Tables first, then the reading.

Instantly omits nulls, so absent is empty; a field it always sends and did not, or one in a shape nobody knows, is
MISSING and its key is left out. What is derived from several fields (status, delivery) is left out as well where a
field that could have said more is missing. Interest codes are no rank: 0 (out of office) and -4 (no show) say nothing
about the funnel, custom labels neither.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal

from app.domain import normalize
from app.domain.ladder import DELIVERY_LADDER, rank
from app.domain.normalize import Unreadable
from app.domain.values import JSON

#: Instantly's interest codes by the names they have here.
INTERESTS: Final[Mapping[str, int]] = {
    "out_of_office": 0,
    "interested": 1,
    "meeting_booked": 2,
    "meeting_completed": 3,
    "won": 4,
    "not_interested": -1,
    "wrong_person": -2,
    "lost": -3,
    "no_show": -4,
}
#: What an interest code says about the funnel.
INTEREST_STATUS: Final[Mapping[int, str]] = {
    1: "replied",  # interested
    2: "booked",  # meeting booked
    3: "booked",  # meeting completed
    4: "won",
    -1: "not_interested",
    -3: "lost",
}
#: Interest codes of a positive and of a negative reply.
POSITIVE: Final = frozenset({1, 2, 3, 4})
NEGATIVE: Final = frozenset({-1, -2})

#: Campaign status codes in words; a code nobody knows is `unknown`.
CAMPAIGN_STATUS: Final[Mapping[int, str]] = {
    0: "draft",
    1: "active",
    2: "paused",
    3: "completed",
    4: "running_subsequences",
    -1: "accounts_unhealthy",
    -2: "bounce_protect",
    -99: "account_suspended",
}

#: Lead status codes that forbid further mail.
SUPPRESSED: Final[Mapping[int, Literal["bounced", "unsubscribed"]]] = {-1: "bounced", -2: "unsubscribed"}

#: Fields every lead object carries; without them it says nothing about what they hold.
ALWAYS_PRESENT: Final = frozenset(
    {"timestamp_created", "status", "company_domain", "email_open_count", "email_click_count", "email_reply_count"}
)

#: What the funnel learns from a counter above zero or from a time.
_SIGNALS: Final[Mapping[str, tuple[str, str | None]]] = {
    "contacted": ("timestamp_last_contact", None),
    "opened": ("timestamp_last_open", "email_open_count"),
    "clicked": ("timestamp_last_click", "email_click_count"),
    "replied": ("timestamp_last_reply", "email_reply_count"),
}

#: Lead field -> names people give the custom variable, in English and Dutch; case, spaces and signs do not matter.
ICP_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "title": (
        "job title", "title", "job", "role", "position", "job role", "job position", "function", "function title",
        "functie", "functietitel", "functieomschrijving", "functiebenaming", "functienaam", "rol", "positie", "beroep",
    ),
    "industry": (
        "industry", "industry name", "company industry", "company sector", "sector", "branch", "vertical",
        "business type", "branche", "bedrijfsbranche", "bedrijfstak", "industrie", "sector naam", "bedrijfssector",
    ),
    "location": (
        "location", "city", "town", "place", "region", "province", "person location", "company location",
        "company city", "company country", "country", "locatie", "plaats", "plaatsnaam", "stad", "woonplaats",
        "vestigingsplaats", "gemeente", "regio", "provincie", "land",
    ),
    "company_size": (
        "company size", "size", "employees", "employee count", "employee range", "number of employees",
        "no of employees", "num employees", "headcount", "company headcount", "company employees", "staff",
        "team size", "bedrijfsgrootte", "bedrijfsomvang", "grootte", "aantal medewerkers", "medewerkers",
        "aantal werknemers", "werknemers", "personeel", "personeelsomvang", "aantal personeelsleden", "fte",
        "aantal fte",
    ),
}  # fmt: skip

#: Keys of `payload` that repeat fields of the lead object; the others are custom variables.
STANDARD_KEYS: Final = frozenset(
    {
        "email", "firstName", "lastName", "companyName", "companyDomain", "jobTitle", "phone", "website",
        "personalization",
    }
)  # fmt: skip

_PLAIN: Final[Mapping[str, tuple[str, Callable[[object], JSON]]]] = {
    "email": ("email", normalize.email),
    "first_name": ("first_name", normalize.text),
    "last_name": ("last_name", normalize.text),
    "company_name": ("company_name", normalize.text),
    "company_domain": ("company_domain", normalize.domain),
    "company_website": ("website", normalize.url),
    "phone": ("phone", normalize.phone),
    "personalization": ("personalization", normalize.text),
    "email_open_count": ("email_open_count", normalize.integer),
    "email_click_count": ("email_click_count", normalize.integer),
    "email_reply_count": ("email_reply_count", normalize.integer),
    "last_contacted_at": ("timestamp_last_contact", normalize.instant),
    "instantly_created_at": ("timestamp_created", normalize.instant),
}
_COUNTERS: Final = ("email_open_count", "email_click_count", "email_reply_count")


def observe(raw: Mapping[str, JSON]) -> dict[str, JSON]:
    """Returns what a lead object of the REST API shows, by lead field; a field that is not shown has no key."""
    seen: dict[str, JSON] = {}
    for field, (key, read) in _PLAIN.items():
        if raw.get(key) is not None or key not in ALWAYS_PRESENT:
            _put(seen, field, raw.get(key), read)
    for counter in _COUNTERS:
        count = seen.pop(counter, None)
        if count is not None and count >= 0:
            seen[counter] = count
    _put(seen, "last_step_info", raw, _last_step)
    _read_payload(seen, raw)
    _read_status(seen, raw)
    return seen


def suppression(raw: Mapping[str, JSON]) -> Literal["unsubscribed", "bounced"] | None:
    """Says why this address must not be mailed, if the lead object says so."""
    return SUPPRESSED.get(_code(raw.get("status")) or 0)


def namespace(campaign_id: str) -> str:
    """Names a campaign without naming Instantly's id, which clients never see."""
    return "instantly:" + hashlib.sha256(campaign_id.encode()).hexdigest()[:12]


def _put(seen: dict[str, JSON], field: str, raw: object, read: Callable[..., JSON]) -> None:
    try:
        seen[field] = read(raw)
    except Unreadable:
        return


def _code(raw: JSON) -> int | None:
    try:
        return normalize.integer(raw)
    except Unreadable:
        return None


def _time(raw: JSON) -> str | None:
    try:
        return normalize.instant(raw)
    except Unreadable:
        return None


def _read_payload(seen: dict[str, JSON], raw: Mapping[str, JSON]) -> None:
    payload = raw.get("payload") or {}
    if not isinstance(payload, Mapping):
        _put(seen, "title", raw.get("job_title"), normalize.text)
        return
    variables = {key: value for key, value in payload.items() if key not in STANDARD_KEYS}
    seen["metadata"] = variables
    seen |= dict.fromkeys(ICP_NAMES)
    known = [(place, key) for key in variables if (place := _ICP_PLACES.get(_spelling(str(key))))]
    for (field, _), key in sorted(known):
        seen[field] = seen[field] or _first_text([variables[key]])
    seen["title"] = _first_text((raw.get("job_title"), payload.get("jobTitle"))) or seen["title"]


def _first_text(candidates: Iterable[JSON]) -> str | None:
    for candidate in candidates:
        try:
            value = normalize.text(candidate)
        except Unreadable:
            continue
        if value is not None:
            return value
    return None


def _last_step(raw: Mapping[str, JSON]) -> JSON:
    """Is the newest of the three places that tell the last step; Instantly fills now this one, now that one."""
    summary, subsequence = _object(raw.get("status_summary")), _object(raw.get("status_summary_subseq"))
    step = _object(summary.get("lastStep"))
    told = (
        (raw.get("last_step_id"), raw.get("last_step_from"), raw.get("last_step_timestamp_executed")),
        (step.get("stepID"), step.get("from"), step.get("timestamp_executed")),
        (subsequence.get("stepID"), subsequence.get("from"), subsequence.get("timestampExecuted")),
    )
    steps = [
        {"step_id": _named(_first_text([step_id])), "from": _first_text([origin]), "at": _time(at)}
        for step_id, origin, at in told
    ]
    newest = max(steps, key=lambda s: (s["at"] or "", s["step_id"] is not None))
    return newest if newest["step_id"] or newest["at"] else None


def _named(step_id: str | None) -> str | None:
    """Tells steps apart without naming Instantly's id."""
    return None if step_id is None else hashlib.sha256(step_id.encode()).hexdigest()[:12]


def _object(raw: JSON) -> Mapping[str, JSON]:
    return raw if isinstance(raw, Mapping) else {}


def _read_status(seen: dict[str, JSON], raw: Mapping[str, JSON]) -> None:
    interest = _code(raw.get("lt_interest_status"))
    reached = {
        status
        for status, (time, counter) in _SIGNALS.items()
        if _time(raw.get(time)) or (counter and seen.get(counter, 0) > 0)
    }
    claimed = INTEREST_STATUS.get(interest) if interest is not None else None
    funnel = reached | {claimed} if claimed else reached
    is_complete = _code(raw.get("status")) is not None and all(counter in seen for counter in _COUNTERS)
    if funnel or is_complete:
        seen["status"] = max(funnel, key=rank, default=None)
    delivery = _delivery(reached, is_bounced=suppression(raw) == "bounced")
    if is_complete or delivery == DELIVERY_LADDER[-1]:
        seen["delivery_status"] = delivery
    if interest in POSITIVE or interest in NEGATIVE:
        at = _time(raw.get("timestamp_last_interest_change"))
        seen["is_positive_reply"] = {"value": interest in POSITIVE, "at": at}


def _delivery(reached: set[str], *, is_bounced: bool) -> str:
    if "replied" in reached:
        return "replied"
    if is_bounced:
        return "bounced"
    return "emailed" if reached else "not_yet_emailed"


_NOT_NAME: Final = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def _spelling(name: str) -> str:
    return _NOT_NAME.sub("", name.casefold())


#: The spelling of a name -> its field, and its place among the field's names.
_ICP_PLACES: Final = {
    _spelling(name): (field, place) for field, names in ICP_NAMES.items() for place, name in enumerate(names)
}
