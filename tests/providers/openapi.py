"""Holds recorded HTTP traffic against an OpenAPI 3.1 document, request by request and answer by answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and its answer."""

    request: httpx.Request
    response: httpx.Response


class Recording(httpx.AsyncBaseTransport):
    """Passes calls on, and keeps what was said."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.exchanges: list[Exchange] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self.exchanges.append(Exchange(request, response))
        return response


class Document:
    """A published OpenAPI document."""

    def __init__(self, path: Path) -> None:
        loaded = json.loads(path.read_bytes())
        self._schemas: dict[str, Any] = loaded["components"]["schemas"]
        self._operations = [
            (re.compile(re.sub(r"{\w+}", "([^/]+)", template)), template, operations)
            for template, operations in loaded["paths"].items()
        ]
        # the address that names more comes first: /webhooks/event-types before /webhooks/{id}
        self._operations.sort(key=lambda entry: entry[1].count("{"))
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def findings_of_request(self, request: httpx.Request) -> Iterator[str]:
        """Yields what the document does not allow, each as `request METHOD /path: where: what`."""
        name, template, operation = self._operation(request)
        if operation is None:
            yield f"request {name}: not documented"
            return
        for finding in [*self._of_parameters(request, template, operation), *self._of_body(request, name, operation)]:
            yield f"request {name}: {finding}"

    def findings_of_response(self, exchange: Exchange) -> Iterator[str]:
        """Yields what the document does not allow, each as `response STATUS METHOD /path: where: what`."""
        name, _, operation = self._operation(exchange.request)
        status, response = str(exchange.response.status_code), exchange.response
        if operation is None:
            yield f"response {status} {name}: not documented"
            return
        described = operation["responses"].get(status)
        if described is None:
            yield f"response {status} {name}: status not documented"
            return
        schema = described.get("content", {}).get(JSON_TYPE, {}).get("schema")
        if not response.headers.get("content-type", "").startswith(JSON_TYPE):
            yield f"response {status} {name}: no JSON"
        elif schema is not None:
            for finding in self._errors(f"response {status} {name}", schema, response.json()):
                yield f"response {status} {name}: {finding}"

    def _operation(self, request: httpx.Request) -> tuple[str, str, dict[str, Any] | None]:
        for pattern, template, operations in self._operations:
            if pattern.fullmatch(request.url.path) and request.method.lower() in operations:
                return f"{request.method} {template}", template, operations[request.method.lower()]
        return f"{request.method} {request.url.path}", request.url.path, None

    def _of_parameters(self, request: httpx.Request, template: str, operation: dict[str, Any]) -> Iterator[str]:
        declared = {(p["in"], p["name"]): p for p in operation.get("parameters", [])}
        given = {name: request.url.params.get_list(name) for name in request.url.params}
        for (place, name), parameter in declared.items():
            if place == "query" and parameter.get("required") and name not in given:
                yield f"?{name}: missing"
        for name, texts in given.items():
            parameter = declared.get(("query", name), {})
            if not parameter:
                yield f"?{name}: not documented"
                continue
            schema = parameter["schema"]
            value = [_read(t, schema["items"]) for t in texts] if schema["type"] == "array" else _read(texts[0], schema)
            for finding in self._errors(f"{template}?{name}", schema, value):
                yield f"?{name} {finding}"
        names, values = re.findall(r"{(\w+)}", template), _values(template, request.url.path)
        for name, text in zip(names, values, strict=True):
            schema = declared["path", name]["schema"]
            for finding in self._errors(f"{template}#{name}", schema, _read(text, schema)):
                yield f"{{{name}}} {finding}"

    def _of_body(self, request: httpx.Request, name: str, operation: dict[str, Any]) -> Iterator[str]:
        described, content = operation.get("requestBody"), request.content
        is_json = request.headers.get("content-type", "").startswith(JSON_TYPE)
        if bool(content) != is_json:
            yield "body: a JSON content type goes with a body, and a body with it"
        if not content:
            if described and described.get("required"):
                yield "body: missing"
        elif described is None:
            yield "body: not documented"
        else:
            schema, body = described["content"][JSON_TYPE]["schema"], json.loads(content)
            # an unknown key is dropped in silence, and a filter that is dropped means everything
            for key in body.keys() - schema.get("properties", {}).keys():
                yield f"body: {key}: not documented"
            yield from self._errors(f"body {request.method} {name}", schema, body)

    def _errors(self, key: str, schema: dict[str, Any], value: Any) -> Iterator[str]:
        validator = self._validators.get(key)
        if validator is None:
            whole = schema | {"components": {"schemas": self._named_in(schema)}}
            validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
            self._validators[key] = validator
        for error in validator.iter_errors(value):
            where = "/".join("*" if isinstance(part, int) else str(part) for part in error.instance_path)
            yield f"{where or '.'}: {error.message[:200]}"

    def _named_in(self, schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop())):
                if name not in found:
                    found[name] = self._schemas[name]
                    waiting.append(found[name])
        return found


def _read(text: str, schema: dict[str, Any]) -> Any:
    """Returns a parameter as the type it is declared with; as text where it is none of it."""
    kind = schema.get("type")
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"{\w+}", "([^/]+)", template))


def _values(template: str, path: str) -> tuple[str, ...]:
    found = _pattern(template).fullmatch(path)
    return tuple(found.groups()) if found else ()
