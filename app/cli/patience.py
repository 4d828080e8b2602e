"""How long a client may take to send a request, and how long its head may be.

The proxy that is shipped sees to that, too; without it a head without an end would fill the memory, and clients that
vanished in the middle of a request would hold their places for ever.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes a request's head may have beside the piece it begins in: httptools itself takes any number.
HEAD_BYTES: Final = 65_536


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection whose request does not come to its end."""

    #: in which a request must be there, with its body
    seconds = 30.0
    #: when the request under way must be there, by the loop's clock; None: none is
    _deadline: float | None = None
    #: looks at the deadline and moves along with it; one per request would cost more than the rest of this class
    _timer: asyncio.TimerHandle | None = None
    #: bytes received of a head that is not complete
    _head: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        scope = self.scope
        super().data_received(data)
        # of a head that began in these bytes nobody knows where
        if self._head is not None and self.scope is scope:
            self._head += len(data)
            if self._head > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._forget()
        super().on_message_complete()

    def _expect(self) -> None:
        self._head = 0
        self._deadline = self.loop.time() + self.seconds
        if self._timer is None:
            self._timer = self.loop.call_at(self._deadline, self._look)

    def _forget(self) -> None:
        self._head = self._deadline = None

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._look)
        else:
            self.transport.close()
