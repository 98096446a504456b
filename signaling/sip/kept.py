"""What must be known of a call so that whoever comes after us can end it.

A process that dies says no BYE. What is kept here is enough for the next one: it takes back an
INVITE that nobody has answered (CANCEL), refuses one that we have not answered (503), and ends what
is answered (BYE). It takes no call over: audio and keys have died with the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from signaling.errors import SipParseError
from signaling.sip.calling import cancel_of
from signaling.sip.dialog import Dialog, is_numeric
from signaling.sip.exchange import Exchange
from signaling.sip.flow import Flow
from signaling.sip.grammar import as_latin1, from_latin1, legible, octets_of
from signaling.sip.headers import NameAddr
from signaling.sip.message import Request, Response, parse_message
from signaling.sip.reason import format_reason
from signaling.sip.transaction import Failure
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.sip.core import Core
    from signaling.sip.invite import InviteUsage

Done = Callable[[int], None]
CSEQ_LEAP = 1000
"""Our requests since the last note are not counted: the BYE must be above them all (§12.2.1.1)."""
TEMPORARY_FAILURE = 41
"""The cause of Q.850 of a BYE, or CANCEL, for a process that died."""


class Stage(StrEnum):
    """How far a call was."""

    CALLING = "calling"
    """Our INVITE waits for its answer."""
    RINGING = "ringing"
    """Theirs waits for ours."""
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class KeptDialog:
    """A dialog as plain data; see `Dialog`. Each text is octets as Latin-1.

    What a far end says of itself may be no UTF-8, and JSON holds nothing else.
    """

    call_id: str
    local: str
    remote: str
    target: str
    routes: tuple[str, ...]
    local_cseq: int
    own_name: str


@dataclass(frozen=True, slots=True)
class KeptCall:
    """One call, as plain data."""

    stage: Stage
    flow: Flow
    """How the far end is reached."""
    invite: str = ""
    """The INVITE without its body, octets as Latin-1; while it is not answered."""
    to_tag: str = ""
    """Ours, where we have not answered."""
    dialog: KeptDialog | None = None
    """Once it is answered."""
    user: str = ""
    """Who is at the far end."""
    listens_at: Flow | None = None
    """Where the far end is connected to, where that is not the way that it took to us: a phone that
    comes by TCP may name the port of its connection in a call, and its own where it registers."""
    is_direct: bool = False
    """By the flow, wherever the far end says that it is."""

    def by(self, flow: Flow) -> KeptCall:
        """The same, reached another way."""
        return replace(self, flow=flow, is_direct=True, listens_at=None)


def kept_of(session: InviteUsage) -> KeptCall | None:
    """What is to be kept of a session now; None: nothing, it is over."""
    if session.has_ended:
        return None
    user = legible(session.remote.uri.user or "")
    if session.is_answered:
        dialog = session.dialog
        return KeptCall(
            Stage.ANSWERED,
            dialog.flow,
            dialog=_kept_dialog(dialog),
            user=user,
            listens_at=_called_at(session) if session.is_caller else None,
        )
    if session.is_caller:
        invite, flow = session.sent_invite
        return KeptCall(
            Stage.CALLING, flow, _without_body(invite), user=user, listens_at=_called_at(session)
        )
    tag = session.dialog.local.tag or ""
    flow = session.answers_go_to
    return KeptCall(Stage.RINGING, flow, _without_body(session.request), tag, user=user)


def _called_at(session: InviteUsage) -> Flow | None:
    """Where the INVITE was meant for, if that is an address to connect to."""
    uri, flow = session.request.uri, session.flow
    if not flow.transport.is_stream or not is_numeric(uri.host):
        return None
    return flow.at(uri.host, uri.port or flow.transport.default_port)


def _kept_dialog(dialog: Dialog) -> KeptDialog:
    return KeptDialog(
        as_latin1(dialog.call_id),
        as_latin1(str(dialog.local)),
        as_latin1(str(dialog.remote)),
        as_latin1(str(dialog.remote_target)),
        tuple(as_latin1(str(route)) for route in dialog.route_set),
        dialog.local_cseq,
        dialog.own_name,
    )


def _without_body(request: Request) -> str:
    bare = Request(request.method, request.uri, request.headers.copy(), b"")
    bare.headers.remove("Content-Type")
    return bare.serialise().decode("latin-1")


def release(core: Core, kept: KeptCall, on_done: Done, now: float) -> None:
    """End a call of a process that has died; then one `on_done`: the final status, 503 for no way.

    Raises SipParseError for what was not kept by us.
    """
    if kept.stage is Stage.ANSWERED:
        _say_bye(core, kept, on_done, now)
        return
    message = parse_message(octets_of(kept.invite))
    if not isinstance(message, Request):
        raise SipParseError("a response is no INVITE")
    if kept.stage is Stage.CALLING:
        cancel = cancel_of(message, (("Reason", format_reason(TEMPORARY_FAILURE)),))
        core.layer.start_client(
            cancel,
            kept.flow,
            now,
            lambda response, now: on_done(response.status),
            lambda failure, now: on_done(failure.status),
        )
        return
    flow = kept.flow
    if flow.transport.is_stream:  # its connection is gone: to where it listens (§18.2.2)
        flow = flow.at(flow.host, message.via.port or flow.transport.default_port)
    server = core.layer.start_server(message, flow, flow, kept.to_tag, now)
    core.respond(server, 503, now=now)
    on_done(200)


def _say_bye(core: Core, kept: KeptCall, on_done: Done, now: float) -> None:
    found = kept.dialog
    if found is None:
        raise SipParseError("there is no dialog")
    dialog = Dialog(
        from_latin1(found.call_id),
        NameAddr.parse(from_latin1(found.local)),
        NameAddr.parse(from_latin1(found.remote)),
        Uri.parse(from_latin1(found.target)),
        kept.flow,
        tuple(NameAddr.parse(from_latin1(route)) for route in found.routes),
        found.local_cseq + CSEQ_LEAP,
        own_name=found.own_name,
    )

    def answered(response: Response, now: float) -> None:
        if response.status >= 200:
            on_done(response.status)

    def failed(failure: Failure, now: float) -> None:
        on_done(failure.status)

    Exchange(
        core,
        core.dialog_request(dialog, "BYE", headers=(("Reason", format_reason(TEMPORARY_FAILURE)),)),
        kept.flow if kept.is_direct else dialog.next_hop(),
        on_response=answered,
        on_failure=failed,
        next_cseq=dialog.next_cseq,
    ).start(now)
