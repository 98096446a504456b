"""JWTs of an identity provider: which are taken, and every one that must not be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from endpoint.agents.directory import Contents, DirectoryInUse, KnownPasswords
from endpoint.agents.identity import Identity
from endpoint.agents.model import Agent, AgentId, Role
from endpoint.app.credentialsettings import JwtSettings
from endpoint.app.jwtcredentials import JwtCredentials, Keys

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
AGENTS = (
    Agent(AgentId("1001")),
    Agent(AgentId("1009"), enabled=False),
    Agent(AgentId("9001"), role=Role.MONITOR, supervises=("sales",)),
)


def key_of(private: Any, kid: str) -> dict[str, Any]:
    kind = jwt.algorithms.ECAlgorithm if private is EC else jwt.algorithms.RSAAlgorithm
    told: dict[str, Any] = kind.to_jwk(private.public_key(), as_dict=True)
    return {**told, "kid": kid, "alg": "ES256" if private is EC else "RS256", "use": "sig"}


def publish(jwks: Path, *keys: dict[str, Any]) -> None:
    jwks.write_text(json.dumps({"keys": keys}) if keys else "<html>")


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    publish(file, key_of(RSA, "r"), key_of(EC, "e"))
    return file


def credentials(
    jwks: Path, clock: Callable[[], float] = lambda: 0.0, **more: Any
) -> JwtCredentials:
    settings = JwtSettings.model_validate(
        {
            "issuer": "https://idp.example.com",
            "audience": "agent-endpoint",
            "jwks_file": jwks,
            **more,
        }
    )
    directory = DirectoryInUse(KnownPasswords({}), Contents(agents=AGENTS))
    return JwtCredentials(settings, directory, now=lambda: NOW, keys=Keys(settings, clock))


def claims(**more: Any) -> dict[str, Any]:
    told = {
        "iss": "https://idp.example.com",
        "aud": "agent-endpoint",
        "sub": "1001",
        "exp": NOW.timestamp() + 300,
        "iat": NOW.timestamp(),
        **more,
    }
    return {name: claim for name, claim in told.items() if claim is not None}


def signed(private: Any = RSA, kid: str = "r", algorithm: str = "RS256", **more: Any) -> str:
    return jwt.encode(claims(**more), private, algorithm, {"kid": kid})


def forged(header: dict[str, Any], secret: bytes = b"", **more: Any) -> str:
    """By hand: no library makes these."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    said = part(header) + b"." + part(claims(**more))
    sealed = hmac.new(secret, said, hashlib.sha256).digest() if secret else b""
    return (said + b"." + base64.urlsafe_b64encode(sealed).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    "token", [signed(), signed(EC, "e", "ES256"), signed(aud=["x", "agent-endpoint"])]
)
async def test_a_token_of_the_provider_is_taken(jwks: Path, token: str) -> None:
    found = await credentials(jwks).identify(token)
    assert isinstance(found, Identity)
    assert (found.agent, found.role) == ("1001", Role.AGENT)
    assert found.expires_at is not None
    assert found.expires_at.timestamp() == NOW.timestamp() + 310


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("why", "token"),
    [
        ("expired", signed(exp=NOW.timestamp() - 10)),
        ("not yet valid", signed(nbf=NOW.timestamp() + 11)),
        ("made in the future", signed(iat=NOW.timestamp() + 11)),
        ("without an end", signed(exp=None)),
        ("an end that is no number", signed(exp="tomorrow")),
        ("an end that is no date", signed(exp=1e300)),
        ("for somebody else", signed(aud="another")),
        ("for nobody", signed(aud=None)),
        ("of somebody else", signed(iss="https://evil.example")),
        ("of nobody", signed(iss=None)),
        ("of another key", signed(OTHER_RSA)),
        ("of a key that is not there", signed(kid="x")),
        ("of another kind than its key", signed(EC, "r", "ES256")),
        ("an algorithm that is not allowed", signed(algorithm="RS512")),
        ("without a signature", forged({"alg": "none", "kid": "r"})),
        ("None, in other letters", forged({"alg": "nOnE", "kid": "r"})),
        ("the public key as a secret", forged({"alg": "HS256", "kid": "r"}, PEM)),
        ("no key's name", forged({"alg": "RS256"})),
        ("a key's name that is none", forged({"alg": "RS256", "kid": ["r"]})),
        ("an agent that is not there", signed(sub="4711")),
        ("an agent that is not enabled", signed(sub="1009")),
        ("an agent that is no text", signed(agent=1001, sub=None)),
        ("no token", "a.b.c"),
        ("nothing", ".."),
        ("too long", "a." * 2 + "a" * 20_000),
    ],
)
async def test_s26_any_other_is_not(jwks: Path, why: str, token: str) -> None:
    assert await credentials(jwks).identify(token) is None, why


@pytest.mark.parametrize("ends", [-9, 0, 300])
async def test_clocks_may_be_ten_seconds_apart(jwks: Path, ends: float) -> None:
    token = signed(exp=NOW.timestamp() + ends, iat=NOW.timestamp() + 10)
    assert await credentials(jwks).identify(token) is not None


async def test_a_token_that_was_changed_is_none(jwks: Path) -> None:
    header, _, seal = signed().split(".")
    other = signed(sub="9001").split(".")[1]
    assert await credentials(jwks).identify(f"{header}.{other}.{seal}") is None


async def test_the_role_is_the_directorys_unless_a_claim_says_it(jwks: Path) -> None:
    by_directory = await credentials(jwks).identify(signed(sub="9001", role="administrator"))
    assert by_directory is not None
    assert (by_directory.role, by_directory.departments) == (Role.MONITOR, ("sales",))
    said = credentials(jwks, role_claim="role")
    by_claim = await said.identify(signed(sub="9001", role="agent"))
    assert by_claim is not None
    assert (by_claim.role, by_claim.departments) == (Role.AGENT, ())
    assert await said.identify(signed(role="root")) is None
    assert await said.identify(signed()) is None


async def test_another_tenants_token_is_none_of_ours(jwks: Path) -> None:
    found = credentials(jwks, tenant_claim="tenant")
    assert await found.identify(signed(tenant="default")) is not None
    assert await found.identify(signed(tenant="other")) is None
    assert await found.identify(signed()) is None


async def test_a_new_key_is_found_and_made_up_ones_are_not_asked_for_each_time(jwks: Path) -> None:
    now = 0.0
    found = credentials(jwks, lambda: now)
    assert await found.identify(signed()) is not None
    publish(jwks, key_of(OTHER_RSA, "new"))
    token = signed(OTHER_RSA, "new")
    assert await found.identify(token) is None  # asked a moment ago
    now = 10.0
    assert await found.identify(token) is not None
    assert await found.identify(signed()) is None  # the provider has taken it back


async def test_the_providers_trouble_logs_nobody_out(jwks: Path) -> None:
    now = 0.0
    found = credentials(jwks, lambda: now)
    assert await found.identify(signed()) is not None
    publish(jwks)
    now = 4000.0
    assert await found.identify(signed()) is not None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"issuer": "x"}, "audience is missing"),
        ({"issuer": "x", "audience": "y"}, "exactly one of jwks_url and jwks_file"),
        ({"jwks_url": "http://idp.example.com/keys"}, "expected https"),
        ({"jwks_url": "file:///etc/passwd"}, "expected https"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
    ],
)
def test_settings_that_would_let_others_in_are_refused(
    settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        JwtSettings.model_validate(settings)
