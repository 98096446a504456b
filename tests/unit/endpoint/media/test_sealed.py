from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.errors import MediaError
from endpoint.media.sealed import KEY_SIZE, SealedReader, SealedWriter

pytestmark = pytest.mark.unit

KEY = bytes(range(KEY_SIZE))


def sealed(path: Path, *parts: bytes, ends: bool = True) -> bytes:
    """Write a file in so many chunks; returns what was written."""
    with path.open("wb", buffering=0) as file:
        writer = SealedWriter(file, KEY)
        for part in parts:
            writer.write(part)
            writer.flush()
        if ends:
            writer.finish()
    return b"".join(parts)


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(0, 200), st.integers(0, 200))
def test_any_part_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], start: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "file"
    whole = sealed(path, *parts)
    reader = SealedReader(path, KEY)
    assert reader.size == len(whole)
    assert reader.is_whole
    assert reader.read(start, size) == whole[start : start + size]
    reader.close()


def test_a_part_is_read_as_fast_of_a_long_file(tmp_path: Path) -> None:
    """A player asks for many: of an hour there are 7,200 chunks."""

    def fastest(chunks: int) -> float:
        path = tmp_path / f"{chunks}"
        sealed(path, *(b"%8d" % number for number in range(chunks)))
        reader = SealedReader(path, KEY)

        def once(_: int) -> float:
            begun = perf_counter()
            assert reader.read(8 * chunks // 2, 8) == b"%8d" % (chunks // 2)
            return perf_counter() - begun

        with closing(reader):
            return min(map(once, range(50)))

    assert fastest(20_000) < 20 * fastest(20)


def test_nothing_of_it_is_on_disk_in_the_clear(tmp_path: Path) -> None:
    sealed(tmp_path / "one", b"a secret voice" * 10)
    sealed(tmp_path / "two", b"a secret voice" * 10)
    assert b"secret" not in (tmp_path / "one").read_bytes()
    # Each file has a key of its own.
    assert (tmp_path / "one").read_bytes()[30:] != (tmp_path / "two").read_bytes()[30:]


@pytest.mark.parametrize("lost", [1, 15, 21, 40])
def test_one_that_was_cut_reads_up_to_its_last_whole_chunk(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "cut"
    sealed(path, b"first", b"second", ends=False)
    os.truncate(path, path.stat().st_size - lost)
    reader = SealedReader(path, KEY)
    assert not reader.is_whole
    assert reader.read(0, 100) in (b"first", b"")
    assert reader.read(0, 100) == b"first" or lost > 30
    reader.close()


def test_a_file_that_was_changed_or_another_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changed"
    sealed(path, b"first", b"second")
    octets = bytearray(path.read_bytes())
    with pytest.raises(MediaError, match="another one"):
        SealedReader(path, bytes(KEY_SIZE))
    octets[-25] ^= 1  # in the second chunk; behind it is an empty one
    path.write_bytes(octets)
    reader = SealedReader(path, KEY)
    assert reader.read(0, 5) == b"first"
    with pytest.raises(MediaError, match="was changed"):
        reader.read(0, 6)
    reader.close()


def test_the_last_chunk_can_not_be_left_out_unseen(tmp_path: Path) -> None:
    """A length that says `last` for a chunk that was not is not authentic."""
    path = tmp_path / "shortened"
    sealed(path, b"first", b"second")
    octets = bytearray(path.read_bytes())
    octets[25] |= 0x80
    path.write_bytes(octets)
    with pytest.raises(MediaError, match="was changed"):
        SealedReader(path, KEY)


def test_what_is_no_sealed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(MediaError, match="no encrypted recording"):
        SealedReader(tmp_path / "other", KEY)
