"""One webhook, told: a message at a time, each again until it is taken or put aside.

It reads as a WebSocket would: a place in the events, and one in each agent's log. So nobody waits
for it, and what waits for it is what is kept anyway. Where it is too slow for that, a snapshot
takes the place of what was lost, as there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import aiohttp
import msgspec
import structlog

from endpoint import plaintext
from endpoint.agents.events import AgentEvents
from endpoint.agents.identity import INSTALLATION
from endpoint.agents.model import AgentId
from endpoint.agents.webhooks import EVENTS, Message, Places, Undelivered, Webhook, WebhookStore
from endpoint.app.agentview import AgentView
from endpoint.app.rights import Rights
from endpoint.app.sight import Sight
from endpoint.app.signatures import signed
from endpoint.app.webhooksettings import WebhookSettings
from endpoint.callcontrol.feed import EventsMissed, Subscription
from endpoint.errors import StorageError
from endpoint.ivr.webhook import WebhookFailed, posted

log = structlog.get_logger(__name__)

KEEP_S = 1.0
"""So often it is kept what was taken: who dies within it tells that again, by the same ids."""
SNAPSHOT = "snapshot"
_AGENTS = "agents/"


@dataclass(frozen=True, slots=True)
class Around:
    """What all webhooks share."""

    settings: WebhookSettings
    store: WebhookStore
    http: aiohttp.ClientSession
    agents: AgentView
    rights: Rights
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class OfDevices(Sight):
    """What a webhook is shown that is for some devices."""

    def __init__(self, rights: Rights, devices: tuple[str, ...]) -> None:
        super().__init__(rights, INSTALLATION)
        self._devices = frozenset(devices)

    @property
    def is_whole(self) -> bool:
        """See `Sight`."""
        return not self._devices

    def is_device(self, device: object) -> bool:
        """See `Sight`."""
        return self.is_whole or device in self._devices


class Teller:
    """Tells one webhook for as long as `run` runs, and knows how that goes."""

    def __init__(
        self, webhook: Webhook, places: Places, undelivered: list[Undelivered], around: Around
    ) -> None:
        self.webhook = webhook
        self.taken = self.failures = self.failing = self.forgotten = 0
        self.last_failure = ""
        self.undelivered = {each.message.id: each for each in undelivered}
        """What was put aside, the oldest first."""
        self._around = around
        self._view = around.agents.calls
        self.places = dict(places)
        """What was taken."""
        self._kept = dict(places)
        """The places as the database has them."""
        self._turn = asyncio.Lock()
        """One message at a time; who has waited longest is next."""
        self._hurry = asyncio.Event()
        self._retry = asyncio.Event()
        self._logs: set[str] = set()
        """Agents whose logs are read."""
        self._group: asyncio.TaskGroup

    def __repr__(self) -> str:
        return f"<Teller {self.webhook.name} taken {self.taken}, failing {self.failing}>"

    @property
    def _events_key(self) -> str:
        return f"{EVENTS}/{self._view.run}"

    def begin_here(self) -> None:
        """What happens from now on is told, and nothing that was."""
        if self.webhook.has_events:
            self.places[self._events_key] = self._view.controller.last_number
        for standing in self._around.agents.roster.standings():
            if standing.number and self.webhook.has_log(standing.agent.id):
                self.places[f"{_AGENTS}{standing.agent.id}"] = standing.number

    def progress(self) -> list[tuple[str, int, int]]:
        """Of each source: how far it was taken, and how much is behind that."""
        found: list[tuple[str, int, int]] = []
        if self.webhook.has_events:
            last = self._view.controller.last_number
            number = self.places.get(self._events_key, 0)
            found.append((EVENTS, number, last - number))
        for standing in self._around.agents.roster.standings():
            if standing.number and self.webhook.has_log(standing.agent.id):
                source = f"{_AGENTS}{standing.agent.id}"
                number = self.places.get(source, 0)
                found.append((source, number, max(0, standing.number - number)))
        return found

    # -- what is told -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell it, until this is cancelled."""
        self._logs.clear()
        roster = self._around.agents.roster
        async with asyncio.TaskGroup() as self._group:
            unwatch = roster.watch(self._begin_log)
            try:
                self._group.create_task(self._tell_anew())
                if self.webhook.has_events:
                    self._group.create_task(self._read_events())
                for standing in roster.standings():
                    if standing.number:
                        self._begin_log(standing.agent.id)
                while True:
                    await asyncio.sleep(KEEP_S)
                    await self.keep_places()
            finally:
                unwatch()

    def retry(self) -> int:
        """Try at once, and what was put aside too, each once; how much that is."""
        self._hurry.set()
        self._retry.set()
        return len(self.undelivered)

    async def keep_places(self) -> None:
        """Have what was taken found again. Where the database is away, later."""
        places = dict(self.places)
        if places == self._kept:
            return
        try:
            await self._around.store.keep_places(self.webhook.name, places)
        except StorageError as error:
            log.warning("a webhook's place is not kept", webhook=self._name, reason=str(error))
        else:
            self._kept = places

    @property
    def _name(self) -> str:
        return self.webhook.name

    def _begin_log(self, agent: AgentId) -> None:
        if agent not in self._logs and self.webhook.has_log(agent):
            self._logs.add(agent)
            self._group.create_task(self._read_log(agent))

    async def _read_events(self) -> None:
        sight = OfDevices(self._around.rights, self.webhook.devices)
        key, view = self._events_key, self._view
        while True:
            subscription = self._subscription(key)
            if subscription is None:
                # Another start of the endpoint, or too slow for the history.
                with suppress(StorageError):
                    await view.directory.refresh()
                number = view.controller.last_number
                subscription = view.controller.subscribe(number)
                snapshot = sight.snapshot(view.snapshot(missed=True))
                await self._tell(EVENTS, f"{view.run}-{number}-{SNAPSHOT}", SNAPSHOT, snapshot)
                self._forget_other_runs()
                self.places[key] = number
            try:
                async for event in subscription:
                    name = type(event.event).__name__
                    is_wanted = self.webhook.wants(name)
                    if is_wanted or not sight.is_whole:  # it learns from what is not told, too
                        with suppress(StorageError):
                            await view.learn(event)
                        frame = sight.frame(view.frame(event))
                        if is_wanted and frame is not None:
                            await self._tell(EVENTS, f"{view.run}-{event.number}", name, frame)
                    self.places[key] = event.number
            except EventsMissed:
                self.places.pop(key, None)
            else:
                return  # the endpoint stops

    def _subscription(self, key: str) -> Subscription | None:
        if (after := self.places.get(key)) is None:
            return None
        try:
            return self._view.controller.subscribe(after)
        except EventsMissed:
            return None

    def _forget_other_runs(self) -> None:
        for key in [each for each in self.places if each.startswith(f"{EVENTS}/")]:
            del self.places[key]

    async def _read_log(self, agent: AgentId) -> None:
        source, view = f"{_AGENTS}{agent}", self._around.agents
        is_named = agent in self.webhook.agents
        while True:
            try:
                async for entry in view.roster.follow(agent, self.places.get(source, 0)):
                    name = type(entry.event).__name__
                    # Who is told of all calls as such is not told of them once more.
                    is_told = is_named or isinstance(entry.event, AgentEvents)
                    if is_told and self.webhook.wants(name):
                        frame = view.frame(agent, entry)
                        if frame is not None:
                            await self._tell(source, f"{agent}-{entry.number}", name, frame)
                    self.places[source] = entry.number
            except EventsMissed:
                snapshot = view.snapshot(agent, missed=True)
                if snapshot is None:  # taken out of the directory
                    self._logs.discard(agent)
                    return
                message = f"{agent}-{snapshot.number}-{SNAPSHOT}"
                await self._tell(source, message, SNAPSHOT, snapshot)
                self.places[source] = snapshot.number
            except StorageError as error:
                log.warning("old events can't be read", agent=agent, reason=str(error))
                await asyncio.sleep(self._around.settings.longest_pause_s)
            else:
                return

    # -- how it is told ---------------------------------------------------------------------------

    async def _tell(self, source: str, number: str, event: str, frame: msgspec.Struct) -> None:
        """Tell it until it is taken; put it aside where it is not for too long."""
        body = plaintext.encode(frame)
        message = Message(f"{self.webhook.key}-{number}", source, event, body)
        settings, loop = self._around.settings, asyncio.get_running_loop()
        async with self._turn:
            began, pause_s, tries = loop.time(), settings.first_pause_s, 0
            while True:
                self._hurry.clear()
                failure, tries = await self.try_once(message), tries + 1
                if not failure:
                    return
                if loop.time() - began >= settings.give_up_s:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._hurry.wait()
                pause_s = min(2 * pause_s, settings.longest_pause_s)
            await self._put_aside(Undelivered(message, self._around.now(), tries, failure))

    async def try_once(self, message: Message, timeout_s: float | None = None) -> str:
        """Tell it something once; why it was not taken, empty where it was."""
        settings, at = self._around.settings, int(self._around.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "agent-endpoint",
            "Webhook-Name": self._name,
            "Webhook-Source": message.source,
            "Webhook-Event": message.event,
            "Webhook-Id": message.id,
            "Webhook-Timestamp": str(at),
            "Webhook-Signature": signed(self.webhook.secret, message.id, at, message.body),
        }
        failure = ""
        try:
            async with posted(
                self._around.http,
                self.webhook.url,
                message.body,
                within=settings.allowed,
                timeout_s=timeout_s or settings.timeout_s,
                headers=headers,
            ):
                self.taken += 1
        except WebhookFailed as failed:
            failure = self.last_failure = str(failed)
            self.failures += 1
            if not self.failing:
                log.warning("a webhook fails", webhook=self._name, reason=failure)
        if not failure and self.failing:
            log.info("a webhook takes again", webhook=self._name, failed=self.failing)
        self.failing = self.failing + 1 if failure else 0
        return failure

    async def _put_aside(self, given_up: Undelivered) -> None:
        message = given_up.message
        log.warning(
            "a webhook's message is put aside",
            webhook=self._name,
            message=message.id,
            reason=given_up.failure,
        )
        self.undelivered[message.id] = given_up
        over = list(self.undelivered)[: -self._around.settings.most_undelivered]
        for each in over:
            del self.undelivered[each]
        self.forgotten += len(over)
        try:
            await self._around.store.put_undelivered(self._name, given_up)
            await self._around.store.remove_undelivered(self._name, over)
        except StorageError as error:
            log.error("what a webhook did not take is in memory alone", reason=str(error))

    async def _tell_anew(self) -> None:
        """What was put aside, in its order, up to the first that is not taken; at each `retry`."""
        while True:
            await self._retry.wait()
            self._retry.clear()
            for given_up in list(self.undelivered.values()):
                if not await self._is_taken_now(given_up):
                    break

    async def _is_taken_now(self, given_up: Undelivered) -> bool:
        message = given_up.message
        async with self._turn:
            failure = await self.try_once(message)
        if failure:
            if message.id in self.undelivered:
                tried = replace(given_up, tries=given_up.tries + 1, failure=failure)
                self.undelivered[message.id] = tried
            return False
        try:
            await self._around.store.remove_undelivered(self._name, (message.id,))
        except StorageError as error:
            log.warning("it is told again after a restart", reason=str(error))
        # Only now: who sees it no more may stop us, and it is not told again.
        self.undelivered.pop(message.id, None)
        return True
