"""One lead in three campaigns: everything Instantly says of it, and the golden record that comes of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.db import suppressions
from app.domain import instantly
from app.sync import explain
from tests.sync.conftest import Bench
from tests.sync.test_inbox import ADA, tell, told

#: Monday to Wednesday of a week; the rows below are what REST shows on Wednesday.
MON, TUE, WED = "2026-03-02T09:00:00.000Z", "2026-03-03T09:00:00.000Z", "2026-03-04T09:00:00.000Z"
MON_OPEN, TUE_REPLY, TUE_LABEL, WED_STOP = (
    "2026-03-02T10:00:00.000Z", "2026-03-03T11:00:00.000Z", "2026-03-03T11:00:05.000Z", "2026-03-04T12:00:00.000Z",
)  # fmt: skip

#: The campaigns in the order in which the rows were added there.
ROWS: dict[str, dict[str, Any]] = {
    "Founders": {
        "first_name": "Ada", "company_name": "Acme", "email_open_count": 2, "timestamp_last_contact": MON,
        "timestamp_last_open": MON_OPEN, "custom": {"Tier": "A"},
    },
    "Agencies": {
        "first_name": "Augusta", "last_name": "Lovelace", "email_open_count": 1, "email_reply_count": 1,
        "timestamp_last_contact": TUE, "timestamp_last_reply": TUE_REPLY, "lt_interest_status": 1,
        "timestamp_last_interest_change": TUE_LABEL, "status": 3, "custom": {"functie": "CTO", "Tier": "B"},
    },
    "Newsletter": {"timestamp_last_contact": WED, "status": -2, "email_open_count": 4, "custom": {}},
}  # fmt: skip

GOLDEN = {
    "email": ADA,
    "first_name": "Ada",
    "last_name": "Lovelace",
    "full_name": "Ada Lovelace",
    "company_name": "Acme",
    "title": "CTO",
    "status": "replied",
    "is_positive_reply": True,
    "delivery_status": "replied",
    "email_open_count": 7,
    "email_click_count": 0,
    "email_reply_count": 1,
    "last_contacted_at": WED,
    "sender_account": "eva@sender.test",
}
WHY = {
    # field: the source, the rule
    "email": ("instantly", "identity"),
    "first_name": ("instantly", "fill_if_empty"),
    "last_name": ("instantly", "fill_if_empty"),
    "company_name": ("instantly", "fill_if_empty"),
    "title": ("instantly", "fill_if_empty"),
    "is_positive_reply": ("instantly", "event_time"),
    "email_open_count": ("instantly", "counter"),
    "email_reply_count": ("instantly", "counter"),
    "sender_account": ("instantly_event", "replace"),
}


async def test_replied_in_one_unsubscribed_in_another(bench: Bench) -> None:
    store = bench.world.instantly.store
    campaigns = {name: store.add_campaign(name).id for name in ROWS}
    for name, shown in ROWS.items():
        row = store.add_lead(campaigns[name], email=ADA, payload=shown["custom"])
        for key, value in shown.items():
            if key != "custom":
                setattr(row, key, value)
    await bench.instantly()

    await tell(
        bench,
        told("lead_unsubscribed", WED_STOP, campaign=campaigns["Newsletter"], campaign_id=campaigns["Newsletter"]),
        told("email_sent", MON, campaign=campaigns["Founders"], step=1, variant=1, email_account="max@sender.test"),
        told("email_opened", MON_OPEN, campaign=campaigns["Founders"]),
        told("lead_interested", TUE_LABEL, campaign=campaigns["Agencies"]),
        told("reply_received", TUE_REPLY, campaign=campaigns["Agencies"], email_account="eva@sender.test"),
    )

    lead = await bench.lead(ADA)
    assert {name: lead.values.get(name) for name in GOLDEN} == GOLDEN
    assert lead.values["metadata"] == {
        instantly.namespace(campaigns["Founders"]): {"Tier": "A"},
        instantly.namespace(campaigns["Agencies"]): {"functie": "CTO", "Tier": "B"},
    }
    async with bench.world.transaction() as tx:
        known = await suppressions.of(tx, bench.world.runtime.vault.address(ADA))
        why = await explain.explain(tx, UUID(lead.id))
    assert known == [(instantly.namespace(campaigns["Newsletter"]), "unsubscribed")]
    assert why is not None
    assert {name: (why["fields"][name]["source"], why["fields"][name]["rule"]) for name in WHY} == WHY
    refused = [(losing["value"], losing["why"]) for losing in why["fields"]["first_name"]["losing"]]
    assert refused == [("Augusta", "only an empty field is filled")]
    states = {s["state"]: s["reason"] for s in why["fields"]["first_name"]["links"]}
    assert states["diverged"] == "the rule fill_if_empty keeps the value here"
