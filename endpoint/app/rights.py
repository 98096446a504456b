"""Whether who asks may: each request is judged by the table of operations before it is answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from endpoint.agents.identity import Identity, Kind, Occupants
from endpoint.agents.model import Agent, AgentId, Role
from endpoint.app.access import IDENTITY, identity_of
from endpoint.app.bodies import BODY_CHECK, BadRequest, BodyCheck
from endpoint.callcontrol.permissions import is_among
from endpoint.errors import CommandRejected
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.operations import OPERATIONS, Operation, Whose
from endpoint.legs.base import DeviceId

log = structlog.get_logger(__name__)

NOT_PERMITTED = wire.Refused(
    "not_permitted",
    "this is not for you: an agent acts for itself and the device where it is logged on, a monitor "
    "also for the agents of its departments",
)
NOT_OPERATOR = wire.Refused(
    "not_permitted",
    "this is not for you: which tenants there are is for the installation's token, where the "
    "default tenant is served",
)
UNKNOWN_CALL = wire.Refused("unknown_call", "no such call, or it is over")
"""Not 403: who may not see a call is not told that there is one."""
_ABOUT_NOBODY = (Whose.NOBODYS, Whose.ANYBODYS, Whose.FOUND)


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may act for which device, and about which call and agent."""

    occupants: Occupants
    """Who is logged on where."""
    parties: Callable[[str], Iterable[DeviceId]]
    """Devices of ours that are in a call now."""
    agent: Callable[[AgentId], Agent | None]
    """As the directory has it."""
    agents: Callable[[], Iterable[Agent]] = tuple
    """All of them."""

    def may_act(self, identity: Identity, device: str) -> bool:
        """Whether it may see a device's calls, and command in its name.

        Where nobody is logged on, only who may log on there by name: else everybody could speak
        for each telephone of the house.
        """
        if identity.role is Role.ADMINISTRATOR:
            return True
        at = self.occupants.agent_at(DeviceId(device))
        if at is not None:
            return identity.is_about(at)
        return is_among(DeviceId(device), identity.devices)

    def may_stand(self, identity: Identity, device: str) -> bool:
        """Whether it may be the ears and mouth of a device: before it can log on there."""
        if self.may_act(identity, device):
            return True
        is_free = self.occupants.agent_at(DeviceId(device)) is None
        return identity.kind is Kind.AGENT and is_free and not identity.devices

    def sees_call(self, identity: Identity, call: str) -> bool:
        """Whether one of the parties is somebody that it may act for."""
        if identity.role is Role.ADMINISTRATOR:
            return True
        return any(self.may_act(identity, device) for device in self.parties(call))

    def agents_of(self, identity: Identity) -> frozenset[str] | None:
        """Whose past calls it may see; None: everybody's, and those that nobody had."""
        if identity.role is Role.ADMINISTRATOR:
            return None
        return frozenset(each.id for each in self.agents() if identity.is_about(each))

    def check(self, request: web.Request, operation: Operation) -> None:
        """Raises `BadRequest` where who asks may not. What the body says is judged with it."""
        identity = identity_of(request)
        if operation.scope is not None and not identity.may(operation.scope):
            expected = f"a token with scope {operation.scope}"
            text = "the token is not for this"
            raise BadRequest(403, wire.Refused("not_permitted", text, expected=expected))
        if operation.whose is Whose.HOUSE and not identity.is_operator:
            raise BadRequest(403, NOT_OPERATOR)
        if operation.whose in _ABOUT_NOBODY or identity.role is Role.ADMINISTRATOR:
            return
        named = request.match_info
        match operation.whose:
            case Whose.DEVICE if operation.actor:
                return  # by `check_body`
            case Whose.DEVICE if self.may_act(identity, named["device"]):
                return
            case Whose.STATION if self.may_stand(identity, named["device"]):
                return
            case Whose.CALL:
                if self.sees_call(identity, named["call"]):
                    return
                raise BadRequest(404, UNKNOWN_CALL)
            case Whose.AGENT:
                agent = self.agent(AgentId(named["agent"]))
                if agent is not None and identity.is_about(agent):
                    return
            case _:
                pass
        raise BadRequest(403, NOT_PERMITTED)

    def check_body(self, operation: Operation, request: web.Request, body: object) -> None:
        """Raises `BadRequest` where a body commands in the name of a device that it may not."""
        if operation.actor and not self.may_act(
            identity_of(request), str(getattr(body, operation.actor))
        ):
            raise BadRequest(403, NOT_PERMITTED)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let nothing below `/api/v1` be answered that the table does not let."""
        operation = operation_of(request)
        if operation is None or IDENTITY not in request:
            return await handler(request)
        try:
            self.check(request, operation)
        except BadRequest as refused:
            identity = identity_of(request)
            log.warning(
                "request refused",
                reason="rights",
                path=request.path,
                agent=identity.agent,
                credential=identity.credential,
            )
            return refused.answer()
        request[BODY_CHECK] = BodyCheck(operation.body, partial(self.check_body, operation))
        try:
            return await handler(request)
        except CommandRejected:
            call = request.match_info.get("call")
            if call is None or self.sees_call(identity_of(request), call):
                raise
            # Why it can't be done would tell who is in it.
            return BadRequest(404, UNKNOWN_CALL).answer()


def operation_of(request: web.Request) -> Operation | None:
    """What is asked for; None for what is no part of the native interface, and of none at all."""
    resource = request.match_info.route.resource
    if resource is None or not resource.canonical.startswith(wire.API):
        return None
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return OPERATIONS[method, resource.canonical.removeprefix(wire.API)]


def check_declared(routes: Iterable[web.RouteDef]) -> None:
    """Refuse to serve what the table does not have: nobody would have said who may.

    Raises ValueError.
    """
    for route in routes:
        # As the router will have it: a pattern of a variable is no part of its name.
        path = re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", route.path)
        if path.startswith(wire.API) and (route.method, path[len(wire.API) :]) not in OPERATIONS:
            raise ValueError(
                f"nothing says who may {route.method} {path}: declare it in "
                "endpoint/gateways/native/operations.py"
            )
