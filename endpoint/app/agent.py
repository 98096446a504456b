"""An agent for programs: `async with Agent("6002", …) as agent: call = await agent.dial("10086")`.

All is done by the native interface, of an endpoint of its own or of one that runs; so what a
program can do is what every client can, and one way of doing it is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from endpoint.app.agentcall import AgentError, Call, Calls, Events
from endpoint.app.agentsettings import PROGRAM
from endpoint.app.config import load
from endpoint.app.context import client_of, running_client
from endpoint.app.facts import server_host
from endpoint.app.settings import Config, default_state_directory, is_loopback
from endpoint.app.wiring import Endpoint
from endpoint.client.audio import ProgramAudio
from endpoint.client.client import EndpointClient, Frames
from endpoint.gateways.native import messages as wire

T = TypeVar("T")

_NO_ERROR = (None, None, None)

log = structlog.get_logger(__name__)


class Agent:
    """One agent: `async with Agent(...) as agent`.

    Where he is, is one of three. With `server` an endpoint of his own is started, that registers
    him at that sipWsServer. With `config` it is started by that configuration, whose extensions he
    can call. With `client` he is a device of an endpoint that runs; `Agent.running` finds the one
    on this machine.

    Entering raises `AgentError` where he can't be registered, and all that `Endpoint` and
    `EndpointClient` raise. Leaving ends his calls, where the endpoint is his own.
    """

    def __init__(
        self,
        device: str,
        *,
        server: str = "",
        password: str = "",
        ca: str | Path | None = None,
        config: Config | None = None,
        client: EndpointClient | None = None,
        auto_answer: bool = False,
        patience_s: float = 10.0,
        **more: Any,
    ) -> None:
        """Set up; nothing happens before entering.

        Args:
            device: his extension, as `6002`, or `RP_` and the number of his telephone.
            server: `wss://host[:port][/path]`, or any that an `[[account]]` takes.
            password: his, at that server.
            ca: PEM file of the CA that signed that server's certificate, where it is a private one.
            config: of his endpoint; by default free ports, and a state directory of his own.
            client: of an endpoint that runs, instead.
            auto_answer: he takes every call at once.
            patience_s: how long what is asked for may take, but for somebody to answer.
            more: what else an `[[agent]]` may have, as `username`, `domain`, `input`.
        """
        self.device = device
        """His number."""
        self.client: EndpointClient
        """Of his endpoint, for whatever is not here."""
        self._given = client
        self._config: Config | None = None
        if client is None:
            of_server = {"server": server, "password": password, "ca": ca} if server else {}
            agent = {"device": device, "auto_answer": auto_answer, **of_server, **more}
            self._config = _own(agent, config)
        self._stack = AsyncExitStack()
        self._group = asyncio.TaskGroup()
        self._audio = ProgramAudio()
        self._calls = Calls(device, patience_s, self._audio)

    @classmethod
    def running(cls, device: str, config: Path | None = None, *, patience_s: float = 10.0) -> Self:
        """An agent of the endpoint that runs on this machine, found by its configuration.

        Raises `EndpointUnreachable` where none runs, `ConfigurationError`.
        """
        return cls(device, client=running_client(load(config).config), patience_s=patience_s)

    def __repr__(self) -> str:
        return f"<Agent {self.device} {len(self.calls)} calls>"

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # -- calls ------------------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """Those that he is in, or that ring."""
        return self._calls.all()

    async def dial(
        self,
        destination: str,
        *,
        ring_s: float = 60.0,
        show: str = "",
        withhold: bool = False,
        data: Mapping[str, str] | None = None,
    ) -> Call:
        """Call somebody; returns the call when it is answered.

        Args:
            destination: a number or a device, also with digits to press after, as `10086-W1234`.
            ring_s: how long it may take until somebody answers.
            show: the number to show there, where the trunk has it.
            withhold: let nobody know who calls.
            data: texts by their key, that follow the call.

        Raises:
            CallFailed: nobody answered; `cause` says why.
            RequestRefused: he may not dial now.
        """
        asked = self.client.make_call(
            self.device, destination, calling_number=show, withhold=withhold, data=data
        )
        return await self._calls.placed(asked, ring_s)

    async def incoming(self) -> AsyncIterator[Call]:
        """Calls that ring at him: `async for call in agent.incoming(): await call.answer()`."""
        ringing = self._calls.incoming
        while (call := await ringing.get()) is not None:
            yield call
        ringing.put_nowait(None)

    def events(self) -> Events:
        """All that happens at his endpoint from now on: `async for event in agent.events()`."""
        return self._calls.listen()

    # -- inside -----------------------------------------------------------------------------------

    async def _open(self) -> None:
        enter = self._stack.enter_async_context
        if self._given is not None:
            self.client = await enter(self._given)
        else:
            assert self._config is not None
            endpoint = await enter(Endpoint(self._config))
            self.client = await enter(client_of(endpoint.running, endpoint.token))
        self._calls.client, self._calls.tasks = self.client, self._group
        await enter(self._audio)
        frames = await enter(self.client.events())
        snapshot = await anext(frames)
        assert isinstance(snapshot, wire.Snapshot)
        if all(one.device != self.device for one in snapshot.devices):
            raise AgentError(f"{self.device} is no device of the endpoint")
        await self._group.__aenter__()
        self._calls.renew(snapshot)
        reader = self._group.create_task(self._read(frames), name=f"events of {self.device}")
        self._stack.push_async_exit(self._leave)
        self._stack.callback(reader.cancel)
        if self._config is not None:
            await self._registered(snapshot)

    async def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A failure of the body is its caller's own: it must not come back inside a group.
        cancelled = isinstance(error, asyncio.CancelledError)
        await self._group.__aexit__(*((kind, error, trace) if cancelled else _NO_ERROR))

    async def _registered(self, snapshot: wire.Snapshot) -> None:
        """Wait until an outside server has taken him, where he is registered at one."""
        assert self._config is not None
        if all(one.device != self.device for one in self._config.device_accounts):
            return
        known = [one for one in snapshot.registrations if one.device == self.device and one.server]
        with self._calls.listening() as frames:
            if not known:
                known = [await self._calls.in_time(self._registration(frames), "registering")]
        if not known[0].registered:
            raise AgentError(f"{self.device} is not registered: {known[0].text or known[0].cause}")

    async def _registration(self, frames: Events) -> wire.Registration:
        async for frame in frames:
            found = frame.registration
            if found is not None and found.device == self.device and found.server:
                return found
        raise self._calls.gone()

    async def _read(self, frames: Frames) -> None:
        try:
            async for frame in frames:
                match frame:
                    case wire.EventFrame():
                        self._calls.take(frame)
                    case wire.Snapshot():
                        self._calls.renew(frame)
                    case wire.CredentialsExpiring():
                        pass
        finally:
            self._calls.end()


def _own(agent: dict[str, Any], config: Config | None) -> Config:
    """The configuration of an endpoint for one agent. Raises pydantic's `ValidationError`."""
    device, server = str(agent["device"]), str(agent.get("server", ""))
    given = _alone(device, server) if config is None else config.model_dump(exclude_unset=True)
    if not device.startswith("RP_"):
        agent = {"input": PROGRAM, "output": PROGRAM, **agent}
    agents, stations = (
        [one for one in given.get(table, []) if one["device"] != device]
        for table in ("agent", "station")
    )
    return Config.model_validate({**given, "agent": [*agents, agent], "station": stations})


def _alone(device: str, server: str) -> dict[str, Any]:
    """An endpoint that serves nobody but its agent, and reaches his server."""
    host = server_host(server) if server else ""
    place = f"{device}@{host}" if host else device
    elsewhere = bool(host) and not is_loopback(host)
    # A server by UDP answers to where our socket is; by all others to our own connection.
    by_udp = server.startswith("sip:") and "transport=" not in server
    return {
        "http": {"port": 0, "plain": False},
        "sip": {"port": 0, "host": "0.0.0.0" if elsewhere and by_udp else "127.0.0.1"},
        "media": {"host": "0.0.0.0" if elsewhere else "127.0.0.1"},
        "state": {"directory": default_state_directory() / "agents" / place},
    }
