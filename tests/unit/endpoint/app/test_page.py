"""The page's files keep the promises of their Content-Security-Policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import endpoint.app

pytestmark = pytest.mark.unit

PAGE = Path(endpoint.app.__file__).parent / "page"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.iterdir())}


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_fetched_from_elsewhere(name: str) -> None:
    links = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", TEXTS[name]))
    assert links <= {"http://www.w3.org"}  # the name of SVG, not a place


def test_nothing_is_inline() -> None:
    html = TEXTS["index.html"]
    assert re.search(r"<script(?![^>]*\bsrc=)", html) is None
    assert re.search(r"<style|\bstyle=|\bon\w+=|javascript:", html) is None


@pytest.mark.parametrize("name", sorted(one for one in TEXTS if one.endswith(".js")))
def test_what_the_server_says_is_never_markup(name: str) -> None:
    script = TEXTS[name]
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_the_token_never_goes_into_a_url_or_a_lasting_store() -> None:
    script = TEXTS["page.js"]
    assert "localStorage" not in script
    assert "document.cookie" not in script
    assert re.search(r"searchParams\.set\(\"token", script) is None
