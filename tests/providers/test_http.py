"""The funnel: what is sent, what is waited for, what is repeated, and what is never said."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
import respx

from app.errors import LeadkeeperError
from app.providers.answers import Failure, parse_instant
from app.providers.base import (
    Guard,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    Resource,
    Unavailable,
    Uncertain,
)
from app.providers.http import BODY_LIMIT, PATIENCE, READ_ATTEMPTS, Funnel

from .conftest import FakeClock, FakeLimiter

URL = "https://api.example.test/things"
TOKEN = "patCANARY.0123456789abcdef"
GOOD = httpx.Response(200, json={"records": []})


def only_teapots(failure: Failure) -> ProviderError | None:
    return Refused("No coffee here.") if failure.status == 418 else None


@pytest.fixture
def funnel(
    client: httpx.AsyncClient,
    limiter: FakeLimiter,
    clock: FakeClock,
    rng: random.Random,
    calls: list[tuple[str, int]],
) -> Funnel:
    return Funnel(
        client,
        name="Example",
        base_url="https://api.example.test/",
        headers={"Authorization": f"Bearer {TOKEN}"},
        resources=(Resource("narrow", 5.0), Resource("wide", 50.0)),
        limiter=limiter,
        clock=clock,
        rng=rng,
        secrets=(TOKEN, ""),
        explain=only_teapots,
        penalty=30.0,
        on_call=lambda what, status: calls.append((what, status)),
    )


class TestWhatIsSent:
    async def test_a_read_carries_the_token_our_agent_and_no_content_type(
        self, funnel: Funnel, web: respx.MockRouter
    ) -> None:
        route = web.get(URL, params={"limit": "5"}).mock(return_value=GOOD)

        await funnel.request("GET", "/things", params={"limit": "5"}, safe=True)

        request = route.calls.last.request
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["User-Agent"].startswith("leadkeeper/")
        assert "Content-Type" not in request.headers
        assert request.extensions["timeout"] == {"connect": 5.0, "read": 30.0, "write": 10.0, "pool": 5.0}

    async def test_a_body_is_json_and_says_so(self, funnel: Funnel, web: respx.MockRouter) -> None:
        route = web.post(URL).mock(return_value=GOOD)

        await funnel.request("POST", "/things", body={"name": "Zoë \ud800"}, safe=False)

        request = route.calls.last.request
        assert request.headers["Content-Type"] == "application/json"
        assert json.loads(request.content) == {"name": "Zoë \ud800"}

    async def test_a_cookie_of_one_account_does_not_reach_the_next(self, funnel: Funnel, web: respx.MockRouter) -> None:
        answer = httpx.Response(200, json={}, headers={"Set-Cookie": "brw=1; Path=/"})
        route = web.get(URL).mock(return_value=answer)

        await funnel.request("GET", "/things", safe=True)
        await funnel.request("GET", "/things", safe=True)

        assert "Cookie" not in route.calls.last.request.headers

    async def test_a_redirect_is_not_followed(self, funnel: Funnel, web: respx.MockRouter) -> None:
        elsewhere = web.get("https://elsewhere.test/").mock(return_value=GOOD)
        web.get(URL).mock(return_value=httpx.Response(302, headers={"Location": "https://elsewhere.test/"}))

        with pytest.raises(Unavailable, match="302"):
            await funnel.request("GET", "/things", safe=True)

        assert not elsewhere.called

    async def test_the_guard_is_asked_after_every_wait_and_right_before_each_attempt(
        self, funnel: Funnel, web: respx.MockRouter, limiter: FakeLimiter
    ) -> None:
        async def guard() -> None:
            limiter.events.append(("guard", "", 0.0))

        def answer(request: httpx.Request) -> httpx.Response:
            limiter.events.append(("sent", "", 0.0))
            return httpx.Response(429) if len(limiter.events) < 5 else GOOD

        web.post(URL).mock(side_effect=answer)
        await funnel.request("POST", "/things", body={}, safe=False, guard=guard)

        attempt = ["acquire", "acquire", "guard", "sent"]
        assert [what for what, _, _ in limiter.events] == [*attempt, "pause", *attempt]

    async def test_what_the_guard_raises_keeps_the_call_from_leaving(
        self, funnel: Funnel, web: respx.MockRouter
    ) -> None:
        async def guard() -> None:
            raise LeadkeeperError("The lease is gone.")

        route = web.post(URL).mock(return_value=GOOD)
        with pytest.raises(LeadkeeperError, match="lease"):
            await funnel.request("POST", "/things", body={}, safe=False, guard=guard)

        assert not route.called


class TestAnswers:
    async def test_the_date_header_is_the_providers_time(self, funnel: Funnel, web: respx.MockRouter) -> None:
        web.get(URL).mock(
            return_value=httpx.Response(200, json={"a": 1}, headers={"Date": "Sat, 08 Jan 2022 00:09:22 GMT"})
        )

        answer = await funnel.request("GET", "/things", safe=True)

        assert (answer.json, answer.server_time) == ({"a": 1}, "2022-01-08T00:09:22.000Z")

    async def test_what_cannot_be_stored_costs_neither_the_record_nor_the_page(
        self, funnel: Funnel, web: respx.MockRouter
    ) -> None:
        content = (
            b'{"a\\u0000": ["\\ud800x\\udc00", "\\ud83d\\ude00"], "long": 123456789012345678901234567890,'
            b' "near": [9223372036854775807, -1.5], "deep": ' + b"[" * 300 + b"]" * 300 + b"}"
        )
        web.get(URL).mock(return_value=httpx.Response(200, content=content))

        answer = await funnel.request("GET", "/things", safe=True)

        deep = answer.json.pop("deep")
        assert answer.json == {
            "a": ["x", "\U0001f600"],
            "long": "123456789012345678901234567890",
            "near": [9223372036854775807, -1.5],
        }
        assert orjson.dumps(deep).count(b"[") == 300
        assert answer.server_time is None

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b'{"records": [{"id"', id="truncated"),
            pytest.param(b"", id="empty"),
            pytest.param(b"<html>hello</html>", id="a page"),
            pytest.param(b"[]", id="a list"),
            pytest.param(b'{"error": {"type": "X"}}', id="an error with status 200"),
            pytest.param(b'{"records": {"id": 1}}', id="no list"),
            pytest.param(b'{"records": [NaN]}', id="not a number"),
            pytest.param(b"[" * 100_000, id="deep"),
            pytest.param(b"\xff\xfe\xfa", id="no text"),
        ],
    )
    async def test_an_unusable_answer_is_asked_for_again_and_leaves_a_write_uncertain(
        self, funnel: Funnel, web: respx.MockRouter, content: bytes
    ) -> None:
        read = web.get(URL).mock(return_value=httpx.Response(200, content=content))
        write = web.post(URL).mock(return_value=httpx.Response(200, content=content))

        with pytest.raises(Unavailable, match="no usable JSON"):
            await funnel.request("GET", "/things", safe=True, expects="records")
        with pytest.raises(Uncertain, match="may or may not have happened"):
            await funnel.request("POST", "/things", body={}, safe=False, expects="records")

        assert (read.call_count, write.call_count) == (READ_ATTEMPTS, 1)

    async def test_an_endless_answer_is_given_up(self, funnel: Funnel, web: respx.MockRouter) -> None:
        served = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal served
            while True:
                served += 1
                yield b" " * (1 << 20)

        web.post(URL).mock(return_value=httpx.Response(200, content=endless()))
        with pytest.raises(Uncertain, match="completely"):
            await funnel.request("POST", "/things", body={}, safe=False)

        assert served == (BODY_LIMIT >> 20) + 1

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2022-01-08T00:09:22.000Z", "2022-01-08T00:09:22.000Z"),
            ("2022-01-08T01:09:22.5+01:00", "2022-01-08T00:09:22.500Z"),
            ("2022-01-08", None),
            ("2022-01-08T00:09:22", None),
            ("0001-01-01T00:00:00+14:00", None),
            ("yesterday", None),
            (1641600562, None),
            (None, None),
        ],
    )
    def test_only_whole_instants_are_instants(self, text: Any, instant: str | None) -> None:
        assert parse_instant(text) == instant


class TestRateLimits:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            pytest.param({}, 30.0, id="none: the provider's penalty"),
            pytest.param({"Retry-After": "3"}, 30.0, id="less than the penalty"),
            pytest.param({"Retry-After": "45"}, 45.0, id="seconds"),
            pytest.param({"Retry-After": "45.5"}, 45.5, id="broken seconds"),
            pytest.param({"Retry-After": "Sun, 01 Mar 2026 12:00:50 GMT"}, 50.0, id="a date, by our clock"),
            pytest.param(
                {"Retry-After": "Sun, 01 Mar 2026 09:00:40 GMT", "Date": "Sun, 01 Mar 2026 09:00:00 GMT"},
                40.0,
                id="a date, by their clock",
            ),
            pytest.param({"Retry-After": "Sun, 01 Mar 2020 12:00:00 GMT"}, 30.0, id="a date gone by"),
            pytest.param({"Retry-After": "soon"}, 30.0, id="a word"),
            pytest.param({"Retry-After": "-5"}, 30.0, id="negative"),
            pytest.param({"Retry-After": "nan"}, 30.0, id="nan"),
        ],
    )
    async def test_a_429_pauses_everybody_and_is_then_repeated_even_for_a_write(
        self,
        funnel: Funnel,
        web: respx.MockRouter,
        limiter: FakeLimiter,
        clock: FakeClock,
        headers: dict[str, str],
        seconds: float,
    ) -> None:
        web.post(URL).mock(side_effect=[httpx.Response(429, headers=headers), GOOD])

        answer = await funnel.request("POST", "/things", body={}, safe=False)

        assert answer.json == {"records": []}
        assert limiter.pauses == [("narrow", seconds)]
        assert clock.sleeps == [pytest.approx(seconds)]

    @pytest.mark.parametrize("is_safe", [True, False])
    async def test_patience_ends(
        self, funnel: Funnel, web: respx.MockRouter, limiter: FakeLimiter, clock: FakeClock, is_safe: bool
    ) -> None:
        route = web.post(URL).mock(return_value=httpx.Response(429))

        with pytest.raises(RateLimited) as raised:
            await funnel.request("POST", "/things", body={}, safe=is_safe)

        assert raised.value.retry_after == 30.0
        assert route.call_count == 3
        assert sum(clock.sleeps) <= PATIENCE

    async def test_a_short_penalty_is_waited_for_three_times(
        self,
        client: httpx.AsyncClient,
        web: respx.MockRouter,
        limiter: FakeLimiter,
        clock: FakeClock,
        rng: random.Random,
    ) -> None:
        funnel = Funnel(
            client,
            name="Example",
            base_url="https://api.example.test",
            headers={},
            resources=(Resource("narrow", 5.0),),
            limiter=limiter,
            clock=clock,
            rng=rng,
            secrets=(),
            explain=only_teapots,
            penalty=5.0,
        )
        route = web.get(URL).mock(return_value=httpx.Response(429))

        with pytest.raises(RateLimited):
            await funnel.request("GET", "/things", safe=True)

        assert (route.call_count, clock.sleeps) == (4, [5.0, 5.0, 5.0])

    async def test_a_long_wait_is_left_to_the_caller(
        self, funnel: Funnel, web: respx.MockRouter, limiter: FakeLimiter, clock: FakeClock
    ) -> None:
        web.get(URL).mock(return_value=httpx.Response(429, headers={"Retry-After": "600"}))

        with pytest.raises(RateLimited) as raised:
            await funnel.request("GET", "/things", safe=True)

        assert raised.value.retry_after == 600.0
        assert limiter.pauses == [("narrow", 600.0)]
        assert clock.sleeps == []

    async def test_no_retry_after_pauses_for_more_than_an_hour(
        self, funnel: Funnel, web: respx.MockRouter, limiter: FakeLimiter
    ) -> None:
        web.get(URL).mock(return_value=httpx.Response(429, headers={"Retry-After": "99999999"}))

        with pytest.raises(RateLimited):
            await funnel.request("GET", "/things", safe=True)

        assert limiter.pauses == [("narrow", 3600.0)]


class TestFailures:
    @pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
    async def test_a_write_that_never_left_did_not_happen(
        self, funnel: Funnel, web: respx.MockRouter, error: type[httpx.TransportError]
    ) -> None:
        route = web.post(URL).mock(side_effect=error("no"))

        with pytest.raises(Unavailable, match=error.__name__):
            await funnel.request("POST", "/things", body={}, safe=False)

        assert route.call_count == 1

    @pytest.mark.parametrize(
        "outcome",
        [
            httpx.ReadError("x"),
            httpx.ReadTimeout("x"),
            httpx.WriteError("x"),
            httpx.WriteTimeout("x"),
            httpx.CloseError("x"),
            httpx.RemoteProtocolError("x"),
            TimeoutError(),
            httpx.Response(408),
            httpx.Response(500),
            httpx.Response(502, html="<html>Bad Gateway</html>"),
            httpx.Response(503, json={"error": {"type": "RETRIABLE_ERROR"}}),
            httpx.Response(504),
            httpx.Response(302, headers={"Location": URL}),
            httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip")),
        ],
        ids=lambda outcome: str(getattr(outcome, "status_code", type(outcome).__name__)),
    )
    async def test_a_write_that_may_have_been_processed_is_uncertain_and_made_once_a_read_is_repeated(
        self, funnel: Funnel, web: respx.MockRouter, outcome: Any
    ) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome  # type: ignore[no-any-return]

        write = web.post(URL).mock(side_effect=answer)
        read = web.get(URL).mock(side_effect=answer)

        with pytest.raises(Uncertain):
            await funnel.request("POST", "/things", body={}, safe=False)
        with pytest.raises(Unavailable):
            await funnel.request("GET", "/things", safe=True)

        assert (write.call_count, read.call_count) == (1, READ_ATTEMPTS)

    async def test_a_read_recovers_and_every_attempt_is_paced_and_counted(
        self,
        funnel: Funnel,
        web: respx.MockRouter,
        limiter: FakeLimiter,
        clock: FakeClock,
        calls: list[tuple[str, int]],
    ) -> None:
        web.get(URL).mock(side_effect=[httpx.Response(500), httpx.ConnectError("x"), httpx.Response(429), GOOD])

        await funnel.request("GET", "/things", safe=True)

        assert calls == [("read", 500), ("read", 0), ("read", 429), ("read", 200)]
        assert [key for what, key, _ in limiter.events if what == "acquire"] == ["narrow", "wide"] * 4
        assert len(clock.sleeps) == 3

    async def test_the_same_generator_gives_the_same_waits(
        self, funnel: Funnel, web: respx.MockRouter, clock: FakeClock
    ) -> None:
        web.get(URL).mock(return_value=httpx.Response(500))
        jitter = random.Random(7)

        with pytest.raises(Unavailable):
            await funnel.request("GET", "/things", safe=True)

        assert clock.sleeps == [jitter.uniform(0, ceiling) for ceiling in (1.0, 2.0, 4.0)]

    async def test_a_503_may_ask_for_a_longer_wait_within_reason(
        self, funnel: Funnel, web: respx.MockRouter, clock: FakeClock
    ) -> None:
        busy = [httpx.Response(503, headers={"Retry-After": seconds}) for seconds in ("12", "4000")]
        web.get(URL).mock(side_effect=[*busy, GOOD])

        await funnel.request("GET", "/things", safe=True)

        assert clock.sleeps == [12.0, 20.0]

    async def test_other_refusals_are_rejections_and_the_providers_own_reading_comes_first(
        self, funnel: Funnel, web: respx.MockRouter
    ) -> None:
        web.get(URL).mock(side_effect=[httpx.Response(409, json={"error": "Conflict"}), httpx.Response(418)])

        with pytest.raises(Rejected, match="Conflict") as raised:
            await funnel.request("GET", "/things", safe=True)
        with pytest.raises(Refused, match="coffee"):
            await funnel.request("GET", "/things", safe=True)

        assert raised.value.kind == "Conflict"

    async def test_a_cancelled_call_stays_cancelled(
        self, funnel: Funnel, web: respx.MockRouter, calls: list[tuple[str, int]]
    ) -> None:
        def cancel(request: httpx.Request) -> httpx.Response:
            raise asyncio.CancelledError

        web.get(URL).mock(side_effect=cancel)

        with pytest.raises(asyncio.CancelledError):
            await funnel.request("GET", "/things", safe=True)

        assert calls == [("read", 0)]


class TestSecrets:
    @pytest.mark.parametrize(
        "answer",
        [
            lambda: httpx.Response(400, json={"error": {"type": TOKEN, "message": f"Bad token {TOKEN}"}}),
            lambda: httpx.Response(400, text="x" * 290 + TOKEN),
            lambda: httpx.Response(400, text=f"Authorization: Bearer {TOKEN[:12]}"),
            lambda: httpx.Response(500, json={"message": TOKEN}),
        ],
        ids=["message", "at the cut", "a part of it", "500"],
    )
    async def test_no_error_shows_the_token(
        self, funnel: Funnel, web: respx.MockRouter, answer: Callable[[], httpx.Response]
    ) -> None:
        web.get(URL).mock(side_effect=lambda _: answer())

        with pytest.raises(ProviderError) as raised:
            await funnel.request("GET", "/things", safe=True)

        said = f"{raised.value} {vars(raised.value)} {raised.value!r}"
        assert "CANARY" not in said
        assert len(str(raised.value)) < 400

    def test_the_funnel_itself_does_not_show_it(self, funnel: Funnel) -> None:
        assert "CANARY" not in repr(vars(funnel)["_headers"])


@pytest.mark.parametrize("token", ["pat\N{LATIN SMALL LETTER O WITH DIAERESIS}k", "pat k", "pat\nk"])
def test_a_token_that_is_none_is_refused_before_it_is_sent(
    client: httpx.AsyncClient, limiter: FakeLimiter, clock: FakeClock, rng: random.Random, token: str
) -> None:
    """As when more, or something else, was copied."""
    with pytest.raises(Refused, match="copy it again"):
        Funnel(
            client, name="Example", base_url=URL, headers={"Authorization": f"Bearer {token}"}, resources=(),
            limiter=limiter, clock=clock, rng=rng, secrets=(token,), explain=only_teapots, penalty=30.0,
        )  # fmt: skip


async def test_a_page_of_html_is_called_one(funnel: Funnel, web: respx.MockRouter, guard: Guard) -> None:
    web.post(URL).mock(return_value=httpx.Response(502, html="<html><body>Bad Gateway</body></html>"))

    with pytest.raises(Uncertain, match=r"answered 502 \(an HTML page\)"):
        await funnel.request("POST", "/things", body={}, safe=False, guard=guard)


async def test_words_that_no_database_stores_are_left_out(funnel: Funnel, web: respx.MockRouter) -> None:
    web.get(URL).mock(return_value=httpx.Response(400, content=b'{"message": "a\\u0000b\\ud800\\r\\nc"}'))

    with pytest.raises(Rejected, match=r"\(400\): ab c$"):
        await funnel.request("GET", "/things", safe=True)
