"""All that is noted as open, for the process after us, should we be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from endpoint.agents.callback import KeptCallBack
from endpoint.agents.tally import Day
from endpoint.app.idempotency import Once
from endpoint.app.lostcalls import OpenCallNotes
from endpoint.app.openstate import OpenState
from endpoint.app.state import StateDirectory
from endpoint.legs.recordings import RecordedFile
from signaling.keeping import KeptCall
from signaling.keptbindings import KeptBinding


class OpenNotes:
    """One file each, in a state directory."""

    def __init__(self, state: StateDirectory) -> None:
        self.calls = OpenCallNotes(state.open_calls)
        self.dialogs = OpenState(state.open_dialogs, KeptCall)
        self.bindings = OpenState(state.registrations, KeptBinding)
        self.contacts = OpenState(state.contacts, str)
        self.recordings = OpenState(state.open_recordings, RecordedFile)
        self.call_backs = OpenState(state.call_backs, KeptCallBack)
        self.queue_days = OpenState(state.queue_days, Day)
        self.idempotency_keys = OpenState(state.idempotency, Once)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Have what was left read, and write."""
        with ExitStack() as stack:
            stack.enter_context(self.calls.opened())
            for each in (
                self.dialogs,
                self.bindings,
                self.contacts,
                self.recordings,
                self.call_backs,
                self.queue_days,
                self.idempotency_keys,
            ):
                stack.enter_context(each.opened())
            yield
