"""What a text may hold that is kept, shown or sent on: UTF-8 without NUL.

Far ends say what they like. Octets that are no UTF-8 come as lone surrogates, which no JSON takes;
a NUL is no text for PostgreSQL. So both are replaced where a text is kept or sent, whoever brought
it. What is to be sent back as it came is no text, and stays octets.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """The same with U+FFFD for each character that is no text. As long as it was."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def cleaned(value: Any) -> Any:
    """The same, in all texts of a value of lists and mappings."""
    match value:
        case str():
            return clean(value)
        case list() | tuple():
            return [cleaned(each) for each in value]
        case dict():
            return {cleaned(key): cleaned(each) for key, each in value.items()}
        case _:
            return value


def encode(message: object) -> bytes:
    """JSON of a message, whatever is in its texts."""
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return msgspec.json.encode(cleaned(msgspec.to_builtins(message)))
