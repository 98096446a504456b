"""Several media workers as one media plane: a port is at one of them, a route goes anywhere.

Where a source is heard at another worker, a link carries it there: two ports on loopback, one at
each, that take what the source's far end may send. So what could be forwarded goes on being
forwarded, telephone-events too, and to both workers it is a port and a route like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, cast

import structlog

from endpoint.audio.frame import WIDEBAND_HZ
from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.crossing import Crossing, SharedRoutes, WorkerIndex
from endpoint.media.link import Link, WorkerLost
from endpoint.media.routetable import check_gains
from signaling.supervision import Supervision, Work

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=m.Result)
Part = tuple[WorkerIndex, m.AnyCommand]
_Pair = tuple[WorkerIndex, WorkerIndex]
Placement = Callable[[Mapping[WorkerIndex, int], WorkerIndex | None], WorkerIndex]
"""Where a port is opened: how many each worker has, and where the one is that it is near to."""

_LINK = "link."
_SPARE_LINKS = 2
"""Ready from each worker to each other one, so that a switch waits for none: those who consult need
one each way, who listens to two needs two."""
_RETRY_S = 1.0
"""After a link could not be opened."""
_PLAYED = m.PayloadType(96, "L16", WIDEBAND_HZ)
"""What a sound of ours crosses in."""


def together(ports: Mapping[WorkerIndex, int], near: WorkerIndex | None) -> WorkerIndex:
    """Beside the one that it is near to; who is near to nobody goes where there are fewest."""
    return near if near is not None and near in ports else min(ports, key=ports.__getitem__)


def in_turn() -> Placement:
    """Beside nobody: each at the next worker. For tests of what crosses."""
    numbers = itertools.count()
    return lambda ports, _near: list(ports)[next(numbers) % len(ports)]


@dataclass(frozen=True, slots=True)
class _LinkPorts:
    """Two ports of one name that face each other."""

    name: m.PortName
    at: _Pair
    """Where it begins, and where it is heard."""
    addresses: tuple[m.RtpAddress, m.RtpAddress]
    """Of each."""

    def facing(self, codecs: list[m.PayloadType]) -> list[Part]:
        """What makes each face the other, for a source that may send these."""
        return [
            (
                at,
                m.SetRemote(
                    self.name,
                    other.host,
                    other.rtp_port,
                    other.rtcp_port,
                    codecs,
                    codecs,
                    sending=begins,
                    receiving=not begins,
                ),
            )
            for at, other, begins in zip(
                self.at, reversed(self.addresses), (True, False), strict=True
            )
        ]

    def closing(self) -> list[Part]:
        """What closes both."""
        return [(worker, m.ClosePort(self.name)) for worker in self.at]


class MediaPool:
    """A `MediaLink` over workers that it enters and leaves: `async with MediaPool(links) as pool`.

    A worker that is lost takes its own ports with it; who was heard by them, or heard them, goes on
    with the rest.
    """

    def __init__(
        self,
        links: Sequence[Link],
        *,
        placement: Placement = together,
        supervision: Supervision | None = None,
    ) -> None:
        """Take workers that are not entered yet."""
        self.links = links
        self._placement = placement
        self._supervision = supervision or Supervision()
        self._stack = AsyncExitStack()
        self._group = asyncio.TaskGroup()
        self._keepers: list[asyncio.Task[None]] = []
        self._told: asyncio.Queue[m.Notice | WorkerLost | None] = asyncio.Queue()
        self._shared = SharedRoutes(len(links))
        self._codecs: dict[m.PortName, list[m.PayloadType]] = {}
        """What may come from a source, where that is known."""
        self._recordings: dict[str, m.PortName] = {}
        self._voices: dict[int, m.PortName] = {}
        self._links: dict[Crossing, _LinkPorts] = {}
        self._numbers = itertools.count(1)
        self._spares: dict[_Pair, deque[_LinkPorts]] = {
            pair: deque() for pair in itertools.permutations(range(len(links)), 2)
        }
        self._wanted = {pair: asyncio.Event() for pair in self._spares}
        self._deaths = [0] * len(links)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        try:
            for link in self.links:
                await self._stack.enter_async_context(link)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        for index, link in enumerate(self.links):
            self._keep(f"media notices of worker {index + 1}", partial(self._read, index, link))
        self._keepers = [
            self._keep(f"media links {pair[0] + 1} to {pair[1] + 1}", partial(self._link, pair))
            for pair in self._spares
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        try:
            await self._stack.aclose()
        finally:
            await self._group.__aexit__(None, None, None)
            self._told.put_nowait(None)

    def _keep(self, name: str, work: Work) -> asyncio.Task[None]:
        keeping = self._supervision.keep(name, work)
        return self._group.create_task(keeping, name=f"{name}, kept")

    # -- MediaLink ------------------------------------------------------------------------------

    async def request(self, command: m.Command[R]) -> R:
        """See `MediaLink`. A route to another worker may begin a moment later."""
        asked = cast("m.AnyCommand", command)
        is_new = isinstance(asked, m.Opening) and asked.port not in self._shared.homes
        parts = self._parts(asked)
        answers = [self.links[worker].ask(cast("m.Command[R]", part)) for worker, part in parts]
        self._close_links()
        results = await asyncio.gather(*answers, return_exceptions=True)
        failure = next((each for each in results if isinstance(each, BaseException)), None)
        if failure is None:
            self._learn(asked)
            return cast("R", results[0])
        if is_new and isinstance(asked, m.Opening):
            self._forget(asked.port)
            for (worker, _), result in zip(parts, results, strict=True):
                # One that has not answered in time may open it later.
                if not isinstance(result, MediaError) or isinstance(result, MediaUnavailable):
                    self.links[worker].send(m.ClosePort(asked.port))
        raise failure

    def send(self, command: m.AnyCommand) -> None:
        """See `MediaLink`."""
        try:
            parts = self._parts(command)
        except MediaError as exc:
            log.warning("media command refused", command=type(command).__name__, text=str(exc))
            return
        self._send(parts)
        self._close_links()
        self._learn(command)

    async def notices(self) -> AsyncIterator[m.Notice | WorkerLost]:
        """See `MediaLink`."""
        while (notice := await self._told.get()) is not None:
            yield notice

    # -- who is asked what ----------------------------------------------------------------------

    def _parts(self, command: m.AnyCommand) -> list[Part]:
        """What to ask which worker. From now on it is so, but for what `_learn` takes note of."""
        match command:
            case m.SetRoutes(group, routes):
                check_gains(routes)
                self._shared.set_group(group, routes)
                for crossing in self._shared.crossings_of(group):
                    self._bring_up(crossing)
                # A group that nobody has a share of is still a question that wants its answer.
                return self._shares(group) or [(0, m.SetRoutes(group, []))]
            case m.OpenPlayer(port) | m.OpenFilePlayer(port) | m.OpenSink(port):
                self._place(port, command.near, everywhere=m.is_loop(command))
                parts = self._at(port, command)
            case m.OpenRtpPort(port) | m.OpenWebRtcPort(port):
                self._place(port, command.near)
                parts = self._at(port, command)
            case m.ClosePort(port):
                parts = self._at(port, command)
                self._forget(port)
            case m.StartRecording(recording, port):
                self._recordings[recording] = port
                parts = self._at(port, command)
            case m.StopRecording(recording):
                parts = self._at(self._recordings.pop(recording, ""), command)
            case m.StartVoice(voice, port):
                self._voices[voice] = port
                parts = self._at(port, command)[:1]
            case m.StopVoice(voice):
                parts = self._at(self._voices.pop(voice, ""), command)[:1]
            case m.Ping():
                parts = [(worker, command) for worker in range(len(self.links))]
            case (
                m.SetRemote(port)
                | m.RestartIce(port)
                | m.SetWebRtcRemote(port)
                | m.AddCandidates(port)
                | m.SendDigits(port)
                | m.StartListening(port)
                | m.ReadHeard(port)
                | m.ReadStatistics(port)
            ):
                parts = self._at(port, command)
        return parts

    def _at(self, port: m.PortName, command: m.AnyCommand) -> list[Part]:
        """Where a port is; of one that is not open any worker can say so."""
        home = self._shared.homes.get(port, 0)
        if home is not None:
            return [(home, command)]
        return [(worker, command) for worker in range(len(self.links))]

    def _place(self, port: m.PortName, near: m.PortName, *, everywhere: bool = False) -> None:
        if port in self._shared.homes:
            return  # it will be refused there
        home = None
        if not everywhere:
            home = self._placement(self._able(), self._shared.homes.get(near))
        self._shared.open(port, home)

    def _able(self) -> dict[WorkerIndex, int]:
        """How many ports each worker has that can take another one; where none can, of all.

        One that is down has none, and would be given all that come.
        """
        counts = dict(enumerate(self._shared.counts))
        return {at: n for at, n in counts.items() if self.links[at].is_up} or counts

    def _forget(self, port: m.PortName) -> None:
        self._shared.close(port)
        self._codecs.pop(port, None)
        self._recordings = {name: at for name, at in self._recordings.items() if at != port}
        self._voices = {voice: at for voice, at in self._voices.items() if at != port}

    def _learn(self, command: m.AnyCommand) -> None:
        """Take note of what a source may send, once its worker has agreed."""
        match command:
            case m.SetRemote(port, receive=codecs) | m.SetWebRtcRemote(port, receive=codecs):
                pass
            case m.OpenPlayer(port) | m.OpenFilePlayer(port):
                codecs = [_PLAYED]
            case _:
                return
        if port not in self._shared.homes or self._codecs.get(port) == codecs:
            return
        self._codecs[port] = codecs
        for crossing, link in self._links.items():
            if crossing.source == port:
                self._send(link.facing(codecs))
        self._serve(each for each in self._shared.needed if each.source == port)

    def _send(self, parts: Iterable[Part]) -> None:
        for worker, command in parts:
            self.links[worker].send(command)

    # -- links ----------------------------------------------------------------------------------

    def _shares(self, group: str) -> list[Part]:
        needed = self._shared.crossings_of(group)
        names = {each: self._links[each].name for each in needed if each in self._links}
        shares = self._shared.shares(group, names)
        return [(worker, m.SetRoutes(group, share)) for worker, share in shares.items()]

    def _bring_up(self, crossing: Crossing) -> bool:
        """Begin a link, where there is one and it is known what it takes. True where it did."""
        pair, codecs = (crossing.begins_at, crossing.heard_at), self._codecs.get(crossing.source)
        if crossing in self._links or codecs is None:
            return False
        self._wanted[pair].set()
        if not self._spares[pair]:
            return False
        link = self._links[crossing] = self._spares[pair].popleft()
        self._send(link.facing(codecs))
        return True

    def _serve(self, crossings: Iterable[Crossing]) -> None:
        """Begin links that routes wait for."""
        begun = [crossing for crossing in list(crossings) if self._bring_up(crossing)]
        for group in {group for each in begun for group in self._shared.groups_of(each.source)}:
            self._send(self._shares(group))

    def _close_links(self) -> None:
        """Close those that no route needs any more.

        None is used again: a packet of the old source may still be on its way.
        """
        for crossing in self._shared.take_dropped():
            if crossing in self._links:
                self._send(self._links.pop(crossing).closing())

    async def _link(self, pair: _Pair) -> None:
        """Have links ready from one worker to another."""
        while True:
            self._wanted[pair].clear()
            while len(self._spares[pair]) < _SPARE_LINKS:
                link = await self._open_link(pair)
                if link is None:
                    break
                self._spares[pair].append(link)
                self._serve(c for c in self._shared.needed if (c.begins_at, c.heard_at) == pair)
            # Where one could not be opened a route may wait for it, and nobody asks again.
            is_short = len(self._spares[pair]) < _SPARE_LINKS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S if is_short else None):
                    await self._wanted[pair].wait()

    async def _open_link(self, pair: _Pair) -> _LinkPorts | None:
        name = f"{_LINK}{next(self._numbers)}"
        command = m.OpenRtpPort(name, strict_source=True, on_loopback=True)
        deaths = [self._deaths[worker] for worker in pair]
        asked = [self.links[worker].request(command) for worker in pair]
        begins, heard = await asyncio.gather(*asked, return_exceptions=True)
        if (
            isinstance(begins, m.RtpAddress)
            and isinstance(heard, m.RtpAddress)
            and deaths == [self._deaths[worker] for worker in pair]
        ):
            return _LinkPorts(name, pair, (begins, heard))
        for worker, result in zip(pair, (begins, heard), strict=True):
            if isinstance(result, m.RtpAddress):
                self.links[worker].send(m.ClosePort(name))
            else:
                log.warning("media link not opened", worker=worker + 1, reason=str(result))
        return None

    # -- notices --------------------------------------------------------------------------------

    async def _read(self, worker: WorkerIndex, link: Link) -> None:
        async for notice in link.notices():
            if isinstance(notice, WorkerLost):
                self._lose(worker, notice)
            elif isinstance(notice, m.RecordingFailed) or not notice.port.startswith(_LINK):
                self._told.put_nowait(notice)

    def _lose(self, worker: WorkerIndex, lost: WorkerLost) -> None:
        """Ports and links of one worker are gone; those that it has opened anew are not."""
        self._deaths[worker] += 1
        for crossing, link in list(self._links.items()):
            if worker in link.at and link.name in lost.ports:
                del self._links[crossing]
                self._send(part for part in link.closing() if part[0] != worker)
        for pair, spares in self._spares.items():
            if worker in pair:
                for link in [each for each in spares if each.name in lost.ports]:
                    spares.remove(link)
                    self._send(part for part in link.closing() if part[0] != worker)
                self._wanted[pair].set()
        ports = frozenset(port for port in lost.ports if not port.startswith(_LINK))
        for port in ports:
            self._forget(port)
        self._close_links()
        self._serve(self._shared.needed)
        self._told.put_nowait(WorkerLost(lost.reason, ports))
