"""How a leg's audio is protected: what we have to offer, and what was agreed on.

`Plain`, `Sdes` and `Dtls` are the policies of a leg: a leg that has keys to offer never falls
back to clear RTP, except where `Sdes.required` is off and none are in use yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from signaling.errors import Misfit, SdpError
from signaling.sdp.crypto import Crypto, first_common, read_crypto
from signaling.sdp.description import Line, MediaDescription, SessionDescription
from signaling.sdp.dtls import (
    DtlsDescription,
    DtlsRole,
    Fingerprint,
    Setup,
    has_fingerprint,
)
from signaling.sdp.ice import IceDescription

PLAIN_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
SDES_PROTOCOLS = ("RTP/SAVP", "RTP/SAVPF")
DTLS_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", *SDES_PROTOCOLS)
"""With a fingerprint, rtpengine and old browsers leave `UDP/TLS/` out."""


@dataclass(frozen=True, slots=True)
class Plain:
    """RTP in the clear, and nothing else."""


@dataclass(frozen=True, slots=True)
class Sdes:
    """Keys in the description (RFC 4568), which the signalling must keep secret."""

    crypto: tuple[Crypto, ...]
    """Ours, one a suite, most wanted first."""
    required: bool = True
    """Off: offered as RTP/AVP with keys, clear where the far end has none (RFC 8643)."""


@dataclass(frozen=True, slots=True)
class Dtls:
    """DTLS-SRTP over ICE (RFC 5763, 8445), RTCP on the same port."""

    fingerprints: tuple[Fingerprint, ...]
    ice: IceDescription
    tls_id: str | None = None
    """A new one with each new association (RFC 8842)."""
    mid: str = "0"
    """Of our offers; in an answer the offer's stands."""
    msid: str | None = None
    """`stream track`, so that a page gets the stream that it expects (RFC 8830)."""
    protocol: str = DTLS_PROTOCOLS[0]
    """Of our offers."""


LocalSecurity = Plain | Sdes | Dtls
"""What a leg offers and accepts."""


@dataclass(frozen=True, slots=True)
class AgreedSdes:
    """Each side's own key."""

    send: Crypto
    """Ours: protects what we send."""
    receive: Crypto
    """Theirs."""


@dataclass(frozen=True, slots=True)
class AgreedDtls:
    """What ICE and DTLS begin with, or go on with."""

    role: DtlsRole
    """Ours."""
    controlling: bool
    """Our ICE role (RFC 8445 §6.1.1)."""
    fingerprints: tuple[Fingerprint, ...]
    """Theirs, of one hash function: their certificate must have one of them."""
    ice: IceDescription
    """Theirs."""
    tls_id: str | None = None
    """Theirs."""
    mid: str | None = None
    """What the medium is called in fragments."""
    ice_restarted: bool = False
    """Their credentials are others than before: a new ICE transport."""
    association_renewed: bool = False
    """Their fingerprint, tls-id or role is another than before: a new DTLS handshake."""


AgreedSecurity = Plain | AgreedSdes | AgreedDtls
"""What came of offer and answer."""

PLAIN = Plain()


def offer_protocol(security: LocalSecurity) -> str:
    """The profile of a first offer."""
    match security:
        case Plain():
            return PLAIN_PROTOCOLS[0]
        case Sdes(required=required):
            return SDES_PROTOCOLS[0] if required else PLAIN_PROTOCOLS[0]
        case Dtls(protocol=protocol):
            return protocol


def offer_attributes(security: LocalSecurity, current: AgreedSecurity | None) -> tuple[str, ...]:
    """The attributes of an offer; with keys in use, a further offer stays with their suite."""
    match security:
        case Plain():
            return ()
        case Sdes(crypto=ours):
            if isinstance(current, AgreedSdes):
                used = current.send
                kept = [crypto for crypto in ours if crypto.suite is used.suite]
                ours = tuple(replace(crypto, tag=used.tag) for crypto in kept[:1]) or ours
            return tuple(f"crypto:{crypto}" for crypto in ours)
        case Dtls():
            return _dtls_attributes(security, Setup.ACTPASS, security.tls_id)


def answer_security(
    offer: SessionDescription,
    medium: MediaDescription,
    local: LocalSecurity,
    current: AgreedSecurity | None,
) -> tuple[tuple[str, ...], AgreedSecurity]:
    """The attributes of an answer to a medium, and what is agreed on with it. Raises SdpError."""
    protocol = medium.protocol.upper()
    match local:
        case Plain():
            if protocol not in PLAIN_PROTOCOLS:
                raise _other_transport(medium, "supported", PLAIN_PROTOCOLS[0])
            return (), PLAIN
        case Sdes():
            return _answer_sdes(medium, local, current)
        case Dtls():
            return _answer_dtls(offer, medium, local, current)


def answered_security(
    offer: SessionDescription,
    offered: MediaDescription,
    answer: SessionDescription,
    medium: MediaDescription,
    current: AgreedSecurity | None,
) -> AgreedSecurity:
    """What comes of our offered medium and its answer. Raises SdpError."""
    if has_fingerprint(offer, offered):
        return _answered_dtls(offer, offered, answer, medium, current)
    clear = offered.protocol.upper() in PLAIN_PROTOCOLS
    ours = read_crypto(offered)
    if clear and not ours:
        if medium.protocol.upper() not in PLAIN_PROTOCOLS:
            raise SdpError(f"{medium.protocol} was not offered")
        return PLAIN
    for theirs in read_crypto(medium):
        for crypto in ours:
            if (crypto.tag, crypto.suite) == (theirs.tag, theirs.suite):
                return AgreedSdes(crypto, theirs)
    if medium.attribute("crypto") is not None:
        raise SdpError("the answer's crypto line is none of the offer's")
    in_use = isinstance(current, AgreedSdes)
    if clear and not in_use and medium.protocol.upper() in PLAIN_PROTOCOLS:
        return PLAIN
    raise SdpError("the answer has no crypto line: audio would be in the clear")


def _answer_sdes(
    medium: MediaDescription, local: Sdes, current: AgreedSecurity | None
) -> tuple[tuple[str, ...], AgreedSecurity]:
    protocol = medium.protocol.upper()
    if protocol not in (*PLAIN_PROTOCOLS, *SDES_PROTOCOLS):
        raise _other_transport(medium, "supported", SDES_PROTOCOLS[0])
    found = first_common(read_crypto(medium), local.crypto)
    if found is None:
        # Keys in an RTP/AVP offer are a wish (RFC 8643 §3.1); without one in common, it is clear.
        in_use = isinstance(current, AgreedSdes)
        if protocol in PLAIN_PROTOCOLS and not local.required and not in_use:
            return (), PLAIN
        raise SdpError(f"{medium.protocol} without a crypto line that we can do")
    theirs, ours = found
    ours = replace(ours, tag=theirs.tag)
    return (f"crypto:{ours}",), AgreedSdes(ours, theirs)


def _answer_dtls(
    offer: SessionDescription,
    medium: MediaDescription,
    local: Dtls,
    current: AgreedSecurity | None,
) -> tuple[tuple[str, ...], AgreedSecurity]:
    theirs, ice = _read_dtls(offer, medium)
    before = current if isinstance(current, AgreedDtls) else None
    match theirs.setup:
        case Setup.ACTIVE:
            role = DtlsRole.SERVER
        case Setup.PASSIVE:
            role = DtlsRole.CLIENT
        case Setup.ACTPASS | None:
            # The association that is keeps its roles (RFC 8842 §5.3). Else the far end begins: a
            # browser repeats lost flights sooner than we do.
            if before is not None and theirs.continues(before.fingerprints, before.tls_id):
                role = before.role
            else:
                role = DtlsRole.SERVER
    # Who answers is controlled, unless the far end is lite (RFC 8445 §6.1.1).
    agreed = _agreed_dtls(theirs, ice, role, ice.lite and not local.ice.lite, medium.mid, before)
    # A tls-id is for those that sent one (RFC 8842 §5.3).
    tls_id = local.tls_id if theirs.tls_id is not None else None
    return _dtls_attributes(local, role.setup, tls_id), agreed


def _answered_dtls(
    offer: SessionDescription,
    offered: MediaDescription,
    answer: SessionDescription,
    medium: MediaDescription,
    current: AgreedSecurity | None,
) -> AgreedDtls:
    theirs, ice = _read_dtls(answer, medium)
    setup = theirs.setup or Setup.PASSIVE  # the default of an answer (RFC 4145 §4.1)
    ours = DtlsDescription.read(offer, offered).setup
    if setup is Setup.ACTPASS or setup is ours:
        raise SdpError(f"DTLS role conflict: setup:{setup} answers setup:{ours}")
    role = DtlsRole.CLIENT if setup is Setup.PASSIVE else DtlsRole.SERVER
    lite = IceDescription.read(offer, offered).lite
    before = current if isinstance(current, AgreedDtls) else None
    return _agreed_dtls(theirs, ice, role, ice.lite or not lite, offered.mid, before)


def _read_dtls(
    description: SessionDescription, medium: MediaDescription
) -> tuple[DtlsDescription, IceDescription]:
    if medium.protocol.upper() not in DTLS_PROTOCOLS:
        raise _other_transport(medium, "protected", DTLS_PROTOCOLS[0])
    if not medium.rtcp_mux:
        raise SdpError("no rtcp-mux: RTP and RTCP share our port")
    return DtlsDescription.read(description, medium), IceDescription.read(description, medium)


def _other_transport(medium: MediaDescription, lacks: str, wanted: str) -> SdpError:
    text = f"{medium.protocol} is not {lacks}: {wanted} is expected"
    return SdpError(text, misfit=Misfit.TRANSPORT)


def _agreed_dtls(
    theirs: DtlsDescription,
    ice: IceDescription,
    role: DtlsRole,
    controlling: bool,
    mid: str | None,
    before: AgreedDtls | None,
) -> AgreedDtls:
    if before is None:
        return AgreedDtls(role, controlling, theirs.fingerprints, ice, theirs.tls_id, mid)
    restarted = ice.is_restart_of(before.ice)
    return AgreedDtls(
        role=role,
        # A further offer changes no role of ICE unless ICE begins anew (RFC 8445 §9).
        controlling=controlling if restarted else before.controlling,
        fingerprints=theirs.fingerprints,
        ice=ice,
        tls_id=theirs.tls_id,
        mid=mid,
        ice_restarted=restarted,
        association_renewed=role is not before.role
        or not theirs.continues(before.fingerprints, before.tls_id),
    )


def _dtls_attributes(local: Dtls, setup: Setup, tls_id: str | None) -> tuple[str, ...]:
    return (
        *local.ice.attributes(),
        *(f"fingerprint:{fingerprint}" for fingerprint in local.fingerprints),
        f"setup:{setup}",
        *((f"tls-id:{tls_id}",) if tls_id is not None else ()),
        *((f"msid:{local.msid}",) if local.msid is not None else ()),
    )


def session_lines(security: LocalSecurity, mids: tuple[str, ...]) -> tuple[Line, ...]:
    """What stands above the media: the BUNDLE group of `mids`, and whether our ICE is lite."""
    if not isinstance(security, Dtls):
        return ()
    group = (Line("a", " ".join(("group:BUNDLE", *mids))),) if mids else ()
    return (*group, Line("a", "ice-lite")) if security.ice.lite else group
