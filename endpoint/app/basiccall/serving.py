"""The listener over the parts of a running endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from endpoint.app import certificates
from endpoint.app.basiccall.centre import Centre
from endpoint.app.basiccall.dialkeys import DialKeys
from endpoint.app.basiccall.listener import BasicCallListener
from endpoint.app.headroom import Headroom
from endpoint.app.rostersettings import liveness
from endpoint.gateways.basiccall.parameters import Parameters

if TYPE_CHECKING:
    from endpoint.app.wiring import Endpoint


def soft_phones(endpoint: Endpoint, headroom: Headroom) -> BasicCallListener:
    """For pages that were written for BasicCall; it listens once it is entered."""
    config, controller = endpoint.config, endpoint.controller
    centre = Centre(
        endpoint.roster,
        endpoint.queues,
        controller,
        endpoint.directory,
        controller.settings.calls.permissions,
        config.basiccall.parameters,
        liveness(config.agents),
        endpoint.is_seat,
        config.tenant.name,
        DialKeys.loaded(config.basiccall),
        config.basiccall.jsonp,
        replace(liveness(config.agents), grace_s=config.basiccall.keep_logon_s),
    )

    def reread() -> Parameters:
        return endpoint.reread().basiccall.parameters

    return BasicCallListener(
        config.basiccall,
        config.http,
        centre,
        endpoint.http.access,
        endpoint.certificate.context(certificates.server_context),
        endpoint.live,
        reread,
        headroom.has_room,
    )
