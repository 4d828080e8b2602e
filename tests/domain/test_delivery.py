"""A webhook's body: two deliveries that say the same are one, and nothing in a body is an error."""

from __future__ import annotations

import gzip
import hashlib
import json

import orjson
import pytest

from app.domain import normalize
from app.domain.delivery import UNPACKED, read, told


def test_the_same_content_in_other_words_is_the_same_delivery() -> None:
    one = read(b'{"event_type": "email_sent", "n": {"a": 1, "b": "\\u00e9"}}')
    other = read('{"n":{"b":"é","a":1},"event_type":"email_sent"}'.encode())

    assert one == other
    assert one.digest != read(b'{"event_type": "email_sent", "n": {"a": 1, "b": "e"}}').digest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff\xfe\x00",
        b'"text"',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"n": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
    ids=["empty", "a list", "cut off", "no text", "a text", "deep", "a huge number", "deeper than anybody walks"],
)
def test_what_is_no_json_object_is_known_by_its_bytes(body: bytes) -> None:
    assert read(body).content is None
    assert read(body).digest == hashlib.sha256(body).digest()


def test_a_text_that_was_cut_in_the_middle_of_a_character_is_read_all_the_same() -> None:
    body = rb'{"event_type": "reply_received", "reply_text_snippet": "Yes \ud83d", "n": 99999999999999999999}'

    found = read(body)

    assert told(found.content).event_type == "reply_received"
    # as a provider's log shows it, whose answers are read as they can be stored
    logged = normalize.storable(json.loads(body))
    assert found.digest == read(orjson.dumps(logged)).digest


def test_a_text_with_a_nul_is_the_delivery_that_the_log_shows_without_it() -> None:
    body = rb'{"event_type": "reply_received", "reply_text": "Yes\u0000"}'

    logged = normalize.storable(json.loads(body))

    assert logged["reply_text"] == "Yes"
    assert read(body).digest == read(orjson.dumps(logged)).digest


def test_a_packed_body_is_read_up_to_a_size() -> None:
    content = {"event_type": "email_sent"}

    assert read(gzip.compress(json.dumps(content).encode()), "gzip") == read(json.dumps(content).encode())
    for body in (b"no gzip", gzip.compress(b"{}")[:-9], gzip.compress(b" " * (UNPACKED + 1))):
        assert read(body, "gzip").content is None


def test_what_a_payload_is_known_by_can_be_stored_whatever_it_is() -> None:
    found = told(
        {
            "event_type": "a\x00b\ud83d" + "c" * 300,
            "campaign": " ABC ",
            "campaign_id": 7,
            "lead_email": "",
            "email": "A@b.c",
        }
    )

    assert found.event_type is not None
    assert found.event_type.startswith("a\ufffdb?c")
    assert (len(found.event_type), found.campaign, found.campaign_id, found.email) == (200, "abc", None, "A@b.c")
    assert told(None).email is None
