"""Sources that are believed without digest: the operator's trunks and proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


class TrustedPeers:
    """A set of networks. Raises ValueError for text that is no address and no network."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def __contains__(self, host: str) -> bool:
        """Whether a source address is trusted; what is no address never is."""
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)
