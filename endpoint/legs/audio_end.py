"""One end of a call's audio: a port of the media plane, and its side of offer and answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from endpoint.audio.codec import codec_named
from endpoint.audio.frame import SAMPLE_RATE_HZ
from endpoint.legs.base import DigitKind
from endpoint.legs.terms import LOCAL_L16, AudioTerms, SrtpUse, on_this_machine
from endpoint.legs.terms import Protection as Protection
from endpoint.media import messages as m
from endpoint.media.link import MediaLink
from signaling.errors import SdpError
from signaling.sdp.crypto import Crypto, CryptoSuite
from signaling.sdp.description import Codec, Direction, SessionDescription
from signaling.sdp.dtls import DtlsRole, Fingerprint
from signaling.sdp.ice import TRICKLE, Candidate, FragmentMedium, IceDescription, IceFragment
from signaling.sdp.negotiation import (
    BROWSER_CODECS,
    DEFAULT_CODECS,
    G722,
    OPUS,
    OPUS_TELEPHONE_EVENTS,
    TELEPHONE_EVENT,
    LocalAudio,
    Negotiated,
    apply_answer,
    make_answer,
    make_offer,
    renewal_in,
)
from signaling.sdp.security import AgreedDtls, AgreedSdes, Dtls, Sdes
from signaling.sip.grammar import as_utf8

_G711 = ("PCMU", "PCMA")
_DEFAULT_ORDER = ("relay", "srflx", "host")
"""Which candidate most far ends reach that know no ICE (RFC 8445 §5.1.3.1)."""


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """Facts of the deployment that descriptions tell."""

    advertised_host: str | None = None
    """Where far ends send RTP and SRTP; None: the address that the media plane is bound to."""
    srtp_suites: tuple[CryptoSuite, ...] = tuple(CryptoSuite)
    """For `SRTP`, most wanted first."""
    ice_servers: tuple[m.IceServer, ...] = ()
    ice_relay_only: bool = False
    """Hide behind a TURN server of `ice_servers`."""


class AudioEnd:
    """Opens a port, describes it, and lets it do what was agreed.

    Offers and answers go through it in the order in which they are sent, so that it knows what was
    sent last and what holds. It says nothing to the far end by itself.
    """

    def __init__(
        self,
        link: MediaLink,
        port: m.PortName,
        protection: Protection,
        settings: AudioSettings | None = None,
        terms: AudioTerms | None = None,
    ) -> None:
        self.port = port
        self.protection = protection
        self.terms = terms or AudioTerms(protection)
        """What its line wants."""
        self.codecs = codecs_for(protection, terms=self.terms)
        """What we offer and take, most wanted first; may be changed until the first description."""
        self.own_order = False
        """The order of `codecs` holds in answers too, where else the offerer's does."""
        self.current: Negotiated | None = None
        """What holds: the last that was agreed."""
        self._link = link
        self._settings = settings or AudioSettings()
        self._local: LocalAudio
        self._before_restart: LocalAudio | None = None
        """What `_local` was, until the far end has agreed to begin ICE anew."""
        self._sent: SessionDescription | None = None
        self._replaced: AgreedDtls | None = None
        """What an ICE restart takes the place of."""
        self._kept: AgreedDtls | None = None
        """What goes on, since the restart that was agreed on came to nothing."""
        self._remote_host = ""

    def __repr__(self) -> str:
        return f"<AudioEnd {self.port} {self.protection}>"

    @property
    def ice(self) -> str:
        """Of the far end's ICE session; another one after a restart."""
        agreed = self.current.security if self.current is not None else None
        return agreed.ice.ufrag if isinstance(agreed, AgreedDtls) else ""

    @property
    def is_restarting(self) -> bool:
        """Our next offer begins ICE anew."""
        return self._before_restart is not None

    # -- the port -------------------------------------------------------------------------------

    async def open(
        self,
        *,
        controlling: bool,
        rtp_timeout_s: float = 0.0,
        trickle: bool = False,
        near: m.PortName = "",
    ) -> None:
        """Open the port. Raises MediaError.

        Args:
            controlling: we make the first offer (RFC 8445 §6.1.1).
            rtp_timeout_s: a far end that sends nothing for so long is told of. 0: never.
            trickle: WebRTC: do not wait for candidates; `take_found` gets those that come later.
            near: a port that it will hear, or be heard by.
        """
        settings, terms = self._settings, self.terms
        session_id = secrets.randbits(31)
        if self.protection is Protection.WEBRTC:
            opened = await self._link.request(
                m.OpenWebRtcPort(
                    port=self.port,
                    controlling=controlling,
                    ice_servers=list(settings.ice_servers),
                    relay_only=settings.ice_relay_only,
                    trickle=trickle,
                    rtp_timeout_s=rtp_timeout_s,
                    detects_tones=terms.digits is DigitKind.INBAND,
                    relays_digits=terms.digits is not DigitKind.INFO,
                    near=near,
                )
            )
            self._local = LocalAudio(
                host="0.0.0.0",
                rtp_port=9,
                session_id=session_id,
                ssrc=opened.ssrc,
                cname=opened.cname,
            )
            self._local = self._described(opened, tls_id=_new_tls_id())
            return
        address = await self._link.request(
            m.OpenRtpPort(
                port=self.port,
                rtp_timeout_s=rtp_timeout_s,
                strict_source=terms.strict_source,
                detects_tones=terms.digits is DigitKind.INBAND,
                relays_digits=terms.digits is not DigitKind.INFO,
                near=near,
            )
        )
        self._local = LocalAudio(
            host=on_this_machine(address.host)
            if terms.is_local
            else settings.advertised_host or address.host,
            rtp_port=address.rtp_port,
            rtcp_port=address.rtcp_port,
            session_id=session_id,
            ssrc=address.ssrc,
            cname=address.cname,
        )
        if self.protection is Protection.SRTP:
            keys = (
                Crypto(tag, suite, secrets.token_bytes(suite.key_salt_octets))
                for tag, suite in enumerate(settings.srtp_suites, 1)
            )
            required = terms.srtp is not SrtpUse.OPTIONAL
            self._local = replace(self._local, security=Sdes(tuple(keys), required))

    def close(self) -> None:
        """Close the port. Once, and only if it was opened."""
        self._link.send(m.ClosePort(port=self.port))

    def _described(self, opened: m.WebRtcAddress, *, tls_id: str | None) -> LocalAudio:
        """What we say of a WebRTC port, with the default candidate as its address."""
        return self._located(
            Dtls(
                fingerprints=tuple(Fingerprint(f.hash, f.value) for f in opened.fingerprints),
                ice=IceDescription(
                    ufrag=opened.ufrag,
                    pwd=opened.pwd,
                    candidates=_candidates(opened.candidates),
                    options=(TRICKLE,),
                    end_of_candidates=opened.complete,
                ),
                tls_id=tls_id,
                msid=f"{opened.cname} {opened.cname}-audio",
            )
        )

    def _located(self, security: Dtls) -> LocalAudio:
        local = replace(self._local, security=security)
        usable = [c for c in security.ice.candidates if c.type in _DEFAULT_ORDER and not c.is_mdns]
        if not usable:
            return local
        default = min(usable, key=lambda c: (_DEFAULT_ORDER.index(c.type), -c.priority))
        return replace(local, host=default.host, rtp_port=default.port)

    # -- candidates that come later (RFC 8840) --------------------------------------------------

    def take_found(self, found: m.CandidatesFound) -> bytes | None:
        """Take more candidates of ours.

        Returns the fragment that tells them to a far end which has our description already.
        """
        security = self._local.security
        if not isinstance(security, Dtls) or found.ufrag != security.ice.ufrag:
            return None
        new = _candidates(found.candidates)
        ice = replace(
            security.ice,
            candidates=(*security.ice.candidates, *new),
            end_of_candidates=found.complete,
        )
        self._local = self._located(replace(security, ice=ice))
        if self._sent is None:
            return None
        agreed = self.current.security if self.current is not None else None
        mid = agreed.mid if isinstance(agreed, AgreedDtls) else None
        medium = FragmentMedium(mid or security.mid, new, found.complete)
        return IceFragment(ice.ufrag, ice.pwd, (medium,)).serialise()

    async def add_candidates(self, fragment: bytes) -> None:
        """Take more candidates of the far end; those of an older ICE session are passed over.

        Raises SdpError for what is no fragment, and MediaError.
        """
        told = IceFragment.parse(fragment)
        mid = told.media[0].mid if told.media else ""
        if self.current is not None:
            agreed = self.current.security
            if not isinstance(agreed, AgreedDtls) or agreed.ice.ufrag != told.ufrag:
                return
            mid = agreed.mid or mid
        if self.protection is Protection.WEBRTC and (medium := told.medium(mid)) is not None:
            candidates = [str(candidate) for candidate in medium.candidates]
            complete = medium.end_of_candidates
            await self._link.request(m.AddCandidates(self.port, candidates, complete))

    # -- offer and answer -----------------------------------------------------------------------

    def face(self, faced: Sequence[str] = (), *, offering: bool = True) -> None:
        """Choose the codecs by whom the leg talks with; see `codecs_for`."""
        spoken = encodings_of(self.current)[:1] if self.current is not None else ()
        self.codecs = codecs_for(
            self.protection, faced, spoken, offering=offering, terms=self.terms
        )

    def offer(self, direction: Direction = Direction.SENDRECV) -> SessionDescription:
        """Our offer, to be sent now."""
        self._sent = make_offer(self._audio(), direction, previous=self._sent, current=self.current)
        return self._sent

    def accept(self, offer: SessionDescription, answer: bytes | None) -> Negotiated:
        """What comes of our offer and its answer; `agree` makes it hold. Raises SdpError."""
        if answer is None:
            raise SdpError("the answer holds no description", status_hint=488)
        return apply_answer(offer, SessionDescription.parse(answer), current=self.current)

    def foresee(self, offer: bytes) -> Negotiated:
        """What would come of a first offer; nothing has changed. Raises SdpError as `answer`."""
        return make_answer(SessionDescription.parse(offer), self._audio())[1]

    async def answer(
        self, offer: bytes, direction: Direction = Direction.SENDRECV
    ) -> tuple[SessionDescription, Negotiated]:
        """Our answer, to be sent now, and what comes of it; `agree` makes it hold.

        Raises SdpError where there is nothing in common, or not what is protected as it was
        offered; nothing has changed then.
        """
        description = SessionDescription.parse(offer)
        # Also what the far end begins anew must be in common, before anything is prepared for it.
        make_answer(description, self._audio(), direction)
        if self.current is not None:
            renewal = renewal_in(description, self.current)
            if renewal.association and not renewal.ice:
                raise SdpError("another fingerprint or role needs new ICE too", status_hint=488)
            if renewal.ice:
                lite = description.attribute("ice-lite") is not None
                await self._prepare_restart(controlling=lite, new_association=renewal.association)
            else:
                self._give_restart_up()  # an answer is about the ICE session of its offer
        answer, agreed = make_answer(
            description, self._audio(), direction, previous=self._sent, current=self.current
        )
        self._sent = answer
        return answer, agreed

    async def restart(self) -> None:
        """Have ICE begun anew by our next offer (RFC 8445 §9). Raises MediaError.

        Until the far end has agreed to it, or `drop_restart`, all goes on as it is. An offer of the
        far end that comes first takes its place.
        """
        await self._prepare_restart(controlling=True, new_association=False)

    async def drop_restart(self) -> None:
        """An offer was refused or taken back: what was prepared for it is forgotten.

        Raises MediaError.
        """
        if self.current is not None and self._give_restart_up():
            await self.agree(self.current)

    def _give_restart_up(self) -> bool:
        """Say nothing of it any more; the port drops it when it is told of the old ICE session."""
        before, self._before_restart = self._before_restart, None
        self._local = before or self._local
        return before is not None

    def restart_failed(self) -> None:
        """The port could not connect by what was agreed on, and goes on as before."""
        self._kept = self._replaced

    async def _prepare_restart(self, *, controlling: bool, new_association: bool) -> None:
        opened = await self._link.request(
            m.RestartIce(self.port, controlling, new_association=new_association)
        )
        security = self._local.security
        known = security.tls_id if isinstance(security, Dtls) else None
        self._before_restart = self._before_restart or self._local
        self._local = self._described(opened, tls_id=_new_tls_id() if new_association else known)

    async def agree(self, agreed: Negotiated) -> None:
        """Let the port do what was negotiated. Raises MediaError; nothing has changed then."""
        match agreed.security:
            case AgreedDtls(ice_restarted=True) as security:
                before = self.current.security if self.current is not None else None
                await self._link.request(self._web_rtc_remote(agreed, security))
                self._replaced = self._kept or (before if isinstance(before, AgreedDtls) else None)
                self._before_restart = self._kept = None
            case AgreedDtls() as security:
                await self._link.request(self._web_rtc_remote(agreed, self._kept or security))
            case AgreedSdes(send=ours, receive=theirs):
                await self._set_remote(agreed, m.SrtpKeys(_srtp_key(ours), _srtp_key(theirs)))
            case _:
                await self._set_remote(agreed, None)
        self.current = agreed

    async def _set_remote(self, agreed: Negotiated, keys: m.SrtpKeys | None) -> None:
        # An old way to hold: 0.0.0.0 says "send nothing", and no new address (RFC 3264 §8.4).
        if agreed.host not in ("0.0.0.0", "::") or not self._remote_host:
            self._remote_host = agreed.host
        await self._link.request(
            m.SetRemote(
                port=self.port,
                host=self._remote_host,
                rtp_port=agreed.rtp_port,
                rtcp_port=agreed.rtcp_port,
                send=payload_types(agreed.send),
                receive=payload_types(agreed.receive),
                sending=agreed.sending,
                receiving=agreed.receiving,
                rtcp_mux=agreed.rtcp_mux,
                ptime_ms=agreed.ptime_ms,
                srtp=keys,
                reports=list(agreed.reports),
            )
        )

    def _web_rtc_remote(self, agreed: Negotiated, security: AgreedDtls) -> m.SetWebRtcRemote:
        return m.SetWebRtcRemote(
            port=self.port,
            ufrag=security.ice.ufrag,
            pwd=security.ice.pwd,
            fingerprints=[m.Fingerprint(f.hash, f.value) for f in security.fingerprints],
            role=m.DtlsRole.CLIENT if security.role is DtlsRole.CLIENT else m.DtlsRole.SERVER,
            send=payload_types(agreed.send),
            receive=payload_types(agreed.receive),
            candidates=[str(candidate) for candidate in security.ice.candidates],
            candidates_complete=not security.ice.trickles,
            ice_lite=security.ice.lite,
            new_association=security.association_renewed,
            sending=agreed.sending,
            receiving=agreed.receiving,
            ptime_ms=agreed.ptime_ms,
            reports=list(agreed.reports),
        )

    def _audio(self) -> LocalAudio:
        own_order = self.own_order or bool(self.terms.codecs)
        return replace(self._local, codecs=self.codecs, own_order=own_order)


def codecs_for(
    protection: Protection,
    faced: Sequence[str] = (),
    spoken: Sequence[str] = (),
    *,
    offering: bool = True,
    terms: AudioTerms | None = None,
) -> tuple[Codec, ...]:
    """What an end offers or takes, so that whom it faces can be forwarded to.

    Args:
        protection: browsers have other codecs than telephones.
        terms: of its line. Codecs that they name are all there are, in their order.
        offering: telephones are offered G.722, which they like best, only where it can be
            forwarded, and Opus only where they speak it; what they offer is taken.
        faced: encodings that the other leg takes, most wanted first; empty where nothing is known,
            which counts as G.711.
        spoken: what the far end speaks now. It may have nothing else.
    """
    terms = terms or AudioTerms(protection)
    known: tuple[Codec, ...] = DEFAULT_CODECS
    if terms.codecs:
        known = (*BROWSER_CODECS, G722, LOCAL_L16)
    elif protection is Protection.WEBRTC:
        known = BROWSER_CODECS
    else:
        if not offering or G722.encoding in (*faced, *spoken):
            known += (G722,)
        if not offering or OPUS.encoding in spoken:
            known += (OPUS, OPUS_TELEPHONE_EVENTS)
    wanted = terms.codecs or (*faced, *(encoding for encoding in _G711 if encoding not in faced))

    def rank(codec: Codec) -> int:
        return wanted.index(codec.encoding) if codec.encoding in wanted else len(wanted)

    return tuple(sorted((codec for codec in known if _is_usable(codec, terms)), key=rank))


def _is_usable(codec: Codec, terms: AudioTerms) -> bool:
    """The line has it, and this machine can decode and encode it: Opus needs libopus."""
    name, rate_hz = codec.encoding, codec.clock_rate_hz
    if name == TELEPHONE_EVENT:
        wide = not terms.codecs or "OPUS" in terms.codecs or rate_hz == SAMPLE_RATE_HZ
        return terms.digits is DigitKind.EVENTS and wide
    is_wanted = not terms.codecs or name in terms.codecs
    return is_wanted and codec_named(name, rate_hz) is not None


def encodings_of(agreed: Negotiated) -> tuple[str, ...]:
    """Codecs of audio that the far end takes, most wanted first."""
    return tuple(c.encoding for c in agreed.send if c.encoding != TELEPHONE_EVENT)


def payload_types(codecs: Iterable[Codec]) -> list[m.PayloadType]:
    """Codecs as the media plane knows them, that may be in another process: their text is UTF-8."""
    return [
        m.PayloadType(
            number=codec.number,
            encoding=codec.encoding,
            clock_rate_hz=codec.clock_rate_hz,
            channels=codec.channels,
            fmtp=as_utf8(codec.fmtp),
        )
        for codec in codecs
    ]


def _candidates(told: Iterable[str]) -> tuple[Candidate, ...]:
    return tuple(Candidate.parse(text) for text in told)


def _srtp_key(crypto: Crypto) -> m.SrtpKey:
    return m.SrtpKey(m.SrtpProfile(crypto.suite), crypto.key_salt)


def _new_tls_id() -> str:
    """Of a new DTLS association (RFC 8842 §4)."""
    return secrets.token_hex(16)
