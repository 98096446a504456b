"""`agent-endpoint demo`: the main job on this machine, with proof.

An endpoint with its defaults; the telephones of the agent 6001 and the supervisor 7001 speak SIP
over WSS and DTLS-SRTP, as browsers do, those of the customer 10086 and the colleague 6002 SIP over
UDP and plain RTP. The remote agent RP_962345678 has an ordinary telephone, 62345678, that is
registered nowhere: a trunk leads to it, which is dialled by 9. Each is a process of its own. Two
IVRs, 8888 that checks a password and 999 that asks how it was liked, say a tone for each prompt.
Commands go through the native interface. After each step the audio that each telephone received and
decoded is searched for the others' tones.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from endpoint import plaintext
from endpoint.app import certificates
from endpoint.app.demoothers import explained
from endpoint.app.demorecording import RECORDED_HZ, recorded
from endpoint.app.enrolment import add_extension
from endpoint.app.output import ending_signals
from endpoint.app.ports import PortTaken, can_bind
from endpoint.app.settings import (
    Config,
    HttpSettings,
    IvrSettings,
    RecordingsSettings,
    SipSettings,
    StateSettings,
    SupervisionSettings,
)
from endpoint.app.trunksettings import RuleSettings, TrunkPeerSettings, TrunkSettings
from endpoint.app.wiring import Endpoint, Trace
from endpoint.audio import tones
from endpoint.audio.frame import SAMPLE_RATE_HZ
from endpoint.audio.wav import WavWriter
from endpoint.callcontrol.events import CallInformation, Established
from endpoint.client.client import EndpointClient
from endpoint.ivr import hashes
from endpoint.legs.audio_end import Protection
from endpoint.rig.fleet import MUSIC_ON_HOLD, Fleet, Party
from endpoint.rig.ladder import draw, rungs
from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.orders import AnswerMode, CallState
from endpoint.rig.walk import ProofFailed, Step, StepResult, WalkSettings, walk
from endpoint.storage.extensions import Extension
from signaling.sip.flow import Flow
from signaling.sip.message import parse_message
from signaling.sip.stack import Direction
from signaling.sip.trace import TracedMessage

log = structlog.get_logger(__name__)

AGENT, CUSTOMER, COLLEAGUE, SUPERVISOR = "6001", "10086", "6002", "7001"
EXTENSIONS = (AGENT, CUSTOMER, COLLEAGUE, SUPERVISOR)
TELEPHONE = "62345678"
"""The remote agent's."""
OUTSIDE = "9"
"""What is dialled before a number of the public network."""
REMOTE = f"RP_{OUTSIDE}{TELEPHONE}"
"""The remote agent, as a device."""
NO_NETWORK = "192.0.2.1"
"""Of nobody (RFC 5737): calls from this machine are those of phones, not of the trunk."""
NAMES = (*EXTENSIONS, TELEPHONE)
WHO = f"""\
agent {AGENT} · customer {CUSTOMER} · colleague {COLLEAGUE} · supervisor {SUPERVISOR}
remote agent {REMOTE}, whose telephone is {TELEPHONE}"""
DIGITS = "1234#"
IVR = "ivr"
"""What is heard of one."""
SURVEY, PASSWORD = "999", "8888"
SECRET = "4711"
"""The customer's, whose hash the endpoint has."""
_IVR_HZ = tones.PARTY_TONES_HZ[-1]
STARTS = 5
"""So often are ports looked for that nobody has."""
_PROMPTS_S = {"enter_password": 20, "verified": 1, "rate": 20, "thanks": 1}
"""How long each prompt is that a call meets: as long as it takes to hear it, or to press a key."""


def _heard(**rows: Iterable[str]) -> HearingMatrix:
    """The matrix of a step; who is not named hears nothing."""
    named = {name: rows.get(word, ()) for word, name in zip(_WORDS, NAMES, strict=True)}
    return matrix(named)


_WORDS = ("agent", "customer", "colleague", "supervisor", "telephone")
TALK = _heard(agent=[CUSTOMER], customer=[AGENT])
HOLD = _heard(customer=[MUSIC_ON_HOLD])
SILENCE = _heard()
CONSULT = _heard(agent=[COLLEAGUE], colleague=[AGENT], customer=[MUSIC_ON_HOLD])
SWAPPED = _heard(agent=[CUSTOMER], customer=[AGENT], colleague=[MUSIC_ON_HOLD])
CONFERENCE = _heard(
    agent=[CUSTOMER, COLLEAGUE], customer=[AGENT, COLLEAGUE], colleague=[AGENT, CUSTOMER]
)
TRANSFERRED = _heard(customer=[COLLEAGUE], colleague=[CUSTOMER])
BOTH = (AGENT, CUSTOMER)
MONITOR = _heard(agent=[CUSTOMER], customer=[AGENT], supervisor=BOTH)
WHISPER = _heard(agent=[CUSTOMER, SUPERVISOR], customer=[AGENT], supervisor=BOTH)
BARGE = _heard(agent=[CUSTOMER, SUPERVISOR], customer=[AGENT, SUPERVISOR], supervisor=BOTH)
TAKEN_OVER = _heard(customer=[SUPERVISOR], supervisor=[CUSTOMER])
REMOTE_TALK = _heard(telephone=[CUSTOMER], customer=[TELEPHONE])
REMOTE_CONSULT = _heard(telephone=[COLLEAGUE], colleague=[TELEPHONE], customer=[MUSIC_ON_HOLD])
IN_PASSWORD = _heard(agent=[MUSIC_ON_HOLD], customer=[IVR])
IN_SURVEY = _heard(customer=[IVR])
WAYS = {
    AGENT: ("WSS", "DTLS-SRTP"),
    CUSTOMER: ("UDP", "RTP"),
    TELEPHONE: ("UDP", "RTP"),
}
"""How each telephone's signalling and audio must come."""
PROTECTIONS = {
    Protection.RTP: "RTP",
    Protection.SRTP: "SRTP",
    Protection.WEBRTC: "DTLS-SRTP",
}
PACKAGES = ("agent-endpoint", "aiohttp", "msgspec", "numpy", "uvloop")


@dataclass(slots=True)
class Stage:
    """All that the demo put up."""

    endpoint: Endpoint
    client: EndpointClient
    fleet: Fleet
    passwords: dict[str, str]
    trace: list[TracedMessage]
    call: str = ""
    """The call that the walk is about."""
    second: str = ""
    """The agent's other call."""
    heard_of: int = 0
    """The last event that was read."""
    messages_of_two: int = 0
    """So long the trace was when a third one came in."""
    own: set[str] = field(default_factory=set)
    """The interactions of the walk's calls."""

    @property
    def agent(self) -> Party:
        """The agent's telephone."""
        return self.fleet.parties[AGENT]

    @property
    def customer(self) -> Party:
        """The customer's telephone."""
        return self.fleet.parties[CUSTOMER]

    @property
    def colleague(self) -> Party:
        """The colleague's telephone."""
        return self.fleet.parties[COLLEAGUE]

    @property
    def telephone(self) -> Party:
        """The remote agent's."""
        return self.fleet.parties[TELEPHONE]

    # -- the steps ------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """The walk, in order."""
        return [
            Step("dial", TALK, self._dial, self._audio_came_as_it_must),
            Step("hold", HOLD, self._hold),
            Step("retrieve", TALK, self._retrieve),
            Step("dtmf", TALK, self._press, self._digits_arrived),
            Step("consult", CONSULT, self._consult),
            Step("swap", SWAPPED, self._swap),
            Step("swap-back", CONSULT, self._swap_back),
            Step("conference", CONFERENCE, self._confer),
            Step("drop-one", TALK, self._drop_colleague),
            Step("transfer", TRANSFERRED, self._transfer),
            Step("single-step-transfer", TALK, self._transfer_back),
            Step("ivr-password", IN_PASSWORD, self._lend_for_password, self._key_in_password),
            Step("ivr-return", TALK, self._customer_is_back, self._password_is_known),
            Step("monitor", MONITOR, lambda: self._join("silent")),
            Step("whisper", WHISPER, lambda: self._join("whisper")),
            Step("record", WHISPER, self._record, self._recorded_without_the_whisper),
            Step("barge", BARGE, lambda: self._join("active")),
            Step("intercept", TAKEN_OVER, self._intercept),
            Step("forced-drop", SILENCE, self._drop_supervisor),
            Step("ivr-survey", IN_SURVEY, self._transfer_to_survey, self._rate),
            Step("rp-dial", REMOTE_TALK, self._dial_remotely, self._telephone_was_called),
            Step("rp-consult", REMOTE_CONSULT, self._consult_remotely),
            Step("hangup", SILENCE, self._hang_up, self._both_released),
        ]

    async def _call(self, device: str) -> None:
        accepted = await self.client.make_call(device, CUSTOMER)
        self.call = accepted.call
        self.own.add(accepted.interaction)

    async def _dial(self) -> None:
        events = self.endpoint.controller.subscribe()
        await self._call(AGENT)
        await self.customer.when(lambda status: status.call is CallState.CONNECTED)
        async for numbered in events:  # the endpoint is told of it a moment after he has answered
            if isinstance(numbered.event, Established) and numbered.event.call == self.call:
                return

    async def _audio_came_as_it_must(self) -> dict[str, Any]:
        return self._audio_of(self.agent, self.customer)

    def _audio_of(self, *parties: Party) -> dict[str, Any]:
        """By what the endpoint saw on the wire, and by what each telephone's port counted."""
        transports = dict(_registered(self.trace).values()) | _invited(self.trace)
        audio = {
            party.name: {
                "signaling": transports.get(party.name),
                "media": party.status.protection and PROTECTIONS[party.status.protection],
                "srtp_profile": party.status.srtp_profile,
                "codec": party.status.codec,
            }
            for party in parties
        }
        for name, way in audio.items():
            came = way["signaling"], way["media"]
            if came != WAYS[name]:
                raise ProofFailed(f"{name} has {came[1]} over {came[0]}", {"audio": audio})
        return {"audio": audio}

    async def _hold(self) -> None:
        await self.client.hold(AGENT, self.call)

    async def _retrieve(self) -> None:
        await self.client.retrieve(AGENT, self.call)

    async def _press(self) -> None:
        await self.client.press(AGENT, self.call, DIGITS)
        await self.customer.when(lambda status: len(status.digits) >= len(DIGITS))

    async def _digits_arrived(self) -> dict[str, Any]:
        digits = self.customer.status.digits
        if digits != DIGITS:
            raise ProofFailed(f"{CUSTOMER} received {digits!r}", {"digits": digits})
        return {"digits": digits}

    async def _consult(self) -> None:
        self.messages_of_two = self.messages_of_two or len(self.trace)
        self.second = (await self.client.consult(AGENT, self.call, COLLEAGUE)).call
        await self.colleague.when(lambda status: status.call is CallState.CONNECTED)

    async def _swap(self) -> None:
        await self.client.alternate(AGENT, self.call, self.second)

    async def _swap_back(self) -> None:
        await self.client.alternate(AGENT, self.second, self.call)

    async def _confer(self) -> None:
        await self.client.conference(AGENT, self.call, self.second)

    async def _drop_colleague(self) -> None:
        await self.client.clear(COLLEAGUE, self.call)
        await self.colleague.when(lambda status: status.call is CallState.ENDED)

    async def _transfer(self) -> None:
        """The agent consults the colleague again, and leaves the two with each other."""
        await self._consult()
        await self.client.bring_together(AGENT, self.call, self.second)

    async def _transfer_back(self) -> None:
        await self.agent.when(lambda status: status.call is CallState.ENDED)
        await self.client.transfer(COLLEAGUE, self.call, AGENT)

    async def _lend_for_password(self) -> None:
        """The agent waits, while the customer is asked for his password."""
        await self.client.lend(AGENT, self.call, PASSWORD)

    async def _key_in_password(self) -> dict[str, Any]:
        """Whoever waits hears none of the keys: neither as tones nor as telephone-events."""
        before = self.agent.status.digits
        await self.customer.send_digits(f"{SECRET}#")
        data = await self._data_with("PasswordCheck")
        if self.agent.status.digits != before or SECRET in str(data):
            raise ProofFailed(f"{AGENT} was told the password", {"data": data})
        return {"password_keyed_in": len(SECRET)}

    async def _customer_is_back(self) -> None:
        """By itself, when the flow has ended."""

    async def _password_is_known(self) -> dict[str, Any]:
        call = await self.client.call(self.call)
        if call.data.get("PasswordCheck") != "right":
            raise ProofFailed("the agent's call does not say that it was right", dict(call.data))
        return {"data": call.data}

    async def _transfer_to_survey(self) -> None:
        await self._dial()
        await self.client.transfer(AGENT, self.call, SURVEY)

    async def _rate(self) -> dict[str, Any]:
        await self.customer.send_digits("5")
        data = await self._data_with("SurveyScore")
        await self.customer.when(lambda status: status.call is CallState.ENDED)
        return {"data": data}

    async def _data_with(self, key: str) -> dict[str, str]:
        """What a call carries that has this; it may have been told already."""
        async for numbered in self.endpoint.controller.subscribe(after=self.heard_of):
            self.heard_of = numbered.number
            event = numbered.event
            if isinstance(event, CallInformation) and key in event.data:
                return event.data
        raise ProofFailed("the endpoint has stopped", {})

    async def _join(self, how: Literal["silent", "whisper", "active"]) -> None:
        await self.client.join(SUPERVISOR, self.call, AGENT, how)

    async def _record(self) -> None:
        await self.client.record(AGENT, self.call)

    async def _recorded_without_the_whisper(self) -> dict[str, Any]:
        """The agent hears the supervisor whisper; the file holds the two who talk, each alone."""
        found = await recorded(self.client, AGENT, self.call, self.fleet.signatures)
        if (found["left"], found["right"]) != ([CUSTOMER], [AGENT]):
            raise ProofFailed("not the two who talk are on the recording", {"recording": found})
        return {"recording": found}

    async def _intercept(self) -> None:
        await self.client.intercept(SUPERVISOR, self.call, AGENT)

    async def _drop_supervisor(self) -> None:
        await self.client.clear(SUPERVISOR, self.call)

    async def _dial_remotely(self) -> None:
        """The endpoint calls the remote agent's telephone first, and then the customer for it."""
        await self._call(REMOTE)
        await self.customer.when(lambda status: status.call is CallState.CONNECTED)

    async def _telephone_was_called(self) -> dict[str, Any]:
        return self._audio_of(self.telephone)

    async def _consult_remotely(self) -> None:
        self.second = (await self.client.consult(REMOTE, self.call, COLLEAGUE)).call
        await self.colleague.when(lambda status: status.call is CallState.CONNECTED)

    async def _hang_up(self) -> None:
        """The remote agent hangs up his telephone, and both calls of his are over."""
        await self.telephone.hang_up()
        for party in (self.customer, self.colleague):
            await party.when(lambda status: status.call is CallState.ENDED)

    async def _both_released(self) -> dict[str, Any]:
        byes = {p.name: p.status.released_by_peer for p in (self.customer, self.colleague)}
        if not all(byes.values()):
            raise ProofFailed("not both ends saw the BYE", {"bye_seen": byes})
        return {"bye_seen": byes}


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """An endpoint with embedded defaults in `directory`, and the telephones registered at it."""
    trace: list[TracedMessage] = []

    def remember(direction: Direction, flow: Flow, octets: bytes, at: float) -> None:
        trace.append(TracedMessage(at, direction is Direction.SENT, flow, octets))

    fleet = Fleet()
    fleet.add_source(IVR, _IVR_HZ)
    await asyncio.to_thread(_write_prompts, directory / "ivr")
    async with AsyncExitStack() as lives:
        enter = lives.enter_async_context
        telephone = await enter(fleet.party(TELEPHONE, answer=AnswerMode.AUTOMATIC))
        address = await telephone.address()
        endpoint = await _started(enter, directory, address, remember)
        passwords = {number: secrets.token_urlsafe(18) for number in (*EXTENSIONS, REMOTE)}
        realm = endpoint.config.sip.realm
        for number, password in passwords.items():
            await add_extension(endpoint.extensions, realm, Extension(number), password)
        del passwords[REMOTE]  # nobody registers as that one
        authority = endpoint.certificate.authority
        client = EndpointClient(
            endpoint.url, endpoint.token, ssl_context=certificates.client_context(authority)
        )
        await enter(client)
        await enter(fleet)
        host, port = endpoint.sip_address
        browser, plain = endpoint.wss_url, f"udp:{host}:{port}"
        async with asyncio.TaskGroup() as group:
            for name in EXTENSIONS:
                group.create_task(
                    fleet.add(
                        name,
                        server=plain if name in (CUSTOMER, COLLEAGUE) else browser,
                        password=passwords[name],
                        ca_file=str(authority or ""),
                        answer=AnswerMode.AUTOMATIC,
                    )
                )
        yield Stage(endpoint, client, fleet, passwords, trace)


def _write_prompts(directory: Path) -> None:
    """A tone in place of each prompt, for the ears of the telephones; and the customer's hash."""
    directory.mkdir()
    for name, seconds in _PROMPTS_S.items():
        with (directory / f"{name}.wav").open("wb") as file:
            WavWriter(file, SAMPLE_RATE_HZ, channels=1).write(tones.tone(_IVR_HZ, seconds * 1000))
    (directory / "passwords.toml").write_text(f'{CUSTOMER} = "{hashes.make(SECRET)}"\n')


async def _started(
    enter: Callable[[Endpoint], Awaitable[Endpoint]], directory: Path, telephone: str, trace: Trace
) -> Endpoint:
    """The endpoint, with other ports where somebody who begins just now has taken those."""
    for _ in range(STARTS - 1):
        with suppress(PortTaken):
            return await enter(Endpoint(_config(directory, telephone), trace=trace))
    return await enter(Endpoint(_config(directory, telephone), trace=trace))


def _config(directory: Path, telephone: str) -> Config:
    """The embedded defaults, and a trunk to a telephone.

    A port that is taken is left to its owner, and any free one used.
    """
    http, sip = HttpSettings(), SipSettings()

    def free(host: str, port: int, *, udp: bool = False) -> int:
        return port if can_bind(host, port, udp=udp) is None else 0

    return Config(
        http=HttpSettings(
            port=free(http.host, http.port), plain_port=free("127.0.0.1", http.plain_port)
        ),
        sip=SipSettings(
            port=free(sip.host, sip.port, udp=True) and free(sip.host, sip.port),
            tls_port=free(sip.host, sip.tls_port),
        ),
        state=StateSettings(directory=directory),
        trunk=[
            TrunkSettings(
                name="outside",
                peers=[TrunkPeerSettings(uri=f"sip:{telephone}")],
                networks=[NO_NETWORK],
                outgoing=[RuleSettings(match=f"{OUTSIDE}*", strip=len(OUTSIDE))],
            )
        ],
        ivr=[
            IvrSettings(code=SURVEY, flow="survey", directory=directory / "ivr"),
            IvrSettings(code=PASSWORD, flow="password", directory=directory / "ivr"),
        ],
        recordings=RecordingsSettings(format="wav", sample_rate_hz=RECORDED_HZ, min_free_mb=0),
        supervision=[SupervisionSettings(supervisor=SUPERVISOR, devices=[AGENT])],
    )


async def run(*, once: bool, as_json: bool, console: Console) -> bool:
    """Put everything up, walk, show. Returns whether every matrix matched.

    Args:
        once: end after the walk; else stay up until Ctrl-C or SIGTERM.
        as_json: print one JSON object on stdout and nothing else.
        console: where the table and the ladder go.
    """
    with tempfile.TemporaryDirectory(prefix="agent-endpoint-demo-") as directory:
        quiet = Console(quiet=True) if as_json else console
        with quiet.status("Starting the endpoint and five telephones…"):
            lives = AsyncExitStack()
            stage = await lives.enter_async_context(staged(Path(directory)))
        async with lives:
            results = await _show_walk(stage, quiet)
            ok = len(results) == len(stage.steps()) and all(result.ok for result in results)
            if as_json:
                document = {
                    "ok": ok,
                    "steps": [result.as_json() for result in results],
                    "versions": {package: version(package) for package in PACKAGES},
                }
                console.out(plaintext.encode(document).decode(), highlight=False)
            _show_ladder(stage, quiet)
            if not once:
                end = _end()
                _show_addresses(stage, quiet)
                await end.wait()
    return ok


def _end() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM and SIGHUP: the end that a demo is meant to have, so no failure."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in ending_signals():
        loop.add_signal_handler(number, told.set)
    return told


async def _show_walk(stage: Stage, console: Console) -> list[StepResult]:
    names = [step.name for step in stage.steps()]
    results: list[StepResult] = []
    with Live(
        result_table(results, names[0]), console=console, vertical_overflow="visible"
    ) as live:
        async for taken in walk(stage.steps(), stage.fleet.hearing, WalkSettings()):
            result = await explained(taken, stage.endpoint.controller, stage.own)
            results.append(result)
            left = names[len(results) :] if result.ok else []
            live.update(result_table(results, left[0] if left else None))
    console.print()
    width = max(len(name) for name in NAMES)
    for result in results:
        for fault in result.faults:
            console.print(f"  [red]{result.name}[/]: {fault}")
        for name, way in result.facts.get("audio", {}).items():
            console.print(f"  {name:<{width}} {_way(way)}", highlight=False)
        if "data" in result.facts:
            data = ", ".join(f"{key} = {text}" for key, text in result.facts["data"].items())
            console.print(f"  after {result.name} the call carries [bold]{data}[/]")
        if "digits" in result.facts:
            console.print(f"  {CUSTOMER} received the digits [bold]{result.facts['digits']}[/]")
        if "recording" in result.facts:
            on = result.facts["recording"]
            sides = [f"{side} [bold]{', '.join(on[side])}[/]" for side in ("left", "right")]
            console.print(f"  on the recording: {', '.join(sides)}")
        if "bye_seen" in result.facts:
            console.print(f"  {' and '.join(result.facts['bye_seen'])} saw the BYE")
    return results


def _show_ladder(stage: Stage, console: Console) -> None:
    parties = {address: name for address, (name, _) in _registered(stage.trace).items()}
    calls = [
        rung
        for rung in rungs(
            stage.trace[: stage.messages_of_two or None], lambda peer, _: parties.get(peer, peer)
        )
        if "REGISTER" not in rung.label
    ]
    console.print("\n[bold]Who said what in SIP, up to the consultation[/] [dim](seconds)[/]")
    for line in draw(calls, [AGENT, CUSTOMER]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _registered(trace: Sequence[TracedMessage]) -> dict[str, tuple[str, str]]:
    """Who is behind an address, and by which transport: whoever registered from there."""
    found = {}
    for message in trace:
        if not message.sent and message.octets.startswith(b"REGISTER "):
            request = parse_message(message.octets)
            found[message.peer] = request.from_.uri.user or message.peer, message.transport
    return found


def _invited(trace: Sequence[TracedMessage]) -> dict[str, str]:
    """Who was called by which transport."""
    invites = (m for m in trace if m.sent and m.octets.startswith(b"INVITE "))
    return {parse_message(m.octets).to.uri.user or m.peer: m.transport for m in invites}


def _show_addresses(stage: Stage, console: Console) -> None:
    endpoint = stage.endpoint
    host, port = endpoint.sip_address
    rows = {
        "page, signed in": f"{endpoint.url}#token={endpoint.token}",
        "bearer token": endpoint.token,
        "trust this CA": str(endpoint.certificate.authority),
        "SIP over WSS": endpoint.wss_url,
        "SIP over UDP": f"{host}:{port}",
        **{f"password of {number}": password for number, password in stage.passwords.items()},
    }
    console.print("\n[bold]Still up[/], in a state directory of its own [dim](Ctrl-C ends it)[/]")
    for name, value in rows.items():
        # Never wrapped: it is there to be copied.
        console.print(f"{name:<18} {value}", highlight=False, markup=False, soft_wrap=True)


def result_table(results: Sequence[StepResult], running: str | None) -> Table:
    """The walk so far, for a person."""
    table = Table(title="Who hears whom", title_style="bold", show_lines=True, caption=WHO)
    table.add_column("step", no_wrap=True)
    table.add_column("expected")
    table.add_column("heard, as received and decoded")
    table.add_column("after", justify="right")
    for result in results:
        right = result.expected == result.heard
        table.add_row(
            Text("✔ ", "bold green").append(result.name, "default")
            if result.ok
            else Text("✘ ", "bold red").append(result.name, "bold red"),
            _rows(result.expected, "dim"),
            _rows(result.heard, "green" if right else "bold red"),
            f"{result.switch_ms:.0f} ms",
        )
    if running is not None:
        table.add_row(f"… {running}", "", "", "")
    return table


def _way(way: dict[str, Any]) -> str:
    profile = way["srtp_profile"]
    # AEAD_AES_256_GCM is AES-256-GCM to everybody but the RFC.
    cipher = f" ({profile.removeprefix('AEAD_').replace('_', '-')})" if profile else ""
    return f"SIP over {way['signaling']} · {way['media']}{cipher} · {way['codec']}"


def _rows(heard: HearingMatrix, style: str) -> Text:
    """Who hears something; all others hear nothing."""
    who = [name for name in NAMES if heard.get(name)]
    width = max(map(len, who), default=0)
    lines = [f"{name:<{width}} ◀ {_sound(heard[name])}" for name in who]
    return Text("\n".join(lines) or "silence", style)


def _sound(sources: frozenset[str]) -> str:
    return ", ".join("♪ music" if name == MUSIC_ON_HOLD else name for name in sorted(sources))
