"""What entries of the configuration are to each other: whose name is whose, and leads where.

Read as they were written, so that a mistake elsewhere hides none of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Fault = tuple[tuple[str | int, ...], str]
"""Where, and what was found and expected there."""

_NAMES = {"account": "device", "station": "device", "agent": "device", "trunk": "name"}
_NAMES |= {"ivr": "code", "skill": "code"}
"""Tables that stand in a list, and the key that names one."""


def broken_relations(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Every name that is there twice, and every account of a trunk that is none."""
    for table, key in _NAMES.items():
        names = Counter(name for entry in _entries(given, table) if (name := _said(entry, key)))
        if twice := sorted(name for name, times in names.items() if times > 1):
            yield (table,), f"found {', '.join(twice)} twice, expected each {key} once"
    agents = {_said(agent, "device") for agent in _entries(given, "agent")}
    for table in ("account", "station"):
        for index, entry in enumerate(_entries(given, table)):
            if (device := _said(entry, "device")) in agents:
                text = f"found {device!r}, which is an [[agent]] too, expected one of the two"
                yield (table, index, "device"), text
    phones = agents | {
        _said(entry, "device")
        for table in ("account", "station")
        for entry in _entries(given, table)
    }
    for index, ivr in enumerate(_entries(given, "ivr")):
        if (code := _said(ivr, "code")) in phones and code:
            text = f"found {code!r}, which is an [[agent]], [[account]] or [[station]] too"
            yield ("ivr", index, "code"), f"{text}, expected a number of its own"
    devices = {_said(account, "device") for account in _entries(given, "account")}
    for index, trunk in enumerate(_entries(given, "trunk")):
        account = _said(trunk, "account")
        if account and account not in devices:
            text = f"found {account!r}, expected the device of an [[account]]"
            yield ("trunk", index, "account"), text


def _entries(given: Mapping[str, Any], table: str) -> list[Any]:
    entries = given.get(table)
    return entries if isinstance(entries, list) else []


def _said(entry: object, key: str) -> str:
    """A key of an entry, that may be a table or what was made of one; empty where it is no text."""
    value = entry.get(key) if isinstance(entry, dict) else getattr(entry, key, None)
    return value if isinstance(value, str) else ""
