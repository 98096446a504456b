"""What a record says, in sentences: what happened, why the call ended, what to look at next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from endpoint.callcontrol.model import (
    CallDirection,
    CallRecord,
    CallStep,
    ConnectionRecord,
    Ending,
    StepKind,
)
from endpoint.legs.base import CAUSES, AudioFigures, Cause, LegRole, Side

AT_ONCE_S = 3.0
"""Who is hung up on so soon asks why."""
POOR_MOS = 3.6
"""Below it many are not content (G.107 annex B)."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What a cause means, and what to look at."""

    why: str
    look: str = ""


REASONS: dict[Cause, Reason] = {
    Cause.NORMAL: Reason("Nothing went wrong: somebody hung up."),
    Cause.BUSY: Reason("The called one was busy."),
    Cause.NO_ANSWER: Reason(
        "Nobody answered in time.", "calls.answer_timeout_s says how long a call may ring."
    ),
    Cause.DECLINED: Reason("The called one, or his telephone, declined the call."),
    Cause.CANCELLED: Reason("The caller gave up before anybody answered."),
    Cause.UNKNOWN_DEVICE: Reason(
        "Nobody has this number.",
        "Look at the number; ask the carrier whether a prefix must be dialled before it. "
        "`agent-endpoint plan test NUMBER` says where it goes.",
    ),
    Cause.NOT_REGISTERED: Reason(
        "The device had no telephone that could be called.",
        "`agent-endpoint status` says which devices are reachable, and why one is not.",
    ),
    Cause.UNREACHABLE: Reason(
        "The far end could not be reached.",
        "Look whether its address is right and whether it answers: `agent-endpoint trunks`, "
        "`agent-endpoint status`, `agent-endpoint doctor`.",
    ),
    Cause.INCOMPATIBLE_MEDIA: Reason(
        "The two ends have no codec, or no encryption, in common.",
        "`agent-endpoint trace CALL` shows what each offered; compare it with the codecs and the "
        "srtp setting of the trunk or account.",
    ),
    Cause.UNAUTHORISED: Reason(
        "The far end did not let us call, or the caller was not let call.",
        "Look at user name and password of the account or trunk, and at its permissions there.",
    ),
    Cause.CERTIFICATE_REFUSED: Reason(
        "The certificate of one side was refused.",
        "`agent-endpoint doctor` names it; see the ca setting of the account or trunk.",
    ),
    Cause.MEDIA_TIMEOUT: Reason(
        "No audio came for too long.",
        "Its network or its telephone has gone; where it happens often, a firewall forgets the "
        "way: look at media.advertised_host and the ports of RTP.",
    ),
    Cause.MEDIA_LOST: Reason(
        "The process that carried its audio had ended.", "The log says why: `media worker`."
    ),
    Cause.MEDIA_UNREACHABLE: Reason(
        "No way for the audio was found between the two.",
        "Look at media.advertised_host, the firewall, and a TURN server (media.ice_servers).",
    ),
    Cause.MEDIA_UNTRUSTED: Reason(
        "The audio's keys were not those that were agreed on: it was ended, never heard clear.",
        "Something between changes the signalling; look at what is in the way, as an SBC.",
    ),
    Cause.SESSION_EXPIRED: Reason(
        "The far end did not confirm in time that the call still was.",
        "It has vanished, or something between drops its UPDATE or re-INVITE (RFC 4028).",
    ),
    Cause.DIAL_LIMIT: Reason(
        "The device has dialled more than it may.",
        "calls.dials_per_minute and calls.at_once say how much that is.",
    ),
    Cause.OVERLOAD: Reason(
        "We took no more calls, or the far end did not.",
        "We do so while we stop; `agent-endpoint status` says how we are. Of the far end ask its "
        "operator.",
    ),
    Cause.NETWORK_FAILURE: Reason(
        "Something between failed.",
        "`agent-endpoint trace CALL` shows who answered last, and with what.",
    ),
    Cause.CALLER_NOT_ALLOWED: Reason(
        "The trunk may not show the caller's number that was wanted.",
        "Look at what the trunk may show (`numbers`), and at the number that was asked for.",
    ),
    Cause.NUMBER_REFUSED: Reason(
        "The dial plan does not let this device call this number.",
        "`agent-endpoint plan test NUMBER` says which rule it is.",
    ),
    Cause.TRUNKS_DOWN: Reason(
        "No trunk that takes the number was up.",
        "`agent-endpoint trunks` says what is wrong with each.",
    ),
    Cause.TRUNK_FULL: Reason(
        "All lines of the trunk were taken.",
        "`agent-endpoint trunks` shows them; most_calls is the limit that we keep.",
    ),
    Cause.PROTOCOL_ERROR: Reason(
        "One side did what the protocol does not allow, or a fault of ours ended it.",
        "`agent-endpoint trace CALL` shows the messages; the log has the fault, if it is ours.",
    ),
    Cause.LOST: Reason(
        "Our own process died in the call.",
        "The log of that time, and the system's (out of memory, kill), say why.",
    ),
}
"""For each cause."""

_NUMBER_STATUSES = frozenset({404, 410, 416, 484, 604})
_NUMBER_CAUSES = frozenset({1, 2, 3, 22, 28})
_CALLER_STATUSES = frozenset({403, 433, 603, 607, 608})
_CALLER_CAUSES = frozenset({21, 29, 50, 57})
_TRUNK_STATUSES = frozenset({500, 502, 503, 504})
_TRUNK_CAUSES = frozenset({27, 34, 38, 41, 42, 44, 47, 127})


def explain(record: CallRecord) -> list[str]:
    """What happened, one sentence or two each; the reason of its end stands second."""
    return [
        _course(record),
        *_reason(record),
        *map(_step, record.steps),
        *_path(record),
        *_audio(record),
    ]


def _course(record: CallRecord) -> str:
    """When it rang, was answered and ended."""
    if not record.connections:
        how = "dialled" if record.direction is CallDirection.OUTBOUND else "called from outside"
        return f"{record.calling} {how} {record.called}, and was refused: nobody was called."
    parts = [f"{record.calling} called {record.called}"]
    if record.delivered_at is not None:
        parts.append(f"it rang {_after(record.delivered_at - record.started_at)}")
    elif record.established_at is None:
        parts.append("it never rang")
    if record.established_at is None:
        parts.append(f"it was never answered and ended {_after(_tried(record))}")
    else:
        talked = record.ended_at - record.established_at
        parts.append(f"it was answered {_after(record.established_at - record.started_at)}")
        parts.append(f"and lasted {_seconds(talked)}")
    return "; ".join(parts) + "."


def _reason(record: CallRecord) -> Iterator[str]:
    ending = record.ending
    reason = REASONS[ending.cause]
    hung_up = ending.cause is Cause.NORMAL and record.established_at is not None
    said = "" if hung_up and ending.sip_status is None else _said(ending)
    yield " ".join(filter(None, (reason.why, _who(record, ending), said)))
    if ending.text:
        yield f"It was told: {ending.text}"
    if reason.look:
        yield reason.look
    failed_early = (
        record.direction is CallDirection.OUTBOUND
        and record.established_at is None
        and bool(record.connections)
        and ending.cause not in (Cause.CANCELLED, Cause.BUSY, Cause.NO_ANSWER)
        and _tried(record) < timedelta(seconds=AT_ONCE_S)
    )
    if failed_early:
        yield _at_once(ending)


def _at_once(ending: Ending) -> str:
    """Hung up at once: it is the number, the caller's number, or the trunk."""
    status, q850 = ending.sip_status, ending.q850 if ending.sip_status is not None else None
    number = "the number: is it right and complete, and does it need a prefix to go out"
    caller = "the caller's number that was shown: the trunk must be allowed to show it"
    trunk = "the trunk: `agent-endpoint trunks`"
    if status in _NUMBER_STATUSES or q850 in _NUMBER_CAUSES:
        order = (number, caller, trunk)
    elif status in _CALLER_STATUSES or q850 in _CALLER_CAUSES:
        order = (caller, number, trunk)
    elif status in _TRUNK_STATUSES or q850 in _TRUNK_CAUSES:
        order = (trunk, number, caller)
    else:
        order = (number, caller, trunk)
    looks = "; ".join(f"{place}. {each}" for place, each in enumerate(order, 1))
    return (
        f"A call that ends at once is mostly a matter of one of three. {looks}. Dial it from the "
        "telephone itself to compare."
    )


def _who(record: CallRecord, ending: Ending) -> str:
    if ending.cause is Cause.LOST:
        return ""
    if ending.releasing_device is not None:
        return f"{ending.releasing_device} let go."
    match ending.released_by:
        case Side.DEVICE:
            return "A device let go."
        case Side.ENDPOINT:
            return "The endpoint let go by itself."
        case Side.NETWORK:
            return "It came from the network between."


def _said(ending: Ending) -> str:
    """The figures, as who knows the protocols reads them."""
    if ending.sip_status is not None:
        figures = f"SIP {ending.sip_status}"
        if ending.q850 is not None:
            figures += f", Q.850 {ending.q850}"
        return f"The far end said {figures}."
    return f"(In SIP that is {CAUSES[ending.cause].sip_status}, in Q.850 {ending.q850 or 'none'}.)"


def _step(step: CallStep) -> str:
    other = f" (call {step.call})" if step.call else ""
    match step.kind:
        case StepKind.CONSULT:
            text = f"{step.by} consulted {step.to}{other}"
        case StepKind.LEND:
            text = f"{step.by} lent {step.place_of} to {step.to}{other}"
        case StepKind.CONFERENCE:
            text = f"{step.by} made one call of two{other}"
        case StepKind.TRANSFER:
            text = f"{step.by} transferred to {step.to}{other}"
        case StepKind.INTERCEPT:
            text = f"{step.by} took the place of {step.place_of}"
        case StepKind.REPLACE:
            text = f"A telephone of {step.to} came for the place of {step.place_of}"
        case StepKind.DEFLECT:
            text = f"{step.by} sent the call on to {step.to}"
        case StepKind.FORWARD:
            text = f"The telephone of {step.by} forwarded to {step.to}"
        case StepKind.PICK_UP:
            text = f"{step.by} picked up what was for {step.place_of}"
        case StepKind.PARK:
            text = f"{step.by} parked it at {step.to}"
    if step.cause is not None:
        text += f", which failed: {step.cause}"
    return text + "."


def _path(record: CallRecord) -> Iterator[str]:
    for each in record.ivr_path:
        if not each.node:
            yield f"It was made for the queue {each.queue}."
    if path := [each for each in record.ivr_path if each.node]:
        nodes = " → ".join(
            each.node + (f" ({each.outcome})" if each.outcome else "") for each in path
        )
        yield f"In the flow {path[0].flow}: {nodes}."


def _audio(record: CallRecord) -> Iterator[str]:
    for each in record.connections:
        answered = each.moments is not None and each.moments.established_at is not None
        if answered and record.established_at is not None and not each.media_confirmed:
            yield (
                f"No audio of {each.device} was ever seen: look at its microphone, its network, "
                "and at the ports of RTP."
            )
        if each.quality is not None:
            yield from _poor(each, "from", each.quality.received)
            yield from _poor(each, "to", each.quality.sent)


def _poor(connection: ConnectionRecord, way: str, figures: AudioFigures) -> Iterator[str]:
    if figures.mos is None or figures.mos >= POOR_MOS:
        return
    end = "telephone" if connection.role is LegRole.STATION else "line"
    yield (
        f"The audio {way} {connection.device} was poor: MOS {figures.mos:.1f}, "
        f"loss {_figure(figures.loss_percent)} %, jitter {_figure(figures.jitter_ms)} ms; look at "
        f"the network to that {end}."
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"


def _tried(record: CallRecord) -> timedelta:
    """How long it took until the first one failed: after that its caller hears the busy tone."""
    failed = [
        each.moments.ended_at
        for each in record.connections
        if each.failed and each.moments is not None and each.moments.ended_at is not None
    ]
    return min(failed, default=record.ended_at) - record.started_at


def _after(time: timedelta) -> str:
    return "at once" if time < timedelta(milliseconds=50) else f"after {_seconds(time)}"


def _seconds(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
