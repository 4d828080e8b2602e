"""The OpenAPI document as a file: made without a database, the same for the same code."""

from __future__ import annotations

from typing import Any

from app.api import application


def document() -> dict[str, Any]:
    """Returns the service's OpenAPI document."""
    return application.build().openapi()
