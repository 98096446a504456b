"""`agent-endpoint doctor`: what could keep the endpoint from working here, and the cure."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import make_url

import signaling
from endpoint.app import certificates
from endpoint.app.bancommands import how_to_lift, why_banned
from endpoint.app.basiccall.proof import is_loopback_network
from endpoint.app.config import Loaded, load
from endpoint.app.context import running_client
from endpoint.app.facts import (
    audio_settings,
    database_url,
    media_workers,
    outside_accounts,
    outside_trunks,
    server_host,
)
from endpoint.app.ports import can_bind, find_owner, is_taken
from endpoint.app.secrecy import check_secrets
from endpoint.app.settings import Config, is_loopback
from endpoint.app.soundcheck import findings as sound_findings
from endpoint.app.state import StateDirectory
from endpoint.app.trunkcheck import findings
from endpoint.app.words import counted
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.errors import (
    ConfigurationError,
    EndpointError,
    MediaError,
    MediaUnavailable,
    StorageError,
)
from endpoint.legs.audio_end import Protection, codecs_for
from endpoint.media import messages as m
from endpoint.media.link import MediaLink
from endpoint.media.pjsip import MOST_CALLS
from endpoint.storage.database import Database
from endpoint.storage.extensions import Extension, Extensions
from signaling.sdp.ice import Candidate
from signaling.sdp.negotiation import OPUS

Outcome = Literal["ok", "warning", "failed"]
_CLOCK_NOT_SYNCHRONISED = 5
"""What adjtimex(2) returns then (TIME_ERROR)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    outcome: Outcome
    text: str
    """What was found."""
    cure: str = ""
    """What to do about it."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        found = {"name": self.name, "outcome": self.outcome, "text": self.text}
        return {**found, "cure": self.cure} if self.cure else found


async def examine(named: Path | None) -> list[Check]:
    """All checks. A configuration that `serve` would refuse ends them."""
    checks = [check_packages()]
    try:
        loaded = load(named, files=True)
    except ConfigurationError as error:
        checks += [Check("configuration", "failed", line, "mend it") for line in error.mistakes]
        return checks
    config, state = loaded.config, StateDirectory(loaded.config.state.directory)
    checks += [check_configuration(loaded), *check_secret_files(config)]
    checks += [Check("configuration", "warning", text) for text in loaded.warnings]
    for check in (check_state, check_token):
        checks.append(check(config, state))
    checks += await check_running(config)
    checks += check_ports(config, state)
    checks += [check_certificate(config, state), check_clock(), *check_addresses(config)]
    checks += await check_media(config)
    checks += check_codecs()
    checks += await check_sound(config)
    checks += await check_credentials(loaded, state)
    checks += check_accounts(config)
    checks += await check_trunks(config)
    checks += check_basiccall(config)
    return checks


def check_basiccall(config: Config) -> list[Check]:
    """Whom BasicCall's listener believes without a token or a password."""
    settings = config.basiccall
    if not settings.enabled:
        return []
    beyond = [each for each in settings.trust_agent_id if not is_loopback_network(each)]
    if not beyond:
        return [Check("BasicCall", "ok", "beyond this machine agents prove who they are")]
    return [
        Check(
            "BasicCall",
            "warning",
            f"whoever is in {', '.join(beyond)} may be any agent (basiccall.trust_agent_id)",
            "remove these networks, and have pages send ?token=… in serverUri, or softPhoneCode",
        )
    ]


def check_packages() -> Check:
    """A foreign package of the same name exists: whose `signaling` is imported?"""
    name = "packages"
    ours, found = Path(__file__).parents[2], Path(signaling.__file__ or "").parents[1]
    if ours != found:
        return Check(
            name,
            "failed",
            f"the package `signaling` that is imported is not ours: {found}",
            "pip uninstall signaling; then install agent-endpoint anew",
        )
    if importlib.util.find_spec("uvloop") is None:
        return Check(
            name, "warning", "uvloop is not installed: media costs more CPU", "pip install uvloop"
        )
    return Check(name, "ok", f"`signaling` is ours ({found}); uvloop is there")


def check_configuration(loaded: Loaded) -> Check:
    """The file's mode, when it holds secrets."""
    name = "configuration"
    if loaded.path is None:
        return Check(name, "ok", "no file; defaults and environment")
    config = loaded.config
    database = config.database.url
    secret = (
        config.http.token is not None
        or (database is not None and bool(make_url(database.get_secret_value()).password))
        or any(account.password is not None for account in (*config.account, *config.agent))
    )
    mode = stat.S_IMODE(loaded.path.stat().st_mode)
    if secret and mode & 0o077:
        return Check(
            name,
            "warning",
            f"{loaded.path} holds secrets and others may read it (mode {mode:04o})",
            f"chmod 600 {loaded.path}",
        )
    return Check(name, "ok", str(loaded.path))


def check_secret_files(config: Config) -> list[Check]:
    """The modes of files that hold one secret each: what is to be mended, and nothing else."""
    accounts = (*config.account, *config.agent)
    named = [config.http.key, config.recordings.key_file]
    named += [file for each in accounts for file in (each.password_file, each.key)]
    checks = []
    for file in dict.fromkeys(file for file in named if file is not None):
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o007:
            text = f"{file} is a secret, and everybody here may read it (mode {mode:04o})"
            checks.append(Check("secret", "warning", text, f"chmod 600 {file}"))
    return checks


def check_state(_config: Config, state: StateDirectory) -> Check:
    """Whether the state directory can be used."""
    name = "state directory"
    parent = next(path for path in (state.path, *state.path.parents) if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return Check(
            name,
            "failed",
            f"{state.path} can't be written to",
            "set AGENT_ENDPOINT_STATE__DIRECTORY to a directory of yours",
        )
    if not state.path.exists():
        return Check(name, "ok", f"{state.path}; `serve` will make it")
    mode = stat.S_IMODE(state.path.stat().st_mode)
    if mode & 0o077:
        return Check(
            name,
            "warning",
            f"{state.path} is open to others (mode {mode:04o})",
            f"chmod 700 {state.path}",
        )
    return Check(name, "ok", str(state.path))


def check_token(config: Config, state: StateDirectory) -> Check:
    """The bearer token's file."""
    name = "token"
    if config.http.token is not None:
        return Check(name, "ok", "configured")
    if not state.token_file.exists():
        return Check(name, "ok", "none yet; `serve` will make one")
    mode = stat.S_IMODE(state.token_file.stat().st_mode)
    if mode & 0o077:
        return Check(
            name,
            "failed",
            f"others may read {state.token_file} (mode {mode:04o})",
            "agent-endpoint token --new",
        )
    return Check(name, "ok", str(state.token_file))


async def check_running(config: Config) -> list[Check]:
    """What the endpoint that runs here, if one does, says of itself."""
    name = "endpoint"
    try:
        async with running_client(config) as client:
            health, bans = await client.health(), await client.bans()
    except (EndpointUnreachable, RequestRefused):
        return []
    banned = [
        Check("ban", "warning", why_banned(ban), f"mend its password; {how_to_lift(ban)}")
        for ban in bans
    ]
    if health.alarms:
        alarms = [Check(name, "failed", text, "look at its log") for text in health.alarms]
        return [*alarms, *banned]
    registered = counted(health.registrations, "registered device")
    text = f"runs, {counted(health.calls, 'call')}, {registered}"
    return [Check(name, "ok", text), *banned]


def check_ports(config: Config, state: StateDirectory) -> list[Check]:
    """Whether what we want to listen on is free, or held by our own endpoint."""
    http, sip, media = config.http, config.sip, config.media
    wanted = [
        ("http.port", http.host, http.port, False),
        ("sip.port", sip.host, sip.port, True),
        *([("sip.port", sip.host, sip.port, False)] if sip.tcp else []),
        *([("sip.tls_port", sip.host, sip.tls_port, False)] if sip.tls else []),
        ("media.port_first", media.host, media.port_first + media.port_first % 2, True),
    ]
    if http.plain:
        wanted.insert(1, ("http.plain_port", "127.0.0.1", http.plain_port, False))
    if config.basiccall.enabled:
        wanted.append(("basiccall.port", config.basiccall.host, config.basiccall.port, False))
    running = state.running()
    return [
        _check_port(setting, host, port, udp, running.pid if running else None)
        for setting, host, port, udp in wanted
    ]


def _check_port(setting: str, host: str, port: int, udp: bool, own_pid: int | None) -> Check:
    name = f"port {port}/{'udp' if udp else 'tcp'}"
    if port == 0:
        return Check(name, "ok", f"{setting}: any free port")
    error = can_bind(host, port, udp=udp)
    if error is None:
        return Check(name, "ok", f"free on {host}")
    if not is_taken(error):
        key = setting.rpartition(".")[0] + ".host"
        return Check(
            name, "failed", f"{host}: {error.strerror}", f"set {key} to an address of this machine"
        )
    owner = find_owner(port, udp=udp)
    if owner is not None and owner.pid == own_pid:
        return Check(name, "ok", f"used by our endpoint that runs (pid {owner.pid})")
    if setting == "media.port_first":
        # One pair of many; the media plane takes the next.
        return Check(name, "ok", f"taken by {owner or 'somebody'}; the range goes on above it")
    return Check(
        name,
        "failed",
        f"taken by {owner or 'a process that this user may not see'}",
        f"stop it, or set {setting} to another port",
    )


def check_certificate(config: Config, state: StateDirectory) -> Check:
    """The certificate's life and names."""
    name = "certificate"
    try:
        if config.http.certificate is not None:
            found = certificates.provide(config, state, certificates.wall_clock())
        else:
            local = certificates.local(state)
            if local is None:
                return Check(name, "ok", "none yet; `serve` makes a local CA and a certificate")
            found = local
    except ConfigurationError as error:
        return Check(name, "failed", error.mistakes[0], "set http.certificate and http.key anew")
    left = found.not_after - certificates.wall_clock()
    until = f"valid until {found.not_after:%Y-%m-%d} for {', '.join(found.names)}"
    ours = found.authority is not None
    if left < timedelta(0):
        cure = "restart `serve`, which renews it" if ours else "renew it"
        return Check(name, "failed", f"expired on {found.not_after:%Y-%m-%d}", cure)
    if left < timedelta(days=14) and not ours:
        return Check(name, "warning", until, "renew it soon")
    if ours:
        return Check(name, "ok", f"{until}; browsers and phones must trust {found.authority}")
    return Check(name, "ok", until)


def check_clock() -> Check:
    """Certificates and records need the right time; calls do not."""
    name = "clock"
    now = certificates.wall_clock()
    newest = max((path.stat().st_mtime for path in Path(__file__).parent.glob("*.py")), default=0.0)
    if now.timestamp() < newest - 86_400:
        return Check(
            name,
            "failed",
            f"{now:%Y-%m-%d %H:%M} UTC is before this program was installed",
            "set the clock: timedatectl set-ntp true",
        )
    if _synchronised() is False:
        return Check(
            name,
            "warning",
            f"{now:%Y-%m-%d %H:%M:%S} UTC; the kernel says that nobody keeps it right",
            "timedatectl set-ntp true",
        )
    return Check(name, "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _synchronised() -> bool | None:
    """What the kernel says; None where it does not say."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = ctypes.create_string_buffer(512)  # zeroed: modes = 0 only reads
    state = int(adjtimex(timex))
    return None if state < 0 else state != _CLOCK_NOT_SYNCHRONISED


def check_addresses(config: Config) -> list[Check]:
    """Whether what we tell others leads back to us."""
    checks = []
    for section, host, told in (
        ("sip", config.sip.host, config.sip_advertised_host),
        ("media", config.media.host, config.media_advertised_host),
    ):
        name = f"{section} address"
        if is_loopback(told) and not is_loopback(host):
            checks.append(
                Check(
                    name,
                    "failed",
                    f"bound to {host}, but others are told {told}",
                    f"set {section}.advertised_host to an address that others reach",
                )
            )
        elif is_loopback(host) and not is_loopback(told):
            checks.append(
                Check(
                    name,
                    "failed",
                    f"others are told {told}, but only {host} is bound",
                    f'set {section}.host = "0.0.0.0"',
                )
            )
        elif is_loopback(host):
            text = f"{host}: only telephones on this machine reach us"
            checks.append(Check(name, "ok", text))
        else:
            checks.append(Check(name, "ok", f"bound to {host}, told to others as {told}"))
    if is_loopback(config.sip.host) != is_loopback(config.media.host):
        text = f"sip on {config.sip.host} and media on {config.media.host}: no audio will pass"
        checks.append(Check("addresses", "failed", text, "set `host` for all sections"))
    return checks


async def check_media(config: Config) -> list[Check]:
    """Start each media worker, and open a port for telephones and one for browsers."""
    checks: list[Check] = []
    clock = asyncio.get_running_loop().time
    for worker in media_workers(config):
        began = clock()
        try:
            async with asyncio.timeout(20), worker as link:
                address = await link.request(m.OpenRtpPort(id=0, port="doctor"))
                took_ms = round((clock() - began) * 1000)
                browsers = await check_webrtc(config, link)
        except (EndpointError, OSError, TimeoutError, BaseExceptionGroup) as error:
            cure = "see the log; check media.host, its ports and its cpus"
            return [*checks, Check(worker.name, "failed", f"does not work: {error}", cure)]
        starts = f"starts; RTP on {address.host}:{address.rtp_port} ({took_ms} ms)"
        checks.append(Check(worker.name, "ok", starts))
    return [*checks, browsers]


async def check_webrtc(config: Config, link: MediaLink) -> Check:
    """Gather candidates, and so ask every STUN and TURN server."""
    name, audio = "WebRTC", audio_settings(config)
    try:
        address = await link.request(
            m.OpenWebRtcPort(
                port="doctor.webrtc",
                controlling=True,
                ice_servers=list(audio.ice_servers),
                relay_only=audio.ice_relay_only,
            )
        )
    except MediaUnavailable:
        raise
    except MediaError as error:
        return Check(name, "failed", str(error), "check media.host and media.ice_servers")
    kinds = {Candidate.parse(text).type for text in address.candidates}
    text = f"candidates: {', '.join(sorted(kinds))}"
    if audio.ice_servers and kinds <= {"host"}:
        return Check(name, "warning", f"{text}; no ICE server answers", "check media.ice_servers")
    return Check(name, "ok", text)


def check_codecs() -> list[Check]:
    """What we can speak, to telephones and to browsers."""
    checks: list[Check] = []
    for name, protection in (("telephones", Protection.RTP), ("browsers", Protection.WEBRTC)):
        codecs = codecs_for(protection, offering=False)
        said = ", ".join(f"{codec.encoding}/{codec.clock_rate_hz}" for codec in codecs)
        checks.append(Check(f"codecs for {name}", "ok", said))
    if OPUS not in codecs_for(Protection.WEBRTC):
        checks.append(
            Check(
                "libopus",
                "warning",
                "missing: browsers are spoken with by G.711 only",
                "install libopus (Debian: libopus0)",
            )
        )
    return checks


async def check_sound(config: Config) -> list[Check]:
    """Sound devices, where stations have some."""
    name = "sound devices"
    text, found = await sound_findings(config)
    failures = [
        Check(name, "failed" if fatal else "warning", why, cure) for fatal, why, cure in found
    ]
    return failures or [Check(name, "ok", text)]


async def check_credentials(loaded: Loaded, state: StateDirectory) -> list[Check]:
    """Extensions: their realm, their strength, whether there are any."""
    name, config = "credentials", loaded.config
    try:
        extensions = [extension async for extension in _extensions(config, state)]
    except StorageError as error:
        says_how = "agent-endpoint " in str(error)
        cure = "" if says_how else "see `database.url` in config show"
        return [Check("database", "failed", str(error), cure)]
    except ConfigurationError as error:
        return [Check("database", "failed", error.mistakes[0], "see state.directory")]
    realm = config.sip.realm
    checks: list[Check] = []
    if not extensions:
        text = "no extension: no telephone may register here"
        checks.append(Check(name, "warning", text, "agent-endpoint extension add 6001 --generate"))
    for extension in extensions:
        if realm not in extension.realms:
            text = f"{extension.number} has no password for realm {realm}"
            cure = f"agent-endpoint extension add {extension.number} --generate --replace"
            checks.append(Check(name, "failed", text, cure))
    token = config.http.token.get_secret_value() if config.http.token else state.stored_token()
    try:
        check_secrets(config, token or "0123456789abcdef", extensions, loaded.origins)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            text, _, cure = mistake.partition("; to mend it, ")
            checks.append(Check(name, "failed", text, cure.removeprefix("run: ")))
    if checks:
        return checks
    weak = [extension.number for extension in extensions if extension.weak]
    text = f"{counted(len(extensions), 'extension')} for realm {realm}"
    if weak:
        text += f"; weak, but this machine only: {', '.join(weak)}"
    return [Check(name, "ok", text)]


async def _extensions(config: Config, state: StateDirectory) -> AsyncIterator[Extension]:
    """The extensions, if there is a database already: the doctor makes none."""
    if config.database.url is None and not state.database.exists():
        return
    async with Database(database_url(config, state), config.tenant.name) as database:
        for extension in await Extensions(database).all():
            yield extension


def check_accounts(config: Config) -> list[Check]:
    """Accounts at outside servers: readable, and reachable from where we are bound."""
    try:
        outside_accounts(config)
        outside_trunks(config)
    except ConfigurationError as error:
        return [Check("accounts", "failed", line) for line in error.mistakes]
    checks = []
    for account in (*config.account, *(agent for agent in config.agent if agent.server)):
        name = f"account {account.device}"
        outside = not is_loopback(server_host(account.server))
        if outside and is_loopback(config.media.host):
            text = f"{account.server} is elsewhere, but media is bound to {config.media.host}"
            checks.append(
                Check(name, "failed", text, 'set host = "0.0.0.0" at the top of the file')
            )
        elif account.media_engine == "pjsip":
            text = (
                f"at {account.server}, by PJSIP: {MOST_CALLS} calls at once, RTP bound to every "
                "address, and whoever is in a call with it may transfer it (REFER) at its cost"
            )
            checks.append(Check(name, "warning", text, 'media_engine = "endpoint" refuses that'))
        else:
            cure = f"agent-endpoint register {account.device} --once"
            checks.append(Check(name, "ok", f"at {account.server}; to try it: {cure}"))
    return checks


async def check_trunks(config: Config) -> list[Check]:
    """Whether trunks can carry calls."""
    checks = []
    for trunk in config.trunk:
        name = f"trunk {trunk.name}"
        found = await findings(config, trunk)
        for fatal, text, cure in found:
            checks.append(Check(name, "failed" if fatal else "warning", text, cure))
        if not found:
            where = ", ".join(peer.uri for peer in trunk.peers) or f"account {trunk.account}"
            checks.append(
                Check(name, "ok", f"by {where}; while `serve` runs: agent-endpoint trunks")
            )
    return checks
