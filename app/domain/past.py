"""Time travel: a lead as it was, made of the lead as it is by taking its recorded changes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from app.domain import notes
from app.domain.values import JSON


def rewind(
    shown: Mapping[str, JSON], undone: Iterable[Mapping[str, Mapping[str, JSON]]], custom: Collection[str] = ()
) -> dict[str, JSON]:
    """Returns a lead, in the form the API shows, as it was before some changes.

    What a change names beside the lead's fields (that it was deleted, or merged) goes back like a field.

    Args:
        shown: the lead as it is
        undone: the changes to take back, the newest first; each by field, with its `old` value
        custom: those `custom.<key>` that had been set before all of these changes: such a key stays, emptied or not
    """
    lead, keys = dict(shown), dict(shown["custom"])
    for changes in undone:
        for name, change in changes.items():
            old = change["old"]
            if name.startswith("custom."):
                keys[name.removeprefix("custom.")] = old
                if old is None and name not in custom:
                    del keys[name.removeprefix("custom.")]
            elif name == "notes":
                lead[name] = notes.render(old)
            else:
                lead[name] = (old or {}) if name == "metadata" else old
    return lead | {"custom": keys}
