"""DTLS-SRTP of one WebRTC port: aiortc's DTLS over any way that we name, its keys for our SRTP.

This and webrtc_ice.py are the only files that touch private names, here of aiortc 1.16.0;
tests/unit/endpoint/media/test_webrtc.py fails when one moves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, cast

from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
    certificate_digest,
)
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL

from endpoint.media import messages as m
from endpoint.media.containment import contained
from endpoint.media.srtp import SrtpSession

_STRONG_HASHES: Final = ("sha-512", "sha-384", "sha-256")
_MOST_WAITING: Final = 32
_REPEAT_FLIGHT_S: Final = 0.06
"""OpenSSL repeats what was lost after a second; a call is up before that."""
_LAST_REPEAT_S: Final = 0.24
_CERTIFICATE_LASTS_S: Final = 86_400.0
_PROFILES: Final = {
    b"SRTP_AES128_CM_SHA1_80": m.SrtpProfile.AES_CM_128_HMAC_SHA1_80,
    b"SRTP_AEAD_AES_128_GCM": m.SrtpProfile.AEAD_AES_128_GCM,
    b"SRTP_AEAD_AES_256_GCM": m.SrtpProfile.AEAD_AES_256_GCM,
}


class Certificate(RTCCertificate):
    """One certificate and one TLS context for all ports: a context costs 0.65 ms."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context

    @property
    def fingerprint(self) -> m.Fingerprint:
        """For the description."""
        return m.Fingerprint("sha-256", certificate_digest(self._cert, "sha-256"))


class Certificates:
    """The certificate of this process, a new one every day."""

    def __init__(self) -> None:
        self._current: Certificate | None = None
        self._until = 0.0

    def current(self) -> Certificate:
        """Today's."""
        now = monotonic()
        if self._current is None or now > self._until:
            self._current = Certificate.generateCertificate()
            self._until = now + _CERTIFICATE_LASTS_S
        return self._current


certificates: Final = Certificates()


def strongest(fingerprints: Sequence[m.Fingerprint]) -> list[m.Fingerprint]:
    """Those of the strongest hash, one of which must match (RFC 8122 §5); none of a weak one."""
    for name in _STRONG_HASHES:
        if found := [f for f in fingerprints if f.hash.lower() == name]:
            return found
    return []


class _Wire:
    """What `RTCDtlsTransport` uses of an ICE transport."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        self._deliver = send

    async def _recv(self) -> bytes:
        return await self.arrived.get()

    async def _send(self, data: bytes) -> None:
        self._deliver(data)


class DtlsAssociation(RTCDtlsTransport):
    """A handshake and the SRTP keys that come of it; outlives the way that its datagrams take."""

    def __init__(
        self, certificate: Certificate, over: Callable[[DtlsAssociation, m.PortFailure], None]
    ) -> None:
        self._wire = _Wire(self._send_flight)
        super().__init__(cast("RTCIceTransport", self._wire), [certificate])
        self.certificate = certificate
        self.send: Callable[[bytes], None] = lambda data: None
        """How datagrams go at present."""
        self.srtp: SrtpSession | None = None
        """There from the end of the handshake."""
        self.is_over = False
        self._tell_over = over
        self._failure = m.PortFailure.HANDSHAKE
        self._repeating: asyncio.TimerHandle | None = None
        self._handshaking: asyncio.Task[None] | None = None

    @property
    def is_new(self) -> bool:
        """Its handshake has not begun."""
        return self._handshaking is None

    def begin(
        self,
        remote: m.SetWebRtcRemote,
        connected: Callable[[DtlsAssociation], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Make the handshake; then comes `connected`, or `over` with the reason."""
        self._set_role(remote.role.value)
        prints = [RTCDtlsFingerprint(f.hash, f.value) for f in strongest(remote.fingerprints)]
        handshake = self._handshake(RTCDtlsParameters(prints), connected)
        self._handshaking = tasks.create_task(handshake, name="DTLS handshake")

    def receive(self, data: bytes) -> None:
        """Take a datagram of somebody whom ICE has authenticated."""
        if not self._wire.arrived.full():
            self._wire.arrived.put_nowait(data)

    def end(self) -> None:
        """Say goodbye, if there is somebody to say it to."""
        if self.is_over:
            return
        self.is_over = True
        for work in (self._repeating, self._handshaking, self._task):
            if work is not None:
                work.cancel()
        if self._ssl is not None:
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
                self.send(self._ssl.bio_read(1500))

    async def _handshake(
        self, parameters: RTCDtlsParameters, connected: Callable[[DtlsAssociation], None]
    ) -> None:
        failure = m.PortFailure.BROKEN
        with contained("a DTLS handshake broke"):
            await self.start(parameters)
            if self.srtp is not None and self._state is State.CONNECTED:
                connected(self)
                return
            failure = self._failure
        self._over(failure)

    def _over(self, failure: m.PortFailure) -> None:
        if not self.is_over:
            with contained("the end of a DTLS association broke"):
                self._tell_over(self, failure)

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:
        # aiortc's wants all to match; a far end with several certificates tells those of each.
        self._failure = m.PortFailure.WRONG_FINGERPRINT
        shown = self._ssl.get_peer_certificate(as_cryptography=True) if self._ssl else None
        if shown is None or not any(
            f.value.upper() == certificate_digest(shown, f.algorithm.lower())
            for f in remoteParameters.fingerprints
        ):
            self._set_state(State.FAILED)

    def _setup_srtp(self) -> None:
        self._failure = m.PortFailure.NO_PROFILE
        selected = self._ssl.get_selected_srtp_profile() if self._ssl is not None else b""
        profile = next((p for p in SRTP_PROFILES if p.openssl_profile == selected), None)
        if profile is None or self._ssl is None:
            self._set_state(State.FAILED)
            return
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        client, server = (
            m.SrtpKey(_PROFILES[selected], profile.get_key_and_salt(material, index))
            for index in range(2)
        )
        is_server = self._role == "server"
        self.srtp = SrtpSession(
            m.SrtpKeys(server, client) if is_server else m.SrtpKeys(client, server)
        )

    def _set_state(self, state: State) -> None:
        super()._set_state(state)
        if state is State.CLOSED:
            self._over(m.PortFailure.CLOSED)

    # -- flights ------------------------------------------------------------------------------

    def _send_flight(self, data: bytes) -> None:
        """Send a flight, and again soon while nothing comes of it.

        A copy that was not needed is dropped by the far end's replay window.
        """
        self.send(data)
        if self._repeating is not None:
            self._repeating.cancel()
        if self._state is State.CONNECTING and not self.is_over:
            self._repeat_later(data, _REPEAT_FLIGHT_S)

    def _repeat_later(self, data: bytes, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._repeating = loop.call_later(wait_s, self._repeat, data, wait_s)

    def _repeat(self, data: bytes, waited_s: float) -> None:
        is_connecting = self._state is State.CONNECTING
        # The server's last flight goes once more when we are up: nobody can ask for it.
        if is_connecting or (self._state is State.CONNECTED and self._role == "server"):
            self.send(data)
        if is_connecting and waited_s < _LAST_REPEAT_S:
            self._repeat_later(data, 2 * waited_s)
