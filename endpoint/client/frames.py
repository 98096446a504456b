"""The frames of a WebSocket of the native interface, each of its type."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Self, TypeVar

import aiohttp
import msgspec

F = TypeVar("F")


class FramesOf(Generic[F]):
    """An async iterator over them. Giving up waiting for one loses none."""

    decoder: ClassVar[msgspec.json.Decoder[Any]]
    """Of all that may come."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.close_code: int | None = None
        """Why the iteration has ended: 1001 the endpoint stops, 4401 the token is over.

        None while it has not, and where the connection broke.
        """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> F:
        """The next frame; the iteration ends when the endpoint says goodbye, or is gone."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            frame: F = self.decoder.decode(message.data)
            return frame
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.close_code = message.data
        raise StopAsyncIteration
