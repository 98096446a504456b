"""An account and its calls, by `pjsua2`: what PJSIP tells is turned into notices.

A callback that raises ends the process, and so all calls: what goes wrong in one is logged here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

import pjsua2 as pj
import structlog

from endpoint.errors import MediaError
from endpoint.media.pjsip import messages as w
from endpoint.media.pjsip.audio import Channel
from endpoint.media.pjsip.library import Library

log = structlog.get_logger(__name__)

_UNHOLD: Final = 1
"""PJSUA_CALL_UNHOLD."""
_FIRST_RETRY_S: Final = 1
_RETRY_S: Final = 15
_RETRY_SPREAD_S: Final = 2
_FATAL: Final = (401, 403, 404, 407)
_TAG: Final = re.compile(
    r"^(?:From|f|To|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=[ \t]*([^\s;,]+)", re.I | re.M
)
_SENDER: Final = re.compile(r"^(?:From|f)[ \t]*:", re.I)
_REFER_TO: Final = re.compile(r"^(?:Refer-To|r)[ \t]*:[ \t]*([^\r\n]+)", re.I | re.M)
_REASON: Final = re.compile(
    r"^Reason[ \t]*:[^\r\n]*Q\.850[^\r\n]*;[ \t]*cause[ \t]*=[ \t]*(\d{1,3})", re.I | re.M
)

Callback = Callable[[Any, Any], None]


def told(callback: Callback) -> Callback:
    """Do it for whom it is about, and log what it raises: PJSIP can't take that."""

    @functools.wraps(callback)
    def called(whom: Line | LineCall, prm: Any) -> None:
        try:
            about = whom.about()
            if about is not None:
                callback(about, prm)
        except Exception:
            log.exception("PJSIP callback failed", callback=callback.__name__)

    return called


class Line(pj.Account):  # type: ignore[misc]  # no types
    """The account of this process."""

    def __init__(self, library: Library, tell: Callable[[w.LineNotice], None]) -> None:
        super().__init__()
        self.library = library
        self.tell = tell
        self.calls: dict[w.CallName, LineCall] = {}
        self.over: list[LineCall] = []
        """Objects that can go as soon as PJSIP has told its last."""
        self._channels = [Channel(library) for _ in range(4)]
        self._settings: w.OpenLine
        self._arrived = 0
        self._port = 0
        self._is_closing = False

    def about(self) -> Line:
        """Who is concerned by what PJSIP tells of the account."""
        return self

    # -- the registration -----------------------------------------------------------------------

    def open(self, settings: w.OpenLine) -> None:
        """Bind SIP, and register. Raises MediaError."""
        self._settings = settings
        transport = pj.TransportConfig()
        transport.boundAddress = settings.host
        # A stream's listener stays bound for a while after its process: any port will do.
        transport.port = 0 if settings.over_tcp else settings.port
        kind = pj.TransportType.TCP if settings.over_tcp else pj.TransportType.UDP
        bound = self.library.endpoint.transportCreate(kind, transport)
        self._port = int(self.library.endpoint.transportGetInfo(bound).localName.rpartition(":")[2])
        config = pj.AccountConfig()
        name = settings.display_name.replace("\\", "").replace('"', "")
        config.idUri = f'"{name}" <{settings.uri}>' if name else settings.uri
        config.regConfig.registrarUri = settings.registrar
        config.regConfig.timeoutSec = settings.expires_s
        config.regConfig.firstRetryIntervalSec = _FIRST_RETRY_S
        config.regConfig.retryIntervalSec = _RETRY_S
        config.regConfig.randomRetryIntervalSec = _RETRY_SPREAD_S
        config.sipConfig.proxies.append(f"<{settings.registrar};lr>")
        config.sipConfig.transportId = bound
        credentials = pj.AuthCredInfo(
            "digest", settings.realm, settings.username, 0, settings.password
        )
        config.sipConfig.authCreds.append(credentials)
        self.create(config)

    def close(self) -> None:
        """Take the registration back."""
        self._is_closing = True
        self.setRegistration(False)

    @told
    def onRegState(self, prm: Any) -> None:
        """PJSIP: the server has answered a REGISTER, or not."""
        code = int(prm.code)
        if self._is_closing:
            self.tell(w.LineClosed())
        elif code // 100 != 2:
            # What PJSIP says by itself, as when nothing answers, has no message.
            status = code if prm.rdata.wholeMsg else None
            self.tell(w.LineFailed(status, str(prm.reason), code in _FATAL))
        elif prm.expiration > 0:
            contact = self._settings.uri
            self.tell(w.LineRegistered(contact, int(prm.expiration), self._port))

    # -- calls ----------------------------------------------------------------------------------

    @told
    def onIncomingCall(self, prm: Any) -> None:
        """PJSIP: an INVITE came."""
        self._arrived += 1
        call = LineCall(self, f"in-{self._arrived}", prm.callId)
        port = call.channel.open(self._settings.audio_host)
        invite: str = prm.rdata.wholeMsg
        call.read_tags(invite, from_us=False)
        self.calls[call.name] = call
        self.tell(w.CallArrived(call.name, invite.encode("utf-8", "surrogateescape"), port))

    def place(self, asked: w.PlaceCall) -> None:
        """Call somebody. Raises MediaError."""
        call = LineCall(self, asked.call)
        port = call.channel.open(self._settings.audio_host)
        call.channel.face(asked.host, asked.rtp_port)
        self.calls[call.name] = call
        options = pj.CallOpParam(True)
        options.txOption.localUri = asked.from_
        for name, value in asked.headers:
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            options.txOption.headers.append(header)
        try:
            call.makeCall(asked.target, options)
        except Exception as exc:
            self.forget(call)
            raise MediaError(f"PJSIP can't call {asked.target}: {exc}") from exc
        self.tell(w.CallPlaced(call.name, call.info.callIdString, port))

    def call_named(self, name: w.CallName) -> LineCall:
        """A call that lives. Raises MediaError."""
        found = self.calls.get(name)
        if found is None:
            raise MediaError(f"no call {name!r}")
        return found

    def free_channel(self) -> Channel:
        """One that no call has. Raises MediaError."""
        for channel in self._channels:
            if channel.is_free:
                return channel
        raise MediaError("all calls of the process are in use")

    def forget(self, call: LineCall) -> None:
        """A call is over; its object is still spoken to."""
        if self.calls.pop(call.name, None) is not None:
            call.channel.close()
        self.over.append(call)

    def tick(self) -> None:
        """20 ms of audio of all calls."""
        for channel in self._channels:
            channel.before_tick()
        self.library.tick()
        for channel in self._channels:
            channel.after_tick()


class LineCall(pj.Call):  # type: ignore[misc]  # no types
    """One call, as the leg sees it.

    Where its far end lets another take its place, PJSIP tells of the new call by the object of the
    old one. So the first word of the new one makes an object of its own for it, and the old one
    stays until its call is over: PJSIP ends the process where an object goes before.
    """

    def __init__(
        self, line: Line, name: w.CallName, number: int = -1, before: LineCall | None = None
    ) -> None:
        """A call to be placed, or one that PJSIP has by a number."""
        super().__init__(line, number)
        self.name = name
        self.channel: Channel = before.channel if before is not None else line.free_channel()
        self._line = line
        self._before = before
        self._left = -1
        """The number of our own call, which another one may take the place of."""
        self._successor: LineCall | None = None
        self._local_tag = self._remote_tag = ""
        self._is_answered = before is not None
        self._is_confirmed = False
        self._is_heard = before is not None
        self._far_holds: bool = before._far_holds if before is not None else False
        self._holding = False
        """A re-INVITE of ours has no answer yet."""
        self._ended_by_us = False

    def about(self) -> LineCall | None:
        """Which object is for what PJSIP tells; None: nobody is concerned."""
        if self._left < 0 or (self._successor is None and self.id == self._left):
            return self
        if self._successor is None:
            self._successor = LineCall(self._line, self.name, self.id, before=self)
            self._line.calls[self.name] = self._successor
            pj.Call.lookup(self._left)  # gives us our own number back
            return self._successor
        if self.id == self._left and self.info.state == pj.InvState.DISCONNECTED:
            self._line.over.append(self)
            self._successor.forget_before()
        return None

    def forget_before(self) -> None:
        """The call whose place this one took is over."""
        self._before = None

    # -- asked ----------------------------------------------------------------------------------

    def ring(self, host: str, port: int) -> None:
        """180, or 183 with audio."""
        self.channel.face(host, port)
        self._answer(183 if port else 180)

    def accept(self, host: str, port: int) -> None:
        """200."""
        self.channel.face(host, port)
        self._answer(200)

    def end(self, status: int) -> None:
        """Whatever its state needs."""
        self._ended_by_us = True
        options = pj.CallOpParam()
        options.statusCode = pj.StatusCode(status) if not self._is_confirmed else pj.StatusCode(0)
        self.hangup(options)

    def hold_far_end(self, held: bool) -> None:
        """A re-INVITE of ours. Raises MediaError where one is under way."""
        options = pj.CallOpParam(True)
        try:
            if held:
                self.setHold(options)
            else:
                options.opt.flag = _UNHOLD
                self.reinvite(options)
        except Exception as exc:
            raise MediaError(f"PJSIP sends no re-INVITE now: {exc}") from exc
        self._holding = True

    def send_digit(self, digit: str, duration_ms: int, by_info: bool) -> None:
        """One DTMF digit."""
        options = pj.CallSendDtmfParam()
        options.digits, options.duration = digit, duration_ms
        options.method = pj.DtmfMethod.SIP_INFO if by_info else pj.DtmfMethod.RFC2833
        try:
            self.sendDtmf(options)
        except Exception as exc:
            raise MediaError(f"PJSIP sends no digit now: {exc}") from exc

    def refer(self, refer_to: str, referred_by: str) -> None:
        """REFER."""
        options = pj.CallOpParam()
        if referred_by:
            header = pj.SipHeader()
            header.hName, header.hValue = "Referred-By", referred_by
            options.txOption.headers.append(header)
        try:
            self.xfer(refer_to, options)
        except Exception as exc:
            raise MediaError(f"PJSIP sends no REFER now: {exc}") from exc

    def _answer(self, status: int) -> None:
        options = pj.CallOpParam()
        options.statusCode = pj.StatusCode(status)
        self.answer(options)

    # -- told by PJSIP --------------------------------------------------------------------------

    @told
    def onCallState(self, prm: Any) -> None:
        """PJSIP: the INVITE session has gone on."""
        info = self.info
        if info.state == pj.InvState.CONFIRMED and not self._is_confirmed:
            self._is_confirmed = self._is_answered = True
            self._line.tell(
                w.CallConfirmed(self.name, info.callIdString, self._local_tag, self._remote_tag)
            )
        elif info.state == pj.InvState.DISCONNECTED:
            self._ended(info, prm)

    def _ended(self, info: Any, prm: Any) -> None:
        before = self._before
        if before is not None and not self._ended_by_us and not self._is_confirmed:
            self._line.over.append(self)
            before.take_back()
            return
        if before is not None:
            before.end(0)
        self._line.forget(self)
        said = _REASON.search(_message_of(prm.e))
        self._line.tell(
            w.CallEnded(
                self.name,
                200 if self._is_answered else int(info.lastStatusCode),
                str(info.lastReason),
                int(said[1]) if said else None,
                not self._ended_by_us,
            )
        )

    def take_back(self) -> None:
        """Who was to take our far end's place could not be had: go on."""
        self._left, self._successor = -1, None
        self._line.calls[self.name] = self
        self.channel.join(self.id)

    @told
    def onCallMediaState(self, prm: Any) -> None:
        """PJSIP: offer and answer are through; the stream is another one."""
        info = self.info
        self.channel.join(self.id)
        if not self._is_heard and info.state == pj.InvState.EARLY:
            self._is_heard = True
            self._line.tell(w.CallHeard(self.name))
        held = any(each.status == pj.CallMediaStatus.REMOTE_HOLD for each in info.media)
        held = held or any(
            each.status == pj.CallMediaStatus.LOCAL_HOLD and int(each.dir) == 0
            for each in info.media
        )
        if held is not self._far_holds:
            self._far_holds = held
            self._line.tell(w.FarEndHeld(self.name, held))

    @told
    def onCallTsxState(self, prm: Any) -> None:
        """PJSIP: a transaction of the call has gone on; here are its messages."""
        event = prm.e.body.tsxState
        transaction = event.tsx
        message = _message_of(prm.e)
        is_ours = transaction.role == pj.Role.UAC
        if transaction.method == "INVITE":
            self.read_tags(message, from_us=is_ours)
            status = int(transaction.statusCode)
            if is_ours and not self._is_answered and 100 < status < 200 and message:
                self._line.tell(w.CallProgress(self.name, status, transaction.statusText))
            if is_ours and self._holding and status >= 200 and status not in (401, 407):
                self._holding = False
                self._line.tell(w.HoldAnswered(self.name, status))

    @told
    def onDtmfDigit(self, prm: Any) -> None:
        """PJSIP: a digit, by telephone-event or INFO."""
        self._line.tell(w.DigitHeard(self.name, str(prm.digit), int(prm.duration)))

    @told
    def onCallTransferStatus(self, prm: Any) -> None:
        """PJSIP: a NOTIFY about our REFER, or its refusal."""
        status = int(prm.statusCode)
        self._line.tell(w.ReferTold(self.name, status, prm.reason, bool(prm.finalNotify)))

    @told
    def onCallTransferRequest(self, prm: Any) -> None:
        """PJSIP: a REFER came, and is being done: what is written here is a copy."""
        self._moves(str(prm.dstUri))

    @told
    def onCallReplaced(self, prm: Any) -> None:
        """PJSIP: an INVITE with Replaces took the call over."""
        self._moves("")

    def _moves(self, to: str) -> None:
        self._left = self.id
        self._line.tell(w.CallMoved(self.name, to))

    def read_tags(self, message: str, *, from_us: bool) -> None:
        """What the dialog is called, from a message of its INVITE."""
        for found in _TAG.finditer(message):
            is_sender = _SENDER.match(found[0]) is not None
            if is_sender is from_us:
                self._local_tag = found[1]
            else:
                self._remote_tag = found[1]


def _message_of(event: Any) -> str:
    """The message that an event is about; empty where it is about none."""
    if event.type == pj.EventId.TSX_STATE:
        body = event.body.tsxState
        if body.type == pj.EventId.RX_MSG:
            return str(body.src.rdata.wholeMsg)
        if body.type == pj.EventId.TX_MSG:
            return str(body.src.tdata.wholeMsg)
    elif event.type == pj.EventId.RX_MSG:
        return str(event.body.rxMsg.rdata.wholeMsg)
    return ""
