"""Session timers: how long a call lives without a sign of life from its far end (RFC 4028).

Each INVITE and UPDATE of a session, and its 2xx, says how long the session lives from then on, and
which end refreshes it. This is what was agreed on, as numbers: whoever owns it sends and waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from signaling.errors import SipParseError
from signaling.sip.grammar import (
    LWS,
    UINT32_MAX,
    find_parameter,
    lower,
    parse_number,
    parse_parameters,
)
from signaling.sip.message import Message, Request, Response

OPTION_TAG = "timer"
DEFAULT_MINIMUM_S = 90
"""What Min-SE is where nobody says it (§5)."""
MAX_RAISES = 3
"""So often one request is sent again with a longer interval after 422."""


class Refresher(StrEnum):
    """Which end refreshes: client or server of the request that agreed on it, not of the call."""

    UAC = "uac"
    UAS = "uas"


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The value of Session-Expires (§4)."""

    interval_s: int
    refresher: Refresher | None = None

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """Read one value; raises SipParseError. An unknown refresher counts as none."""
        seconds, semicolon, rest = text.partition(";")
        interval_s = parse_number(seconds.strip(LWS), UINT32_MAX, "Session-Expires")
        said = find_parameter(parse_parameters(semicolon + rest, 0), "refresher") if rest else None
        known = said is not None and lower(said) in set(Refresher)
        return cls(interval_s, Refresher(lower(said)) if said is not None and known else None)

    @classmethod
    def of(cls, message: Message) -> SessionExpires | None:
        """What a message says; None where it says nothing. Raises SipParseError."""
        text = message.headers.get("Session-Expires")
        return None if text is None else cls.parse(text)

    def __str__(self) -> str:
        return f"{self.interval_s}" + (f";refresher={self.refresher}" if self.refresher else "")


def minimum_of(message: Message) -> int | None:
    """Min-SE in seconds; None where there is none. Raises SipParseError."""
    text = message.headers.get("Min-SE")
    if text is None:
        return None
    return parse_number(text.partition(";")[0].strip(LWS), UINT32_MAX, "Min-SE")


@dataclass(frozen=True, slots=True)
class SessionTimerSettings:
    """What we ask for, and what we take."""

    interval_s: int = 0
    """Asked for in each INVITE; 0: never asked for. What a far end asks for is done all the same.

    Not below `minimum_s`."""
    minimum_s: int = DEFAULT_MINIMUM_S
    """A far end that wants to be refreshed more often is refused with 422."""


class SessionTimer:
    """What the two ends of one session have agreed on. All methods are pure but for this object.

    A header that can't be read is as if it was not there: in requests `screening` refuses it.
    """

    def __init__(self, settings: SessionTimerSettings) -> None:
        self.interval_s: int | None = None
        """How long the session lives after each refresh; None: for ever."""
        self.we_refresh = True
        """Whether the refreshes are ours; before it is agreed: what we choose where we may."""
        self.minimum_s = settings.minimum_s
        """Ours, or a longer one that somebody on the way has asked for (§7.1)."""
        self._wanted_s = settings.interval_s

    def __repr__(self) -> str:
        who = "we refresh" if self.we_refresh else "they refresh"
        return f"<SessionTimer {self.interval_s} {who} minimum={self.minimum_s}>"

    # -- what is agreed -----------------------------------------------------------------------

    @property
    def refresh_after_s(self) -> float | None:
        """How long after the last refresh ours is due: half of the interval (§10)."""
        return self.interval_s / 2 if self.interval_s is not None and self.we_refresh else None

    @property
    def lives_s(self) -> float | None:
        """How long after the last refresh the session is over, for either end.

        That is a little before it expires: by 32 s or a third of the interval (§10).
        """
        if self.interval_s is None:
            return None
        return self.interval_s - min(32.0, self.interval_s / 3)

    # -- as the client of an INVITE or UPDATE -------------------------------------------------

    def ask(self) -> tuple[tuple[str, str], ...]:
        """Header fields of our next request (§7.1)."""
        refresher = None
        interval_s = self._wanted_s
        if self.interval_s is not None:
            interval_s = self.interval_s
            refresher = Refresher.UAC if self.we_refresh else Refresher.UAS
        if not interval_s:
            return ()
        interval_s = max(interval_s, self.minimum_s)
        return (
            ("Session-Expires", str(SessionExpires(interval_s, refresher))),
            ("Min-SE", str(self.minimum_s)),
        )

    def agree(self, response: Response) -> None:
        """Take what the 2xx to our request says (§7.2); nothing said: it lives for ever."""
        said = _said(response)
        self.interval_s = None if said is None else max(said.interval_s, self.minimum_s)
        if said is not None:
            # It must say who refreshes. Where it doesn't, ours are one too many at the worst.
            self.we_refresh = said.refresher is not Refresher.UAS

    def raise_minimum(self, response: Response) -> bool:
        """Take the Min-SE of a 422 (§7.3); False where that is no reason to ask again."""
        try:
            minimum_s = minimum_of(response)
        except SipParseError:
            return False
        if minimum_s is None or minimum_s <= self.minimum_s:
            return False
        self.minimum_s = minimum_s
        self._wanted_s = max(self._wanted_s, minimum_s)
        return True

    # -- as the server ------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[tuple[str, str], ...]:
        """Agree to a request (§9): header fields of our 2xx."""
        said, supports = _said(request), OPTION_TAG in request.supported
        least_s = self._least_s(request)
        if said is not None:
            # What nobody may ask for (§4) is still no reason for us to refresh without end.
            said_s = max(said.interval_s, min(DEFAULT_MINIMUM_S, self.minimum_s))
            wanted_s = self.interval_s or self._wanted_s or said_s
            self.interval_s = min(said_s, max(wanted_s, least_s))
        elif supports or (self.interval_s is not None and self.we_refresh):
            wanted_s = self.interval_s or self._wanted_s
            self.interval_s = max(wanted_s, least_s) if wanted_s else None
        else:
            self.interval_s = None
        if not supports:  # nobody else could (§9, table 2)
            self.we_refresh = True
        elif said is not None and said.refresher is not None:
            self.we_refresh = said.refresher is Refresher.UAS
        if self.interval_s is None:
            return ()
        refresher = Refresher.UAS if self.we_refresh else Refresher.UAC
        agreed = ("Session-Expires", str(SessionExpires(self.interval_s, refresher)))
        return (agreed,) if self.we_refresh else (agreed, ("Require", OPTION_TAG))

    def _least_s(self, request: Request) -> int:
        """Below this neither of us may go; from now on our requests say so too (§7.1)."""
        try:
            said_s = minimum_of(request) or 0
        except SipParseError:
            said_s = 0
        self.minimum_s = max(self.minimum_s, said_s)
        return self.minimum_s


def _said(message: Message) -> SessionExpires | None:
    try:
        return SessionExpires.of(message)
    except SipParseError:
        return None
