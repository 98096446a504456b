"""Digest: vectors of RFC 7616 and 2617, choices of RFC 8760, and the server's verdicts (S2)."""

from __future__ import annotations

from random import Random

import pytest

from signaling.sip.auth import (
    DigestAlgorithm,
    DigestClient,
    DigestCredentials,
    DigestServer,
    Verdict,
    digest_response,
    ha1,
)
from signaling.sip.headers import AuthChallenge, AuthCredentials
from signaling.sip.message import Response
from tests.unit.signaling.sip.messages import request, response

pytestmark = pytest.mark.unit

URI = "sip:example.com"
SOURCE = "192.0.2.1"
USER, PASSWORD, REALM = "6001", "correct horse", "example.com"
HA1S = [(str(algorithm), ha1(USER, REALM, PASSWORD, algorithm)) for algorithm in DigestAlgorithm]


# -- vectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_3_9_1(algorithm: str, expected: str) -> None:
    secret = ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    assert expected == digest_response(
        DigestAlgorithm(algorithm),
        secret,
        method="GET",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        qop="auth",
        nc="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )


def test_rfc_7616_3_9_2_as_erratum_4897_corrects_it() -> None:
    secret = ha1("Jäsøn Doe", "api@example.org", "Secret, or not?", "SHA-512-256")
    assert digest_response(
        DigestAlgorithm.SHA_512_256,
        secret,
        method="GET",
        uri="/doe.json",
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        qop="auth",
        nc="00000001",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    ) == ("3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5")


def test_rfc_2617_3_5_and_its_form_without_qop() -> None:
    secret = ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
    assert secret == "939e7578ed9e3c518a452acee763bce9"
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    with_qop = digest_response(
        DigestAlgorithm.MD5,
        secret,
        method="GET",
        uri="/dir/index.html",
        nonce=nonce,
        qop="auth",
        nc="00000001",
        cnonce="0a4f113b",
    )
    assert with_qop == "6629fae49393a05397450978507c4ef1"
    without = digest_response(
        DigestAlgorithm.MD5, secret, method="GET", uri="/dir/index.html", nonce=nonce
    )
    assert without == "670fd8c2df070c60b045671b8b24ff02"


def test_unknown_algorithm_has_no_ha1() -> None:
    with pytest.raises(ValueError, match="SHA-1"):
        ha1(USER, REALM, PASSWORD, "SHA-1")


# -- client -------------------------------------------------------------------------------------


def challenge(status: int, *values: str) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return response(request("REGISTER"), status, headers=[(name, value) for value in values])


def client(**changes: object) -> DigestClient:
    fields: dict[str, object] = {"username": USER, "realm": REALM, "password": PASSWORD}
    return DigestClient(DigestCredentials(**(fields | changes)), Random(1))  # type: ignore[arg-type]


def answered(digest: DigestClient, method: str = "REGISTER") -> AuthCredentials:
    found = digest.authorise(method, URI)
    assert found is not None
    return AuthCredentials.parse(found[1])


DIGEST = 'Digest realm="example.com", nonce="n1"'


def test_topmost_challenge_that_we_know_is_answered() -> None:
    """RFC 8760 §2.4."""
    digest = client()
    assert digest.take_challenge(
        challenge(
            401,
            "Bearer abc",
            f"{DIGEST}, algorithm=SHA-1024",
            f'{DIGEST}, algorithm=SHA-256, qop="auth"',
            f"{DIGEST}, algorithm=MD5",
        )
    )
    given = answered(digest).parameters
    assert given["algorithm"] == "SHA-256"
    assert (given["qop"], given["nc"], given["uri"]) == ("auth", "00000001", URI)
    assert len(given["response"]) == 64


def test_header_is_that_of_the_challenge() -> None:
    for status, header in ((401, "Authorization"), (407, "Proxy-Authorization")):
        digest = client()
        assert digest.take_challenge(challenge(status, DIGEST))
        found = digest.authorise("INVITE", URI)
        assert found is not None
        assert found[0] == header


def test_count_goes_up_with_each_use_and_cnonce_changes() -> None:
    digest = client()
    digest.take_challenge(challenge(401, f'{DIGEST}, qop="auth,auth-int", opaque="o"'))
    first, second = answered(digest).parameters, answered(digest).parameters
    assert (first["nc"], second["nc"]) == ("00000001", "00000002")
    assert first["cnonce"] != second["cnonce"]
    assert first["opaque"] == "o"
    assert "algorithm" not in first


def test_challenge_without_qop_is_answered_the_old_way() -> None:
    digest = client()
    digest.take_challenge(challenge(401, DIGEST))
    assert {"qop", "nc", "cnonce"}.isdisjoint(answered(digest).parameters)


@pytest.mark.parametrize(
    "value",
    [
        'Digest realm="other.example.com", nonce="n1"',
        'Digest nonce="n1"',
        'Digest realm="example.com"',
        f'{DIGEST}, qop="auth-int"',
        f"{DIGEST}, algorithm=MD5-sess",
        "Basic abc",
        'Digest realm="',
    ],
)
def test_other_realms_and_what_we_cannot_do_are_not_answered(value: str) -> None:
    digest = client()
    assert not digest.take_challenge(challenge(401, value))
    assert digest.authorise("REGISTER", URI) is None


def test_realm_of_the_first_challenge_is_kept() -> None:
    digest = client(realm=None)
    assert digest.take_challenge(challenge(401, DIGEST))
    assert not digest.take_challenge(challenge(401, 'Digest realm="evil", nonce="n2"'))


def test_stored_ha1_serves_its_algorithm_alone() -> None:
    digest = client(password=None, ha1={"MD5": ha1(USER, REALM, PASSWORD)})
    assert digest.take_challenge(challenge(401, f"{DIGEST}, algorithm=SHA-256", DIGEST))
    assert "algorithm" not in answered(digest).parameters


def test_secrets_are_in_no_repr() -> None:
    digest = client(ha1={"MD5": "0123456789abcdef"})
    for text in (repr(digest), repr(digest.credentials)):
        assert PASSWORD not in text
        assert "0123456789abcdef" not in text


# -- server -------------------------------------------------------------------------------------


def server(**changes: object) -> DigestServer:
    fields: dict[str, object] = {"secret": b"s", "random": Random(2)}
    return DigestServer(REALM, **(fields | changes))  # type: ignore[arg-type]


def prove(
    digests: DigestServer, *, source: str = SOURCE, now: float = 10.0, index: int = 0
) -> AuthCredentials:
    """What a good client answers to a fresh challenge."""
    digest = client()
    assert digest.take_challenge(challenge(401, digests.challenges(source, now)[index]))
    return answered(digest)


def judge(
    digests: DigestServer,
    credentials: AuthCredentials,
    *,
    method: str = "REGISTER",
    uri: str = URI,
    ha1s: list[tuple[str, str]] = HA1S,
    source: str = SOURCE,
    now: float = 11.0,
) -> Verdict:
    return digests.verify(method, uri, [credentials], ha1s, source, now)


def changed(credentials: AuthCredentials, **values: str | None) -> AuthCredentials:
    parameters = credentials.parameters | values
    return AuthCredentials(
        "Digest", {name: value for name, value in parameters.items() if value is not None}
    )


def test_challenges_offer_the_best_algorithm_first() -> None:
    """RFC 8760 §2.3: one header field for each."""
    offered = [AuthChallenge.parse(value) for value in server().challenges(SOURCE, 1.0)]
    assert [each.parameters["algorithm"] for each in offered] == ["SHA-256", "MD5"]
    assert {each.parameters["qop"] for each in offered} == {"auth"}
    assert "stale" not in offered[0].parameters
    stale = AuthChallenge.parse(server().challenges(SOURCE, 1.0, stale=True)[0])
    assert stale.parameters["stale"] == "true"


@pytest.mark.parametrize("algorithm", list(DigestAlgorithm))
def test_right_answer_is_taken(algorithm: DigestAlgorithm) -> None:
    digests = server(algorithms=[algorithm])
    credentials = prove(digests)
    assert digests.username([credentials]) == USER
    assert judge(digests, credentials) is Verdict.OK


def test_wrong_password_and_unknown_user_are_the_same() -> None:
    digests = server()
    wrong = [(name, "0" * len(value)) for name, value in HA1S]
    assert judge(digests, prove(digests), ha1s=wrong) is Verdict.WRONG
    assert judge(digests, prove(digests), ha1s=[]) is Verdict.WRONG
    assert judge(digests, changed(prove(digests), username="6002"), ha1s=[]) is Verdict.WRONG


def test_dummy_secret_of_unknown_users_opens_nothing() -> None:
    digests = server()
    digest = client(password=None, ha1={"SHA-256": "0" * 64})
    digest.take_challenge(challenge(401, digests.challenges(SOURCE, 10.0)[0]))
    assert judge(digests, answered(digest), ha1s=[]) is Verdict.WRONG


def test_nobody_is_named() -> None:
    digests = server()
    other = AuthCredentials("Digest", {"realm": "elsewhere", "username": USER})
    basic = AuthCredentials("NoOneKnowsThisScheme", {"realm": REALM})
    assert digests.verify("REGISTER", URI, [], HA1S, SOURCE, 1.0) is Verdict.MISSING
    assert digests.verify("REGISTER", URI, [other, basic], HA1S, SOURCE, 1.0) is Verdict.MISSING
    assert digests.username([other, basic]) is None


def test_same_nonce_and_count_twice_is_a_replay() -> None:
    digests = server()
    credentials = prove(digests)
    assert judge(digests, credentials) is Verdict.OK
    assert judge(digests, credentials) is Verdict.REPLAYED


def test_higher_count_is_taken_and_a_lower_one_not() -> None:
    digests = server()
    digest = client()
    digest.take_challenge(challenge(401, digests.challenges(SOURCE, 10.0)[0]))
    first, second, third = (answered(digest) for _ in range(3))
    assert judge(digests, first) is Verdict.OK
    assert judge(digests, third) is Verdict.OK
    assert judge(digests, second) is Verdict.REPLAYED


def test_wrong_answers_do_not_use_up_a_count() -> None:
    digests = server()
    credentials = prove(digests)
    assert judge(digests, changed(credentials, response="0" * 64)) is Verdict.WRONG
    assert judge(digests, credentials) is Verdict.OK


def test_client_without_qop_may_use_a_nonce_once() -> None:
    digests = server(algorithms=[DigestAlgorithm.MD5])
    digest = client()
    nonce = AuthChallenge.parse(digests.challenges(SOURCE, 10.0)[0]).parameters["nonce"]
    digest.take_challenge(challenge(401, f'Digest realm="{REALM}", nonce="{nonce}"'))
    credentials = answered(digest)
    assert judge(digests, credentials) is Verdict.OK
    assert judge(digests, credentials) is Verdict.REPLAYED


def test_nonce_is_bound_to_time_source_and_server() -> None:
    digests = server()
    assert judge(digests, prove(digests), now=310.0) is Verdict.OK
    assert judge(digests, prove(digests), now=310.1) is Verdict.STALE
    assert judge(digests, prove(digests), now=9.0) is Verdict.STALE
    assert judge(digests, prove(digests), source="192.0.2.66") is Verdict.STALE
    restarted = server(random=Random(3))
    assert judge(restarted, prove(digests)) is Verdict.STALE


@pytest.mark.parametrize(
    "nonce", ["", ".", "..", "zz.1.2", "-1.a.b", "1" * 20 + ".a.b", "\udcff.\udcff.x"]
)
def test_invented_nonce_is_stale(nonce: str) -> None:
    digests = server()
    digest = client()
    digest.take_challenge(
        Response(
            401,
            "",
            challenge(401, 'Digest realm="example.com", nonce="?", algorithm=MD5').headers,
        )
    )
    assert digest._challenge is not None
    digest._challenge.parameters["nonce"] = nonce
    assert judge(digests, answered(digest)) is Verdict.STALE


def test_credentials_for_another_request_are_refused() -> None:
    digests = server()
    assert judge(digests, prove(digests), method="INVITE") is Verdict.WRONG
    assert judge(digests, prove(digests), uri="sip:example.net") is Verdict.BAD_REQUEST
    assert judge(digests, changed(prove(digests), uri="not a uri")) is Verdict.BAD_REQUEST
    assert judge(digests, prove(digests), uri="SIP:Example.com") is Verdict.OK


@pytest.mark.parametrize(
    "change",
    [
        {"username": None},
        {"nonce": None},
        {"uri": None},
        {"response": None},
        {"nc": None},
        {"cnonce": None},
        {"qop": "auth-int"},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"nc": "00000000"},
        {"nc": "+0000001"},
    ],
    ids=str,
)
def test_incomplete_credentials_are_a_bad_request(change: dict[str, str | None]) -> None:
    digests = server()
    assert judge(digests, changed(prove(digests), **change)) is Verdict.BAD_REQUEST


def test_algorithm_that_was_not_offered_is_wrong() -> None:
    digests = server(algorithms=[DigestAlgorithm.SHA_256])
    for name in ("MD5", "SHA-512-256", "rot13"):
        assert judge(digests, changed(prove(digests), algorithm=name)) is Verdict.WRONG


def test_counts_are_bounded_and_forgetting_them_admits_no_replay() -> None:
    digests = server(max_nonces=100)
    proofs = []
    for i in range(300):
        now = 10.0 + i / 100
        proofs.append(prove(digests, now=now))
        assert judge(digests, proofs[-1], now=now) is Verdict.OK
    assert len(digests._used) <= 100
    verdicts = {judge(digests, proof, now=14.0) for proof in proofs}
    assert verdicts == {Verdict.STALE, Verdict.REPLAYED}
