"""Logs: one event per line, whoever has something to say, and no secret in it."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.project.conftest import ROOT

SAYING = """
import logging
from app.log import configure
configure("INFO", as_json=True)
try:
    raise ValueError("lk_0123456789abcdefghijklmn")
except ValueError:
    logging.getLogger("a.library").warning("gone: %s", "Bearer abc", exc_info=True)
logging.getLogger("a.library").info("chatter")
"""


def test_what_a_library_logs_is_one_event_for_machines_without_secrets() -> None:
    said = subprocess.run([sys.executable, "-c", SAYING], cwd=ROOT, capture_output=True, text=True, check=True).stderr
    (event,) = map(json.loads, said.splitlines())

    assert (event["level"], event["event"]) == ("warning", "gone: …")
    assert "ValueError" in event["exception"]
    assert "lk_0123" not in said
