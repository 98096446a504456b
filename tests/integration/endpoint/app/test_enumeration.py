"""S3: how long it takes to be refused does not tell whether a user exists."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.storage.extensions import Extension
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import AuthChallenge
from signaling.sip.message import Request, parse_message
from signaling.user_agent import Answer
from tests.integration.signaling.raw import digest
from tests.integration.signaling.stage import REALM

from .conftest import PASSWORD, configuration

pytestmark = pytest.mark.integration

SOURCE = Flow(TransportKind.UDP, "127.0.0.2", 5060, "udp0")
KNOWN, UNKNOWN, URI = "6001", "6999", "sip:127.0.0.1"
ROUNDS = 400


def guess(endpoint: Endpoint, user: str, number: int) -> Request:
    """A REGISTER with a wrong digest over a nonce of the server's."""
    agent = endpoint.server.user_agent
    offered = endpoint.server._digest.challenges(SOURCE.host, agent.now())
    proof = digest(AuthChallenge.parse(offered[-1]), "REGISTER", URI, user, "wrong")
    lines = [
        f"REGISTER {URI} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.2:5060;rport;branch=z9hG4bK{number}",
        f"From: <sip:{user}@127.0.0.1>;tag=1",
        f"To: <sip:{user}@127.0.0.1>",
        f"Call-ID: {number}",
        "CSeq: 1 REGISTER",
        f"Authorization: {proof}",
        *("Content-Length: 0", "", ""),
    ]
    message = parse_message("\r\n".join(lines).encode())
    assert isinstance(message, Request)
    return message


async def refusal_s(endpoint: Endpoint, request: Request) -> float:
    """How long the decision takes."""
    begun = perf_counter()
    decision = await endpoint.server._decide(request, SOURCE)
    spent = perf_counter() - begun
    assert isinstance(decision, Answer)
    assert decision.status == 401
    return spent


async def test_s3_a_user_that_exists_is_refused_no_slower_and_no_faster(tmp_path: Path) -> None:
    """By less than 5 %, or than the same user differs from itself."""
    limits = {"exempt": ["127.0.0.0/8"]}
    config = configuration(tmp_path / "state", sip={"realm": REALM, "limits": limits})
    async with Endpoint(config) as endpoint:
        await add_extension(endpoint.extensions, REALM, Extension(KNOWN), PASSWORD)
        names = (KNOWN, UNKNOWN, KNOWN, UNKNOWN)
        times: list[list[float]] = [[] for _ in names]
        for number in range(ROUNDS):
            for column, user in enumerate(names):
                request = guess(endpoint, user, number)
                times[column].append(await refusal_s(endpoint, request))
    known, unknown, again, unknown_again = map(median, times)
    noise = max(abs(known - again), abs(unknown - unknown_again))
    between = abs((known + again) - (unknown + unknown_again)) / 2
    assert between < max(0.05 * known, 3 * noise), times
