"""PJSIP is a leg of ours and a peer that we did not write: both, where its wheel is installed."""

from __future__ import annotations

import os

import pytest

from endpoint.media.pjsip import missing


def need_pjsip() -> None:
    """Where it is missing: a failure on CI, a skipped test elsewhere."""
    if text := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
