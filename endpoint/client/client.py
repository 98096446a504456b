"""The typed client of the native interface: one method a request, events as an async iterator."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import aiohttp
import msgspec

from endpoint.client.agents import AgentRequests
from endpoint.client.directory import DirectoryRequests
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.client.extensions import ExtensionRequests
from endpoint.client.frames import FramesOf
from endpoint.client.plan import PlanRequests
from endpoint.client.tenants import TenantRequests
from endpoint.client.tokens import TokenRequests
from endpoint.client.webhooks import WebhookRequests
from endpoint.gateways.native import audiomessages as audio
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import queuemessages as waiting
from endpoint.gateways.native import tracemessages as tracing
from endpoint.gateways.native.operation import NOT_KEYED

T = TypeVar("T", bound=msgspec.Struct)

_ATTEMPTS = 2
"""Of a POST that takes a key, whose connection breaks."""
_NOT_KEYED = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", path) for path in NOT_KEYED))


class Frames(FramesOf[wire.Frame]):
    """The frames of one event WebSocket. Giving up waiting for one loses none."""

    decoder = msgspec.json.Decoder(wire.Snapshot | wire.EventFrame | wire.CredentialsExpiring)


class EndpointClient(
    AgentRequests,
    TokenRequests,
    TenantRequests,
    PlanRequests,
    DirectoryRequests,
    ExtensionRequests,
    WebhookRequests,
):
    """One endpoint: `async with EndpointClient(url, token) as client`.

    Every method raises `EndpointUnreachable`, or `RequestRefused` with the endpoint's own word.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            url: `https://localhost:8443`.
            token: the endpoint's bearer token.
            ssl_context: whom to trust; by default the system's CAs.
            timeout_s: how long one request may take.
        """
        self._url = url.rstrip("/") + wire.API
        self._token = token
        self._ssl = ssl_context
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl or True),
            timeout=self._timeout,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- what is so -----------------------------------------------------------------------------

    async def health(self) -> wire.Health:
        """Whether it runs, and how."""
        return await self._ask("GET", "/health", wire.Health)

    async def registrations(self) -> list[wire.Registration]:
        """What was last heard of each device at each server."""
        return (await self._ask("GET", "/registrations", wire.Registrations)).registrations

    async def devices(self) -> list[wire.DeviceState]:
        """The endpoint's own devices."""
        return (await self._ask("GET", "/devices", wire.Devices)).devices

    async def trunks(self) -> list[wire.Trunk]:
        """The lines to the public network, in the order in which they are tried."""
        return (await self._ask("GET", "/trunks", wire.Trunks)).trunks

    async def ivrs(self) -> list[waiting.Ivr]:
        """The devices that are flows."""
        return (await self._ask("GET", "/ivr", waiting.Ivrs)).ivr

    async def queues(self) -> list[waiting.Queue]:
        """Calls that wait, by skill."""
        return (await self._ask("GET", "/queues", waiting.Queues)).queues

    async def ask_call_back(
        self,
        queue: str,
        number: str,
        *,
        not_before: datetime | None = None,
        priority: int | None = None,
    ) -> waiting.CallBack:
        """Have somebody called back who does not wait; not before a moment, with its zone."""
        path = f"/queues/{quote(queue, safe='')}/call-backs"
        wanted = waiting.AskCallBack(number, not_before, priority)
        return await self._ask("POST", path, waiting.CallBack, wanted)

    async def withdraw_call_back(self, queue: str, call_back_id: str) -> None:
        """Call somebody back no more."""
        path = f"/queues/{quote(queue, safe='')}/call-backs/{quote(call_back_id, safe='')}"
        await self._send("DELETE", path)

    async def calls(self) -> list[wire.Call]:
        """The calls that live."""
        return (await self._ask("GET", "/calls", wire.Calls)).calls

    async def call(self, call: str) -> wire.Call:
        """One call that lives."""
        return await self._ask("GET", f"/calls/{quote(call, safe='')}", wire.Call)

    async def quality(self, call: str) -> wire.CallQuality:
        """How the parties of a call are heard and hear, by the last seconds."""
        return await self._ask("GET", f"/calls/{quote(call, safe='')}/quality", wire.CallQuality)

    async def records(self, query: Iterable[tuple[str, str]] = ()) -> wire.Records:
        """Calls that are over, the latest first: `[("device", "6001"), ("limit", "20")]`."""
        return await self._ask("GET", f"/records?{urlencode(list(query))}", wire.Records)

    async def record_of(self, call: str) -> wire.RecordFound:
        """One call that is over, and why it ended."""
        return await self._ask("GET", f"/records/{quote(call, safe='')}", wire.RecordFound)

    async def exported_records(self, query: Iterable[tuple[str, str]]) -> AsyncIterator[bytes]:
        """Calls that are over as a file, in pieces; `format` is `csv` or `jsonl`."""
        path = f"/records/export?{urlencode(list(query))}"
        # However long it takes altogether, the next piece comes soon.
        soon = aiohttp.ClientTimeout(sock_read=self._timeout.total)
        try:
            async with self._open().get(self._url + path, timeout=soon) as answer:
                if answer.status >= 400:
                    refused = self._read(await answer.read(), wire.Refused, answer.status)
                    raise RequestRefused(answer.status, refused)
                async for piece in answer.content.iter_any():
                    yield piece
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._unreachable(error) from error

    async def bans(self) -> list[wire.Ban]:
        """Sources of SIP that are not listened to."""
        return (await self._ask("GET", "/bans", wire.Bans)).bans

    async def lift_ban(self, source: str) -> None:
        """Listen to a source again, by any address of it."""
        await self._send("DELETE", f"/bans/{quote(source, safe='/:')}")

    # -- commands: events tell what becomes of what was accepted ----------------------------------

    async def make_call(
        self,
        device: str,
        destination: str,
        calling_name: str = "",
        *,
        calling_number: str = "",
        withhold: bool = False,
        data: Mapping[str, str] | None = None,
    ) -> wire.Accepted:
        """Pick the device's station up and dial; `data` follows the call."""
        body = wire.MakeCall(
            device, destination, calling_name, calling_number, withhold, dict(data or {})
        )
        return await self._ask("POST", "/calls", wire.Accepted, body)

    async def answer(self, device: str, call: str) -> wire.Accepted:
        """Pick up for a device that rings."""
        return await self._about("answer", call, wire.OfDevice(device))

    async def hold(self, device: str, call: str) -> wire.Accepted:
        """Put the call aside."""
        return await self._about("hold", call, wire.OfDevice(device))

    async def retrieve(self, device: str, call: str) -> wire.Accepted:
        """Take a held call back."""
        return await self._about("retrieve", call, wire.OfDevice(device))

    async def press(self, device: str, call: str, digits: str) -> wire.Accepted:
        """Send DTMF to the others in the call."""
        return await self._about("digits", call, wire.Press(device, digits))

    async def transfer(self, device: str, call: str, destination: str) -> wire.Accepted:
        """Let somebody else take the device's place; it leaves when that one has answered."""
        return await self._about("transfer", call, wire.TransferTo(device, destination))

    async def bring_together(self, device: str, call: str, other: str) -> wire.Accepted:
        """Let the others of two calls of the device talk; it leaves both, and `call` goes on."""
        return await self._about("transfer", call, wire.TransferTo(device, other=other))

    async def consult(self, device: str, call: str, destination: str) -> wire.Accepted:
        """Put the call aside and call somebody else; returns the second call."""
        return await self._about("consult", call, wire.Consult(device, destination))

    async def alternate(self, device: str, call: str, other: str = "") -> wire.Accepted:
        """Take the held call back and put the other one aside."""
        return await self._about("alternate", call, wire.OfTwoCalls(device, other))

    async def reconnect(self, device: str, call: str, other: str = "") -> wire.Accepted:
        """Leave the other call and take the held one back; or whom the device has lent."""
        return await self._about("reconnect", call, wire.OfTwoCalls(device, other))

    async def conference(self, device: str, call: str, other: str = "") -> wire.Accepted:
        """Bring everybody of the other call into the held one."""
        return await self._about("conference", call, wire.OfTwoCalls(device, other))

    async def add(
        self, device: str, call: str, destination: str, *, silent: bool = False
    ) -> wire.Accepted:
        """Call somebody into the call."""
        how: Literal["active", "silent"] = "silent" if silent else "active"
        return await self._about("add", call, wire.AddParty(device, destination, how))

    async def join(
        self,
        device: str,
        call: str,
        beside: str,
        participation: Literal["silent", "whisper", "active"] = "silent",
    ) -> wire.Accepted:
        """Supervise another device in its call, or another way from now on."""
        return await self._about("join", call, wire.Join(device, beside, participation))

    async def intercept(self, device: str, call: str, beside: str) -> wire.Accepted:
        """Take another device's place in its call."""
        return await self._about("intercept", call, wire.Intercept(device, beside))

    async def pick_up(self, device: str, call: str, beside: str) -> wire.Accepted:
        """Take a call that rings or is parked at another device."""
        return await self._about("pickup", call, wire.PickUp(device, beside))

    async def park(self, device: str, call: str, at: str) -> wire.Accepted:
        """Leave the call, which waits with music until somebody picks it up there."""
        return await self._about("park", call, wire.Park(device, at))

    async def lend(self, device: str, call: str, destination: str) -> wire.Accepted:
        """Let the other party talk with somebody else and come back; returns their call."""
        return await self._about("lend", call, wire.Lend(device, destination))

    async def deflect(self, device: str, call: str, destination: str) -> wire.Accepted:
        """Send a call that rings at the device on."""
        return await self._about("deflect", call, wire.Deflect(device, destination))

    async def mute(self, device: str, call: str, *, muted: bool = True) -> wire.Accepted:
        """Let nobody hear the device, or all again."""
        return await self._about("mute", call, wire.Mute(device, muted))

    async def give_data(self, device: str, call: str, data: dict[str, str]) -> wire.Accepted:
        """Give the call texts by their key, which follow it; an empty one takes its key away."""
        return await self._about("data", call, wire.GiveData(device, data))

    async def clear(self, device: str, call: str, connection: int | None = None) -> wire.Accepted:
        """Take the device out of the call, or another party, by its connection."""
        return await self._about("clear", call, wire.Clear(device, connection))

    async def end(self, device: str, call: str) -> wire.Accepted:
        """End the call for all."""
        return await self._about("end", call, wire.OfDevice(device))

    async def record(self, device: str, call: str) -> wire.Accepted:
        """Have the call recorded."""
        return await self._about("record", call, wire.OfDevice(device))

    async def pause_recording(self, device: str, call: str) -> wire.Accepted:
        """Have silence of the same length on the recording, until it is resumed."""
        return await self._about("pause-recording", call, wire.OfDevice(device))

    async def resume_recording(self, device: str, call: str) -> wire.Accepted:
        """Go on with a recording that was paused."""
        return await self._about("resume-recording", call, wire.OfDevice(device))

    async def stop_recording(self, device: str, call: str) -> wire.Accepted:
        """Record the call no more."""
        return await self._about("stop-recording", call, wire.OfDevice(device))

    async def attach_audio(self, device: str, call: str, port: int) -> audio.AudioAddress:
        """Be the device's ears and mouth in a call, on a port of this machine's loopback."""
        path = f"/calls/{quote(call, safe='')}/audio"
        return await self._ask("PUT", path, audio.AudioAddress, audio.AttachAudio(device, port))

    async def traces(self) -> tracing.Traces:
        """The calls whose SIP is kept, the latest last."""
        return await self._ask("GET", "/traces", tracing.Traces)

    async def trace(self, call: str) -> tracing.Trace:
        """What was said in SIP in a call, also in one that is over."""
        return await self._ask("GET", f"/calls/{quote(call, safe='')}/trace", tracing.Trace)

    async def trace_as(self, call: str, kind: str) -> bytes:
        """The same as a file: `text`, `svg` or `pcapng`."""
        path = f"/calls/{quote(call, safe='')}/trace?format={quote(kind, safe='')}"
        return await self._send("GET", path)

    async def send_text(self, device: str, sender: str, text: str) -> wire.TextSent:
        """Send a text to a device's telephones; returns when they have taken it, or not."""
        path = f"/devices/{quote(device, safe='')}/texts"
        return await self._ask("POST", path, wire.TextSent, wire.SendText(sender, text))

    # -- recordings -------------------------------------------------------------------------------

    async def recordings(
        self, *, call: str = "", state: str = "", limit: int = 100
    ) -> list[wire.Recording]:
        """The latest, newest first; of a call, or in a state."""
        query = f"?call={quote(call, safe='')}&state={quote(state, safe='')}&limit={limit}"
        return (await self._ask("GET", f"/recordings{query}", wire.Recordings)).recordings

    async def recording(self, recording: str) -> wire.Recording:
        """What is known of one."""
        return await self._ask("GET", _recording(recording), wire.Recording)

    async def recorded_audio(self, recording: str, start: int = 0) -> bytes:
        """The file of one, not encrypted; of one that is being written as far as it goes."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        return await self._send("GET", f"{_recording(recording)}/audio", headers=headers)

    async def delete_recording(self, recording: str) -> wire.Recording:
        """Delete the file; what is known of it stays."""
        return await self._ask("DELETE", _recording(recording), wire.Recording)

    # -- sound devices ----------------------------------------------------------------------------

    async def sound(self, device: str) -> audio.Sound:
        """The sound devices of a station."""
        return await self._ask("GET", f"/devices/{quote(device, safe='')}/sound", audio.Sound)

    async def choose_sound(self, device: str, choice: audio.ChooseSound) -> audio.Sound:
        """Give a station other ones, also in a call; events tell of one that is not there."""
        path = f"/devices/{quote(device, safe='')}/sound"
        return await self._ask("PUT", path, audio.Sound, choice)

    # -- a page's audio ---------------------------------------------------------------------------

    async def open_media(self, device: str, sdp: str) -> audio.Media:
        """Become the device's telephone, by an SDP offer for WebRTC."""
        return await self._ask("POST", _media(device), audio.Media, audio.MediaOffer(sdp))

    async def renew_media(self, device: str, media: str, sdp: str) -> audio.Media:
        """Offer anew: another direction, ICE begun anew."""
        return await self._ask("PUT", _media(device, media), audio.Media, audio.MediaOffer(sdp))

    async def add_candidates(self, device: str, media: str, etag: str, fragment: bytes) -> None:
        """Tell candidates that were found after the offer (RFC 8840)."""
        headers = {
            "Content-Type": "application/trickle-ice-sdpfrag",
            "If-Match": f'"{etag}"',
        }
        await self._send("PATCH", _media(device, media), fragment, headers)

    async def close_media(self, device: str, media: str) -> None:
        """Be the device's telephone no more; a call ends."""
        await self._send("DELETE", _media(device, media))

    # -- events ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def events(
        self, after: int | None = None, run: str | None = None
    ) -> AsyncIterator[Frames]:
        """Frames: a `Snapshot` first, then each event, in order.

        `after` and `run` resume behind an event of that run; a negative `after` begins with so many
        events back. Once this is entered nothing is missed. The iteration ends when the endpoint
        stops.

        Example:
            `async with client.events() as frames: async for frame in frames: ...`
        """
        query = {"from": str(after)} if after is not None else {}
        if run is not None:
            query["run"] = run
        async with self._listen("/events", query, {}) as socket:
            yield Frames(socket)

    @asynccontextmanager
    async def _listen(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        try:
            socket = await self._open().ws_connect(
                self._url + path,
                params=query,
                headers=headers,
                protocols=(wire.SUBPROTOCOL,),
                heartbeat=30.0,
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            word = wire.Refused("upgrade_refused", error.message)
            raise RequestRefused(error.status, word) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        async with socket:
            yield socket

    # -- inside ---------------------------------------------------------------------------------

    async def _about(self, word: str, call: str, body: msgspec.Struct) -> wire.Accepted:
        return await self._ask("POST", f"/calls/{quote(call, safe='')}/{word}", wire.Accepted, body)

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: msgspec.Struct | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        octets = None if body is None else msgspec.json.encode(body)
        of_body = {} if body is None else {"Content-Type": "application/json"}
        content = await self._send(method, path, octets, {**of_body, **(headers or {})})
        return self._read(content, kind)

    async def _send(
        self,
        method: str,
        path: str,
        octets: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patience_s: float = 0,
    ) -> bytes:
        """`patience_s`: so much longer than usual it may take."""
        timeout = aiohttp.ClientTimeout((self._timeout.total or 0) + patience_s)
        is_keyed = method == "POST" and _NOT_KEYED.fullmatch(path) is None
        if is_keyed:
            # Where the connection breaks nobody knows whether it arrived: it is asked again.
            headers = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        for attempt in range(_ATTEMPTS):
            try:
                async with self._open().request(
                    method, self._url + path, data=octets, headers=headers, timeout=timeout
                ) as answer:
                    content = await answer.read()
                    status = answer.status
                    break
            except aiohttp.ClientConnectionError as error:
                if not is_keyed or attempt + 1 == _ATTEMPTS:
                    raise self._unreachable(error) from error
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise self._unreachable(error) from error
        if status >= 400:
            raise RequestRefused(status, self._read(content, wire.Refused, status))
        return content

    def _read(self, content: bytes, kind: type[T], status: int = 200) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise EndpointUnreachable(
                f"{self._url}: what answers there is no agent-endpoint (status {status})"
            ) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client inside `async with`")
        return self._session

    def _unreachable(self, error: BaseException) -> EndpointUnreachable:
        return EndpointUnreachable(f"{self._url}: {str(error) or type(error).__name__}")


def _recording(recording: str) -> str:
    return f"/recordings/{quote(recording, safe='')}"


def _media(device: str, media: str = "") -> str:
    return f"/devices/{quote(device, safe='')}/media" + (
        f"/{quote(media, safe='')}" if media else ""
    )
