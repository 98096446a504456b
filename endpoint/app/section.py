"""What the sections of the file have in common: strictness, and kinds of values."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

MediaKind = Literal["webrtc", "srtp", "rtp"]
HOST = re.compile(r"[0-9A-Fa-f:.]+(%\w+)?|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|")
PORTS = range(1, 65_536)

DEVICE = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
"""What a device may be called: a number, a short name."""


STRICT = ConfigDict(extra="forbid", frozen=True)
"""Of each section: unknown keys are mistakes, values never change."""


def checked_host(host: str) -> str:
    """An address or a name to listen on, or ValueError that says what was expected."""
    if not HOST.fullmatch(host):
        raise ValueError(f"found {host!r}, expected an address or a host name, as 0.0.0.0")
    return host


Host = Annotated[str, AfterValidator(checked_host)]


def like(pattern: str, expected: str) -> AfterValidator:
    """Text must be so; what is not is told in words, not by the pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"found {text!r}, expected {expected}")
        return text

    return AfterValidator(check)


def checked_device(device: str) -> str:
    """The device, or ValueError that says what was expected."""
    if not DEVICE.fullmatch(device):
        raise ValueError(f"{device!r}: expected 1 to 64 letters, digits or any of _ . + * # -")
    return device


def without_user(url: str) -> str:
    """What was found for an address; what stands before an @ may be a secret."""
    return "a user in the address" if "@" in url else repr(url)


def checked_networks(networks: list[str]) -> list[str]:
    """The networks, or ValueError that says which is none."""
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError(
                f"{network!r} is no network: expected an address, or as 192.0.2.0/24"
            ) from None
    return networks


def dns_server(text: str) -> tuple[str, int]:
    """Address and port of a DNS server, or ValueError that says what was expected."""
    host, port = text, 53
    match = re.fullmatch(
        r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?", text
    )
    if match:
        host, port = match[1] or match[3], int(match[2] or match[4] or 53)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        port = 0
    if port not in PORTS:
        raise ValueError(f"found {text!r}, expected an address, as 192.0.2.53 or 192.0.2.53:5353")
    return host, port
