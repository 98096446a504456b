"""The page for a CRM's developer, with the vendor's own scripts beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.example_page import a_day_at_the_page

from .phone import scripts_of

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


async def test_its_buttons_move_audio(tmp_path: Path) -> None:
    await a_day_at_the_page(tmp_path, "WSSoftPhone.js", scripts_of(os.environ["VENDOR_SCRIPT"]))
