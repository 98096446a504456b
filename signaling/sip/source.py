"""Who is counted as one where requests are counted: an IPv4 address, or an IPv6 network of 64 bits.

One IPv6 host has 2^64 addresses of its own: counted one by one, it would never be too many.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import NewType

Source = NewType("Source", str)
"""As people write it: `192.0.2.7`, `2001:db8:1:2::/64`; a host that is no address is one itself."""


def source_of(host: str) -> Source:
    """Whom a flow's host belongs to. A source, and what `str` makes of an address, may be given."""
    if ":" not in host:
        return Source(host)
    try:
        address = ip_address(host.partition("/")[0].partition("%")[0])
    except ValueError:
        return Source(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return Source(str(address.ipv4_mapped))
    return Source(str(ip_network((address, 64), strict=False)))
