"""The four transaction machines of RFC 3261 §17, as RFC 6026 corrects them.

A transaction is one request and all responses to it on one hop. Four machines exist, because an
INVITE (whose answer takes as long as a person does) is made reliable by ACK, while every other
request is answered at once::

    INVITE client §17.1.1   CALLING -> PROCEEDING -> ACCEPTED (2xx) | COMPLETED (3xx-6xx)
    INVITE server §17.2.1   PROCEEDING -> ACCEPTED (2xx) | COMPLETED (3xx-6xx) -> CONFIRMED (ACK)
    other client  §17.1.2   TRYING -> PROCEEDING -> COMPLETED
    other server  §17.2.2   TRYING -> PROCEEDING -> COMPLETED        (each ends in TERMINATED)

ACCEPTED is RFC 6026's: a transaction that had a 2xx lives on for 64*T1, so that retransmitted
INVITEs are absorbed and every 2xx of every fork still finds its transaction. The 2xx itself and
its ACK are the business of the transaction user (RFC 3261 §13), because they must survive end to
end, not hop by hop.

Each machine is a table, state x input -> (state, actions). An input without a row is discarded,
which is what the RFC says of each of them. Timers are inputs. Retransmission timers (A, E, G) run
on unreliable flows only, and the timers that wait for stragglers (D, I, J, K) are zero on
reliable ones: both rules are in `Transaction`, not in the tables.

RFC 4320 §4.1 adds that a non-INVITE request is not answered after 64*T1: nobody waits any more
(timer ABANDON).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Of all four machines."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What can happen to a transaction."""

    REQUEST = "request"
    """Client: the user sends it. Server: it came, once more where the transaction exists."""
    PROVISIONAL = "1xx"
    """Client: it came. Server: the user sends it."""
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    ACK = "ack"
    CREATED = "created"
    """Server: the request came for the first time."""
    ABANDON = "abandon"
    """The user waits no more for an answer to a cancelled INVITE (RFC 3261 §9.1)."""
    TRANSPORT_ERROR = "transport error"
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_E = "timer E"
    TIMER_F = "timer F"
    TIMER_G = "timer G"
    TIMER_H = "timer H"
    TIMER_I = "timer I"
    TIMER_J = "timer J"
    TIMER_K = "timer K"
    TIMER_L = "timer L"
    TIMER_M = "timer M"
    TIMER_TRYING = "timer TRYING"
    TIMER_ABANDON = "timer ABANDON"


class Action(StrEnum):
    """What the machine does. A timer without a row in the new state is stopped unnamed."""

    SEND = "send"
    """The request (client); the response that is the input (server)."""
    RESEND = "resend"
    """The last message once more, if there is one."""
    SEND_ACK = "send ACK"
    SEND_TRYING = "send 100"
    PASS_UP = "pass up"
    """Give the response, or the ACK, to the user."""
    REPORT_TIMEOUT = "report timeout"
    REPORT_TRANSPORT = "report transport error"
    START_A = "start A"
    START_B = "start B"
    START_D = "start D"
    START_E = "start E"
    START_E_SLOW = "start E at T2"
    START_F = "start F"
    START_G = "start G"
    START_H = "start H"
    START_I = "start I"
    START_J = "start J"
    START_K = "start K"
    START_L = "start L"
    START_M = "start M"
    START_TRYING = "start TRYING"
    STOP_TRYING = "stop TRYING"
    START_ABANDON = "start ABANDON"


Row = tuple[State, tuple[Action, ...]]
Table = Mapping[State, Mapping[Input, Row]]

_GIVE_UP: Row = (State.TERMINATED, (Action.REPORT_TIMEOUT,))
_FLOW_LOST: Row = (State.TERMINATED, (Action.REPORT_TRANSPORT,))
_OVER: Row = (State.TERMINATED, ())

INVITE_CLIENT: Table = {
    State.CALLING: {  # RFC 3261 §17.1.1.2
        Input.REQUEST: (State.CALLING, (Action.SEND, Action.START_A, Action.START_B)),
        Input.TIMER_A: (State.CALLING, (Action.RESEND, Action.START_A)),
        Input.TIMER_B: _GIVE_UP,
        Input.PROVISIONAL: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.SUCCESS: (State.ACCEPTED, (Action.START_M, Action.PASS_UP)),  # RFC 6026 §7.2
        Input.FAILURE: (State.COMPLETED, (Action.SEND_ACK, Action.START_D, Action.PASS_UP)),
        Input.TRANSPORT_ERROR: _FLOW_LOST,  # §17.1.4
        Input.ABANDON: _OVER,
    },
    State.PROCEEDING: {
        Input.PROVISIONAL: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.SUCCESS: (State.ACCEPTED, (Action.START_M, Action.PASS_UP)),  # RFC 6026 §7.2
        Input.FAILURE: (State.COMPLETED, (Action.SEND_ACK, Action.START_D, Action.PASS_UP)),
        Input.TRANSPORT_ERROR: _FLOW_LOST,  # no response can reach us any more
        Input.ABANDON: _OVER,  # RFC 3261 §9.1, last paragraph
    },
    State.ACCEPTED: {  # RFC 6026 §7.2: each 2xx goes up, other responses are absorbed
        Input.SUCCESS: (State.ACCEPTED, (Action.PASS_UP,)),
        Input.TIMER_M: _OVER,
        Input.TRANSPORT_ERROR: _OVER,
    },
    State.COMPLETED: {  # RFC 3261 §17.1.1.2: the ACK again for each repeated failure
        Input.FAILURE: (State.COMPLETED, (Action.SEND_ACK,)),
        Input.TIMER_D: _OVER,
        Input.TRANSPORT_ERROR: _OVER,  # the final response went up already
    },
}

CLIENT: Table = {
    State.TRYING: {  # RFC 3261 §17.1.2.2
        Input.REQUEST: (State.TRYING, (Action.SEND, Action.START_E, Action.START_F)),
        Input.TIMER_E: (State.TRYING, (Action.RESEND, Action.START_E)),
        Input.TIMER_F: _GIVE_UP,
        Input.PROVISIONAL: (State.PROCEEDING, (Action.START_E_SLOW, Action.PASS_UP)),
        Input.SUCCESS: (State.COMPLETED, (Action.START_K, Action.PASS_UP)),
        Input.FAILURE: (State.COMPLETED, (Action.START_K, Action.PASS_UP)),
        Input.TRANSPORT_ERROR: _FLOW_LOST,
    },
    State.PROCEEDING: {
        Input.TIMER_E: (State.PROCEEDING, (Action.RESEND, Action.START_E_SLOW)),
        Input.TIMER_F: _GIVE_UP,
        Input.PROVISIONAL: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.SUCCESS: (State.COMPLETED, (Action.START_K, Action.PASS_UP)),
        Input.FAILURE: (State.COMPLETED, (Action.START_K, Action.PASS_UP)),
        Input.TRANSPORT_ERROR: _FLOW_LOST,
    },
    State.COMPLETED: {  # repeated responses are absorbed
        Input.TIMER_K: _OVER,
        Input.TRANSPORT_ERROR: _OVER,
    },
}

INVITE_SERVER: Table = {
    State.PROCEEDING: {  # RFC 3261 §17.2.1
        Input.CREATED: (State.PROCEEDING, (Action.START_TRYING,)),
        Input.REQUEST: (State.PROCEEDING, (Action.RESEND,)),
        Input.TIMER_TRYING: (State.PROCEEDING, (Action.SEND_TRYING,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.STOP_TRYING, Action.SEND)),
        Input.SUCCESS: (State.ACCEPTED, (Action.SEND, Action.START_L)),  # RFC 6026 §7.1
        Input.FAILURE: (State.COMPLETED, (Action.SEND, Action.START_G, Action.START_H)),
        Input.TRANSPORT_ERROR: _FLOW_LOST,  # §17.2.4
    },
    State.ACCEPTED: {  # RFC 6026 §7.1: INVITEs are absorbed; the user repeats its 2xx
        Input.SUCCESS: (State.ACCEPTED, (Action.SEND,)),
        Input.ACK: (State.ACCEPTED, (Action.PASS_UP,)),
        Input.TIMER_L: _OVER,
        Input.TRANSPORT_ERROR: _OVER,  # the user notices the missing ACK
    },
    State.COMPLETED: {
        Input.REQUEST: (State.COMPLETED, (Action.RESEND,)),
        Input.TIMER_G: (State.COMPLETED, (Action.RESEND, Action.START_G)),
        Input.ACK: (State.CONFIRMED, (Action.START_I,)),
        Input.TIMER_H: _OVER,  # nobody is left to be told: the session is over
        Input.TRANSPORT_ERROR: _OVER,
    },
    State.CONFIRMED: {  # repeated ACKs are absorbed
        Input.TIMER_I: _OVER,
        Input.TRANSPORT_ERROR: _OVER,
    },
}

SERVER: Table = {
    State.TRYING: {  # RFC 3261 §17.2.2: repeated requests are absorbed
        Input.CREATED: (State.TRYING, (Action.START_ABANDON,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
        Input.SUCCESS: (State.COMPLETED, (Action.SEND, Action.START_J)),
        Input.FAILURE: (State.COMPLETED, (Action.SEND, Action.START_J)),
        Input.TIMER_ABANDON: _GIVE_UP,  # RFC 4320 §4.1
        Input.TRANSPORT_ERROR: _FLOW_LOST,
    },
    State.PROCEEDING: {
        Input.REQUEST: (State.PROCEEDING, (Action.RESEND,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
        Input.SUCCESS: (State.COMPLETED, (Action.SEND, Action.START_J)),
        Input.FAILURE: (State.COMPLETED, (Action.SEND, Action.START_J)),
        Input.TIMER_ABANDON: _GIVE_UP,
        Input.TRANSPORT_ERROR: _FLOW_LOST,
    },
    State.COMPLETED: {
        Input.REQUEST: (State.COMPLETED, (Action.RESEND,)),
        Input.TIMER_J: _OVER,
        Input.TRANSPORT_ERROR: _OVER,
    },
}

TIMERS = tuple(happened for happened in Input if happened.value.startswith("timer"))
"""The inputs that are timers."""
