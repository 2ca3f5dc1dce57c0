"""Our end of a worker's socket: bytes go out, and what comes in is handed on at once. Knows no frames and no processes.

Handed on by a call, not through a stream and a task that reads it: a token of an answer would wake the event loop once more for each.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast


class Connection(asyncio.Protocol):
    """Make one with `over`. Nothing is taken from the socket before somebody listens."""

    _transport: asyncio.Transport
    _take: Callable[[bytes], None]
    _end: Callable[[], None] | None = None

    @classmethod
    async def over(cls, end: socket.socket) -> "Connection":
        """A connection that owns this end."""
        return (await asyncio.get_running_loop().create_unix_connection(cls, sock=end))[1]

    def listen(self, take: Callable[[bytes], None], end: Callable[[], None]) -> None:
        """From now on hand every piece to `take`, and call `end` once there is no more. Neither may raise."""
        self._take, self._end = take, end
        self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send this as soon as it goes; to one that has hung up it is not sent."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._end is not None:
            self._end()
