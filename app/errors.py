"""The root of every error Leadkeeper raises on purpose.

Each room adds its own family; the message of an error is one sentence that names the thing and the remedy.
"""

from __future__ import annotations


class LeadkeeperError(Exception):
    """Something Leadkeeper can explain to the person who asked for it."""

    def __str__(self) -> str:
        """Returns the message; an error raised without one says what its class says."""
        return super().__str__() or str(self.__doc__)
