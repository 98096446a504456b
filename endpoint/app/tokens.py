"""Our own tokens: opaque, 256 bits, kept as hashes; for agents with a refresh token that rotates.

All that live are held in memory, as the directory is: each request asks for one. What changes is
in the database before it is answered. They are judged by the wall clock, as they say a moment.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

from endpoint.agents.attempts import Guesses
from endpoint.agents.credentials import StoredToken, TokenKind, TokenStore
from endpoint.agents.directory import Directory
from endpoint.agents.identity import Identity, Kind, Scope, narrowed, of_agent
from endpoint.agents.model import AgentId, Role
from endpoint.app.credentialsettings import TokenSettings
from endpoint.errors import EndpointError, StorageError

log = structlog.get_logger(__name__)

_TIDY_S = 60.0


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made."""

    identity: Identity
    access: str
    expires_at: datetime | None
    refresh: str = ""
    refresh_expires_at: datetime | None = None


class TokenRefused(EndpointError):
    """No token for who asks, and why. One text for a wrong password and an unknown agent."""

    def __init__(self, reason: str, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.reason = reason
        self.wait_s = wait_s


class _Held:
    """Tokens by their hash, and by the name of their family."""

    def __init__(self, tokens: Iterable[StoredToken] = ()) -> None:
        self._of_hash: dict[str, StoredToken] = {}
        self._of_name: dict[str, set[str]] = {}
        for token in tokens:
            self.put(token)

    def __iter__(self) -> Iterator[StoredToken]:
        return iter(self._of_hash.values())

    def __contains__(self, token: StoredToken) -> bool:
        return token.hash in self._of_hash

    def find(self, hashed: str) -> StoredToken | None:
        """The token of that hash."""
        return self._of_hash.get(hashed)

    def has_family(self, name: str) -> bool:
        """Whether there is a token of that name."""
        return name in self._of_name

    def put(self, token: StoredToken) -> None:
        """One more, or in the place of that of the same hash."""
        self._of_hash[token.hash] = token
        self._of_name.setdefault(token.name, set()).add(token.hash)

    def drop(self, token: StoredToken) -> None:
        """One less."""
        if self._of_hash.pop(token.hash, None) is not None:
            self._of_name[token.name].discard(token.hash)
            if not self._of_name[token.name]:
                del self._of_name[token.name]

    def drop_family(self, name: str) -> list[str]:
        """All of a name less; their hashes."""
        hashes = self._of_name.pop(name, set())
        for each in hashes:
            del self._of_hash[each]
        return [*hashes]


class TokenBook:
    """Makes tokens, knows whose they are, and forgets them. Implements `Credentials`."""

    def __init__(
        self,
        store: TokenStore,
        directory: Directory,
        settings: TokenSettings,
        *,
        tenant: str = "default",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        guesses: Guesses | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._settings = settings
        self._tenant = tenant
        self.now = now
        self._tokens = _Held()
        self._guesses = guesses or Guesses(settings.attempts_per_minute, monotonic)
        self._doomed: set[str] = set()
        """Over, and perhaps still in the database."""
        self._used: dict[str, datetime] = {}
        """When families were used last, by their names, to the minute."""
        self._used_since: set[str] = set()
        """Of these the database does not know it yet."""
        self._watchers: list[Callable[[], None]] = []
        directory.watch(self._directory_changed)

    async def load(self) -> None:
        """Read what is kept. Raises StorageError."""
        kept = await self._store.all()
        self._tokens = _Held(kept)
        self._used = {each.name: each.used_at for each in kept if each.used_at is not None}
        self._directory_changed()
        await self.forget_over()

    def watch(self, changed: Callable[[], None]) -> None:
        """Be told when a token was revoked."""
        self._watchers.append(changed)

    # -- whose it is ------------------------------------------------------------------------------

    async def identify(self, token: str) -> Identity | None:
        """See `Credentials`. Needs no database."""
        found = self._tokens.find(hash_of(token))
        if found is None or found.kind is TokenKind.REFRESH:
            return None
        identity = self._identity(found)
        if identity is not None:
            self._is_used(found.name)
        return identity

    def resembles(self, token: str) -> bool:
        """See `Credentials`."""
        return token.startswith((ACCESS_PREFIX, REFRESH_PREFIX, PROGRAM_PREFIX)) and (
            len(token) == _LENGTH
        )

    def stands(self, identity: Identity) -> bool:
        """Whether who asked some time ago may still ask: not over, not revoked, no other rights."""
        if identity.is_over(self.now()):
            return False
        if identity.kind is Kind.AGENT and not self._is_as_it_was(identity):
            return False
        if not identity.credential.startswith(NAME_PREFIX):
            return True
        if not self._tokens.has_family(identity.credential):
            return False
        self._is_used(identity.credential)  # a WebSocket that is open uses it all the time
        return True

    def _is_used(self, name: str) -> None:
        at = self.now().replace(second=0, microsecond=0)
        if self._used.get(name) != at:
            self._used[name] = at
            self._used_since.add(name)

    def _is_as_it_was(self, identity: Identity) -> bool:
        agent = self._directory.agent(identity.agent) if identity.agent is not None else None
        if agent is None or not agent.enabled:
            return False
        if identity.role is not agent.role:
            return not identity.credential.startswith(NAME_PREFIX)  # a JWT may say its role
        return identity.departments == of_agent(agent).departments

    def _identity(self, token: StoredToken) -> Identity | None:
        if token.is_over(self.now()):
            return None
        scopes = frozenset(Scope(each) for each in token.scopes)
        if token.kind is TokenKind.PROGRAM:
            # About everybody: what it may is for its scopes alone.
            return Identity(
                Kind.MACHINE,
                Role.ADMINISTRATOR,
                scopes,
                tenant=self._tenant,
                expires_at=token.expires_at,
                credential=token.name,
            )
        agent = self._directory.agent(AgentId(token.agent))
        if agent is None or not agent.enabled:
            return None
        found = narrowed(of_agent(agent, tenant=self._tenant), scopes)
        return replace(found, expires_at=token.expires_at, credential=token.name)

    # -- made, renewed, revoked -------------------------------------------------------------------

    async def log_in(
        self, agent: str, password: str, source: str, scopes: Iterable[str] = ()
    ) -> Issued:
        """An agent's first. Raises TokenRefused, StorageError."""
        if wait_s := self._guesses.wait_s(agent, source):
            text = f"too many wrong passwords; wait {math.ceil(wait_s)} s"
            raise TokenRefused("too_many_attempts", text, wait_s)
        self._guesses.begin(agent, source)
        is_right = await self._directory.is_password(AgentId(agent), password)
        known = self._directory.agent(AgentId(agent))
        if not is_right or known is None or not known.enabled:
            self._guesses.fail(source)
            log.warning("token refused", reason="password", source=source)
            raise TokenRefused("unauthorised", "no such agent, or another password")
        self._guesses.forgive(agent, source)
        whole = of_agent(known, tenant=self._tenant).scopes
        wanted = whole & {Scope(each) for each in scopes} if scopes else whole
        return await self._issue(new_name(), agent, tuple(sorted(wanted)))

    async def refresh(self, token: str) -> Issued:
        """The next of a family. One that is used twice was stolen: all of its family go.

        Raises TokenRefused, StorageError.
        """
        found = self._tokens.find(hash_of(token))
        if found is None or found.kind is not TokenKind.REFRESH or found.is_over(self.now()):
            raise TokenRefused("unauthorised", "the refresh token is not known, or over")
        if found.spent_at is not None:
            log.warning("refresh token used twice", credential=found.name, agent=found.agent)
            await self.revoke(found.name)
            raise TokenRefused("unauthorised", "the refresh token was used before; log in again")
        if self._identity(replace(found, kind=TokenKind.ACCESS)) is None:
            raise TokenRefused("unauthorised", "the agent can't log on any more")
        self._is_used(found.name)
        spent = replace(found, spent_at=self.now())
        # In memory at once: of two that come together, one is the second.
        self._tokens.put(spent)
        try:
            return await self._issue(found.name, found.agent, found.scopes, spent)
        except BaseException:
            if spent in self._tokens:  # else it was revoked meanwhile
                self._tokens.put(found)
            raise

    async def add_program(
        self, name: str, scopes: Iterable[str], expires_in_s: float | None, by: Identity
    ) -> Issued:
        """A token for a program, for no more than who asks has. Raises TokenRefused, StorageError.

        Its name must be free.
        """
        missing = sorted(set(scopes) - by.scopes)
        if missing:
            raise TokenRefused("not_permitted", f"you have no {', '.join(missing)} to give away")
        if any(each.label == name for each in self._tokens):
            raise TokenRefused("name_taken", f"there is a program {name}; revoke its token first")
        now, access = self.now(), PROGRAM_PREFIX + new_secret()
        expires_at = None if expires_in_s is None else now + timedelta(seconds=expires_in_s)
        token = StoredToken(
            new_name(),
            TokenKind.PROGRAM,
            hash_of(access),
            "",
            name,
            tuple(sorted(set(scopes))),
            now,
            expires_at,
        )
        await self._keep([token])
        log.info("token for a program made", program=name, credential=token.name)
        identity = self._identity(token)
        assert identity is not None
        return Issued(identity, access, expires_at)

    async def revoke(self, name: str) -> bool:
        """End a family at once, its sockets too. False where there is none. Raises StorageError."""
        return await self._revoke([name])

    async def revoke_of(self, agent: str) -> None:
        """End all of an agent's. Raises StorageError."""
        await self._revoke({each.name for each in self._tokens if agent and each.agent == agent})

    async def _revoke(self, names: Iterable[str]) -> bool:
        """Whether there was one. All are over before anything is awaited."""
        if not self._end(names):
            return False
        await self._remove_doomed()
        return True

    def _end(self, names: Iterable[str]) -> bool:
        """End families; whether there was one. What is kept of them is removed later."""
        gone = {name: hashes for name in names if (hashes := self._tokens.drop_family(name))}
        for name, hashes in gone.items():
            log.info("token revoked", credential=name)
            self._used.pop(name, None)
            # Where the database is away it is over all the same, and removed when that is back.
            self._doomed.update(hashes)
        if gone:
            for changed in self._watchers:
                changed()
        return bool(gone)

    def _directory_changed(self) -> None:
        """Who is there no more has no tokens: his number may be given to somebody else."""
        gone = {
            token.name
            for token in self._tokens
            if token.agent and self._directory.agent(AgentId(token.agent)) is None
        }
        self._end(gone)

    def of(self, identity: Identity) -> list[StoredToken]:
        """Those that are not over, of an agent its own: one a family, that which lasts longest."""
        now = self.now()
        found: dict[str, StoredToken] = {}
        for token in self._tokens:
            if token.is_over(now) or token.spent_at is not None:
                continue
            if identity.role is not Role.ADMINISTRATOR and token.agent != identity.agent:
                continue
            if token.kind is not TokenKind.ACCESS or token.name not in found:
                found[token.name] = replace(token, used_at=self._used.get(token.name))
        return sorted(found.values(), key=lambda token: token.created_at)

    async def keep_tidy(self) -> None:
        """Take those away that are over, now and again and again."""
        while True:
            await asyncio.sleep(_TIDY_S)
            try:
                await self.forget_over()
                await self.keep_uses()
            except StorageError as error:
                log.warning("tokens can't be kept up to date now", reason=str(error))

    async def keep_uses(self) -> None:
        """Keep when tokens were used last: not at each use, but of all together.

        Who is killed has lost a minute of it. Raises StorageError.
        """
        names, self._used_since = self._used_since, set()
        if moments := {name: self._used[name] for name in names if name in self._used}:
            try:
                await self._store.used(moments)
            except BaseException:
                self._used_since |= names
                raise

    async def close(self) -> None:
        """Keep what is only in memory, if the database takes it."""
        with suppress(StorageError):
            await self.keep_uses()

    async def forget_over(self) -> None:
        """Take those away that are over. Raises StorageError."""
        now = self.now()
        over = [token for token in self._tokens if token.is_over(now)]
        for each in over:
            self._tokens.drop(each)
            if not self._tokens.has_family(each.name):
                self._used.pop(each.name, None)
        self._doomed.update(each.hash for each in over)
        await self._remove_doomed()

    async def _remove_doomed(self) -> None:
        if doomed := [*self._doomed]:
            await self._store.remove(doomed)
            self._doomed.difference_update(doomed)

    async def _issue(
        self, name: str, agent: str, scopes: tuple[str, ...], *spent: StoredToken
    ) -> Issued:
        now, access, refresh = self.now(), ACCESS_PREFIX + new_secret(), new_secret()
        refresh = REFRESH_PREFIX + refresh
        ends = now + timedelta(seconds=self._settings.access_s)
        refresh_ends = now + timedelta(seconds=self._settings.refresh_s)
        used_at = self._used.get(name)
        made = [
            StoredToken(name, kind, hash_of(token), agent, "", scopes, now, until, None, used_at)
            for kind, token, until in (
                (TokenKind.ACCESS, access, ends),
                (TokenKind.REFRESH, refresh, refresh_ends),
            )
        ]
        await self._keep(made, *spent)
        identity = self._identity(made[0])
        if identity is None:
            raise TokenRefused("unauthorised", "the agent can't log on any more")
        return Issued(identity, access, ends, refresh, refresh_ends)

    async def _keep(self, made: Sequence[StoredToken], *spent: StoredToken) -> None:
        """Keep new tokens. Raises TokenRefused where they were revoked meanwhile, StorageError."""
        # In memory first: what revokes all of an agent's has those too that are being kept.
        for each in made:
            self._tokens.put(each)
        try:
            await self._store.put([*spent, *made])
        except BaseException:
            for each in made:
                self._tokens.drop(each)
            raise
        if any(each not in self._tokens for each in made):
            self._doomed.update(each.hash for each in (*spent, *made))
            await self._remove_doomed()
            raise TokenRefused("unauthorised", "the token was revoked meanwhile")


ACCESS_PREFIX, REFRESH_PREFIX, PROGRAM_PREFIX = "aea_", "aer_", "aep_"
"""So that who finds one in a log or a repository knows what it is."""
_LENGTH = 4 + 43
"""With 32 octets in base64."""
NAME_PREFIX = "tok-"


def new_secret() -> str:
    """256 bits."""
    return secrets.token_urlsafe(32)


def new_name() -> str:
    """Of a family; no secret."""
    return NAME_PREFIX + secrets.token_hex(8)


def hash_of(token: str) -> str:
    """As it is kept. What holds 256 random bits needs no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
