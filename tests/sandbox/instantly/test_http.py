"""The sandbox over a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from app.sandbox.core import Fault
from app.sandbox.instantly import InstantlySandbox


@pytest.fixture
def served() -> Iterator[tuple[InstantlySandbox, str]]:
    world = InstantlySandbox(seed=1)
    world.store.add_key("key-test")
    server = uvicorn.Server(uvicorn.Config(world.app, log_level="error", lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield world, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(5)


def test_a_client_reads_and_loses_answers_over_http(served: tuple[InstantlySandbox, str]) -> None:
    world, url = served
    campaign = world.store.add_campaign("Q3 founders")
    world.store.add_lead(campaign.id, email="ada@acme.test", first_name="Ada")

    with httpx.Client(base_url=url, headers={"Authorization": "Bearer key-test"}, timeout=5) as client:
        page = client.post("/api/v2/leads/list", json={"campaign": campaign.id}).json()
        world.sandbox.faults.add(Fault(kind="drop_after", method="DELETE", count=1))
        with pytest.raises(httpx.TransportError):
            client.delete(f"/api/v2/leads/{page['items'][0]['id']}")
        gone = client.get(f"/api/v2/leads/{page['items'][0]['id']}")
        calls = client.get("/_sandbox/calls").json()

    assert (page["items"][0]["first_name"], gone.status_code) == ("Ada", 404)
    assert [call["method"] for call in calls["calls"]] == ["POST", "DELETE", "GET"]
