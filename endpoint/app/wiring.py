"""Where all parts meet: `Endpoint` builds them from a configuration, and takes them down."""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from endpoint.agents.attempts import Guesses
from endpoint.agents.identity import LateOccupants
from endpoint.agents.permissions import WithRoles
from endpoint.agents.roster import Roster
from endpoint.agents.skills import SkillQueues
from endpoint.app import certificates, spans
from endpoint.app.access import SIP_PATH, Access
from endpoint.app.agentlogs import AgentJournal, opened_roster
from endpoint.app.agentpasswords import AgentPasswords
from endpoint.app.agentview import AgentView
from endpoint.app.basiccall.listener import BasicCallListener
from endpoint.app.basiccall.serving import soft_phones
from endpoint.app.capture import Capture
from endpoint.app.devicestates import DevicesToWatch
from endpoint.app.directory import Directory, SipUsers
from endpoint.app.directorybook import DirectoryBook
from endpoint.app.facts import (
    api_token,
    database_url,
    dial_limits,
    dial_plan,
    leg_settings,
    media_workers,
    outside_accounts,
    outside_trunks,
    pjsip_settings,
    sip_config,
    stations,
)
from endpoint.app.headroom import Headroom
from endpoint.app.http import LOOPBACK, HttpServer
from endpoint.app.ivrsettings import ivrs, skills
from endpoint.app.journal import RecordJournal
from endpoint.app.jwtcredentials import JwtCredentials
from endpoint.app.livesockets import LiveSockets
from endpoint.app.metrics import Metrics
from endpoint.app.native import NativeView
from endpoint.app.opennotes import OpenNotes
from endpoint.app.permissionsettings import rules
from endpoint.app.planbook import PlanBook
from endpoint.app.recordings import RecordingArchive
from endpoint.app.recordingsettings import recording_rules, recording_settings
from endpoint.app.renewal import CertificateInUse
from endpoint.app.rights import Rights
from endpoint.app.secrecy import check_secrets
from endpoint.app.serving import routes
from endpoint.app.settings import Config
from endpoint.app.siplisteners import listen_sip
from endpoint.app.state import Running, StateDirectory
from endpoint.app.stopping import drain
from endpoint.app.tenancy import in_tenant
from endpoint.app.tlsbuffers import shrink_tls_buffers
from endpoint.app.tokens import TokenBook
from endpoint.app.traces import Traces
from endpoint.app.watchdog import LoopWatchdog
from endpoint.app.webhooks import Webhooks
from endpoint.callcontrol.clock import SteadyClock
from endpoint.callcontrol.commands import Command, CommandAccepted
from endpoint.callcontrol.controller import CallController, ControllerSettings
from endpoint.callcontrol.dialplan import PlanInUse
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.model import CallId, CallSettings
from endpoint.errors import ConfigurationError, StorageError
from endpoint.ivr.host import Ivrs
from endpoint.ivr.reading import FlowError
from endpoint.legs.base import DeviceId
from endpoint.legs.exchange import LegExchange
from endpoint.legs.line import AccountSettings
from endpoint.legs.recordings import Recordings
from endpoint.legs.trunk import TrunkSettings
from endpoint.media.link import WorkerLink
from endpoint.media.pool import MediaPool, Placement, together
from endpoint.media.recorder import RecorderProcess
from endpoint.storage.calls import StoredCallRecords
from endpoint.storage.database import ANSWER_TIMEOUT_S, Database
from endpoint.storage.directory import StoredDirectory
from endpoint.storage.extensions import Extensions
from endpoint.storage.plan import StoredPlanRules
from endpoint.storage.recordings import StoredRecordings
from endpoint.storage.tokens import StoredTokens
from endpoint.storage.webhooks import StoredWebhooks
from signaling.server import SipServer
from signaling.sip.flow import Flow
from signaling.sip.identity import number_of
from signaling.sip.stack import Direction
from signaling.supervision import Supervision

log = structlog.get_logger(__name__)

LOOKUP_TIMEOUT_S = 2.0
"""How long a call waits for the database to say whom its number means."""

Trace = Callable[[Direction, Flow, bytes, float], None]


class Endpoint:
    """Everything, running: `async with Endpoint(config) as endpoint`.

    Used by `serve`, by the demo and by tests. Entering raises `ConfigurationError`, `StorageError`
    `PortTaken` or `StateInUse`; nothing is left behind then. Leaving ends every call.
    """

    def __init__(
        self,
        config: Config,
        *,
        origins: Mapping[str, str] | None = None,
        trace: Trace | None = None,
        placement: Placement = together,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        """Set up; nothing happens before entering.

        Args:
            config: all settings.
            origins: where each came from, for messages about them.
            trace: sees every SIP message: direction, flow, octets, time.
            placement: which media worker takes a port.
            reread: the configuration as it is written down now; some of it counts without a new
                start. Raises ConfigurationError, in a thread.
        """
        self.reread = reread or (lambda: config)
        self.config = config
        self.state = StateDirectory(config.state.directory)
        self._origins = origins or {}
        self._trace = trace
        self._placement = placement
        self._stack = AsyncExitStack()
        self.notes = OpenNotes(self.state)
        self._clock = SteadyClock()
        self.occupants = LateOccupants()
        """Who is logged on where."""
        self.supervision = Supervision()
        """Keeps alive what must live as long as we do."""
        self.token: str
        """The bearer token."""
        self.certificate: CertificateInUse
        self.extensions: Extensions
        self.records: StoredCallRecords
        self.journal: RecordJournal
        self.recordings: RecordingArchive
        self.recorder: RecorderProcess
        self.server: SipServer
        self.media_workers: list[WorkerLink]
        self.media: MediaPool
        self.plan: PlanInUse
        """Where numbers go."""
        self.tokens: TokenBook
        """Of agents and programs."""
        self.webhooks: Webhooks
        """Programs that are told of events by HTTP."""
        self.live: LiveSockets
        """WebSockets that tokens have opened."""
        self.plan_book: PlanBook
        """By what rules."""
        self.directory: Directory
        """What devices we have."""
        self.directory_book: DirectoryBook
        """Who the agents are, which queues there are."""
        self.roster: Roster
        """Who of them is logged on."""
        self.agent_journal: AgentJournal
        self.exchange: LegExchange
        self.controller: CallController
        self.ivrs: Ivrs
        self.queues: SkillQueues
        self.metrics: Metrics
        self.spans: spans.Spans
        self.database: Database
        self.http: HttpServer
        self.basiccall: BasicCallListener
        """Where it is enabled."""
        self.sip_address: tuple[str, int]
        """Where SIP over UDP is bound."""
        self.sip_tcp_address: tuple[str, int] | None = None
        """Where SIP over TCP is bound, if it is."""
        self.sip_tls_address: tuple[str, int] | None = None
        """Where SIP over TLS is bound, if it is."""

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        self.database.answer_timeout_s = ANSWER_TIMEOUT_S
        log.info(
            "endpoint ready",
            tenant=self.config.tenant.name,
            page=self.page_url,
            sip_over_wss=self.wss_url,
            sip_over_udp=self.running.sip_udp,
            sip_over_tcp=self.running.sip_tcp or None,
            sip_over_tls=self.running.sip_tls or None,
            plain_http=self.running.plain_url or None,
            basiccall=self.basiccall_url or None,
            state=str(self.state.path),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        log.info("endpoint stopped")

    @property
    def url(self) -> str:
        """Of the page, from this machine; REST is below it."""
        return f"https://{self.config.http_host}:{self.http.port}/"

    @property
    def page_url(self) -> str:
        """The same, from other machines."""
        return f"https://{self._public(self.config.http.host)}:{self.http.port}/"

    @property
    def wss_url(self) -> str:
        """Where WSS phones register."""
        return f"wss://{self._public(self.config.http.host)}:{self.http.port}{SIP_PATH}"

    @property
    def basiccall_url(self) -> str:
        """What BasicCall's pages have as `serverUri`; empty where they are not served."""
        settings = self.config.basiccall
        if not settings.enabled:
            return ""
        return f"wss://{self._public(settings.host)}:{self.basiccall.port}/"

    def _public(self, host: str) -> str:
        return certificates.public_host(host, self.config, self.certificate.now)

    @property
    def running(self) -> Running:
        """Where we are, for other commands on this machine."""
        plain = self.http.plain_port
        return Running(
            pid=os.getpid(),
            url=self.url,
            plain_url=f"http://{LOOPBACK}:{plain}" if plain else "",
            sip_udp=_shown(self.sip_address),
            sip_tcp=_shown(self.sip_tcp_address),
            sip_tls=_shown(self.sip_tls_address),
            wss=self.wss_url,
            certificate=self.certificate.leaf,
            basiccall=self.basiccall_url,
        )

    async def drain(self) -> None:
        """See `stopping.drain`."""
        self.exchange.telephones.let_go()
        await drain(self.controller, self.config.calls.drain_timeout_s)

    async def _build(self) -> None:
        """Each part after those that it uses, so that leaving ends it before them."""
        enter = self._stack.enter_async_context
        self.state.prepared()
        self._stack.enter_context(self.state.held())
        self.state.kept_for(self.config.tenant.name)
        self.metrics = Metrics(asyncio.get_running_loop().time)
        self._stack.enter_context(LoopWatchdog(self.metrics.held_up))
        shrink_tls_buffers()
        self.spans = await enter(spans.opened())
        await self._open_storage()
        config = self.config
        await self._open_notes()
        accounts = outside_accounts(config, self.state.installation())
        trunks = outside_trunks(config, self.state.installation())
        self.plan = PlanInUse(
            dial_plan(config, trunks),
            self._clock,
            lambda device: self.exchange.has_account(device),
            self._agent_at,
        )
        headroom = Headroom()
        traces = await self._make_server(headroom)
        self.http = self._made_http(headroom)
        if self.spans.middleware is not None:
            self.http.application.middlewares.append(self.spans.middleware)
        # In before and so out after what its handlers use: they end when that ends.
        await enter(self.http)
        self.recorder = await enter(RecorderProcess(config.media.workers, self.supervision))
        self.media_workers = media_workers(config, self.supervision, self.recorder.descriptors)
        self.media = await enter(
            MediaPool(self.media_workers, placement=self._placement, supervision=self.supervision)
        )
        await enter(self.server)
        self.sip_address, self.sip_tcp_address, self.sip_tls_address = await listen_sip(
            self.server, config.sip, self.certificate
        )
        self.server.restore(self.notes.bindings.left)
        await self.directory.refresh()
        await self._open_calls(accounts, trunks)
        await self._watch()
        self.live = LiveSockets(self.tokens.stands, config.tokens.notice_s)
        self.tokens.watch(self.live.changed)
        self.directory_book.in_use.watch(self.live.changed)
        await enter(running(self.supervision.keep("live sockets", self.live.watch)))
        agents = AgentView(self.roster, NativeView(self.controller, self.exchange, self.directory))
        known = self.directory_book.in_use
        rights = Rights(self.occupants, self._parties, known.agent, known.agents)
        store, keep = StoredWebhooks(self.database), self.supervision.keep
        self.webhooks = await enter(Webhooks(store, config.webhooks, agents, rights, keep=keep))
        await self.http.listen(routes(self, agents, rights, traces))
        if config.basiccall.enabled:
            self.basiccall = await enter(soft_phones(self, headroom))
        self._stack.push_async_callback(self.http.stop_listening)
        self._stack.enter_context(self.state.announced(self.running))
        renewal = partial(self.certificate.follow, lambda: self.state.announce(self.running))
        await enter(running(self.supervision.keep("certificate", renewal)))

    async def _open_storage(self) -> None:
        """The database, and what is secret: the token, the certificate."""
        tenant = self.config.tenant.name
        database = self.database = Database(database_url(self.config, self.state), tenant)
        await self._stack.enter_async_context(database)
        self.state.keep_for(tenant)
        config = self.config = await in_tenant(self.config, database)
        self.extensions = Extensions(database)
        self.directory = Directory(config, self.extensions)
        self.records = StoredCallRecords(database)
        self._plan_rules = StoredPlanRules(database)
        agents = StoredDirectory(database)
        passwords = self._stack.enter_context(AgentPasswords(agents.rehash))
        self.directory_book = DirectoryBook(agents, passwords)
        await self.directory_book.load()
        self.recordings = RecordingArchive(
            StoredRecordings(database),
            recording_settings(config.recordings, self.state.recordings),
            config.recordings.keep_days,
        )
        most, clock = config.tokens.attempts_per_minute, asyncio.get_running_loop().time
        self._guesses = Guesses(most, clock)
        self.tokens = TokenBook(
            StoredTokens(database),
            self.directory_book.in_use,
            config.tokens,
            tenant=tenant,
            guesses=self._guesses,
        )
        await self.tokens.load()
        self.directory_book.new_password = self.tokens.revoke_of
        tidying = self.supervision.keep("tokens", self.tokens.keep_tidy)
        self._stack.push_async_callback(self.tokens.close)
        await self._stack.enter_async_context(running(tidying))
        self.token = api_token(config, self.state)
        check_secrets(config, self.token, await self.extensions.all(), self._origins)
        self.certificate = await asyncio.to_thread(CertificateInUse, config, self.state)

    async def _commanding(
        self, command: Command, go: Callable[[Command], Awaitable[CommandAccepted]]
    ) -> CommandAccepted:
        """A command, seen by who measures and by who traces."""
        return await self.spans.commanding(command, partial(self.metrics.commanding, go=go))

    async def _open_notes(self) -> None:
        """What is open now, for the process after us, should we be killed."""
        self._stack.enter_context(self.notes.opened())
        living = self.supervision.keep("signs of life", self.notes.calls.show_life)
        await self._stack.enter_async_context(running(living))

    async def _make_server(self, headroom: Headroom) -> Traces:
        """The SIP server, that is not entered yet, and what is kept of its messages."""
        config = self.config
        capture = Capture(config.sip.capture) if config.sip.capture else None
        if capture is not None:
            await self._stack.enter_async_context(capture)
        traces = Traces(
            config.sip.trace_bytes,
            lambda flow: self.server.user_agent.local_address(flow),
            capture.send if capture is not None else None,
        )
        facts = sip_config(config, self.certificate)
        agent = replace(
            facts.user_agent,
            is_short=headroom.is_short,
            is_urgent=lambda invite: self.plan.is_emergency(number_of(invite.uri)),
            transport=replace(
                facts.user_agent.transport,
                has_room=headroom.has_room,
                identity=str(self.state.installation()),
            ),
        )
        self.server = SipServer(
            replace(facts, user_agent=agent),
            SipUsers(self.extensions),
            trace=self._trace or traces.remember,
            supervision=self.supervision,
            keeper=self.notes.dialogs,
            binding_keeper=self.notes.bindings,
            contact_keeper=self.notes.contacts,
        )
        return traces

    def _made_http(self, headroom: Headroom) -> HttpServer:
        tenant = self.config.tenant.name
        return HttpServer(
            self.config.http,
            Access(
                self.token,
                self.config.http.origins,
                [
                    self.tokens,
                    JwtCredentials(self.config.jwt, self.directory_book.in_use, tenant=tenant),
                ],
                self.config.http.wrong_tokens_per_minute,
                tenant,
            ),
            self.certificate.context(certificates.server_context),
            [*certificates.server_names(self.config), self._public(self.config.http.host)],
            self.server.websocket_route,
            headroom.has_room,
        )

    async def _open_calls(
        self, accounts: Sequence[AccountSettings], trunks: Sequence[TrunkSettings]
    ) -> None:
        """The legs and call control, with the journal of call records before them."""
        await self._open_plan(trunks)
        await self._open_legs(accounts, trunks)
        await self._open_journal()
        await self._open_control()
        await self._open_queues()

    async def _open_plan(self, trunks: Sequence[TrunkSettings]) -> None:
        self.plan_book = PlanBook(
            self._plan_rules,
            self.plan,
            directory=self.directory,
            may_show={trunk.name: trunk.numbers for trunk in trunks},
            extension=self._extension,
            is_up=lambda: {trunk.name: trunk.up for trunk in self.exchange.trunks()},
        )
        await self.plan_book.load()

    async def _open_legs(
        self, accounts: Sequence[AccountSettings], trunks: Sequence[TrunkSettings]
    ) -> None:
        config = self.config
        try:
            self.ivrs = Ivrs(ivrs(config.ivr))
        except FlowError as error:
            raise ConfigurationError([f"ivr: {each}" for each in error.mistakes]) from error
        self.exchange = await self._stack.enter_async_context(
            LegExchange(
                self.server,
                self.media,
                settings=leg_settings(config),
                accounts=accounts,
                stations=[*stations(config), *self.ivrs.stations()],
                trunks=trunks,
                numbering=self.plan,
                extension=self._extension,
                pjsip=pjsip_settings(config),
                recordings=Recordings(
                    self.recordings.settings,
                    self.recorder,
                    self.recordings,
                    self.notes.recordings,
                ),
                supervision=self.supervision,
            )
        )

    async def _open_journal(self) -> None:
        enter = self._stack.enter_async_context
        self.journal = await enter(
            RecordJournal(self.records, self.state.unwritten_calls, keep=self.supervision.keep)
        )
        await self.notes.calls.bring_in(self.journal)
        await self.recordings.close_lost(self.notes.recordings)
        expiring = self.supervision.keep("old recordings", self.recordings.expire)
        await enter(running(expiring))

    async def _open_control(self) -> None:
        config, enter = self.config, self._stack.enter_async_context
        self.controller = await enter(
            CallController(
                self.exchange,
                self.metrics.measured(self.journal),
                settings=ControllerSettings(
                    calls=CallSettings(
                        no_answer_s=config.calls.answer_timeout_s,
                        park_s=config.calls.park_timeout_s,
                        permissions=WithRoles(
                            rules(config.supervision, config.pickup_group), self.occupants
                        ),
                        recording=recording_rules(config.recording),
                        agent_at=self._agent_at,
                        queue_of=self._queue_of,
                    ),
                    dials=DialLimits(config.calls.dials_per_minute, config.calls.at_once),
                    dials_of=dial_limits(config),
                ),
                clock=self._clock,
                extension=self._extension,
                plan=self.plan,
                is_ours=self.directory.knows,
                keep=self.supervision.keep,
                open_calls=self.notes.calls,
                commanding=self._commanding,
            )
        )
        following = self.supervision.keep(
            "spans", partial(self.spans.follow, self.controller.subscribe)
        )
        await enter(running(following))
        # After the accounts: their connections lead to some of those.
        self.server.user_agent.end_left_over(self.notes.dialogs.left)

    async def _open_queues(self) -> None:
        """Where calls wait, and who comes for them."""
        config, enter = self.config, self._stack.enter_async_context
        self.agent_journal, self.roster = await enter(
            opened_roster(
                self.database,
                self.state.unwritten_agent_events,
                self.controller,
                self.directory_book.in_use,
                config.agents,
                is_ours=self.is_seat,
                needs_no_registration=self._needs_no_registration,
                supervision=self.supervision,
                guesses=self._guesses,
            )
        )
        self.occupants.known = self.roster
        # At once, before any call can have come to one of them.
        self.queues = await enter(
            SkillQueues(
                self.controller,
                skills(config.skill),
                self._needs_no_registration,
                self.supervision.keep,
                directory=self.directory_book.in_use,
                crew=self.roster,
                notes=self.notes.call_backs,
                days=self.notes.queue_days,
            )
        )
        await enter(self.ivrs.serve(self.controller, self.queues, self.supervision.keep))

    def _agent_at(self, device: DeviceId) -> str:
        agent = self.occupants.agent_at(device)
        return "" if agent is None else agent.id

    def _queue_of(self, device: DeviceId, number: DeviceId) -> str:
        """Whose queue's call it is where a device dials a number; empty: no queue's."""
        is_ours = self.plan.is_device(number) or self.exchange.has_account(number)
        if is_ours or self._needs_no_registration(number) or self.plan.is_emergency(number):
            return ""
        return self.occupants.dials_for(device)

    async def is_seat(self, device: DeviceId) -> bool:
        """Whether somebody can work at a device of ours: nobody sits at an IVR."""
        return device not in self.ivrs.codes and await self.directory.knows(device)

    def _needs_no_registration(self, device: DeviceId) -> bool:
        """Whether calls reach a device of ours though nothing has registered for it."""
        stations = {*self.config.devices_without_phone, *self.ivrs.codes}
        return device in stations or self.exchange.reaches_telephone(device)

    async def _watch(self) -> None:
        """Telephones that subscribe are told of our devices."""
        domain = leg_settings(self.config).domain
        states = DevicesToWatch(
            self.controller,
            self.directory,
            domain=domain,
            reaches_telephone=self.exchange.reaches_telephone,
        )
        self.server.publish(states)
        watching = self.supervision.keep("watched devices", partial(states.follow, self.server))
        await self._stack.enter_async_context(running(watching))

    def _parties(self, call: str) -> list[DeviceId]:
        """Devices of ours that are in a call now."""
        found = self.controller.whereabouts.living(CallId(call))
        connections = found[1].connections if found is not None else ()
        return [each.device for each in connections if each.is_live and each.device is not None]

    def alarms(self) -> list[str]:
        """What is in the way now, for a person."""
        journals = (("call records", self.journal), ("events of agents", self.agent_journal))
        waiting = [
            f"{journal.waiting} {name} wait for the database: {journal.trouble}"
            for name, journal in journals
            if journal.trouble
        ]
        return [*self.supervision.alarms(), *waiting]

    async def _extension(self, device: DeviceId) -> DeviceId | None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                number = await self.extensions.resolve(device)
        except (StorageError, TimeoutError):
            # A call must not break for the database, nor wait for it.
            log.exception("aliases can't be read")
            number = self.directory.meant(device)
        return DeviceId(number) if number is not None else None


def _shown(address: tuple[str, int] | None) -> str:
    if address is None:
        return ""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something go on beside, and end it on leaving."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
