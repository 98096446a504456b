from __future__ import annotations

import pytest
from pydantic import ValidationError

from endpoint.app.settings import AccountSettings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("server", ["sip:pbx;transport=tcp", "sips:pbx", "tls:pbx:5061"])
def test_a_transport_that_is_not_built_yet_is_named(server: str) -> None:
    with pytest.raises(ValidationError, match="not built yet"):
        AccountSettings.model_validate({"device": "6001", "server": server, "password": "x"})
