"""What call control is told of the house: how long it waits, and who may have part in what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from endpoint.callcontrol.permissions import Permissions, Rules
from endpoint.callcontrol.recordingrules import RecordingRules
from endpoint.callcontrol.recordingrules import Rules as RulesOfRecording
from endpoint.legs.base import DeviceId


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How long call control waits, and whom it lets have part in calls of others."""

    no_answer_s: float = 60.0
    """How long a leg may ring."""
    park_s: float = 120.0
    """How long a call may be parked before it rings where it was parked from."""
    refer_s: float = 120.0
    """How long a far end that transfers may take to tell what came of it."""
    failure_tone_s: float = 3.0
    """How long a caller hears the busy tone when the call failed."""
    permissions: Permissions = field(default_factory=Rules)
    """Who may supervise whom, and pick up where; by default nobody."""
    recording: RecordingRules = field(default_factory=RulesOfRecording)
    """Which calls are recorded by themselves; by default none."""
    agent_at: Callable[[DeviceId], str] = lambda _: ""
    """Who works at a device now, for the record; by default nobody."""
    queue_of: Callable[[DeviceId, DeviceId], str] = lambda _, __: ""
    """Whose queue's call it is where a device dials a number that no extension of ours has.

    Empty: no queue's, as by default.
    """
