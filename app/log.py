"""Logs: one event per line, `noun.verb` with facts as keywords; secrets and payloads never."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_KEYS = re.compile(r"(token|secret|api_key|authorization|password|payload|body)$", re.IGNORECASE)
_SECRET_VALUES = re.compile(r"(pat[A-Za-z0-9]{14}\.[0-9a-f]{20,}|lk_[A-Za-z0-9_-]{20,}|Bearer\s+\S+)")


class _Libraries(logging.Handler):
    """Writes what libraries log to where errors go now."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


_LIBRARIES = _Libraries()


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Removes secrets by the name of their key and by their looks."""
    for key, value in event.items():
        if _SECRET_KEYS.search(key):
            event[key] = "…"
        elif isinstance(value, str):
            event[key] = _SECRET_VALUES.sub("…", value)
    return event


def configure(level: str = "INFO", *, as_json: bool = False) -> None:
    """Sets logging up for a process; called by entry points. What libraries log becomes such an event, too."""
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    first: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    last: list[Any] = [structlog.processors.format_exc_info, redact, renderer]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _LIBRARIES.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[_LIBRARIES])
    logging.getLogger().setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    # every part that misses the database says so itself, in a word instead of a traceback
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
