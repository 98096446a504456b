"""Passwords of agents: argon2 hashes, made and checked where the loop and the audio don't wait."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from endpoint.agents.model import AgentId
from endpoint.errors import StorageError

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Each takes 64 MiB and the cores for a twentieth of a second, on purpose."""
_NICENESS = 10
T = TypeVar("T")
_Keep = Callable[[AgentId, str, str], Awaitable[None]]


class AgentPasswords:
    """Implements `Passwords`: `with AgentPasswords(keep) as passwords`.

    Agents without a password, and those that are not there, are checked against a hash that
    nothing fits: by the time that it takes nobody finds out who there is.
    """

    def __init__(self, keep: _Keep, hasher: PasswordHasher | None = None) -> None:
        """Set up.

        Args:
            keep: is given a new hash of a password, and the one before, where the one before was
                made by parameters that are not today's.
            hasher: by default with the library's parameters.
        """
        self._keep = keep
        self._hasher = hasher or PasswordHasher()
        self._hashes: Mapping[AgentId, str] = {}
        self._nobody = ""
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords", initializer=_yield_to_audio)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __repr__(self) -> str:
        return f"<AgentPasswords of {len(self._hashes)} agents>"

    def load(self, hashes: Mapping[AgentId, str]) -> None:
        """Let these count, and no others."""
        self._hashes = dict(hashes)

    def has(self, agent: AgentId) -> bool:
        """Whether there is one."""
        return agent in self._hashes

    def add(self, hashes: Mapping[AgentId, str]) -> None:
        """Let these count too."""
        self._hashes = {**self._hashes, **hashes}

    def forget(self, agents: set[AgentId]) -> None:
        """Let no password of these count."""
        self._hashes = {each: known for each, known in self._hashes.items() if each not in agents}

    async def hash(self, password: str) -> str:
        """What is kept of one."""
        return await self._run(self._hasher.hash, _octets(password))

    async def is_right(self, agent: AgentId, password: str) -> bool:
        """See `Passwords`."""
        if not self._nobody:  # whoever asks first waits twice as long, whomever he asks about
            self._nobody = await self.hash(secrets.token_urlsafe())
        while True:
            known = self._hashes.get(agent)
            right = await self._run(self._verify, known or self._nobody, _octets(password))
            if not right or known is None:
                return False
            if self._hashes.get(agent) == known:
                break  # else it has another one since
        if self._hasher.check_needs_rehash(known):
            await self._rehash(agent, known, password)
        return True

    def _verify(self, known: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _rehash(self, agent: AgentId, before: str, password: str) -> None:
        after = await self.hash(password)
        try:
            await self._keep(agent, before, after)
        except StorageError:
            log.warning("a password could not be hashed anew", agent=agent)
            return
        if self._hashes.get(agent) == before:
            self.add({agent: after})

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)


def _octets(password: str) -> bytes:
    """One password however a keyboard composes it (RFC 8265 §4.2.2)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _yield_to_audio() -> None:
    """Let the thread, and those that argon2 starts from it, have what is left of the cores."""
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
