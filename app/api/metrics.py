"""Numbers for Prometheus, in a registry of the app's own (two apps in one process do not add up)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What is counted in this process, and what the database says at the moment of asking."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "leadkeeper_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "leadkeeper_request_seconds",
            "How long answers took.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        #: looking a series up by its labels costs more than counting
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._runs = Gauge("leadkeeper_runs", "Runs in the ledger.", ("kind", "state"), registry=self._registry)
        self._calls = Gauge(
            "leadkeeper_provider_calls", "Provider calls in the ledger.", ("provider",), registry=self._registry
        )
        self._pending = Gauge("leadkeeper_pushes_pending", "Links that wait to be written.", registry=self._registry)

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts an answered request under its route's template, never under its path."""
        route = getattr(scope.get("route"), "path", "none")
        key = (scope["method"] if route != "none" else "any", route, status)
        if (found := self._series.get(key)) is None:
            labels = (key[0], route, str(status))
            found = self._series[key] = (self._requests.labels(*labels), self._seconds.labels(route))
        found[0].inc()
        found[1].observe(seconds)

    def render(self, totals: Iterable[Any]) -> bytes:
        """Returns the exposition, with what the workspaces add up to."""
        sums: dict[tuple[str, str, str], float] = {}
        for row in totals:
            key = (row["name"], row["one"], row["two"])
            sums[key] = sums.get(key, 0) + float(row["n"])
        for gauge in (self._runs, self._calls):
            gauge.clear()
        self._pending.set(0)
        for (name, one, two), value in sums.items():
            match name:
                case "runs":
                    self._runs.labels(one, two).set(value)
                case "calls":
                    self._calls.labels(one).set(value)
                case "pending":
                    self._pending.set(value)
        return generate_latest(self._registry)
