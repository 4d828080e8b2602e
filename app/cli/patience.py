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
    _timer: asyncio.TimerHandle | None = None
    #: bytes received of a head that is not complete
    _head: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
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
        self._forget()
        self._head = 0
        self._timer = self.loop.call_later(self.seconds, self.transport.close)

    def _forget(self) -> None:
        self._head = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
