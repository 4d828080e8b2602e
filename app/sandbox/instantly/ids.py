"""Ids as Instantly hands them out, drawn from the seeded generator: UUIDv7 now, UUIDv4 for older objects."""

from __future__ import annotations

import random
from datetime import datetime


class Ids:
    """Makes ids; the same calls at the same times give the same ids."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last = -1
        self._sequence = 0

    def new(self, at: datetime) -> str:
        """Returns a UUIDv7 that sorts above every one made before it, unless `at` lies earlier."""
        ms = int(at.timestamp() * 1000)
        if ms == self._last and self._sequence < 0xFFF:
            self._sequence += 1
        else:
            # A full millisecond continues in the next one.
            ms += ms == self._last
            self._last, self._sequence = ms, 0
        rest = self._rng.getrandbits(62) | 1 << 63
        return _dashed(f"{ms:012x}7{self._sequence:03x}{rest:016x}")

    def old(self) -> str:
        """Returns a UUIDv4."""
        bits = self._rng.getrandbits(122)
        return _dashed(f"{bits >> 74:012x}4{bits >> 62 & 0xFFF:03x}{bits & (1 << 62) - 1 | 1 << 63:016x}")

    def job(self, at: datetime) -> str:
        """Returns a 24-hex id, the shape of background jobs."""
        return f"{int(at.timestamp()):08x}{self._rng.getrandbits(64):016x}"


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
