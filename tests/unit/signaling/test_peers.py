from __future__ import annotations

import pytest

from signaling.peers import TrustedPeers

pytestmark = pytest.mark.unit


def test_networks_and_single_addresses_of_both_families():
    peers = TrustedPeers(["192.0.2.0/28", "198.51.100.7", "2001:db8::/32"])
    for host in ("192.0.2.1", "192.0.2.15", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1"):
        assert host in peers
    for host in ("192.0.2.16", "198.51.100.8", "2001:db9::1", "example.com", ""):
        assert host not in peers


def test_nobody_is_trusted_unless_named():
    assert "127.0.0.1" not in TrustedPeers()


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match="example"):
        TrustedPeers(["example.com"])
