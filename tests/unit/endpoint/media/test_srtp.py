from __future__ import annotations

import importlib.metadata

import pylibsrtp
import pytest

from endpoint.errors import MediaError
from endpoint.media.messages import SrtpKey, SrtpKeys, SrtpProfile
from endpoint.media.rtp import HEADER
from endpoint.media.srtp import SrtpSession
from endpoint.media.transport import BUFFER

pytestmark = pytest.mark.unit

RR = b"\x80\xc9\x00\x01\x00\x00\x00\x07"


def key(profile: SrtpProfile, seed: int) -> SrtpKey:
    return SrtpKey(profile, bytes((seed + n) % 256 for n in range(profile.master_size)))


def two_ends(
    profile: SrtpProfile = SrtpProfile.AES_CM_128_HMAC_SHA1_80,
) -> tuple[SrtpSession, SrtpSession]:
    ours, theirs = key(profile, 1), key(profile, 100)
    return SrtpSession(SrtpKeys(ours, theirs)), SrtpSession(SrtpKeys(theirs, ours))


def packet(number: int, payload: bytes = bytes(160)) -> bytes:
    return HEADER.pack(0x80, 0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 7) + payload


def protected(session: SrtpSession, clear: bytes) -> bytes:
    """What is sent for a packet; empty where nothing is."""
    out: list[bytes] = []
    session.protecting(lambda sent: out.append(bytes(sent)))(clear)
    return b"".join(out)


def opened(session: SrtpSession, sent: bytes) -> bytes:
    BUFFER[: len(sent)] = sent
    return bytes(BUFFER[: session.unprotect(len(sent))])


@pytest.mark.parametrize("profile", SrtpProfile)
def test_what_one_end_protects_the_other_reads(profile: SrtpProfile) -> None:
    a, b = two_ends(profile)
    for number in range(65_530, 65_546):
        sent = protected(a, packet(number))
        assert sent[12:172] != bytes(160)
        assert opened(b, sent) == packet(number), "across the wrap too (RFC 3711 §3.3.1)"
    report = bytes(a.protect_rtcp(RR))
    assert report[8:] != RR[8:] or len(report) > len(RR)
    assert b.unprotect_rtcp(report) == RR
    assert b.refused_packets == 0


@pytest.mark.parametrize("profile", SrtpProfile)
def test_a_foreign_library_reads_it(profile: SrtpProfile) -> None:
    """The same keys in pylibsrtp's own, slower way."""
    a, _ = two_ends(profile)
    number = {
        SrtpProfile.AES_CM_128_HMAC_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        SrtpProfile.AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
        SrtpProfile.AEAD_AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    }[profile]
    policy = pylibsrtp.Policy(
        key=key(profile, 1).master,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
        srtp_profile=number,
    )
    assert pylibsrtp.Session(policy).unprotect(protected(a, packet(1))) == packet(1)


def test_changed_replayed_short_and_clear_packets_are_counted_and_end_nothing() -> None:
    a, b = two_ends()
    sent = protected(a, packet(1))
    assert opened(b, sent)
    changed = bytearray(protected(a, packet(2)))
    changed[20] ^= 1
    for junk in (sent, bytes(changed), b"", b"\x80", packet(3), RR, bytes(2048)):
        assert opened(b, junk) == b""
    assert b.unprotect_rtcp(b"") == b""
    assert b.unprotect_rtcp(protected(a, packet(4))) == b"", "not on the port of reports"
    assert b.refused_packets == 9
    for _ in range(200):
        opened(b, bytes(172))
    assert opened(b, protected(a, packet(5))) == packet(5)


def test_what_is_no_audio_of_the_far_end_is_passed_over() -> None:
    a, b = two_ends()
    stun, forged = b"\x01\x01\x00\x00" + bytes(16), bytearray(protected(a, packet(1)))
    forged[20] ^= 1
    waiting = [stun, bytes(forged), protected(a, packet(2)), bytes(a.protect_rtcp(RR)), stun]
    others: list[bytes] = []

    def receive_into(buffer: bytearray) -> int:
        if not waiting:
            raise BlockingIOError
        datagram = waiting.pop(0)
        buffer[: len(datagram)] = datagram
        return len(datagram)

    receive = b.clearing(receive_into, lambda size: others.append(bytes(BUFFER[:size])))
    assert bytes(BUFFER[: receive(BUFFER)]) == packet(2)
    assert bytes(BUFFER[: receive(BUFFER)]) == RR
    with pytest.raises(BlockingIOError):
        receive(BUFFER)
    assert others == [stun, stun]
    assert b.refused_packets == 1


def test_an_error_told_in_place_of_sending_costs_no_packet() -> None:
    """An ICMP error of an earlier packet; the index can't be used for another one."""
    a, b = two_ends()
    out: list[bytes] = []
    errors = [ConnectionRefusedError()]

    def send(sent: bytes | memoryview) -> None:
        if errors:
            raise errors.pop()
        out.append(bytes(sent))

    a.protecting(send)(packet(1))
    assert opened(b, out[0]) == packet(1)


def test_an_index_is_used_once_only() -> None:
    """A source that repeats a number with other audio must not give the key stream away."""
    a, _ = two_ends(SrtpProfile.AEAD_AES_128_GCM)
    assert protected(a, packet(1))
    assert not protected(a, packet(1, b"\xff" * 160))
    assert protected(a, packet(2))


def test_a_new_key_of_one_direction_leaves_the_other_as_it_is() -> None:
    """Phones make new keys at a hold; ours stays, so its index must go on (RFC 3711 §9.1)."""
    profile = SrtpProfile.AES_CM_128_HMAC_SHA1_80
    ours, theirs, renewed = key(profile, 1), key(profile, 100), key(profile, 50)
    a, b = SrtpSession(SrtpKeys(ours, theirs)), SrtpSession(SrtpKeys(theirs, ours))
    for number in range(65_500, 65_600):
        assert opened(b, protected(a, packet(number))) == packet(number)
    a = SrtpSession(SrtpKeys(ours, renewed), a)
    b = SrtpSession(SrtpKeys(renewed, ours), b)
    assert not protected(a, packet(65_599, b"\xff" * 160)), "an index is used once only"
    assert opened(b, protected(a, packet(65_600))) == packet(65_600)
    assert opened(a, protected(b, packet(1))) == packet(1)


@pytest.mark.parametrize("size", [0, 16, 29, 31])
def test_a_key_of_the_wrong_size_is_refused_and_not_shown(size: int) -> None:
    good = key(SrtpProfile.AES_CM_128_HMAC_SHA1_80, 1)
    bad = SrtpKey(SrtpProfile.AES_CM_128_HMAC_SHA1_80, b"S" * size)
    with pytest.raises(MediaError) as caught:
        SrtpSession(SrtpKeys(good, bad))
    assert "SS" not in str(caught.value)


def test_keys_are_never_shown() -> None:
    keys = SrtpKeys(*(SrtpKey(SrtpProfile.AEAD_AES_128_GCM, b"secret" * 5) for _ in range(2)))
    for shown in (
        repr(keys),
        str(keys),
        f"{keys}",
        repr(SrtpSession),
        repr([*keys.__rich_repr__()]),
    ):
        assert "secret" not in shown


def test_the_private_names_are_where_they_were() -> None:
    assert importlib.metadata.version("pylibsrtp") == "1.0.0"
    from pylibsrtp import _binding

    for name in ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"):
        assert callable(getattr(_binding.lib, name))
    assert callable(_binding.ffi.from_buffer)
    policy = pylibsrtp.Policy(key=bytes(30), ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND)
    assert pylibsrtp.Session(policy)._srtp[0]
