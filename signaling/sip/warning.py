"""The Warning header field (RFC 3261 §20.43): why an offer is refused, in words."""

from __future__ import annotations

import re

from signaling.errors import SdpError
from signaling.sip.grammar import quote

AGENT = "agent-endpoint"
"""Who warns: a name that tells no address of ours."""
_LONGEST = 300
_NOT_PLAIN = re.compile("[^ -~]")


def format_warning(code: int, text: str) -> str:
    """A warn-value. What is not printable ASCII, which others may have said, is shown as `?`."""
    return f"{code:d} {AGENT} {quote(_NOT_PLAIN.sub('?', text[:_LONGEST]))}"


def warning_of(error: SdpError) -> tuple[tuple[str, str], ...]:
    """What goes with the refusal of an offer: what was offered, and what is expected."""
    return (("Warning", format_warning(error.misfit, str(error))),)
