"""`[[trunk]]`: a line to the public network."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from endpoint.app.section import STRICT, Count, Seconds, checked_device, like
from endpoint.legs.numbering import Pattern, matches

_PEER = re.compile(
    r"sip:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(;transport=(udp|tcp|tls))?"
)
_NUMBER = re.compile(r"[A-Za-z0-9_.+#-][A-Za-z0-9_.+*#-]{0,31}")


def _is_pattern(text: str) -> bool:
    try:
        Pattern(text)
    except ValueError:
        return False
    return True


class Section(BaseModel):
    """Base of its sections."""

    model_config = STRICT


class RuleSettings(Section):
    """What becomes of a number: `{ match = "0*", strip = 1, add = "+49" }`."""

    match: str
    """The number, or its beginning and `*`; `"*"` takes every number. Or a pattern, as `_0[1-9]!`.
    """
    strip: Annotated[int, Field(ge=0, le=32)] = 0
    """So many characters are taken off its beginning,"""
    add: str = ""
    """and these put there."""
    to: str = ""
    """What it becomes, whatever it was: a device, a number."""

    @field_validator("match")
    @classmethod
    def _pattern(cls, match: str) -> str:
        if not _is_pattern(match):
            raise ValueError(f"found {match!r}, expected a number, or its beginning and *")
        return match

    @field_validator("add", "to")
    @classmethod
    def _dialled(cls, text: str) -> str:
        return checked_device(text) if text else text

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.to and (self.strip or self.add):
            raise ValueError("to says all: expected no strip and no add with it")
        return self


class TrunkPeerSettings(Section):
    """A host that a trunk sends calls to; in a list also as its `uri` alone."""

    uri: str
    """`sip:host`, `sip:host:port`, with `;transport=tcp` or `;transport=tls` where wanted."""
    priority: Annotated[int, Field(ge=0, le=65_535)] = 1
    """Those with a lower one are tried first."""
    weight: Annotated[int, Field(ge=1, le=65_535)] = 1
    """Among equals: so many times as often as one of weight 1."""

    @field_validator("uri")
    @classmethod
    def _address(cls, uri: str) -> str:
        match = _PEER.fullmatch(uri)
        if match is None:
            raise ValueError(
                f"found {uri!r}, expected sip:host or sip:host:port, "
                "with ;transport=tcp or ;transport=tls where wanted"
            )
        if int((match[2] or ":5060")[1:]) not in range(1, 65_536):
            raise ValueError(f"found {uri!r}, expected a port from 1 to 65535")
        return uri

    @property
    def host(self) -> str:
        """Without brackets."""
        match = _PEER.fullmatch(self.uri)
        return match[1].strip("[]") if match else ""


class TrunkSettings(Section):
    """`[[trunk]]`: a line to the public network, by static peers or by an account."""

    name: Annotated[str, like("[A-Za-z0-9._-]{1,32}", "1 to 32 letters, digits or . _ -")]
    """For people."""
    peers: list[TrunkPeerSettings] = []
    """Hosts that take our calls because they know our address."""
    account: str = ""
    """In place of peers: the device of an `[[account]]`, which is then the trunk's alone."""
    networks: list[str] = []
    """Addresses and networks whose calls are taken without a digest.

    By default the addresses of `peers`; a peer that is named by its name adds none. No telephone of
    ours may be there: its calls would be taken for the trunk's.
    """
    order: int = 1
    """Trunks with a lower one are tried first."""
    outgoing: list[RuleSettings] = [RuleSettings(match="*")]
    """Which numbers go there, and how they are dialled; the first rule that fits counts.

    Numbers of our own extensions never do, nor does what a rule of the dial plan takes before.
    """
    incoming: list[RuleSettings] = []
    """Which called numbers mean which devices; calls for others are refused.

    Rules of the dial plan for calls that come in go before.
    """
    numbers: list[str] = []
    """The callers' numbers that may be shown, also as beginnings with `*`; by default any.

    Another one is `caller_not_allowed`.
    """
    default_number: str = ""
    """What is shown for a device that has no number here; by default the device itself."""
    device_numbers: dict[str, str] = {}
    """Device to the number that is shown for it."""
    domain: Annotated[str, like("[A-Za-z0-9.:-]{0,253}", "a host, as pbx.example.com")] = ""
    """Host of our address in From, as some carriers want it; by default what SIP says of us."""
    identity: Literal["asserted", "preferred", "none"] | None = None
    """How the number is said beside From: P-Asserted-Identity, P-Preferred-Identity, or not at all.

    By default `asserted` to peers and `preferred` with an account. With `none` the trunk's own
    P-Asserted-Identity, Diversion and History-Info are not believed.
    """
    srtp: Literal["required", "optional", "off"] = "off"
    """SRTP with keys in the SDP."""
    codecs: list[Literal["PCMU", "PCMA", "G722", "OPUS"]] = []
    """Offered and taken in this order; by default ours, so that most calls are forwarded."""
    dtmf: Literal["rfc4733", "info", "inband"] = "rfc4733"
    """How digits are sent and looked for; those in INFO are understood in any case."""
    media_source: Literal["symmetric", "sdp"] = "symmetric"
    """Whose audio is heard: of the address that it comes from, or of that of the SDP alone.

    `symmetric` finds a far end behind NAT, and who sprays while that is silent may win. With `sdp`
    a stranger never does.
    """
    transfer: Literal["endpoint", "refer"] = "endpoint"
    """Who does a transfer of a far end, as of an account."""
    accept_refer: bool = False
    """Whether far ends may have us call somebody, as of an account."""
    hide_topology: bool = False
    """As `sip.hide_from`, for `networks`."""
    most_calls: Count | None = None
    """At once, both ways."""
    first_response_s: Seconds = 4
    """A peer that says nothing for so long is passed over; `100 Trying` counts."""
    options_interval_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 30
    """How often peers are asked by OPTIONS whether they live; 0 never."""

    @field_validator("peers", mode="before")
    @classmethod
    def _plain_peers(cls, peers: object) -> object:
        if not isinstance(peers, list):
            return peers
        return [{"uri": peer} if isinstance(peer, str) else peer for peer in peers]

    @field_validator("networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(
                    f"found {network!r}, expected an address or a network, as 203.0.113.0/28"
                ) from None
        return networks

    @field_validator("numbers")
    @classmethod
    def _patterns(cls, numbers: list[str]) -> list[str]:
        for number in numbers:
            if not _is_pattern(number):
                raise ValueError(f"found {number!r}, expected a number, or its beginning and *")
        return numbers

    @field_validator("device_numbers")
    @classmethod
    def _devices(cls, numbers: dict[str, str]) -> dict[str, str]:
        for device in numbers:
            checked_device(device)
        return numbers

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if bool(self.peers) == bool(self.account):
            raise ValueError(f"trunk {self.name}: expected exactly one of peers and account")
        return self

    @model_validator(mode="after")
    def _shown_numbers(self) -> Self:
        shown = [self.default_number, *self.device_numbers.values()]
        for number in filter(None, shown):
            if _NUMBER.fullmatch(number) is None:
                raise ValueError(f"trunk {self.name}: found {number!r}, expected a number to show")
            if self.numbers and not any(matches(number, pattern) for pattern in self.numbers):
                raise ValueError(
                    f"trunk {self.name}: found {number!r} to show, expected one of numbers"
                )
        return self

    @property
    def trusted_networks(self) -> list[str]:
        """Where its calls come from."""
        return self.networks or [peer.host for peer in self.peers if _is_numeric(peer.host)]


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
