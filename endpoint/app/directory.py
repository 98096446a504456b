"""The devices of ours: extensions in the database, accounts and stations in the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from endpoint.app.settings import Config
from endpoint.errors import StorageError
from endpoint.legs.base import DeviceId
from endpoint.legs.numbering import telephone_of
from endpoint.storage.extensions import Extensions
from signaling.errors import CredentialsUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of ours."""

    device: str
    kinds: tuple[str, ...]
    """Of `extension`, `account`, `station`, `ivr`."""
    display_name: str = ""


class Directory:
    """What devices we have. Extensions may be added while we run: `refresh` reads them again."""

    def __init__(self, config: Config, extensions: Extensions) -> None:
        self._config = config
        self._extensions = extensions
        self._known: dict[str, KnownDevice] = {}
        self._meant: dict[str, str] = {}

    async def refresh(self) -> None:
        """Read the extensions. Where the database is away, what was known stays."""
        try:
            extensions = await self._extensions.all()
        except StorageError:
            log.exception("extensions can't be read")
            return
        names = {known.number: known.display_name for known in extensions}
        self._meant = {
            number: known.number
            for known in extensions
            for number in (known.number, *known.aliases)
        }
        accounts = {
            account.device: account.display_name for account in self._config.device_accounts
        }
        stations = set(self._config.devices_without_phone)
        codes = {ivr.code for ivr in self._config.ivr}
        kinds = {
            "extension": names.keys(),
            "account": accounts.keys(),
            "station": stations,
            "ivr": codes,
        }
        self._known = {
            device: KnownDevice(
                device,
                tuple(kind for kind, devices in kinds.items() if device in devices),
                names.get(device) or accounts.get(device, ""),
            )
            for device in sorted({*names, *accounts, *stations, *codes})
        }

    async def knows(self, device: str) -> bool:
        """Whether it is ours, also where it was added since."""
        if device not in self:
            await self.refresh()
        return device in self

    def __contains__(self, device: object) -> bool:
        return device in self._known

    def meant(self, number: str) -> str | None:
        """The extension that a number or an alias means, as last read; None: none of ours."""
        return self._meant.get(number)

    def all(self) -> list[KnownDevice]:
        """Every device of ours, as last read."""
        return list(self._known.values())

    def remote_agents(self) -> list[KnownDevice]:
        """Those whose telephone is called by a trunk."""
        return [known for known in self.all() if telephone_of(DeviceId(known.device)) is not None]

    def find(self, devices: Iterable[str]) -> list[KnownDevice]:
        """Those of the devices that are ours."""
        return [self._known[device] for device in dict.fromkeys(devices) if device in self._known]


class SipUsers:
    """Who may register and call: implements `Credentials` of the SIP server."""

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions

    async def lookup(self, username: str, realm: str) -> Sequence[tuple[str, str]]:
        """See `Credentials`. Where the database is away nobody is taken for unknown."""
        try:
            return await self._extensions.lookup(username, realm)
        except StorageError as error:
            raise CredentialsUnavailable(str(error)) from error
