from __future__ import annotations

import numpy as np
import pytest

from endpoint.audio.codec import G711, decode, encode
from endpoint.audio.frame import Samples
from endpoint.audio.tones import level_of, tone
from endpoint.media.player import Player, Playing

pytestmark = pytest.mark.unit


def counted(frames: int) -> Samples:
    return np.repeat(np.arange(1, frames + 1, dtype=np.int16) * 1000, 160)


def test_whoever_hears_a_loop_hears_it_from_its_start() -> None:
    player = Player("music", loop=True)
    player.load(counted(3))
    first, second = Playing(player), Playing(player)
    for _ in range(4):
        first.advance()
    assert first.frame(8000)[0] == 2000
    assert second.frame(8000)[0] == 1000
    assert not any(player.step() for _ in range(10))


def test_what_does_not_loop_is_played_once_for_all() -> None:
    player = Player("prompt", loop=False)
    player.load(counted(2))
    first = Playing(player)
    assert first.frame(8000)[0] == 1000
    assert player.step() is False
    second = Playing(player)
    assert second.frame(8000)[0] == 2000
    assert player.step() is True
    assert player.codes(G711.PCMU, first.position) is None
    assert player.frame(first.position) is None
    assert not first.frame(8000).any()
    assert player.step() is False


def test_a_long_file_is_not_encoded_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes at once would stop everybody's audio for several frames."""
    encoded: list[int] = []

    def counting(law: G711, samples: Samples) -> bytes:
        encoded.append(len(samples))
        return encode(law, samples)

    monkeypatch.setattr("endpoint.media.player.encode", counting)
    player = Player("prompt", loop=False)
    player.load(counted(1000))
    player.codes(G711.PCMU, 3)
    assert sum(encoded) == 160


def test_frames_are_encoded_once_for_each_codec() -> None:
    player = Player("music", loop=True)
    player.load(counted(2))
    for law in G711:
        codes = player.codes(law, 1)
        assert codes is not None
        assert decode(law, codes)[0] == pytest.approx(2000, rel=0.03)
        assert player.codes(law, 3) is codes


def test_a_player_that_is_not_loaded_waits() -> None:
    player = Player("prompt", loop=False)
    assert player.step() is False
    assert player.position == 0
    assert player.codes(G711.PCMU, 0) is None


@pytest.mark.parametrize("loop", [True, False])
def test_a_player_of_nothing_plays_nothing_and_ends(loop: bool) -> None:
    player = Player("empty", loop=loop)
    player.load(counted(0))
    assert player.codes(G711.PCMU, 0) is None
    assert player.step() is not loop
    assert player.step() is False


@pytest.mark.parametrize("given_hz", [8000, 16000])
def test_a_player_is_heard_at_any_rate_and_loops_without_a_click(given_hz: int) -> None:
    player = Player("music", loop=True)
    player.load(tone(1000.0, 1000, -12.0, given_hz), given_hz)
    for rate_hz in (8000, 16000, 48000):
        playing = Playing(player)
        frames = []
        for _ in range(120):
            frames.append(playing.frame(rate_hz))
            playing.advance()
        wave = np.concatenate(frames).astype(np.float64)
        assert level_of(wave.astype(np.int16)) == pytest.approx(-12.0, abs=0.2)
        # A tone follows from the two samples before; a click does not.
        turn = 2 * np.cos(2 * np.pi * 1000 / rate_hz)
        assert np.abs(wave[2:] - turn * wave[1:-1] + wave[:-2]).max() < 0.02 * np.abs(wave).max()
