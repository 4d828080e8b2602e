"""The one funnel: every call to every provider passes `Funnel.request` once.

It paces, times out, retries and turns what came back into typed errors; what a provider's own error words mean is said
by the small `explain` function its client hands in.

- Reads are retried (full jitter from the generator that was handed in; tenacity's own waits draw from the global one).
- Writes are repeated only after a 429, which was not processed. Whatever else may have been processed is `Uncertain`,
  502 and 503 included: a proxy may have passed the call on.
- Requests are built here, not by the shared client: its cookies would carry one account's cookie to the next.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata

import httpx
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from app.providers.answers import Answer, Explain, Failure, as_instant, parse_http_date, parse_json, plain_text, reason
from app.providers.base import (
    JSON,
    Clock,
    Guard,
    Limiter,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    Resource,
    Unavailable,
    Uncertain,
)

TIMEOUT = httpx.Timeout(connect=5.0, read=30.0, write=10.0, pool=5.0)
#: seconds one attempt of a read may take in all; httpx's own timeouts are per chunk, so a dripping answer never ends
DEADLINE = 60.0
#: the same for a write: shorter than the lease under which it is made
WRITE_DEADLINE = 20.0
BODY_LIMIT = 50 * 1024 * 1024
TEXT_LIMIT = 300
#: attempts of a read, and the longest wait between two of them
READ_ATTEMPTS = 4
LONGEST_BACKOFF = 20.0
#: how often one call waits for a 429, and for how many seconds in all
THROTTLE_ATTEMPTS = 3
PATIENCE = 70.0
LONGEST_PAUSE = 3600.0

#: for `expects`: the answer is itself the list, and is found under this name
BARE = "[]"

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

log = structlog.get_logger()


#: Called once per attempt that was made: "read" or "write", and the status (0: no answer).
OnCall = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class _Throttled:
    seconds: float


@dataclass(slots=True, kw_only=True)
class _Call:
    method: str
    path: str
    params: Mapping[str, str] | None
    content: bytes | None
    safe: bool
    guard: Guard | None
    #: the key of the list that a useful answer holds
    expects: str | None
    #: what it counts against, the narrowest first
    resources: tuple[Resource, ...]
    throttled: int = 0
    waited: float = 0.0


class _TooLongError(Exception):
    """The answer is longer than any answer of this provider can be."""


class Funnel:
    """One account's way to one provider."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        resources: Sequence[Resource],
        limiter: Limiter,
        clock: Clock,
        rng: random.Random,
        secrets: Sequence[str],
        explain: Explain,
        penalty: float,
        on_call: OnCall | None = None,
    ) -> None:
        if not all(re.fullmatch(r"[!-~]*", secret) for secret in secrets):
            raise Refused(
                f"No token or key of {name} holds such characters or a space: copy it again, and nothing else."
            )
        self._client = client
        self._name = name
        self._base_url = base_url.rstrip("/")
        # `Headers` does not show the token in its repr, as a dict would in a traceback with locals
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                **headers,
                "User-Agent": f"leadkeeper/{_version()}",
            }
        )
        self._resources = tuple(resources)
        self._limiter = limiter
        self._clock = clock
        self._rng = rng
        self._secrets = [secret for secret in secrets if secret]
        self._explain = explain
        self._penalty = penalty
        self._on_call = on_call

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, JSON] | None = None,
        safe: bool,
        guard: Guard | None = None,
        expects: str | None = None,
        also: Sequence[Resource] = (),
    ) -> Answer:
        """Makes one call and returns its JSON object, or raises a `ProviderError`.

        Args:
            safe: the call changes nothing there, so it may be repeated.
            guard: awaited after every wait, right before the call leaves; what it raises passes through.
            expects: the key under which the answer must hold a list; `BARE` where the answer is one.
            also: narrower budgets that this call counts against as well, the narrowest first.
        """
        content = None if body is None else json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        call = _Call(
            method=method,
            path=path,
            params=params,
            content=content,
            safe=safe,
            guard=guard,
            expects=expects,
            resources=(*also, *self._resources),
        )
        if not safe:
            return await self._paced(call)
        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            wait=self._backoff,
            before_sleep=self._note,
            stop=stop_after_attempt(READ_ATTEMPTS),
            retry=retry_if_exception_type(Unavailable),
            reraise=True,
        )
        answer: Answer = await retrying(self._paced, call)
        return answer

    def conceal(self, secret: str) -> None:
        """Keeps one more secret out of every message, such as one that a call's body carries."""
        self._secrets += [secret] if secret else []

    def _backoff(self, state: RetryCallState) -> float:
        jitter = self._rng.uniform(0.0, min(LONGEST_BACKOFF, 2.0 ** (state.attempt_number - 1)))
        error = state.outcome.exception() if state.outcome else None
        asked = error.details.get("retry_after") if isinstance(error, Unavailable) else None
        return max(jitter, min(asked or 0.0, LONGEST_BACKOFF))

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.info("provider.retrying", provider=self._name, attempt=state.attempt_number, error=str(error))

    async def _paced(self, call: _Call) -> Answer:
        while True:
            await self._limiter.acquire(call.resources)
            if call.guard is not None:
                await call.guard()
            outcome = await self._send(call)
            if isinstance(outcome, Answer):
                return outcome
            await self._pause(call, outcome.seconds)

    async def _pause(self, call: _Call, seconds: float) -> None:
        """Keeps everybody off the narrowest resource; the next `acquire` does the waiting."""
        resource = call.resources[0]
        log.warning("provider.rate_limited", provider=self._name, resource=resource.key, seconds=seconds)
        await self._limiter.pause(resource, seconds)
        call.throttled += 1
        call.waited += seconds
        if call.throttled > THROTTLE_ATTEMPTS or call.waited > PATIENCE:
            raise RateLimited(
                f"{self._name} asks for fewer calls; the next one may be made in {seconds:.0f} s.", retry_after=seconds
            )

    async def _send(self, call: _Call) -> Answer | _Throttled:
        status = 0
        try:
            async with asyncio.timeout(DEADLINE if call.safe else WRITE_DEADLINE):
                response = await self._client.send(self._request(call), stream=True, auth=None, follow_redirects=False)
                try:
                    content = await _read(response)
                finally:
                    await response.aclose()
            status = response.status_code
        except NOT_SENT as exc:
            raise Unavailable(f"{self._name} could not be reached ({type(exc).__name__}).") from exc
        except (httpx.HTTPError, TimeoutError, _TooLongError) as exc:
            raise self._lost(call, f"did not answer completely ({type(exc).__name__})") from exc
        finally:
            if self._on_call is not None:
                self._on_call("read" if call.safe else "write", status)
        if response.is_success:
            return self._accept(call, response, content)
        return self._refuse(call, response, content)

    def _request(self, call: _Call) -> httpx.Request:
        headers = self._headers.copy()
        if call.content is not None:
            headers["Content-Type"] = "application/json"
        return httpx.Request(
            call.method,
            self._base_url + call.path,
            params=dict(call.params) if call.params else None,
            headers=headers,
            content=call.content,
            extensions={"timeout": TIMEOUT.as_dict()},
        )

    def _accept(self, call: _Call, response: httpx.Response, content: bytes) -> Answer:
        body = parse_json(content)
        if call.expects == BARE and isinstance(body, list):
            body = {BARE: body}
        if not isinstance(body, dict) or (call.expects and not isinstance(body.get(call.expects), list)):
            raise self._lost(call, f"answered {response.status_code} with something that is no usable JSON")
        date = parse_http_date(response.headers.get("Date"))
        return Answer(body, as_instant(date) if date else None)

    def _refuse(self, call: _Call, response: httpx.Response, content: bytes) -> _Throttled:
        status = response.status_code
        failure = self._failure(call, status, content)
        if (error := self._explain(failure)) is not None:
            raise error
        asked = self._retry_after(response)
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return _Throttled(max(asked or 0.0, self._penalty))
        if status >= 500 or status < 400 or status == httpx.codes.REQUEST_TIMEOUT:
            error = self._lost(call, f"answered {status} ({failure.message})")
            if asked is not None:
                error.details["retry_after"] = asked
            raise error
        rejected = Rejected(f"{self._name} rejected the call ({status}): {failure.message}", kind=failure.kind)
        rejected.details["status"] = status
        raise rejected

    def _failure(self, call: _Call, status: int, content: bytes) -> Failure:
        body = parse_json(content)
        is_json = isinstance(body, dict)
        kind, message = reason(body) if is_json else ("", plain_text(content))
        return Failure(
            path=call.path,
            safe=call.safe,
            status=status,
            kind=self._scrub(kind),
            message=self._scrub(message) or httpx.codes.get_reason_phrase(status) or "no reason given",
            is_json=is_json,
        )

    def _lost(self, call: _Call, what: str) -> ProviderError:
        if call.safe:
            return Unavailable(f"{self._name} {what}.")
        return Uncertain(f"{self._name} {what}, so the write may or may not have happened.")

    def _retry_after(self, response: httpx.Response) -> float | None:
        text = response.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return min(float(text), LONGEST_PAUSE)
        if (until := parse_http_date(text)) is None:
            return None
        now = parse_http_date(response.headers.get("Date")) or self._clock.now()
        return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE)

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        text = re.sub(r"(?i)\bbearer\s+\S+", "Bearer [secret]", text)
        printable = "".join(char if char.isprintable() else " " for char in text[: 8 * TEXT_LIMIT])
        return " ".join(printable.split())[:TEXT_LIMIT]


@cache
def _version() -> str:
    try:
        return metadata.version("leadkeeper")
    except metadata.PackageNotFoundError:
        return "0"


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > BODY_LIMIT:
            raise _TooLongError
    return bytes(content)
