"""The state directory: local CA, server certificate, bearer token, database, recordings.

Everything secret in it has mode 0600; the directory itself 0700.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from endpoint import plaintext
from endpoint.agents.identity import DEFAULT_TENANT
from endpoint.errors import ConfigurationError, EndpointError


class StateInUse(EndpointError):
    """Another endpoint keeps its state in this directory."""


class Running(msgspec.Struct, frozen=True):
    """Where the endpoint that uses a state directory can be reached."""

    pid: int
    url: str
    """Of the page, with TLS."""
    plain_url: str
    """Without TLS, on this machine; empty where there is none."""
    sip_udp: str
    """`host:port`."""
    wss: str
    certificate: str
    """PEM of the certificate that it shows: commands trust the holder of its key alone."""
    sip_tcp: str = ""
    """`host:port`; empty where there is none."""
    sip_tls: str = ""
    basiccall: str = ""
    """What BasicCall's pages have as `serverUri`; empty where they are not served."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Where things are kept; `prepared` makes the directories."""

    path: Path

    @property
    def token_file(self) -> Path:
        """The bearer token, one line."""
        return self.path / "token"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "endpoint.sqlite3"

    @property
    def unwritten_calls(self) -> Path:
        """Call records that the database did not take yet."""
        return self.path / "unwritten-calls.jsonl"

    @property
    def unwritten_agent_events(self) -> Path:
        """Events of agents that the database did not take yet."""
        return self.path / "unwritten-agent-events.jsonl"

    @property
    def open_calls(self) -> Path:
        """Calls that are not over, for the process after one that died."""
        return self.path / "open-calls.jsonl"

    @property
    def idempotency(self) -> Path:
        """Requests with an `Idempotency-Key`, and what they were answered."""
        return self.path / "idempotency.jsonl"

    @property
    def call_backs(self) -> Path:
        """Who is to be called back."""
        return self.path / "call-backs.jsonl"

    @property
    def queue_days(self) -> Path:
        """What has become of today's calls in each queue."""
        return self.path / "queue-days.jsonl"

    @property
    def open_recordings(self) -> Path:
        """Recordings of which the database does not know all yet."""
        return self.path / "open-recordings.jsonl"

    @property
    def open_dialogs(self) -> Path:
        """Their far ends in SIP."""
        return self.path / "open-dialogs.jsonl"

    @property
    def registrations(self) -> Path:
        """Telephones that are registered here over UDP."""
        return self.path / "registrations.jsonl"

    @property
    def contacts(self) -> Path:
        """Where accounts at outside servers are reached."""
        return self.path / "contacts.jsonl"

    @property
    def recordings(self) -> Path:
        """Where recordings go, a directory a day."""
        return self.path / "recordings"

    @property
    def installation_file(self) -> Path:
        """The name of this installation, a UUID in one line."""
        return self.path / "installation"

    @property
    def tenant_file(self) -> Path:
        """Whose all of this is, one line."""
        return self.path / "tenant"

    @property
    def tls(self) -> Path:
        """The local CA, and the certificate that it made."""
        return self.path / "tls"

    def prepared(self) -> StateDirectory:
        """Make what is missing. Raises `ConfigurationError` where that is not allowed."""
        try:
            for directory in (self.path, self.recordings, self.tls):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "not writable")
        except OSError as error:
            mistake = (
                f"state.directory: found {str(self.path)!r} ({error.strerror}), expected a "
                "directory that this user may write to; set AGENT_ENDPOINT_STATE__DIRECTORY"
            )
            raise ConfigurationError([mistake]) from error
        return self

    def kept_for(self, tenant: str) -> StateDirectory:
        """This one, where it is nobody's yet or that tenant's. Raises `ConfigurationError`.

        Records, registrations and recordings that wait here for the database are a tenant's too.
        """
        try:
            found = self.tenant_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            # Before there were others all were the default one's.
            found = DEFAULT_TENANT if self.installation_file.exists() else tenant
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"{self.tenant_file}: can't be read: {error}"]) from error
        if found != tenant:
            mistake = (
                f"state.directory: found {str(self.path)!r}, which is of tenant {found!r}, "
                f"expected a directory of its own for tenant {tenant!r} (tenant.name)"
            )
            raise ConfigurationError([mistake])
        return self

    def keep_for(self, tenant: str) -> None:
        """From now on it is that tenant's alone. Raises `ConfigurationError`."""
        if not self.kept_for(tenant).tenant_file.exists():
            write_private(self.tenant_file, f"{tenant}\n".encode("ascii"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other endpoints out. Raises `StateInUse`.

        The kernel lets go of it when we die, however we die.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                running = self.running()
                by = f" (pid {running.pid}, {running.url})" if running else ""
                raise StateInUse(
                    f"another agent-endpoint{by} uses {self.path}; stop it, or set "
                    "AGENT_ENDPOINT_STATE__DIRECTORY to another directory"
                ) from error
            yield

    def is_held(self) -> bool:
        """Whether an endpoint lives that keeps others out."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Tell other commands on this machine where we are, while we are."""
        self.announce(running)
        try:
            yield
        finally:
            self._running_file.unlink(missing_ok=True)

    def announce(self, running: Running) -> None:
        """Tell them so from now on, where something of it has changed."""
        write_private(self._running_file, plaintext.encode(running))

    @property
    def _running_file(self) -> Path:
        return self.path / "running.json"

    def running(self) -> Running | None:
        """Where an endpoint says it is; it may have died since."""
        try:
            return msgspec.json.decode(self._running_file.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def installation(self) -> UUID:
        """What this installation is called for ever; made when it has no name.

        Raises `ConfigurationError`.
        """
        try:
            return UUID(self.installation_file.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            name = uuid4()
            write_private(self.installation_file, f"{name}\n".encode("ascii"))
            return name
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                [f"{self.installation_file}: can't be read: {error}, expected a UUID"]
            ) from error

    def token(self) -> str:
        """The bearer token; made when there is none."""
        found = self.stored_token()
        return found or self.new_token()

    def stored_token(self) -> str | None:
        """The bearer token, or None where none was made yet. Raises `ConfigurationError`."""
        try:
            return self.token_file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"{self.token_file}: can't be read: {error}"]) from error

    def new_token(self) -> str:
        """Make a new token, which ends the old one at the next start."""
        token = secrets.token_urlsafe(32)
        write_private(self.token_file, (token + "\n").encode("ascii"))
        return token


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
