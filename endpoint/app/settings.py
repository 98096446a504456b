"""What can be set: one model a section of the file, with defaults that run as they are.

Every default listens on loopback only. `port = 0` means "any free one", for tests and the demo.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from endpoint.app.accountsettings import AccountSettings as AccountSettings
from endpoint.app.relations import broken_relations
from endpoint.app.section import DEVICE as DEVICE
from endpoint.app.section import (
    HOST,
    PORTS,
    STRICT,
    Count,
    Host,
    MediaKind,
    Port,
    Seconds,
    checked_networks,
    like,
    without_user,
)
from endpoint.app.section import checked_device as checked_device
from endpoint.app.section import dns_server as dns_server
from endpoint.app.trunksettings import TrunkSettings

DigestName = Literal["SHA-512-256", "SHA-256", "MD5"]
SrtpSuite = Literal["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AEAD_AES_128_GCM"]

ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]+")
"""What both an `Authorization` header and a WebSocket subprotocol can carry."""

_ICE_URL = re.compile(
    r"(stun|turns?):(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(\?transport=(udp|tcp))?"
)

WILDCARDS = ("0.0.0.0", "::", "")


def default_state_directory() -> Path:
    """`$XDG_STATE_HOME/agent-endpoint`, by default `~/.local/state/agent-endpoint`."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "agent-endpoint"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_address(family: socket.AddressFamily = socket.AF_INET) -> str:
    """The address by which this machine reaches others, else loopback. Sends nothing."""
    # TEST-NET-1 and the documentation prefix: the kernel picks a route, no packet leaves.
    target, loopback = ("192.0.2.1", "127.0.0.1")
    if family == socket.AF_INET6:
        target, loopback = ("2001:db8::1", "::1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return loopback
        return str(probe.getsockname()[0])


def advertised(host: str, configured: str) -> str:
    """What others are told: what was configured, else the bound address, else our own address."""
    if configured:
        return configured
    if host in WILDCARDS:
        return own_address(socket.AF_INET6 if host == "::" else socket.AF_INET)
    return "127.0.0.1" if host == "localhost" else host


class Section(BaseModel):
    """Base of all sections: unknown keys are mistakes, values never change."""

    model_config = STRICT


class HttpSettings(Section):
    """`[http]`: the page, REST, the event WebSocket, and SIP over WSS at `/sip`."""

    host: Host = "127.0.0.1"
    """Address to listen on with TLS."""
    port: Port = 8443
    plain: bool = True
    """Listen without TLS too, on 127.0.0.1 only."""
    plain_port: Port = 8080
    origins: list[str] = []
    """Web origins, as `https://crm.example.com`, that may use this interface.

    Our own page always may.
    """
    token: SecretStr | None = None
    """Bearer token; by default one is made at first run and kept in the state directory."""
    certificate: Path | None = None
    """PEM chain; by default a local CA makes one."""
    key: Path | None = None
    """PEM private key of `certificate`."""
    connections: Count = 2000
    connections_per_source: Count = 100
    header_timeout_s: Seconds = 10
    """TLS handshake, and the first request's headers, must be complete by then."""
    body_timeout_s: Seconds = 30
    idle_timeout_s: Seconds = 120
    """A kept-alive connection without a request is closed then."""
    body_limit_bytes: Count = 65_536

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("expected one or more letters, digits or any of - . _ ~ +")
        return token

    @field_validator("origins")
    @classmethod
    def _origins_are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: expected scheme, lower-case host and port only, "
                    "as https://crm.example.com or http://localhost:3000 (no path, no *)"
                )
        return origins

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.plain and self.port == self.plain_port != 0:
            raise ValueError(f"port and plain_port are both {self.port}: expected two ports")
        return self

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: expected both, or neither")
        return self


class SipLimits(Section):
    """`[sip.limits]`: how much is taken from whom; see docs/security.md."""

    source_messages_per_second: Count = 200
    """Of one address' strangers; ten times as many at once."""
    stranger_messages_per_second: Count = 1000
    """Of all strangers together; five times as many at once."""
    flow_messages_per_second: Count = 2000
    """Of one phone or proxy that has proved who it is; five times as many at once."""
    failed_digests: Count = 10
    """Wrong passwords of one address in a minute that have it banned."""
    ban_s: Seconds = 300
    exempt: list[str] = []
    """Networks, as `192.0.2.0/24`, that are neither limited nor banned."""
    connections: Count = 2000
    """TCP and TLS connections that may be open."""
    connections_per_source: Count = 20
    """From one address; more are needed where many phones are behind one NAT."""
    calls_per_second: Count = 50
    """New calls that come in; twice as many at once. More are 503 with Retry-After."""
    calls: Count = 2000
    """At once."""
    retry_after_s: Annotated[int, Field(ge=1, le=3600)] = 5

    @field_validator("exempt")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return checked_networks(networks)


class SipSettings(Section):
    """`[sip]`: the embedded sipWsServer, and how we speak SIP."""

    host: Host = "127.0.0.1"
    port: Port = 5060
    """UDP and TCP."""
    tcp: bool = True
    """Take TCP connections on `port`."""
    tls: bool = True
    """Take TLS connections on `tls_port`, with the certificate of `[http]`."""
    tls_port: Port = 5061
    """By default any free one where `port` is 0."""
    tls_ca: Path | None = None
    """PEM file of the CA whose servers are believed where trunks and calls go by TLS.

    By default the system's CAs. An account says its own.
    """
    tls_client_ca: Path | None = None
    """PEM file: then only who shows a certificate of this CA may connect by TLS (mutual TLS)."""
    dns: str = ""
    """DNS server that is asked where SIP servers are, as `192.0.2.53` or `192.0.2.53:5353`.

    By default those of the system.
    """
    advertised_host: Host = ""
    """What Contact and Via say.

    By default the bound address, or our own where that is a wildcard.
    """
    advertised_port: Port | None = None
    """What others are told in place of `port`."""
    advertised_tls_port: Port | None = None
    """What others are told in place of `tls_port`."""
    realm: Annotated[str, like("[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits or . _ -")] = (
        "agent-endpoint"
    )
    """Of digest authentication.

    Passwords are stored for one realm: a new realm needs them set anew.
    """
    digest_algorithms: Annotated[list[DigestName], Field(min_length=1)] = ["MD5"]
    """Offered to phones, best first.

    MD5 alone by default: baresip 1 gives up at a challenge that it does not know, whichever else
    is there, and JsSIP reads the first one only. Phones that follow RFC 8760 take
    `["SHA-256", "MD5"]`.
    """
    domains: list[str] = []
    """Host names that our registrar serves; empty serves any."""
    user_agent: Annotated[str, like("[ -~]{0,64}", "at most 64 letters of ASCII")] = (
        "agent-endpoint"
    )
    """Told to others as User-Agent and Server; empty tells nobody."""
    hide_from: list[str] = []
    """Networks, as `192.0.2.0/24`, that are told neither: those of carriers and outside servers."""
    trace_bytes: Annotated[int, Field(ge=0, le=1 << 30)] = 16_777_216
    """How much of what was said is kept in memory, for `agent-endpoint trace`; 0: nothing."""
    capture: CaptureSettings | None = None
    minimum_expires_s: Annotated[int, Field(ge=1, le=3600)] = 60
    maximum_expires_s: Annotated[int, Field(ge=60, le=86_400)] = 7200
    limits: SipLimits = SipLimits()
    ring_reliably: Literal["asked", "possible", "always"] = "asked"
    """When our ringing wants to be acknowledged (100rel, PRACK).

    `asked`: where the caller requires it. `possible`: where it can. `always`: who can't is refused
    (421), and not called (it answers 420).
    """
    session_expires_s: Annotated[int, Field(ge=0, le=86_400)] = 1800
    """How long a call lives without being refreshed, where the far end knows session timers.

    0 asks nobody for it; what a far end asks for is done all the same.
    """
    minimum_session_expires_s: Annotated[int, Field(ge=3, le=3600)] = 90
    """A far end that wants to be refreshed more often is refused (422).

    RFC 4028 wants 90 at least; less is for tests.
    """

    @field_validator("hide_from")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return checked_networks(networks)

    @model_validator(mode="after")
    def _session_lasts(self) -> Self:
        if 0 < self.session_expires_s < self.minimum_session_expires_s:
            raise ValueError(
                f"session_expires_s is {self.session_expires_s}: expected 0, or not less than "
                f"minimum_session_expires_s ({self.minimum_session_expires_s})"
            )
        return self

    @field_validator("dns")
    @classmethod
    def _numeric_server(cls, dns: str) -> str:
        if dns:
            dns_server(dns)
        return dns

    @model_validator(mode="before")
    @classmethod
    def _any_free_port_for_all(cls, given: object) -> object:
        if isinstance(given, dict) and str(given.get("port")) == "0":
            return {"tls_port": 0, **given}
        return given


class CaptureSettings(Section):
    """`[sip.capture]`: a server as Homer that is sent all SIP, by HEP3 over UDP."""

    server: str
    """`host:port`, as `homer.example.com:9060`."""
    id: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = 2001
    """Which capture agent we are."""
    password: SecretStr | None = None

    @field_validator("server")
    @classmethod
    def _host_and_port(cls, server: str) -> str:
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", server)
        if match is None or int(match[2]) not in PORTS:
            raise ValueError(f"found {server!r}, expected host:port, as homer.example.com:9060")
        return server

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.server.rpartition(":")
        return host.strip("[]"), int(port)


class IceServerSettings(Section):
    """`[[media.ice_servers]]`: a STUN or TURN server, that browsers behind a firewall need."""

    url: str
    """`stun:host[:port]`, `turn:host[:port]` or `turns:host[:port]`, also with `?transport=tcp`."""
    username: str = ""
    credential: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        match = _ICE_URL.fullmatch(url)
        if not match:
            raise ValueError(
                f"found {without_user(url)}, expected stun:host[:port], turn:host[:port] or "
                "turns:host[:port], with ?transport=udp or ?transport=tcp where wanted"
            )
        if int((match[3] or ":1").removeprefix(":")) not in PORTS:
            raise ValueError(f"found {url!r}, expected a port from 1 to 65535")
        return url

    @model_validator(mode="after")
    def _turn_needs_an_account(self) -> Self:
        secret = self.credential.get_secret_value() if self.credential is not None else ""
        if self.relays and not (self.username and secret):
            raise ValueError(f"{self.url}: expected username and credential with it")
        return self

    @property
    def relays(self) -> bool:
        """It is a TURN server."""
        return self.url.startswith("turn")


class MediaSettings(Section):
    """`[media]`: the media plane, a process of its own."""

    host: Host = "127.0.0.1"
    """Address that RTP ports are bound to."""
    advertised_host: Host = ""
    """What our SDP says; by default the bound address, or our own where that is a wildcard."""
    port_first: Annotated[int, Field(ge=1024, le=65_534)] = 20_000
    port_last: Annotated[int, Field(ge=1025, le=65_535)] = 29_999
    cpu: Annotated[int, Field(ge=0, le=4095)] | None = None
    """Core that the worker is pinned to; by default none."""
    rtp_timeout_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 20
    """A leg that sends no audio for so long is released; 0 never."""
    browser_grace_s: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 15
    """A page that is a device's telephone may come back for so long.

    Its network was lost, or it is reloaded in a call; after that its call is released.
    """
    webrtc_ready: bool = True
    """Load WebRTC when the media process starts: 40 MB, and its first call stalls no others."""
    websocket_phones: MediaKind = "webrtc"
    """What is offered to phones that are registered with us over WS or WSS.

    `webrtc`, as browsers need it, `srtp` (keys in the SDP) or `rtp`. All are taken from them.
    """
    telephones: Literal["srtp", "rtp"] = "rtp"
    """What is offered to phones that are registered with us over UDP.

    With `srtp` those that can't do it are not called. All are taken from them. The keys are in the
    SDP: as secret as the network that it goes by.
    """
    ice_servers: list[IceServerSettings] = []
    """STUN and TURN servers for WebRTC; none is needed where both ends reach each other."""
    ice_relay_only: bool = False
    """WebRTC by TURN servers only: hides our address."""
    opus_complexity: Annotated[int, Field(ge=0, le=10)] = 5
    """Of Opus that we encode: 0 is cheap, 10 is good. What is forwarded is not encoded."""
    opus_bit_rate: Annotated[int, Field(ge=6000, le=510_000)] = 32_000
    """Bits a second, at most; a far end may ask for less."""
    srtp_suites: Annotated[list[SrtpSuite], Field(min_length=1)] = [
        "AES_CM_128_HMAC_SHA1_80",
        "AEAD_AES_256_GCM",
        "AEAD_AES_128_GCM",
    ]
    """Offered and taken where audio is `srtp`, best first."""

    @model_validator(mode="after")
    def _range_holds_a_pair(self) -> Self:
        if self.port_last <= self.port_first:
            raise ValueError(
                f"port_last is {self.port_last}: expected more than port_first ({self.port_first})"
            )
        return self

    @model_validator(mode="after")
    def _something_relays(self) -> Self:
        if self.ice_relay_only and not any(server.relays for server in self.ice_servers):
            raise ValueError(
                "ice_relay_only is on: expected a turn: server among ice_servers, found none"
            )
        return self


AutoAnswerRule = Literal["never", "trusted", "always"]


class CallSettings(Section):
    """`[calls]`: limits and patience of call control."""

    answer_timeout_s: Seconds = 60
    """Ringing for longer is `no_answer`."""
    drain_timeout_s: Seconds = 10
    """At SIGTERM calls may go on for so long; then they are hung up."""
    dials_per_minute: Count = 10
    """Of one device, by command and at its telephone together."""
    at_once: Count = 4
    """Calls that one device may be in; it dials no more then."""
    maximum_redirections: Annotated[int, Field(ge=0, le=10)] = 3
    """So often a call may be sent elsewhere (3xx) before it is answered; 0: never."""
    auto_answer: AutoAnswerRule = "trusted"
    """Whose wish is heard that a device of ours picks up by itself.

    `trusted`: devices of ours and trusted peers, `always`: any caller, `never`: nobody. The wish is
    `Call-Info: …;answer-after=N`, `Alert-Info: …;info=alert-autoanswer` (`auto-answer`,
    `ring-answer`) or `Answer-Mode: Auto`.
    """
    auto_answer_devices: dict[str, AutoAnswerRule] = {}
    """The same for single devices, as `{ 6001 = "never" }`."""


class StationSettings(Section):
    """`[[station]]`: an agent's ears and mouth without a phone: a tone or a file is its voice."""

    device: str
    kind: Literal["tone", "file"]
    frequency_hz: Annotated[float, Field(ge=50, le=3900, allow_inf_nan=False)] = 440
    """Of a tone station."""
    path: Path | None = None
    """WAV file of a file station."""

    @field_validator("device")
    @classmethod
    def _device(cls, device: str) -> str:
        return checked_device(device)

    @model_validator(mode="after")
    def _file_has_path(self) -> Self:
        if self.kind == "file" and self.path is None:
            raise ValueError('kind is "file": expected path to name a WAV file')
        return self


class DatabaseSettings(Section):
    """`[database]`: SQLite in the state directory unless said otherwise."""

    url: SecretStr | None = None
    """`postgresql://user:password@host/name` or `sqlite:///path`."""

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(
            r"(postgresql|sqlite)(\+asyncpg|\+aiosqlite)?://", url.get_secret_value()
        ):
            raise ValueError("expected postgresql://user:password@host/name or sqlite:///path")
        return url


class StateSettings(Section):
    """`[state]`: where the CA, the token, the database and recordings are kept."""

    directory: Path = Field(default_factory=default_state_directory)


class LogSettings(Section):
    """`[log]`: what is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


def _inherited(given: dict[str, Any]) -> dict[str, Any]:
    """`host` and `advertised_host` reach every section that says nothing itself.

    One that can be none stays where it is: it is one mistake, not one of each section.
    """
    filled = dict(given)
    for key, names in (("host", ("http", "sip", "media")), ("advertised_host", ("sip", "media"))):
        host = given.get(key)
        if not isinstance(host, str) or not HOST.fullmatch(host):
            continue
        for name in names:
            section = filled.get(name, {})
            if isinstance(section, dict):
                filled[name] = {key: host, **section}
    return filled


def _again(fault: ErrorDetails) -> InitErrorDetails:
    """A fault that was told, to be told with others; by name alone some can't be."""
    facts = {**fault.get("ctx", {}), "msg": fault["msg"]}
    again = PydanticCustomError(fault["type"], "{msg}", facts)
    return {"type": again, "loc": fault["loc"], "input": fault["input"]}


class Config(Section):
    """Everything, as effective."""

    host: Host = "127.0.0.1"
    """Address that http, sip and media listen on where their sections name none."""
    advertised_host: Host = ""
    """What sip and media tell others where their sections say nothing."""
    http: HttpSettings = HttpSettings()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    calls: CallSettings = CallSettings()
    database: DatabaseSettings = DatabaseSettings()
    state: StateSettings = Field(default_factory=StateSettings)
    log: LogSettings = LogSettings()
    account: list[AccountSettings] = []
    station: list[StationSettings] = []
    trunk: list[TrunkSettings] = []

    @model_validator(mode="wrap")
    @classmethod
    def _every_fault(cls, given: object, make: ModelWrapValidatorHandler[Self]) -> Self:
        """What entries are to each other is told with what is wrong in one: neither hides any."""
        if not isinstance(given, dict):
            return make(given)
        faults: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("relation", "{text}", {"text": text}),
                "loc": where,
                "input": None,
            }
            for where, text in broken_relations(given)
        ]
        try:
            made = make(_inherited(given))
        except ValidationError as error:
            faults = [*map(_again, error.errors()), *faults]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return made

    @property
    def device_accounts(self) -> list[AccountSettings]:
        """Accounts of devices; the others are of trunks."""
        of_trunks = {trunk.account for trunk in self.trunk}
        return [account for account in self.account if account.device not in of_trunks]

    @property
    def sip_advertised_host(self) -> str:
        """What SIP messages say of us."""
        return advertised(self.sip.host, self.sip.advertised_host)

    @property
    def media_advertised_host(self) -> str:
        """What our SDP says."""
        return advertised(self.media.host, self.media.advertised_host)

    @property
    def http_host(self) -> str:
        """By what name this machine reaches our TLS listener; our certificate proves it."""
        host = self.http.host
        if host in (*WILDCARDS, "127.0.0.1", "::1"):
            return "localhost"
        return f"[{host}]" if ":" in host else host

    @property
    def open_hosts(self) -> list[str]:
        """Sections that machines other than this one can reach, as `http`, `sip`."""
        return [
            name
            for name, host in (("http", self.http.host), ("sip", self.sip.host))
            if not is_loopback(host)
        ]
