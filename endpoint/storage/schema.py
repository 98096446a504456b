"""The tables. A tenant is part of every unique key, so that none meets another's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

LONGEST_SEARCHED = 200
"""Characters of a text that an index holds: PostgreSQL's takes no row above 2,700 octets."""
SEARCHED = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is searched by how it begins: elsewhere PostgreSQL sorts it by a language's rules."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. SQLite forgets time zones: what is stored is UTC, and what is read says so."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can name it too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class TenantRow(Base):
    """One customer's world."""

    __tablename__ = "tenant"
    # Whoever still serves one that was removed must not find itself in the next one's rows.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    domain: Mapped[str | None] = mapped_column(String(253), unique=True)
    """Of its addresses in SIP, in lower case; None: its process takes those of any."""


class ExtensionRow(Base):
    """A device that may register with the embedded sipWsServer."""

    __tablename__ = "extension"
    # The pair is a key too, so that credentials and aliases can't point into another tenant.
    __table_args__ = (UniqueConstraint("tenant_id", "number"), UniqueConstraint("tenant_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    number: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(128), default="")
    weak: Mapped[bool] = mapped_column(default=False)
    """Its password was weak when it was set; what is stored can't be judged any more."""

    credentials: Mapped[list[CredentialRow]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True
    )
    aliases: Mapped[list[AliasRow]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True
    )


class CredentialRow(Base):
    """One digest HA1 of an extension. Never a clear password."""

    __tablename__ = "credential"
    __table_args__ = (
        UniqueConstraint("tenant_id", "username", "realm", "algorithm"),
        ForeignKeyConstraint(
            ["tenant_id", "extension_id"],
            ["extension.tenant_id", "extension.id"],
            ondelete="CASCADE",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    extension_id: Mapped[int]
    username: Mapped[str] = mapped_column(String(64))
    realm: Mapped[str] = mapped_column(String(64))
    algorithm: Mapped[str] = mapped_column(String(16))
    """`MD5`, `SHA-256`, `SHA-512-256`."""
    ha1: Mapped[str] = mapped_column(String(64))
    """Lower-case hex."""


class AliasRow(Base):
    """Another number by which an extension is reached."""

    __tablename__ = "alias"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number"),
        ForeignKeyConstraint(
            ["tenant_id", "extension_id"],
            ["extension.tenant_id", "extension.id"],
            ondelete="CASCADE",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    extension_id: Mapped[int]
    number: Mapped[str] = mapped_column(String(64))


class CallRow(Base):
    """What stays of a call: exactly one row each.

    What is searched has a column, or rows of `call_party` and `call_datum`.
    """

    __tablename__ = "call_record"
    __table_args__ = (
        UniqueConstraint("tenant_id", "call"),
        # All that a search looks at, in its order: it reads this alone, until it knows the rows.
        Index(
            "ix_call_record_search",
            "tenant_id",
            "started_at",
            "id",
            "direction",
            "cause",
            "talked_ms",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    interaction: Mapped[str] = mapped_column(Text, index=True)
    call: Mapped[str] = mapped_column(Text)
    direction: Mapped[str] = mapped_column(String(16))
    calling: Mapped[str] = mapped_column(Text)
    called: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    established_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ending: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Cause, who let go, SIP status, Q.850."""
    cause: Mapped[str] = mapped_column(String(32), default="")
    """That of the ending."""
    talked_ms: Mapped[int | None] = mapped_column(BigInteger)
    """From when they could talk to the end; none where they never could."""
    connections: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """One entry a device, with its own ending."""
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What clients gave to the call."""
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Its way from device to device."""
    ivr_path: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """The nodes of flows that its caller went through."""


class PartyRow(Base):
    """A number that a call is found by."""

    __tablename__ = "call_party"
    __table_args__ = (
        UniqueConstraint("record_id", "number", "kind"),
        Index("ix_call_party_number", "tenant_id", "number", "kind", "record_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(ForeignKey("call_record.id", ondelete="CASCADE"))
    number: Mapped[str] = mapped_column(SEARCHED)
    """Its beginning, where it is longer than `LONGEST_SEARCHED`."""
    kind: Mapped[str] = mapped_column(String(8))
    """`calling`, `called`; `device`: whoever had part in it and is no caller from outside; `agent`:
    who was logged on there."""
    tenant_id: Mapped[int]


class DatumRow(Base):
    """A text that clients gave to a call, by its key."""

    __tablename__ = "call_datum"
    __table_args__ = (
        UniqueConstraint("record_id", "key"),
        Index("ix_call_datum_key", "tenant_id", "key", "value", "record_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(ForeignKey("call_record.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(64))
    value: Mapped[str] = mapped_column(Text)
    """Its beginning, where it is longer than `LONGEST_SEARCHED`."""
    tenant_id: Mapped[int]


class PlanRuleRow(Base):
    """One rule of the dial plan; its columns are those of `callcontrol.dialplan.Rule`."""

    __tablename__ = "plan_rule"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    pattern: Mapped[str] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(16))
    direction: Mapped[str] = mapped_column(String(8))
    position: Mapped[int]
    callers: Mapped[list[str]] = mapped_column(JSON)
    trunks: Mapped[list[str]] = mapped_column(JSON)
    hours: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(String(64))
    holidays: Mapped[list[str]] = mapped_column(JSON)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    device: Mapped[str] = mapped_column(String(64))
    shown: Mapped[str] = mapped_column(String(64))
    location: Mapped[str] = mapped_column(Text)
    premium: Mapped[bool]
    cause: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool]


class RecordingRow(Base):
    """A recording's file: exactly one row each, which stays when the file is deleted."""

    __tablename__ = "recording"
    __table_args__ = (UniqueConstraint("tenant_id", "recording"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    recording: Mapped[str] = mapped_column(String(36))
    """A UUID."""
    interaction: Mapped[str] = mapped_column(Text, index=True)
    call: Mapped[str] = mapped_column(Text, index=True)
    """As of its record."""
    path: Mapped[str] = mapped_column(Text)
    """Below the directory of recordings."""
    format: Mapped[str] = mapped_column(String(16))
    sample_rate_hz: Mapped[int]
    encrypted: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16), index=True)
    """`recording complete failed lost deleted`."""
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    by: Mapped[str | None] = mapped_column(Text)
    """The device that asked for it; none where a rule did."""
    rule: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    left: Mapped[list[str]] = mapped_column(JSON)
    """All that were on this side."""
    right: Mapped[list[str]] = mapped_column(JSON)
    pauses: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """When each began and ended."""
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    """Octets on disk."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the file as it is on disk."""
    text: Mapped[str] = mapped_column(Text)
    """Why it failed."""


class AgentSessionRow(Base):
    """An agent that has ever logged on: where its log is, and its session while it has one."""

    __tablename__ = "agent_session"
    __table_args__ = (UniqueConstraint("tenant_id", "agent"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    agent: Mapped[str] = mapped_column(String(64))
    """By which it logs on. Its log stays when the directory knows it no more."""
    number: Mapped[int] = mapped_column(BigInteger)
    """Of its log's last line, also where lines are too old to be kept."""
    device: Mapped[str | None] = mapped_column(String(64))
    """Where it is logged on; none where it is not."""
    session: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """All of its session, as `endpoint.agents.keeping` has it."""


class AgentEventRow(Base):
    """A line of an agent's log."""

    __tablename__ = "agent_event"
    __table_args__ = (UniqueConstraint("tenant_id", "agent", "number"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    agent: Mapped[str] = mapped_column(String(64))
    number: Mapped[int] = mapped_column(BigInteger)
    """From 1, without gaps."""
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    kind: Mapped[str] = mapped_column(String(64))
    """The event's name, as `AgentReady`."""
    fields: Mapped[dict[str, Any]] = mapped_column(JSON)
    """All that it says; keys that were pressed are masked."""


class AgentRow(Base):
    """A person who logs on; its columns are those of `agents.model.Agent`."""

    __tablename__ = "agent"
    # The pair is a key too, so that an agent's skills can't be of another tenant.
    __table_args__ = (UniqueConstraint("tenant_id", "number"), UniqueConstraint("tenant_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    number: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    department: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    supervises: Mapped[list[str]] = mapped_column(JSON)
    wrap_up_s: Mapped[float] = mapped_column(Double)
    devices: Mapped[list[str]] = mapped_column(JSON)
    enabled: Mapped[bool]
    password: Mapped[str | None] = mapped_column(Text)
    """Its argon2 hash; none where there is no password."""
    dials_for_skill: Mapped[bool] = mapped_column(server_default=false())


class SkillRow(Base):
    """Something that agents can do; its columns are those of `agents.directory.Skill`."""

    __tablename__ = "skill"
    __table_args__ = (UniqueConstraint("tenant_id", "code"), UniqueConstraint("tenant_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))


class AgentSkillRow(Base):
    """How well an agent can do what."""

    __tablename__ = "agent_skill"
    __table_args__ = (
        UniqueConstraint("tenant_id", "agent_id", "skill_id"),
        ForeignKeyConstraint(
            ["tenant_id", "agent_id"], ["agent.tenant_id", "agent.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "skill_id"], ["skill.tenant_id", "skill.id"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    agent_id: Mapped[int]
    skill_id: Mapped[int]
    level: Mapped[int]


class QueueRow(Base):
    """Where calls wait; its columns are those of `agents.directory.QueueSettings`."""

    __tablename__ = "queue"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    skills: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    priority: Mapped[int]
    ring_s: Mapped[float] = mapped_column(Double)
    rest_s: Mapped[float] = mapped_column(Double)
    no_answer: Mapped[str] = mapped_column(String(16))
    no_answer_reason: Mapped[str] = mapped_column(String(64))
    overflow: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    announce_every_s: Mapped[float] = mapped_column(Double)
    announce_wait: Mapped[bool]
    music: Mapped[str] = mapped_column(Text)
    call_back: Mapped[bool]
    most_waiting: Mapped[int | None]
    enabled: Mapped[bool]


class WorkModeRow(Base):
    """A way of working; its columns are those of `agents.model.WorkMode`."""

    __tablename__ = "work_mode"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    code: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    basic: Mapped[int]
    skill: Mapped[str] = mapped_column(String(64))
    visible: Mapped[bool]
    position: Mapped[int]


class LeaveReasonRow(Base):
    """Why agents are not ready; its columns are those of `agents.model.LeaveReason`."""

    __tablename__ = "leave_reason"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    visible: Mapped[bool]


class TokenRow(Base):
    """A token of an agent or a program: never the token itself."""

    __tablename__ = "token"
    __table_args__ = (UniqueConstraint("tenant_id", "hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(32))
    """Of the family: all since an agent gave its password."""
    kind: Mapped[str] = mapped_column(String(8))
    """`access refresh program`."""
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256, lower-case hex."""
    agent: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(64))
    """The program's name."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    spent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When a refresh token was used."""
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When one of its family was used last, to the minute."""


class WebhookRow(Base):
    """Who is told of events by HTTP."""

    __tablename__ = "webhook"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(64))
    """As it is: what is told is signed by it."""
    key: Mapped[str] = mapped_column(String(16))
    events: Mapped[list[str]] = mapped_column(JSON)
    agents: Mapped[list[str]] = mapped_column(JSON)
    devices: Mapped[list[str]] = mapped_column(JSON)
    enabled: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    places: Mapped[dict[str, int]] = mapped_column(JSON)
    """By source, the number of the last event that was taken."""


class UndeliveredRow(Base):
    """What nobody took for too long."""

    __tablename__ = "undelivered"
    __table_args__ = (UniqueConstraint("tenant_id", "webhook", "message"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"))
    webhook: Mapped[str] = mapped_column(String(64))
    """Its name."""
    message: Mapped[str] = mapped_column(String(160))
    source: Mapped[str] = mapped_column(String(80))
    event: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    given_up_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int]
    failure: Mapped[str] = mapped_column(String(64))
