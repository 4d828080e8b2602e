"""The numbers of campaigns, counted from what happened, and corrected afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from app.sandbox.instantly.deeds import Deed, Kind
from app.sandbox.instantly.records import Campaign, Json
from app.sandbox.instantly.workspace import Refused, Workspace

#: column of a day -> counter of a total, for corrections
_TOTALS = {
    "sent": "emails_sent_count",
    "contacted": "contacted_count",
    "new_leads_contacted": "new_leads_contacted_count",
    "opened": "open_count",
    "unique_opened": "open_count_unique",
    "replies": "reply_count",
    "unique_replies": "reply_count_unique",
    "replies_automatic": "reply_count_automatic",
    "unique_replies_automatic": "reply_count_automatic_unique",
    "clicks": "link_click_count",
    "unique_clicks": "link_click_count_unique",
    "opportunities": "",
    "unique_opportunities": "total_opportunities",
}
DAY_COLUMNS = tuple(_TOTALS)
_INTERESTS = {"total_interested": 1, "total_meeting_booked": 2, "total_meeting_completed": 3, "total_closed": 4}


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` to before `end`; None is open. A date alone is its midnight, so an end date shuts its day out."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at < self.end)


@dataclass(slots=True)
class _Tally:
    """How often, to how many leads, and to how many leads per step, by kind."""

    times: dict[Kind, int] = field(default_factory=lambda: defaultdict(int))
    leads: dict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))
    steps: dict[Kind, set[tuple[str, int | None]]] = field(default_factory=lambda: defaultdict(set))
    firsts: dict[Kind, int] = field(default_factory=lambda: defaultdict(int))
    #: (lead, interest) in order
    interests: list[tuple[str, int]] = field(default_factory=list)

    def add(self, deeds: Iterable[Deed]) -> _Tally:
        for deed in deeds:
            self.times[deed.kind] += 1
            self.leads[deed.kind].add(deed.lead)
            self.steps[deed.kind].add((deed.lead, deed.step))
            self.firsts[deed.kind] += deed.is_first
            if deed.kind == "labelled" and deed.value is not None:
                self.interests.append((deed.lead, deed.value))
        return self


class Analytics:
    """Everything that ever happened in the campaigns of a workspace; a deleted lead stays counted."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._deeds: dict[str, list[Deed]] = defaultdict(list)
        #: (campaign, day) -> column -> what a correction added
        self._corrections: dict[tuple[str, date], dict[str, int]] = {}
        self._labelled: dict[tuple[str, str], datetime] = {}
        self._whole: dict[str, tuple[int, _Tally]] = {}
        workspace.watchers.append(self._record)

    def _record(self, deed: Deed) -> None:
        if not deed.lead:
            return
        if deed.kind == "labelled":
            before = self._labelled.get((deed.campaign, deed.lead))
            self._labelled[deed.campaign, deed.lead] = deed.at
            window = timedelta(seconds=self._workspace.switches.interest_window)
            if before is not None and abs(deed.at - before) < window:
                return
        self._deeds[deed.campaign].append(deed)

    def correct(self, campaign_id: str, day: date, **columns: int) -> None:
        """Sets columns of a day, as Instantly does when it recounts; the totals move with it."""
        if campaign_id not in self._workspace.campaigns:
            raise Refused("Campaign not found")
        if unknown := sorted(columns.keys() - set(DAY_COLUMNS)):
            raise Refused(f"A day has no column {unknown[0]!r}; there are {', '.join(DAY_COLUMNS)}")
        counted = self._count_day([campaign_id], day, self._by_day([campaign_id], Range())[day])
        added = self._corrections.setdefault((campaign_id, day), {})
        for column, value in columns.items():
            added[column] = added.get(column, 0) + value - counted[column]

    def campaign(self, campaign: Campaign, asked: Range, *, with_leads: bool = True) -> Json:
        """Returns the row of `GET /campaigns/analytics`."""
        counted = self._totals([campaign.id], asked)
        if self._workspace.switches.open_count_is_leads:
            counted["open_count"] = counted["open_count_unique"]
        named = {
            "campaign_id": campaign.id,
            "campaign_name": campaign.name,
            "campaign_status": campaign.status,
            "campaign_is_evergreen": False,
        }
        size = len(self._workspace.shelf_of(campaign.id).ids)
        return named | ({"leads_count": size} if with_leads else {}) | counted

    def overview(self, campaign_ids: Sequence[str], asked: Range, *, expand: bool = False) -> Json:
        """Returns the object of `GET /campaigns/analytics/overview`."""
        interests = self._tally(campaign_ids, asked).interests
        if not expand and self._workspace.switches.first_event_of == "contact":
            interests = list({lead: (lead, value) for lead, value in reversed(interests)}.values())
        if not expand:
            interests = list(dict.fromkeys(interests))
        shown = {name: sum(1 for _, v in interests if v == value) for name, value in _INTERESTS.items()}
        if expand:
            shown["total_opportunities"] = sum(1 for _, value in interests if value > 0)
        return self._totals(campaign_ids, asked) | shown

    def daily(self, campaign_ids: Sequence[str], asked: Range) -> list[Json]:
        """Returns the rows of `GET /campaigns/analytics/daily`, by date."""
        days = self._by_day(campaign_ids, asked)
        for campaign_id, day in self._corrections:
            if campaign_id in campaign_ids and asked.holds(_midnight(day)):
                days.setdefault(day, [])
        if days and self._workspace.switches.rows_of_quiet_days:
            first, last = min(days), max(days)
            for number in range((last - first).days):
                days.setdefault(first + timedelta(days=number), [])
        return [
            {"date": day.isoformat(), **self._count_day(campaign_ids, day, deeds)}
            for day, deeds in sorted(days.items())
        ]

    def steps(self, campaign_ids: Sequence[str], asked: Range, *, with_opportunities: bool = False) -> list[Json]:
        """Returns the rows of `GET /campaigns/analytics/steps`: `step` from "1", `variant` from "0"."""
        parts: dict[tuple[int, int], list[Deed]] = defaultdict(list)
        for deed in self._within(campaign_ids, asked):
            parts[deed.step or 0, deed.variant or 0].append(deed)
        rows = []
        for (step, variant), deeds in sorted(parts.items()):
            tally = _Tally().add(deeds)
            if not (tally.times.keys() - {"labelled", "completed"}):
                continue
            row: Json = {"step": str(step + 1), "variant": str(variant), **self._columns(tally)}
            for column in ("contacted", "new_leads_contacted", "opportunities", "unique_opportunities"):
                value = row.pop(column)
                if with_opportunities and "opportunities" in column:
                    row[column] = value
            if with_opportunities:
                now = [self._workspace.leads[lead] for lead in tally.leads["labelled"] if lead in self._workspace.leads]
                row["meetings_booked"] = sum(lead.lt_interest_status == 2 for lead in now)
                row["won"] = sum(lead.lt_interest_status == 4 for lead in now)
            rows.append(row)
        return rows

    # -- parts

    def _within(self, campaign_ids: Sequence[str], asked: Range) -> Iterator[Deed]:
        for campaign_id in campaign_ids:
            yield from (deed for deed in self._deeds.get(campaign_id, ()) if asked.holds(deed.at))

    def _tally(self, campaign_ids: Sequence[str], asked: Range) -> _Tally:
        if len(campaign_ids) != 1 or asked != Range():
            return _Tally().add(self._within(campaign_ids, asked))
        # the whole life of one campaign is asked for again and again: count only what came since
        deeds = self._deeds.get(campaign_ids[0], [])
        counted, tally = self._whole.get(campaign_ids[0], (0, _Tally()))
        self._whole[campaign_ids[0]] = len(deeds), tally.add(deeds[counted:])
        return tally

    def _by_day(self, campaign_ids: Sequence[str], asked: Range) -> dict[date, list[Deed]]:
        days: dict[date, list[Deed]] = defaultdict(list)
        for deed in self._within(campaign_ids, asked):
            days[deed.at.astimezone(UTC).date()].append(deed)
        return days

    def _count_day(self, campaign_ids: Sequence[str], day: date, deeds: Sequence[Deed]) -> dict[str, int]:
        counted = self._columns(_Tally().add(deeds))
        for campaign_id in campaign_ids:
            for column, added in self._corrections.get((campaign_id, day), {}).items():
                counted[column] += added
        return counted

    def _columns(self, tally: _Tally) -> dict[str, int]:
        switches = self._workspace.switches
        people = {kind: len(leads) for kind, leads in tally.leads.items()} if switches.unique_per_day else tally.firsts
        gains = [lead for lead, value in tally.interests if value > 0]
        automatic = tally.times["replied_automatically"]
        return {
            "sent": tally.times["sent"],
            "contacted": len(tally.leads["sent"]),
            "new_leads_contacted": tally.firsts["sent"],
            "opened": tally.times["opened"],
            "unique_opened": people.get("opened", 0),
            "replies": tally.times["replied"] + automatic * switches.replies_include_automatic,
            "unique_replies": people.get("replied", 0),
            "replies_automatic": automatic,
            "unique_replies_automatic": people.get("replied_automatically", 0),
            "clicks": tally.times["clicked"],
            "unique_clicks": people.get("clicked", 0),
            "opportunities": len(gains),
            "unique_opportunities": len(set(gains)),
        }

    def _totals(self, campaign_ids: Sequence[str], asked: Range) -> dict[str, int]:
        tally = self._tally(campaign_ids, asked)
        automatic = tally.times["replied_automatically"]
        counted = {
            "contacted_count": len(tally.leads["sent"]),
            "emails_sent_count": tally.times["sent"],
            "new_leads_contacted_count": tally.firsts["sent"],
            "completed_count": len(tally.leads["completed"]),
            "open_count": tally.times["opened"],
            "open_count_unique": len(tally.leads["opened"]),
            "open_count_unique_by_step": len(tally.steps["opened"]),
            "reply_count": tally.times["replied"] + automatic * self._workspace.switches.replies_include_automatic,
            "reply_count_unique": len(tally.leads["replied"]),
            "reply_count_unique_by_step": len(tally.steps["replied"]),
            "reply_count_automatic": automatic,
            "reply_count_automatic_unique": len(tally.leads["replied_automatically"]),
            "reply_count_automatic_unique_by_step": len(tally.steps["replied_automatically"]),
            "link_click_count": tally.times["clicked"],
            "link_click_count_unique": len(tally.leads["clicked"]),
            "link_click_count_unique_by_step": len(tally.steps["clicked"]),
            "bounced_count": len(tally.leads["bounced"]),
            "unsubscribed_count": len(tally.leads["unsubscribed"]),
            "total_opportunities": len({lead for lead, value in tally.interests if value > 0}),
            "total_opportunity_value": 0,
        }
        for (campaign_id, day), added in self._corrections.items():
            if campaign_id in campaign_ids and asked.holds(_midnight(day)):
                for column, value in added.items():
                    if _TOTALS[column]:
                        counted[_TOTALS[column]] += value
        return counted


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
