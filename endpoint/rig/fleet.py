"""Parties as processes: started, ordered about, listened to, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from endpoint.audio.tones import CALL_PROGRESS_HZ, MUSIC_ON_HOLD_HZ, PARTY_TONES_HZ
from endpoint.errors import EndpointError
from endpoint.legs.audio_end import Protection
from endpoint.rig import orders
from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.orders import AnswerMode, AnyOrder, Done, PartySettings, Refused, Report, Status
from endpoint.rig.walk import Step, WalkSettings, take

MUSIC_ON_HOLD = "moh"
CALL_PROGRESS = "progress"
"""Ring-back or busy: the same pitch in different cadences."""

ORDER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 5.0
_LAST_WORDS = 4000


class PartyError(EndpointError):
    """A party refused an order, or is gone; the text says which and why."""


class Party:
    """One party's process: `async with Party(settings) as party`.

    A process that ends by itself fails whatever waits for it, and all that comes after, with what
    it wrote to stderr; leaving the context does where nothing else has.
    """

    def __init__(self, settings: PartySettings) -> None:
        self.settings = settings
        self.status = Status()
        self._orders = 0
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._changed = asyncio.Condition()
        self._last_words = b""
        self._ended = ""
        """How the process ended; empty while it runs."""
        self._is_quitting = False
        self._is_death_told = False
        self._lives = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Party {self.name} {self.status.call}>"

    @property
    def name(self) -> str:
        """The party's number."""
        return self.settings.name

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "endpoint.rig.party",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for whoever started it; it ends with its input
        )
        group = await self._lives.enter_async_context(asyncio.TaskGroup())
        self._lives.push_async_callback(self._end)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._stdin.write(msgspec.json.encode(self.settings) + b"\n")
        follow = self._follow(self._process.stdout, self._process.stderr)
        group.create_task(follow, name=f"party {self.name}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        handled = await self._lives.__aexit__(exc_type, exc, traceback)
        if exc is None and not self._is_quitting and not self._is_death_told:
            raise self._death()
        return handled

    async def order(self, make: Callable[[int], AnyOrder]) -> Done:
        """Send an order and wait for what comes of it: `party.order(lambda n: Hold(number=n))`.

        Raises:
            PartyError: the party refused, does not answer, or has ended.
        """
        if self._ended:
            raise self._death()
        self._orders += 1
        number = self._orders
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._stdin.write(orders.encode(make(number)) + b"\n")
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                return await future
        except TimeoutError as exc:
            raise PartyError(f"{self.name} did not answer an order in time") from exc
        finally:
            self._waiting.pop(number, None)

    async def dial(self, destination: str) -> None:
        """Call somebody."""
        await self.order(lambda n: orders.Dial(number=n, destination=destination))

    async def answer(self) -> None:
        """Answer the call that rings."""
        await self.order(lambda n: orders.Answer(number=n))

    async def hold(self) -> None:
        """Hold by a re-INVITE of the phone's own."""
        await self.order(lambda n: orders.Hold(number=n))

    async def retrieve(self) -> None:
        """Take the call back by a re-INVITE of the phone's own."""
        await self.order(lambda n: orders.Retrieve(number=n))

    async def restart_ice(self) -> None:
        """Begin ICE anew by a re-INVITE of the phone's own; `Status.connections` tells when."""
        await self.order(lambda n: orders.RestartIce(number=n))

    async def send_digits(self, digits: str) -> None:
        """Send DTMF by RFC 4733."""
        await self.order(lambda n: orders.SendDigits(number=n, digits=digits))

    async def hang_up(self) -> None:
        """End the call, in whatever state it is."""
        await self.order(lambda n: orders.HangUp(number=n))

    async def listen(
        self, last_ms: int, signatures: Mapping[str, Sequence[float]]
    ) -> frozenset[str]:
        """The sources in the last `last_ms` of received, decoded audio."""
        known = {name: list(frequencies) for name, frequencies in signatures.items()}
        done = await self.order(
            lambda n: orders.Listen(number=n, last_ms=last_ms, signatures=known)
        )
        return frozenset(done.heard)

    async def when(
        self, wanted: Callable[[Status], bool], *, timeout_s: float = ORDER_TIMEOUT_S
    ) -> Status:
        """Wait until the party's status is as wanted.

        Raises:
            PartyError: it was not so in time, or the party has ended; the text holds the status.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._ended or wanted(self.status))
        except TimeoutError as exc:
            raise PartyError(f"{self.name} did not get there in time: {self.status}") from exc
        if not wanted(self.status):
            raise self._death()
        return self.status

    async def registered(self) -> None:
        """Wait for the registration."""
        status = await self.when(
            lambda status: status.registered or status.registration_failure != "",
            timeout_s=START_TIMEOUT_S,
        )
        if not status.registered:
            raise PartyError(f"{self.name} can't register: {status.registration_failure}")

    async def address(self) -> str:
        """Where it takes calls by UDP, as `host:port`; waits until it does."""
        status = await self.when(lambda status: status.address != "", timeout_s=START_TIMEOUT_S)
        return status.address

    async def _follow(self, reports: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        """Read what the process says until it ends."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_reports(reports))
            group.create_task(self._keep_last_words(errors))
        status = await self._process.wait()
        words = self._last_words.decode(errors="replace").strip()
        self._ended = f"{self.name} has ended with {status}" + (f":\n{words}" if words else "")
        self._is_quitting = self._is_quitting and status == 0
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._death())
        async with self._changed:
            self._changed.notify_all()

    def _death(self) -> PartyError:
        self._is_death_told = True
        return PartyError(self._ended)

    async def _keep_last_words(self, errors: asyncio.StreamReader) -> None:
        while words := await errors.read(_LAST_WORDS):
            self._last_words = (self._last_words + words)[-_LAST_WORDS:]

    async def _read_reports(self, reports: asyncio.StreamReader) -> None:
        while line := await reports.readline():
            report: Report = orders.decode_report(line)
            match report:
                case Done() as done:
                    if (future := self._waiting.get(done.number)) and not future.done():
                        future.set_result(done)
                case Refused() as refused:
                    if (future := self._waiting.get(refused.number)) and not future.done():
                        future.set_exception(PartyError(f"{self.name}: {refused.text}"))
                case Status() as status:
                    async with self._changed:
                        self.status = status
                        self._changed.notify_all()

    async def _end(self) -> None:
        if self._process.returncode is not None:
            return
        self._is_quitting = True
        self._stdin.write(orders.encode(orders.Quit(number=0)) + b"\n")
        try:
            async with asyncio.timeout(QUIT_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._is_death_told = True
            await self._process.wait()


class Fleet:
    """Parties of one test, each with a tone of its own: `async with Fleet() as fleet`."""

    def __init__(self) -> None:
        self.parties: dict[str, Party] = {}
        self._tones = iter(PARTY_TONES_HZ)
        self._signatures: dict[str, Sequence[float]] = {
            MUSIC_ON_HOLD: MUSIC_ON_HOLD_HZ,
            CALL_PROGRESS: (CALL_PROGRESS_HZ,),
        }
        self._lives = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._lives.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._lives.__aexit__(exc_type, exc, traceback)

    async def add(
        self,
        name: str,
        *,
        server: str,
        password: str,
        domain: str = "127.0.0.1",
        answer: AnswerMode = AnswerMode.WHEN_TOLD,
        ca_file: str = "",
        protection: Protection | None = None,
        codecs: Sequence[str] = (),
    ) -> Party:
        """Start a party and wait until it is registered.

        Without a `protection` it is a browser where its server is reached over WS or WSS, and
        speaks WebRTC; else RTP.

        Raises:
            PartyError: it can't register; the text holds the SIP status or what failed below it.
        """
        party = self.party(
            name,
            server=server,
            password=password,
            domain=domain,
            answer=answer,
            ca_file=ca_file,
            protection=protection,
            codecs=codecs,
        )
        await self._lives.enter_async_context(party)
        await party.registered()
        return party

    def party(
        self,
        name: str,
        *,
        server: str = "",
        password: str = "",
        domain: str = "127.0.0.1",
        answer: AnswerMode = AnswerMode.WHEN_TOLD,
        ca_file: str = "",
        protection: Protection | None = None,
        codecs: Sequence[str] = (),
    ) -> Party:
        """One more party, that somebody else starts and ends: the fleet only listens to it.

        As of `add`; without a `server` it is a telephone that is registered nowhere.
        """
        tone_hz = next(self._tones)
        if protection is None:
            is_browser = server.startswith(("ws:", "wss:"))
            protection = Protection.WEBRTC if is_browser else Protection.RTP
        settings = PartySettings(
            name,
            server,
            domain,
            password,
            tone_hz,
            answer=answer,
            ca_file=ca_file,
            protection=protection,
            codecs=list(codecs),
        )
        self.add_source(name, tone_hz)
        self.parties[name] = Party(settings)
        return self.parties[name]

    def add_source(self, name: str, *frequencies_hz: float) -> None:
        """Let everybody listen for a source that is no party of ours."""
        self._signatures[name] = frequencies_hz

    @property
    def signatures(self) -> Mapping[str, Sequence[float]]:
        """By which frequencies each of them is found."""
        return dict(self._signatures)

    async def hearing(self, last_ms: int) -> HearingMatrix:
        """Measure everybody at once."""
        heard = await asyncio.gather(
            *(party.listen(last_ms, self._signatures) for party in self.parties.values())
        )
        return dict(zip(self.parties, heard, strict=True))

    async def becomes(self, rows: Mapping[str, Iterable[str]], *, timeout_s: float = 8.0) -> None:
        """Wait until everybody hears exactly that, and go on hearing it.

        Raises:
            AssertionError: it did not become so; the text says who hears what they should not.
        """
        settings = WalkSettings(step_timeout_s=timeout_s)

        async def nothing() -> None:
            pass

        result = await take(Step("becomes", matrix(rows), nothing), self.hearing, settings)
        if not result.ok:
            raise AssertionError("; ".join(result.faults))
