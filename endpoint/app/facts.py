"""From the settings of the file to those of each part, with the secrets and files they name."""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from endpoint.app import certificates
from endpoint.app.agentsettings import PROGRAM, AgentSettings
from endpoint.app.recordingsettings import recording_rules
from endpoint.app.renewal import CertificateInUse
from endpoint.app.settings import AccountSettings, Config, SipLimits, StationSettings, dns_server
from endpoint.app.state import StateDirectory
from endpoint.app.trunks import trunk_of
from endpoint.callcontrol.dialplan import DialPlan
from endpoint.callcontrol.dials import DialLimits
from endpoint.errors import ConfigurationError
from endpoint.legs import line, trunk
from endpoint.legs.audio_end import AudioSettings, Protection
from endpoint.legs.base import DeviceId, DigitKind, SoundUse
from endpoint.legs.info import TRICKLE_ICE
from endpoint.legs.leg import AutoAnswer, LegSettings
from endpoint.legs.pjsip import PjsipSettings
from endpoint.legs.program import ProgramStation
from endpoint.legs.sound import SoundStation
from endpoint.legs.soundchoice import SoundChoice
from endpoint.legs.station import FileStation, Station
from endpoint.legs.terms import on_this_machine
from endpoint.media import messages as m
from endpoint.media import pjsip
from endpoint.media.link import MediaSettings, WorkerLink
from endpoint.storage.database import sqlite_url
from signaling.registrar import RegistrarSettings
from signaling.sdp.crypto import CryptoSuite
from signaling.server import SipServerConfig
from signaling.sip.auth import DigestAlgorithm
from signaling.sip.bans import BanRule
from signaling.sip.guard import GuardSettings
from signaling.sip.overload import CallLimits
from signaling.sip.rates import Rate
from signaling.sip.session_timer import SessionTimerSettings
from signaling.supervision import Supervision
from signaling.transport.locating import DnsResolver
from signaling.transport.stream import StreamSettings
from signaling.transport.tls import TlsPolicy, client_context, parse_pin, server_context
from signaling.transport.websocket import WebSocketSettings
from signaling.user_agent import EXTENSIONS, RingReliably, TransportSettings, UserAgentConfig


def database_url(config: Config, state: StateDirectory) -> str:
    """Of the configured database, by default SQLite in the state directory."""
    if config.database.url is not None:
        return config.database.url.get_secret_value()
    return sqlite_url(state.database)


def api_token(config: Config, state: StateDirectory) -> str:
    """The bearer token: configured, or made at first run."""
    if config.http.token is not None:
        return config.http.token.get_secret_value()
    return state.token()


def sip_config(config: Config, certificate: CertificateInUse | None = None) -> SipServerConfig:
    """Facts for the sipWsServer; the certificate is shown to peers that ask for ours."""
    sip = config.sip
    return SipServerConfig(
        realm=sip.realm,
        digest_algorithms=tuple(DigestAlgorithm(name) for name in sip.digest_algorithms),
        user_agent=UserAgentConfig(
            name=sip.user_agent,
            hide_from=(
                *sip.hide_from,
                *(
                    network
                    for each in config.trunk
                    if each.hide_topology
                    for network in each.trusted_networks
                ),
            ),
            guard=guard_settings(sip.limits),
            exempt=tuple(sip.limits.exempt),
            calls=CallLimits(
                rate=Rate(sip.limits.calls_per_second, 2 * sip.limits.calls_per_second),
                at_once=sip.limits.calls,
                retry_after_s=sip.limits.retry_after_s,
            ),
            trusted_peers=tuple(net for each in config.trunk for net in each.trusted_networks),
            supported=(*EXTENSIONS, "replaces", "norefersub", TRICKLE_ICE),
            ring_reliably=RingReliably(sip.ring_reliably),
            info_packages=(TRICKLE_ICE,),
            session_timer=SessionTimerSettings(
                sip.session_expires_s, sip.minimum_session_expires_s
            ),
            transport=TransportSettings(
                advertised_host=config.sip_advertised_host,
                resolver=DnsResolver(*dns_server(sip.dns)) if sip.dns else None,
                advertised_port=sip.advertised_port,
                advertised_tcp_port=sip.advertised_port,
                advertised_tls_port=sip.advertised_tls_port,
                tls=_tls_of_trunks(sip.tls_ca, certificate),
                stream=StreamSettings(
                    maximum_connections=sip.limits.connections,
                    maximum_connections_per_source=sip.limits.connections_per_source,
                    exempt=tuple(sip.limits.exempt),
                ),
                websocket=WebSocketSettings(
                    maximum_connections_per_source=config.http.connections_per_source,
                    maximum_connections=config.http.connections,
                ),
                # `Access` has judged the origin before the request comes here.
                origin_rule=lambda _origin, _request: None,
            ),
        ),
        registrar=RegistrarSettings(
            minimum_expires_s=sip.minimum_expires_s,
            maximum_expires_s=sip.maximum_expires_s,
            domains=frozenset(domain.lower() for domain in sip.domains),
        ),
    )


def _tls_of_trunks(authority: Path | None, certificate: CertificateInUse | None) -> TlsPolicy:
    def shown(now: certificates.ServerCertificate | None) -> TlsPolicy:
        return tls_policy(
            "sip.tls_ca",
            ca=authority,
            pin="",
            certificate=now.certificate if now else None,
            private_key=now.key if now else None,
        )

    if certificate is None:
        return shown(None)
    return TlsPolicy(certificate.context(lambda now: shown(now).context))


def guard_settings(limits: SipLimits) -> GuardSettings:
    """Facts for the guard of the sipWsServer."""
    source, strangers = limits.source_messages_per_second, limits.stranger_messages_per_second
    flow = limits.flow_messages_per_second
    return GuardSettings(
        source_rate=Rate(source, 10 * source),
        stranger_rate=Rate(strangers, 5 * strangers),
        flow_rate=Rate(flow, 5 * flow),
        bans=BanRule(failures=limits.failed_digests, ban_s=limits.ban_s),
    )


def sip_tls_context(
    certificate: certificates.ServerCertificate, client_authority: Path | None
) -> ssl.SSLContext:
    """What SIP over TLS is served with. Raises `ConfigurationError`."""
    try:
        return server_context(
            certificate.certificate, certificate.key, client_authority=client_authority
        )
    except (OSError, ssl.SSLError) as error:
        found = f"found {str(client_authority)!r} ({error})"
        raise ConfigurationError(
            [f"sip.tls_client_ca: {found}, expected a PEM file of a CA's certificate"]
        ) from error


def tls_policy(
    key: str, *, ca: Path | None, pin: str, certificate: Path | None, private_key: Path | None
) -> TlsPolicy:
    """Whom to believe, and what to show, where we connect by TLS. Raises `ConfigurationError`.

    Args:
        key: of the setting that it is for, for messages.
        ca: PEM file of a CA in place of the system's.
        pin: of the far end's public key; empty for none.
        certificate: PEM chain of ours.
        private_key: PEM key of it.
    """
    try:
        context = client_context(ca, certificate=certificate, key=private_key, pinned=bool(pin))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (ca, certificate, private_key) if path is not None)
        raise ConfigurationError([f"{key}: found {files} ({error}), expected PEM files"]) from error
    return TlsPolicy(context, parse_pin(pin) if pin else None)


def media_settings(config: Config, recorder: Sequence[int] = ()) -> list[MediaSettings]:
    """Facts for each media worker: they share the ports out, so that none looks for a free one.

    `recorder` are their ways to the process that writes recordings, one each.
    """
    media = config.media
    pairs = range(media.port_first + media.port_first % 2, media.port_last, 2)
    bounds = [len(pairs) * number // media.workers for number in range(media.workers + 1)]
    return [
        MediaSettings(
            bind_host=media.host,
            rtp_port_low=pairs[first],
            rtp_port_high=pairs[after - 1] + 1,
            ice_host=config.media_advertised_host,
            opus_complexity=media.opus_complexity,
            opus_bit_rate=media.opus_bit_rate,
            cpu_affinity=(media.cpus[number],) if media.cpus else (),
            webrtc_ready=media.webrtc_ready,
            recorder=recorder[number] if recorder else -1,
        )
        for number, (first, after) in enumerate(itertools.pairwise(bounds))
    ]


def media_workers(
    config: Config, supervision: Supervision | None = None, recorder: Sequence[int] = ()
) -> list[WorkerLink]:
    """The media workers, not entered yet."""
    return [
        WorkerLink(
            settings,
            supervision=supervision,
            name=f"media worker {number}" if config.media.workers > 1 else "media worker",
        )
        for number, settings in enumerate(media_settings(config, recorder), 1)
    ]


def audio_settings(config: Config) -> AudioSettings:
    """Facts for what our SDP says."""
    media = config.media
    return AudioSettings(
        advertised_host=config.media_advertised_host,
        srtp_suites=tuple(CryptoSuite(name) for name in media.srtp_suites),
        ice_servers=tuple(
            m.IceServer(
                server.url,
                server.username or None,
                server.credential.get_secret_value() if server.credential is not None else None,
            )
            for server in media.ice_servers
        ),
        ice_relay_only=media.ice_relay_only,
    )


def leg_settings(config: Config) -> LegSettings:
    """Facts for the legs."""
    return LegSettings(
        domain=config.sip.domains[0] if config.sip.domains else config.sip_advertised_host,
        audio=audio_settings(config),
        websocket_media=Protection(config.media.websocket_phones),
        telephone_media=Protection.SRTP if config.media.telephones == "srtp" else Protection.RTP,
        tls_media=Protection.RTP if config.media.telephones == "rtp" else Protection.SRTP,
        media_timeout_s=config.media.rtp_timeout_s,
        browser_grace_s=config.media.browser_grace_s,
        maximum_redirections=config.calls.maximum_redirections,
        auto_answer=AutoAnswer(config.calls.auto_answer),
        auto_answer_devices={
            device: AutoAnswer(rule) for device, rule in config.calls.auto_answer_devices.items()
        },
        keep_up_s=config.calls.keep_up_s,
        keep_up_devices=config.calls.keep_up_devices,
        announcements=tuple(
            rule.announcement
            for rule in recording_rules(config.recording).rules
            if rule.announcement is not None
        ),
    )


def stations(config: Config) -> list[Station | SoundStation]:
    """Devices without a phone."""
    agents = (agent for agent in config.agent if not agent.is_remote)
    return [*map(_station, config.station), *map(_station_of, agents)]


def _station(settings: StationSettings) -> Station | SoundStation:
    device = DeviceId(settings.device)
    if settings.kind == "program":
        return ProgramStation(device)
    if settings.kind != "sound":
        return FileStation(
            device,
            file=str(settings.path) if settings.path is not None else None,
            cadence=(m.Segment(frequencies_hz=[settings.frequency_hz], duration_ms=1000),),
        )
    ringer = settings.ringer or settings.output
    return SoundStation(
        device,
        {
            SoundUse.INPUT: SoundChoice(settings.input, settings.input_gain_db),
            SoundUse.OUTPUT: SoundChoice(settings.output, settings.output_gain_db),
            SoundUse.RINGER: SoundChoice(ringer, settings.ringer_gain_db),
        },
        noise_suppression=settings.noise_suppression,
        answer_after_s=settings.answer_after_s,
    )


def _station_of(agent: AgentSettings) -> Station | SoundStation:
    device, answer_after_s = DeviceId(agent.device), 0.0 if agent.auto_answer else None
    if agent.input == PROGRAM:
        return ProgramStation(device, answer_after_s)
    voice, ears = SoundChoice(agent.input), SoundChoice(agent.output)
    if agent.has_sound_device:
        ringer = SoundChoice(agent.ringer or agent.output)
        uses = (SoundUse.INPUT, SoundUse.OUTPUT, SoundUse.RINGER)
        choices = dict(zip(uses, (voice, ears, ringer), strict=True))
        return SoundStation(device, choices, answer_after_s=answer_after_s)
    silence = (m.Segment(frequencies_hz=[], duration_ms=1000),)
    return FileStation(
        device,
        file=voice.file,
        cadence=tuple(voice.cadence) or silence,
        answer_after_s=answer_after_s,
        record=ears.file,
    )


def outside_accounts(
    config: Config, installation: UUID | None = None
) -> Sequence[line.AccountSettings]:
    """Accounts of devices at outside sipWsServers. Raises `ConfigurationError`."""
    mistakes: list[str] = []
    accounts: list[line.AccountSettings] = []
    for settings in config.device_accounts:
        try:
            accounts.append(outside_account(settings, installation))
        except ConfigurationError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigurationError(mistakes)
    return accounts


def outside_trunks(
    config: Config, installation: UUID | None = None
) -> Sequence[trunk.TrunkSettings]:
    """Lines to the public network. Raises `ConfigurationError`."""
    accounts = {account.device: account for account in config.account}
    return [
        trunk_of(
            each,
            outside_account(accounts[each.account], installation) if each.account else None,
        )
        for each in config.trunk
    ]


def dial_plan(config: Config, trunks: Sequence[trunk.TrunkSettings]) -> DialPlan:
    """The dial plan without the rules of the database."""
    kinds = {account.device: "account" for account in config.device_accounts}
    kinds |= dict.fromkeys(config.devices_without_phone, "station")
    kinds |= dict.fromkeys((ivr.code for ivr in config.ivr), "ivr")
    return DialPlan(
        trunks=trunk.numbers_of(trunks),
        emergency=tuple(config.plan.emergency),
        refused=tuple(config.plan.refused),
        international=config.plan.international_prefix,
        devices=kinds,
    )


def dial_limits(config: Config) -> tuple[DialLimits, ...]:
    """How much devices may dial that a pattern names.

    An IVR is nobody's telephone: many calls are in it, and are sent on by it.
    """
    return (
        *(DialLimits(devices=ivr.code) for ivr in config.ivr),
        *(
            DialLimits(each.dials_per_minute, each.at_once, each.devices)
            for each in config.calls.limits
        ),
    )


def outside_account(
    settings: AccountSettings, installation: UUID | None = None
) -> line.AccountSettings:
    """One account; its telephone is known by the name of the installation, where there is one.

    Raises `ConfigurationError`.
    """
    key = f"account {settings.device}"
    if settings.media_engine == "pjsip" and (why := pjsip.missing()):
        raise ConfigurationError([f"{key}: media_engine: {why}"])
    try:
        password = settings.read_password()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [f"{key}: password_file can't be read: {error}, expected a text file"]
        ) from error
    context: ssl.SSLContext | None = None
    if settings.server.startswith("wss:"):
        try:
            context = certificates.client_context(settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                [f"{key}: ca: found {str(settings.ca)!r} ({error}), expected a PEM file"]
            ) from error
    tls: TlsPolicy | None = None
    if settings.over_tls:
        tls = tls_policy(
            key,
            ca=settings.ca,
            pin=settings.pin,
            certificate=settings.certificate,
            private_key=settings.key,
        )
    username = settings.username or settings.device
    domain = settings.domain or server_host(settings.server)
    return line.AccountSettings(
        device=DeviceId(settings.device),
        uri=f"sip:{username}@{domain}",
        server=settings.server,
        username=username,
        password=password,
        realm=settings.realm or None,
        display_name=settings.display_name,
        transfers=line.Transfers(
            by_refer=settings.transfer == "refer", accepts=settings.accept_refer
        ),
        expires_s=settings.expires_s,
        ssl_context=context,
        tls=tls,
        media=Protection(settings.media) if settings.media is not None else None,
        instance=(
            uuid5(installation, settings.device).urn
            if installation is not None and settings.outbound
            else None
        ),
        gruu=settings.gruu,
        digits=DigitKind(settings.dtmf),
        engine=line.MediaEngine(settings.media_engine),
    )


def pjsip_settings(config: Config) -> PjsipSettings:
    """Facts for accounts whose calls are PJSIP's, which knows no IPv6."""
    host = config.sip.host
    return PjsipSettings(
        host="" if host == "0.0.0.0" or ":" in host else host,
        audio_host=on_this_machine(config.media.host),
    )


def server_host(server: str) -> str:
    """The host of a server's address, IPv6 in brackets."""
    address = server.partition(";")[0]
    host = urlsplit(re.sub(r"^(sips?):", r"\1://", address)).hostname or ""
    return f"[{host}]" if ":" in host else host
