"""The extensions' book: what is changed in it is checked, kept, and counts from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from endpoint.app.directorybook import DirectoryRejected
from endpoint.app.enrolment import credentials
from endpoint.app.extensioncsv import LONGEST_NAME
from endpoint.app.secrecy import FEWEST_DIFFERENT, SHORTEST, new_password, weakness
from endpoint.app.section import checked_device
from endpoint.gateways.native import extensionmessages as wire
from endpoint.gateways.native.messages import Mistake
from endpoint.storage.extensions import Credential, Extension, Extensions

_EXPECTED_NUMBER = "1 to 64 letters, digits or any of _ . + * # -"
_EXPECTED_PASSWORD = (
    f"{SHORTEST} characters or more, {FEWEST_DIFFERENT} different ones, without the number"
)


class ExtensionBook:
    """The extensions of the database, while an endpoint runs that they register with."""

    def __init__(
        self,
        extensions: Extensions,
        realm: str,
        *,
        forget: Callable[[str], None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`forget` ends what a number has registered; `changed` reads what devices there are."""
        self._extensions = extensions
        self._realm = realm
        self._forget = forget
        self._changed = changed
        self._changing = asyncio.Lock()
        """Held from a look at what is there until it is changed."""

    async def all(self) -> list[wire.Extension]:
        """All of them. Raises StorageError, as all others do."""
        return [_told(each) for each in await self._extensions.all()]

    async def one(self, number: str) -> wire.Extension:
        """One of them. Raises DirectoryRejected."""
        found = await self._extensions.find(number) if _is_number(number) else None
        if found is None:
            raise _unknown(number)
        return _told(found)

    async def put(self, number: str, wanted: wire.PutExtension) -> tuple[wire.KeptExtension, bool]:
        """This in the place of what there is, or as one more; says whether it is one more.

        With another password, what its telephones have registered by the old one is over. Raises
        DirectoryRejected.
        """
        mistakes = _mistakes_in(number, wanted)
        if mistakes:
            raise DirectoryRejected(400, "bad_field", "the extension is not whole", mistakes)
        password = wanted.password
        if password is not None and weakness(password, number) is not None:
            found = f"{len(password)} characters"
            raise DirectoryRejected.of_field(
                "$.password", found, _EXPECTED_PASSWORD, "weak_password"
            )
        aliases = tuple(sorted(set(wanted.aliases)))
        made = ""
        async with self._changing:
            before = await self._extensions.find(number)
            await self._check_free(number, aliases)
            if wanted.generate or (before is None and password is None):
                password = made = new_password()
            proofs = None if password is None else credentials(number, self._realm, password)
            is_other = before is not None and await self._is_other(number, proofs)
            await self._extensions.bring([(Extension(number, wanted.name, aliases), proofs, False)])
            if is_other:
                self._forget(number)
            await self._changed()
            kept = _told(await self._extensions.find(number) or Extension(number))
        return (
            wire.KeptExtension(
                kept.number, kept.name, kept.aliases, kept.realms, kept.weak, password=made
            ),
            before is None,
        )

    async def remove(self, number: str) -> None:
        """One less; what its telephones have registered is over. Raises DirectoryRejected."""
        async with self._changing:
            if not (_is_number(number) and await self._extensions.remove(number)):
                raise _unknown(number)
            self._forget(number)
            await self._changed()

    async def _check_free(self, number: str, aliases: Sequence[str]) -> None:
        for each in (number, *aliases):
            owner = await self._extensions.resolve(each)
            if owner not in (None, number):
                text = f"{each} is extension {owner}'s; take it from there first"
                raise DirectoryRejected(409, "taken", text)

    async def _is_other(self, number: str, proofs: Sequence[Credential] | None) -> bool:
        """Whether these are of another password than it has."""
        if proofs is None:
            return False
        known = {(*each,) for each in await self._extensions.lookup(number, self._realm)}
        return known != {(each.algorithm, each.ha1) for each in proofs}


def _mistakes_in(number: str, wanted: wire.PutExtension) -> list[Mistake]:
    mistakes = []
    if not _is_number(number):
        mistakes.append(Mistake("extension", number[:64], _EXPECTED_NUMBER))
    if len(wanted.name) > LONGEST_NAME or not wanted.name.isprintable():
        expected = f"one line of up to {LONGEST_NAME} characters"
        mistakes.append(Mistake("$.name", wanted.name[:64], expected))
    for place, alias in enumerate(wanted.aliases):
        if not _is_number(alias) or alias == number:
            expected = "another number" if alias == number else _EXPECTED_NUMBER
            mistakes.append(Mistake(f"$.aliases[{place}]", alias[:64], expected))
    if wanted.password is not None and wanted.generate:
        mistakes.append(Mistake("$.generate", "true", "false, where a password is given"))
    return mistakes


def _is_number(text: str) -> bool:
    try:
        checked_device(text)
    except ValueError:
        return False
    return True


def _unknown(number: str) -> DirectoryRejected:
    return DirectoryRejected(404, "unknown_extension", f"there is no extension {number[:64]}")


def _told(extension: Extension) -> wire.Extension:
    return wire.Extension(
        extension.number,
        extension.display_name,
        [*extension.aliases],
        [*extension.realms],
        extension.weak,
    )
