"""Offer and answer (RFC 3264) as pure functions: one audio stream, the rest refused with port 0.

The local side is said once (`LocalAudio`). Each function takes the description that we sent last
in the same call, if any: the o= version then grows only when something changed, refused m-lines
keep their place, and a payload type keeps its meaning for the whole call (RFC 3264 §8). And each
takes what holds until now, if any, so that what is new in it can be told: a hold keeps ICE, DTLS
and keys; other credentials or another fingerprint show in `Negotiated.security`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from signaling.errors import Misfit, SdpError
from signaling.sdp.description import (
    Codec,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
    connection_line,
)
from signaling.sdp.dtls import DtlsDescription, has_fingerprint
from signaling.sdp.ice import IceDescription
from signaling.sdp.security import (
    PLAIN,
    AgreedDtls,
    AgreedSecurity,
    Dtls,
    LocalSecurity,
    answer_security,
    answered_security,
    offer_attributes,
    offer_protocol,
    session_lines,
)

TELEPHONE_EVENT = "TELEPHONE-EVENT"
DEFAULT_PTIME_MS = 20
USABLE_PTIMES_MS = (10, 20, 30, 40, 60)

PCMU = Codec(0, "PCMU")
PCMA = Codec(8, "PCMA")
TELEPHONE_EVENTS = Codec(101, TELEPHONE_EVENT, 8000, 1, "0-15")
"""DTMF digits, events 0 to 15 (RFC 4733 §3.2)."""
DEFAULT_CODECS = (PCMU, PCMA, TELEPHONE_EVENTS)
G722 = Codec(9, "G722")
OPUS = Codec(111, "OPUS", 48000, 2, "minptime=10;useinbandfec=1")
OPUS_TELEPHONE_EVENTS = Codec(110, TELEPHONE_EVENT, 48000, 1, "0-15")
"""DTMF beside Opus: events count by the clock of their codec (RFC 4733 §2.1)."""
LOWER_CASE = (TELEPHONE_EVENT, OPUS.encoding)
"""Names that are written small by custom, and that some look for so."""
BROWSER_CODECS = (OPUS, *DEFAULT_CODECS, OPUS_TELEPHONE_EVENTS)


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
    own_order: bool = False
    """Also in our answers, where else the offerer's order stands (RFC 3264 §6.1): with PCMU and
    PCMA first, a browser sends what the telephone behind us takes."""
    ssrc: int | None = None
    cname: str = ""
    rtcp_mux: bool = False
    """Offer one port for both (RFC 5761). An offer that asks for that gets it in any case."""
    ptime_ms: int = DEFAULT_PTIME_MS
    security: LocalSecurity = PLAIN
    """With `Dtls`, host and port are those of the default candidate (RFC 8839 §4.2.1.2)."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on."""

    host: str
    """Where we send; with DTLS no more than a default, for ICE finds the way."""
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
    security: AgreedSecurity = PLAIN
    reports: tuple[str, ...] = ()
    """Extended reports that the far end asked for (`SessionDescription.reports_of`)."""

    @property
    def ice_restarted(self) -> bool:
        """The far end has begun ICE anew, or is another far end."""
        return isinstance(self.security, AgreedDtls) and self.security.ice_restarted

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


@dataclass(frozen=True, slots=True)
class Renewal:
    """What an offer begins anew, so that we can be ready before we answer."""

    ice: bool
    """New credentials: answer with new ones of ours (RFC 8839 §4.4.1.1.1)."""
    association: bool
    """Another fingerprint, tls-id or role: answer with a new tls-id of ours (RFC 8842 §5.3)."""


def renewal_in(offer: SessionDescription, current: Negotiated) -> Renewal:
    """What an offer begins anew against what holds. Raises SdpError where it can't be read."""
    agreed = current.security
    if not isinstance(agreed, AgreedDtls):
        return Renewal(ice=False, association=False)
    for medium in offer.media:
        if medium.kind == "audio" and medium.port and has_fingerprint(offer, medium):
            theirs = DtlsDescription.read(offer, medium)
            return Renewal(
                ice=IceDescription.read(offer, medium).is_restart_of(agreed.ice),
                association=theirs.setup is agreed.role.setup
                or not theirs.continues(agreed.fingerprints, agreed.tls_id),
            )
    raise SdpError("no fingerprint of the far end's certificate", status_hint=488)


def make_offer(
    local: LocalAudio,
    direction: Direction = Direction.SENDRECV,
    *,
    previous: SessionDescription | None = None,
    current: Negotiated | None = None,
) -> SessionDescription:
    """Offer our audio; `previous` is what we sent last in this call, `current` what holds."""
    bundled = isinstance(local.security, Dtls)
    security = offer_attributes(local.security, current.security if current else None)
    if previous is None:
        mid = local.security.mid if isinstance(local.security, Dtls) else None
        audio = _audio(
            local,
            _with_fitting_events(local.codecs),
            direction,
            local.rtcp_mux or bundled,
            offer_protocol(local.security),
            mid=mid,
            security=security,
        )
        return _seal(local, (audio,), None, (mid,) if mid is not None else ())
    index = _our_stream(previous)
    known = previous.media[index].codecs
    codecs = tuple(
        next((replace(codec, number=old.number) for old in known if old.same_as(codec)), codec)
        for codec in _with_fitting_events(local.codecs)
    )
    # A codec that joins again may not take a number that by now means another one.
    numbers = [codec.number for codec in codecs]
    codecs = tuple(codec for codec in codecs if numbers.count(codec.number) == 1 or codec in known)
    before = previous.media[index]
    audio = _audio(
        local,
        codecs,
        direction,
        before.rtcp_mux,
        before.protocol,
        mid=before.mid,
        security=security,
        reports=current.reports if current is not None else (),
    )
    media = [_refused(medium, local) for medium in previous.media]
    media[index] = audio
    return _seal(local, tuple(media), previous, _bundle(previous, before))


def make_answer(
    offer: SessionDescription,
    local: LocalAudio,
    direction: Direction = Direction.SENDRECV,
    *,
    previous: SessionDescription | None = None,
    current: Negotiated | None = None,
) -> tuple[SessionDescription, Negotiated]:
    """Answer an offer; `direction` is what we would do if the offer allows it.

    Raises SdpError (488) when no m-line is audio to one address with a codec of ours, protected
    as `local.security` says; the error names what each of them lacks.
    """
    reasons: list[SdpError] = []
    for index, medium in enumerate(offer.media):
        try:
            if medium.kind != "audio" or medium.port == 0:
                raise SdpError(
                    f"m={medium.kind} {medium.port} is no audio to answer",
                    misfit=Misfit.MEDIA_TYPE,
                )
            attributes, security = answer_security(
                offer, medium, local.security, current.security if current else None
            )
            codecs = _common_codecs(medium, local)
            host = _host_to_send_to(offer, medium, local.host, security)
        except SdpError as exc:
            reasons.append(exc)
            continue
        theirs = _effective_direction(offer, medium, security)
        ours = Direction.of(
            sends=theirs.receives and direction.sends, receives=theirs.sends and direction.receives
        )
        audio = _audio(
            local,
            codecs,
            ours,
            medium.rtcp_mux,
            medium.protocol,
            mid=medium.mid if isinstance(security, AgreedDtls) else None,
            security=attributes,
            reports=offer.reports_of(medium),
        )
        media = [_refused(other, local) for other in offer.media]
        media[index] = audio
        by_number = {codec.number: codec for codec in medium.codecs}
        send = tuple(by_number[codec.number] for codec in codecs)
        sealed = _seal(local, tuple(media), previous, _bundle(offer, medium))
        agreed = _negotiated(offer, medium, host, send, codecs, ours, security, mux=medium.rtcp_mux)
        return sealed, agreed
    raise _nothing_fits(reasons)


def apply_answer(
    offer: SessionDescription,
    answer: SessionDescription,
    *,
    current: Negotiated | None = None,
) -> Negotiated:
    """What came of our offer.

    Raises SdpError (488) when the answer refuses our audio, does not fit the offer, or leaves
    out the protection that was offered.
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
    security = answered_security(
        offer, offered, answer, medium, current.security if current else None
    )
    host = _host_to_send_to(answer, medium, offer.host_of(offered) or "", security)
    theirs = _effective_direction(answer, medium, security)
    wanted = offer.direction_of(offered)
    ours = Direction.of(
        sends=wanted.sends and theirs.receives, receives=wanted.receives and theirs.sends
    )
    # The answerer should send by our numbers (RFC 3264 §6.1); some send by their own.
    receive = list(offered.codecs)
    receive += [codec for codec in send if all(codec.number != known.number for known in receive)]
    mux = offered.rtcp_mux and medium.rtcp_mux
    return _negotiated(answer, medium, host, send, tuple(receive), ours, security, mux=mux)


def _nothing_fits(reasons: Sequence[SdpError]) -> SdpError:
    """Says what each m-line lacks; it counts as what audio lacks, where there is some."""
    other = Misfit.MEDIA_TYPE
    misfit = next((each.misfit for each in reasons if each.misfit is not other), other)
    return SdpError("; ".join(map(str, reasons)) or "no audio is offered", misfit=misfit)


def _our_stream(description: SessionDescription) -> int:
    for index, medium in enumerate(description.media):
        if medium.kind == "audio" and medium.port:
            return index
    raise SdpError("our description has no audio", status_hint=488)


def _common_codecs(medium: MediaDescription, local: LocalAudio) -> tuple[Codec, ...]:
    """The offer's codecs that we have, by its numbers, with our parameters.

    In its order, or in ours.
    """
    common = [
        (rank, replace(codec, fmtp=own.fmtp))
        for codec in medium.codecs
        for rank, own in enumerate(local.codecs)
        if own.same_as(codec)
    ]
    if local.own_order:
        common.sort(key=lambda ranked: ranked[0])
    codecs = _with_fitting_events(tuple(codec for _, codec in common))
    if all(codec.encoding == TELEPHONE_EVENT for codec in codecs):
        theirs = _names(medium.codecs) or f"format {', '.join(medium.formats)}"[:80]
        text = f"no common audio codec: {theirs} offered, {_names(local.codecs)} expected"
        raise SdpError(text, misfit=Misfit.FORMAT)
    return codecs


def _names(codecs: Iterable[Codec]) -> str:
    return ", ".join(dict.fromkeys(codec.encoding for codec in codecs))[:80]


def _with_fitting_events(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """With events by one clock: that of the first codec that has some (RFC 4733 §2.1).

    A browser that finds several sends by the slowest, whatever its codec; such a digit lasts too
    short to be heard. Some telephones have Opus and events at 8000 Hz alone; digits that way are
    better than none.
    """
    events = [codec for codec in codecs if codec.encoding == TELEPHONE_EVENT]
    rates = [codec.clock_rate_hz for codec in codecs if codec.encoding != TELEPHONE_EVENT]
    fitting = [codec for codec in events if codec.clock_rate_hz in rates]
    if not fitting:
        return codecs
    rate_hz = min((codec.clock_rate_hz for codec in fitting), key=rates.index)
    return tuple(
        codec
        for codec in codecs
        if codec.encoding != TELEPHONE_EVENT or codec.clock_rate_hz == rate_hz
    )


def _refused(medium: MediaDescription, local: LocalAudio) -> MediaDescription:
    """Port 0; browsers match an m-line by its mid, also one that is refused (RFC 8829 §5.3.1)."""
    refused = medium.refused()
    if not isinstance(local.security, Dtls) or medium.mid is None:
        return refused
    return replace(refused, lines=(Line("a", f"mid:{medium.mid}"),))


def _bundle(description: SessionDescription, medium: MediaDescription) -> tuple[str, ...]:
    """The BUNDLE group of a description, as far as we take part: our one medium, or nobody."""
    mid = medium.mid
    groups = description.groups("BUNDLE")
    return (mid,) if mid is not None and any(mid in group for group in groups) else ()


def _host_to_send_to(
    description: SessionDescription,
    medium: MediaDescription,
    local_host: str,
    security: AgreedSecurity,
) -> str:
    if not isinstance(security, AgreedDtls):
        return _usable_host(description, medium, local_host)
    # Before its candidates are known, a browser has no address and writes 0.0.0.0 (RFC 8840 §4).
    host = description.host_of(medium) or ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return "0.0.0.0"


def _usable_host(description: SessionDescription, medium: MediaDescription, local_host: str) -> str:
    host = description.host_of(medium)
    if host is None:
        raise SdpError("no c= line")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as exc:
        text = f"not an address: {host[:80]!r}"
        raise SdpError(text, misfit=Misfit.ADDRESS) from exc
    if address.is_multicast:
        raise SdpError(f"{host} is a group of receivers", misfit=Misfit.MULTICAST)
    if (":" in host) != (":" in local_host) and not address.is_unspecified:
        raise SdpError(f"{host} can't be reached from {local_host}", misfit=Misfit.ADDRESS)
    return host


def _effective_direction(
    description: SessionDescription, medium: MediaDescription, security: AgreedSecurity
) -> Direction:
    """A medium's direction; the address 0.0.0.0 says "send me nothing" (RFC 3264 §8.4).

    Not so with ICE, where the address is no more than a default.
    """
    direction = description.direction_of(medium)
    host = description.host_of(medium)
    if isinstance(security, AgreedDtls) or host is None:
        return direction
    if ipaddress.ip_address(host).is_unspecified:
        return Direction.of(sends=direction.sends, receives=False)
    return direction


def _audio(
    local: LocalAudio,
    codecs: tuple[Codec, ...],
    direction: Direction,
    rtcp_mux: bool,
    protocol: str,
    *,
    mid: str | None,
    security: tuple[str, ...],
    reports: tuple[str, ...] = (),
) -> MediaDescription:
    attributes = [] if mid is None else [f"mid:{mid}"]
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        name = codec.encoding.lower() if codec.encoding in LOWER_CASE else codec.encoding
        attributes.append(f"rtpmap:{codec.number} {name}/{codec.clock_rate_hz}{channels}")
        if codec.fmtp:
            attributes.append(f"fmtp:{codec.number} {codec.fmtp}")
    attributes.append(f"ptime:{local.ptime_ms}")
    if rtcp_mux:
        attributes.append("rtcp-mux")
    elif local.rtcp_port not in (None, local.rtp_port + 1):
        attributes.append(f"rtcp:{local.rtcp_port}")
    if reports:
        attributes.append(f"rtcp-xr:{' '.join(reports)}")
    if local.ssrc is not None:
        attributes.append(f"ssrc:{local.ssrc} cname:{local.cname}")
    attributes.extend(security)
    attributes.append(direction.value)
    return MediaDescription(
        kind="audio",
        port=local.rtp_port,
        protocol=protocol,
        formats=tuple(str(codec.number) for codec in codecs),
        lines=tuple(Line("a", attribute) for attribute in attributes),
    )


def _seal(
    local: LocalAudio,
    media: tuple[MediaDescription, ...],
    previous: SessionDescription | None,
    bundle: tuple[str, ...],
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
                *session_lines(local.security, bundle),
            ),
            media,
        )

    if previous is None:
        return version(1)
    same = version(previous.origin.version)
    return same if same == previous else version(previous.origin.version + 1)


def _negotiated(
    description: SessionDescription,
    theirs: MediaDescription,
    host: str,
    send: tuple[Codec, ...],
    receive: tuple[Codec, ...],
    direction: Direction,
    security: AgreedSecurity,
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
        security=security,
        reports=description.reports_of(theirs),
    )
