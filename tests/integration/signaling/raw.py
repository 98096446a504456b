"""A hand-made SIP client over one UDP socket, for requests that no proper stack would send."""

from __future__ import annotations

import hashlib
import itertools
from typing import Self

from signaling.sip.headers import AuthChallenge
from signaling.sip.message import Request, Response, parse_message, respond
from signaling.transport.udp import UdpTransport
from tests.fakes.receiver import Recorder

_numbers = itertools.count(1)


def digest(
    challenge: AuthChallenge,
    method: str,
    uri: str,
    username: str,
    password: str,
    *,
    count: int = 1,
    cnonce: str = "0a4f113b",
) -> str:
    """An Authorization value for an MD5 challenge, qop=auth, by the formula of RFC 7616 §3.4.1."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    nonce, realm = challenge.parameters["nonce"], challenge.parameters["realm"]
    a1 = md5(f"{username}:{realm}:{password}")
    a2 = md5(f"{method}:{uri}")
    response = md5(f"{a1}:{nonce}:{count:08x}:{cnonce}:auth:{a2}")
    return (
        f'Digest username="{username}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
        f'response="{response}", algorithm=MD5, cnonce="{cnonce}", qop=auth, nc={count:08x}'
    )


def md5_challenge(response: Response) -> AuthChallenge:
    """The MD5 challenge of a 401."""
    offered = map(AuthChallenge.parse, response.headers.get_all("WWW-Authenticate"))
    return next(challenge for challenge in offered if challenge.parameters["algorithm"] == "MD5")


class RawClient:
    """`async with RawClient(port) as client`: sends to the server's UDP port on 127.0.0.1."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, domain: str = "127.0.0.1") -> None:
        self.port = port
        self.host = host
        self.domain = domain
        """Of its user's address, and of whom it asks for."""
        self.recorder = Recorder()

    async def __aenter__(self) -> Self:
        self.transport = await UdpTransport.open("raw", self.host, 0, self.recorder)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.transport.close()

    def send(self, octets: bytes) -> None:
        self.transport.send(self.transport.flow_to("127.0.0.1", self.port), octets)

    async def response(self) -> Response:
        """The next final response."""
        while True:
            octets, _ = await self.recorder.message()
            message = parse_message(octets)
            assert isinstance(message, Response)
            if message.status >= 200:
                return message

    async def asked(self, method: str, status: int = 200) -> Request:
        """The next request that comes, of that method; it is answered so."""
        octets, _ = await self.recorder.message()
        message = parse_message(octets)
        assert isinstance(message, Request)
        assert message.method == method
        self.send(respond(message, status, to_tag="raw").serialise())
        return message

    async def ask(self, octets: bytes) -> Response:
        self.send(octets)
        return await self.response()

    async def is_answered(self) -> bool:
        """Whether the server still answers an OPTIONS ping; what comes before is passed over."""
        call_id = f"ping-{next(_numbers)}"
        self.send(self.request("OPTIONS", call_id=call_id))
        while True:
            octets, _ = await self.recorder.message()
            if call_id.encode() in octets:
                return octets.startswith(b"SIP/2.0 200 ")

    async def authorised(
        self,
        method: str,
        username: str,
        password: str,
        *,
        uri: str = "sip:127.0.0.1",
        user: str | None = None,
        to: str | None = None,
        headers: tuple[str, ...] = (),
        body: bytes = b"",
    ) -> Response:
        """Ask, be challenged, and ask again with credentials of `username`; From is `user`."""
        user = user or username
        challenged = await self.ask(
            self.request(method, uri=uri, user=user, to=to, headers=headers, body=body)
        )
        assert challenged.status == 401
        value = digest(md5_challenge(challenged), method, uri, username, password)
        authorization = f"Authorization: {value}"
        headers = (authorization, *headers)
        return await self.ask(
            self.request(method, uri=uri, user=user, to=to, headers=headers, body=body)
        )

    def request(
        self,
        method: str,
        *,
        uri: str = "sip:127.0.0.1",
        user: str = "6001",
        to: str | None = None,
        call_id: str | None = None,
        from_tag: str | None = None,
        to_tag: str | None = None,
        headers: tuple[str, ...] = (),
        body: bytes = b"",
    ) -> bytes:
        number = next(_numbers)
        host, port = self.transport.address
        tag = f";tag={to_tag}" if to_tag else ""
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bKraw{number}",
            "Max-Forwards: 70",
            f"From: <sip:{user}@{self.domain}>;tag={from_tag or f'raw{number}'}",
            f"To: <sip:{to or user}@{self.domain}>{tag}",
            f"Call-ID: {call_id or f'raw-{number}'}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{user}@{host}:{port}>",
            *headers,
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        return "\r\n".join(lines).encode() + body
