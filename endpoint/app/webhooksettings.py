"""`[webhooks]`: programs that are told of events by HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from endpoint.app.section import STRICT, Count, Seconds


def _checked(prefix: str) -> str:
    from endpoint.ivr.checking import check_prefix, is_private

    if (fault := check_prefix(prefix)) is not None:
        raise ValueError(fault)
    if not is_private(prefix):
        raise ValueError(f"found {prefix!r}, expected https://…, or http:// to this machine")
    return prefix


class WebhookSettings(BaseModel):
    """`[webhooks]`: programs that are told of events by HTTP (docs/webhooks.md)."""

    model_config = STRICT

    allowed: list[Annotated[str, AfterValidator(_checked)]] = []
    """What their addresses begin with, as `https://crm.example.com/hooks/`: https, or http to this
    machine. None else is told; empty: nobody is.
    """
    timeout_s: Seconds = 10
    """So long one try may take."""
    first_pause_s: Seconds = 1
    """After a try that failed; the next pause is twice as long, and so on,"""
    longest_pause_s: Seconds = 60
    """up to this."""
    give_up_s: Seconds = 600
    """What was not taken for so long is put aside, and the next is told."""
    most_undelivered: Count = 100
    """So much of what was put aside is kept for each webhook, the latest."""
    most: Count = 32
    """So many webhooks there may be."""
