"""Offer and answer over protected audio: policies, roles, keys, what changes and what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SdpError
from signaling.sdp.crypto import Crypto, CryptoSuite
from signaling.sdp.description import Codec, Direction, SessionDescription
from signaling.sdp.dtls import DtlsRole, Fingerprint
from signaling.sdp.ice import Candidate, IceDescription
from signaling.sdp.negotiation import (
    BROWSER_CODECS,
    G722,
    OPUS,
    OPUS_TELEPHONE_EVENTS,
    PCMA,
    PCMU,
    TELEPHONE_EVENTS,
    LocalAudio,
    Negotiated,
    Renewal,
    apply_answer,
    make_answer,
    make_offer,
    renewal_in,
)
from signaling.sdp.security import AgreedDtls, AgreedSdes, Dtls, Plain, Sdes

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
FILES = sorted(VECTORS.glob("*.sdp"))


def fingerprint(octet: str) -> Fingerprint:
    return Fingerprint("sha-256", ":".join([octet] * 32))


def ice(ufrag: str, host: str, port: int) -> IceDescription:
    candidate = Candidate("1", 1, "udp", 2130706431, host, port, "host")
    return IceDescription(ufrag, f"{ufrag}/".ljust(22, "x"), (candidate,), ("trickle", "ice2"))


def crypto(suite: CryptoSuite, octet: int, tag: int = 1) -> Crypto:
    return Crypto(tag, suite, bytes([octet]) * suite.key_salt_octets)


CM, GCM_128, GCM_256 = CryptoSuite
OUR_DTLS = Dtls((fingerprint("AA"),), ice("ours", "192.0.2.1", 20000))
THEIR_DTLS = Dtls((fingerprint("BB"),), ice("them", "198.51.100.9", 30000), mid="audio")
US = LocalAudio("192.0.2.1", 20000, 77, ssrc=42, cname="a@b", security=OUR_DTLS)
THEM = LocalAudio("198.51.100.9", 30000, 5, ssrc=7, cname="c@d", security=THEIR_DTLS)
OUR_SDES = replace(US, security=Sdes((crypto(GCM_256, 1), crypto(CM, 2, tag=2))))
THEIR_SDES = replace(THEM, security=Sdes((crypto(CM, 3),)))
OUR_PLAIN, THEIR_PLAIN = replace(US, security=Plain()), replace(THEM, security=Plain())

SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction
FINGERPRINT = f"a=fingerprint:{fingerprint('CC')}"
ICE = ("a=ice-ufrag:cccc", "a=ice-pwd:cccccccccccccccccccccc")
WEBRTC = ("a=rtcp-mux", FINGERPRINT, "a=setup:actpass", *ICE)


def described(*lines: str, session: tuple[str, ...] = ()) -> SessionDescription:
    head = ["v=0", "o=- 5 1 IN IP4 198.51.100.9", "s=-", "c=IN IP4 198.51.100.9", "t=0 0"]
    text = "".join(f"{line}\r\n" for line in [*head, *session, *lines])
    return SessionDescription.parse(text.encode())


def changed(description: SessionDescription, *changes: tuple[str, str]) -> SessionDescription:
    """The same description with some text replaced."""
    text = description.serialise().decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return SessionDescription.parse(text.encode())


def dtls(agreed: Negotiated) -> AgreedDtls:
    assert isinstance(agreed.security, AgreedDtls)
    return agreed.security


def sdes(agreed: Negotiated) -> AgreedSdes:
    assert isinstance(agreed.security, AgreedSdes)
    return agreed.security


# -- DTLS ---------------------------------------------------------------------------------------


def test_our_offer_to_a_browser_as_text() -> None:
    security = replace(OUR_DTLS, tls_id="t" * 20, msid="stream track")
    local = replace(US, codecs=BROWSER_CODECS, security=security)
    assert make_offer(local).serialise().decode().split("\r\n") == [
        "v=0",
        "o=- 77 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 20000 UDP/TLS/RTP/SAVPF 111 0 8 110",
        "a=mid:0",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=ssrc:42 cname:a@b",
        "a=ice-ufrag:ours",
        "a=ice-pwd:ours/xxxxxxxxxxxxxxxxx",
        "a=ice-options:trickle ice2",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 20000 typ host",
        f"a=fingerprint:{fingerprint('AA')}",
        "a=setup:actpass",
        f"a=tls-id:{'t' * 20}",
        "a=msid:stream track",
        "a=sendrecv",
        "",
    ]


def test_both_ends_agree_on_dtls() -> None:
    ours = make_offer(US)
    theirs, at_them = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    assert dtls(at_us).role is DtlsRole.CLIENT
    assert dtls(at_them).role is DtlsRole.SERVER
    assert dtls(at_us).controlling
    assert not dtls(at_them).controlling
    assert dtls(at_us).fingerprints == (fingerprint("BB"),)
    assert dtls(at_them).fingerprints == (fingerprint("AA"),)
    assert dtls(at_us).ice == THEIR_DTLS.ice
    assert dtls(at_them).ice == OUR_DTLS.ice
    assert dtls(at_us).mid == dtls(at_them).mid == "0"
    assert at_us.rtcp_mux
    assert at_us.rtcp_port == at_us.rtp_port == 30000
    assert not dtls(at_us).ice_restarted
    assert not dtls(at_us).association_renewed


@pytest.mark.parametrize(
    ("offered", "answered", "role"),
    [
        ("actpass", "passive", DtlsRole.SERVER),
        ("active", "passive", DtlsRole.SERVER),
        ("passive", "active", DtlsRole.CLIENT),
        (None, "passive", DtlsRole.SERVER),
    ],
)
def test_we_let_the_far_end_begin_unless_it_insists(
    offered: str | None, answered: str, role: DtlsRole
) -> None:
    setup = () if offered is None else (f"a=setup:{offered}",)
    theirs = described("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=rtcp-mux", FINGERPRINT, *ICE, *setup)
    answer, agreed = make_answer(theirs, US)
    assert answer.media[0].attribute("setup") == answered
    assert dtls(agreed).role is role


@pytest.mark.parametrize(
    ("answered", "role"),
    [("active", DtlsRole.SERVER), ("passive", DtlsRole.CLIENT), (None, DtlsRole.CLIENT)],
)
def test_the_answer_chooses_the_role(answered: str | None, role: DtlsRole) -> None:
    setup = () if answered is None else (f"a=setup:{answered}",)
    answer = described("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=rtcp-mux", FINGERPRINT, *ICE, *setup)
    assert dtls(apply_answer(make_offer(US), answer)).role is role


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("actpass", "actpass"), ("active", "active"), ("passive", "passive"), ("active", "actpass")],
)
def test_two_that_want_the_same_role_are_refused_by_name(ours: str, theirs: str) -> None:
    offer = changed(make_offer(US), ("setup:actpass", f"setup:{ours}"))
    answer = changed(make_answer(make_offer(US), THEM)[0], ("setup:passive", f"setup:{theirs}"))
    with pytest.raises(SdpError, match="role conflict") as caught:
        apply_answer(offer, answer)
    assert caught.value.status_hint == 488


@pytest.mark.parametrize(
    "profile", ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"]
)
def test_the_answer_says_the_profile_that_the_offer_says(profile: str) -> None:
    theirs = described(f"m=audio 4000 {profile} 0", *WEBRTC)
    answer, agreed = make_answer(theirs, US)
    assert answer.media[0].protocol == profile
    assert dtls(agreed).role is DtlsRole.SERVER
    again = make_offer(US, SENDONLY, previous=answer)
    assert again.media[0].protocol == profile


def test_an_answer_may_leave_the_transport_out_of_the_profile() -> None:
    answer = changed(make_answer(make_offer(US), THEM)[0], ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"))
    assert dtls(apply_answer(make_offer(US), answer)).role is DtlsRole.CLIENT


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=rtcp-mux", *ICE), "no fingerprint"),
        (
            (
                "m=audio 4000 UDP/TLS/RTP/SAVPF 0",
                "a=rtcp-mux",
                f"a=fingerprint:md5 {':'.join(['AA'] * 16)}",
                *ICE,
            ),
            "md5",
        ),
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=rtcp-mux", FINGERPRINT), "no ICE credentials"),
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 0", FINGERPRINT, *ICE), "no rtcp-mux"),
        (("m=audio 4000 RTP/AVP 0", *WEBRTC), "RTP/AVP is not protected"),
        (
            ("m=audio 4000 RTP/SAVP 0", "a=rtcp-mux", *ICE, f"a=crypto:{crypto(CM, 9)}"),
            "no fingerprint",
        ),
        (("m=audio 4000 RTP/SAVPF 18", *WEBRTC), "no common audio codec"),
        (("m=audio 4000 RTP/SAVPF 0", *WEBRTC, "a=candidate:broken"), "bad candidate"),
    ],
)
def test_what_is_not_proven_is_refused_with_488_by_name(lines: tuple[str, ...], named: str) -> None:
    with pytest.raises(SdpError, match=named) as caught:
        make_answer(described(*lines), US)
    assert caught.value.status_hint == 488
    with pytest.raises(SdpError):
        apply_answer(make_offer(US), described(*lines))


def test_a_hold_keeps_ice_and_dtls() -> None:
    ours = make_offer(US)
    theirs, at_them = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    held = make_offer(US, SENDONLY, previous=ours, current=at_us)
    assert held.origin.version == 2
    for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "mid", "candidate", "rtcp-mux"):
        assert held.media[0].attributes(name) == ours.media[0].attributes(name)
    assert held.groups("BUNDLE") == [("0",)]
    answered, them_held = make_answer(held, THEM, previous=theirs, current=at_them)
    us_held = apply_answer(held, answered, current=at_us)
    assert them_held.far_end_holds
    assert us_held.direction is SENDONLY
    assert us_held.security == at_us.security
    assert them_held.security == at_them.security


def test_a_further_offer_by_the_other_end_keeps_the_roles() -> None:
    ours = make_offer(US)
    theirs, at_them = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    assert dtls(at_us).role is DtlsRole.CLIENT
    again = make_offer(THEM, SENDONLY, previous=theirs, current=at_them)
    assert again.media[0].attribute("setup") == "actpass"
    answer, held = make_answer(again, US, previous=ours, current=at_us)
    assert answer.media[0].attribute("setup") == "active"
    assert held.security == at_us.security
    assert apply_answer(again, answer, current=at_them).security == at_them.security


def test_an_ice_restart_shows_and_keeps_the_association() -> None:
    ours = make_offer(US)
    theirs, _ = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    moved = replace(THEM, security=replace(THEIR_DTLS, ice=ice("new2", "203.0.113.4", 31000)))
    again = make_offer(moved, previous=theirs)
    assert renewal_in(again, at_us) == Renewal(ice=True, association=False)
    restarted = replace(US, security=replace(OUR_DTLS, ice=ice("new1", "192.0.2.1", 20000)))
    answer, agreed = make_answer(again, restarted, previous=ours, current=at_us)
    assert dtls(agreed).ice_restarted
    assert not dtls(agreed).association_renewed
    assert dtls(agreed).role is DtlsRole.CLIENT
    assert not dtls(agreed).controlling
    assert dtls(agreed).ice.ufrag == "new2"
    assert answer.media[0].attribute("ice-ufrag") == "new1"
    assert answer.origin.version == 2


def test_another_fingerprint_or_tls_id_shows() -> None:
    ours = make_offer(US)
    theirs, _ = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    assert renewal_in(make_offer(THEM), at_us) == Renewal(ice=False, association=False)
    for security in (
        replace(THEIR_DTLS, fingerprints=(fingerprint("DD"),)),
        replace(THEIR_DTLS, tls_id="n" * 20),
    ):
        again = make_offer(replace(THEM, security=security), previous=theirs)
        assert renewal_in(again, at_us) == Renewal(ice=False, association=True)
        _, agreed = make_answer(again, US, previous=ours, current=at_us)
        assert dtls(agreed).association_renewed
        assert not dtls(agreed).ice_restarted
        assert dtls(agreed).role is DtlsRole.SERVER


def test_an_answer_with_another_certificate_shows() -> None:
    ours = make_offer(US)
    theirs, _ = make_answer(ours, THEM)
    at_us = apply_answer(ours, theirs)
    other = changed(theirs, (str(fingerprint("BB")), str(fingerprint("DD"))))
    assert dtls(apply_answer(ours, other, current=at_us)).association_renewed
    swapped = changed(theirs, ("setup:passive", "setup:active"))
    assert dtls(apply_answer(ours, swapped, current=at_us)).association_renewed


def test_a_tls_id_is_for_those_that_sent_one() -> None:
    local = replace(US, security=replace(OUR_DTLS, tls_id="u" * 20))
    without, _ = make_answer(make_offer(THEM), local)
    assert without.media[0].attribute("tls-id") is None
    named = replace(THEM, security=replace(THEIR_DTLS, tls_id="v" * 20))
    answer, agreed = make_answer(make_offer(named), local)
    assert answer.media[0].attribute("tls-id") == "u" * 20
    assert dtls(agreed).tls_id == "v" * 20


def test_a_lite_end_is_controlled_whoever_offers() -> None:
    lite = described("m=audio 4000 RTP/SAVPF 0", *WEBRTC, session=("a=ice-lite",))
    assert dtls(make_answer(lite, US)[1]).controlling
    ours = replace(US, security=replace(OUR_DTLS, ice=replace(OUR_DTLS.ice, lite=True)))
    offer = make_offer(ours)
    assert offer.attribute("ice-lite") == ""
    answer, at_them = make_answer(offer, THEM)
    assert dtls(at_them).controlling
    assert not dtls(apply_answer(offer, answer)).controlling


def test_no_address_before_the_candidates_is_no_hold() -> None:
    trickled = described("m=audio 9 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", *WEBRTC)
    answer, agreed = make_answer(trickled, US)
    assert agreed.sending
    assert (agreed.host, agreed.rtp_port) == ("0.0.0.0", 9)
    assert dtls(agreed).ice.candidates == ()
    assert answer.media[0].direction is SENDRECV


def test_candidates_that_come_later_make_a_new_version_and_nothing_else() -> None:
    ours = make_offer(US)
    more = Candidate("2", 1, "udp", 1, "203.0.113.1", 9, "srflx", "192.0.2.1", 20000)
    told = replace(OUR_DTLS.ice, candidates=(*OUR_DTLS.ice.candidates, more))
    done = replace(US, security=replace(OUR_DTLS, ice=replace(told, end_of_candidates=True)))
    again = make_offer(done, previous=ours)
    assert again.origin.version == 2
    theirs, at_them = make_answer(ours, THEM)
    _, after = make_answer(again, THEM, previous=theirs, current=at_them)
    assert not dtls(after).ice_restarted
    assert len(dtls(after).ice.candidates) == 2


def test_only_what_is_accepted_stays_in_the_bundle() -> None:
    theirs = described(
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "a=mid:v",
        *WEBRTC,
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        "a=mid:a",
        *WEBRTC,
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:d",
        session=("a=group:BUNDLE v a d",),
    )
    answer, agreed = make_answer(theirs, US)
    assert [(medium.kind, medium.port, medium.mid) for medium in answer.media] == [
        ("video", 0, "v"),
        ("audio", 20000, "a"),
        ("application", 0, "d"),
    ]
    assert answer.groups("BUNDLE") == [("a",)]
    assert dtls(agreed).mid == "a"
    again = make_offer(US, SENDONLY, previous=answer)
    assert [(medium.port, medium.mid) for medium in again.media] == [
        (0, "v"),
        (20000, "a"),
        (0, "d"),
    ]
    assert again.groups("BUNDLE") == [("a",)]


def test_who_bundles_nothing_is_answered_without_a_group() -> None:
    answer, agreed = make_answer(described("m=audio 4000 RTP/SAVPF 0", *WEBRTC), US)
    assert answer.groups("BUNDLE") == []
    assert answer.media[0].mid is None
    assert dtls(agreed).mid is None
    assert make_offer(US, SENDONLY, previous=answer).groups("BUNDLE") == []


# -- SDES ---------------------------------------------------------------------------------------


def test_both_ends_agree_on_keys() -> None:
    ours = make_offer(OUR_SDES)
    assert ours.media[0].protocol == "RTP/SAVP"
    assert ours.media[0].attributes("crypto") == [str(crypto(GCM_256, 1)), str(crypto(CM, 2, 2))]
    theirs, at_them = make_answer(ours, THEIR_SDES)
    assert theirs.media[0].protocol == "RTP/SAVP"
    assert theirs.media[0].attributes("crypto") == [str(crypto(CM, 3, 2))]
    at_us = apply_answer(ours, theirs)
    assert sdes(at_us) == AgreedSdes(crypto(CM, 2, 2), crypto(CM, 3, 2))
    assert sdes(at_them) == AgreedSdes(crypto(CM, 3, 2), crypto(CM, 2, 2))


@pytest.mark.parametrize("suite", list(CryptoSuite))
def test_each_suite_can_be_agreed_on(suite: CryptoSuite) -> None:
    local = replace(US, security=Sdes((crypto(suite, 1),)))
    answer, at_us = make_answer(make_offer(local), replace(THEM, security=local.security))
    assert sdes(at_us).send.suite is suite
    assert sdes(apply_answer(make_offer(local), answer)).receive.suite is suite


def test_a_hold_keeps_the_keys_and_their_tag() -> None:
    ours = make_offer(OUR_SDES)
    theirs, at_them = make_answer(ours, THEIR_SDES)
    at_us = apply_answer(ours, theirs)
    held = make_offer(OUR_SDES, SENDONLY, previous=ours, current=at_us)
    assert held.media[0].attributes("crypto") == [str(crypto(CM, 2, 2))]
    answer, them_held = make_answer(held, THEIR_SDES, previous=theirs, current=at_them)
    assert them_held.security == at_them.security
    assert apply_answer(held, answer, current=at_us).security == at_us.security


def test_another_key_shows() -> None:
    ours = make_offer(OUR_SDES)
    theirs, _ = make_answer(ours, THEIR_SDES)
    at_us = apply_answer(ours, theirs)
    rekeyed = make_offer(replace(THEM, security=Sdes((crypto(CM, 4),))), previous=theirs)
    _, agreed = make_answer(rekeyed, OUR_SDES, previous=ours, current=at_us)
    assert sdes(agreed) == AgreedSdes(crypto(CM, 2), crypto(CM, 4))


def test_keys_that_are_required_are_never_gone_without() -> None:
    for lines in (
        ("m=audio 4000 RTP/AVP 0",),
        ("m=audio 4000 RTP/SAVP 0",),
        ("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{'A' * 40}"),
        ("m=audio 4000 RTP/SAVP 0", f"a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"),
    ):
        with pytest.raises(SdpError) as caught:
            apply_answer(make_offer(OUR_SDES), described(*lines))
        assert caught.value.status_hint == 488
        assert "A" * 40 not in str(caught.value)
    without_keys = make_offer(replace(US, security=Sdes(())))
    with pytest.raises(SdpError, match="in the clear"):
        apply_answer(without_keys, described("m=audio 4000 RTP/AVP 0"))
    for lines in (("m=audio 4000 RTP/AVP 0",), ("m=audio 4000 UDP/TLS/RTP/SAVP 0", *WEBRTC)):
        with pytest.raises(SdpError):
            make_answer(described(*lines), OUR_SDES)


def test_keys_that_are_in_use_are_never_gone_without_again() -> None:
    """Where the far end wished for them in RTP/AVP, our further offers are RTP/AVP too."""
    wish = replace(THEM, security=Sdes((crypto(CM, 3),), required=False))
    answer, at_us = make_answer(make_offer(wish), OUR_SDES)
    further = make_offer(OUR_SDES, SENDONLY, previous=answer, current=at_us)
    assert further.media[0].protocol == "RTP/AVP"
    clear = described("m=audio 30000 RTP/AVP 0")
    with pytest.raises(SdpError, match="in the clear"):
        apply_answer(further, clear, current=at_us)
    mild = replace(OUR_SDES, security=replace(OUR_SDES.security, required=False))
    with pytest.raises(SdpError, match="without a crypto line"):
        make_answer(clear, mild, previous=answer, current=at_us)


def test_keys_that_are_wished_for_are_taken_where_they_are() -> None:
    wish = replace(US, security=Sdes((crypto(CM, 1),), required=False))
    offer = make_offer(wish)
    assert offer.media[0].protocol == "RTP/AVP"
    clear, _ = make_answer(offer, THEIR_PLAIN)
    assert apply_answer(offer, clear).security == Plain()
    kept, at_them = make_answer(offer, THEIR_SDES)
    assert kept.media[0].protocol == "RTP/AVP"
    assert sdes(at_them).receive == crypto(CM, 1)
    assert sdes(apply_answer(offer, kept)).send == crypto(CM, 1)
    answer, agreed = make_answer(make_offer(THEIR_PLAIN), wish)
    assert agreed.security == Plain()
    assert answer.media[0].attribute("crypto") is None
    assert sdes(make_answer(make_offer(THEIR_SDES), wish)[1]).receive == crypto(CM, 3)
    with pytest.raises(SdpError, match="without a crypto line"):
        make_answer(described("m=audio 4000 RTP/SAVP 0"), wish)


def test_a_plain_offer_is_not_answered_by_another_profile() -> None:
    for protocol in ("RTP/SAVP", "UDP/TLS/RTP/SAVPF"):
        answer = described(f"m=audio 4000 {protocol} 0", f"a=crypto:{crypto(CM, 9)}", *WEBRTC)
        with pytest.raises(SdpError, match=f"{protocol} was not offered") as caught:
            apply_answer(make_offer(OUR_PLAIN), answer)
        assert caught.value.status_hint == 488


def test_keys_beside_a_fingerprint_are_one_of_two_ways() -> None:
    theirs = described("m=audio 4000 RTP/SAVPF 0", *WEBRTC, f"a=crypto:{crypto(CM, 9)}")
    assert dtls(make_answer(theirs, US)[1]).role is DtlsRole.SERVER
    answer, agreed = make_answer(theirs, OUR_SDES)
    assert sdes(agreed).receive == crypto(CM, 9)
    assert answer.media[0].attribute("fingerprint") is None


def test_a_plain_leg_takes_no_notice_of_keys() -> None:
    theirs = described(
        "m=audio 4000 RTP/AVP 0", f"a=crypto:{crypto(CM, 9)}", *WEBRTC[1:], "a=mid:0"
    )
    answer, agreed = make_answer(theirs, OUR_PLAIN)
    assert agreed.security == Plain()
    assert [line.value for line in answer.media[0].lines] == [
        "rtpmap:0 PCMU/8000",
        "ptime:20",
        "ssrc:42 cname:a@b",
        "sendrecv",
    ]


# -- codecs -------------------------------------------------------------------------------------

CHROME = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
    *WEBRTC,
)


def test_opus_is_answered_first_where_the_browser_wants_it() -> None:
    answer, agreed = make_answer(described(*CHROME), replace(US, codecs=BROWSER_CODECS))
    assert answer.media[0].formats == ("111", "0", "8", "110")
    assert answer.media[0].attributes("fmtp")[0] == "111 minptime=10;useinbandfec=1"
    assert agreed.send[0] == OPUS
    assert agreed.send[-1] == Codec(110, "TELEPHONE-EVENT", 48000)


def test_g711_is_first_when_asked() -> None:
    local = replace(US, codecs=(PCMU, PCMA, OPUS, G722, TELEPHONE_EVENTS), own_order=True)
    answer, agreed = make_answer(described(*CHROME), local)
    assert answer.media[0].formats == ("0", "8", "111", "9", "126")
    assert agreed.send[0] == PCMU
    assert agreed.send[-1] == Codec(126, "TELEPHONE-EVENT")


def test_events_go_by_the_clock_of_a_codec_that_is_there() -> None:
    local = replace(US, codecs=(PCMU, PCMA, TELEPHONE_EVENTS, OPUS_TELEPHONE_EVENTS))
    assert make_offer(local).media[0].formats == ("0", "8", "101")
    answer, _ = make_answer(described(*CHROME), local)
    assert answer.media[0].formats == ("0", "8", "126")


def test_events_go_by_the_clock_of_the_codec_that_is_sent() -> None:
    # Chromium, offered both, sends its digits beside Opus by 8000 Hz: 20 ms long.
    local = replace(US, codecs=BROWSER_CODECS, own_order=True)
    events = TELEPHONE_EVENTS, OPUS_TELEPHONE_EVENTS
    g711 = replace(local, codecs=(PCMU, PCMA, OPUS, *events))
    assert make_offer(local).media[0].formats == ("111", "0", "8", "110")
    assert make_offer(g711).media[0].formats == ("0", "8", "111", "101")
    for ours, number in ((local, 110), (g711, 126)):
        answer, agreed = make_answer(described(*CHROME), ours)
        assert answer.media[0].formats[-1] == str(number)
        assert [c.number for c in agreed.send if c.encoding == "TELEPHONE-EVENT"] == [number]


def test_events_by_another_clock_are_better_than_none() -> None:
    theirs = described(
        "m=audio 4000 RTP/AVP 96 101",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
    )
    local = replace(OUR_PLAIN, codecs=BROWSER_CODECS)
    answer, agreed = make_answer(theirs, local)
    assert answer.media[0].formats == ("96", "101")
    assert agreed.send[-1] == Codec(101, "TELEPHONE-EVENT")


# -- the field ----------------------------------------------------------------------------------

NO_AUDIO = "no audio to answer"
OUTCOMES = {
    "aiortc-audio_chrome": "dtls",
    "aiortc-audio_dtls_session_level": "dtls",
    "aiortc-audio_firefox": "dtls",
    "aiortc-audio_freeswitch": "dtls",
    "aiortc-audio_freeswitch_no_dtls": "no fingerprint",
    "aiortc-audio_ice_lite": "dtls",
    "aiortc-audio_ice_session_level_credentials": "dtls",
    "aiortc-audio_rtcp_without_port": "plain",
    "aiortc-datachannel_firefox": NO_AUDIO,
    "aiortc-datachannel_firefox_63": NO_AUDIO,
    "aiortc-video_chrome": NO_AUDIO,
    "aiortc-video_firefox": NO_AUDIO,
    "aiortc-video_session_star_rtcp_fb": NO_AUDIO,
    "st-alac": NO_AUDIO,
    "st-bfcp": "plain",
    "st-dante-aes67": "group of receivers|no common audio codec",
    "st-extmap-encrypt": "no rtcp-mux",
    "st-hacky": "sdes",
    "st-icelite": "dtls",
    "st-invalid": "plain",
    "st-jsep": "dtls",
    "st-jssip": "dtls",
    "st-mediaclk-avbtp": "group of receivers|no common audio codec",
    "st-mediaclk-ptp-v2": "group of receivers|no common audio codec",
    "st-mediaclk-ptp-v2-w-rate": "group of receivers|no common audio codec",
    "st-mediaclk-rtp": "group of receivers|no common audio codec",
    "st-normal": "no rtcp-mux",
    "st-onvif": NO_AUDIO,
    "st-rtcp-fb": "plain",
    "st-sctp-dtls-26": NO_AUDIO,
    "st-simulcast": "plain",
    "st-ssrc": "dtls",
    "st-st2022-6": NO_AUDIO,
    "st-st2110-20": NO_AUDIO,
    "st-tcp-active": NO_AUDIO,
    "st-tcp-passive": NO_AUDIO,
    "st-ts-refclk-media": "group of receivers",
    "st-ts-refclk-sess": "group of receivers",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_field_offer_is_taken_by_a_leg_of_its_kind_or_refused_by_name(path: Path) -> None:
    theirs = SessionDescription.parse(path.read_bytes())
    codecs = (*BROWSER_CODECS, G722)
    legs = {"dtls": US, "sdes": OUR_SDES, "plain": OUR_PLAIN}
    outcome = OUTCOMES[path.stem]
    if outcome not in legs:
        reasons = set()
        for local in legs.values():
            with pytest.raises(SdpError) as caught:
                make_answer(theirs, replace(local, codecs=codecs))
            assert caught.value.status_hint == 488
            reasons.add(str(caught.value))
        assert any(name in reason for reason in reasons for name in outcome.split("|"))
        return
    answer, agreed = make_answer(theirs, replace(legs[outcome], codecs=codecs))
    assert SessionDescription.parse(answer.serialise()) == answer
    assert [medium.kind for medium in answer.media] == [medium.kind for medium in theirs.media]
    (taken,) = [index for index, medium in enumerate(answer.media) if medium.port]
    assert answer.media[taken].kind == "audio"
    assert answer.media[taken].protocol == theirs.media[taken].protocol
    match agreed.security:
        case AgreedDtls(ice=read, fingerprints=told):
            assert outcome == "dtls"
            assert str(told[0]) == theirs.attribute_of(theirs.media[taken], "fingerprint")
            assert read.ufrag == theirs.attribute_of(theirs.media[taken], "ice-ufrag")
            assert len(read.candidates) == len(theirs.media[taken].attributes("candidate"))
        case AgreedSdes(receive=key):
            assert outcome == "sdes"
            assert str(key) == theirs.media[taken].attribute("crypto")
        case Plain():
            assert outcome == "plain"


LEGS = (US, OUR_SDES, OUR_PLAIN, replace(US, security=Sdes((crypto(CM, 1),), required=False)))
SEEDS = [path.read_bytes() for path in FILES] + [
    make_offer(local).serialise() for local in (*LEGS, THEM, THEIR_SDES)
]
CURRENT = apply_answer(make_offer(US), make_answer(make_offer(US), THEM)[0])


@settings(max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    cuts=st.lists(
        st.tuples(st.integers(0, 2500), st.integers(0, 8), st.binary(max_size=8)), max_size=4
    ),
    local=st.sampled_from(LEGS),
)
def test_mutated_offers_and_answers_raise_sdp_error_or_nothing(
    seed: bytes, cuts: list[tuple[int, int, bytes]], local: LocalAudio
) -> None:
    octets = bytearray(seed)
    for at, length, put in cuts:
        octets[at : at + length] = put
    try:
        theirs = SessionDescription.parse(bytes(octets))
    except SdpError:
        return
    for use in (
        lambda: make_answer(theirs, local, current=CURRENT)[0].serialise(),
        lambda: apply_answer(make_offer(local), theirs, current=CURRENT),
        lambda: renewal_in(theirs, CURRENT),
    ):
        try:
            use()
        except SdpError:
            continue


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            ["mid:", "ssrc:", "group:BUNDLE", "setup:", "ice-options:", "crypto:", "tls-id:"]
        ).flatmap(lambda start: st.text(max_size=12).map(lambda value: f"a={start}{value}")),
        max_size=5,
    ),
    local=st.sampled_from(LEGS),
)
def test_odd_attributes_raise_sdp_error_or_nothing(lines: list[str], local: LocalAudio) -> None:
    try:
        theirs = described("m=audio 9 RTP/SAVPF 0", *WEBRTC, f"a=crypto:{crypto(CM, 9)}", *lines)
        answer, _ = make_answer(theirs, local)
    except (SdpError, UnicodeEncodeError):
        return
    assert SessionDescription.parse(answer.serialise()).media[0].port == 20000
