"""The directory's book: what is changed in it is checked, kept, and counts from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import msgspec
import structlog

from endpoint.agents.directory import Contents, DirectoryInUse
from endpoint.agents.directoryrules import (
    DirectoryStore,
    Item,
    Kind,
    Mistake,
    items_of,
    key_of,
    mistakes_in,
    with_items,
    with_standard,
)
from endpoint.agents.model import AgentId
from endpoint.app.agentpasswords import AgentPasswords
from endpoint.app.directoryimport import (
    EXPECTED_PASSWORD,
    after_import,
    in_places,
    item_of,
    password_faults,
    plain_of,
)
from endpoint.app.secrecy import weakness
from endpoint.client.errors import in_words
from endpoint.errors import CommandRejected
from endpoint.gateways.native import directorymessages as wire
from endpoint.gateways.native.messages import Mistake as Wrong
from endpoint.gateways.native.messages import Refused

log = structlog.get_logger(__name__)


class DirectoryDesk(Protocol):
    """Where the directory is asked and changed: the endpoint that runs, or the database alone."""

    async def directory(self) -> wire.Directory:
        """All of it."""

    async def add_to_directory(self, kind: str, entry: wire.Entry) -> wire.Entry:
        """One more."""

    async def change_in_directory(
        self, kind: str, key: str, changes: Mapping[str, Any]
    ) -> wire.Entry:
        """One, in what is named."""

    async def remove_from_directory(self, kind: str, key: str) -> None:
        """One less."""

    async def bring_into_directory(self, brought: wire.DirectoryImport) -> wire.DirectoryImported:
        """Many at once, or none."""

    async def set_agent_password(self, agent: str, password: str) -> None:
        """Let an agent have another password."""


class DirectoryRejected(CommandRejected):
    """What can't be kept; nothing has changed."""

    def __init__(self, status: int, error: str, text: str, mistakes: Sequence[Wrong] = ()) -> None:
        first = mistakes[0] if mistakes else None
        if len(mistakes) == 1 and first is not None:
            text = f"{text}: found {first.found}"
        self.status = status
        """Of HTTP."""
        self.refused = Refused(
            error,
            text,
            first.field if first else "",
            first.expected if first else "",
            list(mistakes) if len(mistakes) > 1 else [],
        )
        super().__init__(error, in_words(self.refused))

    @classmethod
    def unknown(cls, kind: Kind, key: str) -> Self:
        """There is no such one."""
        return cls(404, "unknown", f"there is no {kind.one} {key[:64]}")

    @classmethod
    def of_field(cls, field: str, found: str, expected: str, error: str = "bad_field") -> Self:
        """One mistake."""
        return cls(400, error, "it can't be taken", [Wrong(field, found[:64], expected)])


class DirectoryBook:
    """The directory of the database, and the one that counts; a `DirectoryDesk`."""

    def __init__(self, store: DirectoryStore, passwords: AgentPasswords) -> None:
        self._store = store
        self._passwords = passwords
        self.in_use = DirectoryInUse(passwords)
        """What is asked by all others."""
        self.new_password: Callable[[AgentId], Awaitable[None]] = _nothing
        """Done when an agent has another password."""
        self._changing = asyncio.Lock()
        """Held from a change until it counts: what was read before must not count after it."""

    async def load(self) -> None:
        """Let count what is kept. Raises StorageError."""
        async with self._changing:
            contents, hashes = await self._store.load()
            for mistake in mistakes_in(contents):
                log.warning(
                    "the directory is not whole",
                    of=mistake.kind.value,
                    name=mistake.key,
                    why=mistake.text,
                )
            self._passwords.load(hashes)
            self.in_use.replace(contents)

    # -- a DirectoryDesk --------------------------------------------------------------------------

    async def directory(self) -> wire.Directory:
        """See `DirectoryDesk`."""
        return await self.of_kinds(*Kind)

    async def of_kinds(self, *kinds: Kind) -> wire.Directory:
        """What there is of some kinds."""

        def tell() -> wire.Directory:
            told = {kind.value: self._told(kind) for kind in kinds}
            return msgspec.convert(told, wire.Directory)

        return await asyncio.to_thread(tell)

    def one(self, kind: Kind, key: str) -> wire.Entry:
        """One of a kind. Raises DirectoryRejected."""
        found = self._found(self.in_use.contents, kind, key)
        return msgspec.convert(self._plain(found), wire.ENTRIES[kind])

    async def add_to_directory(self, kind: str, entry: wire.Entry) -> wire.Entry:
        """See `DirectoryDesk`. Raises DirectoryRejected."""
        of, item = Kind(kind), item_of(entry)
        key = key_of(item)

        def after(contents: Contents) -> Contents:
            items = items_of(contents, of)
            if any(key_of(each) == key for each in items):
                text = f"there is {of.one} {key} already; change it, or take another name"
                raise DirectoryRejected(409, "taken", text)
            return with_items(contents, of, [*items, item])

        await self._change(of, after, _of_one(of, key))
        return self.one(of, key)

    async def put_in_directory(self, kind: str, key: str, entry: wire.Entry) -> bool:
        """This in the place of what there is, or as one more; says whether it is one more."""
        of, item = Kind(kind), item_of(entry)
        if (found := key_of(item)) != key:
            field = "$.id" if of is Kind.AGENTS else "$.code"
            raise DirectoryRejected.of_field(field, found, f"{key}, as in the path")
        new = True

        def after(contents: Contents) -> Contents:
            nonlocal new
            others = [each for each in items_of(contents, of) if key_of(each) != key]
            new = len(others) == len(items_of(contents, of))
            return with_items(contents, of, [*others, item])

        await self._change(of, after, _of_one(of, key))
        return new

    async def change_in_directory(
        self, kind: str, key: str, changes: Mapping[str, Any]
    ) -> wire.Entry:
        """See `DirectoryDesk`. Raises DirectoryRejected."""
        of = Kind(kind)
        name = "id" if of is Kind.AGENTS else "code"
        if str(changes.get(name, key)) != key:
            said = f"{key}: another one is added, and this one removed"
            raise DirectoryRejected.of_field(f"$.{name}", str(changes[name]), said)

        def after(contents: Contents) -> Contents:
            found = self._found(contents, of, key)
            changed = _checked({**self._plain(found), **changes}, wire.ENTRIES[of])
            others = [each for each in items_of(contents, of) if key_of(each) != key]
            return with_items(contents, of, [*others, item_of(changed)])

        await self._change(of, after, _of_one(of, key))
        return self.one(of, key)

    async def remove_from_directory(self, kind: str, key: str) -> None:
        """See `DirectoryDesk`. Raises DirectoryRejected."""
        of = Kind(kind)

        def after(contents: Contents) -> Contents:
            self._found(contents, of, key)
            others = [each for each in items_of(contents, of) if key_of(each) != key]
            return with_items(contents, of, others)

        def in_use(wrong: Sequence[Mistake]) -> DirectoryRejected:
            by = dict.fromkeys(f"{each.kind.one} {each.key}" for each in wrong)
            said = ", ".join([*by][:5]) + (", …" if len(by) > 5 else "")
            text = f"the {of.one} {key} is in use by {said}; take it from there first"
            return DirectoryRejected(409, "in_use", text)

        await self._change(of, after, in_use)

    async def bring_into_directory(self, brought: wire.DirectoryImport) -> wire.DirectoryImported:
        """See `DirectoryDesk`. Raises DirectoryRejected with every mistake."""
        counts = wire.DirectoryImported(0, 0, 0, 0)
        faults: list[Wrong] = []
        hashes = {}
        if brought.passwords:
            there = await asyncio.to_thread(after_import, self.in_use.contents, brought)
            faults = password_faults(brought.passwords, there)
        if not faults:
            for agent, password in brought.passwords.items():
                hashes[AgentId(agent)] = await self._passwords.hash(password)
        last = Contents()

        def after(before: Contents) -> Contents:
            nonlocal counts, faults, last
            last = after_import(before, brought)
            faults = faults or password_faults(brought.passwords, last)
            counts = _counted(before, last)
            return last

        def wrong(mistakes: Sequence[Mistake]) -> DirectoryRejected:
            told = in_places(brought, last, mistakes)
            return DirectoryRejected(400, "bad_directory", "nothing is kept", told)

        await self._change(None, after, wrong, hashes, lambda: bool(faults))
        for agent in hashes:
            await self.new_password(agent)
        return counts

    async def set_agent_password(self, agent: str, password: str) -> None:
        """See `DirectoryDesk`. Raises DirectoryRejected."""
        self._found(self.in_use.contents, Kind.AGENTS, agent)
        if weakness(password, agent) is not None:
            found = f"{len(password)} characters"
            raise DirectoryRejected.of_field(
                "$.password", found, EXPECTED_PASSWORD, "weak_password"
            )
        hashes = {AgentId(agent): await self._passwords.hash(password)}

        def after(contents: Contents) -> Contents:
            self._found(contents, Kind.AGENTS, agent)
            return contents

        await self._change(None, after, _of_one(Kind.AGENTS, agent), hashes)
        # Who took its tokens by the old one has them no longer.
        await self.new_password(AgentId(agent))

    # -- inside -----------------------------------------------------------------------------------

    async def _change(
        self,
        kind: Kind | None,
        change: Callable[[Contents], Contents],
        wrong: Callable[[Sequence[Mistake]], DirectoryRejected],
        hashes: Mapping[AgentId, str] | None = None,
        is_faulty: Callable[[], bool] = lambda: False,
    ) -> None:
        """Have it count, where that makes no mistakes that there were not before."""
        async with self._changing:
            before = self.in_use.contents

            def look() -> tuple[Contents, set[Mistake], list[Mistake]]:
                after = change(before if kind is None else with_standard(before, kind))
                return after, set(mistakes_in(before)), mistakes_in(after)

            # In a thread, as whatever looks at all: of thousands of agents that holds up the loop.
            after, known, found = await asyncio.to_thread(look)
            if (mistakes := [each for each in found if each not in known]) or is_faulty():
                raise wrong(mistakes)
            await self._store.save(before, after, hashes or {})
            self._passwords.add(hashes or {})
            left = {agent.id for agent in after.agents}
            self._passwords.forget({agent.id for agent in before.agents} - left)
            self.in_use.replace(after)

    def _found(self, contents: Contents, kind: Kind, key: str) -> Item:
        items = items_of(with_standard(contents, kind), kind)
        found = next((each for each in items if key_of(each) == key), None)
        if found is None:
            raise DirectoryRejected.unknown(kind, key)
        return found

    def _told(self, kind: Kind) -> list[dict[str, Any]]:
        listed: dict[Kind, Callable[[], Sequence[Item]]] = {
            Kind.AGENTS: self.in_use.agents,
            Kind.SKILLS: self.in_use.skills,
            Kind.QUEUES: self.in_use.queues,
            Kind.MODES: self.in_use.modes,
            Kind.REASONS: self.in_use.reasons,
        }
        return [self._plain(item) for item in listed[kind]()]

    def _plain(self, item: Item) -> dict[str, Any]:
        """As the wire says it."""
        plain = plain_of(item)
        if "id" in plain:
            plain["has_password"] = self._passwords.has(plain["id"])
        return plain


def _checked(plain: Mapping[str, Any], kind: type[wire.Entry]) -> wire.Entry:
    """Raises DirectoryRejected."""
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        text, _, field = str(error).partition(" - at ")
        expected = ", ".join(kind.__struct_fields__)
        where = field.strip("`") or "$"
        raise DirectoryRejected.of_field(where, text, f"as of {expected}") from None


def _of_one(kind: Kind, key: str) -> Callable[[Sequence[Mistake]], DirectoryRejected]:
    """How mistakes are told that a change of one thing has made."""

    def wrong(mistakes: Sequence[Mistake]) -> DirectoryRejected:
        told = [
            Wrong(
                f"$.{each.field}"
                if (each.kind, each.key) == (kind, key)
                else f"{each.kind.one} {each.key}.{each.field}",
                each.found,
                each.expected,
            )
            for each in mistakes
        ]
        return DirectoryRejected(400, "bad_field", f"the {kind.one} is not whole", told)

    return wrong


def _counted(before: Contents, after: Contents) -> wire.DirectoryImported:
    counts = dict.fromkeys(("added", "changed", "removed", "unchanged"), 0)
    for kind in Kind:
        was = {key_of(item): item for item in items_of(with_standard(before, kind), kind)}
        now = {key_of(item): item for item in items_of(with_standard(after, kind), kind)}
        for key, item in now.items():
            known = was.get(key)
            counts["added" if known is None else "unchanged" if known == item else "changed"] += 1
        counts["removed"] += len(was.keys() - now.keys())
    return wire.DirectoryImported(**counts)


async def _nothing(_agent: AgentId) -> None:
    """Where nobody needs to know."""
