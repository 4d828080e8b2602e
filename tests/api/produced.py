"""Which documented answers the tests bring about: a run of all of tests/api fails for one that none of them does.

A status in the document is a promise to whoever writes a client, so each is seen at least once. The tests' ways into an
app note what it answered; at the end of the run the notes of all parallel workers are held against the document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.headers import DECLARED

#: (operation id, status)
Pair = tuple[str, str]
HERE: Final = Path(__file__).parent
#: What no test brings about, and why that is impossible.
EXEMPT: Final[dict[Pair, str]] = {}
#: What this process has seen; the run's first process gathers what the others have.
seen: set[Pair] = set()
_KEY: Final = "produced"
#: Headers that clients go by.
_HEADERS: Final = {name.title() for name in DECLARED}


def noting(app: Any) -> ASGIApp:
    """Returns an app whose answers are noted."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                # a body that is too large is refused before there is a route
                route = scope.get("route") or _route(app, scope)
                pair = (getattr(route, "operation_id", None) or "", str(message["status"]))
                seen.add(pair)
                names = {name.decode().title() for name, _ in message["headers"]}
                undeclared = names & _HEADERS - _declared().get(pair, names)
                assert not undeclared, f"{pair} has {undeclared}: app/api/headers.py does not say so."
            await send(message)

        await app(scope, receive, sending)

    return noted


@cache
def _declared() -> dict[Pair, set[str]]:
    """The headers that the document says an answer may have."""
    from app.api.application import document

    return {
        (operation["operationId"], status): {name.title() for name in response.get("headers", ())}
        for methods in document()["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
    }


def _route(app: Any, scope: Scope) -> Any:
    found = (route for route in app.routes if route.matches({**scope, "app": app})[0] is Match.FULL)
    return next(found, None)


def lacking(
    document: Mapping[str, Any], produced: Collection[Pair], exempt: Mapping[Pair, str] = EXEMPT
) -> Iterable[str]:
    """Gives a sentence for each documented answer that nothing brought about, and for each exemption without a use."""
    documented = {
        (operation["operationId"], status): f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
    }
    for (name, status), where in documented.items():
        if (name, status) not in produced and (name, status) not in exempt:
            yield (
                f"{name} ({where}) documents {status}, and no test of tests/api brings it about: add one that does,"
                f" with a client of tests/api/conftest.py; or take {status} out of its route if it cannot happen."
            )
    for name, status in exempt:
        if (name, status) not in documented or (name, status) in produced:
            yield f"{name} {status} needs no exemption: take it out of EXEMPT in tests/api/produced.py."


def is_whole(config: pytest.Config) -> bool:
    """Tells whether a run covers every test of tests/api, but those that are run by hand."""
    options, start = config.option, config.invocation_params.dir
    above = {HERE, *HERE.parents}
    # what asks at random promises no status
    left_out = {(start / path).resolve() for path in options.ignore or ()} - {HERE / "contract"}
    return (
        any((start / argument).resolve() in above for argument in config.args)
        and options.markexpr == "not by_hand"
        and not (
            options.keyword
            or options.deselect
            or options.ignore_glob
            or options.collectonly
            or getattr(options, "lf", False)
        )
        and not any(path in above or HERE in path.parents for path in left_out)
    )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes what a parallel worker has seen."""
    seen.update((name, status) for name, status in getattr(node, "workeroutput", {}).get(_KEY, ()))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands over what was seen, or fails the run for what was not."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput[_KEY] = sorted(map(list, seen))
    elif session.exitstatus == pytest.ExitCode.OK and is_whole(config):
        from app.api.application import document

        config.stash[_LACKING] = found = list(lacking(document(), seen))
        if found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


_LACKING: Final = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says what is lacking."""
    if found := config.stash.get(_LACKING, []):
        terminalreporter.section("documented answers that no test brings about")
        for sentence in found:
            terminalreporter.line(sentence, red=True)
