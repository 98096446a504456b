"""Every text that comes from outside, with what no text should hold: nothing is hurt by it.

A house takes calls of a trunk. In each, one text of the far end's is strange; after it the next
call is answered as ever, the record is there, whole but for that text, and whoever reads events,
traces, records or the log can read on.
"""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import msgspec
import pytest
import structlog
from structlog.testing import capture_logs
from yarl import URL

from endpoint.app import certificates, wiring
from endpoint.app.facts import media_settings
from endpoint.app.telemetry import escape_controls, mask_secrets
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.operations import OPERATIONS, Operation
from endpoint.media import messages as m
from endpoint.media.link import LocalLink
from endpoint.media.plane import Plane
from endpoint.storage.database import Database
from signaling.errors import SipParseError
from signaling.sip.message import Request, Response, parse_message, respond
from tests.integration.endpoint.storage.conftest import emptied
from tests.integration.endpoint.storage.conftest import postgresql as postgresql
from tests.integration.signaling.raw import RawClient
from tests.virtual_endpoint import have_it_in_this_loop

from .conftest import configuration

pytestmark = pytest.mark.integration

CONTENTS = {
    "latin1": b"J\xf6rg",
    "overlong": b"\xc0\xafa",
    "surrogate": b"a\xed\xa0\x80",
    "nul": b"a\0b",
    "lf": b"a\nX-Injected: 1",
    "crlf": b"a\r\nX-Injected: 1\r\nb: c",
    "escape": b"\x1b]0;a\x07\x1b[2J\xc2\x9b31m",
    "line separator": "a\u2028b\u2029c\u0085d".encode(),
    "right to left": "\u202egpj.exe\u2066".encode(),
    "long": b"a" * 7000,
    "long latin1": b"\xe4" * 7000,
    "empty": b"",
    "formula": b"=cmd()|'/C calc'!A0",
    "markup": b"<img src=x onerror=alert(1)>&]]>",
    "braces": b"{0}%s%n${jndi:x}",
    "percent": b"%00%0d%0a%ff",
    "json": b"\\ud800\\u0000\\",
    "not a character": "\uffff\ufdd0\U0010ffff".encode(),
}


def escaped(content: bytes) -> bytes:
    """As a URI holds it."""
    return b"".join(b"%%%02X" % octet for octet in content)


def quoted(content: bytes) -> bytes:
    """As a quoted string holds it; line ends it can't."""
    return b"".join(b"\\" + bytes([o]) if o in b'"\\\0' else bytes([o]) for o in content)


SDP = (
    b"v=0\r\no=%(user)s 1 1 IN IP4 127.0.0.1\r\ns=%(name)s\r\ni=%(info)s\r\n"
    b"c=IN IP4 127.0.0.1\r\nt=0 0\r\na=x:%(attribute)s\r\nm=audio 40000 RTP/AVP 0 101\r\n"
    b"i=%(label)s\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 %(fmtp)s\r\n"
    b"a=label:%(label)s\r\na=mid:%(mid)s\r\n%(more)s"
)
PLAIN = {
    b"user": b"-",
    b"name": b"-",
    b"info": b"-",
    b"attribute": b"x",
    b"label": b"1",
    b"fmtp": b"0-16",
    b"mid": b"0",
    b"more": b"",
}


@dataclass(frozen=True)
class Said:
    """What a far end says in one call."""

    user: bytes = b"030123"
    name: bytes = b"Anna"
    call_id: bytes = b""
    branch: bytes = b""
    tag: bytes = b""
    invite: tuple[bytes, ...] = ()
    """More headers of its INVITE,"""
    bye: tuple[bytes, ...] = ()
    """of its BYE,"""
    sdp: bytes = SDP % PLAIN
    inside: tuple[tuple[bytes, bytes, bytes], ...] = ()
    """and requests while they talk: method, headers, body."""


def header(
    name: bytes, form: bytes = b"%s", make: Callable[[bytes], bytes] = bytes
) -> Callable[[bytes], Said]:
    return lambda content: Said(invite=(name + b": " + form % make(content),))


def sdp(name: bytes, form: bytes = b"%s") -> Callable[[bytes], Said]:
    return lambda content: Said(sdp=SDP % {**PLAIN, name: form % content})


SOURCES: dict[str, Callable[[bytes], Said]] = {
    "display name": lambda c: Said(name=quoted(c)),
    "user": lambda c: Said(user=escaped(c) or b"%20"),
    "Call-ID": lambda c: Said(call_id=c),
    "Via branch": lambda c: Said(branch=quoted(c)),
    "From tag": lambda c: Said(tag=c),
    "User-Agent": header(b"User-Agent"),
    "Subject": header(b"Subject"),
    "asserted name": header(b"P-Asserted-Identity", b'"%s" <sip:030123@a.test>', quoted),
    "asserted user": header(b"P-Asserted-Identity", b"<sip:030123%s@a.test>", escaped),
    "asserted number": header(b"P-Asserted-Identity", b"<tel:030123%s>", escaped),
    "diversion": header(b"Diversion", b'"%s" <sip:0305@a.test>;reason="x"', quoted),
    "diverting user": header(b"Diversion", b"<sip:0305%s@a.test>", escaped),
    "history": header(b"History-Info", b"<sip:0%s@a.test>;index=1, <sip:1@b>;index=1.1", escaped),
    "remote party": header(b"Remote-Party-ID", b'"%s" <sip:1@a.test>', quoted),
    "contact": header(b"Contact", b'"%s" <sip:030@127.0.0.1>', quoted),
    "route": header(b"Record-Route", b"<sip:127.0.0.1;lr;x=%s>", escaped),
    "replaces": header(b"Replaces", b"%s;to-tag=1;from-tag=2"),
    "privacy": header(b"Privacy"),
    "call info": header(b"Call-Info", b"<sip:x@y>;answer-after=%s"),
    "warning": header(b"Warning", b'399 a "%s"', quoted),
    "alert": header(b"Alert-Info", b"<http://a/>;info=%s"),
    "accept": header(b"Accept"),
    "require": header(b"Supported"),
    "x-header": header(b"X-Any"),
    "session user": sdp(b"user"),
    "session name": sdp(b"name"),
    "session info": sdp(b"info"),
    "attribute": sdp(b"attribute"),
    "label": sdp(b"label"),
    "fmtp": sdp(b"fmtp"),
    "mid": sdp(b"mid"),
    "rtpmap": sdp(b"more", b"a=rtpmap:101 %s/8000\r\n"),
    "candidate": sdp(
        b"more",
        b"a=ice-ufrag:%s\r\na=ice-pwd:0123456789012345678901\r\n"
        b"a=candidate:1 1 udp 1 127.0.0.1 4 typ host\r\n",
    ),
    "crypto": sdp(b"more", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n"),
    "connection": sdp(b"more", b"c=IN IP4 %s\r\n"),
    "reason": lambda c: Said(bye=(b'Reason: Q.850;cause=16;text="%s"' % quoted(c),)),
    "reason protocol": lambda c: Said(bye=(b"Reason: %s;cause=16" % c,)),
    "digit": lambda c: Said(
        inside=((b"INFO", b"Content-Type: application/dtmf-relay", b"Signal=%s\r\n" % c),)
    ),
    "digit alone": lambda c: Said(inside=((b"INFO", b"Content-Type: application/dtmf", c),)),
    "content type": lambda c: Said(inside=((b"INFO", b"Content-Type: %s" % c, b"5"),)),
    "candidates": lambda c: Said(
        inside=(
            (
                b"INFO",
                b"Content-Type: application/trickle-ice-sdpfrag\r\nInfo-Package: trickle-ice",
                c,
            ),
        )
    ),
    "transfer": lambda c: Said(
        inside=((b"REFER", b"Refer-To: <sip:6003%s@127.0.0.1>" % escaped(c), b""),)
    ),
    "transferrer": lambda c: Said(
        inside=(
            (
                b"REFER",
                b'Refer-To: <sip:0@127.0.0.1>\r\nReferred-By: "%s" <sip:%s@a>'
                % (quoted(c), escaped(c)),
                b"",
            ),
        )
    ),
    "takeover": lambda c: Said(
        inside=((b"REFER", b"Refer-To: <sip:1@127.0.0.1?Replaces=%s>" % escaped(c), b""),)
    ),
    "sipfrag": lambda c: Said(
        inside=(
            (
                b"NOTIFY",
                b"Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag",
                b"SIP/2.0 200 " + c,
            ),
        )
    ),
    "message": lambda c: Said(inside=((b"MESSAGE", b"Content-Type: text/plain", c),)),
    "update": lambda c: Said(
        inside=((b"UPDATE", b"Content-Type: application/sdp", SDP % {**PLAIN, b"fmtp": c}),)
    ),
}


@dataclass
class House:
    """An endpoint, with its trunk's far end, and what was told of its calls."""

    endpoint: Endpoint
    client: EndpointClient
    http: aiohttp.ClientSession
    url: str
    trunk: RawClient
    frames: list[wire.EventFrame] = field(default_factory=list)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)
    faults: list[object] = field(default_factory=list)
    """What the event loop complained of."""

    async def read(self, frames: AsyncIterator[object]) -> None:
        async for frame in frames:
            if isinstance(frame, wire.EventFrame):
                async with self.more:
                    self.frames.append(frame)
                    self.more.notify_all()

    async def call(self, said: Said) -> str:
        """One call of the trunk, up to its end; its name, empty where it was refused."""
        before, call_id = len(self.frames), said.call_id or b"c%d" % next(_numbers)
        invite = self.request(said, call_id, b"INVITE", 1, b"", said.invite, said.sdp)
        self.trunk.send(invite)
        answer = await self.answer(call_id, 1)
        tag = TO_TAG.search(answer)
        if tag is None or b" 400 " in answer[:12]:
            return ""  # it can't be read, and is not said again
        if b"\r" not in said.name + said.tag + said.branch + call_id:
            # Sent back as they came, octet by octet (RFC 3261 §8.2.6.2).
            for line in invite.split(b"\r\n"):
                if line.startswith((b"From: ", b"Call-ID: ", b"CSeq: ")):
                    assert line in answer.split(b"\r\n")
            assert said.branch in answer
        self.trunk.send(self.request(said, call_id, b"ACK", 1, tag[1]))
        if not answer.startswith(b"SIP/2.0 200 "):
            return ""
        for number, (method, header, body) in enumerate(said.inside, 2):
            asked = self.request(said, call_id, method, number, tag[1], (header,), body)
            self.trunk.send(asked)
            await self.answer(call_id, number)
        for number, headers in ((8, said.bye), (9, ())):  # the second, where the first is no BYE
            self.trunk.send(self.request(said, call_id, b"BYE", number, tag[1], headers))
            if not (await self.answer(call_id, number)).startswith(b"SIP/2.0 400 "):
                break
        ended: list[wire.EventFrame] = []
        async with self.more, asyncio.timeout(30):
            while not ended:
                await self.more.wait()
                ended = [each for each in self.frames[before:] if each.event == "CallCleared"]
        return str(ended[0].fields["call"])

    def request(
        self,
        said: Said,
        call_id: bytes,
        method: bytes,
        number: int,
        tag: bytes,
        headers: Sequence[bytes] = (),
        body: bytes = b"",
    ) -> bytes:
        host, port = self.trunk.transport.address
        at = b"%s:%d" % (host.encode(), port)
        via = b"z9hG4bK%d" % next(_numbers)
        lines = [
            method + b" sip:49306002@127.0.0.1 SIP/2.0",
            b'Via: SIP/2.0/UDP %s;rport;branch=%s;x="%s"' % (at, via, said.branch),
            b"Max-Forwards: 70",
            b'From: "%s" <sip:%s@a.test>;tag=t%s' % (said.name, said.user, said.tag),
            b"To: <sip:49306002@127.0.0.1>" + (b";tag=" + tag if tag else b""),
            b"Call-ID: " + call_id,
            b"CSeq: %d %s" % (number, method),
            *headers,
        ]
        if not any(line.startswith(b"Contact:") for line in headers):
            lines.append(b"Contact: <sip:030@%s>" % at)
        if not any(b"Content-Type:" in line for line in headers):
            lines.append(b"Content-Type: application/sdp")
        lines += [b"Content-Length: %d" % len(body), b"", b""]
        return b"\r\n".join(lines) + body

    async def answer(self, call_id: bytes, number: int) -> bytes:
        """The final one to a request; nothing where none comes. What is asked is answered."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    octets, _ = await self.trunk.recorder.message()
            except TimeoutError:
                return b""
            try:
                message = parse_message(octets)
                if isinstance(message, Request):
                    if message.method != "ACK":
                        self.trunk.send(respond(message, 200, to_tag="raw").serialise())
                    continue
                assert isinstance(message, Response)
                if b"Call-ID: %s\r" % call_id not in octets or message.status < 200:
                    continue
                if message.cseq.number == number:
                    return octets
            except SipParseError:  # a refusal says again what it refuses
                assert octets.startswith(b"SIP/2.0 400 ")
                return octets

    async def can_be_told_of(self, call: str) -> None:
        """All that tells of a call can be read, and says what is so."""
        record = (await self.client.record_of(call)).record
        assert (record.called, record.direction) == ("6002", "inbound")
        assert record.established_at is not None
        assert record.ending.cause in ("normal", "transferred")
        assert (await self.client.trace(call)).messages
        ET.fromstring(await self.client.trace_as(call, "svg"))
        (await self.client.trace_as(call, "text")).decode()
        assert (await self.client.trace_as(call, "pcapng")).startswith(b"\n\r\r\n")
        exported = self.client.exported_records([("format", "csv"), ("device", "6002")])
        whole = b"".join([each async for each in exported]).decode()
        lines = list(csv.reader(io.StringIO(whole)))
        assert len({len(line) for line in lines}) == 1
        assert not [cell for line in lines for cell in line if cell.startswith("=")]

    async def play(self, cases: Iterable[tuple[str, str]]) -> int:
        """Calls with strange texts, an ordinary one after each; how many of them were answered."""
        answered = 0
        for source, content in cases:
            with capture_logs() as logs:
                for said in (SOURCES[source](CONTENTS[content]), Said()):
                    call = await self.call(said)
                    assert call or said != Said(), f"nobody answers after {source}: {content}"
                    if call:
                        answered += said != Said()
                        await self.can_be_told_of(call)
            bad = [each for each in logs if each["log_level"] == "error" or "exc_info" in each]
            assert (bad, self.faults) == ([], []), f"{source}: {content}"
            for format_ in ("json", "console"):
                assert_one_line_each(logs, format_)
        return answered


def assert_one_line_each(logs: Sequence[MutableMapping[str, Any]], format_: str) -> None:
    """A log line is one line, without what steers a terminal."""
    for each in logs:
        shown = escape_controls(None, "", mask_secrets(None, "", dict(each)))
        line = (
            structlog.processors.JSONRenderer()(None, "", shown)
            if format_ == "json"
            else structlog.dev.ConsoleRenderer(colors=False)(None, "", shown)
        )
        assert not set(str(line)) & {"\n", "\r", "\x1b", "\x9b", "\u2028"}


TO_TAG = re.compile(rb"\r\nTo: [^\r]*;tag=([0-9a-f]+)\r")
SILENCE_S = 1.0
_numbers = itertools.count(1)
HURT_ONCE = [
    ("display name", "latin1"),
    ("user", "latin1"),
    ("fmtp", "latin1"),
    ("connection", "latin1"),
]
"""Each ended the endpoint, or was answered 500."""
BY_TURNS = [
    (source, list(CONTENTS)[(2 * number + step) % len(CONTENTS)])
    for number, source in enumerate(SOURCES)
    for step in (0, 1)
]
"""Each source with two contents, each content with several sources."""


def crossing(handle: Callable[[Plane, m.AnyCommand], None]) -> Callable[[Plane, Any], None]:
    """What the media plane is told, as if it were in a process of its own, as it is else."""
    return lambda plane, told: handle(plane, m.decode_command(m.encode(told)))


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    have_it_in_this_loop(monkeypatch)
    async with opened(tmp_path, monkeypatch) as house:
        yield house


@asynccontextmanager
async def opened(
    directory: Path, monkeypatch: pytest.MonkeyPatch, **more: object
) -> AsyncIterator[House]:
    monkeypatch.setattr(Plane, "handle", crossing(Plane.handle))
    async with RawClient(0) as raw, asyncio.TaskGroup() as group:
        host, port = raw.transport.address
        trunk = {
            "name": "carrier",
            "peers": [f"sip:{host}:{port}"],
            "identity": "asserted",
            "incoming": [{"match": "4930*", "strip": 4}],
        }
        many = ("calls", "source_messages", "stranger_messages", "flow_messages")
        sip = {"limits": {f"{each}_per_second": 1_000_000 for each in many}}
        config = configuration(directory / "state", trunk=[trunk], sip=sip, **more)
        async with Endpoint(config) as endpoint:
            raw.port = endpoint.sip_address[1]
            trust = certificates.client_context(endpoint.certificate.authority)
            url = f"https://localhost:{endpoint.http.port}"
            async with (
                EndpointClient(url, endpoint.token, ssl_context=trust) as client,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
                client.events() as frames,
            ):
                house = House(endpoint, client, http, url, raw)
                loop = asyncio.get_running_loop()
                loop.set_exception_handler(lambda _, context: house.faults.append(context))
                reading = group.create_task(house.read(frames))
                yield house
                reading.cancel()


@pytest.mark.virtual_time
async def test_calls_with_strange_texts_hurt_nobody(house: House) -> None:
    assert await house.play([*HURT_ONCE, *BY_TURNS]) > len(BY_TURNS) // 2


@pytest.mark.soak
@pytest.mark.virtual_time
@pytest.mark.timeout(1200)
async def test_every_text_with_every_content_hurts_nobody(house: House) -> None:
    cases = list(itertools.product(SOURCES, CONTENTS))
    assert await house.play(cases) > len(cases) // 2


@pytest.mark.virtual_time
@pytest.mark.parametrize("path", ["calls", "events", "agents/1001/events", "%00\xff"])
async def test_headers_with_strange_octets_are_no_fault_of_ours(house: House, path: str) -> None:
    contents = ("latin1", "surrogate", "escape", "line separator", "long latin1")
    with capture_logs() as logs:
        for name, content in itertools.product(HEADERS, contents):
            headers = {b"Host": b"localhost", b"Upgrade": b"websocket"}
            headers[b"Authorization"] = b"Bearer " + house.endpoint.token.encode()
            headers[name] = CONTENTS[content]
            lines = [b"GET /api/v1/%s HTTP/1.1" % path.encode("latin-1")]
            lines += [b"%s: %s" % each for each in headers.items()]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", house.endpoint.http.plain_port
            )
            writer.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
            async with asyncio.timeout(60):
                answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert re.match(rb"HTTP/1\.. [24]", answer), (name, content, answer[:200])
    assert [each for each in logs if each["log_level"] == "error"] == []


HEADERS = (
    b"Accept",
    b"Content-Encoding",
    b"Content-Type",
    b"Cookie",
    b"Delegator-Id",
    b"Host",
    b"Idempotency-Key",
    b"If-Match",
    b"Origin",
    b"Range",
    b"Sec-WebSocket-Protocol",
    b"Upgrade",
    b"User-Agent",
    b"traceparent",
)


async def test_postgresql_keeps_calls_and_is_asked_with_strange_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: str
) -> None:
    """Which refuses what SQLite takes: a NUL, lone surrogates."""
    await emptied(postgresql)
    database = Database(postgresql)
    await database.migrate()
    await database.dispose()
    monkeypatch.setattr(
        wiring, "media_workers", lambda config, *_: [LocalLink(e) for e in media_settings(config)]
    )
    async with opened(tmp_path, monkeypatch, database={"url": postgresql}) as house:
        sources = ("display name", "user", "asserted user", "diverting user")
        assert await house.play(itertools.product(sources, ("latin1", "nul", "surrogate")))
        with capture_logs() as logs:
            statuses = [
                await asked(house, each, text) for each in OPERATIONS.values() for text in ASKED
            ]
        assert [each for each in logs if each["log_level"] == "error"] == []
        assert max(statuses) < 500, statuses


ASKED = ("%00", "%FF%C0%AF", "%ED%A0%80", "%0D%0Aa%1B", "%E2%80%AE%F0%9F%98%80", "a" * 3000)
"""Texts in a path, a query and a body."""


async def asked(house: House, operation: Operation, text: str) -> int:
    """The status of a request whose every text is strange."""
    path = re.sub(r"\{\w+\}", text, operation.path)
    query = "&".join(f"{each.name}={text}" for each in operation.query)
    headers = {"Authorization": f"Bearer {house.endpoint.token}"}
    body = None
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
        schema = msgspec.json.schema(operation.body)
        body = json.dumps(filled(schema, schema, unquote(text))).encode()
    url = URL(f"{house.url}/api/v1{path}?{query}", encoded=True)
    async with house.http.request(operation.method, url, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


def filled(schema: dict[str, Any], whole: dict[str, Any], text: str) -> Any:
    """What a schema takes, with this for every text."""
    if "$ref" in schema:
        return filled(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, text)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: filled(fields[name], whole, text) for name in schema.get("required", ())}
        case "array":
            return [filled(schema["items"], whole, text)]
        case "string":
            return text[: schema.get("maxLength", 4000)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return filled(schema["anyOf"][0], whole, text)
