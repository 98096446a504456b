"""The media worker: a plane in a process of its own, `python -m endpoint.media.worker FD SETTINGS`.

FD is its end of the socketpair. It ends when the other end closes: without a control plane there is
nobody to end the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import sys
from importlib import import_module

import msgspec

from endpoint import logpipe
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.channel import Channel
from endpoint.media.pace import Pace
from endpoint.media.plane import Plane
from endpoint.media.settings import MediaSettings


async def serve(end: socket.socket, settings: MediaSettings) -> None:
    """Do what is asked on the pair until its other end closes."""
    if settings.webrtc_ready:
        # In a thread: a worker that replaces a dead one takes ports at once.
        asyncio.get_running_loop().run_in_executor(None, _load_webrtc)
    gone = asyncio.Event()
    channel = Channel(end, lambda record: plane.handle(m.decode_command(record)), gone.set)
    try:
        async with Plane(settings, lambda message: channel.send(m.encode(message))) as plane:
            with Pace(*settings.beat_s, plane.streams, plane.readers):
                await gone.wait()
    finally:
        channel.close()


def _load_webrtc() -> None:
    import_module("endpoint.media.webrtc")
    # As below: a full collection of what this brings takes 60 ms and more.
    gc.freeze()


def _prepare(settings: MediaSettings) -> None:
    if settings.cpu_affinity:
        os.sched_setaffinity(0, settings.cpu_affinity)
    # Audio is late after a millisecond, nothing else here is. Without the right, as anybody else.
    if settings.realtime_priority:
        with contextlib.suppress(PermissionError):
            priority = os.sched_param(settings.realtime_priority)
            os.sched_setscheduler(0, os.SCHED_RR, priority)
    # Two descriptors a port, and the usual soft limit is 1024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What is loaded now lives for ever: no collection needs to look at it in mid-stream.
    gc.freeze()


def main(arguments: list[str]) -> None:
    """Run until the control plane goes."""
    logpipe.install()
    end = socket.socket(fileno=int(arguments[0]))
    settings = msgspec.json.decode(arguments[1], type=MediaSettings)
    _prepare(settings)
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    try:
        run(serve(end, settings))
    except MediaError as exc:
        sys.exit(f"media worker: {exc}")


if __name__ == "__main__":
    main(sys.argv[1:])
