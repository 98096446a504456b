"""What `pjsua2` leaves unbound, by ctypes in the wheel's own libraries; all in one thread.

Nothing of PJSIP's ever calls us from another thread: it has no worker threads, its sockets are
polled, and the clock of its conference bridge is ours. ctypes lets go of the interpreter in a call,
and pybind does not: with one thread neither matters.
"""

from __future__ import annotations

import ctypes as c
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pjsua2 as pj

from endpoint.audio.frame import FRAME_MS
from endpoint.errors import MediaError
from endpoint.media.pjsip.audio import FRAME_OCTETS, FRAME_SAMPLES
from endpoint.media.pjsip.messages import SAMPLE_RATE_HZ

CODECS: Final = {"G722/16000": 255, "PCMU/8000": 254, "PCMA/8000": 253}
"""In the order of their priorities. All others are off: speex, by default the first, garbles."""
_ALL_CODECS: Final = ("speex/16000", "speex/8000", "speex/32000", "iLBC/8000", "GSM/8000")
_EVENTS_A_POLL: Final = 64
_AUDIO_FRAME: Final = 1
_RX_PACKETS: Final = 156
"""Where `pjsua_stream_stat` counts packets received: rtcp.rx.pkt."""
_LOG_TEXT: Final = b"too many calls"


class _Text(c.Structure):
    _fields_ = (("ptr", c.c_char_p), ("slen", c.c_long))


class _Frame(c.Structure):
    _fields_ = (
        ("type", c.c_int),
        ("buf", c.c_void_p),
        ("size", c.c_size_t),
        ("timestamp", c.c_uint64),
        ("bit_info", c.c_uint32),
    )


_LogFunction = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_int)


def _mapped() -> dict[str, c.CDLL]:
    """The wheel's libraries, by their names without hash; importing `pjsua2` has mapped them."""
    maps = Path("/proc/self/maps").read_text()
    paths = re.findall(r"(/\S+/(lib\w[\w-]*?)-[0-9a-f]{8}\.so\S*)", maps)
    return {name: c.CDLL(path) for path, name in dict.fromkeys(paths) if name in _WANTED}


_WANTED: Final = ("libpjsua", "libpjmedia", "libpj")


class Library:
    """PJSIP, once in a process: `open`, then `poll` and `tick` for ever, then `close`."""

    def __init__(self) -> None:
        libraries = _mapped()
        if set(libraries) != set(_WANTED):
            raise MediaError(f"of PJSIP's libraries only {sorted(libraries)} were found")
        self._pjsua, self._pjmedia = libraries["libpjsua"], libraries["libpjmedia"]
        self._pj = libraries["libpj"]
        self._pjsua.pjsua_set_no_snd_dev.restype = c.c_void_p
        self._pjsua.pjsua_pool_create.restype = c.c_void_p
        self._pjsua.pjsua_pool_create.argtypes = (c.c_char_p, c.c_size_t, c.c_size_t)
        self._pjsua.pjsua_conf_add_port.argtypes = (c.c_void_p, c.c_void_p, c.POINTER(c.c_int))
        self._pjmedia.pjmedia_port_get_frame.argtypes = (c.c_void_p, c.POINTER(_Frame))
        for make in (
            self._pjmedia.pjmedia_mem_player_create,
            self._pjmedia.pjmedia_mem_capture_create,
        ):
            make.argtypes = (
                c.c_void_p,
                c.c_void_p,
                c.c_size_t,
                *(c.c_uint,) * 5,
                c.POINTER(c.c_void_p),
            )
        self._endpoint: Any = None
        self._clocked = (c.c_int16 * FRAME_SAMPLES)()
        self._frame = _Frame()
        self._statistics = (c.c_uint8 * 8192)()
        self._master: int | None = None
        self._pool: int | None = None

    def open(self, warned: Callable[[bytes], None], user_agent: str) -> None:
        """Start it; `warned` gets the lines of its log that are warnings. Raises MediaError."""
        endpoint = self._endpoint = pj.Endpoint()
        endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = False
        config.logConfig.level = config.logConfig.consoleLevel = 2
        config.logConfig.msgLogging = 0
        media = config.medConfig
        media.hasIoqueue, media.threadCnt = False, 0
        media.clockRate = media.sndClockRate = SAMPLE_RATE_HZ
        media.channelCount, media.audioFramePtime = 1, FRAME_MS
        media.ecTailLen, media.noVad = 0, True
        endpoint.libInit(config)
        self._log = _LogFunction(lambda _level, text, size: warned(text[:size]))
        self._pj.pj_log_set_log_func(self._log)
        endpoint.libStart()
        self._master = self._pjsua.pjsua_set_no_snd_dev()
        self._pool = self._pjsua.pjsua_pool_create(b"audio", 4096, 4096)
        if not self._master or not self._pool:
            raise MediaError("PJSIP has no master port or no memory")
        for name in _ALL_CODECS:
            self._prefer(name, 0)
        for name, priority in CODECS.items():
            self._prefer(name, priority)

    def close(self) -> None:
        """End it. Every call and account is gone, and nothing refers to one any more."""
        self._endpoint.libDestroy()

    @property
    def endpoint(self) -> Any:
        """The `pjsua2.Endpoint`."""
        return self._endpoint

    def poll(self) -> None:
        """Do what timers and sockets ask for; callbacks come from here."""
        for _ in range(_EVENTS_A_POLL):
            if self._pjsua.pjsua_handle_events(c.c_uint(0)) <= 0:
                return

    def tick(self) -> None:
        """Let the bridge mix its next 20 ms."""
        frame = self._frame
        frame.type, frame.size = _AUDIO_FRAME, FRAME_OCTETS
        frame.buf = c.addressof(self._clocked)
        frame.timestamp += FRAME_SAMPLES
        self._pjmedia.pjmedia_port_get_frame(self._master, c.byref(frame))

    def source(self, buffer: c.Array[c.c_char]) -> int:
        """A slot of the bridge that plays a buffer of one frame, each tick anew."""
        return self._add(self._pjmedia.pjmedia_mem_player_create, buffer)

    def sink(self, buffer: c.Array[c.c_char]) -> int:
        """A slot of the bridge that writes what it hears into a buffer of one frame."""
        return self._add(self._pjmedia.pjmedia_mem_capture_create, buffer)

    def _add(self, make: Any, buffer: c.Array[c.c_char]) -> int:
        port, slot = c.c_void_p(), c.c_int(-1)
        shape = (SAMPLE_RATE_HZ, 1, FRAME_SAMPLES, 16, 0)
        status = make(self._pool, c.addressof(buffer), FRAME_OCTETS, *shape, c.byref(port))
        status = status or self._pjsua.pjsua_conf_add_port(self._pool, port, c.byref(slot))
        if status:
            raise MediaError(f"PJSIP's bridge takes no port: status {status}")
        return slot.value

    def connect(self, source: int, sink: int) -> None:
        """Let a slot be heard in another."""
        self._pjsua.pjsua_conf_connect(source, sink)

    def disconnect(self, source: int, sink: int) -> None:
        """No longer. Harmless where it was not, or a slot is gone."""
        self._pjsua.pjsua_conf_disconnect(source, sink)

    def slot_of(self, call: int) -> int:
        """Where a call is on the bridge; -1 where it has no audio now."""
        return int(self._pjsua.pjsua_call_get_conf_port(call))

    def packets_of(self, call: int) -> int:
        """RTP packets that came in a call; starts anew with each re-INVITE."""
        if self._pjsua.pjsua_call_get_stream_stat(call, 0, self._statistics):
            return 0
        return c.c_uint32.from_buffer(self._statistics, _RX_PACKETS).value

    def hang_up_all(self) -> None:
        """End every call."""
        self._pjsua.pjsua_call_hangup_all()

    def _prefer(self, codec: str, priority: int) -> None:
        name = codec.encode()
        text = _Text(name, len(name))
        self._pjsua.pjsua_codec_set_priority(c.byref(text), c.c_uint8(priority))


def says_full(warning: bytes) -> bool:
    """Whether a line of the log says that a call was refused as there are four."""
    return _LOG_TEXT in warning
