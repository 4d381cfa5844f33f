"""HTTP and WebSocket as uvicorn speaks them, with an end to requests that never come whole, and no traceback for those
that are malformed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

REQUEST_S = 10.0  # from the first byte of a request to its last; uvicorn has no such limit


class HTTP(H11Protocol):
    """HTTP whose requests must be whole within `REQUEST_S`."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that is not whole yet has its deadline."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        super().connection_lost(exc)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is malformed, where no answer to the same connection is under way."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _watch(self) -> None:
        is_whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if is_whole or self not in self.connections:  # closed, or a WebSocket by now
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.close)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that closes where the handshake cannot be read."""

    def handle_parser_exception(self) -> None:
        """Close with the reason; without one before the handshake is done."""
        if self.conn.close_sent is None:
            self.transport.close()
        else:
            super().handle_parser_exception()


def quiet(record: logging.LogRecord) -> bool:
    """A filter of uvicorn's log: text that is no UTF-8 is the page's fault, and closes it."""
    return not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError))
