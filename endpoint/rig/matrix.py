"""The hearing matrix: who hears whom, as measured.

Each party sends a tone that no other sends, and says what it finds in the audio that it *received
and decoded*. A matrix must equal what was expected exactly: hearing too much is as wrong as hearing
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

HearingMatrix = Mapping[str, frozenset[str]]
"""Device → the names of the sources that it hears; `moh` is music on hold."""


def matrix(rows: Mapping[str, Iterable[str]]) -> HearingMatrix:
    """A matrix from plain rows: `{"6001": ["10086"], "10086": ["6001"]}`."""
    return {device: frozenset(sources) for device, sources in rows.items()}


def as_lists(heard: HearingMatrix) -> dict[str, list[str]]:
    """The same, for JSON: each row sorted."""
    return {device: sorted(sources) for device, sources in heard.items()}


def hears_too_much(expected: HearingMatrix, heard: HearingMatrix) -> bool:
    """True where somebody hears what he should not; what is missing does not count."""
    return any(sources - expected.get(device, frozenset()) for device, sources in heard.items())


def differences(expected: HearingMatrix, heard: HearingMatrix) -> list[str]:
    """What is wrong, in words, a line a fault; nothing when the matrices are equal."""
    lines = []
    for device in sorted(expected.keys() | heard.keys()):
        want, got = expected.get(device, frozenset()), heard.get(device, frozenset())
        lines += [f"{device} should hear {source} and does not" for source in sorted(want - got)]
        lines += [f"{device} should not hear {source} and does" for source in sorted(got - want)]
    return lines
