from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from endpoint.audio.frame import Samples
from endpoint.audio.ogg import checksum, mend
from endpoint.audio.tones import tone
from endpoint.errors import AudioError
from endpoint.media.recordingfile import RecordingFile
from endpoint.media.recordingmessages import Format

pytestmark = pytest.mark.unit

FRAME = 320
FRAMES = 150


def recorded(path: Path, *, finished: bool) -> bytes:
    """Three seconds: a tone on the left, another one on the right."""
    sides = [tone(hz, FRAMES * 20, -12.0, 16000) for hz in (1010.0, 1400.0)]
    both: Samples = np.stack(sides, axis=1)
    file = RecordingFile(path, Format.OPUS, 16000)
    for at in range(0, len(both), FRAME):
        file.write(both[at : at + FRAME])
    if finished:
        file.finish()
    else:
        file.abandon()
    return path.read_bytes()


def played_ms(octets: bytes) -> float:
    """By a demuxer that is not ours, and takes no fault. Raises where there is one."""
    strict = {"err_detect": "crccheck+bitstream+buffer+explode"}
    with av.open(BytesIO(octets), options=strict) as container:
        stream = container.streams.audio[0]
        # The whole of the packets: a player that reads to the end must meet no damage.
        decoded = sum(frame.samples for frame in container.decode(stream))
        return decoded / stream.rate * 1000


def pages(octets: bytes) -> Iterator[int]:
    """Where each begins, and where the last one ends."""
    at = 0
    while at >= 0:
        yield at
        at = octets.find(b"OggS", at + 4)
    yield len(octets)


def test_the_checksum_is_ogg_s(tmp_path: Path) -> None:
    octets = recorded(tmp_path / "call", finished=True)
    begins = [*pages(octets)]
    for first, behind in pairwise(begins):
        page = bytearray(octets[first:behind])
        said = int.from_bytes(page[22:26], "little")
        page[22:26] = bytes(4)
        assert checksum(bytes(page)) == said


def test_a_whole_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "call"
    octets = recorded(path, finished=True)
    # What the file says, and the last packet may be filled with silence.
    assert abs(mend(path) - played_ms(octets)) <= 20
    assert path.read_bytes() == octets


def test_one_that_was_cut_ends_with_its_last_whole_page(tmp_path: Path) -> None:
    """Wherever it was cut: in a header, in a table of segments, in audio."""
    path = tmp_path / "call"
    octets = recorded(path, finished=False)
    begins = [*pages(octets)]
    assert len(begins) > 5
    for first, behind in pairwise(begins[2:]):
        lengths = set[int]()
        for cut in {first + 1, first + 26, first + 28, first + 300, behind - 1}:
            path.write_bytes(octets[:cut])
            lengths.add(mend(path))
            assert path.read_bytes() == octets[:first]
        (length,) = lengths
        if first == begins[2]:
            assert length == 0
        else:
            assert abs(length - played_ms(octets[:first])) <= 20


@pytest.mark.parametrize("ending", [bytes(4096), b"OggS" + bytes(4092), b"OggS" + b"\xff" * 4092])
def test_what_a_disk_has_left_at_the_end_is_taken_away(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "call"
    octets = recorded(path, finished=False)
    whole = mend(path)
    path.write_bytes(octets + ending)
    assert mend(path) == whole
    assert path.read_bytes() == octets


def test_a_last_page_that_was_damaged_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "call"
    octets = bytearray(recorded(path, finished=False))
    *_, last, _ = pages(bytes(octets))
    octets[-5] ^= 0xFF
    path.write_bytes(octets)
    mend(path)
    assert path.read_bytes() == octets[:last]


@pytest.mark.parametrize("octets", [b"", b"OggS", b"RIFF" + bytes(400), bytes(400)])
def test_what_is_no_ogg_file_is_refused_and_left_alone(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "call"
    path.write_bytes(octets)
    with pytest.raises(AudioError, match="no Ogg file"):
        mend(path)
    assert path.read_bytes() == octets
