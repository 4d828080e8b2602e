"""Lists of a workspace's keys, people and connections are walked page by page, like every other list."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.lab.sandboxes import COLUMNS
from app.sandbox.airtable import AirtableSandbox


async def walked(client: httpx.AsyncClient, url: str) -> list[list[dict[str, Any]]]:
    """Follows the links to the end; checks that the body says the same."""
    pages = []
    while True:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        following = answer.links.get("next", {}).get("url", "")
        assert (answer.json()["next_cursor"] or "") == following.partition("cursor=")[2]
        if not following:
            return pages
        url = following


@pytest.fixture
async def full(admin: httpx.AsyncClient, airtable: AirtableSandbox, wanted: dict[str, Any]) -> httpx.AsyncClient:
    """A workspace with five of each."""
    base = airtable.store.bases[wanted["config"]["base_id"]]
    for number in (3, 1, 5, 2, 4):
        person = {"email": f"p{number}@team.test", "role": "member"}
        config = wanted["config"] | {"table_id": base.add_table(f"Leads {number}", COLUMNS).id}
        made = [
            await admin.post("/api/admin/users", json=person),
            await admin.post("/api/admin/connections", json=wanted | {"config": config, "name": f"c{number}"}),
        ]
        if number != 3:  # the administrator has a key already
            made.append(await admin.post("/api/admin/keys", json={"name": f"k{number}", "role": "viewer"}))
        assert {answer.status_code for answer in made} == {201}
    return admin


async def test_each_is_shown_once_in_its_order_and_the_last_page_says_so(full: httpx.AsyncClient) -> None:
    ordered = {
        "keys": ("name", ["k4", "k2", "k5", "k1", "admin key"]),
        "users": ("email", [f"p{number}@team.test" for number in range(1, 6)]),
        "connections": ("name", ["c3", "c1", "c5", "c2", "c4"]),
    }
    for name, (field, expected) in ordered.items():
        pages = await walked(full, f"/api/admin/{name}?limit=2")
        exact = await walked(full, f"/api/admin/{name}?limit=5")

        assert [[item[field] for item in page] for page in pages] == [expected[:2], expected[2:4], expected[4:]], name
        assert exact == [[item for page in pages for item in page]], name


async def test_a_cursor_of_one_list_is_refused_by_another(full: httpx.AsyncClient) -> None:
    cursors = {
        name: (await full.get(f"/api/admin/{name}?limit=1")).json()["next_cursor"]
        for name in ("keys", "users", "connections")
    }

    for name in cursors:
        for other, cursor in cursors.items():
            answer = await full.get(f"/api/admin/{name}", params={"cursor": cursor})
            assert (answer.status_code == 200) == (name == other), (name, other, answer.text)
