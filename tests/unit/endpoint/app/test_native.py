"""What is said of devices now."""

from __future__ import annotations

import pytest

from endpoint.app.native import still_news
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered

pytestmark = pytest.mark.unit

AGENT, OTHER = DeviceId("6001"), DeviceId("6002")
REMOVED = DeviceUnregistered(AGENT, Cause.NORMAL, text="removed")
EXPIRED = DeviceUnregistered(AGENT, Cause.NOT_REGISTERED, text="registration expired")
CLOSED = DeviceUnregistered(AGENT, Cause.NORMAL, server="browser", text="closed")
REFUSED = DeviceUnregistered(AGENT, Cause.UNAUTHORISED, server="outside", text="Forbidden")
PAGE = DeviceRegistered(AGENT, "browser.1", 0, server="browser")
PHONE = DeviceRegistered(AGENT, "sip:6001@192.0.2.1", 600)


@pytest.mark.parametrize("gone", [REMOVED, EXPIRED])
def test_a_telephone_that_has_gone_is_no_news_of_a_device_that_is_a_page(
    gone: DeviceUnregistered,
) -> None:
    assert still_news([gone, PAGE]) == [PAGE]


def test_a_page_that_has_gone_is_no_news_of_a_device_that_has_a_telephone() -> None:
    assert still_news([PHONE, CLOSED]) == [PHONE]


def test_why_a_device_is_not_reached_stays_and_so_does_an_account_that_fails() -> None:
    assert still_news([REMOVED, CLOSED]) == [REMOVED, CLOSED]
    assert still_news([REFUSED, PAGE]) == [REFUSED, PAGE]
    elsewhere = DeviceRegistered(OTHER, "sip:6002@192.0.2.2", 600)
    assert still_news([REMOVED, elsewhere]) == [REMOVED, elsewhere]
