"""A peer that is asked by OPTIONS, again and again, whether it lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

import structlog

from signaling.errors import TransportError
from signaling.mailbox import Mailbox
from signaling.sip.events import RequestCompleted
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.liveness import Liveness, LivenessEvent, LivenessSettings, LivenessState
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.uri import Uri

log = structlog.get_logger(__name__)


class Asker(Protocol):
    """What a watch needs of its user agent."""

    def now(self) -> float:
        """The loop's clock."""

    async def request(self, wanted: OutOfDialogRequest) -> RequestCompleted:
        """Send a request outside any dialog. Raises TransportError where there is no way."""


class Watch:
    """Made by `UserAgent.watch`; asks until `stop`, or until the user agent is left."""

    def __init__(
        self,
        asker: Asker,
        liveness: Liveness,
        settings: LivenessSettings,
        target: Uri,
        *,
        from_: NameAddr,
        flow: Flow | None,
    ) -> None:
        self.target = target
        """The Request-URI; without a flow of its own, its host is resolved for each probe."""
        self._asker = asker
        self._liveness = liveness
        self._settings = settings
        self._from = from_
        self._flow = flow
        self._events: Mailbox[LivenessEvent] = Mailbox(1000)  # of a reader that is not there
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Watch {self.target} {self.state}>"

    @property
    def state(self) -> LivenessState:
        """What is known of the peer."""
        return self._liveness.state

    def events(self) -> AsyncIterator[LivenessEvent]:
        """`PeerUp` and `PeerDown` as they turn, the first after the first probes. One reader."""
        return self._events

    def suspect(self) -> None:
        """A call failed there, for one: ask at once."""
        self._liveness.suspect(now=self._asker.now())
        self._hurry.set()

    def stop(self) -> None:
        """Ask no more; `events` ends."""
        if self._task is not None:
            self._task.cancel()
        self._events.close()

    def start(self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        """For the user agent: ask whenever it is time, in a task of its own."""
        self._task = spawn(self._run())

    async def _run(self) -> None:
        while True:
            await self._pause()
            await self._probe()

    async def _pause(self) -> None:
        """Until the next probe is due, or somebody is in a hurry."""
        while (left_s := self._liveness.next_probe_at - self._asker.now()) > 0:
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._hurry.wait()

    async def _probe(self) -> None:
        event: LivenessEvent | None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                done = await self._asker.request(
                    OutOfDialogRequest(
                        method="OPTIONS",
                        target=self.target,
                        from_=self._from,
                        to=NameAddr("", self.target),
                        flow=self._flow,
                        headers=(("Accept", "application/sdp"),),
                    )
                )
        except TimeoutError:
            event = self._liveness.unanswered("no answer to OPTIONS", now=self._asker.now())
        except TransportError as error:
            event = self._liveness.unanswered(str(error), None, now=self._asker.now())
        except Exception as error:
            # Last resort: a fault in asking one peer must not end everybody's calls.
            log.exception("peer could not be asked", peer=str(self.target))
            event = self._liveness.unanswered(str(error), None, now=self._asker.now())
        else:
            event = self._judge(done)
        if event is not None:
            self._events.put(event)

    def _judge(self, done: RequestCompleted) -> LivenessEvent | None:
        now, response = self._asker.now(), done.response
        if response is not None:
            return self._liveness.answered(
                done.status, response.phrase, retry_after_s=response.retry_after_s, now=now
            )
        if done.error is not None:
            return self._liveness.unanswered(str(done.error), None, now=now)
        return self._liveness.unanswered("no answer to OPTIONS", now=now)
