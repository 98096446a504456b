"""`[[account]]`: a device of ours at an outside sipWsServer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from endpoint.app.section import PORTS, STRICT, MediaKind, checked_device, without_user

_SERVER = re.compile(
    r"wss?://[^\s@/]+(/\S*)?|sip:[^\s@/;]+(;transport=(udp|tcp|tls))?|sips:[^\s@/;]+(;transport=tcp)?",
    re.IGNORECASE,
)


def checked_server(server: str) -> str:
    """The address of a sipWsServer, or ValueError that says what was expected."""
    if not _SERVER.fullmatch(server):
        raise ValueError(
            f"{without_user(server)}: expected wss://host[:port][/path], "
            "ws://host[:port][/path], sip:host[:port], with ;transport=tcp or ;transport=tls "
            "where wanted, or sips:host[:port]"
        )
    port = re.search(r":([0-9]+)(/|;|$)", server)
    if port and int(port[1]) not in PORTS:
        raise ValueError(f"found {server!r}, expected a port from 1 to 65535")
    return server


class AccountSettings(BaseModel):
    """`[[account]]`: one device of ours that is registered at an outside sipWsServer."""

    model_config = STRICT

    device: str
    """Who is registered there."""
    server: str
    """`wss://host[:port][/path]`, `ws://…`, or `sip:host[:port]`.

    The latter is UDP; `;transport=tcp` or `;transport=tls` behind it say otherwise, and so does
    `sips:host[:port]`.
    """
    username: str = ""
    """By default the device."""
    domain: str = ""
    """Host of the address of record; by default the server's."""
    realm: str = ""
    """The only realm whose challenge is answered.

    By default the one by which this server registers us; where it does so without a password and
    asks for one in calls, its realm is to be set here.
    """
    password: SecretStr | None = None
    """Or `password_file`."""
    password_file: Path | None = None
    """File that holds the password in its first line; keeps it out of this file."""
    ca: Path | None = None
    """PEM file of the CA that signed the server's certificate; by default the system's CAs."""
    pin: str = ""
    """SHA-256 of the server's public key, as `sha256//BASE64` or in hex; for SIP over TLS.

    Without `ca` it is all that counts: whoever has this key is the server.
    """
    certificate: Path | None = None
    """PEM chain that we show where the server asks for one (SIP over TLS)."""
    key: Path | None = None
    """PEM private key of `certificate`."""
    display_name: str = ""
    """How its device is shown to others."""
    expires_s: Annotated[int, Field(ge=10, le=86_400)] = 600
    """Registered for so long at once, unless the server says otherwise."""
    media: MediaKind | None = None
    """What is offered to the server: `rtp`, `srtp` (keys in the SDP) or `webrtc`.

    By default `webrtc` where the server is reached over WS or WSS, else `rtp`. An offer from there
    is answered as it is made.
    """
    outbound: bool = True
    """Ask the server to reach us over our own connection (RFC 5626); one that can't is not hurt."""
    gruu: bool = False
    """Ask for an address that leads to this very telephone, and use it in calls (RFC 5627).

    Only for servers that lead what is sent to such an address to us. Needs `outbound`.
    """
    transfer: Literal["endpoint", "refer"] = "endpoint"
    """Who does a transfer of a far end of this server.

    `endpoint`: we call the new party and stay between the two. `refer`: the server is asked to
    (REFER), and what it tells of that decides.
    """
    accept_refer: bool = False
    """Whether far ends of this server may have us call somebody (REFER), at this account's cost."""

    media_engine: Literal["endpoint", "pjsip"] = "endpoint"
    """Whose SIP and RTP its calls are: ours, or PJSIP's in a process of its own.

    `pjsip` needs `pip install 'agent-endpoint[pjsip]'` and a server over UDP or TCP. It has four
    calls at once, and its far ends may transfer, whatever `accept_refer` says.
    """
    dtmf: Literal["rfc4733", "info", "inband"] = "rfc4733"
    """How digits are sent there and looked for; those in INFO are understood in any case."""

    @field_validator("device")
    @classmethod
    def _device(cls, device: str) -> str:
        return checked_device(device)

    @field_validator("server")
    @classmethod
    def _server(cls, server: str) -> str:
        return checked_server(server)

    @field_validator("password")
    @classmethod
    def _some_password(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and not password.get_secret_value().strip():
            raise ValueError("found an empty one, expected a password")
        return password

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("expected exactly one of password and password_file")
        return self

    @field_validator("pin")
    @classmethod
    def _readable_pin(cls, pin: str) -> str:
        if pin:
            from signaling.transport.tls import parse_pin

            parse_pin(pin)
        return pin

    @model_validator(mode="after")
    def _tls_settings_are_for_tls(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: expected both, or neither")
        if not self.over_tls and (self.pin or self.certificate is not None):
            raise ValueError("pin, certificate and key are for sips:host or sip:host;transport=tls")
        return self

    @model_validator(mode="after")
    def _what_pjsip_can(self) -> Self:
        if self.media_engine != "pjsip":
            return self
        if not self.server.lower().startswith("sip:") or self.over_tls or "[" in self.server:
            raise ValueError(
                f"media_engine: pjsip reaches no {without_user(self.server)}: "
                "expected sip:host[:port] by UDP or ;transport=tcp, over IPv4"
            )
        if self.media not in (None, "rtp"):
            raise ValueError(f"media_engine: pjsip speaks rtp alone, found media = {self.media!r}")
        if self.dtmf == "inband":
            raise ValueError("media_engine: pjsip sends no tones: expected dtmf rfc4733 or info")
        if self.gruu:
            raise ValueError("media_engine: pjsip uses no GRUU: expected gruu = false")
        return self

    @property
    def over_tls(self) -> bool:
        """The server is reached by SIP over TLS."""
        return self.server.startswith("sips:") or self.server.lower().endswith("transport=tls")

    def read_password(self) -> str:
        """The password, from wherever it is. Raises OSError for a file that can't be read."""
        if self.password is not None:
            return self.password.get_secret_value()
        assert self.password_file is not None
        return self.password_file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
