"""Sorted indexes: a page is found by bisection, and bulk loading stays linear."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K", str, tuple[str, str])


class SortedKeys(Generic[K]):
    """Unique keys in ascending order; appended as they come, sorted when they are read."""

    def __init__(self) -> None:
        self._keys: list[K] = []
        self._sorted = True

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: K) -> None:
        if self._keys and key < self._keys[-1]:
            self._sorted = False
        self._keys.append(key)

    def remove(self, key: K) -> None:
        self._sort()
        del self._keys[bisect_left(self._keys, key)]

    def after(self, key: K | None) -> Iterator[K]:
        """Yields the keys above `key` (all of them for None), ascending."""
        self._sort()
        start = 0 if key is None else bisect_right(self._keys, key)
        for index in range(start, len(self._keys)):
            yield self._keys[index]

    def before(self, key: K | None) -> Iterator[K]:
        """Yields the keys below `key` (all of them for None), descending."""
        self._sort()
        end = len(self._keys) if key is None else bisect_left(self._keys, key)
        for index in range(end - 1, -1, -1):
            yield self._keys[index]

    def _sort(self) -> None:
        if not self._sorted:
            self._keys.sort()
            self._sorted = True


class Shelf:
    """The leads of one campaign, or of the whole workspace, by id and by address."""

    def __init__(self) -> None:
        self.ids: SortedKeys[str] = SortedKeys()
        self.emails: SortedKeys[str] = SortedKeys()
        #: lower-case address -> lead ids
        self.by_email: dict[str, list[str]] = {}

    def put(self, lead_id: str, email: str | None) -> None:
        self.ids.add(lead_id)
        if email is None:
            return
        rows = self.by_email.setdefault(email.lower(), [])
        if not rows:
            self.emails.add(email.lower())
        rows.append(lead_id)

    def take(self, lead_id: str, email: str | None) -> None:
        self.ids.remove(lead_id)
        if email is None:
            return
        rows = self.by_email[email.lower()]
        rows.remove(lead_id)
        if not rows:
            del self.by_email[email.lower()]
            self.emails.remove(email.lower())
