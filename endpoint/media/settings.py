"""Settings of the media plane, in a worker process or in the caller's loop."""

from __future__ import annotations

from msgspec import Struct


class MediaSettings(Struct, frozen=True, kw_only=True):
    """Deployment facts and times of the media plane."""

    bind_host: str = "127.0.0.1"
    """An address of this machine, IPv4 or IPv6, that RTP is bound to (not the advertised one)."""
    rtp_port_low: int = 20000
    rtp_port_high: int = 29999
    """Bounds of the range, both included: RTP on even ports, RTCP on the odd port above."""
    cpu_affinity: tuple[int, ...] = ()
    """Cores that the worker process keeps to. Empty: any."""
    realtime_priority: int = 1
    """SCHED_RR priority of the worker process, where the system grants it. 0: like any other.

    Among busy processes it is the difference between 0.3 and 6 ms of added latency (p99).
    """
    beat_s: tuple[float, float] = (0.0006, 0.001)
    """Shortest and longest. Where a beat brings packets of several streams, the worker reads them
    together: a third less CPU, and half a beat more latency. (0, 0): each packet wakes it."""
    rtcp_interval_s: float = 5.0
    """Mean time between reports of a port; each is 0.5 to 1.5 times this (RFC 3550 §6.3)."""
    quality_window_s: float = 5.0
    """So far back the diagnosis of a port and its opinion score look."""
    latch_other_port_s: float = 0.2
    """So long only the signalled address itself can become the proven source of a port."""
    latch_other_host_s: float = 3.0
    """So long no other host can."""
    jitter_least_ms: float = 20.0
    jitter_start_ms: float = 40.0
    jitter_most_ms: float = 200.0
    """What is mixed, recorded or listened to waits for packets that are late: at first so long,
    then as long as they are, within these bounds. Forwarding never waits."""
    recorder: int = -1
    """The descriptor of our end of a socketpair, at whose other end recordings are written."""
    opus_complexity: int = 5
    """0 (cheap) to 10 (good), for audio of our own: mixed, played, transcoded."""
    opus_bit_rate: int = 32000
    """At most; a far end may ask for less."""
    webrtc_ready: bool = False
    """A worker loads ICE and DTLS when it starts. Else the first WebRTC port does, and live calls
    stall meanwhile, for some 30 ms; a worker without WebRTC saves 40 MB."""
    ice_host: str = ""
    """The address that candidates name, where `bind_host` is not how it is reached."""
    gathering_s: float = 0.5
    """What STUN and TURN servers have not answered by then is left out."""
    connect_timeout_s: float = 15.0
    """So long a WebRTC port may take to be up, from when its far end is known."""
    consent_interval_s: float = 5.0
    """How often the far end is asked whether it still wants our packets (RFC 7675 §5.1)."""
    consent_expiry_s: float = 30.0
    """So long after its last consent nothing is sent any more."""
    request_timeout_s: float = 5.0
    """A worker that has not answered after this is taken for dead, and replaced."""
    heartbeat_s: float = 2.0
    """How often a worker that has nothing to say is asked whether it lives."""
    restart_delay_s: float = 1.0
    """Wait before a worker is started again that died before it had answered once."""
