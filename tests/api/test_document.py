"""The OpenAPI document is a product: whoever reads only that can use the API.

These tests walk the document, so they cover every route that is added; what they say names the operation, what it
lacks, and where to add it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from app.api import application
from app.api.application import document
from app.api.schemas.shape import At, Body, Shown

DOCUMENT = document()
Operation = dict[str, Any]
OPERATIONS: dict[str, tuple[str, str, Operation]] = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
TAGS = [tag["name"] for tag in DOCUMENT["tags"]]
#: Answers without a body.
BARE = ("204", "304")


def media(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of an operation with where it is: the request's and each answer's, each media type."""
    for kind, found in operation.get("requestBody", {}).get("content", {}).items():
        yield f"the request's {kind}", found
    for status, response in operation["responses"].items():
        for kind, found in response.get("content", {}).items():
            yield f"the {status}'s {kind}", found


def examples(found: dict[str, Any]) -> list[Any]:
    """The examples of one body, whichever of the two ways they are declared."""
    named = [example["value"] for example in found.get("examples", {}).values()]
    return named + ([found["example"]] if "example" in found else [])


def validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    """A validator that finds the document's shapes."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def wanted(method: str, path: str, operation: Operation) -> dict[str, str]:
    """The statuses an operation cannot be without, and why."""
    if "x-roles" not in operation:
        # deliveries are taken as they come
        return {"413": "it takes a body"} if "requestBody" in operation else {}
    found = dict.fromkeys(("401", "403", "429", "503"), "it asks for a key")
    if path.count("{"):
        found |= {"404": "its path holds an id: declare refuses(404)", "422": "its path holds an id"}
    if "requestBody" in operation:
        found |= {"400": "it takes a body", "413": "it takes a body", "422": "it takes a body"}
    if any(p["name"] == "If-Match" for p in operation.get("parameters", ())):
        found["412"] = "it takes If-Match: declare refuses(412)"
    return found


def lacks(method: str, path: str, operation: Operation) -> Iterator[str]:
    """What an operation lacks, each with what to add."""
    if not operation.get("summary") or operation["summary"].endswith("."):
        yield "a summary: a few words without a full stop, as `summary=` of its route"
    if not re.match(r"[A-Z][\s\S]*\.", operation.get("description", "").partition("Roles: ")[0]):
        yield "a description: sentences, as the docstring of its function"
    if not re.fullmatch(r"[a-z]+([A-Z][a-z]*)+", operation["operationId"]):
        yield "an operation id of its own, as `operation_id=` of its route: a verb and a thing, listLeads"
    if len(operation.get("tags", ())) != 1 or operation["tags"][0] not in TAGS:
        yield "exactly one tag that is in TAGS of app/api/describe.py, which is the reading order"
    for parameter in operation.get("parameters", ()):
        if not parameter.get("description"):
            yield f"a description of its parameter {parameter['name']}"
    for status, why in wanted(method, path, operation).items():
        if status not in operation["responses"]:
            yield f"the answer {status}, since {why}"
    if not any(status[0] == "2" for status in operation["responses"]):
        yield "an answer of success"
    for status, response in operation["responses"].items():
        if not response.get("description"):
            yield f"a description of its {status}"
        if status not in BARE and not response.get("content"):
            yield f"a body for its {status}: declare response_model, or the content in responses"
        if int(status) >= 308 and status != "304" and list(response.get("content", ())) != ["application/problem+json"]:
            yield f"a problem as its {status}: declare refuses({status})"
    for where, found in media(operation):
        if "schema" not in found:
            yield f"a schema of {where}"
        elif not examples(found):
            yield f"an example of {where}: declare `model_config = example(...)` with the shape"
        else:
            check = validator(found["schema"])
            for example in examples(found):
                for error in check.iter_errors(example):
                    yield f"an example of {where} that fits its schema: at {error.instance_path}, {error.message}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_can_be_used_by_reading_about_it(name: str) -> None:
    method, path, operation = OPERATIONS[name]

    missing = [f"{name} ({method.upper()} {path}) lacks {what}" for what in lacks(method, path, operation)]

    assert missing == []


def test_every_operation_has_an_id_of_its_own() -> None:
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values())


def test_a_bound_is_said_in_words_that_a_schema_knows() -> None:
    names = {name for shape in DOCUMENT["components"]["schemas"].values() for name in words(shape)}

    assert "minimum" in names
    assert not names & {"ge", "gt", "le", "lt", "min_length", "max_length"}


def test_tags_are_in_reading_order() -> None:
    """Routes appear in the order of their tags, and no tag is described for nothing."""
    used = list(dict.fromkeys(operation["tags"][0] for _, _, operation in OPERATIONS.values()))

    assert used == TAGS, "Put ROUTERS (app/api/application.py) and TAGS (app/api/describe.py) into the same order."


def test_an_errors_example_is_one_of_that_status_and_operation() -> None:
    for name, (_, path, operation) in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for example in examples(response.get("content", {}).get("application/problem+json", {})):
                assert example["status"] == int(status), name
        if "{lead_id}" in path:
            assert "no lead" in str(operation["responses"]["404"]), name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"summary": ""}, "a summary"),
        ({"description": "Roles: admin."}, "a description"),
        ({"operationId": "leads"}, "an operation id"),
        ({"tags": ["unheard of"]}, "exactly one tag"),
        ({"parameters": [{"name": "lead_id", "in": "path"}]}, "a description of its parameter lead_id"),
        ({"responses": {"200": {"description": "OK"}}}, "the answer 401"),
        (
            {"responses": {"200": {"description": "OK", "content": {"text/plain": {"schema": {}}}}}},
            "an example of the 200's text/plain",
        ),
    ],
)
def test_what_an_operation_lacks_is_found(change: Operation, expected: str) -> None:
    """The walk itself, on an operation with one thing taken away."""
    method, path, operation = OPERATIONS["getLead"]

    assert any(what.startswith(expected) for what in lacks(method, path, {**operation, **change}))


def words(schema: Any) -> Iterator[str]:
    """The words a schema is written in; the names of its fields are none of them."""
    for word, said in schema.items() if isinstance(schema, dict) else ():
        yield word
        for part in said.values() if word == "properties" else said if isinstance(said, list) else [said]:
            yield from words(part)


def kinds(schema: Any) -> set[str]:
    """The JSON types a schema takes."""
    here = {schema["type"]} if "type" in schema else set()
    return here.union(*(kinds(one) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))))


def formats(schema: Any) -> set[str]:
    """The formats of texts a schema takes."""
    here = {schema["format"]} if "format" in schema else set()
    return here.union(*map(formats, schema.get("anyOf", ())))


def shapes(base: type[Any]) -> Iterator[type[Any]]:
    """The shapes of ours that are made from one."""
    for shape in base.__subclasses__():
        if shape.__module__.startswith("app."):
            yield shape
        yield from shapes(shape)


def taken(shape: type[Body]) -> Iterator[str]:
    """What a request's shape takes although its schema does not."""
    for name, schema in shape.model_json_schema(ref_template="{model}")["properties"].items():
        known = kinds(schema)
        for kind, value in (("string", "1"), ("integer", 1), ("boolean", True)):
            if known and kind not in known and not (kind == "integer" and "number" in known):
                with contextlib.suppress(ValidationError):
                    shape.__pydantic_validator__.validate_assignment(shape.model_construct(), name, value)
                    yield f"{shape.__name__}.{name} takes {value!r}"


def test_every_answer_writes_a_moment_the_same() -> None:
    def is_bare(hint: Any) -> bool:
        return hint is datetime or (get_origin(hint) is not Annotated and any(map(is_bare, get_args(hint))))

    hints = {
        (shape.__name__, name): hint
        for shape in shapes(Shown)
        for name, hint in get_type_hints(shape, include_extras=True).items()
    }
    at = TypeAdapter(At).dump_json(datetime(2026, 3, 2, 10, 15, tzinfo=timezone(timedelta(hours=1))))

    assert [place for place, hint in hints.items() if is_bare(hint)] == [], "Use At of app/api/schemas/shape.py."
    assert at == b'"2026-03-02T09:15:00.000Z"'


def test_a_request_takes_nothing_for_what_it_is_not() -> None:
    """What pydantic would read into a boolean, a number or an instant is refused, as the document says."""
    wrong = [one for shape in shapes(Body) for one in taken(shape)]

    assert wrong == [], "Declare these as Flag, Whole or Instant of app/api/schemas/shape.py."


def test_a_query_takes_no_number_for_a_time() -> None:
    times = [
        (route.operation_id, field)
        for route in application.build().routes
        if isinstance(route, APIRoute)
        for field in route.dependant.query_params
        if {"date", "date-time"} & formats(TypeAdapter(field.field_info.annotation or str).json_schema())
    ]
    wrong = [
        f"{name} takes {text} as {field.alias}"
        for name, field in times
        for text in ("0", "0.5", "20260302")
        if not field.validate(text, {}, loc=("query", field.alias))[1]
    ]

    assert times
    assert wrong == [], "Declare these as QueryInstant or QueryDay of app/api/schemas/shape.py."


def test_what_is_taken_for_something_else_is_found() -> None:
    class Loose(Body):
        is_on: bool = False
        number: int | None = None
        at: AwareDatetime

    assert list(taken(Loose)) == [
        "Loose.is_on takes '1'", "Loose.is_on takes 1", "Loose.number takes '1'", "Loose.number takes True",
        "Loose.at takes 1",
    ]  # fmt: skip


def test_an_example_that_does_not_fit_is_found() -> None:
    method, path, operation = OPERATIONS["getLead"]
    content = operation["responses"]["200"]["content"]["application/json"]
    wrong = {"description": "OK", "content": {"application/json": {**content, "example": {"id": 7}}}}

    found = list(lacks(method, path, {**operation, "responses": {**operation["responses"], "200": wrong}}))

    assert any("fits its schema" in what for what in found)
