"""Events in plain words, for whoever follows a call from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(number: int, noun: str) -> str:
    """As `1 device`, `2 devices`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def why(fields: Mapping[str, Any]) -> str:
    """What an event says of the cause, for a person."""
    cause = str(fields.get("cause") or "no cause was told").replace("_", " ")
    said = " ".join(str(fields[key]) for key in ("sip_status", "text") if fields.get(key))
    return f"{cause} ({said})" if said else cause


def in_words(event: str, fields: Mapping[str, Any]) -> str:
    """What an event of a call says; the name of one that is not known here."""
    who = str(fields["device"])
    match event:
        case "ServiceInitiated":
            queue = f" for the queue {fields['queue']}" if fields.get("queue") else ""
            return f"{who} is picked up to dial{queue}"
        case "Originated":
            return f"{fields['called']} is being called"
        case "Delivered":
            return f"{who} rings"
        case "Diverted":
            return f"{fields['diverted_to']} is called in place of {who}"
        case "Established":
            return f"{who} has answered"
        case "MediaConfirmed":
            return f"audio comes from {who}"
        case "MediaInterrupted":
            return f"the network of {who} was lost; another way is looked for"
        case "MediaResumed":
            return f"audio comes from {who} again"
        case "Held":
            return f"{who} holds the call"
        case "Retrieved":
            return f"{who} has taken the call back"
        case "FarEndHold":
            asked = "to hold" if fields["held"] else "to come back"
            return f"{who} was asked {asked}, and has {fields['far_end']} it"
        case "DigitsGenerated":
            return f"{counted(len(fields['digits']), 'digit')} went to {who}"
        case "DigitsFailed":
            return f"no digits could be sent to {who}"
        case "DigitDetected":
            return f"{who} has pressed a key"
        case "IvrVisited":
            result = f": {fields['result']}" if fields["result"] else ""
            return f"the call is at {fields['node']} of {who}'s {fields['flow']}{result}"
        case "WaitsInQueue":
            rings = f"; {fields['offered_to']} rings" if fields.get("offered_to") else ""
            place = f"number {fields['position']} in the queue {fields['queue']}"
            return f"the call waits at {who}, as {place}{rings}"
        case "LeftQueue":
            waited = f"after {fields['waited_s']:.0f} s: {fields['outcome']}"
            return f"the call waits at {who} no longer, in the queue {fields['queue']}, {waited}"
        case "Transferring":
            return f"{fields['transferred_to']} is to take the place of {who}"
        case "Transferred":
            return f"{fields['transferred_to']} has taken the place of {who}"
        case "TransferFailed":
            return f"{fields['transferred_to']} did not take the call: {why(fields)}"
        case "Queued":
            return f"the call waits at {who}"
        case "CallInformation":
            return f"the call of {who} carries other data"
        case "Conferenced":
            return f"{who} talks with all of both calls"
        case "Joined":
            return f"{who} has come into the call"
        case "MicrophoneMute":
            return f"nobody hears {who}" if fields["muted"] else f"{who} is heard"
        case "RecordingStarted":
            rule = fields.get("rule")
            return f"the call of {who} is recorded" + (f" by the rule {rule}" if rule else "")
        case "RecordingPaused":
            return f"what is said in the call of {who} is not recorded now"
        case "RecordingResumed":
            return f"what is said in the call of {who} is recorded again"
        case "RecordingStopped":
            return f"the call of {who} is recorded no more"
        case "RecordingFailed":
            return f"the call of {who} can't be recorded: {fields['text']}"
        case "SoundDeviceLost":
            return f"the {fields['use']} of {who} is not there: {fields['name']} ({fields['text']})"
        case "SoundDeviceReturned":
            return f"the {fields['use']} of {who} is there: {fields['name']}"
        case "Failed":
            return f"{who} was not reached: {why(fields)}"
        case "ConnectionCleared":
            return f"{who} has left the call: {why(fields)}"
        case "CallCleared":
            return f"the call is over: {why(fields)}"
        case _:
            return f"{event} {who}"
