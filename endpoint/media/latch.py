"""Symmetric RTP that latches once: whose packets a port believes (security S9, S10)."""

from __future__ import annotations

from dataclasses import dataclass

Address = tuple[str, int]

_PROVEN_BY = 3
_CANDIDATES = 16


@dataclass(slots=True)
class _Candidate:
    ssrc: int
    sequence: int
    in_order: int


class Latch:
    """Decides which address becomes the one proven source of a port.

    The signalled address is believed at its first packet. Another port on the signalled host can
    become the source after `other_port_s`, another host after `other_host_s`, both only while
    nothing has come from the signalled address, and by three packets in order, of one SSRC and of
    payload types that were negotiated. Whoever is proven stays it: a latch answers True once.
    """

    def __init__(
        self, signalled: Address, now: float, *, other_port_s: float, other_host_s: float
    ) -> None:
        self._signalled = signalled
        self._other_port_after = now + other_port_s
        self._other_host_after = now + other_host_s
        self._candidates: dict[Address, _Candidate] = {}

    def is_proven(
        self, address: Address, ssrc: int, sequence: int, *, is_negotiated: bool, now: float
    ) -> bool:
        """Judge the sender of a well-formed packet; True makes it the source."""
        if address == self._signalled:
            return True
        if not is_negotiated:
            return False
        candidate = self._candidates.get(address)
        if candidate is None:
            if len(self._candidates) >= _CANDIDATES:
                # A spray from many ports must cost nothing: the oldest guess goes.
                self._candidates.pop(next(iter(self._candidates)))
            candidate = self._candidates[address] = _Candidate(ssrc, sequence, 0)
        follows = candidate.ssrc == ssrc and 0 < (sequence - candidate.sequence) & 0xFFFF < 100
        candidate.in_order = candidate.in_order + 1 if follows else 1
        candidate.ssrc, candidate.sequence = ssrc, sequence
        is_same_host = address[0] == self._signalled[0]
        after = self._other_port_after if is_same_host else self._other_host_after
        return now >= after and candidate.in_order >= _PROVEN_BY
