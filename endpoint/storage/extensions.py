"""Extensions: who may register with the embedded sipWsServer, and under which numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import selectinload

from endpoint.errors import NumberTaken
from endpoint.storage.database import Database
from endpoint.storage.schema import AliasRow, CredentialRow, ExtensionRow


@dataclass(frozen=True, slots=True)
class Credential:
    """What a password leaves behind: enough to check a digest, not enough to read it."""

    username: str
    realm: str
    algorithm: str
    ha1: str


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension, without its secrets."""

    number: str
    display_name: str = ""
    aliases: tuple[str, ...] = ()
    realms: tuple[str, ...] = ()
    """Realms that it has credentials for."""
    weak: bool = False
    """Its password was weak when it was set."""


class Extensions:
    """The extensions of one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked = _Asked()
        """Who asks now is answered with all who ask until the next statement."""
        self._resolved: asyncio.Event | None = None
        """Set when the present statement is done; None: there is none."""

    async def add(
        self, extension: Extension, credentials: Sequence[Credential], *, replace: bool = False
    ) -> None:
        """Store an extension. Raises `NumberTaken`."""
        tenant = self._database.tenant_id
        async with self._database.session() as session:
            if replace:
                await session.execute(
                    delete(ExtensionRow).where(
                        ExtensionRow.tenant_id == tenant, ExtensionRow.number == extension.number
                    )
                )
            numbers = (extension.number, *extension.aliases)
            extensions = select(ExtensionRow.number).where(
                ExtensionRow.tenant_id == tenant, ExtensionRow.number.in_(numbers)
            )
            aliases = select(AliasRow.number).where(
                AliasRow.tenant_id == tenant, AliasRow.number.in_(numbers)
            )
            taken = [*await session.scalars(extensions), *await session.scalars(aliases)]
            if taken:
                raise NumberTaken(f"{', '.join(sorted(set(taken)))}: this number is taken")
            row = ExtensionRow(
                tenant_id=tenant,
                number=extension.number,
                display_name=extension.display_name,
                weak=extension.weak,
            )
            session.add(row)
            await session.flush()
            session.add_all(
                CredentialRow(
                    tenant_id=tenant,
                    extension_id=row.id,
                    username=credential.username,
                    realm=credential.realm,
                    algorithm=credential.algorithm,
                    ha1=credential.ha1,
                )
                for credential in credentials
            )
            session.add_all(
                AliasRow(tenant_id=tenant, extension_id=row.id, number=number)
                for number in extension.aliases
            )

    async def bring(
        self, changes: Sequence[tuple[Extension, Sequence[Credential] | None, bool]]
    ) -> None:
        """Add and change these, each with its credentials and whether its password is weak.

        Without credentials it keeps what it has. All of it or nothing. Raises StorageError.
        """
        tenant = self._database.tenant_id
        async with self._database.session() as session:
            rows = await session.scalars(
                select(ExtensionRow)
                .where(
                    ExtensionRow.tenant_id == tenant,
                    ExtensionRow.number.in_([extension.number for extension, *_ in changes]),
                )
                .options(selectinload(ExtensionRow.credentials), selectinload(ExtensionRow.aliases))
            )
            known = {row.number: row for row in rows}
            for row in known.values():
                row.aliases.clear()
            await session.flush()  # before others take them
            for extension, credentials, weak in changes:
                row = known.get(extension.number) or ExtensionRow(
                    tenant_id=tenant, number=extension.number, credentials=[], aliases=[]
                )
                row.display_name = extension.display_name
                if credentials is not None:
                    row.weak = weak
                    row.credentials.clear()
                session.add(row)
                await session.flush()
                row.aliases.extend(AliasRow(tenant_id=tenant, number=n) for n in extension.aliases)
                row.credentials.extend(
                    CredentialRow(
                        tenant_id=tenant,
                        username=each.username,
                        realm=each.realm,
                        algorithm=each.algorithm,
                        ha1=each.ha1,
                    )
                    for each in credentials or ()
                )

    async def remove(self, number: str) -> bool:
        """Forget an extension with its credentials and aliases. False where there is none."""
        async with self._database.session() as session:
            removed = await session.scalars(
                delete(ExtensionRow)
                .where(
                    ExtensionRow.tenant_id == self._database.tenant_id,
                    ExtensionRow.number == number,
                )
                .returning(ExtensionRow.id)
            )
            return removed.first() is not None

    async def all(self) -> list[Extension]:
        """Every extension, by number."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(ExtensionRow)
                .where(ExtensionRow.tenant_id == self._database.tenant_id)
                .order_by(ExtensionRow.number)
                .options(selectinload(ExtensionRow.credentials), selectinload(ExtensionRow.aliases))
            )
            return [_extension(row) for row in rows]

    async def find(self, number: str) -> Extension | None:
        """The extension of a number, which is no alias; None where there is none."""
        async with self._database.session() as session:
            row = await session.scalar(
                select(ExtensionRow)
                .where(
                    ExtensionRow.tenant_id == self._database.tenant_id,
                    ExtensionRow.number == number,
                )
                .options(selectinload(ExtensionRow.credentials), selectinload(ExtensionRow.aliases))
            )
            return None if row is None else _extension(row)

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        """(algorithm, HA1) pairs of a user; empty for one that is not known."""
        async with self._database.session() as session:
            rows = await session.execute(
                select(CredentialRow.algorithm, CredentialRow.ha1).where(
                    CredentialRow.tenant_id == self._database.tenant_id,
                    CredentialRow.username == username,
                    CredentialRow.realm == realm,
                )
            )
            return [(algorithm, ha1) for algorithm, ha1 in rows]

    async def resolve(self, number: str) -> str | None:
        """The extension that a number or an alias means; None for a number that is not ours.

        One statement answers all who have asked meanwhile. A connection for each would be a thread
        for each with SQLite: where many dial in the same second, they waited for seconds.
        """
        asked = self._asked
        asked.numbers.add(number)
        while asked.meant is None:
            if self._resolved is not None:
                await self._resolved.wait()
                continue
            self._asked = _Asked()
            self._resolved = over = asyncio.Event()
            try:
                asked.meant = await self._meant(asked.numbers)
            finally:  # whoever gives up leaves it to the next one
                self._resolved = None
                over.set()
        return asked.meant.get(number)

    async def _meant(self, numbers: Collection[str]) -> dict[str, str]:
        tenant = self._database.tenant_id
        own = select(ExtensionRow.number.label("asked"), ExtensionRow.number.label("meant")).where(
            ExtensionRow.tenant_id == tenant, ExtensionRow.number.in_(numbers)
        )
        aliases = (
            select(AliasRow.number, ExtensionRow.number)
            .join(ExtensionRow.aliases)
            .where(AliasRow.tenant_id == tenant, AliasRow.number.in_(numbers))
        )
        async with self._database.session() as session:
            rows = await session.execute(own.union_all(aliases))
            return {row.asked: row.meant for row in rows}


class _Asked:
    """Numbers that one statement looks up, and what came of it; None: it has not been done."""

    def __init__(self) -> None:
        self.numbers: set[str] = set()
        self.meant: dict[str, str] | None = None


def _extension(row: ExtensionRow) -> Extension:
    return Extension(
        number=row.number,
        display_name=row.display_name,
        aliases=tuple(sorted(alias.number for alias in row.aliases)),
        realms=tuple(sorted({credential.realm for credential in row.credentials})),
        weak=row.weak,
    )
