from __future__ import annotations

import pytest

from tests.unit.signaling.sip.network import Network, Party
from tests.unit.signaling.sip.peer import Peer


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Party:
    return network.party("alice")


@pytest.fixture
def bob(network: Network) -> Party:
    return network.party("bob")


@pytest.fixture
def registrar(network: Network) -> Party:
    methods = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REGISTER", "MESSAGE")
    return network.party("registrar", allow=methods)


@pytest.fixture
def peer() -> Peer:
    return Peer()
