"""Offer and answer (RFC 3264) as pure functions: one audio stream, the rest refused with port 0.

The local side is said once (`LocalAudio`). Each function takes the description that we sent last
in the same call, if any: the o= version then grows only when something changed, refused m-lines
keep their place, and a payload type keeps its meaning for the whole call (RFC 3264 §8).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from signaling.errors import SdpError
from signaling.sdp.description import (
    Codec,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
    connection_line,
)

PLAIN_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
TELEPHONE_EVENT = "TELEPHONE-EVENT"
DEFAULT_PTIME_MS = 20
USABLE_PTIMES_MS = (10, 20, 30, 40, 60)

PCMU = Codec(0, "PCMU")
PCMA = Codec(8, "PCMA")
TELEPHONE_EVENTS = Codec(101, TELEPHONE_EVENT, 8000, 1, "0-15")
"""DTMF digits, events 0 to 15 (RFC 4733 §3.2)."""
DEFAULT_CODECS = (PCMU, PCMA, TELEPHONE_EVENTS)


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """Our end of a call's audio."""

    host: str
    """The advertised address."""
    rtp_port: int
    session_id: int
    """Of the o= line; one number for the whole call."""
    rtcp_port: int | None = None
    """None: RTP's port plus one."""
    codecs: tuple[Codec, ...] = DEFAULT_CODECS
    """What we take, most wanted first."""
    ssrc: int | None = None
    cname: str = ""
    rtcp_mux: bool = False
    """Offer one port for both (RFC 5761). An offer that asks for that gets it in any case."""
    ptime_ms: int = DEFAULT_PTIME_MS


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on."""

    host: str
    """Where we send."""
    rtp_port: int
    rtcp_port: int
    rtcp_mux: bool
    send: tuple[Codec, ...]
    """What the far end takes, by its numbers; the first one that is no event is the one we send."""
    receive: tuple[Codec, ...]
    """What may come, by our numbers."""
    direction: Direction
    """Ours."""
    ptime_ms: int

    @property
    def sending(self) -> bool:
        """We may send audio."""
        return self.direction.sends

    @property
    def receiving(self) -> bool:
        """The far end may send audio."""
        return self.direction.receives

    @property
    def far_end_holds(self) -> bool:
        """The far end wants to hear nothing (RFC 3264 §8.4)."""
        return not self.direction.sends


def make_offer(
    local: LocalAudio,
    direction: Direction = Direction.SENDRECV,
    *,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """Offer our audio; `previous` is what we sent last in this call."""
    if previous is None:
        return _seal(local, (_audio(local, local.codecs, direction, local.rtcp_mux),), None)
    index = _our_stream(previous)
    known = previous.media[index].codecs
    codecs = tuple(
        next((replace(codec, number=old.number) for old in known if old.same_as(codec)), codec)
        for codec in local.codecs
    )
    # A codec that joins again may not take a number that by now means another one.
    numbers = [codec.number for codec in codecs]
    codecs = tuple(codec for codec in codecs if numbers.count(codec.number) == 1 or codec in known)
    audio = _audio(
        local, codecs, direction, previous.media[index].rtcp_mux, previous.media[index].protocol
    )
    media = [medium.refused() for medium in previous.media]
    media[index] = audio
    return _seal(local, tuple(media), previous)


def make_answer(
    offer: SessionDescription,
    local: LocalAudio,
    direction: Direction = Direction.SENDRECV,
    *,
    previous: SessionDescription | None = None,
) -> tuple[SessionDescription, Negotiated]:
    """Answer an offer; `direction` is what we would do if the offer allows it.

    Raises SdpError (488) when no m-line is plain RTP audio to one address with a codec of ours.
    """
    reasons: list[str] = []
    for index, medium in enumerate(offer.media):
        try:
            codecs = _common_codecs(medium, local.codecs)
            host = _usable_host(offer, medium, local.host)
        except SdpError as exc:
            reasons.append(str(exc))
            continue
        theirs = _effective_direction(offer, medium)
        ours = Direction.of(
            sends=theirs.receives and direction.sends, receives=theirs.sends and direction.receives
        )
        audio = _audio(local, codecs, ours, medium.rtcp_mux, medium.protocol)
        media = [other.refused() for other in offer.media]
        media[index] = audio
        numbers = {codec.number for codec in codecs}
        send = tuple(codec for codec in medium.codecs if codec.number in numbers)
        return _seal(local, tuple(media), previous), _negotiated(
            medium, host, send, codecs, ours, mux=medium.rtcp_mux
        )
    raise SdpError("; ".join(reasons) or "nothing is offered", status_hint=488)


def apply_answer(offer: SessionDescription, answer: SessionDescription) -> Negotiated:
    """What came of our offer.

    Raises SdpError (488) when the answer refuses our audio or does not fit the offer.
    """
    index = _our_stream(offer)
    offered = offer.media[index]
    if len(answer.media) <= index or answer.media[index].kind != offered.kind:
        raise SdpError("the answer's m-lines are not the offer's", status_hint=488)
    medium = answer.media[index]
    if medium.port == 0:
        raise SdpError("the answer refuses our audio", status_hint=488)
    send = tuple(
        codec for codec in medium.codecs if any(codec.same_as(ours) for ours in offered.codecs)
    )
    if all(codec.encoding == TELEPHONE_EVENT for codec in send):
        raise SdpError("the answer has no codec of the offer", status_hint=488)
    host = _usable_host(answer, medium, offer.host_of(offered) or "")
    theirs = _effective_direction(answer, medium)
    wanted = offer.direction_of(offered)
    ours = Direction.of(
        sends=wanted.sends and theirs.receives, receives=wanted.receives and theirs.sends
    )
    # The answerer should send by our numbers (RFC 3264 §6.1); some send by their own.
    receive = list(offered.codecs)
    receive += [codec for codec in send if all(codec.number != known.number for known in receive)]
    return _negotiated(
        medium, host, send, tuple(receive), ours, mux=offered.rtcp_mux and medium.rtcp_mux
    )


def _our_stream(description: SessionDescription) -> int:
    for index, medium in enumerate(description.media):
        if medium.kind == "audio" and medium.port:
            return index
    raise SdpError("our description has no audio", status_hint=488)


def _common_codecs(medium: MediaDescription, ours: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """The offer's codecs that we have, in its order and by its numbers, with our parameters."""
    if medium.kind != "audio" or medium.port == 0:
        raise SdpError(f"m={medium.kind} {medium.port} is no audio to answer")
    if medium.protocol.upper() not in PLAIN_PROTOCOLS:
        raise SdpError(f"{medium.protocol} is not supported")
    common = tuple(
        replace(codec, fmtp=own.fmtp)
        for codec in medium.codecs
        for own in ours
        if own.same_as(codec)
    )
    if all(codec.encoding == TELEPHONE_EVENT for codec in common):
        raise SdpError("no common audio codec")
    return common


def _usable_host(description: SessionDescription, medium: MediaDescription, local_host: str) -> str:
    host = description.host_of(medium)
    if host is None:
        raise SdpError("no c= line")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as exc:
        raise SdpError(f"not an address: {host[:80]!r}") from exc
    if address.is_multicast:
        raise SdpError(f"{host} is a group of receivers")
    if (":" in host) != (":" in local_host) and not address.is_unspecified:
        raise SdpError(f"{host} can't be reached from {local_host}")
    return host


def _effective_direction(description: SessionDescription, medium: MediaDescription) -> Direction:
    """A medium's direction; the address 0.0.0.0 says "send me nothing" (RFC 3264 §8.4)."""
    direction = description.direction_of(medium)
    host = description.host_of(medium)
    if host is not None and ipaddress.ip_address(host).is_unspecified:
        return Direction.of(sends=direction.sends, receives=False)
    return direction


def _audio(
    local: LocalAudio,
    codecs: tuple[Codec, ...],
    direction: Direction,
    rtcp_mux: bool,
    protocol: str = PLAIN_PROTOCOLS[0],
) -> MediaDescription:
    attributes = []
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        name = codec.encoding.lower() if codec.encoding == TELEPHONE_EVENT else codec.encoding
        attributes.append(f"rtpmap:{codec.number} {name}/{codec.clock_rate_hz}{channels}")
        if codec.fmtp:
            attributes.append(f"fmtp:{codec.number} {codec.fmtp}")
    attributes.append(f"ptime:{local.ptime_ms}")
    if rtcp_mux:
        attributes.append("rtcp-mux")
    elif local.rtcp_port not in (None, local.rtp_port + 1):
        attributes.append(f"rtcp:{local.rtcp_port}")
    if local.ssrc is not None:
        attributes.append(f"ssrc:{local.ssrc} cname:{local.cname}")
    attributes.append(direction.value)
    return MediaDescription(
        kind="audio",
        port=local.rtp_port,
        protocol=protocol,
        formats=tuple(str(codec.number) for codec in codecs),
        lines=tuple(Line("a", attribute) for attribute in attributes),
    )


def _seal(
    local: LocalAudio, media: tuple[MediaDescription, ...], previous: SessionDescription | None
) -> SessionDescription:
    """Put the session's lines above the media; the o= version grows when anything changed."""

    def version(number: int) -> SessionDescription:
        return SessionDescription(
            (
                Line("v", "0"),
                Origin(local.session_id, number, local.host).line(),
                Line("s", "-"),
                connection_line(local.host),
                Line("t", "0 0"),
            ),
            media,
        )

    if previous is None:
        return version(1)
    same = version(previous.origin.version)
    return same if same == previous else version(previous.origin.version + 1)


def _negotiated(
    theirs: MediaDescription,
    host: str,
    send: tuple[Codec, ...],
    receive: tuple[Codec, ...],
    direction: Direction,
    *,
    mux: bool,
) -> Negotiated:
    rtcp_port = theirs.port if mux else theirs.rtcp_port or min(theirs.port + 1, 65535)
    wanted = theirs.ptime_ms
    return Negotiated(
        host=host,
        rtp_port=theirs.port,
        rtcp_port=rtcp_port,
        rtcp_mux=mux,
        send=send,
        receive=receive,
        direction=direction,
        ptime_ms=wanted if wanted in USABLE_PTIMES_MS else DEFAULT_PTIME_MS,
    )
