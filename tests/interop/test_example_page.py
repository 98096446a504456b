"""The page for a CRM's developer, docs/examples/wssoftphone, used as its README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from .example_page import a_day_at_the_page

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


async def test_its_buttons_move_audio_without_the_vendor_s_scripts(tmp_path: Path) -> None:
    await a_day_at_the_page(tmp_path, "standin.js", {})
