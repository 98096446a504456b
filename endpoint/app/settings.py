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
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.app.accountsettings import AccountSettings as AccountSettings
from endpoint.app.agentsettings import AgentSettings as AgentSettings
from endpoint.app.basiccall.settings import BasicCallSettings
from endpoint.app.credentialsettings import JwtSettings, TokenSettings
from endpoint.app.ivrsettings import IvrSettings as IvrSettings
from endpoint.app.ivrsettings import SkillSettings as SkillSettings
from endpoint.app.permissionsettings import PickupGroupSettings as PickupGroupSettings
from endpoint.app.permissionsettings import SupervisionSettings as SupervisionSettings
from endpoint.app.plansettings import DialLimitSettings as DialLimitSettings
from endpoint.app.plansettings import PlanSettings as PlanSettings
from endpoint.app.recordingsettings import RecordingRuleSettings as RecordingRuleSettings
from endpoint.app.recordingsettings import RecordingsSettings as RecordingsSettings
from endpoint.app.relations import broken_relations
from endpoint.app.rostersettings import AgentsSettings as AgentsSettings
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
    like,
    without_user,
)
from endpoint.app.section import checked_device as checked_device
from endpoint.app.section import dns_server as dns_server
from endpoint.app.sipsettings import CaptureSettings as CaptureSettings
from endpoint.app.sipsettings import SipLimits as SipLimits
from endpoint.app.sipsettings import SipSettings as SipSettings
from endpoint.app.trunksettings import TrunkSettings
from endpoint.app.webhooksettings import WebhookSettings
from endpoint.legs.base import DeviceId, SoundUse
from endpoint.legs.numbering import telephone_of
from endpoint.legs.soundchoice import checked_sound

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


def name_of(host: str) -> str:
    """By what name this machine reaches what listens on `host`, as it is written in an URL."""
    if host in (*WILDCARDS, "127.0.0.1", "::1"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


class Section(BaseModel):
    """Base of all sections: unknown keys are mistakes, values never change."""

    model_config = STRICT


class HttpSettings(Section):
    """`[http]`: the page, REST, the event WebSocket, and SIP over WSS at `/sip`."""

    host: Host = "127.0.0.1"
    """Address to listen on with TLS."""
    port: Port = 8443
    """Of HTTPS and WSS."""
    plain: bool = True
    """Listen without TLS too, on 127.0.0.1 only."""
    plain_port: Port = 8080
    """Without TLS."""
    origins: list[str] = []
    """Web origins, as `https://crm.example.com`, that may use this interface.

    Our own page always may.
    """
    token: SecretStr | None = None
    """Bearer token; by default one is made at first run and kept in the state directory."""
    wrong_tokens_per_minute: Count = 10
    """How many wrong tokens one address may show; then it must wait, with a right one too."""
    certificate: Path | None = None
    """PEM chain; by default a local CA makes one."""
    key: Path | None = None
    """PEM private key of `certificate`."""
    connections: Count = 2000
    """That may be open."""
    connections_per_source: Count = 100
    """From one address; more are refused."""
    header_timeout_s: Seconds = 10
    """TLS handshake, and the first request's headers, must be complete by then."""
    body_timeout_s: Seconds = 30
    """What a request sends must be complete by then."""
    idle_timeout_s: Seconds = 120
    """A kept-alive connection without a request is closed then."""
    idempotency_s: Seconds = 86_400
    """How long an `Idempotency-Key` is remembered, with what was answered."""
    body_limit_bytes: Count = 65_536
    """How long what a request sends may be."""
    metrics: Literal["token", "loopback", "off"] = "token"
    """Who reads `/metrics`: whoever has the token, this machine without it too, or nobody.

    A proxy on this machine is this machine.
    """

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


class IceServerSettings(Section):
    """`[[media.ice_servers]]`: a STUN or TURN server, that browsers behind a firewall need."""

    url: str
    """`stun:host[:port]`, `turn:host[:port]` or `turns:host[:port]`, also with `?transport=tcp`."""
    username: str = ""
    """For `turn:` and `turns:`."""
    credential: SecretStr | None = None
    """The password of `username`."""

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
    """`[media]`: the media plane, a process of its own or several."""

    host: Host = "127.0.0.1"
    """Address that RTP ports are bound to."""
    advertised_host: Host = ""
    """What our SDP says; by default the bound address, or our own where that is a wildcard."""
    port_first: Annotated[int, Field(ge=1024, le=65_534)] = 20_000
    """First of the ports of RTP; each leg takes two,"""
    port_last: Annotated[int, Field(ge=1025, le=65_535)] = 29_999
    """and the last of them."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Media processes; more where one core can't carry all calls, and fewer than cores.

    A call is at one of them, and each has its part of the ports. Where calls of two meet, as when
    somebody picks up or listens, audio goes from one to the other on loopback.
    """
    cpus: list[Annotated[int, Field(ge=0, le=4095)]] = []
    """Cores that they are pinned to, one each; by default none is."""
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
    telephones: Literal["srtp", "srtp-over-tls", "rtp"] = "rtp"
    """What is offered to phones that are registered with us over UDP, TCP or TLS.

    With `srtp` those that can't do it are not called; with `srtp-over-tls` that is so of those that
    come by TLS alone. All are taken from them. The keys are in the SDP: as secret as the network
    that it goes by.
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
    def _each_worker_has_its_own(self) -> Self:
        if self.cpus and len(self.cpus) != self.workers:
            raise ValueError(f"cpus names {len(self.cpus)}, expected one for each of the workers")
        pairs = len(range(self.port_first + self.port_first % 2, self.port_last, 2))
        if pairs < self.workers:
            raise ValueError(f"there are {pairs} pairs of ports, expected one for each worker")
        return self

    @model_validator(mode="after")
    def _something_relays(self) -> Self:
        if self.ice_relay_only and not any(server.relays for server in self.ice_servers):
            raise ValueError(
                "ice_relay_only is on: expected a turn: server among ice_servers, found none"
            )
        return self


Patience = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
AutoAnswerRule = Literal["never", "trusted", "always"]


class CallSettings(Section):
    """`[calls]`: limits and patience of call control."""

    answer_timeout_s: Seconds = 60
    """Ringing for longer is `no_answer`."""
    park_timeout_s: Seconds = 120
    """A call that is parked for longer rings where it was parked from."""
    drain_timeout_s: Seconds = 10
    """At SIGTERM calls may go on for so long; then they are hung up, but for emergencies."""
    dials_per_minute: Count = 10
    """Of one device, by command and at its telephone together."""
    at_once: Count = 4
    """That one device may have, each whom it called being one; it dials no more then.

    Of a conference all count whom it has called in, while it is in it; and of calls that it has
    left those outside whom it had called, for they go on at its cost.
    """
    limits: list[DialLimitSettings] = []
    """The same two for some devices: those of the first entry that takes one."""
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
    keep_up_s: Patience = 0
    """A remote agent's (`RP_`) telephone stays up for so long after a call; 0: it is rung for each.

    It is not rung for the next one: its agent hears two short tones, and is in it.
    """
    keep_up_devices: dict[str, Patience] = {}
    """The same for single remote agents, as `{ RP_913800138000 = 600 }`."""

    @field_validator("keep_up_devices")
    @classmethod
    def _remote(cls, devices: dict[str, float]) -> dict[str, float]:
        for device in devices:
            if telephone_of(DeviceId(checked_device(device))) is None:
                raise ValueError(f"found {device!r}, expected a remote agent, as RP_913800138000")
        return devices


Gain = Annotated[float, Field(ge=-60, le=30, allow_inf_nan=False)]


class StationSettings(Section):
    """`[[station]]`: an agent's ears and mouth without a phone: sound devices, a tone or a file.

    Sound devices are those of the machine that the endpoint runs on; `agent-endpoint sound list`
    shows them.
    """

    device: str
    """Whose ears and mouth."""
    kind: Literal["tone", "file", "sound", "program"]
    """What is heard of it: a tone, a file, or what a microphone hears.

    With `program` a program on this machine gives and takes the audio (docs/python.md).
    """
    frequency_hz: Annotated[float, Field(ge=50, le=3900, allow_inf_nan=False)] = 440
    """Of a tone station."""
    path: Path | None = None
    """WAV file of a file station."""
    input: str = "default"
    """The microphone of a sound station.

    A sound device by its name, `default` for the system's own, `null` for none, `tone:HZ` or
    `file:PATH` (WAV, over and over) in place of one.
    """
    output: str = "default"
    """Its speaker: a sound device by its name, `default`, or `null` for none."""
    ringer: str = ""
    """Where it rings, as `output`; by default there."""
    input_gain_db: Gain = 0
    """Louder or softer: what others hear of it,"""
    output_gain_db: Gain = 0
    """what it hears,"""
    ringer_gain_db: Gain = 0
    """and how it rings."""
    noise_suppression: Annotated[int, Field(ge=0, le=4)] = 0
    """Of its microphone: 0 (none) to 4. Needs `pip install 'agent-endpoint[noise]'`."""
    answer_after_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] | None = None
    """A sound station picks up by itself after so long; by default it waits to be told to."""

    @field_validator("device")
    @classmethod
    def _device(cls, device: str) -> str:
        return checked_device(device)

    @field_validator("input", "output", "ringer")
    @classmethod
    def _sound(cls, name: str, field: ValidationInfo) -> str:
        use = SoundUse(str(field.field_name))
        return checked_sound(name, use) if name or use is not SoundUse.RINGER else name

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


class TenantSettings(Section):
    """`[tenant]`: whose world this process serves; see docs/tenants.md."""

    name: Annotated[
        str,
        like(
            "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
            "1 to 64 letters, digits or . _ -, the first of them a letter or a digit",
        ),
    ] = DEFAULT_TENANT
    """As `agent-endpoint db tenant list` has it. Each needs a state directory of its own."""


class StateSettings(Section):
    """`[state]`: where the CA, the token, the database and recordings are kept."""

    directory: Path = Field(default_factory=default_state_directory)
    """By default `$XDG_STATE_HOME/agent-endpoint`, or `~/.local/state/agent-endpoint`."""


class LogSettings(Section):
    """`[log]`: what is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """From which on."""
    format: Literal["console", "json"] = "console"
    """For a person, or one JSON object a line."""


def _inherited(given: dict[str, Any]) -> dict[str, Any]:
    """`host` and `advertised_host` reach every section that says nothing itself.

    One that can be none stays where it is: it is one mistake, not one of each section.
    """
    filled = dict(given)
    for key, names in (
        ("host", ("http", "sip", "media", "basiccall")),
        ("advertised_host", ("sip", "media")),
    ):
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
    """Address that http, sip, media and basiccall listen on where their sections name none."""
    advertised_host: Host = ""
    """What sip and media tell others where their sections say nothing."""
    http: HttpSettings = HttpSettings()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    calls: CallSettings = CallSettings()
    plan: PlanSettings = PlanSettings()
    database: DatabaseSettings = DatabaseSettings()
    tenant: TenantSettings = TenantSettings()
    state: StateSettings = Field(default_factory=StateSettings)
    log: LogSettings = LogSettings()
    recordings: RecordingsSettings = RecordingsSettings()
    tokens: TokenSettings = TokenSettings()
    jwt: JwtSettings = JwtSettings()
    agents: AgentsSettings = AgentsSettings()
    webhooks: WebhookSettings = WebhookSettings()
    basiccall: BasicCallSettings = BasicCallSettings()
    account: list[AccountSettings] = []
    station: list[StationSettings] = []
    agent: list[AgentSettings] = []
    trunk: list[TrunkSettings] = []
    supervision: list[SupervisionSettings] = []
    pickup_group: list[PickupGroupSettings] = []
    ivr: list[IvrSettings] = []
    skill: list[SkillSettings] = []
    recording: list[RecordingRuleSettings] = []

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
        own = [account for account in self.account if account.device not in of_trunks]
        return [*own, *(agent for agent in self.agent if agent.server)]

    @property
    def devices_without_phone(self) -> list[str]:
        """Those whose audio is here: of a station, or of an agent who has no telephone."""
        agents = (agent.device for agent in self.agent if not agent.is_remote)
        return [*(station.device for station in self.station), *agents]

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
        return name_of(self.http.host)

    @property
    def open_hosts(self) -> list[str]:
        """Sections that machines other than this one can reach, as `http`, `sip`."""
        return [
            name
            for name, host in (
                ("http", self.http.host),
                ("sip", self.sip.host),
                ("basiccall", self.basiccall.host if self.basiccall.enabled else "localhost"),
            )
            if not is_loopback(host)
        ]
