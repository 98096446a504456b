"""Who connects by WebSocket names a host that is nowhere: the same one after a restart."""

from __future__ import annotations

from random import Random
from unittest.mock import Mock

import pytest

from signaling.sip.flow import Flow, TransportKind
from signaling.transport.layer import TransportLayer, TransportSettings

pytestmark = pytest.mark.unit


def told_host(identity: str, seed: int, client: str = "6001") -> str:
    """What a new process tells the server at the end of a client's connection."""
    layer = TransportLayer(Mock(), TransportSettings(identity=identity), Random(seed))
    flow = Flow(TransportKind.WSS, "192.0.2.1", 443, client, 7)
    host = layer.local_uri(flow, "6001").host
    assert layer.local_uri(flow, "6001").host == host, "the same while it lives"
    return host


def test_an_installation_has_one_host_for_each_connection_for_ever() -> None:
    host = told_host("one", 1)
    assert host.endswith(".invalid")
    assert told_host("one", 2) == host
    assert told_host("one", 1, client="6002") != host
    assert told_host("another", 1) != host


def test_who_has_no_identity_has_another_host_each_time() -> None:
    assert told_host("", 1) != told_host("", 2)
