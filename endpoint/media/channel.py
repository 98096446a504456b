"""One end of the socketpair between the two planes: whole records, never blocking."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from endpoint.errors import MediaError

_RECORD_LIMIT = 1 << 18
_SEND_BUFFER = 1 << 20
_QUEUE_LIMIT = 8192
_RECORDS_A_TURN = 16


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends that keep the borders of records."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """Sends and receives records over one end of the pair, in order.

    What the far side does not read yet is kept; after 8192 records it is given up and the channel
    closes. `received` is called with each record, `closed` once: when the far side has gone or was
    given up, not for our own `close`.
    """

    def __init__(
        self,
        end: socket.socket,
        received: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._end = end
        self._received = received
        self._closed = closed
        self._waiting: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._loop.add_reader(end, self._read)

    @property
    def is_open(self) -> bool:
        """False once either side has gone."""
        return self._open

    def send(self, record: bytes) -> None:
        """Send now, or as soon as the far side reads. Nothing happens on a closed channel.

        Raises MediaError for a record that the far side could not take whole.
        """
        if len(record) > _RECORD_LIMIT:
            raise MediaError(f"a message of {len(record)} octets, at most {_RECORD_LIMIT} allowed")
        if not self._open:
            return
        if self._waiting:
            self._keep(record)
            return
        try:
            self._end.send(record)
        except BlockingIOError:
            self._keep(record)
            self._loop.add_writer(self._end, self._write)
        except OSError:
            self._lose()

    def close(self) -> None:
        """Close our end; the far side sees the end of the stream."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)
            self._end.close()

    def _keep(self, record: bytes) -> None:
        if len(self._waiting) >= _QUEUE_LIMIT:
            self._lose()
            return
        self._waiting.append(record)

    def _write(self) -> None:
        try:
            while self._waiting:
                self._end.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        self._loop.remove_writer(self._end)

    def _read(self) -> None:
        # A bounded number a turn, so that a flood of messages never holds up the sockets beside it.
        for _ in range(_RECORDS_A_TURN):
            if not self._open:
                return
            try:
                record = self._end.recv(_RECORD_LIMIT)
            except BlockingIOError:
                return
            except OSError:
                self._lose()
                return
            if not record:
                self._lose()
                return
            self._received(record)

    def _lose(self) -> None:
        self.close()
        self._closed()
