"""What goes to a far end beside what is forwarded."""

from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.tones import level_of, tone
from endpoint.media.outbound import Outbound
from endpoint.media.rtp import parse_rtp
from tests.unit.endpoint.media.test_mixing import OPUS, coding

pytestmark = pytest.mark.unit


def test_the_last_packet_of_a_mix_that_ends_is_filled_by_the_voice_and_not_by_silence() -> None:
    """That was a click, and a decoder that comes out of it may mistake an even tone for seconds."""
    outbound, sent = Outbound(), list[bytes]()
    outbound.negotiate([OPUS], 20)
    outbound.open(sent.append)
    outbound.catch_up(tone(1010, 45), 8000, now=1.0)
    codec = coding(OPUS)
    decoder, packet = codec.decoder(), codec.sample_rate_hz // 50
    found = [parse_rtp(memoryview(octets)) for octets in sent]
    heard = np.concatenate([decoder.decode(bytes(each.payload)) for each in found if each])
    assert len(heard) == 3 * packet
    # A decoder is 6.5 ms behind, and so the last 8 ms of 60 were made up.
    assert level_of(heard[-packet * 2 // 5 :]) > level_of(heard[packet:-packet]) - 3
