"""Which buttons a page shows in which state: BasicCall's layout, and of it what can be done.

The layout says where a button belongs. Whether it is there is read from call control's table of
transitions, so what is shown is what is allowed; what else decides are the agent's rights, and the
masks of the centre.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.model import ConnectionState
from endpoint.callcontrol.transitions import (
    NEEDS_OTHER_CALL,
    OF_LENDERS,
    OF_SUPERVISORS,
    TALKS,
    allowed_commands,
)
from endpoint.gateways.basiccall.frames import dumped
from endpoint.gateways.basiccall.names import Function as F
from endpoint.gateways.basiccall.names import State as S

_OUTER = (F.FINISH_CALL_OUT, F.CALL_OUT_TRANSFER, F.CALL_OUT_SWAP, F.CALL_OUT_CONF)
_INNER = (F.FINISH_CONSULT, F.CONSULT_TRANSFER, F.CONSULT_SWAP, F.CONSULT_CONF)
LAYOUT: dict[S, tuple[F, ...]] = {
    S.INITIAL: (F.LOGON, F.WORK_MODE),
    S.IDLE: (
        *(F.LOGOFF, F.DIAL, F.CALL_INNER, F.MONITOR, F.LEAVE),
        *(F.WORK_MODE, F.AGENT_MESSAGE, F.MONITOR_CONTROL),
    ),
    S.RINGING: (F.ANSWER, F.DROP_CALL),
    S.TALK: (F.HOLD, F.CONSULT, F.CALL_OUT, F.TRANSFER_MENU, F.DROP_CALL, F.AGENT_MESSAGE),
    S.HOLD: (F.FETCH_HOLD,),
    S.DIAL_INPUT: (F.CANCEL_PREPARE_DIAL,),
    S.DIALING: (F.CANCEL_DIAL,),
    S.HOLD_CONSULT_RINGING: (F.CANCEL_CONSULT,),
    S.HOLD_CONSULT: _INNER,
    S.TALK_CONSULT_HOLD: (F.CONSULT_SWAP_BACK,),
    S.HOLD_CALLING: (F.CANCEL_CONSULT,),
    S.HOLD_TALK: _OUTER,
    S.TALK_HOLD: (F.CALL_OUT_SWAP_BACK,),
    S.MONITOR_SELECT: (F.CANCEL_PREPARE_MONITOR,),
    S.MONITORING: (F.FORCE_DROP, F.INTERCEPT, F.INTERVENE, F.FINISH_MONITOR),
    S.INTERVENE_CONF: (F.DROP_CONF,),
    S.WRAPUP: (F.FINISH_WRAPUP,),
    S.CONSULTED: (F.DROP_CALL,),
    S.CONSULTED_HOLD: (F.DROP_CALL,),
    S.CONSULT_CONF: (F.DROP_CONF,),
    S.CALLOUT_CONF: (F.DROP_CONF,),
    S.SLAVE_CONF: (F.DROP_CALL,),
    S.LEAVE: (F.LOGOFF, F.RESUME_WORK, F.WORK_MODE),
    S.INNER_SELECT: (F.CANCEL_PREPARE_CALL_INNER,),
    S.INNER_ALERTING: (F.CANCEL_CALL_INNER,),
    S.INNER_TALK: (F.DROP_CALL,),
    S.INNER_HOLD: (F.FETCH_HOLD,),
    S.INNER_HELD: (F.DROP_CALL,),
    S.WAIT_RINGING: (F.DROP_CALL,),
    S.IVR_VERIFY: (F.CANCEL_WAIT,),
    S.ONE_STEP_TRANSFERRING: (),
    S.NO_DEVICE_ONLINE: (F.LOGOFF, F.LEAVE, F.WORK_MODE),
}
"""Where each button belongs. In a state that is not here there is none."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """What call control knows a state as."""

    own: ConnectionState
    established: bool = True
    other: ConnectionState | None = None
    """The device's connection in its other call."""
    supervises: bool = False
    lends: bool = False

    def allows(self, command: CommandName) -> bool:
        """Whether the device may do it, in one call or the other."""
        if command in (CommandName.JOIN_CALL, CommandName.INTERCEPT_CALL):
            return self.own in TALKS
        if self.lends and command in OF_LENDERS:
            return True
        states = [self.own] if self.other is None else [self.own, self.other]
        found = {
            each
            for state in states
            for each in allowed_commands(
                state, established=self.established or state is ConnectionState.HOLD
            )
        }
        if self.other is None:
            found -= NEEDS_OTHER_CALL
        if self.supervises:
            found &= OF_SUPERVISORS
        return command in found


_C, _H = ConnectionState.CONNECTED, ConnectionState.HOLD
SITUATIONS: dict[S, _Situation] = {
    S.IDLE: _Situation(ConnectionState.NULL),
    S.RINGING: _Situation(ConnectionState.ALERTING, established=False),
    S.WAIT_RINGING: _Situation(ConnectionState.ALERTING, established=False),
    S.TALK: _Situation(_C),
    S.HOLD: _Situation(_H),
    S.DIALING: _Situation(_C, established=False),
    S.HOLD_CONSULT_RINGING: _Situation(_C, established=False, other=_H),
    S.HOLD_CALLING: _Situation(_C, established=False, other=_H),
    S.HOLD_CONSULT: _Situation(_C, other=_H),
    S.HOLD_TALK: _Situation(_C, other=_H),
    S.TALK_CONSULT_HOLD: _Situation(_C, other=_H),
    S.TALK_HOLD: _Situation(_C, other=_H),
    S.MONITORING: _Situation(_C, supervises=True),
    S.INTERVENE_CONF: _Situation(_C),
    S.CONSULTED: _Situation(_C),
    S.CONSULTED_HOLD: _Situation(_C),
    S.CONSULT_CONF: _Situation(_C),
    S.CALLOUT_CONF: _Situation(_C),
    S.SLAVE_CONF: _Situation(_C),
    S.INNER_ALERTING: _Situation(_C, established=False),
    S.INNER_TALK: _Situation(_C),
    S.INNER_HOLD: _Situation(_H),
    S.INNER_HELD: _Situation(_C),
    S.IVR_VERIFY: _Situation(_C, lends=True),
}
"""Of states that are ones of calls; the others are the agent's, or the page's alone."""
NEEDS: dict[F, CommandName] = {
    F.DIAL: CommandName.MAKE_CALL,
    F.CALL_INNER: CommandName.MAKE_CALL,
    F.ANSWER: CommandName.ANSWER_CALL,
    F.HOLD: CommandName.HOLD_CALL,
    F.FETCH_HOLD: CommandName.RETRIEVE_CALL,
    F.CONSULT: CommandName.CONSULTATION_CALL,
    F.CALL_OUT: CommandName.CONSULTATION_CALL,
    F.TRANSFER_MENU: CommandName.SINGLE_STEP_TRANSFER,
    F.DROP_CALL: CommandName.CLEAR_CONNECTION,
    F.CANCEL_DIAL: CommandName.CLEAR_CONNECTION,
    F.CANCEL_CALL_INNER: CommandName.CLEAR_CONNECTION,
    F.CANCEL_CONSULT: CommandName.RECONNECT_CALL,
    F.FINISH_CONSULT: CommandName.RECONNECT_CALL,
    F.FINISH_CALL_OUT: CommandName.RECONNECT_CALL,
    F.CONSULT_TRANSFER: CommandName.TRANSFER_CALL,
    F.CALL_OUT_TRANSFER: CommandName.TRANSFER_CALL,
    F.CONSULT_SWAP: CommandName.ALTERNATE_CALL,
    F.CONSULT_SWAP_BACK: CommandName.ALTERNATE_CALL,
    F.CALL_OUT_SWAP: CommandName.ALTERNATE_CALL,
    F.CALL_OUT_SWAP_BACK: CommandName.ALTERNATE_CALL,
    F.CONSULT_CONF: CommandName.CONFERENCE_CALL,
    F.CALL_OUT_CONF: CommandName.CONFERENCE_CALL,
    F.DROP_CONF: CommandName.CLEAR_CONNECTION,
    F.FORCE_DROP: CommandName.CLEAR_CONNECTION,
    F.FINISH_MONITOR: CommandName.CLEAR_CONNECTION,
    F.INTERVENE: CommandName.JOIN_CALL,
    F.INTERCEPT: CommandName.INTERCEPT_CALL,
    F.CANCEL_WAIT: CommandName.RECONNECT_CALL,
}
"""What each button asks of call control."""
OF_SUPERVISORS_ALONE = frozenset(
    {F.MONITOR, F.MONITOR_CONTROL, F.FORCE_DROP, F.INTERCEPT, F.INTERVENE}
)


class _Button(msgspec.Struct):
    id: int
    enabled: bool


class _Buttons(msgspec.Struct):
    state: int
    functions: list[_Button]


def buttons_of(
    state: S, *, supervises: bool, mask: Collection[int] = (), offers_transfers: bool = True
) -> tuple[F, ...]:
    """The buttons of a state.

    Args:
        state: which.
        supervises: the agent has somebody whom it may supervise.
        mask: what the centre does not show.
        offers_transfers: the menu of transfers is shown.
    """
    situation = SITUATIONS.get(state)

    def is_there(button: F) -> bool:
        if button in mask or (button in OF_SUPERVISORS_ALONE and not supervises):
            return False
        if button is F.TRANSFER_MENU and not offers_transfers:
            return False
        command = NEEDS.get(button)
        return command is None or situation is None or situation.allows(command)

    return tuple(button for button in LAYOUT.get(state, ()) if is_there(button))


def state_settings(
    *, supervises: bool, mask: Collection[int] = (), offers_transfers: bool = True
) -> str:
    """`stateSettings`: the buttons of all states."""
    return dumped(
        [
            _Buttons(
                int(state),
                [
                    _Button(int(button), True)
                    for button in buttons_of(
                        state,
                        supervises=supervises,
                        mask=mask,
                        offers_transfers=offers_transfers,
                    )
                ],
            )
            for state in S
        ]
    )
