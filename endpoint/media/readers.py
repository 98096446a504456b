"""Who reads which socket of audio: one epoll for them all, read by the loop or by the beat."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final

Reader = Callable[[], None]
_AT_ONCE: Final = 4096


class Readers:
    """Calls each socket's reader while there is something to read.

    An event loop wraps each readable socket into a handle and a context, which costs as much as to
    read the packet. So the loop watches one descriptor here, or none while a `Pace` asks instead.
    Where there is no epoll, every socket is the loop's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._readers: dict[int, Reader] = {}
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self.asked_by_loop(True)

    def add(self, readable: socket.socket, reader: Reader) -> None:
        """Let a reader take what comes, in place of one before. It reads what it wants of it."""
        if self._epoll is None:
            self._loop.add_reader(readable, reader)
            return
        descriptor = readable.fileno()
        if descriptor not in self._readers:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def remove(self, readable: socket.socket) -> None:
        """Read it no more, before it is closed. Harmless where nobody reads it."""
        if self._epoll is None:
            self._loop.remove_reader(readable)
        elif self._readers.pop(readable.fileno(), None) is not None:
            self._epoll.unregister(readable)

    def read(self) -> None:
        """Call the readers of all sockets that can be read now."""
        if self._epoll is None:
            return
        readers = self._readers
        for descriptor, _ in self._epoll.poll(0, _AT_ONCE):
            reader = readers.get(descriptor)
            if reader is None:
                continue  # closed by another one's reader
            try:
                reader()
            except Exception as error:
                # As a loop has it: of one, and the others go on.
                self._loop.call_exception_handler(
                    {"message": "a reader of audio broke", "exception": error}
                )

    def asked_by_loop(self, is_asked: bool) -> None:
        """Whether the loop calls `read`, or somebody who says so here."""
        if self._epoll is None:
            return
        if is_asked:
            self._loop.add_reader(self._epoll.fileno(), self.read)
        else:
            self._loop.remove_reader(self._epoll.fileno())

    def close(self) -> None:
        """Give the epoll back; the sockets are their owners'."""
        if self._epoll is not None:
            self.asked_by_loop(False)
            self._epoll.close()
