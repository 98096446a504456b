"""`[sip]`: the embedded sipWsServer, and how we speak SIP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from endpoint.app.section import (
    PORTS,
    STRICT,
    Count,
    Host,
    Port,
    Seconds,
    checked_networks,
    dns_server,
    like,
)

DigestName = Literal["SHA-512-256", "SHA-256", "MD5"]


class Section(BaseModel):
    """Base of its sections."""

    model_config = STRICT


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
    """How long it is not listened to then."""
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
    """What Retry-After says."""

    @field_validator("exempt")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return checked_networks(networks)


class CaptureSettings(Section):
    """`[sip.capture]`: a server as Homer that is sent all SIP, by HEP3 over UDP."""

    server: str
    """`host:port`, as `homer.example.com:9060`."""
    id: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = 2001
    """Which capture agent we are."""
    password: SecretStr | None = None
    """Where the server asks for one."""

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


class SipSettings(Section):
    """`[sip]`: the embedded sipWsServer, and how we speak SIP."""

    host: Host = "127.0.0.1"
    """Address to listen on."""
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
    """A phone that wants to be registered for less is refused (423)."""
    maximum_expires_s: Annotated[int, Field(ge=60, le=86_400)] = 7200
    """No phone is registered for longer at once."""
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
