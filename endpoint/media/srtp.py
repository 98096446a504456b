"""SRTP (RFC 3711, RFC 7714) by libsrtp itself: both directions of one far end.

pylibsrtp makes a buffer and an exception a packet. Here libsrtp works in the process's one receive
buffer and in one for sending, which halves its cost and makes junk cheap. `_binding` and
`Session._srtp` are private names of pylibsrtp 1.0.0; tests/unit/endpoint/media/test_srtp.py fails
when they move.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import pylibsrtp
from pylibsrtp import _binding

from endpoint.errors import MediaError
from endpoint.media.messages import SrtpKey, SrtpKeys, SrtpProfile
from endpoint.media.transport import BUFFER, LARGEST, READ_AT_MOST, ReceiveInto, Send

_ffi: Final[Any] = _binding.ffi
_lib: Final[Any] = _binding.lib
_OVERHEAD: Final = 16 + 4
"""The most that a profile of ours adds: a GCM tag, and the index in front of RTCP's."""
_REPLAY_WINDOW: Final = 1024
_SMALLEST: Final = 12
_PROFILES: Final = {
    SrtpProfile.AES_CM_128_HMAC_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    SrtpProfile.AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AEAD_AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
_SENT: Final = bytearray(LARGEST + _OVERHEAD)
_SENT_VIEWS: Final = [memoryview(_SENT)[:size] for size in range(len(_SENT) + 1)]
_received_pointer: Final[Any] = _ffi.from_buffer("char[]", BUFFER)
_sent_pointer: Final[Any] = _ffi.from_buffer("char[]", _SENT)
_size: Final[Any] = _ffi.new("int *")
_NOTHING: Final = memoryview(b"")


class SrtpSession:
    """Keys of one far end, with its roll-over counters and replay windows.

    What can't be authenticated, or was there before, is counted and given back as nothing; neither
    ends a call. Our own packets never repeat an index (RFC 3711 §9.1: that would give the key
    stream away), so what is sent twice is dropped here too.

    Raises MediaError for a key that does not fit its profile.
    """

    def __init__(self, keys: SrtpKeys, before: SrtpSession | None = None) -> None:
        """Begin; a direction whose key is that of `before`, which is used no more, goes on."""
        self.refused_packets = 0
        """Not authentic, or replayed."""
        self._keys = keys
        self._incoming: pylibsrtp.Session
        self._outgoing: pylibsrtp.Session
        if before is not None and before._keys.receive == keys.receive:
            self._incoming = before._incoming
        else:
            self._incoming = _session(keys.receive, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        if before is not None and before._keys.send == keys.send:
            self._outgoing = before._outgoing
        else:
            self._outgoing = _session(keys.send, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        # libsrtp's handles; the sessions own them.
        self._receives: Any = self._incoming._srtp[0]
        self._sends: Any = self._outgoing._srtp[0]

    @property
    def profile(self) -> SrtpProfile:
        """Of what comes."""
        return self._keys.receive.profile

    def has(self, keys: SrtpKeys) -> bool:
        """True for the keys that it was made with: it goes on, and its counters with it."""
        return keys == self._keys

    def unprotect(self, size: int) -> int:
        """Make the packet in `BUFFER` clear, RTP or RTCP. Returns its size then; 0: refused."""
        if size < _SMALLEST:
            self.refused_packets += 1
            return 0
        _size[0] = size
        is_rtcp = 192 <= BUFFER[1] <= 223
        open_ = _lib.srtp_unprotect_rtcp if is_rtcp else _lib.srtp_unprotect
        if open_(self._receives, _received_pointer, _size):
            self.refused_packets += 1
            return 0
        return int(_size[0])

    def unprotect_rtcp(self, datagram: bytes) -> bytes:
        """Make a report of a port of its own clear; empty: refused."""
        if datagram[1:2] < b"\xc0":
            # Authentic audio here is no report all the same.
            self.refused_packets += 1
            return b""
        BUFFER[: len(datagram)] = datagram
        return bytes(BUFFER[: self.unprotect(len(datagram))])

    def protect_rtcp(self, datagram: bytes | memoryview) -> memoryview:
        """Encrypt a report, into a buffer that the next call uses again. Empty: it can't be."""
        size = len(datagram)
        if size > LARGEST:
            return _NOTHING
        _SENT[:size] = datagram
        _size[0] = size
        if _lib.srtp_protect_rtcp(self._sends, _sent_pointer, _size):
            return _NOTHING
        return _SENT_VIEWS[int(_size[0])]

    def protecting(self, send: Send) -> Send:
        """The same way out, for RTP in the clear. What can't be encrypted or sent is dropped.

        One call a packet, with all that it needs at hand.
        """
        protect, sends, sent, pointer, size_, views = (
            _lib.srtp_protect,
            self._sends,
            _SENT,
            _sent_pointer,
            _size,
            _SENT_VIEWS,
        )

        def send_protected(packet: bytes | memoryview) -> None:
            size = len(packet)
            if size > LARGEST:
                return
            sent[:size] = packet
            size_[0] = size
            if protect(sends, pointer, size_):
                return
            protected = views[size_[0]]
            try:
                send(protected)
            except OSError:
                # An ICMP error was told in place of sending. Tried again here, as whoever calls
                # could only give the same index once more.
                with contextlib.suppress(OSError):
                    send(protected)

        return send_protected

    def clearing(
        self, receive_into: ReceiveInto, other: Callable[[int], None] | None = None
    ) -> ReceiveInto:
        """The same way in, with what is authentic in the clear. What else comes is passed over.

        Args:
            receive_into: gets the next datagram.
            other: takes what can't be RTP or RTCP, by its size; None: it is refused.
        """
        open_rtp, open_rtcp, receives, pointer, size_ = (
            _lib.srtp_unprotect,
            _lib.srtp_unprotect_rtcp,
            self._receives,
            _received_pointer,
            _size,
        )

        def receive_cleared(buffer: bytearray) -> int:
            # On to the next packet of audio: where the loop turns by the beat (see `Pace`), a
            # flood of anything else would fill the kernel's queue.
            for _ in range(READ_AT_MOST):
                size = receive_into(buffer)
                if size >= _SMALLEST and 127 < buffer[0] < 192:
                    size_[0] = size
                    open_ = open_rtcp if 192 <= buffer[1] <= 223 else open_rtp
                    if not open_(receives, pointer, size_):
                        return int(size_[0])
                elif other is not None:
                    other(size)
                    continue
                self.refused_packets += 1
            raise BlockingIOError

        return receive_cleared


def _session(key: SrtpKey, ssrc_type: int) -> pylibsrtp.Session:
    try:
        policy = pylibsrtp.Policy(
            key=key.master, ssrc_type=ssrc_type, srtp_profile=_PROFILES[key.profile]
        )
        if len(key.master) != key.profile.master_size:
            raise ValueError
        policy.window_size = _REPLAY_WINDOW
        return pylibsrtp.Session(policy)
    except (ValueError, pylibsrtp.Error):
        # Its own text could say what is in the key.
        raise MediaError(f"no key of {key.profile}") from None
