"""Which callbacks are names of functions, and that nothing in an answer ends its script."""

from __future__ import annotations

import pytest

from endpoint.gateways.basiccall.frames import SPResponse
from endpoint.gateways.basiccall.jsonp import is_callback, script

pytestmark = pytest.mark.unit

_FORBIDDEN = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a.b.c.d.e",
    "1a",
    "alert(1)//",
    "a.b[c]",
    "a b",
    "a\n",
    "a;b",
    "</script>",
    "a\u2028b",
    "\\u0061lert",
    "é",
    "１a",
    "CWSMIKI0hCD0Up0IZUnnnnnnnn+/",
    "a" * 65,
    "a" * 10_000,
]


@pytest.mark.parametrize("name", _FORBIDDEN)
def test_s17_what_is_no_name_is_no_callback(name: str) -> None:
    assert not is_callback(name)


@pytest.mark.parametrize("character", [chr(code) for code in range(180) if chr(code) != "$"])
def test_s17_no_other_character_is_in_a_callback(character: str) -> None:
    is_fine = character.isascii() and (character.isalnum() or character == "_")
    assert is_callback(f"a{character}") is is_fine


@pytest.mark.parametrize("name", ["cb", "_", "$", "jQuery1112_1480", "app.phone.on.done", "a" * 64])
def test_a_name_is_a_callback(name: str) -> None:
    assert is_callback(name)


def test_s17_an_answer_ends_no_script() -> None:
    text = script("cb", SPResponse("</script>\u2028", text="<!--\u2029").encode())
    assert text.startswith("/**/cb({")
    assert text.endswith("});")
    assert not set(text) & {"<", "\u2028", "\u2029"}
