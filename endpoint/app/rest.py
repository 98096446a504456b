"""REST: registrations, devices, calls, and the commands of call control, below `/api/v1`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version

from aiohttp import web

from endpoint.app.access import identity_of, refusal
from endpoint.app.bodies import json_answer, read_body
from endpoint.app.native import NativeView
from endpoint.app.rights import Rights
from endpoint.app.sight import Sight
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.commands import CommandAccepted, Rejection
from endpoint.callcontrol.model import CallId, ConnectionId, Participation
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class RestRoutes:
    """Handlers over the one controller."""

    view: NativeView
    rights: Rights
    body_timeout_s: float
    alarms: Callable[[], list[str]] = list
    """What is begun anew too often, or waits for the database."""
    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        calls = f"{wire.API}/calls"
        about: dict[str, Callable[[DeviceId, CallId], do.CallCommand]] = {
            "answer": do.AnswerCall,
            "hold": do.HoldCall,
            "retrieve": do.RetrieveCall,
            "end": do.ClearCall,
            "record": do.StartRecording,
            "pause-recording": do.PauseRecording,
            "resume-recording": do.ResumeRecording,
            "stop-recording": do.StopRecording,
        }
        about_two: dict[str, Callable[[DeviceId, CallId | None, CallId], do.PairCommand]] = {
            "alternate": do.AlternateCall,
            "reconnect": do.ReconnectCall,
            "conference": do.ConferenceCall,
        }
        return [
            web.get(f"{wire.API}/health", self.health),
            web.get(f"{wire.API}/registrations", self.registrations),
            web.get(f"{wire.API}/devices", self.devices),
            web.get(f"{wire.API}/trunks", self.trunks),
            web.get(calls, self.calls),
            web.post(calls, self.make_call),
            web.get(f"{calls}/{{call}}", self.call),
            web.get(f"{calls}/{{call}}/quality", self.quality),
            web.post(f"{calls}/{{call}}/digits", self.digits),
            web.post(f"{calls}/{{call}}/transfer", self.transfer),
            web.post(f"{calls}/{{call}}/consult", self.consult),
            web.post(f"{calls}/{{call}}/add", self.add),
            web.post(f"{calls}/{{call}}/join", self.join),
            web.post(f"{calls}/{{call}}/intercept", self.intercept),
            web.post(f"{calls}/{{call}}/pickup", self.pickup),
            web.post(f"{calls}/{{call}}/park", self.park),
            web.post(f"{calls}/{{call}}/lend", self.lend),
            web.post(f"{calls}/{{call}}/deflect", self.deflect),
            web.post(f"{calls}/{{call}}/mute", self.mute),
            web.post(f"{calls}/{{call}}/data", self.data),
            web.post(f"{calls}/{{call}}/clear", self.clear),
            *(
                web.post(f"{calls}/{{call}}/{word}", self._about_device(command))
                for word, command in about.items()
            ),
            *(
                web.post(f"{calls}/{{call}}/{word}", self._about_two(command))
                for word, command in about_two.items()
            ),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        """`GET /health`."""
        controller = self.view.controller
        registered = [one for one in self.view.registrations() if one.registered]
        return json_answer(
            wire.Health(
                ok=controller.takes_new_calls,
                version=version("agent-endpoint"),
                uptime_s=round(asyncio.get_running_loop().time() - self.started_at, 3),
                calls=len(controller.calls()),
                registrations=len({one.device for one in registered}),
                last_event=controller.last_number,
                draining=not controller.takes_new_calls,
                alarms=self.alarms(),
            )
        )

    async def registrations(self, request: web.Request) -> web.Response:
        """`GET /registrations`."""
        return json_answer(
            wire.Registrations(self._sight(request).registrations(self.view.registrations()))
        )

    async def devices(self, request: web.Request) -> web.Response:
        """`GET /devices`."""
        await self.view.directory.refresh()
        return json_answer(wire.Devices(self._sight(request).devices(self.view.devices())))

    async def trunks(self, _request: web.Request) -> web.Response:
        """`GET /trunks`."""
        return json_answer(wire.Trunks(self.view.trunks()))

    async def calls(self, request: web.Request) -> web.Response:
        """`GET /calls`."""
        await self.view.directory.refresh()
        return json_answer(wire.Calls(self._sight(request).calls(self.view.calls())))

    async def call(self, request: web.Request) -> web.Response:
        """`GET /calls/{call}`."""
        await self.view.directory.refresh()
        call = self.view.call(request.match_info["call"])
        return json_answer(call) if call is not None else _unknown_call()

    async def quality(self, request: web.Request) -> web.Response:
        """`GET /calls/{call}/quality`."""
        quality = await self.view.quality(request.match_info["call"])
        return json_answer(quality) if quality is not None else _unknown_call()

    async def make_call(self, request: web.Request) -> web.Response:
        """`POST /calls`."""
        wanted = await read_body(request, wire.MakeCall, timeout_s=self.body_timeout_s)
        return await self._submit(
            do.MakeCall(
                DeviceId(wanted.device),
                wanted.destination,
                wanted.calling_name,
                wanted.calling_number,
                wanted.withhold,
                wanted.data,
            )
        )

    async def digits(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/digits`."""
        wanted = await read_body(request, wire.Press, timeout_s=self.body_timeout_s)
        call = CallId(request.match_info["call"])
        return await self._submit(do.GenerateDigits(DeviceId(wanted.device), wanted.digits, call))

    async def transfer(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/transfer`."""
        wanted = await read_body(request, wire.TransferTo, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        if bool(wanted.destination) == bool(wanted.other):
            expected = "exactly one of destination and other"
            return refusal(
                400, wire.Refused("bad_field", f"expected {expected}", "$.destination", expected)
            )
        if wanted.other:
            return await self._submit(do.TransferCall(device, CallId(wanted.other), call))
        return await self._submit(do.SingleStepTransfer(device, wanted.destination, call))

    async def consult(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/consult`."""
        wanted = await read_body(request, wire.Consult, timeout_s=self.body_timeout_s)
        call = CallId(request.match_info["call"])
        return await self._submit(
            do.ConsultationCall(DeviceId(wanted.device), wanted.destination, call)
        )

    async def add(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/add`."""
        wanted = await read_body(request, wire.AddParty, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        how = Participation(wanted.participation)
        return await self._submit(do.SingleStepConference(device, wanted.destination, call, how))

    async def join(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/join`."""
        wanted = await read_body(request, wire.Join, timeout_s=self.body_timeout_s)
        device, beside = DeviceId(wanted.device), DeviceId(wanted.beside)
        call, how = CallId(request.match_info["call"]), Participation(wanted.participation)
        return await self._submit(do.JoinCall(device, beside, how, call))

    async def intercept(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/intercept`."""
        wanted = await read_body(request, wire.Intercept, timeout_s=self.body_timeout_s)
        device, beside = DeviceId(wanted.device), DeviceId(wanted.beside)
        call = CallId(request.match_info["call"])
        return await self._submit(do.InterceptCall(device, beside, call))

    async def pickup(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/pickup`."""
        wanted = await read_body(request, wire.PickUp, timeout_s=self.body_timeout_s)
        device, beside = DeviceId(wanted.device), DeviceId(wanted.beside)
        call = CallId(request.match_info["call"])
        return await self._submit(do.DirectedPickupCall(device, beside, call))

    async def park(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/park`."""
        wanted = await read_body(request, wire.Park, timeout_s=self.body_timeout_s)
        device, at = DeviceId(wanted.device), DeviceId(wanted.at)
        return await self._submit(do.ParkCall(device, at, CallId(request.match_info["call"])))

    async def lend(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/lend`."""
        wanted = await read_body(request, wire.Lend, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        return await self._submit(do.LendCall(device, wanted.destination, call))

    async def deflect(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/deflect`."""
        wanted = await read_body(request, wire.Deflect, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        return await self._submit(do.DeflectCall(device, wanted.destination, call))

    async def mute(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/mute`."""
        wanted = await read_body(request, wire.Mute, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        return await self._submit(do.SetMicrophoneMute(device, wanted.muted, call))

    async def data(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/data`."""
        wanted = await read_body(request, wire.GiveData, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        return await self._submit(do.AssociateData(device, wanted.data, call))

    async def clear(self, request: web.Request) -> web.Response:
        """`POST /calls/{call}/clear`."""
        wanted = await read_body(request, wire.Clear, timeout_s=self.body_timeout_s)
        device, call = DeviceId(wanted.device), CallId(request.match_info["call"])
        connection = None if wanted.connection is None else ConnectionId(wanted.connection)
        return await self._submit(do.ClearConnection(device, call, connection))

    def _about_two(
        self, command: Callable[[DeviceId, CallId | None, CallId], do.PairCommand]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            wanted = await read_body(request, wire.OfTwoCalls, timeout_s=self.body_timeout_s)
            other = CallId(wanted.other) if wanted.other else None
            call = CallId(request.match_info["call"])
            return await self._submit(command(DeviceId(wanted.device), other, call))

        return handle

    def _about_device(
        self, command: Callable[[DeviceId, CallId], do.CallCommand]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            wanted = await read_body(request, wire.OfDevice, timeout_s=self.body_timeout_s)
            call = CallId(request.match_info["call"])
            return await self._submit(command(DeviceId(wanted.device), call))

        return handle

    def _sight(self, request: web.Request) -> Sight:
        return Sight(self.rights, identity_of(request))

    async def _submit(self, command: do.Command) -> web.Response:
        accepted: CommandAccepted = await self.view.controller.submit(command)
        return json_answer(
            wire.Accepted(str(accepted.command), accepted.call, accepted.interaction), 202
        )


def _unknown_call() -> web.Response:
    unknown = wire.Refused(str(Rejection.UNKNOWN_CALL), "no such call, or it is over")
    return refusal(404, unknown)
