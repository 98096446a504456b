"""The certificate that is shown now: one that was renewed is taken up while calls go on.

Whoever renews it, as certbot does, knows nothing of us: the files are looked at from time to time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from endpoint.app import certificates
from endpoint.app.certificates import ServerCertificate
from endpoint.app.settings import Config
from endpoint.app.state import StateDirectory
from endpoint.errors import ConfigurationError

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
"""Two calls of `stat` each."""

MakeContext = Callable[[ServerCertificate], ssl.SSLContext]
_Mark = tuple[int, ...]


class RenewableContext(ssl.SSLContext):
    """Whose connections are made by another context, which may be exchanged while it is in use.

    A context in use could load another certificate itself, but keeps one of each kind of key: where
    an RSA one takes the place of an ECDSA one, clients would go on to be shown the old.
    """

    now: ssl.SSLContext

    @classmethod
    def of(cls, first: ssl.SSLContext) -> RenewableContext:
        """One that is `first` for now."""
        made = cls(first.protocol)
        # Asked of by `TlsPolicy`; the first is turned off before the second can be.
        made.check_hostname = first.check_hostname
        made.verify_mode = first.verify_mode
        made.now = first
        return made

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext`: each connection of an event loop begins with it."""
        return self.now.wrap_bio(*args, **kwargs)


class CertificateInUse:
    """The certificate, and all that shows it."""

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        clock: Callable[[], datetime] = certificates.wall_clock,
    ) -> None:
        """Reads files, and may make them. Raises `ConfigurationError` where they can't be used."""
        self._config = config
        self._state = state
        self._clock = clock
        self._taken = _marks(config)
        """Of the files that are in use."""
        self._contexts: list[tuple[RenewableContext, MakeContext]] = []
        self._trouble = ""
        """What was wrong at the last look."""
        self._told = ""
        """Of it, what was said."""
        self.now = certificates.provide(config, state, clock())

    @property
    def authority(self) -> Path | None:
        """See `ServerCertificate`."""
        return self.now.authority

    @property
    def leaf(self) -> str:
        """See `ServerCertificate`."""
        return self.now.leaf

    def context(self, make: MakeContext) -> ssl.SSLContext:
        """A context as `make` makes it, that shows the certificate of each time."""
        context = RenewableContext.of(make(self.now))
        self._contexts.append((context, make))
        return context

    async def follow(self, taken_up: Callable[[], None]) -> None:
        """Look at the files for ever; `taken_up` is called after each change."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look(taken_up)

    async def look(self, taken_up: Callable[[], None]) -> None:
        """Take up what is new, if it is whole. What is wrong is said once, when it has stayed so.

        Between two of the files that one renewal writes everything is wrong for a moment.
        """
        try:
            renewed = await asyncio.to_thread(self._renewed)
            if renewed is not None:
                self._take_up(*renewed)
                taken_up()
        except (ConfigurationError, OSError) as error:
            trouble = str(error)
            if trouble == self._trouble != self._told:
                self._told = trouble
                log.error(
                    "the new certificate can't be used, the one before is still shown",
                    reason=trouble,
                    valid_until=f"{self.now.not_after:%Y-%m-%d %H:%M}",
                    cure="put both files right: they are taken up without a new start",
                )
            self._trouble = trouble
        else:
            self._trouble = self._told = ""

    def _renewed(self) -> tuple[list[_Mark], ServerCertificate, list[ssl.SSLContext]] | None:
        """What is there now, all of it made of the same files; None where nothing is new."""
        marks = _marks(self._config)
        if marks == self._taken and not self._is_due():
            return None
        found = certificates.provide(self._config, self._state, self._clock())
        made = [make(found) for _, make in self._contexts]
        if _marks(self._config) != marks:
            return None  # somebody is at it: the next look sees more
        return marks, found, made

    def _is_due(self) -> bool:
        """Whether it is for us to renew it."""
        left = self.now.not_after - self._clock()
        return self.now.authority is not None and left <= certificates.RENEW_BEFORE

    def _take_up(
        self, marks: list[_Mark], found: ServerCertificate, made: list[ssl.SSLContext]
    ) -> None:
        for (context, _), new in zip(self._contexts, made, strict=True):
            context.now = new
        self._taken, self.now = marks, found
        log.info(
            "certificate taken up",
            subject=found.subject,
            names=list(found.names),
            valid_until=f"{found.not_after:%Y-%m-%d %H:%M}",
        )


def _marks(config: Config) -> list[_Mark]:
    """What tells an operator's files from those that take their place, by name or by link.

    None of those that are made here: nobody else renews them.
    """
    paths = (config.http.certificate, config.http.key)
    return [_mark(path) for path in paths if path is not None]


def _mark(path: Path) -> _Mark:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
