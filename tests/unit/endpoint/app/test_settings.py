from __future__ import annotations

import pytest
from pydantic import ValidationError

from endpoint.app.settings import AccountSettings, Config

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("server", ["sip:pbx;transport=tcp", "sips:pbx", "tls:pbx:5061"])
def test_a_transport_that_is_not_built_yet_is_named(server: str) -> None:
    with pytest.raises(ValidationError, match="not built yet"):
        AccountSettings.model_validate({"device": "6001", "server": server, "password": "x"})


def test_what_is_exempt_from_limits_is_a_network() -> None:
    limits = {"exempt": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]}
    assert Config.model_validate({"sip": {"limits": limits}}).sip.limits.exempt == limits["exempt"]
    with pytest.raises(ValidationError, match="is no network"):
        Config.model_validate({"sip": {"limits": {"exempt": ["pbx.example.com"]}}})
