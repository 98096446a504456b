"""Many things that are brought into a directory at once: what it is then, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from endpoint.agents.directory import Contents
from endpoint.agents.directoryrules import (
    TYPES,
    Item,
    Kind,
    Mistake,
    items_of,
    key_of,
    mistakes_in,
    with_items,
    with_standard,
)
from endpoint.agents.model import BasicMode
from endpoint.app.secrecy import SHORTEST, weakness
from endpoint.gateways.native import directorymessages as wire
from endpoint.gateways.native.messages import Mistake as Wrong

EXPECTED_PASSWORD = f"{SHORTEST} characters or more, 6 different ones, without the agent's number"


def item_of(entry: wire.Entry) -> Item:
    """As the directory holds it."""
    plain: dict[str, Any] = msgspec.to_builtins(entry)
    plain.pop("has_password", None)
    if isinstance(entry, wire.WorkMode):
        plain["basic"] = BasicMode[entry.basic.upper()]
    kind = next(Kind(kind) for kind, each in wire.ENTRIES.items() if isinstance(entry, each))
    return msgspec.convert(plain, TYPES[kind])


def plain_of(item: Item) -> dict[str, Any]:
    """As the wire says it; of an agent without whether it has a password."""
    plain: dict[str, Any] = msgspec.to_builtins(item)
    if "basic" in plain:
        plain["basic"] = BasicMode(plain["basic"]).name.lower()
    return plain


def after_import(before: Contents, brought: wire.DirectoryImport) -> Contents:
    """What is there then."""
    contents = before
    for kind, entries in _given(brought).items():
        contents = with_standard(contents, kind)
        items = [item_of(entry) for entry in entries]
        named = {key_of(item) for item in items}
        others = [each for each in items_of(contents, kind) if key_of(each) not in named]
        contents = with_items(contents, kind, [*items, *([] if brought.only else others)])
    return contents


def in_places(
    brought: wire.DirectoryImport, after: Contents, mistakes: Sequence[Mistake]
) -> list[Wrong]:
    """The mistakes that it makes, each by its place in it; and those of its passwords."""
    places = {
        (kind, key_of(item_of(entry))): f"$.{kind.value}[{index}]"
        for kind, entries in _given(brought).items()
        for index, entry in reversed(list(enumerate(entries)))
    }
    told = []
    for each in mistakes:
        place = places.get((each.kind, each.key), f"{each.kind.one} {each.key}")
        told.append(Wrong(f"{place}.{each.field}", each.found, each.expected))
    return [*told, *password_faults(brought.passwords, after)]


def password_faults(passwords: Mapping[str, str], after: Contents) -> list[Wrong]:
    """What is wrong with passwords of agents; none is repeated."""
    agents = {agent.id for agent in after.agents}
    faults = []
    for agent, password in passwords.items():
        where = f"$.passwords.{agent[:64]}"
        if agent not in agents:
            faults.append(Wrong(where, "no such agent", "one of the directory"))
        elif weakness(password, agent) is not None:
            found = f"{len(password)} characters"
            faults.append(Wrong(where, found, EXPECTED_PASSWORD))
    return faults


def import_mistakes(directory: wire.Directory, brought: wire.DirectoryImport) -> list[Wrong]:
    """All that would be refused, before anything is sent."""
    there = {kind.value: getattr(directory, kind.value) for kind in Kind}
    before = after_import(Contents(), wire.DirectoryImport(**there, only=True))
    after, known = after_import(before, brought), set(mistakes_in(before))
    return in_places(brought, after, [each for each in mistakes_in(after) if each not in known])


def _given(brought: wire.DirectoryImport) -> dict[Kind, Sequence[wire.Entry]]:
    """By kind; each that is named."""
    return {kind: entries for kind in Kind if (entries := getattr(brought, kind.value)) is not None}
