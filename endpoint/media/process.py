"""A process of ours at the other end of a socketpair: asked, listened to, replaced when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec
import structlog

from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.channel import Channel, make_pair
from signaling.supervision import Supervision

log = structlog.get_logger(__name__)

N = TypeVar("N")
R = TypeVar("R", bound=m.Result)
AnyCommand = m.Command[Any]


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker has died, and all that it had with it. A new one takes requests already."""

    reason: str
    ports: frozenset[m.PortName] = frozenset()
    """Of a media worker: those that are gone. Players that loop are not, the new one has them."""


@dataclass(frozen=True, slots=True)
class WorkerKind(Generic[N]):
    """What a worker runs, and how long it is waited for."""

    name: str
    """For people."""
    module: str
    """Run as `python -m MODULE FD SETTINGS`; it ends when its end of the pair does."""
    settings: str
    """In JSON. Others on this machine may read it: no secrets."""
    decode: Callable[[bytes], m.Reply | m.Failed | N]
    request_timeout_s: float
    """A worker that has not answered after this is taken for dead, and replaced."""
    heartbeat_s: float
    """How often a worker that has nothing to say is asked whether it lives."""
    restart_delay_s: float
    """Wait before a worker is started again that died before it had answered once."""
    descriptors: tuple[int, ...] = ()
    """More that it is given; what each is for is in the settings."""
    is_chatty: bool = False
    """A library of its own writes to standard error what nobody can use."""


class Exchange(Generic[N]):
    """Numbers commands, gives answers to whom they belong, keeps notices for their reader."""

    def __init__(self) -> None:
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[m.Result]] = {}
        self._unwatched: dict[int, str] = {}
        self._told: asyncio.Queue[N | WorkerLost | None] = asyncio.Queue()

    def numbered(self, command: m.Command[R]) -> AnyCommand:
        """The command, with a number of its own."""
        self._last_id += 1
        return msgspec.structs.replace(command, id=self._last_id)

    def expect(self, command: AnyCommand) -> asyncio.Future[m.Result]:
        """What it will be answered."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = answer
        return answer

    def watch(self, command: AnyCommand) -> None:
        """Nobody waits for it: a refusal is logged."""
        self._unwatched[command.id] = type(command).__name__

    def forget(self, command: AnyCommand) -> None:
        """Nobody waits any more."""
        self._waiting.pop(command.id, None)

    def receive(self, message: m.Reply | m.Failed | N) -> None:
        """Take what the worker says."""
        if isinstance(message, m.Reply):
            self._unwatched.pop(message.id, None)
            answer = self._waiting.pop(message.id, None)
            if answer is not None and not answer.done():
                answer.set_result(message.result)
        elif isinstance(message, m.Failed):
            answer = self._waiting.pop(message.id, None)
            if answer is None:
                self.refused(self._unwatched.pop(message.id, ""), message.text)
            elif not answer.done():
                answer.set_exception(MediaError(message.text))
        else:
            self._told.put_nowait(message)

    def refused(self, command: str, text: str) -> None:
        """Nobody waits for what was refused."""
        log.warning("command refused", command=command, text=text)

    def fail(self, reason: str) -> None:
        """Nothing that was asked will be answered."""
        waiting, self._waiting = self._waiting, {}
        self._unwatched.clear()
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(MediaUnavailable(reason))

    def tell(self, notice: N | WorkerLost | None) -> None:
        """Keep a notice; None is the last."""
        self._told.put_nowait(notice)

    async def told(self) -> AsyncIterator[N | WorkerLost]:
        """All notices, in order."""
        while (notice := await self._told.get()) is not None:
            yield notice


class WorkerProcess(Generic[N]):
    """A worker, whichever runs now. Use as `async with`.

    The worker ends when our end of the socketpair closes, however that comes about. A worker that
    dies, or no longer answers, is replaced; a `WorkerLost` notice says so.
    """

    def __init__(self, kind: WorkerKind[N], supervision: Supervision) -> None:
        """`supervision` counts how often a worker had to be replaced."""
        self._kind = kind
        self._supervision = supervision
        self._exchange = Exchange[N]()
        self._channel: Channel | None = None
        self._theirs: socket.socket | None = None
        """The far end of the channel, until a worker has it."""
        self._process: asyncio.subprocess.Process | None = None
        self._group = asyncio.TaskGroup()
        self._closing = False
        self.is_up = False
        """The worker that runs has answered; while a new one begins it may be asked, and waits."""
        self.answered_in_s = 0.0
        """How late it was to answer when it was asked last whether it lives."""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._theirs = self._open_channel()
        keeping = self._supervision.keep(f"{self._kind.name}'s keeper", self._keep_running)
        self._group.create_task(keeping, name=self._kind.name)
        try:
            await self._greet()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        if self._channel is not None:
            self._channel.close()
        self._exchange.fail(f"the {self._kind.name} is no longer wanted")
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._exchange.tell(None)

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def _gone(self) -> str:
        return f"the {self._kind.name} is gone"

    @property
    def name(self) -> str:
        """For people."""
        return self._kind.name

    async def request(self, command: m.Command[R]) -> R:
        """Ask, and wait for the answer. Raises MediaError and MediaUnavailable; see `MediaLink`."""
        return await self.ask(command)

    def ask(self, command: m.Command[R]) -> Coroutine[Any, Any, R]:
        """As `request`, but it is asked when this returns; the answer must be awaited."""
        numbered = self._exchange.numbered(command)
        answer = self._exchange.expect(numbered)
        try:
            self._send(numbered)
        except MediaError as exc:
            answer.set_exception(exc)
        return self._answered(numbered, answer)

    async def _answered(self, numbered: AnyCommand, answer: asyncio.Future[m.Result]) -> Any:
        try:
            async with asyncio.timeout(self._kind.request_timeout_s):
                return await answer
        except TimeoutError:
            if answer.done() and not answer.cancelled():
                # It came while this process was held up, and is read in the same turn.
                return answer.result()
            text = f"the {self._kind.name} did not answer {type(numbered).__name__}"
            raise MediaUnavailable(text) from None
        finally:
            self._exchange.forget(numbered)

    def send(self, command: AnyCommand) -> None:
        """Ask without waiting; a refusal is logged."""
        numbered = self._exchange.numbered(command)
        try:
            self._send(numbered)
        except MediaUnavailable:
            # What it was about is gone with it, and WorkerLost says so.
            log.info("command dropped", worker=self._kind.name, command=type(command).__name__)
        except MediaError as exc:
            self._exchange.refused(type(command).__name__, str(exc))
        else:
            self._exchange.watch(numbered)

    def notices(self) -> AsyncIterator[N | WorkerLost]:
        """All that it tells unasked, in order; ends when this closes. One reader."""
        return self._exchange.told()

    def _send(self, command: AnyCommand) -> None:
        if self._channel is None or not self._channel.is_open:
            raise MediaUnavailable(f"{self._gone}; a new one is being started")
        self._channel.send(m.encode(command))

    def _open_channel(self) -> socket.socket:
        """A new pair; what is sent waits in it until the new worker reads.

        What a dead worker has said and we have not read is dropped: its end, read late, would be
        taken for that of the new one.
        """
        if self._channel is not None:
            self._channel.close()
        ours, theirs = make_pair()
        self._channel = Channel(
            ours,
            received=lambda record: self._exchange.receive(self._kind.decode(record)),
            closed=lambda: self._exchange.fail(self._gone),
        )
        return theirs

    async def _keep_running(self) -> None:
        """Run worker after worker until we close."""
        if self._theirs is None:  # whoever did this before died, and its worker with it
            self._replace("its keeper died")
        while self._theirs is not None:
            theirs, self._theirs = self._theirs, None
            reason, has_answered = await self._run_worker(theirs)
            self.is_up = False
            if self._closing:
                return
            self._exchange.fail(self._gone)
            log.error("worker lost", worker=self._kind.name, reason=reason)
            too_often = self._supervision.restarted(self._kind.name, reason)
            if too_often or not has_answered:
                # It can't start, or can't last: saying so fast does not help it.
                await asyncio.sleep(self._kind.restart_delay_s)
                if self._closing:
                    return
            self._replace(reason)

    def _replace(self, reason: str) -> None:
        """Take requests for the next worker, and say that the last one is lost."""
        self._exchange.fail(self._gone)
        self._theirs = self._open_channel()
        self._exchange.tell(self._loss(reason))

    def _loss(self, reason: str) -> WorkerLost:
        """What is lost with a worker; the next one takes requests already."""
        return WorkerLost(reason)

    async def _run_worker(self, theirs: socket.socket) -> tuple[str, bool]:
        """Run one worker. Returns why it ended, and whether it had ever answered."""
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    self._kind.module,
                    str(theirs.fileno()),
                    self._kind.settings,
                    stdin=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL if self._kind.is_chatty else None,
                    pass_fds=[theirs.fileno(), *self._kind.descriptors],
                    # Its matrices are too small to be worth a second thread, which would spin.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                    # Ctrl-C is for us alone: the audio lasts until we have said goodbye.
                    start_new_session=True,
                )
        except OSError as exc:
            return f"can't start the {self._kind.name}: {exc}", False
        self._process = process
        try:
            has_answered = await self._watch(process)
        finally:
            self._process = None
            if process.returncode is None:
                process.kill()
                await process.wait()
        return f"the {self._kind.name} ended with {process.returncode}", has_answered

    async def _watch(self, process: asyncio.subprocess.Process) -> bool:
        """Until it ends or stops answering. Returns whether it ever answered."""
        has_answered = False
        wait_s = 0.0
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await process.wait()
                return has_answered
            except TimeoutError:
                wait_s = self._kind.heartbeat_s
            if self._closing:
                return has_answered
            try:
                await self._greet()
            except MediaUnavailable:
                if process.returncode is None:
                    return has_answered
                continue
            has_answered = True

    async def _greet(self) -> None:
        """See whether it lives. Raises MediaUnavailable."""
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        await self.request(m.Ping())
        self.answered_in_s = clock() - asked_at
        self.is_up = True
