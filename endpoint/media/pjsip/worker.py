"""The PJSIP process: `python -m endpoint.media.pjsip.worker FD SETTINGS`.

FD is its end of the socketpair. It ends when the other end closes, after its calls have ended and
its registration is taken back.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from typing import Final

import structlog

from endpoint import logpipe
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.channel import Channel
from endpoint.media.clock import FrameClock
from endpoint.media.pjsip import messages as w
from endpoint.media.pjsip.account import Line
from endpoint.media.pjsip.library import Library, says_full

log = structlog.get_logger(__name__)

_POLL_S: Final = 0.005
_IDLE_POLL_S: Final = 0.02
_GOODBYE_S: Final = 0.5
"""So long calls have to end before PJSIP does: objects of theirs may not outlive it."""


class Worker:
    """One account, asked over the pair."""

    def __init__(self, end: socket.socket) -> None:
        self._gone = asyncio.Event()
        self._channel = Channel(end, self._receive, self._gone.set)
        self._library = Library()
        self._library.open(self._warned, "")
        self._line = Line(self._library, self._tell)
        self._clock = FrameClock(self._line.tick)

    async def run(self) -> None:
        """Do what is asked until the other end closes."""
        try:
            while not self._gone.is_set():
                await self._turn()
        finally:
            await self._leave()
            self._channel.close()

    async def _turn(self) -> None:
        self._library.poll()
        self._line.over.clear()
        if self._line.calls:
            self._clock.start()
        else:
            self._clock.stop()
        await asyncio.sleep(_POLL_S if self._line.calls else _IDLE_POLL_S)

    async def _leave(self) -> None:
        """In this order, or PJSIP ends us by an assertion."""
        self._clock.stop()
        self._library.hang_up_all()
        self._line.shutdown()
        loop = asyncio.get_running_loop()
        until = loop.time() + _GOODBYE_S
        while loop.time() < until:
            self._library.poll()
            await asyncio.sleep(_POLL_S)
        self._line.calls.clear()
        self._line.over.clear()
        del self._line
        gc.collect()
        self._library.close()

    def _warned(self, line: bytes) -> None:
        if says_full(line):
            self._tell(w.LineFull())
        log.warning("PJSIP", text=line.decode("utf-8", "replace").strip())

    def _tell(self, message: w.LineNotice | m.Reply | m.Failed) -> None:
        self._channel.send(m.encode(message))

    def _receive(self, record: bytes) -> None:
        command = w.decode_command(record)
        try:
            self._do(command)
        except MediaError as exc:
            self._tell(m.Failed(command.id, str(exc)))
        except Exception as exc:
            log.exception("PJSIP refused", command=type(command).__name__)
            self._tell(m.Failed(command.id, f"PJSIP: {exc}"))
        else:
            self._tell(m.Reply(command.id, m.Done()))

    def _do(self, command: w.LineCommand) -> None:
        line = self._line
        match command:
            case m.Ping():
                pass
            case w.OpenLine():
                line.open(command)
            case w.CloseLine():
                line.close()
            case w.PlaceCall():
                line.place(command)
            case w.RingCall(call=call, host=host, rtp_port=port):
                line.call_named(call).ring(host, port)
            case w.AnswerCall(call=call, host=host, rtp_port=port):
                line.call_named(call).accept(host, port)
            case w.EndCall(call=call, status=status):
                line.call_named(call).end(status)
            case w.HoldCall(call=call, held=held):
                line.call_named(call).hold_far_end(held)
            case w.SendDigit(call=call, digit=digit, duration_ms=duration_ms, by_info=by_info):
                line.call_named(call).send_digit(digit, duration_ms, by_info)
            case w.ReferCall(call=call, refer_to=refer_to, referred_by=referred_by):
                line.call_named(call).refer(refer_to, referred_by)


def main(arguments: list[str]) -> None:
    """Run until the control plane goes."""
    end = socket.socket(fileno=int(arguments[0]))
    # PJSIP greets there before it can be told not to.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
    logpipe.install()
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, plain],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

    async def serve() -> None:
        await Worker(end).run()

    try:
        asyncio.run(serve())
    except MediaError as exc:
        sys.exit(f"PJSIP process: {exc}")


if __name__ == "__main__":
    main(sys.argv[1:])
